//! What was counted, as plain data.

use strum::EnumCount;

use super::DestinationKind;
use crate::{FlowType, LatencySnapshot, RefusalReason};

/// What one flow has counted. Plain data: nothing in it changes any more.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct FlowSnapshot {
    /// Messages admitted and not yet finished, at the moment.
    pub in_flight: usize,
    /// Submitters waiting for room, at the moment.
    pub waiting: usize,
    /// Messages that got a permit, modulo 2^43; each runs, unless the flow is shut down first.
    pub admitted: u64,
    /// Messages that found no room at first, so that their submitters had to wait.
    pub waiting_for_peer_permit: u64,
    /// Messages whose submitters waited and were dropped before there was room.
    pub gave_up: u64,
    pub(super) refused: [u64; RefusalReason::COUNT],
    /// Messages whose handler returned.
    pub handled: u64,
    /// Messages whose handler panicked.
    pub panicked: u64,
    /// Messages that were admitted and did not run, because the flow was shut down.
    pub dropped: u64,
    /// Panics on the flow's threads outside of any message, in what handlers have spawned there.
    pub stray_panics: u64,
    /// From the submitter's call to the start of the handler, waiting for room included; of messages
    /// that ran.
    pub wait: LatencySnapshot,
    /// From the start of the handler to its end.
    pub service: LatencySnapshot,
}

impl FlowSnapshot {
    /// Messages that were not admitted and whose submitters were told so.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.iter().sum()
    }

    /// Those that were refused for this reason. Of own adverts, for which nobody waits, those that
    /// found no room count as [`TooManyWaiters`](RefusalReason::TooManyWaiters).
    #[must_use]
    pub fn refused_for(&self, reason: RefusalReason) -> u64 {
        self.refused[reason as usize]
    }

    /// Messages that have come to their end, whichever it was.
    #[must_use]
    pub fn finished(&self) -> u64 {
        self.handled + self.panicked + self.dropped
    }

    /// Adds what another snapshot has counted, for instance that of another replica.
    pub fn merge(&mut self, other: &Self) {
        self.in_flight += other.in_flight;
        self.waiting += other.waiting;
        self.admitted += other.admitted;
        self.waiting_for_peer_permit += other.waiting_for_peer_permit;
        self.gave_up += other.gave_up;
        for (count, other) in self.refused.iter_mut().zip(&other.refused) {
            *count += other;
        }
        self.handled += other.handled;
        self.panicked += other.panicked;
        self.dropped += other.dropped;
        self.stray_panics += other.stray_panics;
        self.wait.merge(&other.wait);
        self.service.merge(&other.service);
    }
}

/// What a registry has counted. Plain data: nothing in it changes any more.
///
/// At rest, if all flows belong to handlers (a [`FlowWorker`](crate::FlowWorker) of one's own counts
/// no `received`), `received = malformed + Σ (admitted + refused() + gave_up)` over the five flows; and
/// in each flow and in `broadcast`, `admitted = handled + panicked + dropped`, with `in_flight` and
/// `waiting` 0. While messages flow the sums may differ by those under way.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct MetricsSnapshot {
    /// Events that the handlers were called with.
    pub received: u64,
    /// Payloads that were no messages.
    pub malformed: u64,
    /// Calls of `on_gossip_timer`.
    pub timer_ticks: u64,
    /// Those that panicked.
    pub timer_panics: u64,
    pub(super) flows: [FlowSnapshot; FlowType::COUNT],
    /// Adverts of the replica's own, on their way out.
    pub broadcast: FlowSnapshot,
    pub(super) dropped_adverts: [u64; DestinationKind::COUNT],
}

impl MetricsSnapshot {
    /// What a flow has counted.
    #[must_use]
    pub fn flow(&self, flow: FlowType) -> &FlowSnapshot {
        &self.flows[flow as usize]
    }

    /// Adverts of the replica's own that were not broadcast: there was no room, or the broadcaster
    /// was shut down.
    #[must_use]
    pub fn dropped_adverts(&self, destination: DestinationKind) -> u64 {
        self.dropped_adverts[destination as usize]
    }

    /// Adds what another snapshot has counted, for instance that of another replica.
    pub fn merge(&mut self, other: &Self) {
        self.received += other.received;
        self.malformed += other.malformed;
        self.timer_ticks += other.timer_ticks;
        self.timer_panics += other.timer_panics;
        self.flows.iter_mut().zip(&other.flows).for_each(|(flow, other)| flow.merge(other));
        self.broadcast.merge(&other.broadcast);
        for (count, other) in self.dropped_adverts.iter_mut().zip(&other.dropped_adverts) {
            *count += other;
        }
    }
}
