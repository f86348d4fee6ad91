//! Lanes that come and go, and what is taken out of them by others than workers.

use std::{hash::Hash, sync::Arc};

use super::{
    FairQueue, HEADS, LOOK_AT, Lane, Refusal, WakeList,
    lane::NUMBER_BITS,
    schedule::{Charged, Schedule},
};
use crate::sync::Ordering;

/// What became of those who were at a lane that departs.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[must_use = "permits are to be given back, and who was refused is to be counted"]
pub(crate) struct Departed {
    /// How many waited in its line.
    pub(crate) refused: usize,
    /// How many permits of it were held. Each is to be [given back](FairQueue::finish_discarded).
    pub(crate) revoked: usize,
}

impl<K: Clone + Eq + Hash, T> FairQueue<K, T> {
    /// Uses the lane of a key, if it has one.
    #[inline]
    pub(crate) fn with_lane<R>(&self, key: &K, of: impl FnOnce(Option<&Arc<Lane<K>>>) -> R) -> R {
        of(self.table.find(key).lane())
    }

    /// The lane of a key, a new one if it has none; `None` if there are as many as there may be and all that were
    /// looked at are in use.
    pub(crate) fn lane(&self, key: &K) -> Option<Arc<Lane<K>>> {
        if let Some(lane) = self.table.find(key).lane().filter(|lane| !lane.is_closed()) {
            return Some(Arc::clone(lane));
        }
        let waiters = self.waiters.lock();
        let mut schedule = self.schedule.lock();
        // A closed lane leaves the table under this lock, after it was closed.
        if let Some(lane) = self.table.find(key).lane() {
            if !lane.is_closed() {
                return Some(Arc::clone(lane));
            }
            self.table.remove(&Arc::clone(lane));
        }
        if schedule.lanes() >= self.lanes {
            // Nobody joins its line meanwhile, and an entry makes the exchange fail.
            let unused = schedule.find_lane(LOOK_AT, |lane| {
                lane.is_over()
                    || waiters.in_line(lane) == 0
                        && lane.entrance.gate.close_if_unused(lane.finished())
            })?;
            self.table.remove(&unused);
            schedule.remove_lane(unused.index);
        }
        let lane = schedule.add_lane(key);
        self.table.insert(&lane);
        Some(lane)
    }

    /// Gives a key another weight; false if too many keys have one other than 1.
    pub(crate) fn set_weight(&self, key: &K, weight: u32) -> bool {
        let mut schedule = self.schedule.lock();
        // While a lane is being cancelled it may be out of the schedule, and another in its place, before it is out of
        // the table.
        let index = self.table.find(key).lane().and_then(|lane| {
            let own = schedule.lane(lane.index)?;
            Arc::ptr_eq(own, lane).then_some(lane.index)
        });
        schedule.set_weight(key, weight.into(), index, self.lanes)
    }

    /// Ends a lane: it takes nothing more, nothing in it starts, who waits in its line is refused, permits of it are
    /// revoked, and what is queued comes back. Each of these items is to be [discarded](Self::finish_discarded). Runs
    /// that workers have taken are theirs to discard.
    pub(crate) fn cancel_lane(
        &self,
        lane: &Arc<Lane<K>>,
        wake: &mut WakeList,
    ) -> (Vec<(T, u32)>, Departed) {
        // Release: a worker that sees it, or takes the schedule's lock after this call, starts nothing of the lane.
        // A worker that had the lock before is seen by `wait_until_left` to serve it.
        lane.service.cancelled.store(true, Ordering::Release);
        let departed = self.bar(lane, wake);
        let mut schedule = self.schedule.lock();
        self.table.remove(lane);
        self.drain_present(&mut schedule);
        let items = if is_in(&schedule, lane) { schedule.clear(lane.index) } else { Vec::new() };
        wake.left |= self.remove_if_over(&mut schedule, lane);
        self.leave_changed(schedule, wake);
        (items.into_iter().map(|Charged { item, charge }| (item, charge)).collect(), departed)
    }

    /// Retires a lane: it takes nothing more, who waits in its line is refused, permits of it are revoked, and its key
    /// may have another lane at once. What is queued in it stays and is served in its turn. Between it and the key's
    /// next lane there is no order. It keeps its place among the lanes until it is [left](Lane::is_left). That is an
    /// event, which comes once: in the [`WakeList`] of the call by which the lane is left, this one included, or by a
    /// worker's [`take_left`](super::Worker::take_left). Of a lane that was cancelled it comes, too; of one that was
    /// retired and then cancelled it comes once.
    pub(crate) fn retire_lane(&self, lane: &Arc<Lane<K>>, wake: &mut WakeList) -> Departed {
        let departed = self.bar(lane, wake);
        let mut schedule = self.schedule.lock();
        self.table.remove(lane);
        wake.left |= self.remove_if_over(&mut schedule, lane);
        departed
    }

