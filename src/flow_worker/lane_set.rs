//! A set of lanes, by their seats: which of them want something.
//!
//! One bit for each seat, and above each 64 words of them one that says which may have a bit set, so
//! that the next lane in turn is found by looking at a few words, whether there are ten seats or ten
//! thousand. Putting a lane in twice is putting it in once, and what is found in the set is a hint:
//! a lane may be in it that wants nothing, and the finder takes it out. What must not happen is that
//! a lane wants something and is not in the set; whoever takes one out therefore fences and looks once
//! more, at the lane that has the seat then.
//!
//! # Why a set word is never hidden
//!
//! A word's bit above is set after its first bit was, and cleared after its last bit was cleared, and
//! then the word is looked at once more. Say somebody puts a lane into an empty word while another
//! empties it. Both change the bit above by a read-modify-write, so one comes first. If the clearing
//! comes first, the setting stands. If the setting comes first, the clearing reads it, and with it
//! sees the lane's bit when it looks once more, and sets the bit above again.
//!
//! A thread that is preempted between a lane's bit and the bit above it hides that word's lanes until
//! it runs again, as one hides a queue's slot that has reserved and not yet published it. Whoever cannot wait for
//! that [looks at all words](LaneSet::iter).

use std::iter;

use crate::sync::{AtomicU64, Ordering};

const BITS: usize = u64::BITS as usize;

/// A set of lanes.
#[derive(Debug)]
pub(super) struct LaneSet {
    lanes: Box<[AtomicU64]>,
    /// Which words of `lanes` may have a bit set.
    words: Box<[AtomicU64]>,
}

impl LaneSet {
    /// An empty set with room for the seats below `seats`.
    pub(super) fn new(seats: usize) -> Self {
        let zeros = |count: usize| (0..count).map(|_| AtomicU64::new(0)).collect();
        let words = seats.div_ceil(BITS);
        Self { lanes: zeros(words), words: zeros(words.div_ceil(BITS)) }
    }

    /// Puts a lane in; false if it was in already, and nothing was written.
    #[inline]
    pub(super) fn insert(&self, seat: usize) -> bool {
        let (word, bit) = (seat / BITS, 1 << (seat % BITS));
        // Relaxed: whoever has just taken it out looks at the lane once more, after a fence that pairs
        // with the caller's.
        if self.lanes[word].load(Ordering::Relaxed) & bit != 0 {
            return false;
        }
        // AcqRel: Release so that who finds the lane sees what it wants; both for the proof above.
        let before = self.lanes[word].fetch_or(bit, Ordering::AcqRel);
        if before == 0 {
            // AcqRel: for the proof above.
            self.words[word / BITS].fetch_or(1 << (word % BITS), Ordering::AcqRel);
        }
        before & bit == 0
    }

    /// Begins to put a lane in, and is preempted before the bit above.
    #[cfg(all(test, not(any(loom, shuttle))))]
    pub(super) fn insert_halfway(&self, seat: usize) {
        self.lanes[seat / BITS].fetch_or(1 << (seat % BITS), Ordering::AcqRel);
    }

    /// Takes a lane out; true if it was in. Unless the caller holds the lane, it must fence and look
    /// at the lane once more.
    pub(super) fn remove(&self, seat: usize) -> bool {
        let (word, bit) = (seat / BITS, 1_u64 << (seat % BITS));
        // AcqRel: as in `insert`.
        let before = self.lanes[word].fetch_and(!bit, Ordering::AcqRel);
        if before == bit {
            let (above, bit) = (&self.words[word / BITS], 1 << (word % BITS));
            // AcqRel: for the proof above.
            above.fetch_and(!bit, Ordering::AcqRel);
            // Relaxed: what must be seen here has been acquired by the line above.
            if self.lanes[word].load(Ordering::Relaxed) != 0 {
                above.fetch_or(bit, Ordering::AcqRel);
            }
        }
        before & bit != 0
    }

    /// The next lane in turn, from this seat on and then from the first.
    pub(super) fn next(&self, from: usize) -> Option<usize> {
        let (word, bit) = (from / BITS % self.lanes.len(), from % BITS);
        let here = |mask: u64| {
            // Acquire: pairs with the Release in `insert`.
            let found = self.lanes[word].load(Ordering::Acquire) & mask;
            (found != 0).then(|| word * BITS + found.trailing_zeros() as usize)
        };
        here(!0 << bit)
            .or_else(|| self.first_in(word + 1, self.lanes.len()))
            .or_else(|| self.first_in(0, word))
            .or_else(|| here(!(!0 << bit)))
    }

    /// The first lane in the words from `start` to before `end`.
    fn first_in(&self, start: usize, end: usize) -> Option<usize> {
        let mut word = start;
        while word < end {
            // Acquire: who finds a bit here finds those below it.
            let above = self.words[word / BITS].load(Ordering::Acquire) & (!0 << (word % BITS));
            if above == 0 {
                word = (word / BITS + 1) * BITS;
                continue;
            }
            word = word / BITS * BITS + above.trailing_zeros() as usize;
            if word >= end {
                return None;
            }
            // Acquire: as in `next`.
            let found = self.lanes[word].load(Ordering::Acquire);
            if found != 0 {
                return Some(word * BITS + found.trailing_zeros() as usize);
            }
            word += 1;
        }
        None
    }

    /// Whether a lane other than that of `seat` is in the set.
    #[inline]
    pub(super) fn has_other_than(&self, seat: usize) -> bool {
        self.next(seat + 1).is_some_and(|found| found != seat)
    }

    /// By the bits above only, as [`next`](Self::next) finds lanes in other words: whoever is told that
    /// there is one finds it, from wherever he looks.
    pub(super) fn is_empty(&self) -> bool {
        self.first_in(0, self.lanes.len()).is_none()
    }

    /// All seats in the set, as they are found word by word.
    pub(super) fn iter(&self) -> impl Iterator<Item = usize> {
        self.lanes.iter().enumerate().flat_map(|(word, lanes)| {
            // Acquire: as in `next`.
            let mut found = lanes.load(Ordering::Acquire);
            iter::from_fn(move || {
                let bit = (found != 0).then(|| found.trailing_zeros() as usize)?;
                found &= found - 1;
                Some(word * BITS + bit)
            })
        })
    }

    /// The seats below `seats` that are not in the set, as they are found word by word.
    pub(super) fn missing(&self, seats: usize) -> impl Iterator<Item = usize> {
        self.lanes.iter().enumerate().flat_map(move |(word, lanes)| {
            // Acquire: as in `next`.
            let mut missing = !lanes.load(Ordering::Acquire);
            iter::from_fn(move || {
                let bit = (missing != 0).then(|| missing.trailing_zeros() as usize)?;
                missing &= missing - 1;
                Some(word * BITS + bit).filter(|&seat| seat < seats)
            })
        })
    }
}

#[cfg(all(test, loom))]
mod model;
#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;
