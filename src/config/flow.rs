//! Limits, threads and policies of one flow.

use std::time::Duration;

use super::{
    DEFAULT_PEERS, DEFAULT_QUANTUM, DEFAULT_QUOTA, DEFAULT_WAITERS, Departure, LANE_BYTES,
    OverloadPolicy, P2P_PER_FLOW_THREADS, PanicPolicy, SLOT_BYTES, WAITER_BYTES, WaitStrategy,
};

/// Limits, threads and policies of one flow.
///
/// Setters take any figure. It is checked by [`validate`](Self::validate), and when a flow is built or
/// [changed](crate::FlowWorker::reconfigure): a figure that is out of the range that its setter names is a
/// [`ConfigError`](crate::ConfigError). Three figures are
/// moved into their range instead: the messages in flight of the flow and of a peer, and a peer's threads.
///
/// To change one figure of a flow, begin with the flow's own configuration, since [`new`](Self::new) begins with
/// the defaults: `config.with_flow(flow, config.flow(flow).with_quantum(quantum))`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(into = "super::forms::FlowForm"))]
pub struct FlowConfig {
    pub(super) max_inflight_requests: usize,
    pub(super) peer_quota: Option<usize>,
    pub(super) max_peers: usize,
    pub(super) max_waiters: usize,
    pub(super) threads: usize,
    pub(super) peer_threads: usize,
    pub(super) quantum: Duration,
    pub(super) wait_strategy: WaitStrategy,
    pub(super) forking_handlers: bool,
    pub(super) max_bytes: Option<u64>,
    pub(super) peer_max_bytes: Option<u64>,
    pub(super) overload: OverloadPolicy,
    pub(super) max_age: Option<Duration>,
    pub(super) departure: Departure,
    pub(super) panics: PanicPolicy,
    /// Set only with the feature `pinning`.
    pub(super) core_affinity: Option<usize>,
}

impl FlowConfig {
    /// The largest number of messages in flight that a flow can be given.
    pub const MAX_INFLIGHT_REQUESTS: usize = 1 << 20;
    /// The largest number of threads that a flow can be given.
    pub const MAX_THREADS_PER_FLOW: usize = 256;
    /// The largest number of submitters of one peer that can be set to wait in a flow.
    pub const MAX_WAITERS: usize = 1 << 16;
    /// The largest number of peers for which a flow can keep lanes.
    pub const MAX_PEERS: usize = 1 << 16;
    /// The longest turn that a peer's lane can be given.
    pub const MAX_QUANTUM: Duration = Duration::from_millis(10);
    /// The longest time for which a worker can be set to look for work before it sleeps.
    pub const MAX_SPIN_WINDOW: Duration = Duration::from_millis(10);
    /// The largest bound in bytes that a flow or a peer in it can be given.
    pub const MAX_BYTES: u64 = 1 << 40;
    /// The largest maximum age that messages can be given.
    pub const MAX_AGE: Duration = Duration::from_secs(60 * 60);

    /// A flow with this bound, [`P2P_PER_FLOW_THREADS`] threads, [`DEFAULT_PEERS`] lanes, 64 waiters
    /// for each, one thread for each peer at a time, and the default quota, quantum and wait strategy.
    #[must_use]
    pub const fn new(max_inflight_requests: usize) -> Self {
        Self {
            max_inflight_requests,
            peer_quota: None,
            max_peers: DEFAULT_PEERS,
            max_waiters: DEFAULT_WAITERS,
            threads: P2P_PER_FLOW_THREADS,
            peer_threads: 1,
            quantum: DEFAULT_QUANTUM,
            wait_strategy: WaitStrategy::DEFAULT,
            forking_handlers: false,
            max_bytes: None,
            peer_max_bytes: None,
            overload: OverloadPolicy::Wait,
            max_age: None,
            departure: Departure::Cancel,
            panics: PanicPolicy::Contain,
            core_affinity: None,
        }
    }

