//! Whose turn it is: plain data and plain code, without threads or clocks.
//!
//! ```text
//!                 accept            turn                      end
//!   (empty lane) ────────▶ READY ─────────▶ served ─────────────────────▶ empty, or READY again
//!                            ▲                                │ it took more than its share
//!                            └──────── others caught up ──── IN DEBT
//! ```
//!
//! Lanes are served in turn, for up to [`RUN`] items that are expected to fit into a quantum. Turns are equal in time
//! and not in items: [`Turns`] says how. A turn begins at most a quantum behind virtual time, so that nobody saves up
//! turns: neither a lane that was empty, nor those that have stood behind a long item of another.
//!
//! Where all items are brief no lane is ever in debt, and this is round robin.
//!
//! Bounds: as many lanes as the queue allows, as many items as were admitted.

use std::{collections::HashMap, hash::Hash, sync::Arc};

use super::{
    HANDFUL,
    chunks::{Chunk, Chunks, Pool, RUN},
    lane::Lane,
    rows::Entry,
    turns::{Turns, UNITS},
};
use crate::sync::Ordering;

/// One item on its way, with what it was charged in bytes.
#[derive(Debug)]
pub(super) struct Charged<T> {
    pub(super) item: T,
    pub(super) charge: u32,
}

/// What the schedule knows of a lane.
#[derive(Debug)]
struct Slot<K, T> {
    lane: Option<Arc<Lane<K>>>,
    /// Another reference to it, which a worker has while it serves it: so a turn counts no references.
    for_worker: Option<Arc<Lane<K>>>,
    queue: Chunks<Charged<T>>,
    /// Workers that serve it.
    running: u32,
    /// It stands among the ready ones, or those in debt.
    listed: bool,
    /// What was queued in it is [lent](Schedule::lend): it is not served.
    is_lent: bool,
    backlogged: bool,
    weight: u64,
    /// Its own time.
    time: u64,
    /// Nanoseconds that one of its items took of late; 0 if none has run.
    service: u64,
}

impl<K, T> Slot<K, T> {
    /// The virtual time from which the lane is not in debt.
    fn due(&self, rules: &Rules) -> u64 {
        self.time.saturating_sub(rules.quantum_units())
    }

    /// See [`Service::active`](super::lane::Service::active). Ordered by the fences that step 1 of the proof names.
    fn activate(&self) {
        if let Some(lane) = &self.lane {
            lane.service.active.store(true, Ordering::Relaxed);
        }
    }

    fn deactivate(&self) {
        if let Some(lane) = &self.lane {
            lane.service.active.store(false, Ordering::Relaxed);
        }
    }
}

/// What can change while items flow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// The length of a turn, in nanoseconds.
    pub(super) quantum: u64,
    /// Workers that may serve one lane at a time.
    pub(super) lane_workers: u32,
}

impl Rules {
    /// The quantum in the units of virtual time.
    fn quantum_units(&self) -> u64 {
        self.quantum.saturating_mul(UNITS)
    }
}

/// A turn that a worker has ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    pub(super) items: usize,
    /// Nanoseconds that it took.
    pub(super) service: u64,
}

#[derive(Debug)]
pub(super) struct Schedule<K, T> {
    slots: Vec<Slot<K, T>>,
    free: Vec<u32>,
    /// Items on their way from the inbox into the lanes. Empty between any two steps.
    pub(super) arrivals: Vec<Entry<T>>,
    /// Lanes that were ever made.
    made: u64,
    pool: Pool<Charged<T>>,
    turns: Turns,
    /// Items in all lanes.
    queued: usize,
    /// How many those were when the inbox was last looked at.
    pub(super) queued_before: usize,
    /// Weights other than 1, of lanes that are there or may come.
    weights: HashMap<K, u64>,
    pub(super) rules: Rules,
    /// Where the search for an unused lane goes on.
    hand: usize,
}

