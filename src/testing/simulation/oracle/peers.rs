//! Peers that come and go, as the oracle sees them.

use super::{Change, Oracle};
use crate::{FlowType, NodeId};

impl Oracle {
    /// A `PeerUp` or `PeerDown` is about to be submitted.
    pub(in super::super) fn peer_changes(&mut self, peer: NodeId, up: bool) -> Change {
        self.submits_event();
        self.departures += u64::from(!up);
        let known = self.peers.entry(peer).or_default();
        let number = if up { &mut known.ups } else { &mut known.downs };
        *number += 1;
        let change = Change { up, number: *number };
        known.expected.push_back(change);
        change
    }

    /// The callback of a change begins.
    pub(in super::super) fn callback_begins(&mut self, peer: NodeId, up: bool) {
        let known = self.peers.entry(peer).or_default();
        let (expected, runs) = (known.expected.pop_front(), known.runs);
        known.runs = expected;
        if let Some(Change { up: false, number }) = expected {
            known.down_began = number;
        }
        self.check(runs.is_none(), || format!("{peer}: {expected:?} while {runs:?} runs"));
        self.check(expected.is_some_and(|change| change.up == up), || {
            format!("{peer}: up {up} where {expected:?} is due")
        });
        self.check_not_over();
        self.observe("change begins", &[up.into()]);
    }

    /// The callback of a change returns or panics.
    pub(in super::super) fn callback_ends(&mut self, peer: NodeId, panics: bool) {
        let known = self.peers.entry(peer).or_default();
        if let Some(change) = known.runs.take() {
            known.returned.insert(change);
        }
        self.counts(FlowType::Transport, peer, panics);
        self.observe("change ends", &[panics.into()]);
    }

    /// The future of a change has resolved to `Ok`.
    pub(in super::super) fn change_is_done(&mut self, peer: NodeId, change: Change) {
        let known = self.peers.entry(peer).or_default();
        let returned = known.returned.contains(&change);
        if change.up {
            known.up_resolved = known.up_resolved.max(change.number);
        }
        self.check(returned, || format!("{peer}: {change:?} is done before its callback"));
        self.observe("change done", &[change.up.into(), change.number.into()]);
    }

    /// The future of a change has resolved to an error: there is no callback for it.
    pub(in super::super) fn change_is_refused(&mut self, peer: NodeId, change: Change) {
        let known = self.peers.entry(peer).or_default();
        let place = known.expected.iter().position(|other| *other == change);
        place.map(|place| known.expected.remove(place));
        self.check(place.is_some(), || format!("{peer}: {change:?} is refused after its callback"));
        self.observe("change refused", &[change.up.into(), change.number.into()]);
    }
}
