//! What is counted, and how to read it while messages flow.
//!
//! Each flow of each handler has counters and histograms of its own. They are registered with the
//! [`MetricsRegistry`] that the handler was built with, which adds them up. Counting never waits,
//! locks or allocates, and reading stops nobody: a snapshot taken while messages flow is a little
//! blurred, one taken at rest is exact.
//!
//! What a flow has admitted and what has left it are not counted beside its bound: they are its
//! bound ([`Permits`]). So a count cannot disagree with it. What each worker counts, it counts on cache
//! lines of its own, without a locked instruction.
//!
//! Every event ends up in exactly one place. At rest, over all flows,
//!
//! - `received = malformed + Σ (admitted + refused + gave up)`, and in each flow
//! - `admitted = handled + panicked + dropped`, with `in flight` and `waiting` both 0.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use crossbeam::{
    channel::{Receiver, Sender, bounded},
    utils::CachePadded,
};
use strum::{Display, EnumCount, EnumIter, IntoStaticStr};

use crate::{
    ArtifactDestination, FlowType, RefusalReason,
    latency::{LatencySnapshot, Recorder},
    permits::Permits,
    sync::{AtomicU64, AtomicUsize, Ordering, fence},
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

/// Who waits for the last message to finish looks at least this often, should it miss the word.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// What one worker counts. Nobody else writes it, so that a count is a load and a store.
#[derive(Debug, Default)]
pub(crate) struct WorkerMetrics {
    finished: AtomicU64,
    panicked: AtomicU64,
    wait: Recorder,
    service: Recorder,
}

impl WorkerMetrics {
    /// A handler has returned or panicked. Only the worker itself calls this.
    pub(crate) fn ran(&self, wait: Duration, service: Duration, panicked: bool) {
        self.wait.record(wait);
        self.service.record(service);
        if panicked {
            // Relaxed: `finished` publishes it.
            let count = self.panicked.load(Ordering::Relaxed);
            self.panicked.store(count + 1, Ordering::Relaxed);
        }
    }

    /// A message that ran is gone, and its room is free. Only the worker itself calls this.
    pub(crate) fn finished(&self) {
        // Relaxed: nobody else writes it.
        let count = self.finished.load(Ordering::Relaxed);
        // Release: who sees it counted sees what its handler did.
        self.finished.store(count + 1, Ordering::Release);
    }
}

/// Counters and histograms of one flow of one handler, and its bound.
#[derive(Debug)]
pub(crate) struct FlowMetrics {
    /// Written with every message that is admitted.
    pub(crate) permits: CachePadded<Permits>,
    pub(crate) workers: Box<[CachePadded<WorkerMetrics>]>,
    waiting: AtomicUsize,
    waited: Counter,
    gave_up: Counter,
    refused: [Counter; RefusalReason::COUNT],
    dropped: Counter,
    stray_panics: Counter,
    /// One token: a message has finished after the flow was closed.
    finished: (Sender<()>, Receiver<()>),
}

impl FlowMetrics {
    pub(crate) fn new(limit: usize, workers: usize) -> Self {
        Self {
            permits: CachePadded::new(Permits::new(limit)),
            workers: (0..workers).map(|_| CachePadded::default()).collect(),
            waiting: AtomicUsize::new(0),
            waited: Counter::default(),
            gave_up: Counter::default(),
            refused: Default::default(),
            dropped: Counter::default(),
            stray_panics: Counter::default(),
            finished: bounded(1),
        }
    }

    /// How many messages have finished, dropped ones included.
    pub(crate) fn left(&self) -> u64 {
        // Acquire: who sees a message finished sees what it did.
        let ran = self.workers.iter().map(|worker| worker.finished.load(Ordering::Acquire));
        self.dropped.0.load(Ordering::Acquire) + ran.sum::<u64>()
    }

    /// Messages admitted and not yet finished.
    pub(crate) fn in_flight(&self) -> usize {
        self.permits.in_flight(|| self.left())
    }

    /// Whether one more message may be admitted now.
    pub(crate) fn has_room(&self) -> bool {
        self.permits.has_room(|| self.left())
    }

    /// Submitters that wait for room.
    pub(crate) fn waiting(&self) -> usize {
        // Relaxed: for the eye only.
        self.waiting.load(Ordering::Relaxed)
    }

    /// A message found no room, and its submitter waits.
    pub(crate) fn waits(&self) {
        self.waited.increment();
        // Relaxed: for the eye only.
        self.waiting.fetch_add(1, Ordering::Relaxed);
    }

    /// A submitter that was counted as waiting has found no place to wait.
    pub(crate) fn never_waited(&self) {
        // Relaxed: a count.
        self.waited.0.fetch_sub(1, Ordering::Relaxed);
        self.waits_no_longer();
    }

    /// A submitter waits no longer.
    pub(crate) fn waits_no_longer(&self) {
        // Relaxed: for the eye only.
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }

    /// A submitter that waited was dropped before its message was admitted.
    pub(crate) fn gave_up(&self) {
        self.gave_up.increment();
    }

    /// A message was not admitted, and its submitter was told so.
    pub(crate) fn refused(&self, reason: RefusalReason) {
        self.refused[reason as usize].increment();
    }

    /// A message was admitted but will not run, because the flow was shut down. It is gone, and its
    /// room is free.
    pub(crate) fn dropped(&self) {
        // Release: as for those that ran.
        self.dropped.0.fetch_add(1, Ordering::Release);
    }

    /// Something that a handler has spawned panicked.
    pub(crate) fn stray_panic(&self) {
        self.stray_panics.increment();
    }

    /// A message has finished after the flow was closed.
    pub(crate) fn tell_who_shuts_down(&self) {
        // Full means that the word is out already.
        let _ = self.finished.0.try_send(());
    }

    /// Waits until no more than `own` messages are in flight; false if the deadline comes first.
    /// The flow must be closed.
    pub(crate) fn wait_for_last(&self, own: usize, deadline: Instant) -> bool {
        loop {
            if self.in_flight() <= own {
                return true;
            }
            let now = Instant::now();
            if now >= deadline {
                return false;
            }
            // Either outcome means to look again.
            let _ = self.finished.1.recv_deadline(deadline.min(now + LOOK_EVERY));
        }
    }

    pub(crate) fn snapshot(&self) -> FlowSnapshot {
        // The load first: who finds nothing in flight then reads the counts of all that finished.
        let in_flight = self.in_flight();
        let ran = |count: fn(&WorkerMetrics) -> &AtomicU64| {
            // Acquire: as in `left`.
            self.workers.iter().map(|worker| count(worker).load(Ordering::Acquire)).sum::<u64>()
        };
        let finished = ran(|worker| &worker.finished);
        let panicked = ran(|worker| &worker.panicked);
        FlowSnapshot {
            in_flight,
            waiting: self.waiting(),
            // One that has panicked may not have finished.
            handled: finished.saturating_sub(panicked),
            panicked,
            dropped: self.dropped.get(),
            stray_panics: self.stray_panics.get(),
            admitted: self.permits.entered(),
            waiting_for_peer_permit: self.waited.get(),
            gave_up: self.gave_up.get(),
            refused: std::array::from_fn(|reason| self.refused[reason].get()),
            wait: LatencySnapshot::of(self.workers.iter().map(|worker| &worker.wait)),
            service: LatencySnapshot::of(self.workers.iter().map(|worker| &worker.service)),
        }
    }
}

/// All flows of one kind that were ever registered.
#[derive(Clone, Default)]
struct Registrations {
    /// The sum of those that are gone, so that registering again and again takes no more memory.
    gone: FlowSnapshot,
    current: Vec<Arc<FlowMetrics>>,
}

impl Registrations {
    fn with(&self, metrics: &Arc<FlowMetrics>) -> Self {
        let mut next = Self { gone: self.gone.clone(), current: vec![Arc::clone(metrics)] };
        for metrics in &self.current {
            // Nobody else holds the metrics, so nobody counts any more. (The flow itself may be gone
            // a little earlier, while it still counts what it drops.)
            if Arc::strong_count(metrics) == 1 {
                // Acquire: what was counted before the last holder let go is seen.
                fence(Ordering::Acquire);
                next.gone.merge(&metrics.snapshot());
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

    pub(crate) fn register(&self, flow: Option<FlowType>, metrics: &Arc<FlowMetrics>) {
        let registrations = match flow {
            Some(flow) => &self.shared.flows[flow as usize],
            None => &self.shared.broadcast,
        };
        registrations.rcu(|current| current.with(metrics));
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
