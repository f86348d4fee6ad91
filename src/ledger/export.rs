//! The families for `prometheus-client`; behind the feature `prometheus`.

use std::fmt::Error;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet},
    metrics::MetricType,
};

use super::{MetricValue, MetricsRegistry};

/// With the feature `prometheus`, the registry is a collector of `prometheus-client` 0.24: register a clone.
///
/// Its series are those of [`families`](crate::MetricsSnapshot::families). A scrape costs what a
/// [snapshot](MetricsRegistry::snapshot) costs, on the thread that scrapes. Two registries in one `Registry` need a
/// label each, by `sub_registry_with_label`.
///
/// ```
/// use gossip_engine::MetricsRegistry;
/// use prometheus_client::{encoding::text::encode, registry::Registry};
///
/// let metrics = MetricsRegistry::new();
/// // … handlers are built with it …
/// let mut registry = Registry::default();
/// registry.register_collector(Box::new(metrics.clone()));
///
/// let mut page = String::new();
/// encode(&mut page, &registry)?;
/// assert!(page.contains(r#"gossip_engine_messages_total{flow="Broadcast",outcome="expired"} 0"#));
/// # Ok::<(), std::fmt::Error>(())
/// ```
impl Collector for MetricsRegistry {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        for family in self.snapshot().families() {
            let kind = match family.samples.first().map(|sample| &sample.value) {
                Some(MetricValue::Counter(_)) => MetricType::Counter,
                Some(MetricValue::Histogram { .. }) => MetricType::Histogram,
                Some(MetricValue::Gauge(_)) | None => MetricType::Gauge,
            };
            // The library adds the ending itself, and no unit: it is part of the name.
            let name = family.name.strip_suffix("_total").unwrap_or(family.name);
            let mut series = encoder.encode_descriptor(name, family.help, None, kind)?;
            for sample in &family.samples {
                match sample.labels.is_empty() {
                    true => encode(&mut series, &sample.value)?,
                    false => encode(
                        &mut series.encode_family(&sample.labels.as_slice())?,
                        &sample.value,
                    )?,
                }
            }
        }
        Ok(())
    }
}

fn encode(to: &mut MetricEncoder<'_>, value: &MetricValue) -> Result<(), Error> {
    match value {
        MetricValue::Counter(count) => to.encode_counter::<NoLabelSet, u64, u64>(count, None),
        MetricValue::Gauge(value) => to.encode_gauge(value),
        MetricValue::Histogram { buckets, sum } => {
            let mut below = 0;
            let each: Vec<_> = buckets
                .iter()
                // The library takes the largest number for infinity, and adds up.
                .map(|&(bound, count)| {
                    (bound.min(f64::MAX), count - std::mem::replace(&mut below, count))
                })
                .collect();
            to.encode_histogram::<NoLabelSet>(*sum, below, &each, None)
        }
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;
