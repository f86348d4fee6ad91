//! The inside of a flow: queue, workers, ledger and handler, put together.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Weak},
};

use arc_swap::ArcSwap;

use super::{
    drain::within, drop_notices::DropNotices, handler::MessageHandler,
    runtime_config::RuntimeConfig, shutdown::Over,
};
use crate::{
    BuildError, Departure, MetricsRegistry, Outcome, PeerKey,
    clock::{Moment, nanos},
    config::{FlowConfig, WaitStrategy},
    flow::FlowName,
    ledger::{Amount, FlowLedger, Gauges, Load},
    panics::{PanicLog, contain},
    queue::{Departed, FairQueue, Lane, Limits, WakeList},
    sync::{AtomicBool, AtomicU64, AtomicUsize, Mutex, Ordering},
    workers::{Spec, Workers},
};

/// A message on its way to its handler.
#[derive(Debug)]
pub(crate) struct Envelope<M> {
    pub(super) message: M,
    /// When its submitter called.
    pub(super) arrived: Moment,
}

/// The queue of a flow.
pub(super) type PeerQueue<M, K> = FairQueue<K, Envelope<M>>;

/// The inside of a flow.
pub(crate) struct Core<M: Send + 'static, K: PeerKey> {
    pub(super) name: &'static str,
    /// This flow itself.
    pub(super) me: Weak<Self>,
    /// What it was built with; some of it never changes.
    pub(super) built: FlowConfig,
    pub(super) queue: Arc<PeerQueue<M, K>>,
    pub(super) workers: Workers,
    pub(super) ledger: Arc<FlowLedger>,
    /// What may change while it runs. Each worker keeps a reference, and reads it anew when the count changes.
    pub(super) runtime: ArcSwap<RuntimeConfig<M, K>>,
    /// How often it has changed.
    pub(super) runtime_changes: AtomicU64,
    /// How long workers look for work, in nanoseconds: part of the above, read at each look.
    pub(super) longest_look: AtomicU64,
    /// Messages run. False only before an advert broadcaster starts.
    pub(super) open: AtomicBool,
    /// Nothing starts any more: the deadline of a shutdown is over.
    pub(super) abandoned: AtomicBool,
    /// A handler or a worker has panicked, and the flow does not survive that.
    pub(super) failed: AtomicBool,
    /// Messages whose slots are held.
    pub(super) held: AtomicUsize,
    /// Workers whose loop has panicked.
    pub(super) broken: AtomicUsize,
    pub(super) drops: DropNotices<K>,
    /// Lanes that were cancelled while workers served them. Those that are served no longer go when another comes.
    served: Mutex<Vec<Arc<Lane<K>>>>,
    left: Option<Arc<dyn LaneLeft>>,
    pub(super) over: Over,
    pub(super) panics: Arc<PanicLog>,
    /// From when the flow's own times count.
    pub(super) epoch: Moment,
}

/// Is notified when a lane of a departed peer is left, by the thread that has left it, outside of all locks.
pub(crate) trait LaneLeft: Send + Sync {
    fn lane_left(&self);
}

/// What a flow is built with.
#[derive(Clone)]
pub(crate) struct FlowSpec<'a> {
    pub(crate) name: FlowName,
    pub(crate) config: &'a FlowConfig,
    pub(crate) registry: &'a MetricsRegistry,
    /// Somebody asks for drops, to notify the replica.
    pub(crate) notifies: bool,
    /// Who is notified when a departed peer's lane is left.
    pub(crate) left: Option<Arc<dyn LaneLeft>>,
    /// It is that of the replica's own adverts, which do not run until the flow is [open](Core::open).
    pub(crate) broadcasts: bool,
}

impl<'a> FlowSpec<'a> {
    /// That of a flow of its own.
    pub(crate) fn new(
        name: impl Into<FlowName>,
        config: &'a FlowConfig,
        registry: &'a MetricsRegistry,
    ) -> Self {
        Self { name: name.into(), config, registry, notifies: false, left: None, broadcasts: false }
    }
}

/// What bounds the queue of a flow with this configuration. In a simulation that steps, a run is one message.
pub(super) fn limits(config: &FlowConfig) -> Limits {
    Limits {
        items: config.max_inflight_requests(),
        lane_items: config.peer_quota(),
        bytes: config.max_bytes(),
        lane_bytes: config.peer_max_bytes(),
        quantum: if crate::testing::is_stepped() { 1 } else { nanos(config.quantum()) },
        lanes: config.max_peers(),
        lane_waiters: config.max_waiters(),
        lane_workers: config.peer_threads(),
        workers: config.threads(),
    }
}

/// The bounds of a flow, and of one of its peers.
pub(super) fn bounds(config: &FlowConfig) -> [Amount; 2] {
    let bound = |items: usize, bytes: Option<u64>| Amount {
        items: items as u64,
        bytes: bytes.unwrap_or(u64::MAX),
    };
    [
        bound(config.max_inflight_requests(), config.max_bytes()),
        bound(config.peer_quota(), config.peer_max_bytes()),
    ]
}

