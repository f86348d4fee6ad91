//! Who comes in, who waits, and who is let in when there is room.
//!
//! ```text
//!                  room in lane and flow, nobody waits
//!     submitter ───────────────────────────────────────▶ admitted ──▶ finished
//!         │ no room, or others wait                          ▲            │
//!         ▼                                                  │ granted    │ room: whoever
//!       joins the lane's line ──▶ head of the line ──────────┘◀───────────┘ finished settles
//! ```
//!
//! A message is admitted if it enters its lane and its flow, one atomic word each
//! ([`Permits`](crate::permits::Permits)). A submitter that finds no room leaves its message in the
//! [line](super::line) of its lane; a newcomer passes nobody who waits in the same lane, nor anybody
//! who waits for the flow's room. Where the flow or its peers are bounded in bytes, there is room as long as
//! neither of those bounds is reached either: a message's own size does not matter, so that a large one
//! at the head of its line does not hold up the question. Whoever finishes a message lets in the next that waits, so that a
//! message's admission does not depend on its future being polled. Lanes whose submitters wait are
//! served in turn, one message each; one that is over its quota is passed over until it has room, and
//! holds up nobody.
//!
//! How they are let in, and why room and a waiter never rest together, is [`settle`]'s subject.

use std::sync::Arc;

use crossbeam::utils::CachePadded;

use super::{
    lane::Lane,
    lane_set::LaneSet,
    line::{Decided, Place, Spares},
};
use crate::{
    RefusalReason,
    metrics::FlowMetrics,
    permits::{Attempt, Joined},
    sync::{AtomicUsize, Ordering, fence},
};

mod settle;

/// Somebody waits for the flow's room, and newcomers join the line behind.
const STARVED: usize = 1;
/// Nobody is admitted any more.
const CLOSED: usize = 1 << 1;
/// Nothing is started any more.
const ABANDONED: usize = 1 << 2;

/// What becomes of the messages of those who wait, and where their lanes are.
pub(super) trait Admit<M> {
    /// The lane at this seat.
    fn lane(&self, seat: usize) -> Option<Arc<Lane<M>>>;

    /// All lanes.
    fn lanes(&self) -> impl Iterator<Item = Arc<Lane<M>>>;

    /// A message has been admitted. Runs under the baton.
    fn admit(&self, lane: &Lane<M>, message: M);

    /// The flow is closed or the peer has gone, and the submitter gets its message back. Runs under the
    /// baton.
    fn refused(&self, reason: RefusalReason);

    /// Somebody has left this lane without a message that finishes; it may have been the last.
    fn has_left(&self, lane: &Arc<Lane<M>>);
}

/// What a bound in bytes must know of a message.
pub(super) trait Weigh {
    /// What it is charged where there is such a bound, at least 1.
    fn bytes(&self) -> u32;

    /// It has been charged, and is to be taken off when it leaves.
    fn charged(&mut self);
}

/// What an attempt to be admitted finds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub(super) enum Entry {
    /// The message is admitted, and must finish once.
    Admitted,
    /// There is no room for it now.
    Full,
    /// The lane has been retired; the peer has another, or none.
    Retired,
    /// The flow is closed.
    Closed,
}

/// Why a message cannot wait.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Denied {
    /// Too many wait.
    Crowded,
    /// The lane has been retired; the peer has another, or none.
    Retired,
}

/// The door of one flow.
#[derive(Debug)]
pub(super) struct Admission<M> {
    /// Starved, closed, abandoned. Read with every message, hardly ever written.
    marks: CachePadded<AtomicUsize>,
    /// Lanes in which somebody waits and that may have room.
    hungry: LaneSet,
    /// How many times settling was asked for since the baton was last down; raised means held.
    baton: AtomicUsize,
    /// The seat after the one that was served last. Touched under the baton only.
    turn: AtomicUsize,
    max_waiters: usize,
    spares: Spares<M>,
    metrics: Arc<FlowMetrics>,
}

impl<M: Weigh> Admission<M> {
    pub(super) fn new(seats: usize, max_waiters: usize, metrics: Arc<FlowMetrics>) -> Self {
        Self {
            marks: CachePadded::new(AtomicUsize::new(0)),
            hungry: LaneSet::new(seats),
            baton: AtomicUsize::new(0),
            turn: AtomicUsize::new(0),
            max_waiters,
            spares: Spares::new(),
            metrics,
        }
    }

    fn marks(&self) -> usize {
        // Acquire: who finds a mark sees what was done before it was set. Where one must not be
        // missed, a fence comes before.
        self.marks.load(Ordering::Acquire)
    }

    fn marked(&self, mark: usize) -> bool {
        self.marks() & mark != 0
    }

    /// Admits a message to this lane if there is room and nobody waits for it.
    pub(super) fn enter(
        &self,
        lane: &Arc<Lane<M>>,
        message: &mut M,
        flow: &impl Admit<M>,
    ) -> Entry {
        match self.marks() {
            0 => {}
            STARVED if lane.entrance.permits.is_shut() => return Entry::Retired,
            STARVED => return Entry::Full,
            _ => return Entry::Closed,
        }
        // The peer's quota, and then the flow's bound.
        match lane.entrance.permits.enter(|| lane.left()) {
            Attempt::Entered => {}
            Attempt::Full => return Entry::Full,
            Attempt::Shut => return Entry::Retired,
        }
        let refused = match self.metrics.enter() {
            Attempt::Entered if self.charge(lane, message) => return Entry::Admitted,
            Attempt::Entered => {
                self.metrics.permits.retreat();
                Entry::Full
            }
            Attempt::Full => Entry::Full,
            Attempt::Shut => Entry::Closed,
        };
        lane.entrance.permits.retreat();
        // What was entered for a moment may have kept others out.
        self.finished(lane, flow, &mut Decided::default());
        flow.has_left(lane);
        refused
    }

