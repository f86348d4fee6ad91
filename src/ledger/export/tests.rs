use std::{collections::BTreeMap, sync::Arc};

use prometheus_client::{encoding::text, registry::Registry};

use super::*;
use crate::{FlowType, ledger::FlowLedger};

/// Each line, whatever the order of its labels, with its value.
fn series(text: &str) -> BTreeMap<(String, Vec<String>), f64> {
    let mut series = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = name.split_once('{').unwrap_or((name, ""));
        let mut labels: Vec<_> =
            labels.trim_end_matches('}').split(',').map(str::to_owned).collect();
        for label in labels.iter_mut().filter(|label| label.starts_with("le=")) {
            let bound: f64 = label.trim_start_matches("le=").trim_matches('"').parse().unwrap();
            *label = format!("le={bound}");
        }
        labels.sort();
        assert!(
            series.insert((name.to_owned(), labels), value.parse().unwrap()).is_none(),
            "{line}"
        );
    }
    series
}

#[test]
fn the_library_writes_the_same_series() {
    let metrics = MetricsRegistry::new();
    let ledger = Arc::new(FlowLedger::new(2));
    metrics.register(FlowType::Chunk.name(), &ledger);
    ledger.workers[0].ran(3_000, 700_000_000, false);
    ledger.workers[1].ran(40_000, 20_000_000_000, true);
    metrics.malformed();

    let mut registry = Registry::default();
    registry.register_collector(Box::new(metrics.clone()));
    let (mut theirs, mut ours) = (String::new(), String::new());
    text::encode(&mut theirs, &registry).unwrap();
    metrics.snapshot().to_openmetrics(&mut ours).unwrap();
    assert_eq!(series(&theirs), series(&ours));
    let types = |text: &str| {
        let lines = text.lines().filter(|line| line.starts_with("# TYPE"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(types(&theirs), types(&ours));
}
