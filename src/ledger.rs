//! What is counted, and how to read it while messages flow. The ledger bounds nothing.
//!
//! Each flow of each handler has a ledger of its own. It is registered with the [`MetricsRegistry`] that the handler
//! was built with, which adds them up. Counting never waits, locks or allocates. A snapshot that is taken while
//! messages flow may be torn; one taken at rest is exact.
//!
//! What is admitted and in flight is counted by the queue, whose bound it is, so that a count cannot disagree with the
//! bound ([`Gauges`]). What a worker counts, it counts on cache lines of its own, without a locked instruction.
//!
//! Every event comes to exactly one [`Outcome`](crate::Outcome), or is malformed or unknown; how the counts add up is
//! what [`MetricsSnapshot::verify`] checks.

use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use strum::{Display, EnumCount, EnumIter, IntoStaticStr};

use crate::{
    ArtifactDestination,
    sync::{AtomicU64, Ordering, fence},
};

mod advice;
mod families;
mod flow_ledger;
#[cfg(feature = "serde")]
mod forms;
mod high_water;
mod latency;
mod open_metrics;
mod recent;
mod show;
mod snapshot;
mod worker_ledger;

pub use advice::Advice;
pub(crate) use advice::{Amount, Usage};
pub use families::{MetricFamily, MetricSample, MetricValue};
pub(crate) use flow_ledger::{FlowLedger, Gauges, Load};
pub use latency::LatencySnapshot;
#[cfg(feature = "prometheus-client")]
pub(crate) use open_metrics::Escaped;
#[cfg(feature = "metrics")]
pub(crate) use open_metrics::bound_label;
pub(crate) use recent::{Entry, LANE_BITS, Taken};
pub use snapshot::{FlowSnapshot, LedgerError, MetricsSnapshot};
pub(crate) use worker_ledger::WorkerLedger;

/// Where a dropped advert was to go: in snake_case, the label under which it is counted.
#[derive(
    Clone,
    Copy,
    Debug,
    Display,
    EnumCount,
    EnumIter,
    Eq,
    Hash,
    IntoStaticStr,
    Ord,
    PartialEq,
    PartialOrd,
)]
#[strum(serialize_all = "snake_case")]
pub enum DestinationKind {
    /// [`ArtifactDestination::AllReplicas`].
    AllReplicas,
    /// [`ArtifactDestination::Replicas`].
    Replicas,
}

impl From<&ArtifactDestination> for DestinationKind {
    fn from(destination: &ArtifactDestination) -> Self {
        match destination {
            ArtifactDestination::AllReplicas => Self::AllReplicas,
            ArtifactDestination::Replicas(_) => Self::Replicas,
        }
    }
}

/// Counts events. Relaxed, but for the ends of messages, some of which are part of the bound: a count orders
/// nothing; what orders it for a reader at rest is the permit that comes back after it.
#[derive(Debug, Default)]
struct Counter(AtomicU64);

impl Counter {
    fn increment(&self) {
        self.add(1);
    }

    fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// All flows of one name that were ever registered.
#[derive(Clone, Default)]
struct Registrations {
    /// The sum of those that are gone, so that registering again and again takes no more memory.
    gone: FlowSnapshot,
    current: Vec<Arc<FlowLedger>>,
}

impl Registrations {
    fn with(&self, metrics: &Arc<FlowLedger>) -> Self {
        let mut next = Self { gone: self.gone.clone(), current: vec![Arc::clone(metrics)] };
        for metrics in &self.current {
            // Nobody else holds the metrics, so nobody counts any more. (The flow itself may be gone
            // a little earlier, while it still counts what it drops.)
            if Arc::strong_count(metrics) == 1 {
                // Acquire: what was counted before the last holder let go is seen.
                fence(Ordering::Acquire);
                // Of a flow that is gone nothing is in flight: of its mark nothing stays.
                next.gone.merge(&FlowSnapshot { high_water: 0, ..metrics.snapshot() });
            } else {
                next.current.push(Arc::clone(metrics));
            }
        }
        next
    }

