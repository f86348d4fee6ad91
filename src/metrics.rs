//! What is counted, and how to read it while messages flow.
//!
//! Each flow of each handler has counters and histograms of its own. They are registered with the
//! [`MetricsRegistry`] that the handler was built with, which adds them up. Counting never waits,
//! locks or allocates, and reading stops nobody: a snapshot taken while messages flow is a little
//! blurred, one taken at rest is exact.
//!
//! Every event ends up in exactly one place. At rest, over all flows,
//!
//! - `received = malformed + Σ (admitted + refused + gave up)`, and in each flow
//! - `admitted = handled + panicked + dropped`, with `in flight` and `waiting` both 0.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use arc_swap::ArcSwap;
use strum::{Display, EnumCount, EnumIter, IntoStaticStr};

use crate::{
    ArtifactDestination, FlowType, RefusalReason,
    latency::{LatencySnapshot, Recorder},
    sync::{AtomicU64, Ordering, fence},
};

mod snapshot;

pub use snapshot::{FlowSnapshot, MetricsSnapshot};

/// Where a dropped advert was to go: the label under which it is counted.
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

/// What a flow can say of itself at the moment.
pub(crate) trait FlowLoad: Send + Sync {
    fn in_flight(&self) -> usize;
    fn waiting(&self) -> usize;
}

/// Counts events. Relaxed throughout: a count orders nothing; what orders it for a reader at rest is
/// the permit that comes back after it.
#[derive(Debug, Default)]
struct Counter(AtomicU64);

