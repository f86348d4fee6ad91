//! The one list of what a monitoring system is shown: names, help texts, labels and values.
//!
//! Names begin with `gossip_engine_`. Labels are the flow's name as it was given, and outcomes and destinations in
//! snake_case: no peer, message or address makes a series.

use std::time::Duration;

use strum::IntoEnumIterator;

use self::MetricValue::{Counter, Gauge};
use super::{DestinationKind, FlowSnapshot, LatencySnapshot, MetricsSnapshot};

/// The upper bounds of a histogram's buckets in nanoseconds: 1 and 5 of each power of ten, from 1 µs to 10 s. What
/// took longer is in the last bucket only.
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

/// Series of one name, of which each has other labels: see [`MetricsSnapshot::families`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct MetricFamily {
    /// Begins with `gossip_engine_`. That of counters ends in `_total`, and one with a unit in the unit. The samples
    /// of a histogram add `_bucket`, `_sum` and `_count`.
    pub name: &'static str,
    /// What it says, in a few words.
    pub help: &'static str,
    /// `seconds`, `bytes` or `ratio`.
    pub unit: Option<&'static str>,
    /// At least one. All are of one kind.
    pub samples: Vec<MetricSample>,
}

/// A value and its labels.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct MetricSample {
    /// Names and values of labels. Values are not escaped.
    pub labels: Vec<(&'static str, &'static str)>,
    /// What was counted or measured.
    pub value: MetricValue,
}

/// What a sample says. Its kind is that of the family.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum MetricValue {
    /// A count that never falls.
    Counter(u64),
    /// What is so at the moment.
    Gauge(f64),
    /// How often something took how long.
    Histogram {
        /// Upper bounds in seconds, ascending, and how often it took no longer. The last bound is infinite, and its
        /// count is that of all.
        buckets: Vec<(f64, u64)>,
        /// All of them together, in seconds.
        sum: f64,
    },
}

/// A family's name, its help, and what it says of a snapshot.
type Family<S, T> = (&'static str, &'static str, fn(&S) -> T);

const OF_ALL: [Family<MetricsSnapshot, u64>; 7] = [
    ("gossip_engine_events_received_total", "Events that the handlers were called with", |all| {
        all.received
    }),
    ("gossip_engine_events_malformed_total", "Payloads that were no messages", |all| all.malformed),
    ("gossip_engine_events_unknown_total", "Payloads of a later version", |all| all.unknown),
    ("gossip_engine_events_quarantined_total", "Payloads of peers in quarantine", |all| {
        all.quarantined
    }),
    ("gossip_engine_notices_total", "Events of the engine's own", |all| all.notices),
    ("gossip_engine_timer_ticks_total", "Calls of the replica's timer", |all| all.timer_ticks),
    ("gossip_engine_timer_panics_total", "Calls of the replica's timer that panicked", |all| {
        all.timer_panics
    }),
];

const COUNTERS: [Family<FlowSnapshot, u64>; 4] = [
    ("gossip_engine_messages_admitted_total", "Messages that found capacity", |flow| flow.admitted),
    ("gossip_engine_messages_waited_total", "Messages that waited for capacity", |flow| {
        flow.waiting_for_peer_permit
    }),
    (
        "gossip_engine_stray_panics_total",
        "Panics on the flow's threads outside of messages",
        |flow| flow.stray_panics,
    ),
    (
        "gossip_engine_stuck_handlers_total",
        "Handlers that ran for longer than they should",
        |flow| flow.stuck,
    ),
];