    fn snapshot(&self) -> FlowSnapshot {
        self.current.iter().fold(self.gone.clone(), |mut sum, metrics| {
            sum.merge(&metrics.snapshot());
            sum
        })
    }
}

/// Who keeps peers in quarantine.
pub(crate) trait Quarantines: Send + Sync {
    /// How many, at the moment.
    fn peers_in_quarantine(&self) -> usize;
}

#[derive(Default)]
struct Shared {
    received: Counter,
    malformed: Counter,
    quarantined: Counter,
    unknown: Counter,
    notices: Counter,
    timer_ticks: Counter,
    timer_panics: Counter,
    /// In the order in which the names came. A program has as many as it has flows.
    flows: ArcSwap<Vec<(&'static str, Registrations)>>,
    broadcast: ArcSwap<Registrations>,
    /// Of the handlers that are there. Those that are gone leave when another comes.
    quarantines: ArcSwap<Vec<Weak<dyn Quarantines>>>,
    dropped_adverts: [Counter; DestinationKind::COUNT],
}

/// Where handlers, broadcasters and timers count; one per replica, or one for several whose counts
/// are to be added up. Clones are the same registry.
///
/// ```
/// use gossip_engine::{FlowType, MetricsRegistry};
///
/// let registry = MetricsRegistry::new();
/// // … handlers are built with it and messages flow …
/// let adverts = registry.snapshot().flow(FlowType::Advert).clone();
/// println!(
///     "{} adverts handled, p99 of the wait {:?}",
///     adverts.handled(),
///     adverts.wait.quantile(0.99),
/// );
/// ```
#[derive(Clone, Default)]
pub struct MetricsRegistry {
    shared: Arc<Shared>,
}

impl MetricsRegistry {
    /// An empty registry.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// All counts and histograms as they are now. Takes some tens of microseconds for each flow of
    /// three threads, and looks at each lane of a flow that has messages; it stops nobody.
    #[must_use]
    pub fn snapshot(&self) -> MetricsSnapshot {
        let shared = &*self.shared;
        MetricsSnapshot {
            flows: shared
                .flows
                .load()
                .iter()
                .map(|(name, flow)| (*name, flow.snapshot()))
                .collect(),
            broadcast: shared.broadcast.load().snapshot(),
            dropped_adverts: std::array::from_fn(|kind| shared.dropped_adverts[kind].get()),
            received: shared.received.get(),
            malformed: shared.malformed.get(),
            quarantined: shared.quarantined.get(),
            unknown: shared.unknown.get(),
            quarantined_peers: shared
                .quarantines
                .load()
                .iter()
                .filter_map(Weak::upgrade)
                .map(|of| of.peers_in_quarantine())
                .sum(),
            notices: shared.notices.get(),
            timer_ticks: shared.timer_ticks.get(),
            timer_panics: shared.timer_panics.get(),
        }
    }

    /// A flow of this name counts here from now on.
    pub(crate) fn register(&self, name: &'static str, ledger: &Arc<FlowLedger>) {
        self.shared.flows.rcu(|current| {
            let is_known = current.iter().any(|(other, _)| *other == name);
            let with = |(other, flows): &(&'static str, Registrations)| match *other == name {
                true => (name, flows.with(ledger)),
                false => (*other, flows.clone()),
            };
            let first = (!is_known).then(|| (name, Registrations::default().with(ledger)));
            current.iter().map(with).chain(first).collect::<Vec<_>>()
        });
    }

    /// Adverts of the replica's own, on their way out, are counted here from now on.
    pub(crate) fn register_broadcast(&self, ledger: &Arc<FlowLedger>) {
        self.shared.broadcast.rcu(|current| current.with(ledger));
    }

    /// A handler keeps peers in quarantine.
    pub(crate) fn register_quarantines(&self, quarantines: Weak<dyn Quarantines>) {
        self.shared.quarantines.rcu(|current| {
            let present = current.iter().filter(|of| of.strong_count() > 0);
            present.chain([&quarantines]).cloned().collect::<Vec<_>>()
        });
    }

    /// So many events have come.
    pub(crate) fn received(&self, events: u64) {
        self.shared.received.add(events);
    }

    /// A payload was no message.
    pub(crate) fn malformed(&self) {
        self.shared.malformed.increment();
    }

    /// A payload was a message of a later version.
    pub(crate) fn unknown(&self) {
        self.shared.unknown.increment();
    }

    /// A payload of a peer in quarantine was refused.
    pub(crate) fn quarantined(&self) {
        self.shared.quarantined.increment();
    }

    /// The engine submits an event of its own.
    pub(crate) fn notice(&self) {
        self.shared.notices.increment();
    }

    /// The timer has called the replica.
    pub(crate) fn timer_tick(&self, panicked: bool) {
        self.shared.timer_ticks.increment();
        if panicked {
            self.shared.timer_panics.increment();
        }
    }

    /// An advert of the replica's own will not be broadcast.
    pub(crate) fn dropped_advert(&self, destination: DestinationKind) {
        self.shared.dropped_adverts[destination as usize].increment();
    }
}

impl std::fmt::Debug for MetricsRegistry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MetricsRegistry").finish_non_exhaustive()
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;
