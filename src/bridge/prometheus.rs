//! The families for the crate `prometheus`; behind the feature of that name.

use std::{collections::HashMap, sync::LazyLock};

use prometheus::{
    core::{Collector, Desc},
    proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType},
};

use crate::{MetricValue, MetricsRegistry};

/// What the crate distinguishes collectors by. Two without descriptions are equal to it.
static DESCRIPTIONS: LazyLock<Vec<Desc>> = LazyLock::new(|| {
    let mut snapshot = MetricsRegistry::new().snapshot();
    // The family that only some engines have is described as well.
    snapshot.broadcast.max_bytes = Some(0);
    let described = snapshot.families().into_iter().filter_map(|family| {
        let labels = family.samples.first().into_iter().flat_map(|sample| &sample.labels);
        let labels = labels.map(|(name, _)| (*name).to_owned()).collect();
        // Each of them is valid, as a test says.
        Desc::new(family.name.to_owned(), family.help.to_owned(), labels, HashMap::new()).ok()
    });
    described.collect()
});

/// With the feature `prometheus`, the registry is a collector of `prometheus` 0.14: register a clone.
///
/// Its series are those of [`families`](crate::MetricsSnapshot::families). To gather them costs what a
/// [snapshot](MetricsRegistry::snapshot) costs, on the thread that gathers. All registries describe themselves alike:
/// the second one in a `Registry` is refused as `AlreadyReg`. Put it into another `Registry`, made by `new_custom` with
/// a label.
///
/// ```
/// use gossip_engine::MetricsRegistry;
/// use prometheus::{Registry, TextEncoder};
///
/// let metrics = MetricsRegistry::new();
/// // … handlers are built with it …
/// let registry = Registry::new();
/// registry.register(Box::new(metrics.clone()))?;
///
/// let page = TextEncoder::new().encode_to_string(&registry.gather())?;
/// assert!(page.contains(r#"gossip_engine_messages_total{flow="Broadcast",outcome="expired"} 0"#));
/// # Ok::<(), prometheus::Error>(())
/// ```
impl Collector for MetricsRegistry {
    fn desc(&self) -> Vec<&Desc> {
        DESCRIPTIONS.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let families = self.snapshot().families().into_iter();
        let collected = families.map(|family| {
            let mut collected = MetricFamily::default();
            collected.set_name(family.name.to_owned());
            collected.set_help(family.help.to_owned());
            for sample in family.samples {
                let (kind, metric) = metric(&sample.labels, sample.value);
                collected.set_field_type(kind);
                collected.mut_metric().push(metric);
            }
            collected
        });
        collected.collect()
    }
}

fn metric(labels: &[(&'static str, &'static str)], value: MetricValue) -> (MetricType, Metric) {
    let labels = labels.iter().map(|(name, value)| {
        let mut label = LabelPair::default();
        label.set_name((*name).to_owned());
        label.set_value((*value).to_owned());
        label
    });
    let mut metric = Metric::from_label(labels.collect());
    let kind = match value {
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
            // The library adds the infinite one itself.
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
    };
    (kind, metric)
}
