//! The submitters that wait for room in one lane, with their messages, in order of arrival.
//!
//! ```text
//!                       ┌──▶ granted: the message goes to the lane
//!   (spare) ──▶ waiting ┼──▶ refused: back to its submitter
//!                       └──▶ left:    away with its submitter
//! ```
//!
//! A place is decided once, by one exchange: the holder of the baton
//! ([`admission`](super::admission)) grants or refuses, the submitter leaves, and who comes second
//! sees what the first decided. The message goes with the decision.
//!
//! A place that was left stays in the line until the line is served up to it, or until as many are
//! left as may wait and the line closes up. So the line has room for twice as many as may wait; should
//! those that are left not be cleared away in time, a submitter more is refused.
//!
//! Places that have come to their end are spare, and used again, so that waiting allocates nothing in
//! steady state.

use std::{fmt, mem, sync::Arc, task::Waker};

use crate::{
    RefusalReason,
    panics::contain,
    sync::{ArrayQueue, AtomicUsize, AtomicWaker, Ordering, Slot},
};

/// How many places a flow keeps for the next to wait.
const SPARE_PLACES: usize = 64;

/// How many submitters can be decided before they are woken.
pub(super) const WAKE_AT_ONCE: usize = 16;

const WAITING: usize = 0;
/// Decided, and not told yet.
const DECIDED: usize = 1;
const GRANTED: usize = 2;
const LEFT: usize = 3;
/// The flow is closed.
const CLOSED: usize = 4;
/// The peer has gone.
const DISCONNECTED: usize = 5;

/// How it stands with a place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Standing {
    /// Nothing is decided.
    Waiting,
    /// The message has been admitted.
    Granted,
    /// Nobody is let in any more; the message is still in the place.
    Refused(RefusalReason),
}

/// One submitter's place in the line.
pub(super) struct Place<M> {
    state: AtomicUsize,
    waker: AtomicWaker,
    /// Taken out of the box by whoever the decision gives it to; the box stays.
    message: Slot<Option<M>>,
}

impl<M> Place<M> {
    fn new() -> Self {
        Self {
            state: AtomicUsize::new(WAITING),
            waker: AtomicWaker::new(),
            message: Slot::new(Some(Box::default())),
        }
    }

    /// Waits with this message; nobody else has the place.
    fn begin(&mut self, message: M) {
        // Relaxed: the line's queue publishes it.
        self.state.store(WAITING, Ordering::Relaxed);
        // A waker of the submitter before that has panicked while it was registered leaves the old one as it
        // was then, neither free nor taken, and perhaps itself in it.
        let before = mem::replace(&mut self.waker, AtomicWaker::new());
        contain(|| drop(before));
        self.put_message(message);
    }

    /// Drops the waker of a submitter that looked again after the decision.
    fn drop_waker(&self) {
        // The executor's code, in the middle of ours.
        contain(|| drop(self.waker.take()));
    }

    fn put_message(&self, message: M) {
        let mut kept = self.message.take().unwrap_or_default();
        *kept = Some(message);
        self.message.store(Some(kept));
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
            CLOSED => Standing::Refused(RefusalReason::Closed),
            DISCONNECTED => Standing::Refused(RefusalReason::Disconnected),
            _ => Standing::Waiting,
        }
    }

    /// Decides the place and hands out its message; `None` if the submitter has left. The submitter
    /// knows nothing until it is [told](Self::tell).
    pub(super) fn decide(&self) -> Option<M> {
        self.change(DECIDED).then(|| self.take_message())
    }

    /// Puts the message back for its submitter; the place has been decided.
    pub(super) fn refuse(&self, message: M) {
        self.put_message(message);
    }

    /// Tells whoever asks whether the place was granted, or why it was refused. It has been decided.
    pub(super) fn tell(&self, refusal: Option<RefusalReason>) {
        let state = match refusal {
            None => GRANTED,
            Some(RefusalReason::Disconnected) => DISCONNECTED,
            Some(_) => CLOSED,
        };
        // Release: who finds it sees what was done before.
        self.state.swap(state, Ordering::Release);
    }

    /// The message of a place whose decision gives it to the caller.
    pub(super) fn take_message(&self) -> M {
        self.message().expect("a decision gives the message to one only")
    }

    /// The message, if it has not been taken.
    pub(super) fn message(&self) -> Option<M> {
        let mut kept = self.message.take()?;
        let message = kept.take();
        self.message.store(Some(kept));
        message
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

/// Places that were decided under the baton and whose submitters are woken after it.
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
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn is_full(&self) -> bool {
        self.count == WAKE_AT_ONCE
    }

    pub(super) fn push(&mut self, place: Arc<Place<M>>) {
        self.places[self.count] = Some(place);
        self.count += 1;
    }

    /// Wakes the submitters of all of them.
    pub(super) fn wake(&mut self) {
        self.places[..self.count].iter_mut().filter_map(Option::take).for_each(wake);
        self.count = 0;
    }
}

