//! Messages that will not run: they are let go, counted by their end, and their room comes back.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use super::{
    brought::Brought,
    core::{Core, Handle},
    lane::Lane,
    line::Decided,
    pool::Spawn,
};
use crate::{
    Outcome,
    sync::{Ordering, fence},
};

impl<M: Send + 'static, H: Handle<M>, S: Spawn> Core<M, H, S> {
    /// Takes a message that will not run and that no worker has taken, and frees its room.
    pub(super) fn discard(
        self: &Arc<Self>,
        lane: &Arc<Lane<Brought<M>>>,
        brought: Brought<M>,
        end: Outcome,
    ) {
        let charge = brought.charge();
        let discarded = self.discard_message(brought.message);
        if end.was_dropped() {
            self.lose(lane);
        }
        self.leave(lane, charge);
        self.metrics.ended(end);
        self.admission.finished(lane, self, &mut Decided::default());
        self.retire_if_done(lane);
        if let Err(payload) = discarded {
            self.panics.report(payload);
        }
    }

    /// Lets a message go, whose `Drop` may panic.
    pub(super) fn discard_message(&self, message: M) -> std::thread::Result<()> {
        let handler = self.live.load_full();
        catch_unwind(AssertUnwindSafe(|| handler.handler.discard(message)))
    }

    /// A message of this lane, charged with so many bytes, is gone.
    pub(super) fn leave(&self, lane: &Lane<Brought<M>>, charge: u32) {
        if charge > 0 {
            lane.entrance.bytes.leave(charge);
            self.metrics.bytes.leave(charge);
        }
        lane.leave();
    }

    /// Gives the seat of a lane back that goes when it is unused, if it is.
    pub(super) fn retire_if_done(&self, lane: &Arc<Lane<Brought<M>>>) {
        if lane.is_forgotten() {
            self.peers.retire(lane);
        }
    }

    /// Drops what is queued in a lane; returns how many messages that was. The flow must have been
    /// abandoned, or its calling handler hold the lane.
    pub(super) fn discard_queue(self: &Arc<Self>, lane: &Arc<Lane<Brought<M>>>) -> usize {
        let mut dropped = 0;
        // Ends: the flow is closed, and at most as many messages as the quota are left.
        while let Some(brought) = lane.queue.pop() {
            let end =
                if lane.is_cancelled() { Outcome::Cancelled } else { Outcome::DroppedAtShutdown };
            self.discard(lane, brought, end);
            dropped += usize::from(end == Outcome::DroppedAtShutdown);
        }
        dropped
    }

    /// Does what is left of a drain job's work in a flow that was abandoned: drops what came late. A claim is held.
    ///
    /// Ends, because the flow is closed: each turn takes out a lane, which comes back only with a late message.
    pub(super) fn discard_listed(self: &Arc<Self>) {
        loop {
            while let Some(seat) = self.ready.next(0) {
                self.ready.remove(seat);
                // SeqCst: pairs with that in `list`: the lane is taken out before it, its queue looked at after.
                fence(Ordering::SeqCst);
                if let Some(lane) = self.peers.at(seat) {
                    self.discard_queue(&lane);
                }
            }
            if !self.claims.give_back(|| self.ready.is_empty()) {
                return;
            }
        }
    }

    /// Starts nothing any more and drops what is queued; returns how many messages that was. The
    /// flow must be closed.
    pub(super) fn abandon(self: &Arc<Self>) -> usize {
        self.admission.abandon();
        self.peers.iter().map(|lane| self.discard_queue(&lane)).sum()
    }
}

impl<M: Send + 'static, H: Handle<M>, S: Spawn> Drop for Core<M, H, S> {
    fn drop(&mut self) {
        // Those of a flow that was withheld to the end; there is nobody left who waits for room.
        for lane in self.peers.iter() {
            while let Some(brought) = lane.queue.pop() {
                let charge = brought.charge();
                let discarded = self.discard_message(brought.message);
                self.leave(&lane, charge);
                self.metrics.ended(Outcome::DroppedAtShutdown);
                if let Err(payload) = discarded {
                    self.panics.report(payload);
                }
            }
        }
    }
}
