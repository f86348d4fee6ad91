//! The families for `prometheus-client`; behind the feature of that name.

use std::fmt::{Error, Write};

use prometheus_client::{
    collector::Collector,
    encoding::{
        DescriptorEncoder, EncodeLabel, EncodeLabelSet, EncodeLabelValue, LabelSetEncoder,
        LabelValueEncoder, MetricEncoder, NoLabelSet,
    },
    metrics::MetricType,
    registry::Unit,
};

use crate::{MetricValue, MetricsRegistry, ledger::Escaped};

/// With the feature `prometheus-client`, the registry is a collector of `prometheus-client` 0.24: register a clone, and
/// only one, since that crate writes twice what is registered twice.
///
/// Its series are those of [`families`](crate::MetricsSnapshot::families). A scrape costs what a
/// [snapshot](MetricsRegistry::snapshot) costs, on the thread that scrapes. Two registries in one `Registry` need a
/// label each, by `sub_registry_with_label`.
///
/// The crate does not escape the values of labels, so names of flows are escaped here.
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
            // The library adds both endings itself: the unit, and that of counters.
            let name = family.name.strip_suffix("_total").unwrap_or(family.name);
            let name =
                family.unit.map_or(name, |unit| name.trim_end_matches(unit).trim_end_matches('_'));
            let unit = family.unit.map(|unit| Unit::Other(unit.to_owned()));
            let mut series = encoder.encode_descriptor(name, family.help, unit.as_ref(), kind)?;
            for sample in &family.samples {
                match sample.labels.is_empty() {
                    true => encode(&mut series, &sample.value)?,
                    false => {
                        encode(&mut series.encode_family(&Labels(&sample.labels))?, &sample.value)?
                    }
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

struct Labels<'a>(&'a [(&'static str, &'static str)]);

impl EncodeLabelSet for Labels<'_> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), Error> {
        self.0
            .iter()
            .try_for_each(|(name, value)| (*name, Escaped(value)).encode(encoder.encode_label()))
    }
}

impl EncodeLabelValue for Escaped<'_> {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), Error> {
        write!(encoder, "{self}")
    }
}
