//! What was counted, as plain data.

use std::{sync::OnceLock, time::Duration};

use strum::{EnumCount, IntoEnumIterator};

#[cfg(feature = "serde")]
use super::forms;
use super::{Advice, DestinationKind};
use crate::{FlowName, LatencySnapshot, Outcome};

/// What one flow has counted. Plain data: nothing in it changes any more. As text it is a line, with what matters.
#[derive(Clone, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct FlowSnapshot {
    /// Messages admitted and not yet finished, at the moment.
    pub in_flight: usize,
    /// Those among them that no worker has taken up, at the moment.
    pub queued: usize,
    /// Those among them whose [slots](crate::Slot) are held, at the moment.
    pub held: usize,
    /// Permits among them, of [services](crate::PeerService) that are ready, at the moment.
    pub permits: usize,
    /// Bytes of the messages in flight, at the moment; 0 as long as neither the flow nor its peers are
    /// [bounded](crate::FlowConfig::with_max_bytes) in bytes.
    pub bytes_in_flight: usize,
    /// Submitters waiting for capacity, at the moment.
    pub waiting: usize,
    /// How long the oldest message that is queued has waited, at the moment. Looked for in
    /// 4 096 lanes at the most.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "oldest_age_ns", serialize_with = "forms::nanos")
    )]
    pub oldest_age: Duration,
    /// The most messages that were seen in flight of late: by a snapshot, by the watch, or by a message that found no
    /// capacity. It halves each minute, down to what is in flight. So a burst shows in the next snapshots, and its mark
    /// does not hide a later one.
    pub high_water: usize,
    /// The most messages that may be in flight.
    pub max_in_flight: usize,
    /// The most bytes that may be in flight; `None` if they are not bounded.
    pub max_bytes: Option<u64>,
    /// Peers that have a lane, at the moment: those that have sent a message, and have not departed.
    pub peers: usize,
    /// The most peers that may have one.
    pub max_peers: usize,
    /// The most messages of one peer that may be in flight.
    pub peer_quota: usize,
    /// The most submitters that may wait for capacity on behalf of one peer.
    pub max_waiters: usize,
    /// Threads that the flow was built with.
    pub threads: usize,
    /// Those among them that are alive, at the moment.
    pub live_workers: usize,
    /// How near the flow is to not taking or not running what comes, from 0 to 100: the largest of
    /// the shares of its bound in messages, of its bound in bytes and of its maximum age that are used
    /// up; 100 if somebody waits for capacity. Nothing is dropped or pushed back for the flow's bounds or its
    /// maximum age before this is 100 (a peer may reach its own quota before).
    pub overload: u8,
    /// Messages that got a permit; each runs, unless a policy, its peer's
    /// departure or the flow's end comes first.
    pub admitted: u64,
    /// Messages that found no capacity at first, their peer's or the flow's, so that their submitters had to wait; all
    /// there ever were, by the Internet Computer's name for it. [`waiting`](Self::waiting) is how many do now.
    pub waiting_for_peer_permit: u64,
    #[cfg_attr(feature = "serde", serde(serialize_with = "forms::outcomes"))]
    pub(super) outcomes: [u64; Outcome::COUNT],
    /// Panics on the flow's threads outside of any message: in what handlers have spawned there, or, by a fault of the
    /// engine, in its own code. The latter closes the flow.
    pub stray_panics: u64,
    /// Handlers that were found to run for longer than
    /// [`with_stuck_handler_timeout`](crate::ChannelConfig::with_stuck_handler_timeout) allows, so far; for a flow
    /// without an engine or an event handler, longer than 10 s.
    pub stuck: u64,
    pub(super) advice: Option<Advice>,
    /// From the submitter's call to the start of the handler, waiting for capacity included; of messages
    /// that ran.
    pub wait: LatencySnapshot,
    /// From the start of the handler to its end.
    pub service: LatencySnapshot,
}

/// Counts that do not add up. They must when a flow is at rest; while messages flow they may not.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{what}: {left} is not {right}")]
#[non_exhaustive]
pub struct LedgerError {
    /// Which identity does not hold, in whose counts.
    pub what: String,
    /// Its left side.
    pub left: u64,
    /// Its right side.
    pub right: u64,
}

