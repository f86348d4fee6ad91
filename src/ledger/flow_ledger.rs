//! What one flow counts.

use std::{
    fmt,
    sync::{OnceLock, Weak},
    time::Duration,
};

use crossbeam::utils::CachePadded;
use strum::EnumCount;

use super::{
    Counter, FlowSnapshot, LatencySnapshot,
    advice::{Amount, Excess},
    high_water::HighWater,
    worker_ledger::{Counts, WorkerLedger},
};
use crate::{
    Outcome,
    clock::{Moment, nanos},
    sync::{AtomicU64, Mutex, Ordering},
};

/// Counters and histograms of one flow of one handler.
#[derive(Debug)]
pub(crate) struct FlowLedger {
    pub(crate) workers: Box<[CachePadded<WorkerLedger>]>,
    /// Messages whose slots were held. Written under the lock, by the threads that drop slots.
    slots: (Mutex<()>, Counts),
    /// What the gauges have said so far, for a flow that is gone.
    admitted: AtomicU64,
    high_water: HighWater,
    waited: Counter,
    /// By outcome; those that workers find are counted by them.
    outcomes: [Counter; Outcome::COUNT],
    stray_panics: Counter,
    stuck: Counter,
    /// What was dropped for want of capacity.
    pub(crate) excess: Excess,
    gauges: OnceLock<Weak<dyn Gauges>>,
}

/// What a flow says of itself at a moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Load {
    /// Messages that were ever admitted. It never falls.
    pub(crate) admitted: u64,
    pub(crate) in_flight: usize,
    /// Permits among them, for messages that have yet to come.
    pub(crate) permits: usize,
    /// What is in flight, for the high-water mark: never more than there was.
    pub(crate) least_in_flight: usize,
    pub(crate) bytes: usize,
    pub(crate) waiting: usize,
    /// Messages whose slots are held.
    pub(crate) held: usize,
    /// About how long the oldest message that is queued has waited.
    pub(crate) oldest_age: Duration,
    /// Threads that are alive.
    pub(crate) live_workers: usize,
    /// Threads that it was built with.
    pub(crate) threads: usize,
    /// Peers with a lane.
    pub(crate) peers: usize,
    pub(crate) max_peers: usize,
    /// The most submitters that wait for one peer.
    pub(crate) max_waiters: usize,
    /// The bounds of the flow, and of a peer.
    pub(crate) bounds: [Amount; 2],
    /// The age at which messages expire.
    pub(crate) max_age: Option<Duration>,
}

/// A flow, as its ledger sees it.
pub(crate) trait Gauges: fmt::Debug + Send + Sync {
    fn load(&self) -> Load;
}

