//! Letting in those who wait, when there is room.
//!
//! # Why room and a waiter never rest together
//!
//! The *hungry* set holds the lanes in which somebody waits and that may have room. To *settle* is to
//! take them in turn and to let in the first of each line, until the set is empty or the flow is full.
//! What leaves the set is looked at once more, and what stops the settling is looked at once more:
//!
//! - *Join*: a submitter is counted in its lane's word, pushes its place onto the line, fences, puts the
//!   lane into the set, and settles.
//! - *Finish*: a worker counts a message as finished, in its lane and in its flow, fences, and looks
//!   at two marks: if the lane is *crowded* it puts it into the set and settles, if the flow is
//!   *starved* it settles.
//! - *Stop*: the one who settles and finds a lane empty, or full, or the flow full, takes the lane
//!   out, or marks the lane as crowded and takes it out, or marks the flow as starved; then it fences
//!   and looks once more: at the lane, or if that was retired, at the one that has its seat by now.
//!
//! All these fences are sequentially consistent. Take a finish and a stop: if the finish's fence comes
//! first, the second look sees the room. If the stop's comes first, the worker sees the mark, and
//! settles. Take a join and a stop that found the line empty: if the join's fence comes first, the
//! second look sees the place; otherwise the submitter sees the lane taken out, puts it in, and
//! settles. To close the flow is to finish for all lanes at once: it is shut before the fence, the lanes
//! are put into the set after, and the second look asks whether it is shut. To cancel a lane, or to raise a
//! bound, is the same for the lanes that it concerns.
//!
//! One thread settles at a time, so that places leave their lines in order: whoever raises the
//! *baton* from 0 holds it; whoever finds it raised has only left a note, and the holder looks again
//! before it may put the baton down. The exchange that puts it down fails if a note has come since,
//! and then reads the note: what its writer did before is seen by the next look.
//!
//! No handler runs under the baton and no waker of this flow is woken; they are woken after it has been put down.
//! A waker may be dropped under it, contained, and if a shutdown overtakes an admission, that message.
//! Its holder works for others as long as they finish and join meanwhile; each of their notes costs
//! it at most one more look. A thread that is preempted while it holds the baton delays those who wait
//! in its own flow until it runs again, and nobody else. Submitters that find room never touch it.

use std::sync::Arc;

use super::{Admission, Admit, STARVED, Weigh};
use crate::{
    RefusalReason,
    flow_worker::{lane::Lane, line::Decided},
    permits::Attempt,
    sync::{Ordering, fence},
};

/// Where the settling of a lane has stopped.
enum Stop {
    /// One was decided; there may be more.
    Decided,
    /// Nobody waits in it.
    Nobody,
    LaneFull,
    FlowFull,
}

impl<M: Weigh> Admission<M> {
    /// Lets in whoever can be; leaves at most a few of them for the caller to wake.
    pub(super) fn settle(&self, flow: &impl Admit<M>, decided: &mut Decided<M>) {
        loop {
            // AcqRel: Release so that a holder that finds this note sees what was done before it;
            // Acquire so that a new holder sees what the last one did to the lines.
            if self.baton.fetch_add(1, Ordering::AcqRel) > 0 {
                return;
            }
            let mut notes = 1;
            let more = loop {
                if self.serve(flow, decided) {
                    // AcqRel: as below. The notes that this takes away are answered by settling again;
                    // those who can go on come first.
                    self.baton.swap(0, Ordering::AcqRel);
                    break true;
                }
                // Release: hands the lines over to the next holder. Acquire on failure: the notes
                // that have come are read with what their writers did.
                match self.baton.compare_exchange(notes, 0, Ordering::AcqRel, Ordering::Acquire) {
                    Ok(_) => break false,
                    Err(now) => notes = now,
                }
            };
            if !more {
                return;
            }
            decided.wake();
        }
    }

    /// Serves the hungry lanes as far as there is room; true if it stopped because enough are decided
    /// to wake them. Only the holder of the baton calls this.
    ///
    /// Ends, because each turn decides a place, of which there are at most as many as are woken at
    /// once, or takes a lane out, which comes back only if somebody has done something meanwhile.
    fn serve(&self, flow: &impl Admit<M>, decided: &mut Decided<M>) -> bool {
        while !decided.is_full() {
            // Relaxed: the baton orders it.
            let Some(seat) = self.hungry.next(self.turn.load(Ordering::Relaxed)) else {
                if self.marked(STARVED) {
                    // AcqRel: as when it was set. Whoever comes to wait now leaves a note.
                    self.marks.fetch_and(!STARVED, Ordering::AcqRel);
                }
                return false;
            };
            let Some(lane) = flow.lane(seat) else {
                self.hungry.remove(seat);
                // SeqCst: part of the proof above; somebody may have taken the seat and joined.
                fence(Ordering::SeqCst);
                if flow.lane(seat).is_some() {
                    self.hungry.insert(seat);
                }
                continue;
            };
            match self.serve_first(&lane, flow, decided) {
                Stop::Decided => self.turn.store(seat + 1, Ordering::Relaxed),
                Stop::Nobody => self.pass_over(&lane, false, flow),
                Stop::LaneFull => self.pass_over(&lane, true, flow),
                Stop::FlowFull if self.starve() => return false,
                Stop::FlowFull => {}
            }
        }
        true
    }

