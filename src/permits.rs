//! A bound: how many have entered, how many of them have left, and how many wait to enter.
//!
//! ```text
//!              entered                  left
//!   ──────────────┬──────────────────────┬──────────────▶ count
//!      waiting    │      in flight       │   finished
//!                 └── at most the limit ─┘
//! ```
//!
//! What enters and what leaves is counted apart, so that the one who brings messages and the one who
//! finishes them write to different cache lines. How many have left is the caller's to count, as is
//! fit: one counter for each worker, or one for all. [`Permits`] holds the other side: one atomic
//! word, changed by read-modify-writes only, so that all of its changes have one order.
//!
//! Who enters need not know how many have left by now: it is enough to know how many had when somebody
//! looked last, and since nothing that has left comes back, an old look only finds less room than there
//! is. Whoever finds none by the old look looks again. The limit is read each time, so that a new one
//! holds from the next attempt on.
//!
//! What is counted may be messages or bytes: who enters does so with a weight, and finds room as long
//! as the limit has not been reached. So the last to enter may exceed it, by its weight less one, and
//! whether there is room does not depend on who asks.
//!
//! What each message passes here, and in the other rooms on its way, is marked to be inlined: a flow is
//! generic and compiled with its user's crate, and would call it out of line.
//!
//! The count wraps around after 2^43 (ten days of ten million messages a second, a quarter of an hour of
//! ten gigabytes a second), and all of its arithmetic with it.

use crate::sync::{AtomicU64, Ordering};

mod bytes;

pub(crate) use bytes::ByteBound;

const SHUT: u64 = 1;
const WAITER: u64 = 1 << 1;
const WAITERS: u64 = (1 << 20) - 1;
const ENTRANT: u64 = 1 << 21;
/// Counts are kept modulo this and one more.
const COUNT: u64 = u64::MAX / ENTRANT;

#[inline]
const fn waiting(word: u64) -> usize {
    ((word / WAITER) & WAITERS) as usize
}

const fn is_unused(word: u64, left: u64) -> bool {
    waiting(word) == 0 && distance(left & COUNT, entered(word)) == 0
}

#[inline]
const fn entered(word: u64) -> u64 {
    word / ENTRANT
}

/// How far `to` is ahead of `from`.
#[inline]
const fn distance(from: u64, to: u64) -> u64 {
    to.wrapping_sub(from) & COUNT
}

/// What an attempt to enter finds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub(crate) enum Attempt {
    /// The caller has entered, and must leave once.
    Entered,
    /// No room, or others wait.
    Full,
    /// Nobody enters any more.
    Shut,
}

/// What an attempt to wait finds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub(crate) enum Joined {
    /// The caller is counted as waiting.
    Waiting,
    /// As many wait already as may.
    Crowded,
    /// Nobody enters any more.
    Shut,
}

/// One side of a bound; see the head of this room.
#[derive(Debug)]
pub(crate) struct Permits {
    /// Entered, waiting, and whether it is shut.
    word: AtomicU64,
    /// How many had left when somebody looked last.
    seen: AtomicU64,
    limit: AtomicU64,
}

impl Permits {
    /// `limit` is 1 to 2^42.
    pub(crate) fn new(limit: u64) -> Self {
        debug_assert!((1..=COUNT / 2 + 1).contains(&limit));
        Self { word: AtomicU64::new(0), seen: AtomicU64::new(0), limit: AtomicU64::new(limit) }
    }

    #[inline]
    pub(crate) fn limit(&self) -> u64 {
        // Relaxed: who sets another one fences, and looks at those who wait.
        self.limit.load(Ordering::Relaxed)
    }

