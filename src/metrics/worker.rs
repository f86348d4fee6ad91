//! What one worker counts and says of itself, on cache lines of its own.

use crate::{
    Outcome,
    latency::Recorder,
    sync::{AtomicU64, AtomicUsize, Ordering},
};

/// Nothing, as the seat of a worker's lane.
const NO_SEAT: usize = 0;

/// What one worker counts, and what it runs. Nobody else writes it, so that a count is a load and a
/// store.
#[derive(Debug, Default)]
pub(crate) struct WorkerMetrics {
    /// All that the worker took and that are gone, whatever their end.
    pub(super) finished: AtomicU64,
    pub(super) handled: AtomicU64,
    pub(super) panicked: AtomicU64,
    pub(super) expired: AtomicU64,
    pub(super) shed: AtomicU64,
    pub(super) cancelled: AtomicU64,
    /// One more than the seat of the lane that it serves.
    seat: AtomicUsize,
    /// When what it runs began, or up to a quantum before, in nanoseconds since the flow was made.
    began: AtomicU64,
    pub(super) wait: Recorder,
    pub(super) service: Recorder,
}

/// Adds one to a count that nobody else writes.
#[inline]
fn count(counter: &AtomicU64) {
    // Relaxed: `finished` publishes it, and nobody else writes it.
    counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

impl WorkerMetrics {
    /// A handler has returned or panicked; times are in nanoseconds. Only the worker itself calls this.
    #[inline]
    pub(crate) fn ran(&self, wait: u64, service: u64, panicked: bool) {
        self.wait.record(wait);
        self.service.record(service);
        count(if panicked { &self.panicked } else { &self.handled });
    }

    /// A message will not run, for a reason that a worker finds. Only the worker itself calls this.
    pub(crate) fn discarded(&self, end: Outcome) {
        match end {
            Outcome::Expired => count(&self.expired),
            Outcome::Shed => count(&self.shed),
            Outcome::Cancelled => count(&self.cancelled),
            _ => unreachable!("{end} is not found by a worker"),
        }
    }

    /// A message that the worker took is gone, and its room is free. Only the worker itself calls this.
    #[inline]
    pub(crate) fn finished(&self) {
        // Relaxed: nobody else writes it.
        let count = self.finished.load(Ordering::Relaxed);
        // Release: who sees it counted sees what its handler did.
        self.finished.store(count + 1, Ordering::Release);
    }

    /// How many messages the worker has finished.
    pub(crate) fn count_finished(&self) -> u64 {
        // Acquire: pairs with the Release above.
        self.finished.load(Ordering::Acquire)
    }

    /// The worker begins a turn of this lane; what it served until now. Only the worker itself calls
    /// this, and fences before it looks whether the lane's messages may run.
    pub(crate) fn begins_turn(&self, seat: usize) -> usize {
        // Relaxed: nobody else writes it; the caller's fence publishes it.
        let outside = self.seat.load(Ordering::Relaxed);
        self.seat.store(seat + 1, Ordering::Relaxed);
        outside
    }

    /// The worker has ended a turn, and goes on with what it served before. Only the worker itself
    /// calls this.
    pub(crate) fn ends_turn(&self, outside: usize) {
        // Release: who sees it sees what the worker has done.
        self.seat.store(outside, Ordering::Release);
    }

    /// A turn begins, or a quantum of it. Only the worker itself calls this.
    pub(crate) fn begins(&self, nanos: u64) {
        // Relaxed: for the eye only.
        self.began.store(nanos, Ordering::Relaxed);
    }

    /// When what it runs began, in nanoseconds since the flow was made.
    pub(crate) fn began(&self) -> u64 {
        // Relaxed: for the eye only.
        self.began.load(Ordering::Relaxed)
    }

    /// The seat of the lane that the worker serves, if it serves one.
    pub(crate) fn seat(&self) -> Option<usize> {
        // Acquire: pairs with the Release above.
        match self.seat.load(Ordering::Acquire) {
            NO_SEAT => None,
            seat => Some(seat - 1),
        }
    }
}
