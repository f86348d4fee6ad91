//! Dropping from a lane whose queue stands: the CoDel algorithm of RFC 8289, section 5.
//!
//! Each lane has a state of its own. Workers that serve one lane at the same time change it without
//! waiting for each other; should two of them decide at the same moment, a message more or less is dropped.

use crate::{
    config::Codel,
    sync::{AtomicU64, Ordering},
};

/// How a lane's queue stands. Times are nanoseconds since the flow was made, and one more; 0 is never.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// When messages will have waited for too long over a whole interval.
    above: AtomicU64,
    /// When the next message is dropped, while some are.
    next: AtomicU64,
    /// How many were dropped since that began.
    count: AtomicU64,
}

impl Standing {
    /// Whether a message that has waited for so long is to be dropped; `last` is whether it is the last
    /// of its queue. In nanoseconds.
    pub(super) fn sheds(&self, codel: Codel, now: u64, waited: u64, last: bool) -> bool {
        let (target, interval) = (codel.target.as_nanos() as u64, codel.interval.as_nanos() as u64);
        let now = now.saturating_add(1);
        // Relaxed, here and below: see the head of this room.
        if waited < target || last {
            self.above.store(0, Ordering::Relaxed);
            self.next.store(0, Ordering::Relaxed);
            return false;
        }
        let above = self.above.load(Ordering::Relaxed);
        if above == 0 {
            self.above.store(now.saturating_add(interval), Ordering::Relaxed);
            return false;
        }
        if now < above {
            return false;
        }
        let next = self.next.load(Ordering::Relaxed);
        let count = if next == 0 {
            // A state that begins soon after the last one ended goes on where that was.
            let before = self.count.load(Ordering::Relaxed);
            if before > 2 { before - 2 } else { 1 }
        } else if now < next {
            return false;
        } else {
            self.count.load(Ordering::Relaxed) + 1
        };
        self.count.store(count, Ordering::Relaxed);
        let pause = (interval as f64 / (count as f64).sqrt()) as u64;
        let from = if next == 0 { now } else { next };
        self.next.store(from.saturating_add(pause), Ordering::Relaxed);
        true
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
