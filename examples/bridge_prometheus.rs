//! What an engine counts, in a registry of the crate `prometheus`.
//!
//! OpenMetrics text needs no crate (`MetricsSnapshot::to_openmetrics`), and for `prometheus-client` the registry is a
//! collector, with the feature `prometheus`.
//!
//! ```text
//! cargo run --release --example bridge_prometheus
//! ```

use std::{
    error::Error,
    io::{Write as _, stdout},
    time::Duration,
};

use gossip_engine::{FlowConfig, FlowWorker, MetricValue, MetricsRegistry};
use prometheus::{
    TextEncoder,
    core::{Collector, Desc},
    proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType},
};

/// Register it once.
struct EngineCollector(MetricsRegistry);

impl Collector for EngineCollector {
    fn desc(&self) -> Vec<&Desc> {
        Vec::new()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut collected = Vec::new();
        for family in self.0.snapshot().families() {
            let mut of = MetricFamily::default();
            of.set_name(family.name.to_owned());
            of.set_help(family.help.to_owned());
            for sample in family.samples {
                let labels = sample.labels.into_iter().map(|(name, value)| {
                    let mut label = LabelPair::default();
                    label.set_name(name.to_owned());
                    label.set_value(value.to_owned());
                    label
                });
                let mut metric = Metric::from_label(labels.collect());
                of.set_field_type(set(&mut metric, sample.value));
                of.mut_metric().push(metric);
            }
            collected.push(of);
        }
        collected
    }
}

fn set(metric: &mut Metric, value: MetricValue) -> MetricType {
    match value {
        MetricValue::Counter(count) => {
            let mut counter = Counter::default();
            counter.set_value(count as f64);
            metric.set_counter(counter);
            MetricType::COUNTER
        }
        MetricValue::Gauge(value) => {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
            MetricType::GAUGE
        }
        MetricValue::Histogram { buckets, sum } => {
            let mut histogram = Histogram::default();
            histogram.set_sample_count(buckets.last().map_or(0, |&(_, count)| count));
            histogram.set_sample_sum(sum);
            // The crate adds the infinite one itself.
            let finite = buckets.into_iter().filter(|(bound, _)| bound.is_finite());
            let buckets = finite.map(|(bound, count)| {
                let mut bucket = Bucket::default();
                bucket.set_upper_bound(bound);
                bucket.set_cumulative_count(count);
                bucket
            });
            histogram.set_bucket(buckets.collect());
            metric.set_histogram(histogram);
            MetricType::HISTOGRAM
        }
        // A later version may have other kinds.
        _ => MetricType::UNTYPED,
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let engine = MetricsRegistry::new();
    let registry = prometheus::Registry::new();
    registry.register(Box::new(EngineCollector(engine.clone())))?;

    let votes = FlowWorker::new("votes", &FlowConfig::new(100), &engine, |_: &String, _: u64| {})?;
    for vote in 0..10 {
        votes.execute("bern".to_owned(), vote).wait().map_err(|refused| refused.reason)?;
    }
    assert!(votes.shutdown(Duration::from_secs(60)).is_clean());

    let text = TextEncoder::new().encode_to_string(&registry.gather())?;
    for line in [
        r#"gossip_engine_messages_total{flow="votes",outcome="handled"} 10"#,
        r#"gossip_engine_service_time_seconds_bucket{flow="votes",le="+Inf"} 10"#,
    ] {
        assert!(text.lines().any(|shown| shown == line), "{text}");
        writeln!(stdout(), "{line}")?;
    }
    Ok(())
}