impl FlowLedger {
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            workers: (0..workers).map(|_| CachePadded::default()).collect(),
            slots: Default::default(),
            admitted: AtomicU64::new(0),
            high_water: HighWater::default(),
            waited: Counter::default(),
            outcomes: Default::default(),
            stray_panics: Counter::default(),
            stuck: Counter::default(),
            excess: Excess::default(),
            gauges: OnceLock::new(),
        }
    }

    /// The flow that was built with this ledger.
    pub(crate) fn observe(&self, gauges: Weak<dyn Gauges>) {
        // A flow is built once.
        let _ = self.gauges.set(gauges);
    }

    /// So many messages have been admitted by now, as the flow says whose ledger this is.
    pub(crate) fn note_admitted(&self, admitted: u64) -> u64 {
        // Relaxed: statistics only. The larger one stays, so that what is shown never falls.
        self.admitted.fetch_max(admitted, Ordering::Relaxed).max(admitted)
    }

    /// So many messages are in flight, as a submitter sees it that finds no capacity.
    pub(crate) fn note_in_flight(&self, in_flight: usize) {
        self.high_water.note(in_flight);
    }

    /// So many messages are in flight, as who looks at the flow sees it; returns the most that were of late.
    pub(crate) fn look_at_in_flight(&self, in_flight: usize) -> usize {
        self.high_water.look(in_flight, Moment::now())
    }

    /// A submitter waits that found no capacity.
    pub(crate) fn has_waited(&self) {
        self.waited.increment();
    }

    /// A message has come to an outcome that no worker counts.
    pub(crate) fn count(&self, outcome: Outcome) {
        self.count_many(outcome, 1);
    }

    /// So many messages have.
    pub(crate) fn count_many(&self, outcome: Outcome, messages: u64) {
        // Release: who sees it counted sees what was done before.
        self.outcomes[outcome as usize].0.fetch_add(messages, Ordering::Release);
    }

    /// How many messages have come to this outcome, apart from those that workers count.
    pub(crate) fn counted(&self, outcome: Outcome) -> u64 {
        // Acquire: pairs with the Release above.
        self.outcomes[outcome as usize].0.load(Ordering::Acquire)
    }

    /// A message whose slot was held has finished; times are in nanoseconds.
    pub(crate) fn finished_later(&self, wait: u64, service: u64, panicked: bool) {
        let (lock, counts) = &self.slots;
        let _lock = lock.lock();
        counts.ran(wait, service, panicked);
    }

    /// Those of the workers, and that of slots.
    fn all(&self) -> impl Iterator<Item = &Counts> {
        self.workers.iter().map(|worker| &worker.counts).chain([&self.slots.1])
    }

    /// A handler has run for longer than it should.
    pub(crate) fn found_stuck(&self) {
        self.stuck.increment();
    }

    /// The watch looks at so many nanoseconds; `is_empty` says whether nothing is in flight.
    pub(crate) fn look_at_excess(&self, now: u64, is_empty: impl FnOnce() -> bool) {
        self.excess.look(now, is_empty, || {
            let service = LatencySnapshot::of(self.all().map(|counts| &counts.service));
            nanos(service.mean())
        });
    }

    /// Something that a handler has spawned panicked.
    pub(crate) fn stray_panic(&self) {
        self.stray_panics.increment();
    }

    pub(crate) fn snapshot(&self) -> FlowSnapshot {
        // The load first: who finds nothing in flight then reads the counts of all that finished.
        let gauges = self.gauges.get().and_then(Weak::upgrade);
        let is_there = gauges.is_some();
        let load = gauges.map(|gauges| gauges.load()).unwrap_or_default();
        let [bound, of_peer] = load.bounds;
        let high_water = self.look_at_in_flight(load.least_in_flight);
        let sum = |count: fn(&Counts) -> &AtomicU64| {
            // Acquire: who sees a message counted sees what it did.
            self.all().map(|counts| count(counts).load(Ordering::Acquire)).sum::<u64>()
        };
        let mut outcomes: [u64; Outcome::COUNT] =
            std::array::from_fn(|outcome| self.outcomes[outcome].get());
        let found = [
            (Outcome::Handled, sum(|worker| &worker.handled)),
            (Outcome::Panicked, sum(|worker| &worker.panicked)),
            (Outcome::Expired, sum(|worker| &worker.expired)),
            (Outcome::Cancelled, sum(|worker| &worker.cancelled)),
            (Outcome::DroppedAtShutdown, sum(|worker| &worker.dropped)),
        ];
        found.iter().for_each(|&(outcome, count)| outcomes[outcome as usize] += count);
        let running = self.workers.iter().filter(|worker| worker.runs().is_some()).count();
        let shares = [
            share(load.in_flight as u64, bound.items),
            share(load.bytes as u64, bound.bytes),
            load.max_age.map_or(0, |max| share(nanos(load.oldest_age), nanos(max))),
            if load.waiting > 0 { 100 } else { 0 },
        ];
        FlowSnapshot {
            in_flight: load.in_flight,
            queued: load.in_flight.saturating_sub(running + load.held + load.permits),
            held: load.held,
            permits: load.permits,
            bytes_in_flight: load.bytes,
            waiting: load.waiting,
            oldest_age: load.oldest_age,
            high_water,
            max_in_flight: bound.items as usize,
            max_bytes: (bound.bytes != u64::MAX).then_some(bound.bytes),
            peers: load.peers,
            max_peers: load.max_peers,
            peer_quota: of_peer.items as usize,
            max_waiters: load.max_waiters,
            threads: load.threads,
            live_workers: load.live_workers,
            overload: shares.into_iter().max().unwrap_or_default(),
            stray_panics: self.stray_panics.get(),
            stuck: self.stuck.get(),
            advice: is_there.then(|| self.excess.advice(bound, of_peer)).flatten(),
            admitted: self.note_admitted(load.admitted),
            waiting_for_peer_permit: self.waited.get(),
            outcomes,
            wait: LatencySnapshot::of(self.all().map(|worker| &worker.wait)),
            service: LatencySnapshot::of(self.all().map(|worker| &worker.service)),
        }
    }
}

/// How many hundredths of the limit are used, at most 100.
fn share(used: u64, limit: u64) -> u8 {
    (u128::from(used) * 100 / u128::from(limit.max(1))).min(100) as u8
}