    /// Bars all who come later to a lane that departs, refuses all who wait in its line, and revokes its permits.
    fn bar(&self, lane: &Arc<Lane<K>>, wake: &mut WakeList) -> Departed {
        // Relaxed: ordered by the exchange that closes the gate, and by the schedule's lock.
        lane.service.departs.store(true, Ordering::Relaxed);
        lane.entrance.gate.close();
        let mut waiters = self.waiters.lock();
        let refused = waiters.refuse_lane(lane, Refusal::Cancelled, wake);
        self.note_left(lane, refused, &waiters);
        let revoked = waiters.revoke_lane(lane, Refusal::Cancelled);
        // They may have been the last who barred others. It fences, too: step 4 of the proof.
        self.grant_locked(&mut waiters, wake);
        Departed { refused, revoked }
    }

    /// Takes the oldest item that is queued in a lane. It is to be [discarded](Self::finish_discarded).
    pub(crate) fn evict(&self, lane: &Arc<Lane<K>>, wake: &mut WakeList) -> Option<(T, u32)> {
        let mut schedule = self.schedule.lock();
        self.drain_present(&mut schedule);
        let item = if is_in(&schedule, lane) { schedule.pop(lane.index) } else { None };
        self.leave_changed(schedule, wake);
        item.map(|Charged { item, charge }| (item, charge))
    }

    /// Takes all that is queued. Each of these items is to be [discarded](Self::finish_discarded).
    pub(crate) fn clear(&self, wake: &mut WakeList) -> Vec<(Arc<Lane<K>>, T, u32)> {
        let mut schedule = self.schedule.lock();
        self.drain_present(&mut schedule);
        let lanes: Vec<_> = schedule.all_lanes().cloned().collect();
        let mut items = Vec::new();
        for lane in lanes {
            let of_lane = schedule.clear(lane.index);
            items.extend(
                of_lane
                    .into_iter()
                    .map(|Charged { item, charge }| (Arc::clone(&lane), item, charge)),
            );
        }
        self.leave_changed(schedule, wake);
        items
    }

    /// Gives the place of a lane back that is over, unless a newcomer has taken it; true if the lane is left by that,
    /// of which somebody is to be notified.
    pub(super) fn remove_if_over(
        &self,
        schedule: &mut Schedule<K, T>,
        lane: &Arc<Lane<K>>,
    ) -> bool {
        if !lane.is_over() {
            return false;
        }
        if is_in(schedule, lane) {
            if !schedule.is_idle(lane.index) {
                // The worker that serves it comes here.
                return false;
            }
            schedule.remove_lane(lane.index);
        }
        lane.leave()
    }

    /// Folds over the oldest items that are queued, one for each of up to [`HEADS`] lanes.
    pub(crate) fn fold_heads<R>(
        &self,
        wake: &mut WakeList,
        first: R,
        fold: impl FnMut(R, &T) -> R,
    ) -> R {
        let mut schedule = self.schedule.lock();
        // What stands in the inbox may be the oldest, if all workers are busy.
        self.drain_present(&mut schedule);
        self.leave(&schedule);
        // As in `push_into_full`.
        wake.worker |= schedule.is_ready();
        schedule.heads(HEADS).fold(first, fold)
    }

    /// The lane with this [tag](Lane::tag), if there is one now.
    pub(crate) fn lane_of(&self, tag: u64) -> Option<Arc<Lane<K>>> {
        let number = tag & ((1 << NUMBER_BITS) - 1);
        let schedule = self.schedule.lock();
        schedule.lane(number as u32).filter(|lane| lane.tag() == tag).cloned()
    }

    /// The key of the lane with this [tag](Lane::tag), if there is one now.
    pub(crate) fn key_of(&self, tag: u64) -> Option<K> {
        self.lane_of(tag).map(|lane| lane.key().clone())
    }
}

/// Whether a lane has its place in the schedule.
pub(super) fn is_in<K: Clone + Eq + Hash, T>(
    schedule: &Schedule<K, T>,
    lane: &Arc<Lane<K>>,
) -> bool {
    schedule.lane(lane.index).is_some_and(|own| Arc::ptr_eq(own, lane))
}
