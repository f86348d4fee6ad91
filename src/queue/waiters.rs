//! Those who wait: a line for each lane, let in lane by lane in turn.
//!
//! Plain data behind one mutex. Only who found no capacity takes it, and who has finished an item while somebody waits.
//!
//! ```text
//!            join                 admit                    poll, or drop
//!   (none) ────────▶ WAITING ─────────────────▶ ADMITTED ──────────────▶ (none)
//!                    │  │  │  close, cancel                    ▲
//!                    │  │  └──────────────────▶ REFUSED ───────┤
//!                    │  │     drop of the future     ▲         │
//!                    │  └────────────────────────────┼─────────┤
//!                    │            admit              │ close, cancel
//!                    └──────────────────────────▶ HELD ────────┘
//!                       without an item                fill, or drop
//! ```
//!
//! Who waits without an item waits for a permit. It is **HELD** from then on: it counts as in flight, until it is
//! filled with an item, given back, or revoked because its lane or the queue is closed, or nobody has asked for it.
//!
//! A line whose lane has no capacity is *blocked on its lane* and stands in no ring; a worker that finishes an item of
//! that lane puts it back. All other lines stand in the ring: they are blocked on the queue.
//!
//! Bounds: [`Waiters::join`] takes so many to a line, and there are as many lines as lanes.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
    task::Waker,
};

use foldhash::fast::FixedState;

use self::permits::Permit;
use super::{lane::Lane, wake_list::WakeList};

mod permits;

/// How many empty lines are kept to be used again.
const SPARE_LINES: usize = 64;

/// Why an item that waited was not admitted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Refusal {
    /// The queue was closed.
    Closed,
    /// The lane was cancelled or retired.
    Cancelled,
    /// A permit was granted, and nobody asked for it: see [`Waiters::revoke_idle`].
    Idle,
}

/// One who waits, or whose wait is over and who has yet to notice. Without an item, one who waits for a permit.
#[derive(Debug)]
enum Waiter<K, T> {
    Waiting { item: Option<T>, charge: u32, waker: Option<Waker>, line: u64 },
    Admitted,
    Held(Permit<K>),
    Refused(Option<T>, Refusal),
    Free,
}

/// What a waiter finds. There is an item where it waited with one.
#[derive(Debug)]
pub(crate) enum Waited<T> {
    Pending,
    /// Its item is admitted, or it holds a permit.
    Admitted,
    Refused(Option<T>, Refusal),
}

/// What a ticket leaves behind whose owner drops it.
#[derive(Debug)]
pub(crate) enum Left<K, T> {
    /// It was decided, and nothing is to be done; the item is one that was refused.
    Nothing(Option<T>),
    /// It still waited, in the line of this lane.
    Wait(Option<T>, Arc<Lane<K>>),
    /// It held a permit of this lane, which is to be given back: [`FairQueue::finish_discarded`].
    ///
    /// [`FairQueue::finish_discarded`]: super::FairQueue::finish_discarded
    Permit(Arc<Lane<K>>),
}

#[derive(Debug)]
struct Line<K> {
    lane: Arc<Lane<K>>,
    waiters: VecDeque<usize>,
    in_ring: bool,
}

/// All who wait for one queue.
#[derive(Debug)]
pub(super) struct Waiters<K, T> {
    waiters: Vec<Waiter<K, T>>,
    free: Vec<usize>,
    /// The tickets that hold permits, by their lanes' serial numbers.
    held: BTreeSet<(u64, usize)>,
    /// By their lanes' serial numbers. Hashed the same way each time, so that a simulation whose lines are walked runs
    /// the same way again.
    lines: HashMap<u64, Line<K>, FixedState>,
    ring: VecDeque<u64>,
    spare: Vec<VecDeque<usize>>,
}

impl<K, T> Waiters<K, T> {
    pub(super) fn new() -> Self {
        Self {
            waiters: Vec::new(),
            free: Vec::new(),
            held: BTreeSet::new(),
            lines: HashMap::default(),
            ring: VecDeque::new(),
            spare: Vec::new(),
        }
    }