    /// Sets another limit, which holds from the next attempt on. The caller fences and lets in those
    /// who wait.
    pub(crate) fn set_limit(&self, limit: u64) {
        // Relaxed: as above.
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// Enters if there is room and nobody waits for it; `left` counts those who have left.
    #[inline]
    pub(crate) fn enter(&self, left: impl Fn() -> u64) -> Attempt {
        self.enter_if(1, |word| waiting(word) == 0, left)
    }

    /// Enters if there is room, whoever waits for it.
    #[inline]
    pub(crate) fn enter_past(&self, left: impl Fn() -> u64) -> Attempt {
        self.enter_with(1, left)
    }

    /// Enters with a weight, 1 to 2^32, if there is room, whoever waits for it.
    #[inline]
    pub(crate) fn enter_with(&self, weight: u64, left: impl Fn() -> u64) -> Attempt {
        self.enter_if(weight, |_| true, left)
    }

    /// Enters with a weight whether there is room or not.
    pub(crate) fn force(&self, weight: u64) {
        // AcqRel: part of the word's order.
        self.word.fetch_add(weight * ENTRANT, Ordering::AcqRel);
    }

    #[inline]
    fn enter_if(&self, weight: u64, may: impl Fn(u64) -> bool, left: impl Fn() -> u64) -> Attempt {
        // Acquire: so that those who had left when this many had entered are counted as left.
        let mut word = self.word.load(Ordering::Acquire);
        loop {
            if word & SHUT != 0 {
                return Attempt::Shut;
            }
            if !may(word) {
                return Attempt::Full;
            }
            if !self.is_below(entered(word), &left) {
                // Acquire: as above. If others have entered since and left, what has left says nothing
                // about the old word.
                let now = self.word.load(Ordering::Acquire);
                if now == word {
                    return Attempt::Full;
                }
                word = now;
                continue;
            }
            // AcqRel: part of the word's order. Acquire on failure: as above.
            match self.word.compare_exchange_weak(
                word,
                word.wrapping_add(weight * ENTRANT),
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return Attempt::Entered,
                Err(now) => word = now,
            }
        }
    }

    #[inline]
    fn is_below(&self, entered: u64, left: impl Fn() -> u64) -> bool {
        let limit = self.limit();
        let below = |left| distance(left, entered) < limit;
        // Acquire: whoever wrote it saw others leave; what they left is seen as such.
        if below(self.seen.load(Ordering::Acquire)) {
            return true;
        }
        let left = left() & COUNT;
        // Release: pairs with the load above. One that overwrites a later one shows too little room,
        // which somebody will find out here.
        self.seen.store(left, Ordering::Release);
        below(left)
    }

    /// Takes an entry back that has come to nothing. The room may be somebody else's now.
    pub(crate) fn retreat(&self) {
        self.retreat_with(1);
    }

    /// Takes an entry of this weight back.
    pub(crate) fn retreat_with(&self, weight: u64) {
        // AcqRel: part of the word's order.
        self.word.fetch_sub(weight * ENTRANT, Ordering::AcqRel);
    }

    /// Waits, if at most `max` do so then.
    pub(crate) fn join(&self, max: usize) -> Joined {
        debug_assert!(max as u64 <= WAITERS);
        // Relaxed: only a first guess, which the exchange checks.
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            if word & SHUT != 0 {
                return Joined::Shut;
            }
            if waiting(word) >= max {
                return Joined::Crowded;
            }
            // AcqRel and Relaxed: as in `enter_if`.
            match self.word.compare_exchange_weak(
                word,
                word + WAITER,
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Joined::Waiting,
                Err(now) => word = now,
            }
        }
    }

    /// Waits no longer, whether it has entered or given up.
    pub(crate) fn unjoin(&self) {
        // AcqRel: part of the word's order.
        let before = self.word.fetch_sub(WAITER, Ordering::AcqRel);
        debug_assert!(waiting(before) > 0);
    }

    /// Lets nobody enter any more.
    pub(crate) fn shut(&self) {
        // AcqRel: part of the word's order; who enters later sees it.
        self.word.fetch_or(SHUT, Ordering::AcqRel);
    }

    /// Shuts it if nobody is inside and nobody waits; true if it was this call that did.
    pub(crate) fn shut_if_unused(&self, left: impl Fn() -> u64) -> bool {
        // Acquire: so that what `left` counts is no older than what is found entered.
        let word = self.word.load(Ordering::Acquire);
        // AcqRel: part of the word's order. It fails if anybody has entered or joined since, so those
        // who have left are still all that ever entered.
        word & SHUT == 0
            && is_unused(word, left())
            && self
                .word
                .compare_exchange(word, word | SHUT, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
    }

    /// Whether it is shut, nobody is inside and nobody waits: for good, since nobody enters.
    pub(crate) fn is_done(&self, left: impl Fn() -> u64) -> bool {
        // Acquire: as above.
        let word = self.word.load(Ordering::Acquire);
        word & SHUT != 0 && is_unused(word, left())
    }

    /// Entered and not left.
    pub(crate) fn in_flight(&self, left: impl Fn() -> u64) -> usize {
        // Before the word, so that nobody is counted as left who is not counted as entered.
        let left = left();
        // Acquire: as in `shut_if_unused`.
        distance(left & COUNT, entered(self.word.load(Ordering::Acquire))) as usize
    }

    /// As [`in_flight`](Self::in_flight); from then on [`at_most_in_flight`](Self::at_most_in_flight) counts from
    /// this look.
    pub(crate) fn look(&self, left: impl Fn() -> u64) -> usize {
        // Before the word, as above.
        let left = left() & COUNT;
        // Release: as in `is_below`.
        self.seen.store(left, Ordering::Release);
        // Acquire: as in `shut_if_unused`.
        distance(left, entered(self.word.load(Ordering::Acquire))) as usize
    }

    /// Whether one more may enter now.
    pub(crate) fn has_room(&self, left: impl Fn() -> u64) -> bool {
        (self.in_flight(left) as u64) < self.limit()
    }

    /// No less than are in flight, and most of the time more: by the last look at those who have left.
    #[inline]
    pub(crate) fn at_most_in_flight(&self) -> u64 {
        // Relaxed: for the eye only.
        let entered = entered(self.word.load(Ordering::Relaxed));
        let most = distance(self.seen.load(Ordering::Relaxed), entered);
        // A look that is newer than the word wraps around.
        if most > COUNT / 2 { 0 } else { most }
    }

    /// How many have entered, modulo 2^43.
    pub(crate) fn entered(&self) -> u64 {
        // Acquire: as in `shut_if_unused`.
        entered(self.word.load(Ordering::Acquire))
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        // Acquire: as in `shut_if_unused`.
        waiting(self.word.load(Ordering::Acquire))
    }

    #[inline]
    pub(crate) fn is_shut(&self) -> bool {
        // Relaxed: whoever acts on it does so by an exchange.
        self.word.load(Ordering::Relaxed) & SHUT != 0
    }
}

#[cfg(all(test, loom))]
mod model;
#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;
