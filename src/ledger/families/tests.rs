use std::{collections::HashSet, mem::discriminant};

use super::*;
use crate::MetricsRegistry;

#[test]
fn names_are_of_one_style() {
    let families = MetricsRegistry::new().snapshot().families();
    let mut names = HashSet::new();
    for MetricFamily { name, help, unit, samples } in &families {
        assert!(names.insert(*name), "{name} comes twice");
        assert!(name.starts_with("gossip_engine_"), "{name}");
        assert!(name.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_'), "{name}");
        assert!(!help.is_empty() && !help.contains(['"', '\\', '\n']), "{help}");
        let kind = discriminant(&samples.first().expect("each has one").value);
        assert!(samples.iter().all(|sample| discriminant(&sample.value) == kind), "{name}");
        let counts = matches!(samples[0].value, Counter(_));
        assert_eq!(name.ends_with("_total"), counts, "{name}");
        let times = matches!(samples[0].value, MetricValue::Histogram { .. });
        assert_eq!(times, times && *unit == Some("seconds"), "{name}");
    }
}

#[test]
fn limits_add_up_as_what_they_bound() {
    let mut sum = FlowSnapshot {
        max_in_flight: 10,
        max_bytes: Some(5),
        peer_quota: 3,
        threads: 2,
        ..Default::default()
    };
    sum.merge(&FlowSnapshot { max_in_flight: 1, peer_quota: 4, threads: 1, ..Default::default() });
    assert_eq!(
        (sum.max_in_flight, sum.max_bytes, sum.peer_quota, sum.threads),
        (11, Some(5), 4, 3)
    );
    sum.merge(&FlowSnapshot { max_bytes: Some(7), ..Default::default() });
    assert_eq!(sum.max_bytes, Some(12));
}

#[test]
fn only_flows_that_are_bounded_in_bytes_show_that_bound() {
    let mut snapshot = MetricsRegistry::new().snapshot();
    let bound = |snapshot: &MetricsSnapshot| {
        let families = snapshot.families();
        families.into_iter().find(|family| family.name == "gossip_engine_in_flight_limit_bytes")
    };
    assert_eq!(bound(&snapshot), None);
    snapshot.broadcast.max_bytes = Some(9);
    let family = bound(&snapshot).unwrap();
    assert_eq!(family.unit, Some("bytes"));
    let labels = vec![("flow", "Broadcast")];
    assert_eq!(family.samples, [MetricSample { labels, value: Gauge(9.0) }]);
}

#[test]
fn what_is_counted_before_a_payload_is_decoded_has_a_family_for_each_reason() {
    let metrics = MetricsRegistry::new();
    metrics.malformed();
    (0..2).for_each(|_| metrics.unknown());
    (0..3).for_each(|_| metrics.quarantined());
    let families = metrics.snapshot().families();
    let count = |name: &str| {
        let name = format!("gossip_engine_events_{name}_total");
        let family = families.iter().find(|family| family.name == name).unwrap();
        family.samples.clone()
    };
    for (name, counted) in [("malformed", 1), ("unknown", 2), ("quarantined", 3)] {
        assert_eq!(count(name), [MetricSample { labels: vec![], value: Counter(counted) }]);
    }
}
