//! A bound: how many may enter before others have finished.
//!
//! ```text
//! entered   CLOSED | count of all that ever entered      written by submitters, one exchange each
//! seen      count of those known to have finished        written by a submitter that finds no capacity
//! ```
//!
//! In flight is `entered - finished`. Who finishes counts on a cache line of its own, which the gate does not know:
//! the caller says how to add up what has finished. So a submitter reads the lines of those who finish only when
//! what it has seen so far leaves no capacity, and those who finish never write this line.
//!
//! Both counts only grow, apart from [`Gate::undo`]. What was seen is at most what has finished, so an entry by
//! what was seen is below the bound.

use crate::sync::{AtomicU64, Ordering};

const CLOSED: u64 = 1 << 63;

/// Why nothing enters.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Barred {
    Full,
    Closed,
}

/// The bound of a queue, or of a lane.
#[derive(Debug)]
pub(super) struct Gate {
    entered: AtomicU64,
    seen: AtomicU64,
}

impl Gate {
    pub(super) fn new() -> Self {
        Self { entered: AtomicU64::new(0), seen: AtomicU64::new(0) }
    }

    /// Enters up to `most` times, as far as not more than `limit` are in flight by that; returns how often.
    #[inline]
    pub(super) fn enter(
        &self,
        limit: u64,
        most: u64,
        finished: impl Fn() -> u64,
    ) -> Result<u64, Barred> {
        // Relaxed: the exchange below checks it.
        let mut entered = self.entered.load(Ordering::Relaxed);
        loop {
            if entered & CLOSED != 0 {
                return Err(Barred::Closed);
            }
            // Relaxed: an older value is a lower one, which bars too early and is corrected below.
            let in_flight = entered.saturating_sub(self.seen.load(Ordering::Relaxed));
            let mut capacity = limit.saturating_sub(in_flight);
            if capacity < most {
                let finished = finished();
                self.seen.store(finished, Ordering::Relaxed);
                capacity = limit.saturating_sub(entered.saturating_sub(finished));
                if capacity == 0 {
                    let now = self.entered.load(Ordering::Relaxed);
                    if now == entered {
                        return Err(Barred::Full);
                    }
                    entered = now;
                    continue;
                }
            }
            // AcqRel: who enters sees what those before it have done, and `close` is not passed.
            let count = capacity.min(most);
            match self.entered.compare_exchange_weak(
                entered,
                entered + count,
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Ok(count),
                Err(now) => entered = now,
            }
        }
    }

    /// Takes back so many entries that came to nothing; true if the gate has been closed meanwhile.
    pub(super) fn undo(&self, count: u64) -> bool {
        // AcqRel: as for entering.
        self.entered.fetch_sub(count, Ordering::AcqRel) & CLOSED != 0
    }

    /// Bars all who come later.
    pub(super) fn close(&self) {
        // AcqRel: who is barred sees what was done before.
        self.entered.fetch_or(CLOSED, Ordering::AcqRel);
    }

    /// Closes if all that entered have finished; false if not, or if it was closed before.
    pub(super) fn close_if_unused(&self, finished: u64) -> bool {
        // The exchange fails if anybody has entered since `finished` was read, or the gate is closed. AcqRel: as
        // for `close`.
        self.entered
            .compare_exchange(finished, finished | CLOSED, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }

    pub(super) fn is_closed(&self) -> bool {
        // Acquire: pairs with the release in `close`.
        self.entered.load(Ordering::Acquire) & CLOSED != 0
    }

    /// How many have entered so far.
    pub(super) fn entered(&self) -> u64 {
        self.entered.load(Ordering::Acquire) & !CLOSED
    }
}

/// Whether items are charged their bytes, by these bounds of the queue and of a lane: `u64::MAX` is none.
pub(super) fn are_charged(most: u64, lane_most: u64) -> bool {
    most & lane_most != u64::MAX
}

/// A bound in bytes beside a gate. An item enters while any byte is free, so one entry may exceed it.
#[derive(Debug)]
pub(super) struct Bytes(AtomicU64);

impl Bytes {
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Enters with up to `most` items, whose `bytes` are given by their number, while any byte is free; returns with
    /// how many, and their bytes in all.
    pub(super) fn enter(&self, most: u64, bytes: impl Fn(u64) -> u32, limit: u64) -> (u64, u64) {
        // Relaxed: the exchange below checks it.
        let mut used = self.0.load(Ordering::Relaxed);
        loop {
            let (mut count, mut sum) = (0, 0);
            while count < most && used.saturating_add(sum) < limit {
                sum += u64::from(bytes(count));
                count += 1;
            }
            if count == 0 {
                return (0, 0);
            }
            // AcqRel: as for a gate.
            match self.0.compare_exchange_weak(
                used,
                used.saturating_add(sum),
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => return (count, sum),
                Err(now) => used = now,
            }
        }
    }

    /// Enters whatever the bound is.
    pub(super) fn add(&self, bytes: u64) {
        // AcqRel: as for a gate.
        self.0.fetch_add(bytes, Ordering::AcqRel);
    }

    /// An entry of `new` bytes takes over those of an `old` one; false if it is larger and no byte would be free
    /// without the old one.
    pub(super) fn exchange(&self, old: u64, new: u64, limit: u64) -> bool {
        // Relaxed: the exchange below checks it.
        let mut used = self.0.load(Ordering::Relaxed);
        loop {
            let others = used.saturating_sub(old);
            if new > old && others >= limit {
                return false;
            }
            // AcqRel: as for a gate.
            let exchanged = self.0.compare_exchange_weak(
                used,
                others.saturating_add(new),
                Ordering::AcqRel,
                Ordering::Relaxed,
            );
            match exchanged {
                Ok(_) => return true,
                Err(now) => used = now,
            }
        }
    }

    pub(super) fn leave(&self, bytes: u64) {
        // AcqRel: as for a gate.
        self.0.fetch_sub(bytes, Ordering::AcqRel);
    }

    pub(super) fn used(&self) -> u64 {
        // Relaxed: statistics only, and a bound that `enter` checks again.
        self.0.load(Ordering::Relaxed)
    }
}
