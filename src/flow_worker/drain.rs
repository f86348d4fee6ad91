//! The pool job: it takes the lanes in turn and runs their messages until none is left.
//!
//! A worker looks at each message once more before it starts: it may have come to its end in the queue,
//! because it is too old ([`overload`](super::overload)), its peer has gone ([`departure`](super::departure)) or
//! the flow has been shut down. Otherwise it is handled, or its handler panics. Its room comes back after its
//! end has been counted.
//!
//! A lane's *turn* lasts for the flow's quantum, or until it is empty; if no other lane has messages,
//! the next turn is its own. In a flow that is in order per peer a worker holds the lane during its
//! turn, and nobody else may take it. Otherwise a lane stays in the ready set while it has messages,
//! and several workers may pop from it: none of them keeps more than the message that it runs.
//!
//! # When submitters are woken
//!
//! Whoever finishes a message lets in the next that waits, and then has its submitter to wake, which
//! costs about a microsecond and, with few cores, the processor. Where handlers are briefer than that,
//! a worker that wakes for each message runs one message for each wake-up; so it puts them off until
//! there are [`WAKE_AT_ONCE`](super::line), or nothing is left to run, or [`WAKE_WITHIN`] is over. The
//! messages themselves are admitted at once. In a flow of several threads they are not put off over another
//! handler, which may be long, while another thread could run what they bring next. In one of a single thread
//! a submitter may hear of its admission as late as the next handler ends, if a long one follows upon a
//! brief one; nothing that it brought before then would have run.
//!
//! # Handlers that use rayon
//!
//! A handler that waits for rayon's other threads, in `join` or `scope`, runs other jobs of the pool
//! meanwhile, and a drain job may be among them. It must not hold up the handler below it on the stack:
//!
//! - A drain job on top of a handler of the same thread passes its claim on at once: the lanes are
//!   *offered* to every thread of the pool, behind all that the thread has to do. The thread itself
//!   has a drain job below, so no message is forgotten.
//! - On top of a part of a handler that another thread has stolen, a drain job cannot ask what it is
//!   on top of. But the depth of its stack tells: the flow's first drain job runs on top of rayon's own
//!   loop, because there was no handler before it, and so does every other that was spawned like it and
//!   is no deeper. A job that is deeper, or came by an offer, passes its claim on after a [`SHIFT`]. (A depth that is taken for larger than it
//!   is costs an offer in each shift, no more; the same frames have the same size each time.)
//! - A drain job that lingers runs nobody's parts: it has a claim, and others rely on it. One that spins
//!   gives its claim back now and then, and helps.
//! - A drain job at the bottom may run for ever. After each shift it runs what handlers have spawned on
//!   its thread.
//!
//! An offer lies below the thread's own deque, unlike a spawned job, so that a `join` finds its other
//! half before it finds the offer again.

use std::{hint, sync::Arc, time::Duration};

use super::{
    brought::Brought,
    claims::Surplus,
    core::{Core, Handle},
    lane::Lane,
    pool::{Job, Spawn},
};
use crate::{
    Order, WaitStrategy,
    clock::{Moment, nanos},
    sync::{Ordering, fence},
};

/// How long a drain job runs before it offers the rest to all threads of the flow. Long beside the
/// cost of an offer, which wakes them; short beside what a handler that waits would notice.
const SHIFT: Duration = Duration::from_millis(10);

/// How often a worker looks into an empty lane before it takes it out of the set.
const LOOKS: usize = if cfg!(loom) { 1 } else { 3 };

/// How long a worker waits between two looks, in spin hints: something below a microsecond. Each look
/// takes the cache lines that a producer is about to write; a worker that looks all the time finds
/// each message a little sooner and makes each of them twice as dear.
const PAUSE: usize = 32;

fn pause() {
    (0..PAUSE).for_each(|_| hint::spin_loop());
}

/// A submitter that was let in is woken at once if the handler before took as long as this: about
/// what it costs to wake it. In nanoseconds.
const BRIEF: u64 = 2_000;

/// Among briefer handlers it is woken after so many nanoseconds at the latest, or when there is nothing to
/// run.
const WAKE_WITHIN: u64 = 10_000;

pub(super) mod gather;
mod idle;
mod message;
mod shift;

