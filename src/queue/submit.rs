//! The way of an item in: two permits, the inbox, and a knock. **Bounds are enforced in [`FairQueue::enter`].**

use std::{hash::Hash, sync::Arc};

use super::{
    DRAIN, Denied, Entry, FairQueue, Lane, Signals, WakeList, gate::Barred, schedule::Charged,
};
use crate::sync::{Ordering, fence};

impl<K: Clone + Eq + Hash, T> FairQueue<K, T> {
    /// Admits an item of so many bytes if the lane and the queue have capacity and nobody waits for it. Otherwise the
    /// item stays where it is.
    ///
    /// # Panics
    ///
    /// If there is no item.
    #[inline]
    pub(crate) fn submit(
        &self,
        lane: &Arc<Lane<K>>,
        item: &mut Option<T>,
        bytes: u32,
        wake: &mut WakeList,
    ) -> Result<(), Denied> {
        // Acquire: an item comes behind those of its lane that were let in before. A waiter that joins at this moment
        // may be passed by it. Relaxed: the order among lanes.
        let others_wait = lane.entrance.waiting.load(Ordering::Acquire) > 0
            || self.signals.blocked.load(Ordering::Relaxed);
        if others_wait {
            return Err(Denied::Full);
        }
        match self.enter(lane, bytes, wake) {
            Ok(charge) => {
                let item = item.take().expect("an item is submitted");
                wake.worker |= self.push(lane, Charged { item, charge });
                Ok(())
            }
            Err((denied, was_in_lane)) => {
                // Somebody may have gone to wait because of the permit that was held for a moment.
                if was_in_lane {
                    self.publish();
                    if self.has_waiters() {
                        self.grant(Some(lane), wake);
                    }
                }
                Err(denied)
            }
        }
    }

    /// Takes a permit of the lane, then one of the queue: the queue's, whose count is shown, is never taken back.
    /// Returns what is charged; or why not, and whether the lane's permit was held for a moment.
    #[inline]
    pub(super) fn enter(
        &self,
        lane: &Arc<Lane<K>>,
        bytes: u32,
        wake: &mut WakeList,
    ) -> Result<u32, (Denied, bool)> {
        let Signals { items, lane_items, bytes: most, lane_bytes: lane_most, .. } = &*self.signals;
        let entrance = &lane.entrance;
        // Relaxed, here and below: a bound that changes at this moment holds for the next.
        match entrance.gate.enter(lane_items.load(Ordering::Relaxed), || lane.finished()) {
            Ok(()) => {}
            Err(Barred::Full) => return Err((Denied::Full, false)),
            Err(Barred::Closed) => return Err((Denied::LaneClosed, false)),
        }
        let (most, lane_most) = (most.load(Ordering::Relaxed), lane_most.load(Ordering::Relaxed));
        let charge = if most & lane_most == u64::MAX { 0 } else { bytes };
        if charge > 0 {
            if !entrance.bytes.enter(charge, lane_most) {
                self.undo(lane, 0, wake);
                return Err((Denied::Full, true));
            }
            if !self.bytes.enter(charge, most) {
                self.undo(lane, charge, wake);
                return Err((Denied::Full, true));
            }
        }
        self.gate.enter(items.load(Ordering::Relaxed), || self.finished()).map(|()| charge).map_err(
            |barred| {
                if charge > 0 {
                    self.bytes.leave(charge);
                }
                self.undo(lane, charge, wake);
                match barred {
                    Barred::Full => (Denied::Full, true),
                    Barred::Closed => (Denied::Closed, true),
                }
            },
        )
    }

    pub(super) fn undo(&self, lane: &Arc<Lane<K>>, charge: u32, wake: &mut WakeList) {
        if charge > 0 {
            lane.entrance.bytes.leave(charge);
        }
        // A thread that has closed it meanwhile could not remove it.
        if lane.entrance.gate.undo() {
            self.publish();
            wake.left |= self.remove_if_over(&mut self.schedule.lock(), lane);
        }
    }

    /// Hands an item that was admitted over; true if a worker is to be woken.
    #[inline]
    pub(super) fn push(&self, lane: &Lane<K>, item: Charged<T>) -> bool {
        if let Err(back) = self.inbox.push(Entry { lane: lane.index, item }) {
            return self.push_into_full(lane, back);
        }
        self.knock(lane)
    }

    /// Says that an item was pushed to this lane; true if a worker is to be woken.
    #[inline]
    pub(super) fn knock(&self, lane: &Lane<K>) -> bool {
        // SeqCst: step 1 of the proof: the item is pushed before it, whether the lane is active is read after.
        fence(Ordering::SeqCst);
        // Relaxed: ordered by the fence.
        if lane.service.active.load(Ordering::Relaxed) {
            return false;
        }
        if !self.knocked.load(Ordering::Relaxed) {
            self.knocked.store(true, Ordering::Relaxed);
        }
        true
    }

    /// Makes space in the inbox, and pushes an item; true if a worker is to be woken, also for what was moved: its
    /// submitter may have found its lane active by that.
    #[cold]
    pub(super) fn push_into_full(&self, lane: &Lane<K>, mut entry: Entry<T>) -> bool {
        let mut has_moved = false;
        // Ends: each turn makes space, unless others fill it, who then have been admitted.
        while let Err(back) = self.inbox.push(entry) {
            entry = back;
            let mut schedule = self.schedule.lock();
            self.drain(&mut schedule, DRAIN);
            self.leave(&schedule);
            has_moved |= schedule.is_ready();
        }
        self.knock(lane) || has_moved
    }
}
