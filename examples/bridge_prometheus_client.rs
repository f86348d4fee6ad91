//! What an engine counts, in a registry of the crate `prometheus-client`.
//!
//! ```text
//! cargo run --release --features prometheus-client --example bridge_prometheus_client
//! ```

use std::{
    error::Error,
    io::{Write as _, stdout},
    time::Duration,
};

use gossip_engine::{FlowConfig, FlowWorker, MetricsRegistry};
use prometheus_client::{encoding::text::encode, registry::Registry};

fn main() -> Result<(), Box<dyn Error>> {
    let engine = MetricsRegistry::new();
    let votes = FlowWorker::new("votes", &FlowConfig::new(100), &engine, |_: &String, _: u64| {})?;
    let mut registry = Registry::default();
    registry.register_collector(Box::new(engine.clone()));

    votes.execute("bern".to_owned(), 7).wait().map_err(|refused| refused.reason)?;
    assert!(votes.shutdown(Duration::from_secs(60)).is_clean());

    let mut page = String::new();
    encode(&mut page, &registry)?;
    let line = r#"gossip_engine_messages_total{flow="votes",outcome="handled"} 1"#;
    assert!(page.lines().any(|shown| shown == line), "{page}");
    writeln!(stdout(), "{line}")?;
    Ok(())
}