fn equal(what: impl FnOnce() -> String, left: u64, right: u64) -> Result<(), LedgerError> {
    if left == right { Ok(()) } else { Err(LedgerError { what: what(), left, right }) }
}

impl FlowSnapshot {
    /// Messages that came to this end.
    #[must_use]
    pub fn count(&self, end: Outcome) -> u64 {
        self.outcomes[end as usize]
    }

    /// All ends, and how many messages came to each.
    pub fn outcomes(&self) -> impl Iterator<Item = (Outcome, u64)> {
        Outcome::iter().map(|end| (end, self.count(end)))
    }

    fn ended_if(&self, is: impl Fn(Outcome) -> bool) -> u64 {
        self.outcomes().filter(|&(end, _)| is(end)).map(|(_, count)| count).sum()
    }

    /// Messages whose handler returned.
    #[must_use]
    pub fn handled(&self) -> u64 {
        self.count(Outcome::Handled)
    }

    /// Messages whose handler panicked.
    #[must_use]
    pub fn panicked(&self) -> u64 {
        self.count(Outcome::Panicked)
    }

    /// Messages that were not admitted and whose submitters got an error.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.ended_if(Outcome::was_refused)
    }

    /// Messages that the engine has dropped because there was too much to do.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.ended_if(Outcome::was_dropped)
    }

    /// Messages that were admitted and have come to their outcome, whichever it was.
    #[must_use]
    pub fn finished(&self) -> u64 {
        self.ended_if(Outcome::was_admitted)
    }

    /// Messages that were submitted and have been admitted or come to another outcome.
    #[must_use]
    pub fn submitted(&self) -> u64 {
        self.admitted + self.ended_if(|end| !end.was_admitted())
    }

    /// Which bounds would have avoided what the flow has dropped for want of capacity since its configuration last
    /// changed; `None` if it has dropped nothing so, or no bound that can be set would have been enough.
    #[must_use]
    pub fn advice(&self) -> Option<Advice> {
        self.advice
    }

    /// Checks that what was admitted has come to its end or is in flight. It holds whenever no message
    /// is being admitted or finished at the moment; `flow` is what the error calls the flow.
    ///
    /// # Errors
    ///
    /// The identity that does not hold.
    pub fn verify(&self, flow: &str) -> Result<(), LedgerError> {
        equal(
            || format!("{flow}: admitted = finished + in flight"),
            self.admitted,
            self.finished() + self.in_flight as u64,
        )
    }

    /// Adds what another snapshot has counted, for instance that of another replica. Of what is no sum,
    /// the larger is kept.
    pub fn merge(&mut self, other: &Self) {
        self.in_flight += other.in_flight;
        self.queued += other.queued;
        self.held += other.held;
        self.permits += other.permits;
        self.bytes_in_flight += other.bytes_in_flight;
        self.waiting += other.waiting;
        self.oldest_age = self.oldest_age.max(other.oldest_age);
        self.high_water = self.high_water.max(other.high_water);
        self.max_in_flight += other.max_in_flight;
        self.max_bytes =
            [self.max_bytes, other.max_bytes].into_iter().flatten().reduce(u64::saturating_add);
        self.peers += other.peers;
        self.max_peers += other.max_peers;
        self.peer_quota = self.peer_quota.max(other.peer_quota);
        self.max_waiters = self.max_waiters.max(other.max_waiters);
        self.threads += other.threads;
        self.live_workers += other.live_workers;
        self.overload = self.overload.max(other.overload);
        self.admitted += other.admitted;
        self.waiting_for_peer_permit += other.waiting_for_peer_permit;
        for (count, other) in self.outcomes.iter_mut().zip(&other.outcomes) {
            *count += other;
        }
        self.stray_panics += other.stray_panics;
        self.stuck += other.stuck;
        if let Some(other) = &other.advice {
            self.advice.get_or_insert_default().merge(other);
        }
        self.wait.merge(&other.wait);
        self.service.merge(&other.service);
    }
}

