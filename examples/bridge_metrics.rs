//! What an engine counts, through the facade of the crate `metrics` in an exporter.
//!
//! ```text
//! cargo run --release --features metrics --example bridge_metrics
//! cargo add metrics metrics-exporter-prometheus    # in a crate of your own
//! ```

use std::{
    error::Error,
    io::{Write as _, stdout},
    time::Duration,
};

use gossip_engine::{FlowConfig, FlowWorker, MetricsRegistry};
use metrics_exporter_prometheus::PrometheusBuilder;

fn main() -> Result<(), Box<dyn Error>> {
    let exporter = PrometheusBuilder::new().install_recorder()?;
    let engine = MetricsRegistry::new();
    let votes = FlowWorker::new("votes", &FlowConfig::new(100), &engine, |_: &String, _: u64| {})?;

    votes.execute("bern".to_owned(), 7).wait().map_err(|refused| refused.reason)?;
    assert!(votes.shutdown(Duration::from_secs(60)).is_clean());

    // Every few seconds, or before each scrape.
    engine.publish();
    let page = exporter.render();
    let line = r#"gossip_engine_messages_total{flow="votes",outcome="handled"} 1"#;
    assert!(page.lines().any(|shown| shown == line), "{page}");
    writeln!(stdout(), "{line}")?;
    Ok(())
}
