//! What the registry has counted, for Prometheus; behind the feature `prometheus`.
//!
//! Each scrape takes one [snapshot](MetricsRegistry::snapshot) on the thread that scrapes; like it, a scrape
//! under load is blurred by what is under way, but no counter ever falls.
//! The number of series is fixed: labels are flows, ends and destinations, and no peer ever makes another.

use std::{fmt::Error, time::Duration};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet},
    metrics::MetricType,
    registry::Unit,
};
use strum::IntoEnumIterator;

use super::{DestinationKind, FlowSnapshot, MetricsRegistry, MetricsSnapshot};
use crate::{LatencySnapshot, Outcome};

/// The upper bounds of the exported buckets in nanoseconds: 1 and 5 of each power of ten, from 1 µs to 10 s.
/// What is longer is in the last bucket only.
const BOUNDS: [u64; 15] = [
    1_000,
    5_000,
    10_000,
    50_000,
    100_000,
    500_000,
    1_000_000,
    5_000_000,
    10_000_000,
    50_000_000,
    100_000_000,
    500_000_000,
    1_000_000_000,
    5_000_000_000,
    10_000_000_000,
];

/// A name, what it says, and where it is found.
type Family<S, T> = (&'static str, &'static str, fn(&S) -> T);

const OF_ALL: [Family<MetricsSnapshot, u64>; 7] = [
    ("gossip_events_received", "Events that the handlers were called with", |all| all.received),
    ("gossip_events_malformed", "Payloads that were no messages", |all| all.malformed),
    ("gossip_events_unknown", "Payloads that were messages of a later version", |all| all.unknown),
    ("gossip_events_quarantined", "Payloads of peers in quarantine", |all| all.quarantined),
    ("gossip_notices", "Events of the engine's own", |all| all.notices),
    ("gossip_timer_ticks", "Calls of the replica's timer", |all| all.timer_ticks),
    ("gossip_timer_panics", "Calls of the replica's timer that panicked", |all| all.timer_panics),
];

const COUNTERS: [Family<FlowSnapshot, u64>; 4] = [
    ("gossip_messages_admitted", "Messages that got a permit", |flow| flow.admitted),
    ("gossip_messages_waited", "Messages that found no capacity at first, and waited", |flow| {
        flow.waiting_for_peer_permit
    }),
    ("gossip_stray_panics", "Panics on the flow's threads outside of messages", |flow| {
        flow.stray_panics
    }),
    ("gossip_stuck_handlers", "Handlers that ran for longer than they should", |flow| flow.stuck),
];

const GAUGES: [Family<FlowSnapshot, u64>; 6] = [
    ("gossip_messages_in_flight", "Messages admitted and not finished", |flow| {
        flow.in_flight as u64
    }),
    ("gossip_messages_queued", "Messages in flight that no worker has taken up", |flow| {
        flow.queued as u64
    }),
    ("gossip_messages_held", "Messages whose slots are held", |flow| flow.held as u64),
    ("gossip_messages_waiting", "Submitters that wait for capacity", |flow| flow.waiting as u64),
    ("gossip_messages_in_flight_max", "The most messages that were seen in flight", |flow| {
        flow.high_water as u64
    }),
    ("gossip_live_workers", "Threads of the flow that are alive", |flow| flow.live_workers as u64),
];

/// Gauges that are no whole numbers, or have a unit, which becomes part of the name.
const MEASURES: [Family<FlowSnapshot, (Unit, f64)>; 3] = [
    ("gossip_in_flight", "Bytes in flight, of a flow that is bounded in bytes", |flow| {
        (Unit::Bytes, flow.bytes_in_flight as f64)
    }),
    ("gossip_oldest_message_age", "How long the oldest queued message has waited", |flow| {
        (Unit::Seconds, flow.oldest_age.as_secs_f64())
    }),
    ("gossip_overload", "How near the flow is to pushing back or dropping, 0 to 1", |flow| {
        (Unit::Other("ratio".to_owned()), f64::from(flow.overload) / 100.0)
    }),
];

type Times = fn(&FlowSnapshot) -> &LatencySnapshot;

const HISTOGRAMS: [(&str, &str, Times); 2] = [
    ("gossip_message_wait", "From a message's call to the start of its handler", |flow| &flow.wait),
    ("gossip_message_service", "From the start of a handler to its end", |flow| &flow.service),
];

/// Every flow, and the replica's own adverts on their way out, with the value of the label `flow`.
fn flows(all: &MetricsSnapshot) -> impl Iterator<Item = (&'static str, &FlowSnapshot)> {
    all.flows().chain([("Broadcast", &all.broadcast)])
}