/// What a registry has counted. Plain data: nothing in it changes any more.
///
/// At rest the counts add up, which [`verify`](Self::verify) checks; while messages flow they may differ
/// by those under way. As text it is a line, and one more for each flow to which messages were submitted.
#[derive(Clone, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct MetricsSnapshot {
    /// Events that the handlers were called with.
    pub received: u64,
    /// Payloads that were no messages.
    pub malformed: u64,
    /// Payloads that were messages of a later version.
    pub unknown: u64,
    /// Payloads of peers in quarantine, which were refused.
    pub quarantined: u64,
    /// Peers in quarantine, at the moment.
    pub quarantined_peers: usize,
    /// Events of the engine's own that it has submitted to the Transport flow: that it has dropped messages of
    /// a peer. One for which there is no capacity is submitted again.
    pub notices: u64,
    /// Calls of `on_gossip_timer`.
    pub timer_ticks: u64,
    /// Those that panicked.
    pub timer_panics: u64,
    #[cfg_attr(feature = "serde", serde(serialize_with = "forms::flows"))]
    pub(super) flows: Vec<(&'static str, FlowSnapshot)>,
    /// Adverts of the replica's own, on their way out.
    pub broadcast: FlowSnapshot,
    #[cfg_attr(feature = "serde", serde(serialize_with = "forms::dropped_adverts"))]
    pub(super) dropped_adverts: [u64; DestinationKind::COUNT],
}

impl MetricsSnapshot {
    /// What a flow has counted; nothing if there was none of this name.
    #[must_use]
    pub fn flow(&self, flow: impl Into<FlowName>) -> &FlowSnapshot {
        static NOTHING: OnceLock<FlowSnapshot> = OnceLock::new();
        let name = flow.into().as_str();
        let found = self.flows.iter().find(|(other, _)| *other == name);
        found.map_or_else(|| NOTHING.get_or_init(FlowSnapshot::default), |(_, counts)| counts)
    }

    /// All flows by name, in the order in which they were first built, and what each has counted.
    pub fn flows(&self) -> impl Iterator<Item = (&'static str, &FlowSnapshot)> {
        self.flows.iter().map(|(name, counts)| (*name, counts))
    }

    /// Adverts of the replica's own that were not broadcast: there was no capacity, or the broadcaster
    /// was shut down.
    #[must_use]
    pub fn dropped_adverts(&self, destination: DestinationKind) -> u64 {
        self.dropped_adverts[destination as usize]
    }

    /// Checks that every event has come to exactly one end:
    ///
    /// - `received + notices = malformed + unknown + quarantined + Σ submitted()` over all flows, if all of them
    ///   belong to handlers or engines (a [`FlowWorker`](crate::FlowWorker) of one's own counts no `received`);
    /// - in each flow and in `broadcast`, `admitted = finished() + in_flight`.
    ///
    /// It holds whenever nothing is submitted, admitted or finished at the moment and nobody waits for
    /// capacity.
    ///
    /// # Errors
    ///
    /// The first identity that does not hold.
    pub fn verify(&self) -> Result<(), LedgerError> {
        for (flow, counts) in self.flows() {
            counts.verify(flow)?;
        }
        self.broadcast.verify("Broadcast")?;
        let submitted = self.flows().map(|(_, counts)| counts.submitted()).sum::<u64>();
        equal(
            || "received + notices = malformed + unknown + quarantined + submitted".to_owned(),
            self.received + self.notices,
            self.malformed + self.unknown + self.quarantined + submitted,
        )
    }

    /// Adds what another snapshot has counted, for instance that of another replica.
    pub fn merge(&mut self, other: &Self) {
        self.notices += other.notices;
        self.received += other.received;
        self.malformed += other.malformed;
        self.unknown += other.unknown;
        self.quarantined += other.quarantined;
        self.quarantined_peers += other.quarantined_peers;
        self.timer_ticks += other.timer_ticks;
        self.timer_panics += other.timer_panics;
        for (name, other) in other.flows() {
            match self.flows.iter_mut().find(|(own, _)| *own == name) {
                Some((_, counts)) => counts.merge(other),
                None => self.flows.push((name, other.clone())),
            }
        }
        self.broadcast.merge(&other.broadcast);
        for (count, other) in self.dropped_adverts.iter_mut().zip(&other.dropped_adverts) {
            *count += other;
        }
    }
}
