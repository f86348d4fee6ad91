//! Everything that is refused, dropped or fails, by name: one list for the page, the terminal and `/metrics`.

use gossip_engine::{DestinationKind, FlowSnapshot, FlowType, Outcome};

use super::reading::Reading;
use crate::transport::FlowCounters;

/// A counter: its key as a label of `/metrics`, what it says to people, and where it is found.
pub(super) type Refusal = (&'static str, &'static str, fn(&Reading) -> u64);

pub(super) const REFUSALS: [Refusal; 41] = [
    ("tasks_failed", "tasks that panicked", |of| of.failed_tasks),
    ("disk_errors", "artifacts that the disk refused", |of| of.gossip.fetched.disk_errors),
    ("no_space", "artifacts put off: no space for them", |of| of.gossip.fetched.no_space),
    ("artifacts_damaged", "artifacts found damaged on disk", |of| of.store.damaged),
    ("hash_mismatches", "artifacts whose content was not what its id says", |of| {
        of.gossip.fetched.hash_mismatches
    }),
    ("peers_blamed", "peers that lied about an artifact", |of| of.gossip.fetched.blamed),
    ("cut_offs", "connections cut off for breaking the protocol", |of| of.transport.cut_offs),
    ("shut_out", "connections of peers that are shut out for it", |of| of.transport.shut_out),
    ("handshakes_rejected", "handshakes not finished: no listed key, or late", |of| {
        of.transport.rejected_handshakes
    }),
    ("handshakes_deferred", "handshakes put off: too many unproven", |of| {
        of.transport.deferred_handshakes
    }),
    ("dials_failed", "dials that found no peer", |of| of.transport.failed_dials),
    ("connections_replaced", "connections replaced by a newer one of the same key", |of| {
        of.transport.replaced
    }),
    ("frames_refused", "frames that the engine had no capacity for", |of| {
        wire(of, |flow| flow.refused_in)
    }),
    ("frames_unknown", "frames of a later version, skipped", |of| wire(of, |flow| flow.unknown_in)),
    ("streams_unknown", "streams of a later version, stopped", |of| of.transport.unknown_streams),
    ("requests_held", "times a peer's requests waited for its unsent answers", |of| {
        of.transport.held_requests
    }),
    ("sends_full", "messages not sent: the peer reads too slowly", |of| wire(of, |flow| flow.full)),
    ("sends_unconnected", "messages not sent: the peer is away", |of| {
        wire(of, |flow| flow.not_connected)
    }),
    ("sends_too_large", "messages not sent: over the limit", |of| wire(of, |flow| flow.too_large)),
    ("frames_lost", "messages lost with their connection", |of| wire(of, |flow| flow.lost)),
    ("events_malformed", "payloads that were no messages", |of| of.metrics.malformed),
    ("events_quarantined", "payloads of peers in quarantine", |of| of.metrics.quarantined),
    ("messages_dropped", "messages dropped: too much to do", |of| {
        engine(of, FlowSnapshot::dropped)
    }),
    ("messages_refused", "messages refused by a flow", |of| engine(of, FlowSnapshot::refused)),
    ("messages_cancelled", "messages of peers that left", |of| {
        engine(of, |flow| flow.count(Outcome::Cancelled))
    }),
    ("handlers_panicked", "callbacks that panicked", |of| {
        engine(of, |flow| flow.panicked() + flow.stray_panics) + of.metrics.timer_panics
    }),
    ("handlers_stuck", "callbacks that ran for too long", |of| engine(of, |flow| flow.stuck)),
    ("adverts_dropped", "own adverts put off: no capacity", |of| {
        let destinations = [DestinationKind::AllReplicas, DestinationKind::Replicas];
        destinations.into_iter().map(|kind| of.metrics.dropped_adverts(kind)).sum()
    }),
    ("adverts_invalid", "adverts of artifacts that cannot be", |of| {
        of.gossip.fetched.adverts_invalid
    }),
    ("adverts_refused", "adverts over the limit, or of a peer that has lied", |of| {
        of.gossip.fetched.adverts_refused
    }),
    ("unnamed_refused", "artifacts that no catalog names, beyond their peer's share", |of| {
        of.gossip.fetched.unnamed_refused
    }),
    ("adverts_unsent", "adverts that the transport did not take yet", |of| {
        of.gossip.served.adverts_unsent
    }),
    ("chunks_invalid", "chunks of a wrong length or id", |of| of.gossip.fetched.chunks_invalid),
    ("chunks_unsolicited", "chunks that nobody asked for", |of| {
        of.gossip.fetched.chunks_unsolicited
    }),
    (
        "chunks_lost",
        "chunks that came when there was too much to do, and were asked for again",
        |of| of.gossip.fetched.chunks_lost,
    ),
    ("chunks_timed_out", "chunks that did not come in time", |of| {
        of.gossip.fetched.chunks_timed_out
    }),
    ("chunks_unavailable", "chunks that a peer could not give", |of| {
        of.gossip.fetched.chunk_errors
    }),
    ("chunks_unserved", "chunks that this replica could not give", |of| {
        of.gossip.served.chunk_errors + of.gossip.served.chunks_unsent
    }),
    ("requests_dropped", "requests dropped: the peer does not take its answers", |of| {
        of.gossip.served.requests_dropped
    }),
    ("requests_unsent", "chunk requests that the transport did not take", |of| {
        of.gossip.fetched.requests_unsent
    }),
    ("attempts_given_up", "attempts given up for want of an answer", |of| {
        of.gossip.fetched.given_up
    }),
];

fn wire(of: &Reading, count: impl Fn(FlowCounters) -> u64) -> u64 {
    let flows = [FlowType::Advert, FlowType::Request, FlowType::Chunk, FlowType::Retransmission];
    flows.into_iter().map(|flow| count(of.transport.flow(flow))).sum()
}

fn engine(of: &Reading, count: impl Fn(&FlowSnapshot) -> u64) -> u64 {
    of.flows().map(|(_, flow)| count(flow)).sum()
}
