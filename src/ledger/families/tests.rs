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
        let times = matches!(samples[0].value, Histogram { .. });
        assert_eq!(times, times && *unit == Some("seconds"), "{name}");
    }
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
