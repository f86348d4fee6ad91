//! Those who wait: a line for each lane, let in lane by lane in turn.
//!
//! Plain data behind one mutex. Only who found no capacity takes it, and who has finished an item while somebody waits.
//!
//! ```text
//!            join                 admit                    poll, or drop
//!   (none) ────────▶ WAITING ─────────────────▶ ADMITTED ──────────────▶ (none)
//!                       │  close, cancel                       ▲
//!                       ├─────────────────────▶ REFUSED ───────┤
//!                       │  drop of the future                  │
//!                       └──────────────────────────────────────┘
//! ```
//!
//! A line whose lane has no capacity is *blocked on its lane* and stands in no ring; a worker that finishes an item of
//! that lane puts it back. All other lines stand in the ring: they are blocked on the queue.
//!
//! Bounds: [`Waiters::join`] takes so many to a line, and there are as many lines as lanes.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    task::Waker,
};

use foldhash::fast::FixedState;

use super::{lane::Lane, schedule::Charged};

/// How many empty lines are kept to be used again.
const SPARE_LINES: usize = 64;

/// Why an item that waited was not admitted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Refusal {
    /// The queue was closed.
    Closed,
    /// The lane was cancelled or retired.
    Cancelled,
}

/// One who waits, or whose wait is over and who has yet to notice.
#[derive(Debug)]
enum Waiter<T> {
    Waiting { item: Charged<T>, waker: Option<Waker>, line: u64 },
    Admitted,
    Refused(T, Refusal),
    Free,
}

/// What a waiter finds.
#[derive(Debug)]
pub(crate) enum Waited<T> {
    Pending,
    Admitted,
    Refused(T, Refusal),
}

#[derive(Debug)]
struct Line<K> {
    lane: Arc<Lane<K>>,
    waiters: VecDeque<usize>,
    in_ring: bool,
}

/// Who is to be woken when no lock is held: submitters whose wait is over, whose wakers are the user's code, a worker,
/// if one sleeps, and who waits for a lane to be left.
#[derive(Debug, Default)]
#[must_use = "those in it wait to be woken"]
pub(crate) struct WakeList {
    wakers: Vec<Waker>,
    /// An item has been queued for which no worker may be looking.
    pub(crate) worker: bool,
    /// A lane is [left](Lane::is_left).
    pub(crate) left: bool,
}

impl WakeList {
    /// Wakes the submitters.
    pub(crate) fn wake_submitters(&mut self) {
        for waker in self.wakers.drain(..) {
            crate::panics::contain(|| waker.wake());
        }
    }

    pub(crate) fn has_submitters(&self) -> bool {
        !self.wakers.is_empty()
    }
}

/// All who wait for one queue.
#[derive(Debug)]
pub(super) struct Waiters<K, T> {
    waiters: Vec<Waiter<T>>,
    free: Vec<usize>,
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
            lines: HashMap::default(),
            ring: VecDeque::new(),
            spare: Vec::new(),
        }
    }

    /// How many wait in this lane's line.
    pub(super) fn in_line(&self, lane: &Arc<Lane<K>>) -> usize {
        self.lines.get(&lane.serial()).map_or(0, |line| line.waiters.len())
    }

    /// Joins the lane's line; returns where it will find what became of it.
    pub(super) fn join(&mut self, lane: &Arc<Lane<K>>, item: Charged<T>) -> usize {
        let waiter = Waiter::Waiting { item, waker: None, line: lane.serial() };
        let ticket = match self.free.pop() {
            Some(ticket) => {
                self.waiters[ticket] = waiter;
                ticket
            }
            None => {
                self.waiters.push(waiter);
                self.waiters.len() - 1
            }
        };
        let spare = &mut self.spare;
        let line = self.lines.entry(lane.serial()).or_insert_with(|| Line {
            lane: Arc::clone(lane),
            waiters: spare.pop().unwrap_or_default(),
            in_ring: false,
        });
        line.waiters.push_back(ticket);
        ticket
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
        let Waiter::Waiting { item, .. } = &self.waiters[*first] else {
            unreachable!("only who waits stands in a line")
        };
        Some((Arc::clone(&line.lane), item.charge))
    }

    /// The lane whose turn it is has no capacity.
    pub(super) fn block_next(&mut self) {
        let line_key = self.ring.pop_front().expect("it was its turn");
        self.lines.get_mut(&line_key).expect("it has a line").in_ring = false;
    }

    /// The first in the line of the lane whose turn it is has been admitted; returns its item. The turn goes on.
    pub(super) fn admit_next(&mut self, wake: &mut WakeList) -> Charged<T> {
        let line_key = self.ring.pop_front().expect("it was its turn");
        let line = self.lines.get_mut(&line_key).expect("it has a line");
        let ticket = line.waiters.pop_front().expect("a line that is there is not empty");
        let Waiter::Waiting { item, waker, .. } =
            std::mem::replace(&mut self.waiters[ticket], Waiter::Admitted)
        else {
            unreachable!("only who waits stands in a line")
        };
        wake.wakers.extend(waker);
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
        self.waiters[ticket] = Waiter::Refused(item.item, why);
        wake.wakers.extend(waker);
    }

    /// What has become of a waiter, which is to be woken by `waker` if it still waits. The waker that it had before
    /// comes back, to be dropped when no lock is held. A ticket ends with the first answer that is not `Pending`.
    pub(super) fn poll(&mut self, ticket: usize, waker: Waker) -> (Waited<T>, Option<Waker>) {
        if let Waiter::Waiting { waker: place, .. } = &mut self.waiters[ticket] {
            return (Waited::Pending, place.replace(waker));
        }
        let waited = match std::mem::replace(&mut self.waiters[ticket], Waiter::Free) {
            Waiter::Admitted => Waited::Admitted,
            Waiter::Refused(item, why) => Waited::Refused(item, why),
            Waiter::Waiting { .. } | Waiter::Free => unreachable!("a ticket ends once"),
        };
        self.free.push(ticket);
        (waited, Some(waker))
    }

    /// Ends a ticket whose future is dropped. Returns what it left behind, and the lane in which it still waited.
    pub(super) fn leave(
        &mut self,
        ticket: usize,
    ) -> (Option<T>, Option<Waker>, Option<Arc<Lane<K>>>) {
        let waiter = std::mem::replace(&mut self.waiters[ticket], Waiter::Free);
        self.free.push(ticket);
        match waiter {
            Waiter::Waiting { item, waker, line: line_key } => {
                let line = self.lines.get_mut(&line_key).expect("who waits stands in a line");
                line.waiters.retain(|&other| other != ticket);
                let lane = Arc::clone(&line.lane);
                if line.waiters.is_empty() {
                    if line.in_ring {
                        self.ring.retain(|&other| other != line_key);
                    }
                    self.remove_line(line_key);
                }
                (Some(item.item), waker, Some(lane))
            }
            Waiter::Refused(item, _) => (Some(item), None, None),
            Waiter::Admitted | Waiter::Free => (None, None, None),
        }
    }

    /// Whether some lane waits for capacity of the queue.
    pub(super) fn is_blocked_on_queue(&self) -> bool {
        !self.ring.is_empty()
    }
}