    /// Sets how many messages may be admitted and not yet finished: 1 to
    /// [`MAX_INFLIGHT_REQUESTS`](Self::MAX_INFLIGHT_REQUESTS); 0 counts as 1. Raise it to take longer bursts without
    /// holding senders back, lower it to hold less memory.
    ///
    /// Worst case: this many times the largest message of the flow. When the flow is built it takes a slot for each, at
    /// most 16 384.
    #[must_use]
    pub const fn with_max_inflight_requests(mut self, limit: usize) -> Self {
        self.max_inflight_requests = limit;
        self
    }

    /// Sets how many of these messages may be one peer's: 1 to the flow's limit. 0 counts as 1, and more than the limit
    /// as the limit. The default is a quarter of the limit, at most 1 024. Raise it where few peers send
    /// most of the messages, lower it to keep capacity for more peers.
    ///
    /// Worst case: a peer that has so many messages queued takes a slot for each. A slot has the size of the message's
    /// fields and some 20 bytes, below 256 in all for the built-in messages. A lane without messages has no slots.
    #[must_use]
    pub const fn with_peer_quota(mut self, quota: usize) -> Self {
        self.peer_quota = Some(quota);
        self
    }

    /// Sets how many peers can have a lane at the same time: 1 to [`MAX_PEERS`](Self::MAX_PEERS). A lane comes with
    /// the peer's first message. If there are as many already, the flow looks at the next 64 for one that is unused,
    /// and gives it to the newcomer. If it finds none, the message is refused. Set it to somewhat more than the
    /// connections that the transport admits.
    ///
    /// Worst case: this many lanes of at most 1 KiB each, beside their messages.
    #[must_use]
    pub const fn with_max_peers(mut self, peers: usize) -> Self {
        self.max_peers = peers;
        self
    }

    /// Sets how many submitters may wait for capacity on behalf of one peer: 0 to [`MAX_WAITERS`](Self::MAX_WAITERS).
    /// One more is refused and gets its message back; with 0 nobody waits.
    ///
    /// A transport with one call pending for each stream needs no more of them than a peer has streams of the flow.
    /// Raise it where a peer has more calls pending, lower it to hold less memory.
    ///
    /// Worst case: this many times the largest message of the flow, for each peer, and about 1 KiB for each waiter.
    #[must_use]
    pub const fn with_max_waiters(mut self, waiters: usize) -> Self {
        self.max_waiters = waiters;
        self
    }

    /// Sets how many threads run the flow's handlers: 1 to [`MAX_THREADS_PER_FLOW`](Self::MAX_THREADS_PER_FLOW). The
    /// default is [`P2P_PER_FLOW_THREADS`]. Raise it where handlers block, or where the flow should use more cores.
    ///
    /// Worst case: this many stacks (2 MiB of address space each, touched as far as handlers go)
    /// and about 60 KiB of histograms and 64 KiB of [recent messages](crate::FlowWorker::recent) each.
    #[must_use]
    pub const fn with_threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// Sets how many threads may run messages of one peer at the same time: 1 to the flow's threads; more counts as all
    /// of them.
    ///
    /// With 1, the default, the messages of a peer run one after the other, in the order in which they were admitted,
    /// and a peer whose messages take long holds one thread at the most. Raise it where handlers are long, order does
    /// not matter, and a single peer should be able to use the whole flow. Messages are then taken one by one and not
    /// in runs, which costs brief handlers about a tenth of a microsecond each. The Transport flow has 1, whatever is
    /// set.
    #[must_use]
    pub const fn with_peer_threads(mut self, threads: usize) -> Self {
        self.peer_threads = threads;
        self
    }

    /// Sets how long the turn of a peer's lane is: zero to [`MAX_QUANTUM`](Self::MAX_QUANTUM).
    ///
    /// Lanes with messages are served in turn. A turn is as many messages as are expected to take that long, at least 1
    /// and at most 32. A lane that has taken more time than the others, by more than this, is passed over until they
    /// have caught up. Raise it to switch between peers less often, lower it to let the first message of a quiet peer
    /// start sooner.
    #[must_use]
    pub const fn with_quantum(mut self, quantum: Duration) -> Self {
        self.quantum = quantum;
        self
    }

    /// Sets what the flow's workers do when there is nothing to run. [`WaitStrategy`] says which to choose when.
    #[must_use]
    pub const fn with_wait_strategy(mut self, strategy: WaitStrategy) -> Self {
        self.wait_strategy = strategy;
        self
    }

