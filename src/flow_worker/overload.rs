//! What is dropped when there is too much to do, and who is told of it.
//!
//! A message that is too old when it would start has [expired](Outcome::Expired), one of a queue that stands is
//! [shed](Outcome::Shed); where the flow's policy says so, the oldest makes room for the newest, or the
//! newest goes. All of these are *losses*: they are counted in their lane, and the replica is told of them
//! from time to time, so that it can ask the peer again.

use std::sync::Arc;

use super::{
    brought::{Brought, Decision},
    core::{Core, Handle},
    lane::Lane,
    live::Live,
    pool::Spawn,
};
use crate::{
    NodeId, Outcome,
    clock::Moment,
    metrics::FlowMetrics,
    sync::{Ordering, fence},
};

/// How many messages make room for one, at the most. One is enough, unless another submitter is quicker.
pub(super) const MAX_EVICTIONS: usize = 4;

/// How many lanes are looked at for one that has the most messages.
const LOOK_AT: usize = 8;

type LaneOf<M> = Lane<Brought<M>>;

impl<M: Send + 'static, H: Handle<M>, S: Spawn> Core<M, H, S> {
    /// Why a message that a worker has taken from this lane must not start, if that is so.
    pub(super) fn end_before_start(
        &self,
        lane: &LaneOf<M>,
        arrived: Moment,
        now: Moment,
        live: &Live<H>,
    ) -> Option<Outcome> {
        if lane.is_cancelled() {
            return Some(Outcome::Cancelled);
        }
        let waited = now.nanos_since(arrived);
        if waited > live.max_age {
            return Some(Outcome::Expired);
        }
        let codel = live.config.codel()?;
        let sheds = lane.standing.sheds(codel, self.nanos(now), waited, lane.queue.is_empty());
        sheds.then_some(Outcome::Shed)
    }

    /// Drops the oldest message that is queued in this lane, or, if there is none and one message less would
    /// make room in the flow, in another; false if there is none.
    pub(super) fn make_room(self: &Arc<Self>, lane: &Arc<LaneOf<M>>) -> bool {
        if let Some(oldest) = lane.queue.pop() {
            self.discard(lane, oldest, Outcome::DroppedOldest);
            return true;
        }
        let FlowMetrics { permits, bytes, .. } = &*self.metrics;
        // Others lose nothing for a lane that is full itself, nor in vain.
        let is_next = self.metrics.in_flight() as u64 <= permits.limit();
        if !lane.has_room() || !bytes.has_room() || !is_next || self.admission.is_starved() {
            return false;
        }
        // Relaxed: where one begins to look orders nothing.
        let mut from = self.turn.load(Ordering::Relaxed);
        let longest = (0..LOOK_AT).filter_map(|_| {
            let seat = self.ready.next(from)?;
            from = seat + 1;
            self.peers.at(seat)
        });
        let Some(other) = longest.max_by_key(|lane| lane.queue.len()) else { return false };
        let Some(oldest) = other.queue.pop() else { return false };
        self.discard(&other, oldest, Outcome::DroppedOldest);
        true
    }

    /// Drops a message for which there is no room.
    pub(super) fn drop_newest(&self, lane: &LaneOf<M>, brought: Brought<M>) -> Decision<M> {
        self.lose(lane);
        self.metrics.ended(Outcome::DroppedNewest);
        if let Err(payload) = self.discard_message(brought.message) {
            self.panics.report(payload);
        }
        Decision::Dropped
    }

    /// Ends the quarantine of a peer; true if it was in one.
    pub(super) fn lift_quarantine(&self, peer: NodeId) -> bool {
        self.suspects.lift(peer, Moment::now().since(self.epoch))
    }

    /// A message of this lane was dropped, and the replica is to be told.
    pub(super) fn lose(&self, lane: &LaneOf<M>) {
        if !self.tells_losses {
            return;
        }
        lane.lose();
        // SeqCst: pairs with that of whoever takes the lane out of the set and then looks for losses.
        fence(Ordering::SeqCst);
        self.lossy.insert(lane.seat);
    }

    /// Tells of what was dropped, peer by peer: those whose last time is `interval` nanoseconds ago. `tell`
    /// says whether it could. One thread at a time calls this.
    pub(super) fn tell_losses(&self, interval: u64, tell: impl Fn(NodeId, u64) -> bool) {
        let now = self.nanos(Moment::now());
        for seat in self.lossy.iter() {
            self.lossy.remove(seat);
            // SeqCst: pairs with that in `lose`.
            fence(Ordering::SeqCst);
            let Some(lane) = self.peers.at(seat) else { continue };
            // Of a peer that has gone nobody asks again.
            if lane.is_cancelled() {
                continue;
            }
            let count = lane.take_losses(now, interval);
            if count > 0 && !tell(lane.peer, count) {
                lane.give_back_losses(count);
            }
            if lane.has_losses() {
                self.lossy.insert(seat);
            }
        }
    }
}
