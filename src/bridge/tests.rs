use std::{collections::BTreeMap, sync::Arc};

use ::metrics::with_local_recorder;
use ::prometheus::{Error, Registry as Prometheus, TextEncoder, core::Collector as _};
use ::prometheus_client::{encoding::text, registry::Registry as Client};
use metrics_exporter_prometheus::PrometheusBuilder;

use crate::{FlowType, MetricValue, MetricsRegistry, ledger::FlowLedger};

/// Label values that end a label, a line or an escape too early if they are not escaped.
const HOSTILE: &str = "a \"fast\" one,\nof C:\\temp";

fn counted() -> MetricsRegistry {
    let metrics = MetricsRegistry::new();
    let (chunk, hostile) = (Arc::new(FlowLedger::new(2)), Arc::new(FlowLedger::new(1)));
    metrics.register(FlowType::Chunk.name(), &chunk);
    metrics.register(HOSTILE, &hostile);
    chunk.workers[0].ran(3_000, 700_000_000, false);
    chunk.workers[1].ran(40_000, 20_000_000_000, true);
    hostile.workers[0].ran(1, 1, false);
    metrics.malformed();
    metrics
}

fn open_metrics(metrics: &MetricsRegistry) -> String {
    let mut page = String::new();
    metrics.snapshot().to_openmetrics(&mut page).unwrap();
    page
}

fn client(metrics: &MetricsRegistry) -> String {
    let mut registry = Client::default();
    registry.register_collector(Box::new(metrics.clone()));
    let mut page = String::new();
    text::encode(&mut page, &registry).unwrap();
    page
}

fn prometheus(metrics: &MetricsRegistry) -> String {
    let registry = Prometheus::new();
    registry.register(Box::new(metrics.clone())).unwrap();
    TextEncoder::new().encode_to_string(&registry.gather()).unwrap()
}

fn facade(metrics: &MetricsRegistry) -> String {
    let recorder = PrometheusBuilder::new().build_recorder();
    // Twice: what is set is what is so, not what came on top.
    with_local_recorder(&recorder, || (0..2).for_each(|_| metrics.publish()));
    recorder.handle().render()
}

/// Each series with its value, whatever the order of its labels and the form of its numbers.
fn series(page: &str) -> BTreeMap<(String, Vec<String>), f64> {
    let mut series = BTreeMap::new();
    for line in page.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = name.split_once('{').unwrap_or((name, ""));
        let labels = labels.trim_end_matches('}').trim_end_matches('"').split("\",");
        let mut labels: Vec<_> = labels
            .map(|label| match label.strip_prefix("le=\"") {
                Some(bound) => format!("le={}", bound.parse::<f64>().unwrap()),
                None => label.to_owned(),
            })
            .collect();
        labels.sort();
        let series = series.insert((name.to_owned(), labels), value.parse().unwrap());
        assert_eq!(series, None, "{line}");
    }
    series
}

/// The lines of `# HELP`, `# TYPE` and `# UNIT`, in their order.
fn described(page: &str) -> Vec<&str> {
    page.lines().filter(|line| line.starts_with("# ") && *line != "# EOF").collect()
}

#[test]
fn all_ways_write_the_same_names_labels_and_values() {
    let metrics = counted();
    let expected = series(&open_metrics(&metrics));
    let hostile = r#"flow="a \"fast\" one,\nof C:\\temp"#;
    assert!(expected.keys().any(|(_, labels)| labels.iter().any(|label| label == hostile)));
    for (way, page) in [
        ("prometheus-client", client(&metrics)),
        ("prometheus", prometheus(&metrics)),
        ("metrics", facade(&metrics)),
    ] {
        let found = series(&page);
        let missing: Vec<_> = expected.iter().filter(|(key, _)| !found.contains_key(key)).collect();
        assert!(missing.is_empty(), "{way} lacks {missing:?}");
        assert_eq!(found, expected, "{way}");
    }
}

#[test]
fn all_ways_describe_them_alike() {
    let metrics = counted();
    let (open, client) = (open_metrics(&metrics), client(&metrics));
    assert_eq!(described(&client), described(&open));
    assert!(client.ends_with("# EOF\n") && client.matches("# EOF").count() == 1);

    let (prometheus, facade) = (prometheus(&metrics), facade(&metrics));
    for family in metrics.snapshot().families() {
        let (kind, parts) = match family.samples[0].value {
            MetricValue::Counter(_) => ("counter", vec![("", "counter")]),
            MetricValue::Gauge(_) => ("gauge", vec![("", "gauge")]),
            MetricValue::Histogram { .. } => (
                "histogram",
                vec![("_bucket", "counter"), ("_count", "counter"), ("_sum", "gauge")],
            ),
        };
        let lines = |name: &str, kind: &str| {
            [format!("# HELP {name} {}\n", family.help), format!("# TYPE {name} {kind}\n")]
        };
        for line in lines(family.name, kind) {
            assert!(prometheus.contains(&line), "{line}");
        }
        for (part, kind) in parts {
            for line in lines(&format!("{}{part}", family.name), kind) {
                assert!(facade.contains(&line), "{line}");
            }
        }
    }
}

#[test]
fn a_registry_of_prometheus_tells_it_from_other_collectors_and_takes_it_once() {
    let metrics = counted();
    let mut with_bytes = metrics.snapshot();
    with_bytes.broadcast.max_bytes = Some(1);
    let described: Vec<_> = metrics.desc().into_iter().map(|desc| &*desc.fq_name).collect();
    let families: Vec<_> = with_bytes.families().iter().map(|family| family.name).collect();
    assert_eq!(described, families);

    let registry = Prometheus::new();
    registry.register(Box::new(metrics.clone())).unwrap();
    let again = registry.register(Box::new(MetricsRegistry::new()));
    assert!(matches!(again, Err(Error::AlreadyReg)), "{again:?}");
    registry.unregister(Box::new(metrics)).unwrap();
    assert!(registry.gather().is_empty());
}
