//! A message on its way to its handler: what the flow must know of it, and how it comes in.
//!
//! It finds its peer's lane, enters it or joins its line ([`admission`](super::admission)), and is queued; or the
//! flow's policy says what is done with it.

use std::sync::Arc;

use super::{
    admission::{Denied, Entry, Weigh},
    core::{Core, Handle},
    lane::Lane,
    line::Place,
    overload::MAX_EVICTIONS,
    pool::Spawn,
};
use crate::{
    NodeId, OverloadPolicy, RefusalReason,
    clock::Moment,
    sync::{Ordering, fence},
};

/// A message on its way to its handler.
#[derive(Debug)]
pub(crate) struct Brought<M> {
    pub(super) message: M,
    /// When its submitter brought it.
    pub(super) arrived: Moment,
    /// How large it is.
    bytes: u32,
    /// Its bytes are taken off when it leaves.
    charged: bool,
}

impl<M> Brought<M> {
    /// One of so many bytes, at least 1.
    pub(super) fn new(message: M, arrived: Moment, bytes: u32) -> Self {
        Self { message, arrived, bytes, charged: false }
    }

    /// What it was charged.
    pub(super) fn charge(&self) -> u32 {
        if self.charged { self.bytes } else { 0 }
    }
}

impl<M> Weigh for Brought<M> {
    fn bytes(&self) -> u32 {
        self.bytes
    }

    fn charged(&mut self) {
        self.charged = true;
    }
}

/// What becomes of a message that was brought.
#[derive(Debug)]
#[must_use]
pub(super) enum Decision<M> {
    Admitted,
    Waits(Arc<Lane<Brought<M>>>, Arc<Place<Brought<M>>>),
    Refused(M, RefusalReason),
    /// It has come to its end.
    Dropped,
}

impl<M: Send + 'static, H: Handle<M>, S: Spawn> Core<M, H, S> {
    /// Brings a message of a peer, of so many bytes; if there is no room for it, it waits if it `may`,
    /// or what the flow's policy says is done with it.
    pub(super) fn bring(
        self: &Arc<Self>,
        peer: NodeId,
        message: M,
        bytes: usize,
        may_wait: bool,
    ) -> Decision<M> {
        self.bring_to(None, peer, message, bytes, may_wait)
    }

    /// The same, for a submitter that may remember the peer's lane.
    #[inline]
    pub(super) fn bring_to(
        self: &Arc<Self>,
        mut remembered: Option<&Arc<Lane<Brought<M>>>>,
        peer: NodeId,
        message: M,
        bytes: usize,
        may_wait: bool,
    ) -> Decision<M> {
        // One of no bytes counts as one byte, one of more than a count holds as that many.
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).max(1);
        let mut brought = Brought::new(message, Moment::now(), bytes);
        if self.suspects.holds(peer, || brought.arrived.since(self.epoch)) {
            return self.refuse(brought, RefusalReason::Quarantined);
        }
        let (mut evictions, mut swept) = (0, false);
        // Whoever turns this loop once more has found a lane that another thread has retired, or has
        // made room, which it does a few times only.
        loop {
            let (part, seated);
            let lane = match remembered {
                Some(lane) => lane,
                None => {
                    part = self.peers.find(peer);
                    match part.lane() {
                        Some(lane) => lane,
                        None if self.admission.is_closed() => {
                            return self.refuse(brought, RefusalReason::Closed);
                        }
                        None => {
                            seated = self.seat(peer);
                            let Some(lane) = &seated else {
                                return self.refuse(brought, RefusalReason::TooManyPeers);
                            };
                            lane
                        }
                    }
                }
            };
            match self.admission.enter(lane, &mut brought, self) {
                Entry::Admitted => {
                    self.push_brought(lane, brought);
                    return Decision::Admitted;
                }
                Entry::Full if !swept && self.sweep() => {
                    swept = true;
                    continue;
                }
                Entry::Full => match self.no_room_policy(may_wait) {
                    OverloadPolicy::Wait => match self.admission.join(lane, brought, self) {
                        Ok(place) => return Decision::Waits(Arc::clone(lane), place),
                        Err((back, Denied::Crowded)) => {
                            return self.refuse(back, RefusalReason::TooManyWaiters);
                        }
                        Err((back, Denied::Retired)) => brought = back,
                    },
                    OverloadPolicy::Refuse => return self.refuse(brought, RefusalReason::Full),
                    OverloadPolicy::DropOldest
                        if evictions < MAX_EVICTIONS && self.make_room(lane) =>
                    {
                        evictions += 1;
                        continue;
                    }
                    OverloadPolicy::DropNewest | OverloadPolicy::DropOldest => {
                        return self.drop_newest(lane, brought);
                    }
                },
                Entry::Closed => return self.refuse(brought, RefusalReason::Closed),
                Entry::Retired => {}
            }
            self.peers.take_out(lane);
            remembered = None;
        }
    }

    /// What is done with a message for which there is no room.
    fn no_room_policy(&self, may_wait: bool) -> OverloadPolicy {
        self.metrics.finds_no_room();
        if may_wait { self.live.load().config.overload_policy() } else { OverloadPolicy::Refuse }
    }

    /// The lane of a peer, a new one if it has none; `None` if there is no seat for it.
    pub(super) fn seat(self: &Arc<Self>, peer: NodeId) -> Option<Arc<Lane<Brought<M>>>> {
        let mut live = self.live.load_full();
        let lane = self.peers.find_or_seat(peer, &live.config)?;
        let mut is_bound_as_withheld = lane.was_ever_withheld();
        // Whoever changes the configuration looks at all lanes after that, and whoever opens a welcome at its
        // peer's; both may have missed this one.
        loop {
            // SeqCst: pairs with that of whoever does: the lane is in its place before it, the configuration and
            // the welcome looked at after.
            fence(Ordering::SeqCst);
            let now = self.live.load_full();
            let is_released = is_bound_as_withheld && !lane.is_withheld();
            if Arc::ptr_eq(&live, &now) && !is_released {
                return Some(lane);
            }
            is_bound_as_withheld &= !is_released;
            lane.bound(&now.config, self.peers.slots());
            self.settle(&lane);
            live = now;
        }
    }

    fn refuse(&self, brought: Brought<M>, reason: RefusalReason) -> Decision<M> {
        self.metrics.ended(reason.into());
        Decision::Refused(brought.message, reason)
    }

    /// Queues a message that has just been admitted. Not under the baton.
    #[inline]
    pub(super) fn push_brought(self: &Arc<Self>, lane: &Lane<Brought<M>>, brought: Brought<M>) {
        self.push(lane, brought);
        // As whoever cancels a lane does, should that have come in between.
        if lane.entrance.permits.is_shut() && self.admission.is_starved() {
            self.sweep();
        }
    }

    /// Queues a message that has been admitted, and wakes a worker for it.
    #[inline]
    pub(super) fn push(self: &Arc<Self>, lane: &Lane<Brought<M>>, brought: Brought<M>) {
        let arrived = brought.arrived;
        let pushed = lane.queue.push(brought);
        assert!(pushed.is_ok(), "{}: a lane has a slot for each message of its quota", self.name);
        if self.list(lane) {
            lane.begins_to_queue(self.nanos(arrived));
        }
        // After the fence in `list`, which pairs with that of whoever cancels the lane: it finds the message, or
        // this finds the lane shut.
        if lane.entrance.permits.is_shut() {
            self.cancelled.insert(lane.seat);
        }
    }
}