    /// How many wait in this lane's line.
    pub(super) fn in_line(&self, lane: &Arc<Lane<K>>) -> usize {
        self.lines.get(&lane.serial()).map_or(0, |line| line.waiters.len())
    }

    /// Joins the lane's line, with an item or for a permit; returns where it will find what became of it.
    pub(super) fn join(&mut self, lane: &Arc<Lane<K>>, item: Option<T>, charge: u32) -> usize {
        let waiter = Waiter::Waiting { item, charge, waker: None, line: lane.serial() };
        let ticket = self.add(waiter);
        let spare = &mut self.spare;
        let line = self.lines.entry(lane.serial()).or_insert_with(|| Line {
            lane: Arc::clone(lane),
            waiters: spare.pop().unwrap_or_default(),
            in_ring: false,
        });
        line.waiters.push_back(ticket);
        ticket
    }

    fn add(&mut self, waiter: Waiter<K, T>) -> usize {
        if let Some(ticket) = self.free.pop() {
            self.waiters[ticket] = waiter;
            return ticket;
        }
        self.waiters.push(waiter);
        self.waiters.len() - 1
    }

    /// Puts a lane's line into the ring: it may have capacity again. Nothing happens if it has no line.
    pub(super) fn unblock(&mut self, lane: &Arc<Lane<K>>) {
        let line_key = lane.serial();
        if let Some(line) = self.lines.get_mut(&line_key)
            && !line.in_ring
        {
            line.in_ring = true;
            self.ring.push_back(line_key);
        }
    }

    /// Puts all lines into the ring.
    pub(super) fn unblock_all(&mut self) {
        for (&line_key, line) in &mut self.lines {
            if !line.in_ring {
                line.in_ring = true;
                self.ring.push_back(line_key);
            }
        }
    }

    /// The lane whose turn it is to let somebody in, and what the first in its line is charged.
    pub(super) fn next(&self) -> Option<(Arc<Lane<K>>, u32)> {
        let line = &self.lines[self.ring.front()?];
        let first = line.waiters.front().expect("a line that is there is not empty");
        let Waiter::Waiting { charge, .. } = &self.waiters[*first] else {
            unreachable!("only who waits stands in a line")
        };
        Some((Arc::clone(&line.lane), *charge))
    }

    /// The lane whose turn it is has no capacity.
    pub(super) fn block_next(&mut self) {
        let line_key = self.ring.pop_front().expect("it was its turn");
        self.lines.get_mut(&line_key).expect("it has a line").in_ring = false;
    }

    /// The first in the line of the lane whose turn it is has been admitted; returns its item. One that has none holds
    /// a permit by that. The turn goes on.
    pub(super) fn admit_next(&mut self, wake: &mut WakeList) -> Option<T> {
        let line_key = self.ring.pop_front().expect("it was its turn");
        let line = self.lines.get_mut(&line_key).expect("it has a line");
        let ticket = line.waiters.pop_front().expect("a line that is there is not empty");
        let Waiter::Waiting { item, waker, .. } =
            std::mem::replace(&mut self.waiters[ticket], Waiter::Admitted)
        else {
            unreachable!("only who waits stands in a line")
        };
        wake.add(waker);
        if item.is_none() {
            self.waiters[ticket] = Waiter::Held(Permit::new(&line.lane));
            self.held.insert((line_key, ticket));
        }
        if line.waiters.is_empty() {
            self.remove_line(line_key);
        } else {
            self.ring.push_back(line_key);
        }
        item
    }

    fn remove_line(&mut self, line_key: u64) {
        if let Some(line) = self.lines.remove(&line_key)
            && self.spare.len() < SPARE_LINES
        {
            self.spare.push(line.waiters);
        }
    }

