//! Dropping from a lane whose queue stands: the CoDel algorithm of RFC 8289, section 5.
//!
//! Each lane has a state of its own. Workers that serve one lane at the same time change it without
//! waiting for each other; should two of them decide at the same moment, a message more or less is dropped.

use crate::{
    clock::nanos,
    config::Codel,
    sync::{AtomicU64, Ordering},
};

/// After so many intervals a state that begins anew forgets how the last one went.
const MEMORY: u64 = 16;

/// How a lane's queue stands. Times are nanoseconds since the flow was made, and one more; 0 is never.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// When messages will have waited for too long over a whole interval.
    above: AtomicU64,
    /// When the next message is dropped, or would have been.
    next: AtomicU64,
    /// How many were dropped since the state of dropping began; 0 outside of it.
    count: AtomicU64,
    /// With how many the last state ended.
    last: AtomicU64,
}

impl Standing {
    /// The queue does not stand: a message has waited for less than the target, or none is left, whatever has
    /// become of the last of them.
    pub(super) fn begins_anew(&self) {
        // Relaxed, here and below: see the head of this room.
        if self.above.load(Ordering::Relaxed) == 0 {
            return;
        }
        self.above.store(0, Ordering::Relaxed);
        let count = self.count.load(Ordering::Relaxed);
        if count > 0 {
            self.last.store(count, Ordering::Relaxed);
            self.count.store(0, Ordering::Relaxed);
        }
    }

    /// Whether a message that has waited for so long is to be dropped; `last` is whether it is the last
    /// of its queue. In nanoseconds.
    pub(super) fn sheds(&self, codel: Codel, now: u64, waited: u64, last: bool) -> bool {
        let (target, interval) = (nanos(codel.target), nanos(codel.interval));
        let now = now.saturating_add(1);
        // Relaxed, here and below: see the head of this room.
        let count = self.count.load(Ordering::Relaxed);
        if waited < target || last {
            self.begins_anew();
            return false;
        }
        let above = self.above.load(Ordering::Relaxed);
        if above == 0 {
            self.above.store(now.saturating_add(interval), Ordering::Relaxed);
            return false;
        }
        let next = self.next.load(Ordering::Relaxed);
        if now < above || count > 0 && now < next {
            return false;
        }
        let (count, from) = if count > 0 {
            (count + 1, next)
        } else {
            let is_soon = now.saturating_sub(next) < MEMORY.saturating_mul(interval);
            let last = self.last.load(Ordering::Relaxed);
            (if is_soon && last > 2 { last - 2 } else { 1 }, now)
        };
        self.count.store(count, Ordering::Relaxed);
        let pause = (interval as f64 / (count as f64).sqrt()) as u64;
        self.next.store(from.saturating_add(pause), Ordering::Relaxed);
        true
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;