const GAUGES: [Family<FlowSnapshot, usize>; 14] = [
    ("gossip_engine_messages_in_flight", "Messages admitted and not finished", |flow| {
        flow.in_flight
    }),
    (
        "gossip_engine_messages_in_flight_high_water",
        "The most that were in flight of late",
        |flow| flow.high_water,
    ),
    ("gossip_engine_messages_in_flight_limit", "The most that may be in flight", |flow| {
        flow.max_in_flight
    }),
    ("gossip_engine_messages_queued", "Messages in flight that no worker has taken up", |flow| {
        flow.queued
    }),
    ("gossip_engine_messages_held", "Messages in flight whose slots are held", |flow| flow.held),
    ("gossip_engine_permits_held", "Permits in flight of services that are ready", |flow| {
        flow.permits
    }),
    ("gossip_engine_messages_waiting", "Submitters that wait for capacity", |flow| flow.waiting),
    (
        "gossip_engine_in_flight_bytes",
        "Bytes in flight, of a flow that is bounded in bytes",
        |flow| flow.bytes_in_flight,
    ),
    ("gossip_engine_peers", "Peers that have a lane", |flow| flow.peers),
    ("gossip_engine_peers_limit", "The most peers that may have a lane", |flow| flow.max_peers),
    ("gossip_engine_peer_messages_in_flight_limit", "The most of one peer in flight", |flow| {
        flow.peer_quota
    }),
    ("gossip_engine_peer_messages_waiting_limit", "The most that wait for one peer", |flow| {
        flow.max_waiters
    }),
    ("gossip_engine_threads", "Threads that the flow was built with", |flow| flow.threads),
    ("gossip_engine_threads_alive", "Threads of the flow that are alive", |flow| flow.live_workers),
];

const MEASURES: [Family<FlowSnapshot, f64>; 2] = [
    ("gossip_engine_oldest_message_age_seconds", "Wait of the oldest queued message", |flow| {
        flow.oldest_age.as_secs_f64()
    }),
    ("gossip_engine_overload_ratio", "How near to pushing back or dropping, 0 to 1", |flow| {
        f64::from(flow.overload) / 100.0
    }),
];

const TIMES: [Family<FlowSnapshot, MetricValue>; 2] = [
    ("gossip_engine_queue_delay_seconds", "From a message's call to its handler's start", |flow| {
        histogram(&flow.wait)
    }),
    ("gossip_engine_service_time_seconds", "From a handler's start to its end", |flow| {
        histogram(&flow.service)
    }),
];

fn histogram(times: &LatencySnapshot) -> MetricValue {
    let seconds = BOUNDS.map(|bound| Duration::from_nanos(bound).as_secs_f64());
    let mut count = 0;
    let counts = times.counts_up_to(&BOUNDS).into_iter().map(|more| {
        count += more;
        count
    });
    let buckets = seconds.into_iter().chain([f64::INFINITY]).zip(counts).collect();
    MetricValue::Histogram { buckets, sum: times.sum_in_seconds() }
}

type Labels = Vec<(&'static str, &'static str)>;

fn family(
    name: &'static str,
    help: &'static str,
    samples: impl Iterator<Item = (Labels, MetricValue)>,
) -> MetricFamily {
    let units = ["seconds", "bytes", "ratio"];
    let unit = units.into_iter().find(|unit| name.rsplit('_').next() == Some(unit));
    let samples = samples.map(|(labels, value)| MetricSample { labels, value }).collect();
    MetricFamily { name, help, unit, samples }
}

