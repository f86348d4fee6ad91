use std::{collections::HashMap, sync::Arc};

use prometheus_client::{encoding::text::encode, registry::Registry};

use super::*;
use crate::{
    FlowConfig, FlowType, FlowWorker, NodeId,
    ledger::FlowLedger,
    sync::{AtomicBool, Ordering},
};

fn page(metrics: &MetricsRegistry) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(metrics.clone()));
    let mut page = String::new();
    encode(&mut page, &registry).unwrap();
    page
}

/// The series of a scrape, and nothing else of it.
fn scrape(metrics: &MetricsRegistry) -> HashMap<String, f64> {
    let page = page(metrics);
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
    let handler = |_: &NodeId, message: u32| assert!(message != 3, "on purpose");
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
    for end in Outcome::iter() {
        let name = format!(r#"gossip_messages_ended_total{{flow="Chunk",end="{end}"}}"#);
        assert_eq!(series[&name], counts.count(end) as f64, "{name}");
    }
    assert_eq!(series[r#"gossip_messages_ended_total{flow="Chunk",end="handled"}"#], 9.0);
    assert_eq!(series[r#"gossip_messages_ended_total{flow="Chunk",end="panicked"}"#], 1.0);
    assert_eq!(series[r#"gossip_messages_ended_total{flow="Chunk",end="closed"}"#], 1.0);
    assert_eq!(series[r#"gossip_messages_ended_total{flow="Broadcast",end="handled"}"#], 0.0);
    assert_eq!(series[r#"gossip_messages_admitted_total{flow="Chunk"}"#], 10.0);
    assert_eq!(series[r#"gossip_messages_in_flight{flow="Chunk"}"#], 0.0);
    assert_eq!(series[r#"gossip_adverts_dropped_total{destination="AllReplicas"}"#], 0.0);
    assert_eq!(series[r#"gossip_message_service_seconds_count{flow="Chunk"}"#], 10.0);
    assert_eq!(series.len(), before.len(), "a peer made a series");
}

#[test]
fn payloads_that_are_no_known_message_have_a_series_for_each_reason() {
    let metrics = MetricsRegistry::new();
    metrics.malformed();
    metrics.unknown();
    metrics.unknown();
    (0..3).for_each(|_| metrics.quarantined());
    let series = scrape(&metrics);
    assert_eq!(series["gossip_events_malformed_total"], 1.0);
    assert_eq!(series["gossip_events_unknown_total"], 2.0);
    assert_eq!(series["gossip_events_quarantined_total"], 3.0);
}

#[test]
fn a_time_is_in_the_buckets_from_its_own_to_the_last() {
    let registry = MetricsRegistry::new();
    let ledger = Arc::new(FlowLedger::new(3));
    registry.register(FlowType::Chunk.name(), &ledger);
    ledger.workers[0].ran(3_000, 700_000_000, false);
    ledger.workers[1].ran(40_000, 20_000_000_000, true);
    let series = scrape(&registry);
    let count = |name: &str, bound: f64| {
        let prefix = format!(r#"gossip_message_{name}_seconds_bucket{{le=""#);
        let is_it = |series: &&String| {
            let le = series
                .strip_prefix(&prefix)
                .and_then(|rest| rest.strip_suffix(r#"",flow="Chunk"}"#));
            le.is_some_and(|le| le.parse() == Ok(bound))
        };
        series[series.keys().find(is_it).unwrap()]
    };
    let waits = [1e-6, 5e-6, 1e-5, 5e-5, 10.0, f64::INFINITY].map(|le| count("wait", le));
    assert_eq!(waits, [0.0, 1.0, 1.0, 2.0, 2.0, 2.0]);
    let services = [0.5, 1.0, 10.0, f64::INFINITY].map(|le| count("service", le));
    assert_eq!(services, [0.0, 1.0, 1.0, 2.0]);
    let sum = series[r#"gossip_message_service_seconds_sum{flow="Chunk"}"#];
    assert!((sum / 20.7 - 1.0).abs() < 0.01, "{sum}");
    assert!(page(&registry).ends_with("# EOF\n"));
}

#[test]
fn no_counter_falls_while_messages_end_in_all_ways() {
    const SCRAPES: usize = 300;
    let metrics = MetricsRegistry::new();
    let handler = |_: &NodeId, panics: bool| {
        if panics {
            std::panic::resume_unwind(Box::new(()));
        }
    };
    let config = FlowConfig::new(4).with_threads(2);
    let flow = FlowWorker::new(FlowType::Chunk, &config, &metrics, handler).unwrap();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 0_u32;
            // Relaxed: it says nothing about any other memory.
            while !is_over.load(Ordering::Relaxed) {
                number = number.saturating_add(1);
                // Where few are handled, a count that is short by one is seen to fall.
                let submitted = flow.execute(NodeId::new([number as u8; 32]), number > 10);
                assert!(futures_executor::block_on(submitted).is_ok());
            }
        });
        let grows =
            |name: &str| ["_total", "_sum", "_count", "_bucket"].iter().any(|s| name.contains(s));
        let mut before = scrape(&metrics);
        for _ in 0..SCRAPES {
            let now = scrape(&metrics);
            for (name, value) in now.iter().filter(|(name, _)| grows(name)) {
                if *value < before[name] {
                    is_over.store(true, Ordering::Relaxed);
                    panic!("{name} falls from {} to {value}", before[name]);
                }
            }
            before = now;
        }
        is_over.store(true, Ordering::Relaxed);
    });
}
