//! Whose turn it is, by start-time fair queueing (Goyal, Vin, Cheng 1996).
//!
//! Each lane has a time of its own, which service makes grow: a nanosecond of it by [`UNITS`], divided by the lane's
//! weight. *Virtual time* is the smallest own time with which a turn of the last round began; a round is one turn of
//! each lane that is ready. A lane whose own time is more than a quantum ahead of virtual time is *in debt*: it is
//! passed over until virtual time has caught up, unless no other lane is ready.
//!
//! Here lanes are numbers, and the caller knows their times: a lane is *due* at its own time less a quantum. Where
//! several workers serve a lane, turns of it end while it stands in a list, so when it is due is asked again when
//! its turn comes.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

/// Times are in units of so many to a nanosecond, so that a large weight does not round brief items to zero.
pub(super) const UNITS: u64 = 256;

/// The lanes that can be served.
#[derive(Debug)]
pub(super) struct Turns {
    ready: VecDeque<u32>,
    /// With the time at which each was due when it was listed, or later.
    debtors: BinaryHeap<Reverse<(u64, u32)>>,
    /// Virtual time.
    time: u64,
    /// How many turns of this round are left, and the smallest own time with which one has begun.
    round_left: usize,
    round_time: u64,
}

impl Turns {
    pub(super) fn new() -> Self {
        Self {
            ready: VecDeque::new(),
            debtors: BinaryHeap::new(),
            time: 0,
            round_left: 0,
            round_time: u64::MAX,
        }
    }

    /// Virtual time.
    pub(super) fn time(&self) -> u64 {
        self.time
    }

    /// Whether some lane can be served.
    pub(super) fn is_ready(&self) -> bool {
        !self.ready.is_empty() || !self.debtors.is_empty()
    }

    /// Whether one of them is not in debt.
    pub(super) fn has_due(&self) -> bool {
        !self.ready.is_empty()
            || self.debtors.peek().is_some_and(|&Reverse((due, _))| due <= self.time)
    }

    /// A lane that is in no list can be served.
    pub(super) fn list(&mut self, lane: u32, due: u64) {
        if due > self.time {
            self.debtors.push(Reverse((due, lane)));
        } else {
            self.ready.push_back(lane);
        }
    }

    /// A lane can be served no longer. Takes as long as the lists are, which only departures and evictions pay for.
    pub(super) fn unlist(&mut self, lane: u32) {
        self.ready.retain(|&other| other != lane);
        self.round_left = self.round_left.min(self.ready.len());
        self.debtors.retain(|&Reverse((_, other))| other != lane);
    }

    /// Whose turn it is; takes the lane out of its list. `due` says when a lane is due.
    pub(super) fn next(&mut self, due: impl Fn(u32) -> u64) -> Option<u32> {
        // Ends: a lane that is put off stands by what it owes now among those in debt, and is not put off again before
        // time has gone on.
        loop {
            while let Some(&Reverse((at, lane))) = self.debtors.peek()
                && at <= self.time
            {
                self.debtors.pop();
                self.ready.push_back(lane);
            }
            let Some(lane) = self.ready.pop_front() else {
                let Reverse((listed, lane)) = self.debtors.pop()?;
                let at = due(lane);
                if at > listed {
                    self.debtors.push(Reverse((at, lane)));
                } else {
                    // No other is ready, so nobody is owed anything.
                    self.time = listed;
                    self.ready.push_back(lane);
                }
                continue;
            };
            if self.round_left == 0 {
                if self.round_time < u64::MAX {
                    self.time = self.time.max(self.round_time);
                }
                (self.round_left, self.round_time) = (self.ready.len() + 1, u64::MAX);
            }
            self.round_left -= 1;
            let at = due(lane);
            if at <= self.time {
                return Some(lane);
            }
            self.debtors.push(Reverse((at, lane)));
        }
    }

    /// A turn begins with this own time of its lane.
    pub(super) fn begin(&mut self, time: u64) {
        self.round_time = self.round_time.min(time);
    }

    /// The lanes in the lists.
    #[cfg(all(test, not(any(loom, shuttle))))]
    pub(super) fn listed(&self) -> Vec<u32> {
        assert!(self.round_left <= self.ready.len(), "a round is of lanes that are ready");
        let debtors = self.debtors.iter().map(|Reverse((_, lane))| *lane);
        self.ready.iter().copied().chain(debtors).collect()
    }
}