    /// Charges the message's bytes to its lane and its flow, if either is bounded in bytes; false if there
    /// is no room.
    fn charge(&self, lane: &Lane<M>, message: &mut M) -> bool {
        if !self.is_bounded_in_bytes(lane) {
            return true;
        }
        let bytes = message.bytes();
        if !lane.entrance.bytes.enter(bytes) {
            return false;
        }
        if !self.metrics.bytes.enter(bytes) {
            lane.entrance.bytes.retreat(bytes);
            return false;
        }
        message.charged();
        true
    }

    fn is_bounded_in_bytes(&self, lane: &Lane<M>) -> bool {
        lane.entrance.bytes.is_set() || self.metrics.bytes.is_set()
    }

    /// Takes a place at the end of the lane's line. It may have been decided before this returns.
    pub(super) fn join(
        &self,
        lane: &Lane<M>,
        message: M,
        flow: &impl Admit<M>,
    ) -> Result<Arc<Place<M>>, (M, Denied)> {
        match lane.entrance.permits.join(self.max_waiters) {
            Joined::Waiting => {}
            Joined::Crowded => return Err((message, Denied::Crowded)),
            Joined::Shut => return Err((message, Denied::Retired)),
        }
        self.metrics.waits();
        let pushed = lane.line_for(self.max_waiters).push(message, &self.spares);
        match pushed {
            Ok(_) => self.metrics.has_waited(),
            Err(_) => {
                lane.entrance.permits.unjoin();
                self.metrics.waits_no_longer();
            }
        }
        // SeqCst: part of the proof in `settle`; the place is in the line before it, the lane in the set
        // after.
        fence(Ordering::SeqCst);
        self.hungry.insert(lane.seat);
        self.settle(flow, &mut Decided::default());
        pushed.map_err(|message| (message, Denied::Crowded))
    }

    /// Leaves the line with the message; `None` if the place was decided before.
    pub(super) fn leave(
        &self,
        lane: &Arc<Lane<M>>,
        place: &Place<M>,
        flow: &impl Admit<M>,
    ) -> Option<M> {
        let line = lane.line()?;
        let message = line.give_up(place)?;
        lane.entrance.permits.unjoin();
        self.metrics.waits_no_longer();
        flow.has_left(lane);
        if line.has_gaps() {
            self.hungry.insert(lane.seat);
            self.settle(flow, &mut Decided::default());
        }
        Some(message)
    }

    /// Keeps a place that was decided, and whose submitter knows, for the next to wait.
    pub(super) fn keep(&self, place: Arc<Place<M>>) {
        self.spares.keep(place);
    }

    /// A message of this lane has finished, and been counted as such. The caller wakes those who are
    /// `decided`.
    pub(super) fn finished(&self, lane: &Lane<M>, flow: &impl Admit<M>, decided: &mut Decided<M>) {
        // SeqCst: part of the proof in `settle`; the counts come before it, the marks after.
        fence(Ordering::SeqCst);
        let marks = self.marks();
        self.tell(lane, marks & STARVED != 0, flow, decided);
        if marks & CLOSED != 0 {
            self.metrics.tell_who_shuts_down();
        }
    }

    /// Lets in those who wait for room that has come back.
    fn tell(&self, lane: &Lane<M>, starved: bool, flow: &impl Admit<M>, decided: &mut Decided<M>) {
        // Relaxed: what must be seen is seen because of the caller's fence.
        let crowded = lane.service.crowded.load(Ordering::Relaxed);
        if crowded {
            self.hungry.insert(lane.seat);
        }
        if crowded || starved {
            self.settle(flow, decided);
        }
    }

    /// Admits nothing any more and refuses all who wait.
    pub(super) fn close(&self, flow: &impl Admit<M>) {
        self.metrics.permits.shut();
        // AcqRel: who sees the mark sees the flow shut.
        self.marks.fetch_or(CLOSED, Ordering::AcqRel);
        // SeqCst: who joins later, by its fence, settles later, and finds the flow shut; who joined
        // before is found here.
        fence(Ordering::SeqCst);
        self.settle_all(flow);
    }

    /// Looks at all who wait: there may be more room than before, or the flow is closed. The caller has
    /// fenced.
    pub(super) fn settle_all(&self, flow: &impl Admit<M>) {
        for lane in flow.lanes().filter(|lane| lane.entrance.permits.waiting() > 0) {
            self.hungry.insert(lane.seat);
        }
        self.settle(flow, &mut Decided::default());
    }

    /// Looks at all who wait in this lane: it may have more room than before, or was cancelled. The caller
    /// has fenced.
    pub(super) fn settle_lane(&self, lane: &Lane<M>, flow: &impl Admit<M>) {
        if lane.entrance.permits.waiting() > 0 {
            self.hungry.insert(lane.seat);
            self.settle(flow, &mut Decided::default());
        }
    }

    /// Whether somebody waits for the flow's room.
    pub(super) fn is_starved(&self) -> bool {
        self.marked(STARVED)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.marked(CLOSED)
    }

    /// Nothing is started any more. The flow must be closed.
    pub(super) fn abandon(&self) {
        // AcqRel: who sees the mark sees the flow closed.
        self.marks.fetch_or(ABANDONED, Ordering::AcqRel);
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.marked(ABANDONED)
    }
}

#[cfg(all(test, not(shuttle)))]
mod stand_in;

#[cfg(all(test, loom))]
mod model;
#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;
