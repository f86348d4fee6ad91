//! What the counts must say when everything is at rest.

use strum::IntoEnumIterator;

use super::{DROPPED, Known, Oracle, of};
use crate::{FlowSnapshot, FlowType, MetricsSnapshot, NodeId, Outcome, RefusalReason};

impl Oracle {
    /// Everything is at rest; `has_lanes` if there was a lane for each peer.
    pub(in super::super) fn at_rest(
        &self,
        counts: &MetricsSnapshot,
        flows: &[FlowType],
        has_lanes: bool,
    ) {
        counts.verify().unwrap();
        assert_eq!(counts.received, self.submitted, "events that were submitted");
        assert_eq!(counts.malformed, self.malformed, "malformed");
        assert_eq!(counts.unknown, self.unknown, "unknown");
        assert_eq!(counts.quarantined, self.quarantined, "quarantined");
        assert_eq!(self.last_panic, None, "nobody was notified of a panic");
        let left = self.messages.iter().find(|(_, known)| !known.gone);
        assert!(left.is_none(), "a message is left: {left:?}");
        for (peer, known) in &self.peers {
            assert!(known.expected.is_empty(), "{peer}: {:?} was never called", known.expected);
            assert_eq!(known.runs, None, "{peer}");
        }
        assert_eq!(counts.broadcast.handled(), self.broadcasts, "own adverts");
        for flow in FlowType::ALL {
            let counted = counts.flow(flow);
            assert_eq!((counted.in_flight, counted.waiting), (0, 0), "{flow}");
            assert_eq!((counted.queued, counted.overload), (0, 0), "{flow}");
            assert_eq!(counted.bytes_in_flight, 0, "{flow}");
            assert_eq!(counted.oldest_age.as_nanos(), 0, "{flow}");
            assert_eq!(counted.handled(), of(&self.handled, flow), "{flow}: handled");
            assert_eq!(counted.panicked(), of(&self.panicked, flow), "{flow}: panicked");
        }
        for &flow in flows {
            let counted = counts.flow(flow);
            self.outcomes_at_rest(flow, counted);
            let (notified, dropped) = (of(&self.notified, flow), counted.dropped());
            assert!(notified <= dropped, "{flow}: notified of {notified}, dropped {dropped}");
            // Nobody is notified of what a peer that has gone has lost, nor one whose lane another needed.
            if self.departures == 0 && !self.closed && has_lanes {
                assert_eq!(notified, dropped, "{flow}: the replica was not notified of all");
            }
        }
    }

    /// The outcomes of a flow are those that submitters have heard of, and what became of the others.
    fn outcomes_at_rest(&self, flow: FlowType, counted: &FlowSnapshot) {
        let of_flow = || {
            self.messages.values().filter(move |known| {
                known.flow == flow && !known.quarantined && known.peer != NodeId::new([0; 32])
            })
        };
        let number =
            |is: &dyn Fn(&Known) -> bool| of_flow().filter(|known| is(known)).count() as u64;
        assert_eq!(counted.submitted(), number(&|_| true), "{flow}: submitted");
        let given_up = number(&|known| known.given_up);
        let mut unheard = counted.count(Outcome::WaitCancelled);
        for reason in RefusalReason::iter() {
            let heard = number(&|known| known.heard == Some(Err(reason)));
            let refused = counted.count(reason.into());
            assert!(heard <= refused, "{flow}: {heard} have heard {reason}, {refused} are counted");
            unheard += refused - heard;
        }
        assert!(unheard <= given_up, "{flow}: {unheard} of {given_up} have waited in vain");
        let heard = number(&|known| known.heard == Some(DROPPED));
        assert_eq!(heard, counted.count(Outcome::DroppedNewest), "{flow}: dropped at once");
        // Of those that never ran some have an outcome of which nobody has heard.
        let never_ran =
            number(&|known| !known.started && known.heard.is_none_or(|heard| heard.is_ok()));
        let let_go: u64 = [
            Outcome::Expired,
            Outcome::Cancelled,
            Outcome::DroppedOldest,
            Outcome::Superseded,
            Outcome::DroppedAtShutdown,
            Outcome::DroppedNewest,
        ]
        .map(|outcome| counted.count(outcome))
        .iter()
        .sum();
        assert_eq!(never_ran, let_go + unheard, "{flow}: messages that never ran");
        for outcome in Outcome::iter().filter(|outcome| outcome.was_dropped()) {
            let got = self.dropped.get(&(flow, outcome)).copied().unwrap_or_default();
            assert_eq!(counted.count(outcome), got, "{flow}: {outcome}, and the replica got {got}");
        }
        let superseded = number(&|known| known.is_superseded);
        assert_eq!(counted.count(Outcome::Superseded), superseded, "{flow}: superseded");
        let gone = counted.count(Outcome::Cancelled) + counted.count(Outcome::Disconnected);
        assert!(self.departures > 0 || gone == 0, "{flow}: {gone} without a departure");
        let at_shutdown = counted.count(Outcome::DroppedAtShutdown);
        assert!(self.over || at_shutdown == 0, "{flow}: {at_shutdown} without a shutdown");
    }
}
