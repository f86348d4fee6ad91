//! How large and how wide one flow is, and how it treats its peers and its threads.

use std::time::Duration;

use super::{
    DEFAULT_PEERS, DEFAULT_QUANTUM, DEFAULT_QUOTA, DEFAULT_WAITERS, LANE_BYTES, MAX_BYTES,
    OverloadPolicy, P2P_PER_FLOW_THREADS, PLACE_BYTES, PanicPolicy, SLOT_BYTES, WaitStrategy,
};

/// Limits, threads and policies of one flow.
///
/// Setters take any figure; [`validate`](Self::validate), and whoever builds or
/// [changes](crate::FlowWorker::reconfigure) a flow, says which cannot work. 0 messages in flight, of the flow or of a
/// peer, count as 1, as they do in the design that this one follows; every other figure that is out of the range
/// that its setter names is a [`ConfigError`](crate::ConfigError).
///
/// To change one figure of a flow, begin with the flow's own configuration, since [`new`](Self::new) begins with
/// the defaults: `config.with_flow(flow, config.flow(flow).with_quantum(quantum))`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
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
    pub(super) panics: PanicPolicy,
    /// Set only with the feature `pinning`.
    pub(super) core_affinity: Option<usize>,
}

impl FlowConfig {
    /// A flow with this bound, [`P2P_PER_FLOW_THREADS`] threads, [`DEFAULT_PEERS`] lanes, [`DEFAULT_WAITERS`] waiters
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
            panics: PanicPolicy::Contain,
            core_affinity: None,
        }
    }

    /// Sets how many messages may be admitted and not yet finished: 1 to
    /// [`MAX_INFLIGHT_REQUESTS`](crate::MAX_INFLIGHT_REQUESTS); 0 counts as 1.
    ///
    /// Worst case: this many times the largest message of the flow.
    #[must_use]
    pub const fn with_max_inflight_requests(mut self, limit: usize) -> Self {
        self.max_inflight_requests = limit;
        self
    }

    /// Sets how many of these messages may be one peer's: 1 to the flow's limit; 0 counts as 1, and
    /// what is over the limit as the limit. Unless set, it is a quarter of the limit, at most
    /// [`DEFAULT_QUOTA`].
    ///
    /// Worst case: the lane of a peer that has sent a message has this many slots, each of the size of
    /// the message's fields and some 20 bytes, below 256 in all for the built-in messages. They are made
    /// with that message, whose call takes up to some 50 ns longer for each of them, since the system gives
    /// the memory page by page.
    #[must_use]
    pub const fn with_peer_quota(mut self, quota: usize) -> Self {
        self.peer_quota = Some(quota);
        self
    }

    /// Sets how many peers can have a lane at the same time: 1 to [`MAX_PEERS`](crate::MAX_PEERS). A lane comes with
    /// the peer's first message. If there are as many already, an unused one makes place for it, if there is one among
    /// the next 64 that are looked at; otherwise the message is refused.
    ///
    /// Worst case: this many lanes, each of as many slots as the quota and 1 KiB; and at once, when
    /// the flow is built, about 10 bytes each.
    #[must_use]
    pub const fn with_max_peers(mut self, peers: usize) -> Self {
        self.max_peers = peers;
        self
    }

    /// Sets how many submitters may wait for capacity on behalf of one peer: 0 to [`MAX_WAITERS`](crate::MAX_WAITERS).
    /// One more is refused and gets its message back; with 0 nobody waits.
    ///
    /// A transport with one call pending for each stream needs no more of them than a peer has streams
    /// of the flow.
    ///
    /// Worst case: this many times the largest message of the flow, for each peer, and about 1 KiB
    /// each for places.
    #[must_use]
    pub const fn with_max_waiters(mut self, waiters: usize) -> Self {
        self.max_waiters = waiters;
        self
    }

    /// Sets how many threads run the flow's handlers: 1 to [`MAX_THREADS_PER_FLOW`](crate::MAX_THREADS_PER_FLOW).
    ///
    /// Worst case: this many stacks (2 MiB of address space each, touched as far as handlers go)
    /// and about 60 KiB of histograms each.
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

    /// Sets how long the turn of a peer's lane is: zero to [`MAX_QUANTUM`](crate::MAX_QUANTUM).
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

    /// Sets what the flow's workers do when there is nothing to run.
    #[must_use]
    pub const fn with_wait_strategy(mut self, strategy: WaitStrategy) -> Self {
        self.wait_strategy = strategy;
        self
    }

    /// Bounds the messages in flight in bytes as well: 1 to [`MAX_BYTES`], or not, which is the default. A
    /// message is admitted while fewer bytes are in flight, so that one that is larger than the bound
    /// runs too. A message's bytes are those of its payload, or what its submitter
    /// [says](crate::FlowWorker::execute_sized); those that wait do not count.
    ///
    /// Worst case: this many bytes, and the two largest messages: the newcomer that was last to find room, and one
    /// that had waited and is let in at the same moment.
    #[must_use]
    pub const fn with_max_bytes(mut self, bytes: Option<u64>) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Bounds each peer's messages in flight in bytes, as [`with_max_bytes`](Self::with_max_bytes) bounds
    /// the flow's: 1 to [`MAX_BYTES`], or not, which is the default.
    ///
    /// Worst case: this many bytes for each peer, and the two largest messages.
    #[must_use]
    pub const fn with_peer_max_bytes(mut self, bytes: Option<u64>) -> Self {
        self.peer_max_bytes = bytes;
        self
    }

    /// Sets what the flow does with a message for which there is no capacity. The Transport flow may only wait or
    /// refuse.
    #[must_use]
    pub const fn with_overload_policy(mut self, policy: OverloadPolicy) -> Self {
        self.overload = policy;
        self
    }

    /// Sets a maximum age, above zero and at most [`MAX_AGE`](crate::MAX_AGE), or none, which is the default: a message
    /// that is older, measured from the submitter's call, is not started and ends as
    /// [`Expired`](crate::Outcome::Expired). A message that waits for capacity expires when its turn comes, not before.
    /// Not for the Transport flow.
    #[must_use]
    pub const fn with_max_age(mut self, age: Option<Duration>) -> Self {
        self.max_age = age;
        self
    }

    /// Says that handlers use rayon ([`rayon::join`], `par_iter` and the like): the flow's idle threads stay awake to
    /// help as long as a handler runs. It costs some processor time for each thread that has nothing to do. Without it
    /// idle threads sleep, and what a handler forks runs on its own thread and on those that happen to be awake; what
    /// it gives to `rayon::spawn` or `rayon::broadcast` then takes up to 50 ms more. False by default.
    #[must_use]
    pub const fn with_forking_handlers(mut self, forking: bool) -> Self {
        self.forking_handlers = forking;
        self
    }

    /// Sets what the flow does when a handler panics. The Transport flow knows no quarantine.
    #[must_use]
    pub const fn with_panic_policy(mut self, policy: PanicPolicy) -> Self {
        self.panics = policy;
        self
    }

    /// Pins the flow's threads to cores: the first to this one of those that the process may use,
    /// counted from 0, the others to those that follow, and around again. Best effort: where the system
    /// does not let a thread be pinned, it runs anywhere, and the log says so.
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

    /// The most bytes that the flow can hold on behalf of so many peers, at most
    /// [`max_peers`](Self::max_peers), when no message has more than `message_bytes` on the heap and
    /// 200 bytes in its fields: what is admitted, what waits, and the slots for both. A bound in bytes of each peer
    /// is not taken into account, so that the true worst case may be less.
    #[must_use]
    pub const fn worst_case_bytes(&self, peers: usize, message_bytes: usize) -> usize {
        let peers = if peers > self.max_peers { self.max_peers } else { peers };
        let waiting = self.max_waiters.saturating_mul(message_bytes.saturating_add(PLACE_BYTES));
        let slots = self.max_inflight_requests().saturating_mul(SLOT_BYTES);
        let admitted = self.max_inflight_requests().saturating_mul(message_bytes);
        let admitted = match self.max_bytes {
            Some(bytes) => {
                let bytes = if bytes > MAX_BYTES { MAX_BYTES } else { bytes };
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
