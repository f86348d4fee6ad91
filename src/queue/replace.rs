//! An item that takes the place of queued items of its lane, which mean nothing any more.
//!
//! ```text
//!              lend                       give back, and replace
//!  queued ────────────▶ lent, compared ──────────────────────────▶ queued
//!         under the lock   without it       under the lock
//! ```
//!
//! The user's code says which items those are, and it must not run under the schedule's lock. So the lane's whole queue
//! is taken out, which moves a few pointers, and given back after the comparison. In between the lane is *lent*: what
//! comes to it is queued, nothing of it is served, and it misses a turn that comes. It keeps its place among the lanes,
//! so a lane that is often lent is served as often as others.
//!
//! The new item takes over place, permits and bytes of the first item that it replaces. So the bounds hold at each
//! moment, and no other submitter can take them. Further items that it replaces come back with their permits.
//!
//! Bounds: up to [`MAX_COMPARED`] items of the lane are compared, oldest first. One thread at a time has a lane lent.
//! Others that come meanwhile replace nothing.

use std::{hash::Hash, sync::Arc};

use super::{FairQueue, Lane, WakeList, gate::are_charged, lanes::is_in, schedule::Charged};
use crate::sync::Ordering;

/// How many queued items one item is compared with.
pub(crate) const MAX_COMPARED: usize = 1_024;

/// What an item has replaced.
#[derive(Debug)]
pub(crate) struct Replaced<T> {
    /// Its permits are the new item's.
    pub(crate) first: T,
    /// Those behind it, with what each was charged. Each is to be [discarded](FairQueue::finish_discarded).
    pub(crate) others: Vec<(T, u32)>,
}

impl<K: Clone + Eq + Hash, T> FairQueue<K, T> {
    /// Admits an item of so many bytes in the place of the first that is queued in its lane and that it `supersedes`,
    /// and takes out the others. It passes those that wait in the lane's line. Otherwise the item stays where it is:
    /// there is none, the lane or the queue is closed, another thread looks at the lane, or the new item is larger and
    /// no byte is free.
    ///
    /// `supersedes` gets the newer item first. It may be the user's code, and must not panic. `count` is called before
    /// the new item can be served; it is not for the user's code. `notify` wakes who is in the list: before the first
    /// comparison, since nobody else waits for the user's code, and at the end.
    ///
    /// # Panics
    ///
    /// If there is no item.
    pub(crate) fn replace(
        &self,
        lane: &Arc<Lane<K>>,
        item: &mut Option<T>,
        bytes: u32,
        supersedes: impl Fn(&T, &T) -> bool,
        count: impl FnOnce(),
        mut notify: impl FnMut(&mut WakeList),
    ) -> Option<Replaced<T>> {
        let mut wake = WakeList::default();
        let lent = {
            let mut schedule = self.schedule.lock();
            self.drain_present(&mut schedule);
            let lent = is_in(&schedule, lane).then(|| schedule.lend(lane.index)).flatten();
            self.leave(&schedule);
            // As in `push_into_full`.
            wake.worker |= schedule.is_ready();
            lent
        };
        notify(&mut wake);
        let lent = lent?;
        let newer = item.as_ref().expect("an item is submitted");
        let compared = lent.iter().take(MAX_COMPARED).enumerate();
        let found: Vec<usize> = compared
            .filter(|(_, queued)| supersedes(newer, &queued.item))
            .map(|(place, _)| place)
            .collect();

        let mut schedule = self.schedule.lock();
        // It is there: what was lent is in flight.
        schedule.give_back(lane.index, lent);
        let mut has_freed = false;
        let replaced = found.split_first().and_then(|(&first, others)| {
            // Who closes either of them later does so while this item is being submitted.
            if self.is_closed() || lane.is_closed() {
                return None;
            }
            let charged = schedule.charge_of(lane.index, first);
            let charge = self.exchange_bytes(lane, charged, bytes)?;
            has_freed = charge < charged;
            let item = item.take().expect("it is still there");
            let first = schedule.replace(lane.index, first, Charged { item, charge }).item;
            // The last first, so that the places of those before it stay.
            let others = others.iter().rev().map(|&place| schedule.remove(lane.index, place));
            let others = others.map(|Charged { item, charge }| (item, charge)).collect();
            // Relaxed: statistics only. Under the lock, as `count`: the new item has not finished yet.
            self.replaced.fetch_add(1, Ordering::Relaxed);
            count();
            Some(Replaced { first, others })
        });
        // A turn may have been missed.
        self.leave_changed(schedule, &mut wake);
        if has_freed {
            self.note_taken_back(lane, &mut wake);
        }
        notify(&mut wake);
        replaced
    }

    /// An item of so many bytes takes over what another was charged; returns what it is charged itself, or `None` if
    /// it is larger and no byte is free.
    fn exchange_bytes(&self, lane: &Lane<K>, charged: u32, bytes: u32) -> Option<u32> {
        // Relaxed: as in `enter`.
        let most = self.signals.bytes.load(Ordering::Relaxed);
        let lane_most = self.signals.lane_bytes.load(Ordering::Relaxed);
        let charge = if are_charged(most, lane_most) { bytes } else { 0 };
        let (old, new) = (u64::from(charged), u64::from(charge));
        if !lane.entrance.bytes.exchange(old, new, lane_most) {
            return None;
        }
        if !self.bytes.exchange(old, new, most) {
            lane.entrance.bytes.exchange(new, old, u64::MAX);
            return None;
        }
        Some(charge)
    }
}