impl<K: Clone + Eq + Hash, T> Schedule<K, T> {
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            arrivals: Vec::with_capacity(HANDFUL),
            made: 0,
            pool: Pool::new(),
            turns: Turns::new(),
            queued: 0,
            queued_before: 0,
            weights: HashMap::new(),
            rules,
            hand: 0,
        }
    }

    /// Queues an item in its lane.
    #[inline]
    pub(super) fn accept(&mut self, index: u32, item: Charged<T>) {
        let slot = &mut self.slots[index as usize];
        let was_empty = slot.queue.is_empty();
        slot.queue.push(item, &mut self.pool);
        self.queued += 1;
        // A lane that has something queued is backlogged, and stands where it belongs.
        if was_empty {
            self.begin_backlog(index);
        }
    }

    /// Queues the items of a row in their lane; an empty chunk comes back.
    pub(super) fn accept_row(&mut self, index: u32, items: &mut Chunk<Charged<T>>) {
        let slot = &mut self.slots[index as usize];
        let was_empty = slot.queue.is_empty();
        self.queued += items.len();
        slot.queue.append(items, &mut self.pool);
        if was_empty {
            self.begin_backlog(index);
        }
    }

    fn begin_backlog(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        slot.activate();
        if !slot.backlogged {
            slot.backlogged = true;
            slot.time = slot.time.max(self.turns.time());
        }
        self.list(index);
    }

    /// Puts a lane that can be served among the ready ones, or those in debt.
    fn list(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        if slot.listed || slot.queue.is_empty() || slot.running >= self.rules.lane_workers {
            return;
        }
        slot.listed = true;
        self.turns.list(index, slot.due(&self.rules));
    }

    /// Whether nothing of a lane is queued or served.
    pub(super) fn is_idle(&self, index: u32) -> bool {
        let slot = &self.slots[index as usize];
        slot.queue.is_empty() && slot.running == 0 && !slot.listed
    }

    /// Whether some lane can be served.
    pub(super) fn is_ready(&self) -> bool {
        self.turns.is_ready()
    }

    /// Whether some lane can be served that is not in debt.
    pub(super) fn has_due(&self) -> bool {
        self.turns.has_due()
    }

    /// Begins the next turn: moves its items into `run` and returns the lane.
    pub(super) fn next(&mut self, run: &mut Chunk<Charged<T>>) -> Option<Arc<Lane<K>>> {
        let (index, slot) = loop {
            let index = self.turns.next(|index| self.slots[index as usize].due(&self.rules))?;
            let slot = &mut self.slots[index as usize];
            slot.listed = false;
            // Ends: it misses its turn, and is listed again when it has been given back.
            if !slot.is_lent {
                break (index, slot);
            }
        };
        let items = match slot.service {
            // Several workers serve the lane: what one holds behind a long item, another could run.
            _ if self.rules.lane_workers > 1 => 1,
            0 => 1,
            service => (self.rules.quantum / service).clamp(1, RUN as u64) as usize,
        };
        slot.queue.take_run(items, run, &mut self.pool);
        self.queued -= run.len();
        self.begin(index);
        self.list(index);
        let slot = &mut self.slots[index as usize];
        slot.for_worker.take().or_else(|| slot.lane.clone())
    }

    fn begin(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        slot.running += 1;
        slot.time = slot.time.max(self.turns.time().saturating_sub(self.rules.quantum_units()));
        self.turns.begin(slot.time);
        let lane = slot.lane.as_ref().expect("a lane with items is there");
        // Release: part of the proof in `FairQueue::cancel_lane`. Nobody writes it without the lock.
        lane.service.workers.store(slot.running as usize, Ordering::Release);
        if slot.queue.is_empty() && slot.running < self.rules.lane_workers {
            slot.deactivate();
        }
    }

    /// Ends a turn of a lane; returns whether no other worker serves it, and whether it is active no longer.
    pub(super) fn end(&mut self, lane: Arc<Lane<K>>, ended: Ended) -> (bool, bool) {
        let Ended { items, service } = ended;
        let index = lane.index;
        let units = service.saturating_mul(UNITS);
        let slot = &mut self.slots[index as usize];
        slot.running -= 1;
        let running = slot.running;
        // Release: who sees the worker gone sees what it did. Nobody else writes it without the lock.
        lane.service.workers.store(running as usize, Ordering::Release);
        slot.for_worker = Some(lane);
        slot.time = slot.time.saturating_add(units / slot.weight);
        let each = service / items.max(1) as u64;
        slot.service = match slot.service {
            0 => each,
            before => (3 * before + each) / 4,
        }
        .max(1);
        let is_empty = slot.queue.is_empty();
        if is_empty {
            slot.deactivate();
        }
        if is_empty && running == 0 {
            slot.backlogged = false;
        } else {
            self.list(index);
        }
        (running == 0, is_empty)
    }

    /// How many items are queued in all lanes.
    pub(super) fn queued(&self) -> usize {
        self.queued
    }

    /// Takes the oldest item that is queued in a lane.
    pub(super) fn pop(&mut self, index: u32) -> Option<Charged<T>> {
        let slot = &mut self.slots[index as usize];
        let item = slot.queue.pop(&mut self.pool)?;
        self.queued -= 1;
        self.unlist_if_empty(index);
        Some(item)
    }

    /// Takes all that is queued in a lane.
    pub(super) fn clear(&mut self, index: u32) -> Vec<Charged<T>> {
        let slot = &mut self.slots[index as usize];
        let mut items = Vec::with_capacity(slot.queue.len());
        while let Some(item) = slot.queue.pop(&mut self.pool) {
            items.push(item);
        }
        self.queued -= items.len();
        self.unlist_if_empty(index);
        items
    }

    fn unlist_if_empty(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        if !slot.queue.is_empty() {
            return;
        }
        if slot.running < self.rules.lane_workers {
            slot.deactivate();
        }
        if slot.listed {
            slot.listed = false;
            self.turns.unlist(index);
        }
        if slot.backlogged && slot.running == 0 {
            slot.backlogged = false;
        }
    }

    /// The oldest item of each lane, of up to `most` of those that have any.
    pub(super) fn heads(&self, most: usize) -> impl Iterator<Item = &T> {
        let heads = self.slots.iter().filter_map(|slot| slot.queue.front());
        heads.take(most).map(|charged| &charged.item)
    }
}

mod lend;
mod places;
#[cfg(all(test, not(any(loom, shuttle))))]
mod whole;