impl<M> Drop for Decided<M> {
    fn drop(&mut self) {
        self.wake();
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

/// Places that nobody uses at the moment.
#[derive(Debug)]
pub(super) struct Spares<M>(ArrayQueue<Arc<Place<M>>>);

impl<M> Spares<M> {
    pub(super) fn new() -> Self {
        Self(ArrayQueue::new(SPARE_PLACES))
    }

    /// A place for a message.
    fn place(&self, message: M) -> Arc<Place<M>> {
        let mut place = self.0.pop().unwrap_or_else(|| Arc::new(Place::new()));
        // Whoever decided it may hold it still; then it is theirs to drop.
        if Arc::get_mut(&mut place).is_none() {
            let theirs = mem::replace(&mut place, Arc::new(Place::new()));
            contain(|| drop(theirs));
        }
        Arc::get_mut(&mut place).expect("nobody else has it").begin(message);
        place
    }

    /// Keeps a place that has come to its end, without its message.
    pub(super) fn keep(&self, place: Arc<Place<M>>) {
        place.drop_waker();
        // Full means that there are enough. What is left over may have a waker in it still, if one has panicked as
        // it was registered.
        let surplus = self.0.push(place);
        contain(|| drop(surplus));
    }
}

/// The places, first come first served. Anybody pushes; only the holder of the baton pops.
#[derive(Debug)]
pub(super) struct Line<M> {
    /// Older than all in `back`; filled only when the line closes up.
    front: ArrayQueue<Arc<Place<M>>>,
    back: ArrayQueue<Arc<Place<M>>>,
    /// Places in the line whose submitters have left.
    left: AtomicUsize,
    /// How many may wait.
    max: usize,
}

impl<M> Line<M> {
    /// A line in which at most `max` wait, at least 1.
    pub(super) fn new(max: usize) -> Self {
        let places = || ArrayQueue::new(2 * max);
        Self { front: places(), back: places(), left: AtomicUsize::new(0), max }
    }

    /// Takes a place at the end of the line; gives the message back if there are too many in it that
    /// were left.
    pub(super) fn push(&self, message: M, spares: &Spares<M>) -> Result<Arc<Place<M>>, M> {
        let place = spares.place(message);
        self.back.push(Arc::clone(&place)).map(|()| place).map_err(|place| place.take_message())
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
        place.drop_waker();
        Some(place.take_message())
    }

    /// A place that was left has been popped.
    pub(super) fn cleared(&self) {
        // Relaxed: nobody waits for this count.
        self.left.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether so many were left that the line should close up.
    pub(super) fn has_gaps(&self) -> bool {
        // Relaxed: a late look only means that the line closes up later.
        self.left.load(Ordering::Relaxed) >= self.max
    }

    /// Throws out the places that were left, keeping the others in order.
    ///
    /// Ends, because it looks at each place once that was there when it began. There is room for
    /// those that it keeps, because they wait, and no more wait than may.
    pub(super) fn close_up(&self, spares: &Spares<M>) {
        for line in [&self.front, &self.back] {
            for _ in 0..line.len() {
                let Some(place) = line.pop() else { break };
                // Acquire: so that a place that is found left is found counted. One that is left a
                // moment later is thrown out the next time.
                if place.state.load(Ordering::Acquire) == LEFT {
                    self.cleared();
                    spares.keep(place);
                } else {
                    let kept = self.front.push(place);
                    assert!(kept.is_ok(), "no more wait than may");
                }
            }
        }
    }

    #[cfg(all(test, not(any(loom, shuttle))))]
    pub(super) fn len(&self) -> usize {
        self.front.len() + self.back.len()
    }
}