    /// Bounds the bytes of the messages in flight as well: 1 to [`MAX_BYTES`](Self::MAX_BYTES). `None`, the default,
    /// sets no bound. Set it where messages differ much in size.
    ///
    /// A message is admitted while fewer bytes are in flight, so a message that is larger than the bound runs, too. A
    /// message has the bytes of its payload, or those that its submitter [states](crate::FlowWorker::execute_sized).
    /// Messages that wait do not count.
    ///
    /// Worst case: this many bytes, and the largest message: the last that was admitted while a byte was free.
    #[must_use]
    pub const fn with_max_bytes(mut self, bytes: Option<u64>) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Bounds each peer's messages in flight in bytes, as [`with_max_bytes`](Self::with_max_bytes) bounds
    /// the flow's: 1 to [`MAX_BYTES`](Self::MAX_BYTES). `None`, the default, sets no bound. Set it where one peer's
    /// large messages could take the whole bound of the flow.
    ///
    /// Worst case: this many bytes for each peer, and its largest message.
    #[must_use]
    pub const fn with_peer_max_bytes(mut self, bytes: Option<u64>) -> Self {
        self.peer_max_bytes = bytes;
        self
    }

    /// Sets what the flow does with a message for which there is no capacity; by default the submitter
    /// [waits](OverloadPolicy::Wait). The Transport flow may only wait or refuse.
    #[must_use]
    pub const fn with_overload_policy(mut self, policy: OverloadPolicy) -> Self {
        self.overload = policy;
        self
    }

    /// Sets what becomes of a peer's queued messages when the peer departs; by default they are
    /// [cancelled](Departure::Cancel). Choose [`Drain`](Departure::Drain) where a peer may send its last messages and
    /// hang up, and they matter.
    #[must_use]
    pub const fn with_departure(mut self, departure: Departure) -> Self {
        self.departure = departure;
        self
    }

    /// Sets the maximum age of a message: above zero and at most [`MAX_AGE`](Self::MAX_AGE). `None`, the default, sets
    /// no maximum. Set it where an old message is worth nothing. The Transport flow must have none.
    ///
    /// A message that is older does not start, and its outcome is [`Expired`](crate::Outcome::Expired). Its age counts
    /// from the submitter's call. A message that waits for capacity expires when its turn comes, not before.
    #[must_use]
    pub const fn with_max_age(mut self, age: Option<Duration>) -> Self {
        self.max_age = age;
        self
    }

    /// Sets whether handlers use rayon ([`rayon::join`], `par_iter` and the like); false by default.
    ///
    /// If so, the flow's idle threads look for parts to run as long as a handler runs: without a break for half a
    /// millisecond, then every 50 µs. That costs some processor time for each thread that has nothing to do.
    ///
    /// If not, idle threads sleep, and what a handler forks runs on its own thread and on those that are awake. What it
    /// gives to `rayon::spawn` or `rayon::broadcast` then takes up to 50 ms more.
    #[must_use]
    pub const fn with_forking_handlers(mut self, forking: bool) -> Self {
        self.forking_handlers = forking;
        self
    }

    /// Sets what the flow does when a handler panics; by default it goes on ([`Contain`](PanicPolicy::Contain)). Choose
    /// [`FailFast`](PanicPolicy::FailFast) where a panic may leave the handler's state wrong.
    #[must_use]
    pub const fn with_panic_policy(mut self, policy: PanicPolicy) -> Self {
        self.panics = policy;
        self
    }

    /// Pins the flow's threads to cores; by default they are not pinned. `core` counts the cores that the process may
    /// use, from 0. The first thread is pinned to this one and the others to those that follow, around again after the
    /// last. Threads are pinned on Linux and Android. Elsewhere, and where the system does not let a thread be pinned,
    /// it runs anywhere, and the log says so once for each thread. Set it where the flow has cores of its own.
    #[cfg(feature = "pinning")]
    #[must_use]
    pub const fn with_core_affinity(mut self, core: usize) -> Self {
        self.core_affinity = Some(core);
        self
    }

    pub(crate) const fn core_affinity(&self) -> Option<usize> {
        self.core_affinity
    }

