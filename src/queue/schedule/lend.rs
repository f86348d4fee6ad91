//! What is queued in a lane, taken out for a moment to be looked at, and items that take the place of others.

use std::hash::Hash;

use super::{Charged, Schedule};
use crate::queue::chunks::Chunks;

impl<K: Clone + Eq + Hash, T> Schedule<K, T> {
    /// Takes all out that is queued in a lane, to be [given back](Self::give_back). Until then the lane stays in its
    /// place and is not served. `None` if nothing is queued, or it is lent already.
    pub(in crate::queue) fn lend(&mut self, index: u32) -> Option<Chunks<Charged<T>>> {
        let slot = &mut self.slots[index as usize];
        if slot.is_lent || slot.queue.is_empty() {
            return None;
        }
        slot.is_lent = true;
        self.queued -= slot.queue.len();
        Some(std::mem::replace(&mut slot.queue, Chunks::new()))
    }

    /// Puts what was lent before what has come meanwhile.
    pub(in crate::queue) fn give_back(&mut self, index: u32, lent: Chunks<Charged<T>>) {
        let slot = &mut self.slots[index as usize];
        slot.is_lent = false;
        self.queued += lent.len();
        slot.queue.prepend(lent);
        self.begin_backlog(index);
    }

    /// What the item at this place of a lane's queue was charged.
    pub(in crate::queue) fn charge_of(&mut self, index: u32, place: usize) -> u32 {
        self.slots[index as usize].queue.get_mut(place).charge
    }

    /// Puts an item in the place of another, which comes back.
    pub(in crate::queue) fn replace(
        &mut self,
        index: u32,
        place: usize,
        item: Charged<T>,
    ) -> Charged<T> {
        std::mem::replace(self.slots[index as usize].queue.get_mut(place), item)
    }

    /// Takes an item out that is not the only one in its lane.
    pub(in crate::queue) fn remove(&mut self, index: u32, place: usize) -> Charged<T> {
        let slot = &mut self.slots[index as usize];
        debug_assert!(slot.queue.len() > 1, "the lane stays where it is listed");
        self.queued -= 1;
        slot.queue.remove(place, &mut self.pool)
    }
}
