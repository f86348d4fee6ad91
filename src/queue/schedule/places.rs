//! Places of lanes in the schedule: made, found, weighted, given back.

use std::{hash::Hash, sync::Arc};

use super::{Schedule, Slot};
use crate::queue::{chunks::Chunks, lane::Lane};

impl<K: Clone + Eq + Hash, T> Schedule<K, T> {
    /// How many lanes there are.
    pub(in crate::queue) fn lanes(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Makes a lane. The caller has made sure that there is none of this key, and that there may be one more.
    pub(in crate::queue) fn add_lane(&mut self, key: &K) -> Arc<Lane<K>> {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot {
                lane: None,
                for_worker: None,
                queue: Chunks::new(),
                running: 0,
                listed: false,
                is_lent: false,
                backlogged: false,
                weight: 1,
                time: 0,
                service: 0,
            });
            (self.slots.len() - 1) as u32
        });
        self.made += 1;
        let lane = Arc::new(Lane::new(key.clone(), index, self.made));
        let weight = self.weights.get(key).copied().unwrap_or(1);
        let slot = &mut self.slots[index as usize];
        // A new key owes nothing for the one that had the place before.
        (slot.lane, slot.weight, slot.service, slot.time) =
            (Some(Arc::clone(&lane)), weight, 0, self.turns.time());
        lane
    }

    /// Forgets a lane that is closed and has nothing in flight. The caller has taken it out of the table.
    pub(in crate::queue) fn remove_lane(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        debug_assert!(slot.queue.is_empty() && slot.running == 0 && !slot.listed && !slot.is_lent);
        (slot.lane, slot.for_worker) = (None, None);
        self.free.push(index);
    }

    /// The lane at an index, if there is one.
    pub(in crate::queue) fn lane(&self, index: u32) -> Option<&Arc<Lane<K>>> {
        self.slots.get(index as usize)?.lane.as_ref()
    }

    /// Looks at up to `most` lanes, going on where the last search stopped, for one that `is` what is looked for.
    pub(in crate::queue) fn find_lane(
        &mut self,
        most: usize,
        mut is: impl FnMut(&Arc<Lane<K>>) -> bool,
    ) -> Option<Arc<Lane<K>>> {
        for _ in 0..most.min(self.slots.len()) {
            self.hand = (self.hand + 1) % self.slots.len();
            let slot = &self.slots[self.hand];
            if let Some(lane) = &slot.lane
                && slot.running == 0
                && !slot.listed
                && is(lane)
            {
                return Some(Arc::clone(lane));
            }
        }
        None
    }

    /// All lanes.
    pub(in crate::queue) fn all_lanes(&self) -> impl Iterator<Item = &Arc<Lane<K>>> {
        self.slots.iter().filter_map(|slot| slot.lane.as_ref())
    }

    /// Gives a key another weight; `most` is how many keys may have one other than 1. False if there are too many.
    pub(in crate::queue) fn set_weight(
        &mut self,
        key: &K,
        weight: u64,
        lane: Option<u32>,
        most: usize,
    ) -> bool {
        if weight == 1 {
            self.weights.remove(key);
        } else if self.weights.len() >= most && !self.weights.contains_key(key) {
            return false;
        } else {
            self.weights.insert(key.clone(), weight);
        }
        if let Some(index) = lane {
            let slot = &mut self.slots[index as usize];
            slot.weight = weight;
        }
        true
    }
}