fn counter(mut to: MetricEncoder<'_>, count: u64) -> Result<(), Error> {
    to.encode_counter::<NoLabelSet, u64, u64>(&count, None)
}

fn histogram(mut to: MetricEncoder<'_>, times: &LatencySnapshot) -> Result<(), Error> {
    let seconds = BOUNDS.map(|bound| Duration::from_nanos(bound).as_secs_f64());
    // The library takes the largest number for infinity.
    let seconds = seconds.into_iter().chain([f64::MAX]);
    let buckets: Vec<(f64, u64)> = seconds.zip(times.counts_up_to(&BOUNDS)).collect();
    to.encode_histogram::<NoLabelSet>(times.sum_in_seconds(), times.count(), &buckets, None)
}

/// With the feature `prometheus`, the registry is a collector of `prometheus-client` 0.24: register a clone.
///
/// | series | type | labels |
/// |---|---|---|
/// | `gossip_events_received_total`, `gossip_events_malformed_total`, `gossip_events_unknown_total`, `gossip_events_quarantined_total`, `gossip_notices_total`, `gossip_timer_ticks_total`, `gossip_timer_panics_total` | counter | |
/// | `gossip_messages_ended_total` | counter | `flow`, `end`: the names of [`Outcome`] |
/// | `gossip_messages_admitted_total`, `gossip_messages_waited_total`, `gossip_stray_panics_total`, `gossip_stuck_handlers_total` | counter | `flow` |
/// | `gossip_adverts_dropped_total` | counter | `destination`: the names of [`DestinationKind`] |
/// | `gossip_messages_in_flight`, `gossip_messages_queued`, `gossip_messages_held`, `gossip_messages_waiting`, `gossip_messages_in_flight_max`, `gossip_live_workers` | gauge | `flow` |
/// | `gossip_in_flight_bytes`, `gossip_oldest_message_age_seconds`, `gossip_overload_ratio` (0 to 1) | gauge | `flow` |
/// | `gossip_message_wait_seconds`, `gossip_message_service_seconds` | histogram | `flow` |
///
/// What they count is what the fields of [`FlowSnapshot`] and [`MetricsSnapshot`] say. `flow` is the name of a
/// flow that was built, or `Broadcast` for the replica's own adverts on their way out. Buckets end at 1 and 5 of each
/// power of ten from 1 µs to 10 s, and are right to two significant digits. There are as many series with ten
/// thousand peers as with none. A scrape costs what a [snapshot](MetricsRegistry::snapshot) costs, on the
/// thread that scrapes. Two registries in one `Registry` need a label each, by `sub_registry_with_label`.
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
/// assert!(page.contains(r#"gossip_messages_ended_total{flow="Broadcast",end="expired"} 0"#));
/// # Ok::<(), std::fmt::Error>(())
/// ```
impl Collector for MetricsRegistry {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let all = self.snapshot();
        let all = &all;
        for (name, help, of) in OF_ALL {
            counter(encoder.encode_descriptor(name, help, None, MetricType::Counter)?, of(all))?;
        }

        let (name, help) = ("gossip_messages_ended", "Messages by how they ended");
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (flow, counts) in flows(all) {
            for end in Outcome::iter() {
                let labels = [("flow", flow), ("end", end.into())];
                counter(family.encode_family(&labels)?, counts.count(end))?;
            }
        }

        let (name, help) =
            ("gossip_adverts_dropped", "The replica's own adverts that were not broadcast");
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for kind in DestinationKind::iter() {
            let labels: [(&str, &str); 1] = [("destination", kind.into())];
            counter(family.encode_family(&labels)?, all.dropped_adverts(kind))?;
        }

        for (name, help, of) in COUNTERS {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (flow, counts) in flows(all) {
                counter(family.encode_family(&[("flow", flow)])?, of(counts))?;
            }
        }

        for (name, help, of) in GAUGES {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (flow, counts) in flows(all) {
                family.encode_family(&[("flow", flow)])?.encode_gauge(&of(counts))?;
            }
        }

        for (name, help, of) in MEASURES {
            let (unit, _) = of(&all.broadcast);
            let mut family =
                encoder.encode_descriptor(name, help, Some(&unit), MetricType::Gauge)?;
            for (flow, counts) in flows(all) {
                family.encode_family(&[("flow", flow)])?.encode_gauge(&of(counts).1)?;
            }
        }

        for (name, help, of) in HISTOGRAMS {
            let (unit, kind) = (&Unit::Seconds, MetricType::Histogram);
            let mut family = encoder.encode_descriptor(name, help, Some(unit), kind)?;
            for (flow, counts) in flows(all) {
                histogram(family.encode_family(&[("flow", flow)])?, of(counts))?;
            }
        }
        Ok(())
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;