impl Counter {
    fn increment(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A worker's histograms.
#[derive(Debug)]
struct WorkerLatency {
    wait: Recorder,
    service: Recorder,
}

/// Counters and histograms of one flow of one handler.
#[derive(Debug)]
pub(crate) struct FlowMetrics {
    admitted: Counter,
    waited: Counter,
    gave_up: Counter,
    refused_closed: Counter,
    refused_too_many: Counter,
    handled: Counter,
    panicked: Counter,
    dropped: Counter,
    stray_panics: Counter,
    workers: Box<[WorkerLatency]>,
}

impl FlowMetrics {
    pub(crate) fn new(workers: usize) -> Self {
        let latency = |_| WorkerLatency { wait: Recorder::new(), service: Recorder::new() };
        Self {
            admitted: Counter::default(),
            waited: Counter::default(),
            gave_up: Counter::default(),
            refused_closed: Counter::default(),
            refused_too_many: Counter::default(),
            handled: Counter::default(),
            panicked: Counter::default(),
            dropped: Counter::default(),
            stray_panics: Counter::default(),
            workers: (0..workers).map(latency).collect(),
        }
    }

    /// A message holds a permit.
    pub(crate) fn admitted(&self) {
        self.admitted.increment();
    }

    /// A message found no room, and its submitter waits.
    pub(crate) fn waited(&self) {
        self.waited.increment();
    }

    /// A submitter that waited was dropped before its message was admitted.
    pub(crate) fn gave_up(&self) {
        self.gave_up.increment();
    }

    /// A message was not admitted, and its submitter was told so.
    pub(crate) fn refused(&self, reason: RefusalReason) {
        match reason {
            RefusalReason::Closed => self.refused_closed.increment(),
            RefusalReason::TooManyWaiters => self.refused_too_many.increment(),
        }
    }

    /// A worker ran a message, to whichever end.
    pub(crate) fn ran(&self, worker: usize, wait: Duration, service: Duration) {
        let latency = &self.workers[worker % self.workers.len()];
        latency.wait.record(wait);
        latency.service.record(service);
    }

    /// A handler returned.
    pub(crate) fn handled(&self) {
        self.handled.increment();
    }

    /// A handler panicked.
    pub(crate) fn panicked(&self) {
        self.panicked.increment();
    }

    /// A message was admitted but will not run, because the flow was shut down.
    pub(crate) fn dropped(&self) {
        self.dropped.increment();
    }

    /// Something that a handler has spawned panicked.
    pub(crate) fn stray_panic(&self) {
        self.stray_panics.increment();
    }

    pub(crate) fn snapshot(&self, load: Option<&dyn FlowLoad>) -> FlowSnapshot {
        // The load first: who finds nothing in flight then reads the counts of all that finished.
        let in_flight = load.map_or(0, FlowLoad::in_flight);
        let waiting = load.map_or(0, FlowLoad::waiting);
        FlowSnapshot {
            in_flight,
            waiting,
            handled: self.handled.get(),
            panicked: self.panicked.get(),
            dropped: self.dropped.get(),
            stray_panics: self.stray_panics.get(),
            admitted: self.admitted.get(),
            waiting_for_peer_permit: self.waited.get(),
            gave_up: self.gave_up.get(),
            refused_closed: self.refused_closed.get(),
            refused_too_many_waiters: self.refused_too_many.get(),
            wait: LatencySnapshot::of(self.workers.iter().map(|worker| &worker.wait)),
            service: LatencySnapshot::of(self.workers.iter().map(|worker| &worker.service)),
        }
    }
}

/// One flow's metrics, and the flow itself as long as it lives.
#[derive(Clone)]
struct Registered {
    metrics: Arc<FlowMetrics>,
    load: Weak<dyn FlowLoad>,
}

/// All flows of one kind that were ever registered.
#[derive(Clone, Default)]
struct Registrations {
    /// The sum of those that are gone, so that registering again and again takes no more memory.
    gone: FlowSnapshot,
    current: Vec<Registered>,
}

impl Registrations {
    fn with(&self, registered: Registered) -> Self {
        let mut next = Self { gone: self.gone.clone(), current: vec![registered] };
        for registered in &self.current {
            // Nobody else holds the metrics, so nobody counts any more. (The flow itself may be gone
            // a little earlier, while it still counts what it drops.)
            if Arc::strong_count(&registered.metrics) == 1 {
                // Acquire: what was counted before the last holder let go is seen.
                fence(Ordering::Acquire);
                next.gone.merge(&registered.metrics.snapshot(None));
            } else {
                next.current.push(registered.clone());
            }
        }
        next
    }

    fn snapshot(&self) -> FlowSnapshot {
        self.current.iter().fold(self.gone.clone(), |mut sum, registered| {
            let load = registered.load.upgrade();
            sum.merge(&registered.metrics.snapshot(load.as_deref()));
            sum
        })
    }
}

#[derive(Default)]
struct Shared {
    received: Counter,
    malformed: Counter,
    timer_ticks: Counter,
    timer_panics: Counter,
    flows: [ArcSwap<Registrations>; FlowType::COUNT],
    broadcast: ArcSwap<Registrations>,
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
///     adverts.handled,
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
    /// three threads; it stops nobody.
    #[must_use]
    pub fn snapshot(&self) -> MetricsSnapshot {
        let shared = &*self.shared;
        MetricsSnapshot {
            flows: std::array::from_fn(|flow| shared.flows[flow].load().snapshot()),
            broadcast: shared.broadcast.load().snapshot(),
            dropped_adverts: std::array::from_fn(|kind| shared.dropped_adverts[kind].get()),
            received: shared.received.get(),
            malformed: shared.malformed.get(),
            timer_ticks: shared.timer_ticks.get(),
            timer_panics: shared.timer_panics.get(),
        }
    }

    pub(crate) fn register(
        &self,
        flow: Option<FlowType>,
        metrics: Arc<FlowMetrics>,
        load: Weak<dyn FlowLoad>,
    ) {
        let registrations = match flow {
            Some(flow) => &self.shared.flows[flow as usize],
            None => &self.shared.broadcast,
        };
        let registered = Registered { metrics, load };
        registrations.rcu(|current| current.with(registered.clone()));
    }

    /// An event has come.
    pub(crate) fn received(&self) {
        self.shared.received.increment();
    }

    /// A payload was no message.
    pub(crate) fn malformed(&self) {
        self.shared.malformed.increment();
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

#[cfg(all(test, not(loom)))]
mod tests;
