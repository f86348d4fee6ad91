//! How many messages a flow has in flight, and who waits for room.
//!
//! ```text
//!                    room, nobody waits
//!     submitter ────────────────────────────▶ admitted ──▶ finished
//!         │ no room, or others wait               ▲            │
//!         ▼                                       │ granted    │ permit comes back,
//!       joins the line ─────────────────▶ head of the line ◀───┘ its returner settles
//! ```
//!
//! A permit stands for one message that is admitted and not yet finished. There are never more than
//! the limit. Submitters that find no room leave their messages in the [`Line`], in order of
//! arrival; a newcomer passes nobody who waits. Whoever returns a permit admits the message of the
//! first place itself, so that messages are admitted in the order in which they were brought, and a
//! permit is never held by a future that nobody polls.
//!
//! # Why a free permit and a waiter never rest together
//!
//! One atomic word holds the permits that are taken, the number of waiters and whether the flow is
//! closed. All changes of it are read-modify-writes, so they happen in one order, and no fence is
//! needed.
//!
//! - *Join*: a submitter that found no room, or others waiting, adds itself to the word, pushes its
//!   place onto the line, and then *settles*.
//! - *Return*: a permit is subtracted from the word; if the word had waiters, the returner *settles*.
//! - *Settle*: as long as the line has a place and the word has room, a permit is taken for the
//!   first place and the place is granted.
//!
//! Take a permit that is returned and a place that is pushed. If the join precedes the return in the
//! word's order, the returner sees a waiter and settles; that settling may come before the push and
//! find the line empty, but then the joiner's own comes after the push and after the return. If the
//! return precedes the join, the joiner's settling sees the room. Either way somebody settles after
//! both.
//!
//! One thread settles at a time, so that places leave the line in order: whoever raises
//! [`Permits::baton`] from 0 holds it; whoever finds it raised has only left a note, and the holder
//! looks again before it may put the baton down. The exchange that puts it down fails if a note has
//! come since, and then reads the note: what its writer did before is seen by the next look.
//!
//! No handler and no waker runs under the baton: wakers are woken after it has been put down. Only if
//! a shutdown overtakes an admission is that message dropped under it.
//! Its holder works for others as long as they return permits and join meanwhile; each of their
//! notes costs it at most one more look. A thread that is preempted while it holds the baton delays
//! the waiters of its own flow until it runs again, and nobody else. Submitters that find room never
//! touch the baton.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crossbeam::channel::{Receiver, Sender, bounded};

use super::line::{Decided, Line, Place};
use crate::{
    event::RefusalReason,
    sync::{AtomicU64, AtomicUsize, Ordering},
};

const PERMIT: u64 = 1;
const PERMITS: u64 = (1 << 31) - 1;
const WAITER: u64 = 1 << 31;
const WAITERS: u64 = ((1 << 31) - 1) << 31;
const CLOSED: u64 = 1 << 63;

/// Who waits for the last permit looks at least this often, should it miss the word.
const LOOK_EVERY: Duration = Duration::from_millis(10);

const fn permits(word: u64) -> usize {
    (word & PERMITS) as usize
}

const fn waiters(word: u64) -> usize {
    ((word & WAITERS) >> 31) as usize
}

/// What becomes of the messages of those who wait.
pub(super) trait Admit<M> {
    /// A permit has been taken for the message. Runs under the baton.
    fn admit(&self, message: M);

    /// The flow is closed, and the submitter gets its message back. Runs under the baton.
    fn refused(&self);
}

/// What [`Permits::try_acquire`] finds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub(super) enum Attempt {
    /// The caller has a permit, which it must give back once.
    Acquired,
    /// No room, or others wait.
    Full,
    /// No permits any more.
    Closed,
}