/// How long workers look for work, in nanoseconds. In a simulation that steps nothing comes while they look.
pub(super) fn longest_look(config: &FlowConfig) -> u64 {
    if crate::testing::is_stepped() {
        return 0;
    }
    match config.wait_strategy() {
        WaitStrategy::Adaptive(window) => nanos(window),
        WaitStrategy::Park => 0,
        WaitStrategy::Spin => u64::MAX,
    }
}

impl<M: Send + 'static, K: PeerKey> Core<M, K> {
    /// Builds a flow and starts its threads.
    pub(super) fn start(
        spec: FlowSpec<'_>,
        handler: Box<dyn MessageHandler<M, K>>,
    ) -> Result<Arc<Self>, BuildError> {
        let FlowSpec { name: flow_name, config, .. } = spec;
        let name = flow_name.as_str();
        config.validate_as(name)?;
        // The clock's first reading calibrates it, which no message should wait for.
        let epoch = Moment::now();
        let ledger = Arc::new(FlowLedger::new(config.threads()));
        let panics = Arc::new(PanicLog::new(name));
        let stray_panic = {
            let (ledger, panics) = (Arc::clone(&ledger), Arc::clone(&panics));
            move |payload| {
                ledger.stray_panic();
                panics.report(payload);
            }
        };
        let threads = Spec {
            name: &|index| flow_name.thread(index),
            threads: config.threads(),
            first_core: config.core_affinity(),
        };
        let workers = Workers::new(&threads, stray_panic)
            .map_err(|source| BuildError::Threads { flow: name, source })?;
        let core = Arc::new_cyclic(|me| Self {
            name,
            me: Weak::clone(me),
            built: *config,
            queue: Arc::new(FairQueue::new(&limits(config))),
            workers,
            ledger,
            runtime: ArcSwap::from_pointee(RuntimeConfig::new(config, handler)),
            runtime_changes: AtomicU64::new(0),
            longest_look: AtomicU64::new(longest_look(config)),
            open: AtomicBool::new(!spec.broadcasts),
            abandoned: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            held: AtomicUsize::new(0),
            broken: AtomicUsize::new(0),
            drops: DropNotices::new(spec.notifies),
            served: Mutex::default(),
            left: spec.left,
            over: Over::default(),
            panics,
            epoch,
        });
        let gauges: Weak<Self> = Arc::downgrade(&core);
        core.ledger.observe(gauges);
        if spec.broadcasts {
            spec.registry.register_broadcast(&core.ledger);
        } else {
            spec.registry.register(name, &core.ledger);
        }
        core.workers.start(&core, |core| &core.workers);
        Ok(core)
    }

    /// Lets messages run.
    pub(super) fn open(&self) {
        self.open.store(true, Ordering::Release);
        self.workers.notify();
    }

    /// Wakes who is in the list. Not under a lock.
    #[inline]
    pub(super) fn wake(&self, wake: &mut WakeList) {
        if std::mem::take(&mut wake.worker) {
            self.workers.notify();
        }
        if wake.has_submitters() {
            within(|| wake.wake_submitters());
        }
        if std::mem::take(&mut wake.left) {
            self.lane_left();
        }
    }

    /// A lane of a departed peer is left.
    #[cold]
    pub(super) fn lane_left(&self) {
        if let Some(left) = &self.left {
            within(|| contain(|| left.lane_left()));
        }
    }

    /// The peer has gone: what it has queued is cancelled, or runs, as its configuration says. Those who wait are
    /// refused. Returns its lane, whose handlers may still run, and those that were cancelled before and are served.
    pub(super) fn depart(&self, peer: &K) -> Vec<Arc<Lane<K>>> {
        if self.runtime.load().config.departure() == Departure::Cancel {
            // It is among those that follow, if it is served.
            let _ = self.cancel(peer);
            return self.served(peer).collect();
        }
        let lane = self.queue.with_lane(peer, |lane| lane.cloned());
        if let Some(lane) = &lane {
            let mut wake = WakeList::default();
            let departed = self.queue.retire_lane(lane, &mut wake);
            self.count_departed(lane, departed, &mut wake);
            self.wake(&mut wake);
        }
        self.served(peer).chain(lane).collect()
    }

    /// The peer's lanes that are cancelled and served.
    fn served(&self, peer: &K) -> impl Iterator<Item = Arc<Lane<K>>> + use<M, K> {
        let served = self.served.lock();
        let of_peer = served.iter().filter(|lane| lane.is_served() && lane.key() == peer);
        of_peer.cloned().collect::<Vec<_>>().into_iter()
    }

    /// The peer has gone: nothing that it has queued starts, and those who wait are refused. Returns its lane, whose
    /// handlers may still run.
    pub(super) fn cancel(&self, peer: &K) -> Option<Arc<Lane<K>>> {
        let lane = self.queue.with_lane(peer, |lane| lane.cloned())?;
        let mut wake = WakeList::default();
        let (queued, departed) = self.queue.cancel_lane(&lane, &mut wake);
        if lane.is_served() {
            let mut served = self.served.lock();
            served.retain(|lane| lane.is_served());
            served.push(Arc::clone(&lane));
        }
        self.count_departed(&lane, departed, &mut wake);
        // Before the user's code runs, and again after each of it.
        self.wake(&mut wake);
        for (envelope, charge) in queued {
            self.discard(&lane, envelope, charge, Outcome::Cancelled, &mut wake);
        }
        Some(lane)
    }

    /// Counts those who waited for a lane that departs, and gives back the permits of it.
    fn count_departed(&self, lane: &Arc<Lane<K>>, departed: Departed, wake: &mut WakeList) {
        self.ledger.count_many(Outcome::Disconnected, departed.refused as u64);
        (0..departed.revoked).for_each(|_| self.give_back(lane, wake));
    }

    /// Gives a permit back for which no message came. What this wakes is put into the list.
    pub(super) fn give_back(&self, lane: &Arc<Lane<K>>, wake: &mut WakeList) {
        // Before its capacity is free: at rest everything is counted.
        self.ledger.count(Outcome::PermitReleased);
        self.queue.finish_discarded(lane, 0, wake);
    }

    /// Gives back the permits that nobody has asked for since the last look, so that others get them.
    pub(super) fn revoke_idle_permits(&self) {
        let mut wake = WakeList::default();
        for lane in self.queue.revoke_idle() {
            self.give_back(&lane, &mut wake);
            self.wake(&mut wake);
        }
    }

    /// The time, in nanoseconds since the flow was made.
    pub(super) fn now(&self) -> u64 {
        Moment::now().nanos_since(self.epoch)
    }

    /// Lets a message go that no worker has taken, frees its capacity, and wakes who is in the list.
    pub(super) fn discard(
        &self,
        lane: &Arc<Lane<K>>,
        envelope: Envelope<M>,
        charge: u32,
        outcome: Outcome,
        wake: &mut WakeList,
    ) {
        self.let_go(lane.key(), envelope.message, outcome);
        if outcome.was_dropped() {
            self.drops.record(lane);
        }
        // Before its capacity is free: at rest everything is counted.
        self.ledger.count(outcome);
        self.queue.finish_discarded(lane, charge, wake);
        self.wake(wake);
        if self.queue.is_closed() {
            self.end_if_over();
        }
    }

    /// Lets a message go, whose `Drop` may panic.
    pub(super) fn let_go(&self, peer: &K, message: M, outcome: Outcome) {
        let let_go = || {
            // A handler that was replaced may go with it.
            let runtime = self.runtime.load_full();
            match runtime.handler.get() {
                Some(handler) => handler.discarded(peer, message, outcome),
                None => drop(message),
            }
        };
        let dropped = catch_unwind(AssertUnwindSafe(|| within(let_go)));
        if let Err(payload) = dropped {
            self.panics.report(payload);
        }
    }
}

