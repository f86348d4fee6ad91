use std::collections::HashMap;

use prometheus_client::{encoding::text::encode, registry::Registry};

use super::*;
use crate::{FlowConfig, FlowWorker, NodeId};

/// The series of a scrape, and nothing else of it.
fn scrape(metrics: &MetricsRegistry) -> HashMap<String, f64> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(metrics.clone()));
    let mut page = String::new();
    encode(&mut page, &registry).unwrap();
    let series = page.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        (name.to_owned(), value.parse().unwrap())
    });
    let series: Vec<(String, f64)> = series.collect();
    let (all, distinct) = (series.len(), series.into_iter().collect::<HashMap<_, _>>());
    assert_eq!(distinct.len(), all, "a series is there twice");
    distinct
}

#[test]
fn a_scrape_says_what_a_snapshot_says() {
    let metrics = MetricsRegistry::new();
    let handler = |_: NodeId, message: u32| assert!(message != 3, "on purpose");
    let config = FlowConfig::new(16);
    let flow = FlowWorker::new(FlowType::Chunk, &config, &metrics, handler).unwrap();
    let before = scrape(&metrics);
    for message in 0..10 {
        let peer = NodeId::new([message as u8; 32]);
        assert!(futures_executor::block_on(flow.execute(peer, message)).is_ok());
    }
    assert!(flow.shutdown(Duration::from_secs(60)).is_clean());
    assert!(futures_executor::block_on(flow.execute(NodeId::new([0; 32]), 0)).is_err());

    let series = scrape(&metrics);
    let snapshot = metrics.snapshot();
    let counts = snapshot.flow(FlowType::Chunk);
    for end in End::iter() {
        let name = format!(r#"gossip_messages_ended_total{{flow="Chunk",end="{end}"}}"#);
        assert_eq!(series[&name], counts.ended(end) as f64, "{name}");
    }
    assert_eq!(series[r#"gossip_messages_ended_total{flow="Chunk",end="handled"}"#], 9.0);
    assert_eq!(series[r#"gossip_messages_ended_total{flow="Chunk",end="panicked"}"#], 1.0);
    assert_eq!(series[r#"gossip_messages_ended_total{flow="Chunk",end="closed"}"#], 1.0);
    assert_eq!(series[r#"gossip_messages_ended_total{flow="Advert",end="handled"}"#], 0.0);
    assert_eq!(series[r#"gossip_messages_admitted_total{flow="Chunk"}"#], 10.0);
    assert_eq!(series[r#"gossip_messages_in_flight{flow="Chunk"}"#], 0.0);
    assert_eq!(series[r#"gossip_adverts_dropped_total{destination="AllReplicas"}"#], 0.0);
    assert_eq!(series[r#"gossip_service_seconds_count{flow="Chunk"}"#], 10.0);
    assert_eq!(series[r#"gossip_service_seconds_bucket{le="+Inf",flow="Chunk"}"#], 10.0);
    let sum = series[r#"gossip_wait_seconds_sum{flow="Chunk"}"#];
    assert!((sum - counts.wait.mean().as_secs_f64() * 10.0).abs() < 1e-6, "{sum}");

    assert_eq!(series.len(), before.len(), "a peer made a series");
}