/// The permits of one flow.
#[derive(Debug)]
pub(super) struct Permits<M> {
    /// Permits taken, waiters, and the closed flag. Every submitter and every finished message
    /// changes it: it is what bounds the flow.
    word: AtomicU64,
    limit: usize,
    max_waiters: usize,
    line: Line<M>,
    /// How many times settling was asked for since the baton was last down; raised means held.
    baton: AtomicUsize,
    /// One token: a permit has come back after the flow was closed.
    returned: (Sender<()>, Receiver<()>),
}

impl<M> Permits<M> {
    /// `limit` at least 1; both figures below 2^31.
    pub(super) fn new(limit: usize, max_waiters: usize) -> Self {
        debug_assert!(limit >= 1 && limit < permits(PERMITS) && max_waiters < waiters(WAITERS));
        Self {
            word: AtomicU64::new(0),
            limit,
            max_waiters,
            line: Line::new(),
            baton: AtomicUsize::new(0),
            returned: bounded(1),
        }
    }

    /// Takes a permit if there is room and nobody waits for it.
    pub(super) fn try_acquire(&self) -> Attempt {
        // Relaxed: only a first guess, which the exchange checks.
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            if word & CLOSED != 0 {
                return Attempt::Closed;
            }
            if waiters(word) > 0 || permits(word) >= self.limit {
                return Attempt::Full;
            }
            // Acquire: so that the slot that the permit's last holder emptied is seen empty.
            // Relaxed on failure: the value is only the next guess.
            match self.word.compare_exchange_weak(
                word,
                word + PERMIT,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Attempt::Acquired,
                Err(now) => word = now,
            }
        }
    }

    /// Takes a place at the end of the line. It may have been decided before this returns.
    pub(super) fn join(
        &self,
        message: M,
        flow: &impl Admit<M>,
    ) -> Result<Arc<Place<M>>, (M, RefusalReason)> {
        // Relaxed: as in `try_acquire`.
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            if word & CLOSED != 0 {
                return Err((message, RefusalReason::Closed));
            }
            if waiters(word) >= self.max_waiters {
                return Err((message, RefusalReason::TooManyWaiters));
            }
            // AcqRel: part of the word's order, see the proof above.
            match self.word.compare_exchange_weak(
                word,
                word + WAITER,
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => break,
                Err(now) => word = now,
            }
        }
        let place = self.line.push(message);
        self.settle(flow);
        Ok(place)
    }

    /// Leaves the line with the message; `None` if the place was decided before.
    pub(super) fn leave(&self, place: &Place<M>, flow: &impl Admit<M>) -> Option<M> {
        let message = self.line.give_up(place)?;
        // AcqRel: part of the word's order, see the proof above.
        self.word.fetch_sub(WAITER, Ordering::AcqRel);
        if self.line.is_mostly_left(self.waiting()) {
            self.settle(flow);
        }
        Some(message)
    }

    /// Gives a permit back.
    pub(super) fn give_back(&self, flow: &impl Admit<M>) {
        if waiters(self.subtract_permit()) > 0 {
            self.settle(flow);
        }
    }

    fn subtract_permit(&self) -> u64 {
        // AcqRel: Release so that whoever takes the permit next, or sees it back, sees what its
        // holder did; Acquire so that settling sees what joiners did before.
        let before = self.word.fetch_sub(PERMIT, Ordering::AcqRel);
        debug_assert!(permits(before) > 0);
        if before & CLOSED != 0 {
            // Full means that the word is out already.
            let _ = self.returned.0.try_send(());
        }
        before
    }

    /// Grants no permit any more and refuses all who wait.
    pub(super) fn close(&self, flow: &impl Admit<M>) {
        // AcqRel: part of the word's order; who joins later sees the flag, who joined before is in
        // the line now or settles after its push.
        self.word.fetch_or(CLOSED, Ordering::AcqRel);
        self.settle(flow);
    }

    /// Waits until no more than `own` messages are in flight; false if the deadline comes first.
    /// The flow must be closed.
    pub(super) fn wait_for_last(&self, own: usize, deadline: Instant) -> bool {
        loop {
            if self.in_flight() <= own {
                return true;
            }
            let now = Instant::now();
            if now >= deadline {
                return false;
            }
            // Either outcome means to look again.
            let _ = self.returned.1.recv_deadline(deadline.min(now + LOOK_EVERY));
        }
    }

    /// Messages admitted and not yet finished.
    pub(super) fn in_flight(&self) -> usize {
        // Acquire: who sees a permit back sees what its message did.
        permits(self.word.load(Ordering::Acquire))
    }

    /// Submitters that wait for room.
    pub(super) fn waiting(&self) -> usize {
        // Acquire: as in `in_flight`.
        waiters(self.word.load(Ordering::Acquire))
    }

    pub(super) fn is_closed(&self) -> bool {
        // Relaxed: for the eye only; whoever acts on it does so by an exchange.
        self.word.load(Ordering::Relaxed) & CLOSED != 0
    }

    fn settle(&self, flow: &impl Admit<M>) {
        loop {
            // AcqRel: Release so that a holder that finds this note sees what was done before it;
            // Acquire so that a new holder sees what the last one did to the line.
            if self.baton.fetch_add(1, Ordering::AcqRel) > 0 {
                return;
            }
            let mut decided = Decided::default();
            let mut notes = 1;
            let more = loop {
                if self.serve(flow, &mut decided) {
                    // AcqRel: as below. The notes that this takes away are answered by settling again;
                    // those who can go on come first.
                    self.baton.swap(0, Ordering::AcqRel);
                    break true;
                }
                // Release: hands the line over to the next holder. Acquire on failure: the notes
                // that have come are read with what their writers did.
                match self.baton.compare_exchange(notes, 0, Ordering::AcqRel, Ordering::Acquire) {
                    Ok(_) => break false,
                    Err(now) => notes = now,
                }
            };
            decided.wake();
            if !more {
                return;
            }
        }
    }

    /// Serves the line as far as there is room; true if it stopped because enough are decided to
    /// wake them. Only the holder of the baton calls this.
    ///
    /// Ends, because each turn takes a place from the line and decides at most as many as are woken
    /// at once; places that were left are fewer than the line is allowed to hold.
    fn serve(&self, flow: &impl Admit<M>, decided: &mut Decided<M>) -> bool {
        if self.line.is_mostly_left(self.waiting()) {
            self.line.close_up();
        }
        while !self.line.is_empty() {
            if decided.is_full() {
                return true;
            }
            let attempt = self.acquire_for_line();
            if attempt == Attempt::Full {
                return false;
            }
            // Only the holder of the baton pops, so what was there is there.
            let Some(place) = self.line.pop() else { return false };
            let granted = attempt == Attempt::Acquired;
            let stands = match granted {
                true => place.grant().map(|message| flow.admit(message)).is_some(),
                false => place.refuse().then(|| flow.refused()).is_some(),
            };
            if stands {
                // AcqRel: part of the word's order. After the message has been admitted, so that no
                // newcomer passes it.
                self.word.fetch_sub(WAITER, Ordering::AcqRel);
                decided.push(place);
            } else {
                self.line.forget();
                if granted {
                    // This thread goes on looking for a taker.
                    self.subtract_permit();
                }
            }
        }
        false
    }

    fn acquire_for_line(&self) -> Attempt {
        // Acquire: the holder has seen a note, and with it the word as its writer left it.
        let mut word = self.word.load(Ordering::Acquire);
        loop {
            if word & CLOSED != 0 {
                return Attempt::Closed;
            }
            if permits(word) >= self.limit {
                return Attempt::Full;
            }
            // AcqRel: part of the word's order, see the proof above.
            match self.word.compare_exchange_weak(
                word,
                word + PERMIT,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return Attempt::Acquired,
                Err(now) => word = now,
            }
        }
    }
}

#[cfg(all(test, loom))]
mod model;
#[cfg(all(test, not(loom)))]
mod tests;