impl<M: Send + 'static, K: PeerKey> Gauges for Core<M, K> {
    fn load(&self) -> Load {
        let runtime = self.runtime.load();
        // In flight first: who finds nothing then reads the counts of all that finished.
        let in_flight = self.queue.in_flight();
        let mut wake = WakeList::default();
        let oldest = (in_flight > 0)
            .then(|| {
                self.queue.fold_heads(&mut wake, None, |oldest: Option<Moment>, envelope| {
                    Some(oldest.map_or(envelope.arrived, |oldest| oldest.min(envelope.arrived)))
                })
            })
            .flatten();
        self.wake(&mut wake);
        Load {
            admitted: self.queue.admitted(),
            in_flight,
            permits: self.queue.permits(),
            least_in_flight: self.queue.least_in_flight(),
            bytes: self.queue.bytes_in_flight(),
            waiting: self.queue.waiting(),
            // Relaxed: statistics only.
            held: self.held.load(Ordering::Relaxed),
            oldest_age: oldest
                .map_or(std::time::Duration::ZERO, |oldest| Moment::now().since(oldest)),
            live_workers: self.workers.alive(),
            threads: runtime.config.threads(),
            peers: self.queue.keys(),
            max_peers: runtime.config.max_peers(),
            max_waiters: runtime.config.max_waiters(),
            bounds: bounds(&runtime.config),
            max_age: runtime.config.max_age(),
        }
    }
}

impl<M: Send + 'static, K: PeerKey> Drop for Core<M, K> {
    fn drop(&mut self) {
        // The ledger outlives the flow.
        self.ledger.note_admitted(self.queue.admitted());
        contain(|| drop(self.queue.clear(&mut WakeList::default())));
    }
}

impl<M: Send + 'static, K: PeerKey> fmt::Debug for Core<M, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core")
            .field("name", &self.name)
            .field("in_flight", &self.queue.in_flight())
            .finish_non_exhaustive()
    }
}
