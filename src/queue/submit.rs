//! The way of an item in: two permits, the inbox, and a knock. **Bounds are enforced in [`FairQueue::enter`].**

use std::{hash::Hash, sync::Arc};

use super::{
    DRAIN, Denied, FairQueue, Lane, Signals, WakeList,
    gate::{Barred, are_charged},
    rows::Entry,
    schedule::Charged,
};
use crate::sync::{Ordering, fence};

/// What came of taking permits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entered {
    /// How many items have entered: at least one.
    pub(super) count: u64,
    /// Their bytes are in flight.
    pub(super) is_charged: bool,
    /// Permits of the lane were held for a moment, for others that did not enter.
    pub(super) has_taken_back: bool,
}

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
        if self.others_wait(lane) {
            return Err(Denied::Full);
        }
        match self.enter(lane, 1, |_| bytes, wake) {
            Ok(Entered { is_charged, .. }) => {
                let item = item.take().expect("an item is submitted");
                let charge = if is_charged { bytes } else { 0 };
                wake.worker |= self.push(lane, Charged { item, charge });
                Ok(())
            }
            Err((denied, was_in_lane)) => {
                if was_in_lane {
                    self.note_taken_back(lane, wake);
                }
                Err(denied)
            }
        }
    }

    /// Whether a submitter to this lane would pass somebody who waits.
    #[inline]
    pub(super) fn others_wait(&self, lane: &Lane<K>) -> bool {
        // Acquire: an item comes behind those of its lane that were let in before. A waiter that joins at this moment
        // may be passed by it. Relaxed: the order among lanes.
        lane.entrance.waiting.load(Ordering::Acquire) > 0
            || self.signals.blocked.load(Ordering::Relaxed)
    }

    /// Somebody may have gone to wait because of permits that were held for a moment.
    #[cold]
    pub(super) fn note_taken_back(&self, lane: &Arc<Lane<K>>, wake: &mut WakeList) {
        self.publish();
        if self.has_waiters() {
            self.grant(Some(lane), wake);
        }
    }

    /// Takes up to `most` permits of the lane, at least one, then as many of the queue: the queue's, whose count is
    /// shown, is never taken back. `bytes` are those of an item by its number. Returns how many items have entered; or
    /// why none, and whether permits of the lane were held for a moment.
    #[inline]
    pub(super) fn enter(
        &self,
        lane: &Arc<Lane<K>>,
        most: u64,
        bytes: impl Fn(u64) -> u32,
        wake: &mut WakeList,
    ) -> Result<Entered, (Denied, bool)> {
        let Signals { items, lane_items, bytes: most_bytes, lane_bytes, .. } = &*self.signals;
        let entrance = &lane.entrance;
        // Relaxed, here and below: a bound that changes at this moment holds for the next.
        let held =
            match entrance.gate.enter(lane_items.load(Ordering::Relaxed), most, || lane.finished())
            {
                Ok(held) => held,
                Err(Barred::Full) => return Err((Denied::Full, false)),
                Err(Barred::Closed) => return Err((Denied::LaneClosed, false)),
            };
        let (most_bytes, lane_bytes) =
            (most_bytes.load(Ordering::Relaxed), lane_bytes.load(Ordering::Relaxed));
        let is_charged = are_charged(most_bytes, lane_bytes);
        let fits = if is_charged {
            let (in_lane, of_lane) = entrance.bytes.enter(held, &bytes, lane_bytes);
            let (fits, of_queue) = self.bytes.enter(in_lane, &bytes, most_bytes);
            if of_queue < of_lane {
                entrance.bytes.leave(of_lane - of_queue);
            }
            fits
        } else {
            held
        };
        let (count, denied) = match fits {
            0 => (0, Denied::Full),
            _ => match self.gate.enter(items.load(Ordering::Relaxed), fits, || self.finished()) {
                Ok(count) => (count, Denied::Full),
                Err(Barred::Full) => (0, Denied::Full),
                Err(Barred::Closed) => (0, Denied::Closed),
            },
        };
        if count < held {
            if is_charged {
                let rest = (count..fits).map(|item| u64::from(bytes(item))).sum();
                entrance.bytes.leave(rest);
                self.bytes.leave(rest);
            }
            self.undo(lane, held - count, wake);
            if count == 0 {
                return Err((denied, true));
            }
        }
        Ok(Entered { count, is_charged, has_taken_back: count < held })
    }

    /// Takes back so many permits of a lane.
    #[cold]
    pub(super) fn undo(&self, lane: &Arc<Lane<K>>, count: u64, wake: &mut WakeList) {
        // A thread that has closed it meanwhile could not remove it.
        if lane.entrance.gate.undo(count) {
            self.publish();
            wake.left |= self.remove_if_over(&mut self.schedule.lock(), lane);
        }
    }

    /// Hands an item that was admitted over; true if a worker is to be woken.
    #[inline]
    pub(super) fn push(&self, lane: &Lane<K>, item: Charged<T>) -> bool {
        self.push_entry(lane, Entry::one(lane.index, item))
    }

    /// The same for an entry of the inbox.
    #[inline]
    pub(super) fn push_entry(&self, lane: &Lane<K>, entry: Entry<T>) -> bool {
        if let Err(back) = self.inbox.push(entry) {
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