    /// How many messages may be admitted and not yet finished, at least 1.
    #[must_use]
    pub const fn max_inflight_requests(&self) -> usize {
        if self.max_inflight_requests == 0 { 1 } else { self.max_inflight_requests }
    }

    /// How many of these may be one peer's, at least 1 and at most all of them.
    #[must_use]
    pub const fn peer_quota(&self) -> usize {
        let limit = self.max_inflight_requests();
        let quota = match self.peer_quota {
            Some(quota) => quota,
            None if limit.div_ceil(4) > DEFAULT_QUOTA => DEFAULT_QUOTA,
            None => limit.div_ceil(4),
        };
        match quota {
            0 => 1,
            quota if quota > limit => limit,
            quota => quota,
        }
    }

    /// How many peers can have a lane at the same time.
    #[must_use]
    pub const fn max_peers(&self) -> usize {
        self.max_peers
    }

    /// How many submitters may wait for capacity on behalf of one peer.
    #[must_use]
    pub const fn max_waiters(&self) -> usize {
        self.max_waiters
    }

    /// How many threads run the flow's handlers.
    #[must_use]
    pub const fn threads(&self) -> usize {
        self.threads
    }

    /// How many threads may run messages of one peer at the same time, at most the flow's.
    #[must_use]
    pub const fn peer_threads(&self) -> usize {
        match self.peer_threads {
            0 => 1,
            threads if threads > self.threads => self.threads,
            threads => threads,
        }
    }

    /// How long the turn of a peer's lane is.
    #[must_use]
    pub const fn quantum(&self) -> Duration {
        self.quantum
    }

    /// What the flow's workers do when there is nothing to run.
    #[must_use]
    pub const fn wait_strategy(&self) -> WaitStrategy {
        self.wait_strategy
    }

    /// The bound of the messages in flight in bytes, if there is one.
    #[must_use]
    pub const fn max_bytes(&self) -> Option<u64> {
        self.max_bytes
    }

    /// The bound of a peer's messages in flight in bytes, if there is one.
    #[must_use]
    pub const fn peer_max_bytes(&self) -> Option<u64> {
        self.peer_max_bytes
    }

    /// What the flow does with a message for which there is no capacity.
    #[must_use]
    pub const fn overload_policy(&self) -> OverloadPolicy {
        self.overload
    }

    /// The age at which a message is not started any more, if there is one.
    #[must_use]
    pub const fn max_age(&self) -> Option<Duration> {
        self.max_age
    }

    /// What becomes of a peer's queued messages when the peer departs.
    #[must_use]
    pub const fn departure(&self) -> Departure {
        self.departure
    }

    /// Whether handlers use rayon.
    #[must_use]
    pub const fn forking_handlers(&self) -> bool {
        self.forking_handlers
    }

    /// What the flow does when a handler panics.
    #[must_use]
    pub const fn panic_policy(&self) -> PanicPolicy {
        self.panics
    }

    /// The most bytes that the flow can hold for `peers` peers: what is admitted, what waits, and the slots for both.
    /// More peers than [`max_peers`](Self::max_peers) count as that many. It assumes that no message has more than
    /// `message_bytes` on the heap and 200 bytes in its fields. It ignores a bound in bytes of each peer, so the true
    /// worst case may be less.
    #[must_use]
    pub const fn worst_case_bytes(&self, peers: usize, message_bytes: usize) -> usize {
        let peers = if peers > self.max_peers { self.max_peers } else { peers };
        let waiting = self.max_waiters.saturating_mul(message_bytes.saturating_add(WAITER_BYTES));
        let slots = self.max_inflight_requests().saturating_mul(SLOT_BYTES);
        let admitted = self.max_inflight_requests().saturating_mul(message_bytes);
        let admitted = match self.max_bytes {
            Some(bytes) => {
                let bytes = if bytes > Self::MAX_BYTES { Self::MAX_BYTES } else { bytes };
                let most = (bytes as usize).saturating_add(message_bytes.saturating_mul(2));
                if most < admitted { most } else { admitted }
            }
            None => admitted,
        };
        peers
            .saturating_mul(LANE_BYTES.saturating_add(waiting))
            .saturating_add(slots)
            .saturating_add(admitted)
    }
}
