//! The last messages of a worker, for those who look when something is wrong.
//!
//! ```text
//! recorded   how many there ever were, written last
//! slots      when (64 bits) | lane (35) wait (12) service (12) outcome (5)     two words a message, in a ring
//! ```
//!
//! The worker is the only writer: two words and a count, without a locked instruction. It never waits for a reader. A
//! reader copies the ring, looks once more how far the worker has come, and leaves out what was overwritten meanwhile.
//! Durations are kept as numbers of the histogram's buckets, which recording them has worked out anyway.
//!
//! Bounds: [`RECENT`] slots, 64 KiB a worker. The slot that comes next may be half written and is never read.

use std::fmt;

use strum::IntoEnumIterator;

use super::latency::{BUCKETS, lowest_of};
use crate::{
    Outcome,
    sync::{AtomicU64, Ordering, fence},
};

/// Slots of the ring: a power of two, so that a place in it is a mask.
const RECENT: usize = if cfg!(any(loom, shuttle)) { 2 } else { 4_096 };

const BUCKET_BITS: u32 = 12;
const OUTCOME_BITS: u32 = 5;
/// Those that are left for a lane.
pub(crate) const LANE_BITS: u32 = u64::BITS - 2 * BUCKET_BITS - OUTCOME_BITS;
/// What stands for an outcome where the message's slot is held.
const HELD: u64 = (1 << OUTCOME_BITS) - 1;

const _: () = {
    assert!(RECENT.is_power_of_two() && BUCKETS <= 1 << BUCKET_BITS);
    assert!(<Outcome as strum::EnumCount>::COUNT < HELD as usize);
};

/// What became of a message that a worker has taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Entry {
    /// When its handler began or it was let go, in nanoseconds since the flow was made.
    pub(crate) when: u64,
    /// Which lane it is of, as the flow marks its lanes, in [`LANE_BITS`].
    pub(crate) lane: u64,
    /// In nanoseconds, to two significant digits, as the following.
    pub(crate) wait: u64,
    pub(crate) service: u64,
    /// `None` if its handler has returned and its slot is held.
    pub(crate) outcome: Option<Outcome>,
}

/// Where and when a worker has taken a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    pub(crate) lane: u64,
    pub(crate) when: u64,
}

/// The ring of one worker.
pub(super) struct Recent {
    recorded: AtomicU64,
    slots: Box<[[AtomicU64; 2]; RECENT]>,
}

impl Default for Recent {
    fn default() -> Self {
        let slots = (0..RECENT).map(|_| [AtomicU64::new(0), AtomicU64::new(0)]);
        let slots = slots.collect::<Vec<_>>().try_into();
        Self { recorded: AtomicU64::new(0), slots: slots.expect("there are as many") }
    }
}

impl Recent {
    /// Records a message; the times are the histogram's buckets. Only the worker itself calls this.
    #[inline]
    pub(super) fn record(
        &self,
        taken: Taken,
        wait: usize,
        service: usize,
        outcome: Option<Outcome>,
    ) {
        let outcome = outcome.map_or(HELD, |outcome| outcome as u64);
        // Relaxed: nobody else writes it.
        let recorded = self.recorded.load(Ordering::Relaxed);
        let [when, what] = &self.slots[recorded as usize % RECENT];
        // Release: who reads one of these words sees the count that was written before it, by which it knows that the
        // slot is in use again.
        when.store(taken.when, Ordering::Release);
        // The bits of the lane that there is no space for are shifted out.
        let lane = taken.lane << (2 * BUCKET_BITS + OUTCOME_BITS);
        let times =
            (wait as u64) << (BUCKET_BITS + OUTCOME_BITS) | (service as u64) << OUTCOME_BITS;
        what.store(lane | times | outcome, Ordering::Release);
        // Release: who sees the count sees the words.
        self.recorded.store(recorded.wrapping_add(1), Ordering::Release);
    }

    /// What was recorded last, the oldest first.
    pub(super) fn read(&self) -> Vec<Entry> {
        let size = RECENT as u64;
        // Acquire: the words of what is counted are seen.
        let recorded = self.recorded.load(Ordering::Acquire);
        let first = recorded.saturating_sub(size);
        // Relaxed: ordered by the fence.
        let words: Vec<_> = (first..recorded)
            .map(|number| {
                let slot = &self.slots[number as usize % RECENT];
                (number, slot.each_ref().map(|word| word.load(Ordering::Relaxed)))
            })
            .collect();
        // Acquire: pairs with the words' stores. Whose word was read has written the count before it.
        fence(Ordering::Acquire);
        // The slot of the one that comes next may be half written.
        let next = self.recorded.load(Ordering::Relaxed);
        let whole = words.into_iter().filter(|(number, _)| number + size > next);
        whole.map(|(_, words)| entry(words)).collect()
    }
}

fn entry([when, what]: [u64; 2]) -> Entry {
    let nanos = |shift: u32| lowest_of((what >> shift) as usize & ((1 << BUCKET_BITS) - 1));
    Entry {
        when,
        lane: what >> (2 * BUCKET_BITS + OUTCOME_BITS),
        wait: nanos(BUCKET_BITS + OUTCOME_BITS),
        service: nanos(OUTCOME_BITS),
        outcome: Outcome::iter().nth((what & HELD) as usize),
    }
}

impl fmt::Debug for Recent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recent").finish_non_exhaustive()
    }
}

#[cfg(all(test, loom))]
mod model;
#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;
