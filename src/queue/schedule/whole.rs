//! What must hold of a schedule between any two steps, for tests.

use std::hash::Hash;

use super::Schedule;
use crate::sync::Ordering;

impl<K: Clone + Eq + Hash, T> Schedule<K, T> {
    pub(in crate::queue) fn weight_of(&self, index: u32) -> u64 {
        self.slots[index as usize].weight
    }

    /// Asserts what holds between any two steps.
    pub(in crate::queue) fn assert_whole(&self) {
        let mut listed = self.turns.listed();
        listed.sort_unstable();
        let mut queued = 0;
        for (index, slot) in self.slots.iter().enumerate() {
            let index = index as u32;
            let is_free = self.free.contains(&index);
            assert_eq!(slot.lane.is_none(), is_free, "a place is free or taken");
            assert!(!is_free || self.is_idle(index) && !slot.backlogged, "a free place is empty");
            let can_be_served = !slot.queue.is_empty() && slot.running < self.rules.lane_workers;
            assert_eq!(slot.listed, can_be_served, "listed if it can be served");
            assert_eq!(listed.binary_search(&index).is_ok(), slot.listed, "it stands in a list");
            assert_eq!(slot.backlogged, !slot.queue.is_empty() || slot.running > 0);
            if let Some(lane) = &slot.lane {
                let is_active = lane.service.active.load(Ordering::Relaxed);
                let is_full = slot.running >= self.rules.lane_workers;
                assert_eq!(is_active, !slot.queue.is_empty() || is_full, "active if known to be");
            }
            queued += slot.queue.len();
        }
        let count = listed.len();
        listed.dedup();
        assert_eq!(listed.len(), count, "each stands there once");
        assert_eq!(self.queued, queued, "the sum of the lanes");
    }
}
