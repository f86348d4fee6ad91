//! The submitters that wait for room in a flow, in order of arrival.
//!
//! A place in the line is waiting, and then one of three: granted, refused or left. Each is decided
//! once, by one exchange: the holder of the baton ([`Permits`](super::permits::Permits)) grants or
//! refuses, the submitter leaves, and who comes second sees what the first decided.
//!
//! A place that was left stays where it is until the line is served up to it, or until more than
//! half of the line is such and the line closes up. So the line is at most twice as long as there
//! are waiters, and a little more.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::Waker,
};

use crate::sync::{AtomicUsize, AtomicWaker, Ordering, SegQueue};

/// The line closes up only when at least this many places in it are left, so that a short line is
/// not rebuilt again and again.
const CLOSE_UP_AT: usize = 64;

const WAITING: usize = 0;
const GRANTED: usize = 1;
const REFUSED: usize = 2;
const LEFT: usize = 3;

/// How it stands with a place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Standing {
    /// Nothing is decided.
    Waiting,
    /// A permit has been taken for the place.
    Granted,
    /// The flow was closed.
    Refused,
}

/// One submitter's place in the line.
#[derive(Debug)]
pub(super) struct Place {
    state: AtomicUsize,
    waker: AtomicWaker,
}

impl Place {
    /// How it stands; if nothing is decided, `waker` will be woken when it is.
    pub(super) fn poll(&self, waker: &Waker) -> Standing {
        match self.standing() {
            Standing::Waiting => {
                self.waker.register(waker);
                // Again, after the waker is in its place: a decision in between has woken nobody.
                self.standing()
            }
            decided => decided,
        }
    }

    fn standing(&self) -> Standing {
        // Acquire: who is granted a permit sees what its last holder did.
        match self.state.load(Ordering::Acquire) {
            GRANTED => Standing::Granted,
            REFUSED => Standing::Refused,
            _ => Standing::Waiting,
        }
    }

    pub(super) fn is_granted(&self) -> bool {
        self.standing() == Standing::Granted
    }

    /// Grants or refuses; false if the submitter has left.
    pub(super) fn decide(&self, granted: bool) -> bool {
        self.change(if granted { GRANTED } else { REFUSED })
    }

    /// Wakes the submitter. A waker that panics harms nobody else: the line is served by whoever
    /// came by, in the middle of something of its own.
    pub(super) fn wake(&self) {
        let _ = catch_unwind(AssertUnwindSafe(|| self.waker.wake()));
    }

    fn change(&self, state: usize) -> bool {
        // AcqRel: Release publishes what the permit's last holder did to the submitter that reads
        // the state; Acquire on failure, because the state that was found may be a grant.
        self.state.compare_exchange(WAITING, state, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

/// The places, first come first served. Anybody pushes; only the holder of the baton pops.
#[derive(Debug)]
pub(super) struct Line {
    /// Older than all in `back`; filled only when the line closes up.
    front: SegQueue<Arc<Place>>,
    back: SegQueue<Arc<Place>>,
    /// Places in the line whose submitters have left.
    left: AtomicUsize,
}

impl Line {
    pub(super) fn new() -> Self {
        Self { front: SegQueue::new(), back: SegQueue::new(), left: AtomicUsize::new(0) }
    }

    pub(super) fn push(&self) -> Arc<Place> {
        let place = Arc::new(Place { state: AtomicUsize::new(WAITING), waker: AtomicWaker::new() });
        self.back.push(Arc::clone(&place));
        place
    }

    pub(super) fn pop(&self) -> Option<Arc<Place>> {
        self.front.pop().or_else(|| self.back.pop())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.front.is_empty() && self.back.is_empty()
    }

    /// The submitter of `place` leaves; false if its place was decided before.
    pub(super) fn give_up(&self, place: &Place) -> bool {
        // Counted before the state says so, so that whoever pops the place finds it counted.
        // Relaxed: the exchange that follows publishes it.
        self.left.fetch_add(1, Ordering::Relaxed);
        let left = place.change(LEFT);
        if !left {
            // Relaxed: nobody waits for this count.
            self.left.fetch_sub(1, Ordering::Relaxed);
        }
        left
    }

    /// A place that was left has been popped.
    pub(super) fn forget(&self) {
        // Relaxed: nobody waits for this count.
        self.left.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether more of the line is left than waits.
    pub(super) fn is_mostly_left(&self, waiting: usize) -> bool {
        // Relaxed: a late look only means that the line closes up later.
        let left = self.left.load(Ordering::Relaxed);
        left >= CLOSE_UP_AT && left > waiting
    }

    /// Throws out the places that were left, keeping the others in order.
    ///
    /// Ends, because it looks at each place once that was there when it began.
    pub(super) fn close_up(&self) {
        let (older, newer) = (self.front.len(), self.back.len());
        for _ in 0..older {
            let Some(place) = self.front.pop() else { break };
            self.keep(place);
        }
        for _ in 0..newer {
            let Some(place) = self.back.pop() else { break };
            self.keep(place);
        }
    }

    #[cfg(all(test, not(loom)))]
    pub(super) fn len(&self) -> usize {
        self.front.len() + self.back.len()
    }

    fn keep(&self, place: Arc<Place>) {
        // Relaxed: a place that is left a moment later is thrown out the next time.
        if place.state.load(Ordering::Relaxed) == LEFT {
            self.forget();
        } else {
            self.front.push(place);
        }
    }
}