    /// Refuses all who wait in a lane's line; returns how many that were.
    pub(super) fn refuse_lane(
        &mut self,
        lane: &Arc<Lane<K>>,
        why: Refusal,
        wake: &mut WakeList,
    ) -> usize {
        let line_key = lane.serial();
        let Some(line) = self.lines.remove(&line_key) else { return 0 };
        if line.in_ring {
            self.ring.retain(|&other| other != line_key);
        }
        line.waiters.iter().for_each(|&ticket| self.refuse(ticket, why, wake));
        line.waiters.len()
    }

    /// Refuses all who wait; returns how many that were, and their lanes.
    pub(super) fn refuse_all(
        &mut self,
        why: Refusal,
        wake: &mut WakeList,
    ) -> (usize, Vec<Arc<Lane<K>>>) {
        self.ring.clear();
        let lines = std::mem::take(&mut self.lines);
        let mut refused = 0;
        let mut lanes = Vec::with_capacity(lines.len());
        for line in lines.into_values() {
            refused += line.waiters.len();
            line.waiters.iter().for_each(|&ticket| self.refuse(ticket, why, wake));
            lanes.push(line.lane);
        }
        (refused, lanes)
    }

    fn refuse(&mut self, ticket: usize, why: Refusal, wake: &mut WakeList) {
        let waiter = std::mem::replace(&mut self.waiters[ticket], Waiter::Free);
        let Waiter::Waiting { item, waker, .. } = waiter else {
            unreachable!("only who waits stands in a line")
        };
        self.waiters[ticket] = Waiter::Refused(item, why);
        wake.add(waker);
    }

    /// What has become of a waiter, which is to be woken by `waker` if it still waits. The waker that it had before
    /// comes back, to be dropped when no lock is held. A ticket ends with the first answer that is not `Pending`,
    /// unless it holds a permit.
    pub(super) fn poll(&mut self, ticket: usize, waker: Waker) -> (Waited<T>, Option<Waker>) {
        if let Waiter::Waiting { waker: place, .. } = &mut self.waiters[ticket] {
            return (Waited::Pending, place.replace(waker));
        }
        if let Waiter::Held(permit) = &mut self.waiters[ticket] {
            permit.is_known = true;
            return (Waited::Admitted, Some(waker));
        }
        let waited = match std::mem::replace(&mut self.waiters[ticket], Waiter::Free) {
            Waiter::Admitted => Waited::Admitted,
            Waiter::Refused(item, why) => Waited::Refused(item, why),
            Waiter::Waiting { .. } | Waiter::Held(_) | Waiter::Free => {
                unreachable!("a ticket ends once")
            }
        };
        self.free.push(ticket);
        (waited, Some(waker))
    }

    /// Ends a ticket whose owner is dropped. Returns what it leaves behind, and its waker.
    pub(super) fn leave(&mut self, ticket: usize) -> (Left<K, T>, Option<Waker>) {
        let waiter = std::mem::replace(&mut self.waiters[ticket], Waiter::Free);
        self.free.push(ticket);
        match waiter {
            Waiter::Waiting { item, waker, line: line_key, .. } => {
                let line = self.lines.get_mut(&line_key).expect("who waits stands in a line");
                line.waiters.retain(|&other| other != ticket);
                let lane = Arc::clone(&line.lane);
                if line.waiters.is_empty() {
                    if line.in_ring {
                        self.ring.retain(|&other| other != line_key);
                    }
                    self.remove_line(line_key);
                }
                (Left::Wait(item, lane), waker)
            }
            Waiter::Held(Permit { lane, .. }) => {
                self.held.remove(&(lane.serial(), ticket));
                (Left::Permit(lane), None)
            }
            Waiter::Refused(item, _) => (Left::Nothing(item), None),
            Waiter::Admitted | Waiter::Free => (Left::Nothing(None), None),
        }
    }

    /// Whether some lane waits for capacity of the queue.
    pub(super) fn is_blocked_on_queue(&self) -> bool {
        !self.ring.is_empty()
    }
}
