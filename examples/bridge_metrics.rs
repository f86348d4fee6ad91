//! What an engine counts, through the facade of the crate `metrics`.
//!
//! OpenMetrics text needs no crate: `MetricsSnapshot::to_openmetrics`.
//!
//! ```text
//! cargo run --release --example bridge_metrics
//! ```

#![expect(clippy::disallowed_types, reason = "a program of its own takes the standard library's")]

use std::{
    collections::BTreeMap,
    error::Error,
    io::{Write as _, stdout},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use gossip_engine::{FlowConfig, FlowWorker, MetricValue, MetricsRegistry};
use metrics::{
    Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit, counter, gauge,
};

/// Call it every few seconds. The facade takes no histograms that are counted already: their buckets go as counters, by
/// the names that Prometheus has for them.
fn publish(registry: &MetricsRegistry) {
    for family in registry.snapshot().families() {
        let name = family.name;
        for sample in family.samples {
            let labels = &sample.labels;
            match sample.value {
                MetricValue::Counter(count) => counter!(name, labels).absolute(count),
                MetricValue::Gauge(value) => gauge!(name, labels).set(value),
                MetricValue::Histogram { buckets, sum } => {
                    for (bound, count) in buckets {
                        let owned = labels.iter().map(|&(name, value)| (name, value.to_owned()));
                        let le = if bound.is_finite() { bound.to_string() } else { "+Inf".into() };
                        let labels = owned.chain([("le", le)]).collect::<Vec<_>>();
                        counter!(format!("{name}_bucket"), &labels).absolute(count);
                    }
                    gauge!(format!("{name}_sum"), labels).set(sum);
                }
                // A later version may have other kinds.
                _ => {}
            }
        }
    }
}

/// Keeps what it is given, in place of an exporter.
#[derive(Default)]
struct Kept(Mutex<BTreeMap<String, Arc<AtomicU64>>>);

impl Kept {
    fn word(&self, key: &Key) -> Arc<AtomicU64> {
        let labels = key.labels().map(|label| format!(" {}={}", label.key(), label.value()));
        let name = format!("{}{}", key.name(), labels.collect::<String>());
        Arc::clone(self.0.lock().expect("nothing panics here").entry(name).or_default())
    }
}

impl Recorder for Kept {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.word(key))
    }
    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.word(key))
    }
    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let engine = MetricsRegistry::new();
    let votes = FlowWorker::new("votes", &FlowConfig::new(100), &engine, |_: &String, _: u64| {})?;
    for vote in 0..10 {
        votes.execute("bern".to_owned(), vote).wait().map_err(|refused| refused.reason)?;
    }
    assert!(votes.shutdown(Duration::from_secs(60)).is_clean());

    let kept = Kept::default();
    metrics::with_local_recorder(&kept, || publish(&engine));
    let kept = kept.0.into_inner()?;
    for name in [
        "gossip_engine_messages_total flow=votes outcome=handled",
        "gossip_engine_service_time_seconds_bucket flow=votes le=+Inf",
    ] {
        let count = kept[name].load(Ordering::Relaxed);
        assert_eq!(count, 10);
        writeln!(stdout(), "{name}: {count}")?;
    }
    Ok(())
}
