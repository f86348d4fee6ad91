//! The submitters that wait for room in a flow, with their messages, in order of arrival.
//!
//! A place in the line is waiting, and then one of three: granted, refused or left. Each is decided
//! once, by one exchange: the holder of the baton ([`Permits`](super::permits::Permits)) grants or
//! refuses, the submitter leaves, and who comes second sees what the first decided. The message goes
//! with the decision: to the flow, back to the submitter, or away with it.
//!
//! A place that was left stays where it is until the line is served up to it, or until more than
//! half of the line is such and the line closes up. So the line is at most twice as long as there
//! are waiters, and a little more.

use std::{fmt, sync::Arc, task::Waker};

use crate::{
    panics::contain,
    sync::{AtomicUsize, AtomicWaker, Ordering, SegQueue, Slot},
};

/// The line closes up only when at least this many places in it are left, so that a short line is
/// not rebuilt again and again.
const CLOSE_UP_AT: usize = 64;

/// How many submitters are woken at once, after the baton has been put down for them.
pub(super) const WAKE_AT_ONCE: usize = 16;

const WAITING: usize = 0;
const GRANTED: usize = 1;
const REFUSED: usize = 2;
const LEFT: usize = 3;

/// How it stands with a place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Standing {
    /// Nothing is decided.
    Waiting,
    /// The message has been admitted.
    Granted,
    /// The flow was closed; the message is still in the place.
    Refused,
}

/// One submitter's place in the line.
pub(super) struct Place<M> {
    state: AtomicUsize,
    waker: AtomicWaker,
    /// Taken by whoever the decision gives it to.
    message: Slot<M>,
}

impl<M> Place<M> {
    fn new(message: M) -> Self {
        Self {
            state: AtomicUsize::new(WAITING),
            waker: AtomicWaker::new(),
            message: Slot::new(Some(Box::new(message))),
        }
    }

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

    pub(super) fn standing(&self) -> Standing {
        // Acquire: who finds a decision sees what was done before it.
        match self.state.load(Ordering::Acquire) {
            GRANTED => Standing::Granted,
            REFUSED => Standing::Refused,
            _ => Standing::Waiting,
        }
    }

    /// Grants the place and hands out its message; `None` if the submitter has left.
    pub(super) fn grant(&self) -> Option<M> {
        self.change(GRANTED).then(|| self.take_message())
    }

    /// Refuses the place; false if the submitter has left.
    pub(super) fn refuse(&self) -> bool {
        self.change(REFUSED)
    }

    /// The message of a place whose decision gives it to the caller.
    pub(super) fn take_message(&self) -> M {
        *self.message.take().expect("a decision gives the message to one only")
    }

    fn change(&self, state: usize) -> bool {
        // AcqRel: Release publishes what the decider did before; Acquire on failure, because what
        // was found is somebody else's decision.
        self.state.compare_exchange(WAITING, state, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

impl<M> fmt::Debug for Place<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Place").field(&self.standing()).finish()
    }
}

/// Places that were decided under the baton and are woken after it.
pub(super) struct Decided<M> {
    places: [Option<Arc<Place<M>>>; WAKE_AT_ONCE],
    count: usize,
}

impl<M> Default for Decided<M> {
    fn default() -> Self {
        Self { places: std::array::from_fn(|_| None), count: 0 }
    }
}

impl<M> Decided<M> {
    pub(super) fn is_full(&self) -> bool {
        self.count == WAKE_AT_ONCE
    }

    pub(super) fn push(&mut self, place: Arc<Place<M>>) {
        self.places[self.count] = Some(place);
        self.count += 1;
    }

    /// Wakes the submitters of all of them.
    pub(super) fn wake(self) {
        self.places.into_iter().flatten().for_each(wake);
    }
}

/// Wakes the submitter of a place that was decided.
///
/// Wakers are the executor's code, and this runs in the middle of something else, by whoever came
/// by: a waker that panics when it is woken or dropped must harm nobody but its owner.
fn wake<M>(place: Arc<Place<M>>) {
    contain(|| {
        place.waker.wake();
        drop(place);
    });
}

/// The places, first come first served. Anybody pushes; only the holder of the baton pops.
#[derive(Debug)]
pub(super) struct Line<M> {
    /// Older than all in `back`; filled only when the line closes up.
    front: SegQueue<Arc<Place<M>>>,
    back: SegQueue<Arc<Place<M>>>,
    /// Places in the line whose submitters have left.
    left: AtomicUsize,
}

impl<M> Line<M> {
    pub(super) fn new() -> Self {
        Self { front: SegQueue::new(), back: SegQueue::new(), left: AtomicUsize::new(0) }
    }

    pub(super) fn push(&self, message: M) -> Arc<Place<M>> {
        let place = Arc::new(Place::new(message));
        self.back.push(Arc::clone(&place));
        place
    }

    pub(super) fn pop(&self) -> Option<Arc<Place<M>>> {
        self.front.pop().or_else(|| self.back.pop())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.front.is_empty() && self.back.is_empty()
    }

    /// The submitter of `place` leaves, and gets its message; `None` if the place was decided
    /// before.
    pub(super) fn give_up(&self, place: &Place<M>) -> Option<M> {
        // Counted before the state says so, so that whoever finds the place left finds it counted.
        // Relaxed: the exchange that follows publishes it.
        self.left.fetch_add(1, Ordering::Relaxed);
        if !place.change(LEFT) {
            // Relaxed: nobody waits for this count.
            self.left.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        // The place may stay in the line for a while; the executor's waker does not.
        drop(place.waker.take());
        Some(place.take_message())
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

    fn keep(&self, place: Arc<Place<M>>) {
        // Acquire: so that a place that is found left is found counted. One that is left a moment
        // later is thrown out the next time.
        if place.state.load(Ordering::Acquire) == LEFT {
            self.forget();
        } else {
            self.front.push(place);
        }
    }
}