    /// Takes a lane out of the set in which nobody waits or that is full, and looks once more at it, or
    /// at the one that has its seat by now.
    fn pass_over(&self, lane: &Arc<Lane<M>>, full: bool, flow: &impl Admit<M>) {
        // Release: a worker that sees it has its own room to tell.
        lane.service.crowded.store(full, Ordering::Release);
        self.hungry.remove(lane.seat);
        // SeqCst: part of the proof above.
        fence(Ordering::SeqCst);
        let waits = |lane: &Lane<M>| lane.line().is_some_and(|line| !line.is_empty());
        let is_shut = lane.entrance.permits.is_shut();
        let may = || !full || is_shut || self.metrics.permits.is_shut() || lane.has_room();
        // If the lane was retired, nobody waits in it any more. The one that has its seat then may itself be
        // shut by now: whoever cancelled it has found the seat in the set, and left a note at the most.
        let again = waits(lane) && may()
            || is_shut && flow.lane(lane.seat).is_some_and(|other| waits(&other));
        if again {
            self.hungry.insert(lane.seat);
        } else {
            flow.has_left(lane);
        }
    }

    /// Marks the flow as starved; false if it has room all the same.
    fn starve(&self) -> bool {
        if !self.marked(STARVED) {
            // AcqRel: who sees the mark sees what was done before.
            self.marks.fetch_or(STARVED, Ordering::AcqRel);
        }
        // SeqCst: part of the proof above.
        fence(Ordering::SeqCst);
        !self.metrics.has_room()
    }

    /// Decides the first place of a lane's line.
    ///
    /// Ends, because each turn takes a place from the line.
    fn serve_first(
        &self,
        lane: &Arc<Lane<M>>,
        flow: &impl Admit<M>,
        decided: &mut Decided<M>,
    ) -> Stop {
        let Some(line) = lane.line() else { return Stop::Nobody };
        if line.has_gaps() {
            line.close_up(&self.spares);
        }
        while !line.is_empty() {
            let refusal = self.refusal(lane);
            if refusal.is_none() {
                match self.enter_waiting(lane) {
                    Ok(()) => {}
                    // The lane or the flow may have been shut since.
                    Err(_) if self.refusal(lane).is_some() => continue,
                    Err(stop) => return stop,
                }
            }
            // Only the holder of the baton pops, so what was there is there.
            let Some(place) = line.pop() else { return Stop::Nobody };
            if let Some(mut message) = place.decide() {
                match refusal {
                    Some(reason) => {
                        flow.refused(reason);
                        place.refuse(message);
                    }
                    None => {
                        self.charge_past(lane, &mut message);
                        flow.admit(lane, message);
                    }
                }
                // After the message has been admitted, so that no newcomer passes it; before its
                // submitter knows, so that its next one finds its place free.
                lane.entrance.permits.unjoin();
                self.metrics.waits_no_longer();
                place.tell(refusal);
                decided.push(place);
                return Stop::Decided;
            }
            line.cleared();
            self.spares.keep(place);
            if refusal.is_none() {
                // This thread goes on looking for a taker.
                self.metrics.permits.retreat();
                lane.entrance.permits.retreat();
            }
        }
        Stop::Nobody
    }

    /// Why nobody of this lane is let in any more, if that is so.
    fn refusal(&self, lane: &Lane<M>) -> Option<RefusalReason> {
        if self.metrics.permits.is_shut() {
            Some(RefusalReason::Closed)
        } else if lane.entrance.permits.is_shut() {
            // Nobody waits in one that was retired.
            Some(RefusalReason::Disconnected)
        } else {
            None
        }
    }

    /// Enters the lane and the flow for whoever is first in line.
    fn enter_waiting(&self, lane: &Lane<M>) -> Result<(), Stop> {
        if !lane.entrance.bytes.has_room()
            || lane.entrance.permits.enter_past(|| lane.left()) != Attempt::Entered
        {
            return Err(Stop::LaneFull);
        }
        if !self.metrics.bytes.has_room() || self.metrics.enter() != Attempt::Entered {
            lane.entrance.permits.retreat();
            return Err(Stop::FlowFull);
        }
        Ok(())
    }

    /// Charges a message that has waited, where there was room in bytes a moment ago: the bound may be
    /// exceeded by it and by the newcomer that was last to find room.
    fn charge_past(&self, lane: &Lane<M>, message: &mut M) {
        if self.is_bounded_in_bytes(lane) {
            lane.entrance.bytes.force(message.bytes());
            self.metrics.bytes.force(message.bytes());
            message.charged();
        }
    }
}
