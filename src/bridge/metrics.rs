//! The families for the facade `metrics`; behind the feature of that name.

use std::sync::Arc;

use metrics::{Key, KeyName, Label, Level, Metadata, Recorder, SharedString, Unit, with_recorder};

use crate::{MetricFamily, MetricValue, MetricsRegistry, ledger::bound_label};

const METADATA: Metadata<'static> =
    Metadata::new("gossip_engine", Level::INFO, Some("gossip_engine"));

impl MetricsRegistry {
    /// With the feature `metrics`, sets all series in the recorder of the facade `metrics` 0.24 to what they are now.
    /// Call it every few seconds, or before each scrape. Without a recorder it does nothing.
    ///
    /// Its series are those of [`families`](crate::MetricsSnapshot::families), with help texts and units. Counters are
    /// absolute. The facade takes only single values for a histogram, and a recorder may keep each of them until it is
    /// scraped. So the parts of a histogram are series of their own, by the names that Prometheus has for them:
    /// `…_bucket` with the label `le` and `…_count` are counters, and `…_sum` is a gauge. For the same reason an
    /// exporter must not change the ends of names: leave `with_recommended_naming` of `metrics-exporter-prometheus`
    /// off.
    ///
    /// It costs a [snapshot](Self::snapshot), and what the recorder takes to look up some 80 series, and 71 for each
    /// flow. One recorder shows one registry: of two, each would set the other's series.
    ///
    /// ```
    /// use gossip_engine::MetricsRegistry;
    /// use metrics_exporter_prometheus::PrometheusBuilder;
    ///
    /// let engine = MetricsRegistry::new();
    /// // … handlers are built with it …
    /// let recorder = PrometheusBuilder::new().build_recorder();
    /// let handle = recorder.handle();
    /// # // Other examples run in this process.
    /// # metrics::with_local_recorder(&recorder, || engine.publish());
    /// # let _ = || {
    /// metrics::set_global_recorder(recorder).expect("there is no other");
    /// engine.publish();
    /// # };
    /// assert!(handle.render().contains("# TYPE gossip_engine_messages_total counter\n"));
    /// ```
    pub fn publish(&self) {
        with_recorder(|recorder| {
            self.snapshot().families().iter().for_each(|family| publish(recorder, family));
        });
    }
}

fn publish(recorder: &dyn Recorder, family: &MetricFamily) {
    let unit = match family.unit {
        Some("seconds") => Some(Unit::Seconds),
        Some("bytes") => Some(Unit::Bytes),
        // The facade has no ratio.
        _ => None,
    };
    let name = KeyName::from_const_str(family.name);
    match family.samples.first().map(|sample| &sample.value) {
        Some(MetricValue::Histogram { .. }) => return publish_histogram(recorder, family, unit),
        Some(MetricValue::Counter(_)) => {
            recorder.describe_counter(name, unit, family.help.into());
        }
        Some(MetricValue::Gauge(_)) | None => {
            recorder.describe_gauge(name, unit, family.help.into());
        }
    }
    for sample in &family.samples {
        let key = Key::from_parts(family.name, labels(&sample.labels));
        match sample.value {
            MetricValue::Counter(count) => {
                recorder.register_counter(&key, &METADATA).absolute(count);
            }
            MetricValue::Gauge(value) => recorder.register_gauge(&key, &METADATA).set(value),
            // All samples are of one kind.
            MetricValue::Histogram { .. } => {}
        }
    }
}

fn publish_histogram(recorder: &dyn Recorder, family: &MetricFamily, unit: Option<Unit>) {
    let [bucket, count, sum] = ["bucket", "count", "sum"]
        .map(|part| SharedString::from_shared(Arc::from(format!("{}_{part}", family.name))));
    for name in [&bucket, &count] {
        recorder.describe_counter(name.clone().into(), None, family.help.into());
    }
    recorder.describe_gauge(sum.clone().into(), unit, family.help.into());
    let counter = |name: &SharedString, labels, count| {
        recorder
            .register_counter(&Key::from_parts(name.clone(), labels), &METADATA)
            .absolute(count);
    };
    for sample in &family.samples {
        let MetricValue::Histogram { buckets, sum: seconds } = &sample.value else { continue };
        let labels = labels(&sample.labels);
        for &(bound, count) in buckets {
            let le = Label::new("le", bound_label(bound));
            counter(&bucket, labels.iter().cloned().chain([le]).collect(), count);
        }
        counter(&count, labels.clone(), buckets.last().map_or(0, |&(_, count)| count));
        recorder.register_gauge(&Key::from_parts(sum.clone(), labels), &METADATA).set(*seconds);
    }
}

fn labels(labels: &[(&'static str, &'static str)]) -> Vec<Label> {
    labels.iter().map(|&(name, value)| Label::from_static_parts(name, value)).collect()
}