#[cfg(all(any(test, fuzzing), not(any(loom, shuttle))))]
pub(crate) use message::as_another_thread;
pub(super) use message::handlers_on_this_thread;
pub use message::queue_delay;

use idle::Linger;
use message::{HELPS, SEAT, is_on_top};
use shift::Shift;

impl<M: Send + 'static, H: Handle<M>, S: Spawn> Core<M, H, S> {
    /// Runs messages until there are none or the shift is over. A claim is held, and searches. A job
    /// that was `spawned` may be at the bottom of its thread's stack.
    pub(super) fn drain(self: &Arc<Self>, spawned: bool) {
        let worker = self.threads.worker() % self.metrics.workers.len();
        let now = Moment::now();
        let mut shift = Shift::new(&self.metrics.workers[worker], &self.live, now);
        shift.at_bottom = spawned && self.is_at_bottom();
        // Relaxed: where a job begins orders nothing.
        shift.turn = self.turn.load(Ordering::Relaxed);
        if let WaitStrategy::Adaptive(longest) = shift.config().wait_strategy() {
            self.patience.is_needed(self.nanos(now), nanos(longest));
        }
        loop {
            while let Some(lane) = self.take_lane(&mut shift) {
                self.take_turn(&lane, &mut shift);
                match self.claims.give_back_surplus(shift.searches, || self.ready.is_empty()) {
                    Surplus::None => {}
                    Surplus::Gone => return,
                    Surplus::Again => shift.searches = true,
                }
                if shift.now >= shift.end && self.pass_on(&mut shift) {
                    return;
                }
            }
            self.search(&mut shift);
            match self.linger(&mut shift) {
                Linger::Found if shift.now < shift.end => {}
                Linger::Found => {
                    if self.pass_on(&mut shift) {
                        return;
                    }
                }
                Linger::Over => {
                    // Relaxed: as above.
                    self.turn.store(shift.turn, Ordering::Relaxed);
                    if !self.rest(worker, &mut shift) {
                        return;
                    }
                }
                Linger::Ended => return,
            }
        }
    }

    /// The next lane in turn.
    ///
    /// Ends, because each turn of the loop takes a lane out of the set that comes back only if
    /// somebody has done something meanwhile.
    fn take_lane(&self, shift: &mut Shift<'_, M, H>) -> Option<Arc<Lane<Brought<M>>>> {
        loop {
            let seat = self.ready.next(shift.turn)?;
            shift.turn = seat + 1;
            if self.order == Order::PerPeer {
                self.ready.remove(seat);
                // SeqCst: pairs with that in `list`. Whichever lane has the seat is looked at after the
                // seat was taken out, so that nothing is overlooked in the one that has it next.
                fence(Ordering::SeqCst);
            }
            let Some(lane) = self.peers.at(seat) else {
                self.ready.remove(seat);
                // SeqCst: the same.
                fence(Ordering::SeqCst);
                if self.peers.at(seat).is_some() {
                    self.ready.insert(seat);
                }
                continue;
            };
            if lane.is_withheld() {
                self.ready.remove(seat);
                // SeqCst: pairs with that of whoever releases the lane, and then lists it; and, as above, with
                // that of whoever has made another with this seat.
                fence(Ordering::SeqCst);
                let has_work = |now: &Lane<_>| !now.is_withheld() && !now.queue.is_empty();
                if self.peers.at(seat).is_some_and(|now| has_work(&now)) {
                    self.ready.insert(seat);
                }
                continue;
            }
            if self.order == Order::Any || lane.hold() {
                return Some(lane);
            }
            // SeqCst: pairs with that of the holder, which looks at the queue after it lets go.
            fence(Ordering::SeqCst);
            if !lane.is_held() && !lane.queue.is_empty() {
                self.ready.insert(seat);
            }
        }
    }

    /// Gives a lane its turn, and says so, for whoever cancels it meanwhile.
    fn take_turn(self: &Arc<Self>, lane: &Arc<Lane<Brought<M>>>, shift: &mut Shift<'_, M, H>) {
        shift.metrics.begins(self.nanos(shift.now));
        let outside = shift.metrics.begins_turn(lane.seat);
        // SeqCst: part of the proof in `departure`.
        fence(Ordering::SeqCst);
        self.serve(lane, shift);
        shift.metrics.ends_turn(outside);
    }

    /// Runs messages of a lane until its turn is over.
    fn serve(self: &Arc<Self>, lane: &Arc<Lane<Brought<M>>>, shift: &mut Shift<'_, M, H>) {
        let mut began = shift.now;
        let mut is_first = true;
        loop {
            let Some(brought) = self.next_of(lane, shift) else {
                self.leave_empty(lane);
                return;
            };
            if is_first {
                is_first = false;
                lane.is_served_up_to(self.nanos(brought.arrived));
            }
            if shift.searches {
                shift.searches = false;
                if self.claims.found(|| self.is_more_than(lane)) {
                    self.start();
                }
            }
            self.run(lane, brought, shift);
            if shift.now >= shift.end {
                break;
            }
            if shift.now.nanos_since(began) >= shift.live.load().quantum {
                if self.ready.has_other_than(lane.seat) {
                    break;
                }
                began = shift.now;
                // Once in a quantum is enough for those who look.
                shift.metrics.begins(self.nanos(began));
                is_first = true;
            }
        }
        if self.order == Order::PerPeer {
            lane.release();
            self.look_again(lane);
        }
    }

    /// The next message of a lane, looking for a while if no other lane has any.
    fn next_of(&self, lane: &Lane<Brought<M>>, shift: &mut Shift<'_, M, H>) -> Option<Brought<M>> {
        for _ in 0..LOOKS {
            let brought = lane.queue.pop();
            if brought.is_some() {
                shift.pace.takes();
                return brought;
            }
            if self.ready.has_other_than(lane.seat) {
                return None;
            }
            self.search(shift);
            let most = shift.live.load().gather;
            let other = || self.ready.has_other_than(lane.seat);
            shift.now = shift.pace.gather(shift.now, most, other);
            pause();
        }
        None
    }

    /// Whether another worker would find something to run.
    fn is_more_than(&self, lane: &Lane<Brought<M>>) -> bool {
        let shared = self.order == Order::Any && !lane.queue.is_empty();
        shared || self.ready.has_other_than(lane.seat)
    }

    /// Takes an empty lane out of the set, or lets go of it, and looks at it once more.
    fn leave_empty(self: &Arc<Self>, lane: &Arc<Lane<Brought<M>>>) {
        match self.order {
            Order::Any => drop(self.ready.remove(lane.seat)),
            Order::PerPeer => lane.release(),
        }
        lane.is_served();
        lane.standing.begins_anew();
        self.look_again(lane);
        self.retire_if_done(lane);
    }

    /// Looks once more at a lane that was taken out of the set or let go of, and at the one that has
    /// its seat by now, should it have been retired: that one's submitter may have found the seat in
    /// the set still.
    fn look_again(self: &Arc<Self>, lane: &Lane<Brought<M>>) {
        // SeqCst: pairs with that in `list`: the lane is let go of before it, its queue looked at
        // after.
        fence(Ordering::SeqCst);
        if !lane.queue.is_empty() {
            self.list(lane);
        } else if lane.entrance.permits.is_shut()
            && let Some(successor) = self.peers.at(lane.seat)
            && !successor.queue.is_empty()
        {
            self.list(&successor);
        }
    }

    /// Whether messages may run while the calling thread's handlers do not end. What is queued behind
    /// them in order is dropped. The flow must be closed.
    pub(super) fn runs_beside_handlers(self: &Arc<Self>) -> (bool, usize) {
        let mut dropped = 0;
        if self.order == Order::PerPeer
            && let Some(lane) = self.peers.at(SEAT.get())
        {
            dropped = self.discard_queue(&lane);
        }
        (handlers_on_this_thread() < self.claims.limit(), dropped)
    }
}

impl<M: Send + 'static, H: Handle<M>, S: Spawn> Job for Core<M, H, S> {
    fn run(self: Arc<Self>) {
        if !is_on_top() {
            return self.drain(true);
        }
        if !self.claims.pass_on(true, || self.ready.is_empty()) && !self.offer_rest() {
            self.drain(false);
        }
    }

    fn run_if_needed(self: Arc<Self>) {
        let spins = self.spins(self.live.load().config.wait_strategy());
        let needed = spins || !self.ready.is_empty();
        if needed && !is_on_top() && self.claims.claim() {
            self.drain(false);
        }
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;
