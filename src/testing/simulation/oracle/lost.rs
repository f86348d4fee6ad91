//! Messages that are superseded or dropped, as the oracle sees them.

use super::{Id, Oracle};
use crate::{FlowType, NodeId, Outcome, Submitted};

impl Oracle {
    /// The replica is asked whether one message supersedes another.
    pub(in super::super) fn compares(&mut self, newer: Id, older: Id, supersedes: bool) {
        let [of_newer, of_older] = [newer, older].map(|id| self.messages[&id]);
        let is_right = (of_newer.flow, of_newer.peer) == (of_older.flow, of_older.peer);
        self.check(is_right, || format!("{newer} is compared with {older} of another peer"));
        let is_queued = !of_older.started && !of_older.gone;
        self.check(is_queued && older != newer, || format!("{older} is compared, and not queued"));
        self.compared.push((newer, older, supersedes));
        self.observe("compares", &[newer.into(), older.into(), supersedes.into()]);
    }

    /// A message has been submitted: what it supersedes is gone by now, and it has the place of the oldest. If it was
    /// compared in vain, what was submitted meanwhile is before it; `next` is the number of the next message.
    pub(in super::super) fn is_submitted(&mut self, id: Id, next: impl FnOnce() -> Id) {
        let compared: Vec<_> = self.compared.extract_if(.., |(newer, ..)| *newer == id).collect();
        if compared.is_empty() {
            return;
        }
        let older: Vec<Id> =
            compared.into_iter().filter(|(.., supersedes)| *supersedes).map(|of| of.1).collect();
        let known = self.messages[&id];
        let first = older.first().map(|first| self.messages[first]);
        let first = first.filter(|first| first.gone && first.downs == known.downs);
        let is_admitted = known.heard == Some(Ok(Submitted::Admitted));
        let place = match first {
            Some(first) if is_admitted => first.place,
            _ => next(),
        };
        self.messages.get_mut(&id).expect("it was submitted").place = place;
        for older in older.into_iter().filter(|_| is_admitted && first.is_some()) {
            let known = self.messages.get_mut(&older).expect("it was submitted");
            known.is_superseded = true;
            let is_gone = known.gone && !known.started;
            self.check(is_gone, || format!("{id} has superseded {older}, which is still there"));
        }
    }

    /// The replica gets a message that was dropped.
    pub(in super::super) fn gets_dropped(
        &mut self,
        id: Id,
        flow: FlowType,
        peer: NodeId,
        outcome: Outcome,
    ) {
        let known = self.messages[&id];
        let in_place = (known.flow, known.peer) == (flow, peer);
        self.check(in_place, || format!("{id} is dropped in the wrong place"));
        let is_lost = !known.started && !known.gone && outcome.was_dropped();
        self.check(is_lost, || format!("{id} is dropped as {outcome}"));
        *self.dropped.entry((flow, outcome)).or_default() += 1;
        self.observe("gets dropped", &[id.into(), outcome as u64]);
    }
}
