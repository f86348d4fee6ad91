//! What the transport has done and dropped: atomics inside, a plain snapshot outside.
//!
//! Every frame that is lost is counted here by why. One cell per flow, so that the flows of a busy
//! replica write to different cache lines.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use gossip_engine::FlowType;

use super::frame::STREAM_FLOWS;

/// What has happened since the transport was bound. Each number is read on its own, so two of them
/// may be a moment apart.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct TransportCounters {
    /// Connections whose peer has arrived at the handler.
    pub connections: u64,
    /// Connections whose peer has departed again; the difference is connected now.
    pub disconnections: u64,
    /// Connections that were cut off because the peer broke the protocol.
    pub cut_offs: u64,
    /// Connections of a peer that gave way to a newer one of the same peer.
    pub replaced: u64,
    /// Incoming connections that did not prove a key that may dial us, or not in time.
    pub rejected_handshakes: u64,
    /// Incoming connections that the other end gave up before it was proven, as an honest one does when both dial.
    pub abandoned_handshakes: u64,
    /// Incoming connections that were put off because too many of their kind were unproven already.
    pub deferred_handshakes: u64,
    /// Incoming connections of a peer that was shut out after a break of the protocol.
    pub shut_out: u64,
    /// Attempts to reach a peer that failed.
    pub failed_dials: u64,
    /// Tasks that panicked. Those of peers and of the acceptor were started again.
    pub failed_tasks: u64,
    /// Connections with peers that speak an older protocol only.
    pub older_connections: u64,
    /// Hellos of peers.
    pub hellos: u64,
    /// Streams that were stopped because only a later version knows what they are.
    pub unknown_streams: u64,
    /// How often requests of a peer had to wait because too many answers to it were unsent.
    pub held_requests: u64,
    flows: [FlowCounters; STREAM_FLOWS.len()],
}

impl TransportCounters {
    /// The counters of one flow, over all peers; all zero for the Transport flow.
    #[must_use]
    pub fn flow(&self, flow: FlowType) -> FlowCounters {
        place_of(flow).map(|place| self.flows[place]).unwrap_or_default()
    }
}

/// What has happened in one flow, over all peers.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct FlowCounters {
    /// Frames that the handler took.
    pub frames_in: u64,
    /// Bytes of their payloads.
    pub bytes_in: u64,
    /// Of these, frames whose message the flow's overload policy has dropped.
    pub dropped_in: u64,
    /// Frames that the handler had no capacity for; they are lost.
    pub refused_in: u64,
    /// Frames that were skipped because their message is of a later version.
    pub unknown_in: u64,
    /// Frames that were handed to QUIC.
    pub frames_out: u64,
    /// Bytes of their payloads.
    pub bytes_out: u64,
    /// Messages that were not sent because the peer was not connected.
    pub not_connected: u64,
    /// Messages that were not sent because the peer's queue was full.
    pub full: u64,
    /// Messages that were not sent because they were over the limit of the flow.
    pub too_large: u64,
    /// Frames that were queued, and lost with their connection.
    pub lost: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) connections: Counter,
    pub(super) disconnections: Counter,
    pub(super) cut_offs: Counter,
    pub(super) replaced: Counter,
    pub(super) rejected_handshakes: Counter,
    pub(super) abandoned_handshakes: Counter,
    pub(super) deferred_handshakes: Counter,
    pub(super) shut_out: Counter,
    pub(super) failed_dials: Counter,
    pub(super) failed_tasks: Counter,
    pub(super) older_connections: Counter,
    pub(super) hellos: Counter,
    pub(super) unknown_streams: Counter,
    pub(super) held_requests: Counter,
    flows: [FlowCells; STREAM_FLOWS.len()],
}

#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct FlowCells {
    pub(super) frames_in: Counter,
    pub(super) bytes_in: Counter,
    pub(super) dropped_in: Counter,
    pub(super) refused_in: Counter,
    pub(super) unknown_in: Counter,
    pub(super) frames_out: Counter,
    pub(super) bytes_out: Counter,
    pub(super) not_connected: Counter,
    pub(super) full: Counter,
    pub(super) too_large: Counter,
    pub(super) lost: Counter,
}

impl Counters {
    /// # Panics
    ///
    /// For the Transport flow, which has no stream.
    pub(super) fn flow(&self, flow: FlowType) -> &FlowCells {
        &self.flows[place_of(flow).expect("a flow with a stream")]
    }

    pub(super) fn snapshot(&self) -> TransportCounters {
        TransportCounters {
            connections: self.connections.get(),
            disconnections: self.disconnections.get(),
            cut_offs: self.cut_offs.get(),
            replaced: self.replaced.get(),
            rejected_handshakes: self.rejected_handshakes.get(),
            abandoned_handshakes: self.abandoned_handshakes.get(),
            deferred_handshakes: self.deferred_handshakes.get(),
            shut_out: self.shut_out.get(),
            failed_dials: self.failed_dials.get(),
            failed_tasks: self.failed_tasks.get(),
            older_connections: self.older_connections.get(),
            hellos: self.hellos.get(),
            unknown_streams: self.unknown_streams.get(),
            held_requests: self.held_requests.get(),
            flows: self.flows.each_ref().map(|cells| FlowCounters {
                frames_in: cells.frames_in.get(),
                bytes_in: cells.bytes_in.get(),
                dropped_in: cells.dropped_in.get(),
                refused_in: cells.refused_in.get(),
                unknown_in: cells.unknown_in.get(),
                frames_out: cells.frames_out.get(),
                bytes_out: cells.bytes_out.get(),
                not_connected: cells.not_connected.get(),
                full: cells.full.get(),
                too_large: cells.too_large.get(),
                lost: cells.lost.get(),
            }),
        }
    }
}

fn place_of(flow: FlowType) -> Option<usize> {
    STREAM_FLOWS.into_iter().position(|candidate| candidate == flow)
}

/// Counts up; publishes nothing else.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, count: usize) {
        // Relaxed: a count orders nothing.
        self.0.fetch_add(count as u64, Relaxed);
    }

    pub(super) fn increment(&self) {
        self.add(1);
    }

    /// Returns the count with this one.
    pub(super) fn increment_and_get(&self) -> u64 {
        // Relaxed: a count orders nothing.
        self.0.fetch_add(1, Relaxed) + 1
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}
