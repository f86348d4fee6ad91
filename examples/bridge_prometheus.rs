//! What an engine counts, in a registry of the crate `prometheus`.
//!
//! ```text
//! cargo run --release --features prometheus --example bridge_prometheus
//! cargo add prometheus --no-default-features        # in a crate of your own
//! ```

use std::{
    error::Error,
    io::{Write as _, stdout},
    time::Duration,
};

use gossip_engine::{FlowConfig, FlowWorker, MetricsRegistry};
use prometheus::{Registry, TextEncoder};

fn main() -> Result<(), Box<dyn Error>> {
    let engine = MetricsRegistry::new();
    let votes = FlowWorker::new("votes", &FlowConfig::new(100), &engine, |_: &String, _: u64| {})?;
    let registry = Registry::new();
    registry.register(Box::new(engine.clone()))?;

    votes.execute("bern".to_owned(), 7).wait().map_err(|refused| refused.reason)?;
    assert!(votes.shutdown(Duration::from_secs(60)).is_clean());

    let page = TextEncoder::new().encode_to_string(&registry.gather())?;
    let line = r#"gossip_engine_messages_total{flow="votes",outcome="handled"} 1"#;
    assert!(page.lines().any(|shown| shown == line), "{page}");
    writeln!(stdout(), "{line}")?;
    Ok(())
}