impl MetricsSnapshot {
    /// All that was counted, as a monitoring system is shown it: the series that
    /// [`to_openmetrics`](Self::to_openmetrics) writes, as data for other ways to it.
    ///
    /// Each name begins with `gossip_engine_`, which is left out here:
    ///
    /// | series | kind | labels |
    /// |---|---|---|
    /// | `events_received_total`, `events_malformed_total`, `events_unknown_total` | counter | |
    /// | `events_quarantined_total`, `notices_total`, `timer_ticks_total`, `timer_panics_total` | counter | |
    /// | `adverts_dropped_total` | counter | `destination`: the names of [`DestinationKind`] |
    /// | `messages_total` | counter | `flow`, `outcome`: the names of [`Outcome`](crate::Outcome) |
    /// | `messages_admitted_total`, `messages_waited_total` | counter | `flow` |
    /// | `stray_panics_total`, `stuck_handlers_total` | counter | `flow` |
    /// | `peers_quarantined` | gauge | |
    /// | `build_info`, always 1 | gauge | `version` |
    /// | `messages_in_flight`, `messages_in_flight_high_water`, `messages_in_flight_limit` | gauge | `flow` |
    /// | `messages_queued`, `messages_held`, `messages_waiting`, `permits_held` | gauge | `flow` |
    /// | `in_flight_bytes`; `in_flight_limit_bytes` of flows that are bounded in bytes | gauge | `flow` |
    /// | `peers`, `peers_limit` | gauge | `flow` |
    /// | `peer_messages_in_flight_limit`, `peer_messages_waiting_limit` | gauge | `flow` |
    /// | `threads`, `threads_alive` | gauge | `flow` |
    /// | `oldest_message_age_seconds`, `overload_ratio` (0 to 1) | gauge | `flow` |
    /// | `queue_delay_seconds`, `service_time_seconds` | histogram | `flow` |
    ///
    /// `flow` is the name of a flow as it was given, or `Broadcast` for the replica's own adverts on their way out. The
    /// fields of [`FlowSnapshot`] and [`MetricsSnapshot`] say what the series mean. Buckets end at 1 and 5 of each
    /// power of ten from 1 µs to 10 s, and are right to two significant digits. There are as many series with ten
    /// thousand peers as with none.
    ///
    /// The features `prometheus-client`, `prometheus` and `metrics` hand them to the crates of these names; examples
    /// are `bridge_prometheus_client` and so on.
    #[must_use]
    pub fn families(&self) -> Vec<MetricFamily> {
        let counter = |count| [(vec![], Counter(count))].into_iter();
        let mut families: Vec<_> =
            OF_ALL.iter().map(|&(name, help, of)| family(name, help, counter(of(self)))).collect();

        let (name, help) = ("gossip_engine_peers_quarantined", "Peers in quarantine");
        let quarantined = Gauge(self.quarantined_peers as f64);
        families.push(family(name, help, [(vec![], quarantined)].into_iter()));

        let (name, help) = ("gossip_engine_build_info", "The engine that is linked");
        let version = vec![("version", env!("CARGO_PKG_VERSION"))];
        families.push(family(name, help, [(version, Gauge(1.0))].into_iter()));

        let help = "The replica's own adverts that were not broadcast";
        let dropped = DestinationKind::iter()
            .map(|kind| (vec![("destination", kind.into())], Counter(self.dropped_adverts(kind))));
        families.push(family("gossip_engine_adverts_dropped_total", help, dropped));

        let flows = || self.flows().chain([("Broadcast", &self.broadcast)]);
        let outcomes = flows().flat_map(|(flow, counts)| {
            counts.outcomes().map(move |(outcome, count)| {
                (vec![("flow", flow), ("outcome", outcome.into())], Counter(count))
            })
        });
        families.push(family(
            "gossip_engine_messages_total",
            "Messages by their outcome",
            outcomes,
        ));

        let help = "The most bytes that may be in flight";
        let bounded = flows().filter_map(|(flow, counts)| {
            Some((vec![("flow", flow)], Gauge(counts.max_bytes? as f64)))
        });
        families.push(family("gossip_engine_in_flight_limit_bytes", help, bounded));
        // None may be bounded.
        families.retain(|family| !family.samples.is_empty());

        let mut of_flows = |name, help, of: &dyn Fn(&FlowSnapshot) -> MetricValue| {
            let samples = flows().map(|(flow, counts)| (vec![("flow", flow)], of(counts)));
            families.push(family(name, help, samples));
        };
        for (name, help, of) in COUNTERS {
            of_flows(name, help, &|flow| Counter(of(flow)));
        }
        for (name, help, of) in GAUGES {
            of_flows(name, help, &|flow| Gauge(of(flow) as f64));
        }
        for (name, help, of) in MEASURES {
            of_flows(name, help, &|flow| Gauge(of(flow)));
        }
        for (name, help, of) in TIMES {
            of_flows(name, help, &of);
        }
        families
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;
