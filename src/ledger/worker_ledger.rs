//! What one worker counts and says of itself, on cache lines of its own.

use super::{
    latency::{self, Recorder},
    recent::{Entry, Recent, Taken},
};
use crate::{
    Outcome,
    sync::{AtomicU64, Ordering},
};

/// Nothing, as what a worker runs.
const NOTHING: u64 = 0;

/// What is counted of messages by one thread at a time, so that a count is a load and a store.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) handled: AtomicU64,
    pub(super) panicked: AtomicU64,
    pub(super) expired: AtomicU64,
    pub(super) cancelled: AtomicU64,
    pub(super) dropped: AtomicU64,
    pub(super) wait: Recorder,
    pub(super) service: Recorder,
}

impl Counts {
    /// A handler has returned or panicked; times are in nanoseconds. Returns their buckets in the histograms. One
    /// thread at a time calls this.
    #[inline]
    pub(super) fn ran(&self, wait: u64, service: u64, panicked: bool) -> [usize; 2] {
        let buckets = [self.wait.record(wait), self.service.record(service)];
        count(if panicked { &self.panicked } else { &self.handled });
        buckets
    }
}

/// What one worker counts, what it runs, and what it ran last. Nobody else writes it.
#[derive(Debug, Default)]
pub(crate) struct WorkerLedger {
    pub(super) counts: Counts,
    /// When the handler that runs began, in nanoseconds since the flow was made and one more.
    began: AtomicU64,
    /// What it runs, as the flow marks its lanes.
    lane: AtomicU64,
    recent: Recent,
}

/// Adds one to a count that nobody else writes.
#[inline]
fn count(counter: &AtomicU64) {
    // Relaxed load: nobody else writes it. Release: who sees the message counted sees what it did.
    counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Release);
}

impl WorkerLedger {
    /// A handler begins. Only the worker itself calls this.
    #[inline]
    pub(crate) fn begins(&self, taken: Taken) {
        // Relaxed: statistics only.
        self.lane.store(taken.lane, Ordering::Relaxed);
        self.began.store(taken.when + 1, Ordering::Relaxed);
    }

    /// It ends; returns what began. Read back from here, since a caller that kept it would have to save it across the
    /// handler's call.
    #[inline]
    fn ends(&self) -> Taken {
        // Relaxed: nobody else writes them. It is one nanosecond late, which is not worth an instruction.
        let when = self.began.load(Ordering::Relaxed);
        self.began.store(NOTHING, Ordering::Relaxed);
        Taken { lane: self.lane.load(Ordering::Relaxed), when }
    }

    /// It has returned or panicked; times are in nanoseconds. Only the worker itself calls this.
    #[inline]
    pub(crate) fn ran(&self, wait: u64, service: u64, panicked: bool) {
        let taken = self.ends();
        let [wait, service] = self.counts.ran(wait, service, panicked);
        let outcome = if panicked { Outcome::Panicked } else { Outcome::Handled };
        self.recent.record(taken, wait, service, Some(outcome));
    }

    /// It has returned or panicked, and its message is held beyond that. Only the worker itself calls this.
    #[cold]
    pub(crate) fn is_held(&self, wait: u64, service: u64) {
        let (wait, service) = (latency::bucket_of(wait), latency::bucket_of(service));
        self.recent.record(self.ends(), wait, service, None);
    }

    /// A message that the worker took will not run. Only the worker itself calls this.
    pub(crate) fn discarded(&self, taken: Taken, wait: u64, outcome: Outcome) {
        match outcome {
            Outcome::Expired => count(&self.counts.expired),
            Outcome::Cancelled => count(&self.counts.cancelled),
            Outcome::DroppedAtShutdown => count(&self.counts.dropped),
            _ => unreachable!("{outcome} is not found by a worker"),
        }
        self.recent.record(taken, latency::bucket_of(wait), 0, Some(outcome));
    }

    /// The lane of the message whose handler runs, and when that began, in nanoseconds since the flow was made.
    pub(crate) fn runs(&self) -> Option<Taken> {
        // Relaxed: statistics only; the two may be of different messages.
        match self.began.load(Ordering::Relaxed) {
            NOTHING => None,
            began => Some(Taken { lane: self.lane.load(Ordering::Relaxed), when: began - 1 }),
        }
    }

    /// The last messages that the worker has taken, the oldest first; not the one that it runs.
    pub(crate) fn recent(&self) -> Vec<Entry> {
        self.recent.read()
    }

    /// Messages of this worker that were dropped at a shutdown.
    pub(crate) fn dropped(&self) -> u64 {
        self.counts.dropped.load(Ordering::Acquire)
    }
}
