use serde_json::{from_value, json, to_value};

use super::*;
use crate::{FlowConfig, FlowType, FlowWorker, MetricsRegistry, NodeId, RefusalReason};

#[test]
fn a_snapshot_says_all_that_was_counted() {
    let metrics = MetricsRegistry::new();
    let handler = |_: &NodeId, message: u32| assert!(message != 3, "on purpose");
    let flow = FlowWorker::new(FlowType::Chunk, &FlowConfig::new(16), &metrics, handler).unwrap();
    for message in 0..10 {
        let peer = NodeId::new([message as u8; 32]);
        assert!(futures_executor::block_on(flow.execute(peer, message)).is_ok());
    }
    assert!(flow.shutdown(Duration::from_secs(60)).is_clean());

    let mut snapshot = metrics.snapshot();
    snapshot.broadcast.oldest_age = Duration::from_micros(7);
    let written = to_value(&snapshot).unwrap();
    let chunk = &written["flows"]["Chunk"];
    let counts = snapshot.flow(FlowType::Chunk);
    for (end, count) in counts.outcomes() {
        assert_eq!(chunk["outcomes"][end.to_string()], json!(count), "{end}");
    }
    assert_eq!(chunk["outcomes"].as_object().unwrap().len(), Outcome::COUNT);
    assert_eq!(chunk["outcomes"]["handled"], json!(9));
    assert_eq!(chunk["outcomes"]["panicked"], json!(1));
    assert_eq!((&chunk["admitted"], &chunk["in_flight"]), (&json!(10), &json!(0)));
    assert_eq!(chunk["service"]["count"], json!(10));
    assert_eq!(chunk["service"]["p99_ns"], json!(counts.service.quantile(0.99).as_nanos() as u64));
    assert_eq!(chunk["wait"]["max_ns"], json!(counts.wait.max().as_nanos() as u64));
    assert_eq!(written["broadcast"]["oldest_age_ns"], json!(7_000));
    assert_eq!(written["dropped_adverts"], json!({"all_replicas": 0, "replicas": 0}));
    assert_eq!(written["received"], json!(0));
    assert!(toml::to_string(&snapshot).is_ok());
}

#[test]
fn a_summary_of_durations_is_this() {
    let mut durations = LatencySnapshot::default();
    assert_eq!(
        to_value(&durations).unwrap(),
        json!({
            "count": 0, "mean_ns": 0, "p50_ns": 0, "p90_ns": 0, "p99_ns": 0, "p999_ns": 0, "max_ns": 0,
        })
    );
    let recorder = crate::ledger::latency::Recorder::default();
    (1..=100).for_each(|nanos| _ = recorder.record(nanos));
    durations.merge(&LatencySnapshot::of([&recorder].into_iter()));
    assert_eq!(
        to_value(&durations).unwrap(),
        json!({
            "count": 100, "mean_ns": 50, "p50_ns": 50, "p90_ns": 90, "p99_ns": 99, "p999_ns": 100, "max_ns": 100,
        })
    );
}

/// One name of a thing in logs, metrics and texts.
#[test]
fn names_are_those_of_logs_and_labels_in_snake_case() {
    for end in Outcome::iter() {
        assert_eq!(to_value(end).unwrap(), json!(end.to_string()));
        assert_eq!(from_value::<Outcome>(json!(end.to_string())).unwrap(), end);
    }
    for reason in RefusalReason::iter() {
        assert_eq!(to_value(reason).unwrap(), to_value(Outcome::from(reason)).unwrap());
    }
    for flow in FlowType::iter() {
        assert_eq!(to_value(flow).unwrap(), json!(flow.name().to_lowercase()));
        assert_eq!(from_value::<FlowType>(json!(flow.name().to_lowercase())).unwrap(), flow);
    }
}
