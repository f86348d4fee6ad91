//! What one worker counts and says of itself, on cache lines of its own.

use super::latency::Recorder;
use crate::{
    Outcome,
    sync::{AtomicU64, Ordering},
};

/// Nothing, as what a worker runs.
const NOTHING: u64 = 0;

/// What one worker counts, and what it runs. Nobody else writes it, so that a count is a load and a store.
#[derive(Debug, Default)]
pub(crate) struct WorkerLedger {
    pub(super) handled: AtomicU64,
    pub(super) panicked: AtomicU64,
    pub(super) expired: AtomicU64,
    pub(super) cancelled: AtomicU64,
    pub(super) dropped: AtomicU64,
    /// When the handler that runs began, in nanoseconds since the flow was made and one more.
    began: AtomicU64,
    /// What it runs, as the flow numbers its lanes.
    lane: AtomicU64,
    pub(super) wait: Recorder,
    pub(super) service: Recorder,
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
    pub(crate) fn begins(&self, lane: u32, nanos: u64) {
        // Relaxed: statistics only.
        self.lane.store(lane.into(), Ordering::Relaxed);
        self.began.store(nanos + 1, Ordering::Relaxed);
    }

    /// It has returned or panicked; times are in nanoseconds. Only the worker itself calls this.
    #[inline]
    pub(crate) fn ran(&self, wait: u64, service: u64, panicked: bool) {
        // Relaxed: statistics only.
        self.began.store(NOTHING, Ordering::Relaxed);
        self.wait.record(wait);
        self.service.record(service);
        count(if panicked { &self.panicked } else { &self.handled });
    }

    /// It has returned or panicked, and its message is held beyond that. Only the worker itself calls this.
    #[cold]
    pub(crate) fn is_held(&self) {
        // Relaxed: statistics only.
        self.began.store(NOTHING, Ordering::Relaxed);
    }

    /// A message that the worker took will not run. Only the worker itself calls this.
    pub(crate) fn discarded(&self, outcome: Outcome) {
        match outcome {
            Outcome::Expired => count(&self.expired),
            Outcome::Cancelled => count(&self.cancelled),
            Outcome::DroppedAtShutdown => count(&self.dropped),
            _ => unreachable!("{outcome} is not found by a worker"),
        }
    }

    /// The lane of the message whose handler runs, and when that began, in nanoseconds since the flow was made.
    pub(crate) fn runs(&self) -> Option<(u32, u64)> {
        // Relaxed: statistics only; the two may be of different messages.
        match self.began.load(Ordering::Relaxed) {
            NOTHING => None,
            began => Some((self.lane.load(Ordering::Relaxed) as u32, began - 1)),
        }
    }

    /// Messages of this worker that were dropped at a shutdown.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Acquire)
    }
}
