//! What comes: events of all flows, encoded beforehand, each with a number that its handler can tell.

use std::time::Duration;

use bytes::Bytes;
use gossip_engine::{
    ArtifactFilter, ArtifactId, FlowType, GossipAdvert, GossipChunk, GossipChunkRequest,
    GossipMessage, IntegrityHash, NodeId, TransportEvent, TransportMessage, wire,
};
use strum::{EnumCount, IntoEnumIterator};

use crate::harness::{
    clock::poisson,
    streams::{Arrival, merged},
};

const SEED: u64 = 0x6669_7665;
/// Peers that send, and as many others that come and go.
const PEERS: usize = 4;
const CHUNK_BYTES: usize = 1 << 10;

/// How many of a thousand events are of a flow.
const fn of_thousand(flow: FlowType) -> usize {
    match flow {
        FlowType::Advert => 700,
        FlowType::Request | FlowType::Chunk => 140,
        FlowType::Retransmission => 15,
        FlowType::Transport => 5,
    }
}

/// All that comes in a round, in the order in which it is due.
pub(crate) struct Traffic {
    pub(crate) arrivals: Vec<Arrival>,
    events: Vec<TransportEvent>,
    /// For each peer that comes and goes, the numbers of its events in their order.
    pub(crate) visits: Vec<Vec<usize>>,
}

impl Traffic {
    /// One event in each `gap`, on average.
    pub(crate) fn new(events: usize, gap: Duration) -> Self {
        let schedules = FlowType::iter().flat_map(|flow| {
            let of_peer = events * of_thousand(flow) / 1_000 / PEERS;
            // As many over the same time, so that all streams end together.
            let gap = gap.mul_f64(1_000.0 * PEERS as f64 / of_thousand(flow) as f64);
            (0..PEERS).map(move |peer| {
                poisson(SEED + (flow as usize * PEERS + peer) as u64, of_peer, gap)
            })
        });
        let arrivals = merged(schedules);
        let mut visits = vec![Vec::new(); PEERS];
        let events = arrivals.iter().map(|arrival| event(arrival, &mut visits)).collect();
        Self { arrivals, events, visits }
    }

    /// A clone costs a reference count.
    pub(crate) fn event_of(&self, sequence: usize) -> TransportEvent {
        self.events[sequence].clone()
    }

    pub(crate) fn flow_of(&self, arrival: &Arrival) -> FlowType {
        flow_of(arrival)
    }
}

fn flow_of(arrival: &Arrival) -> FlowType {
    FlowType::iter().nth(arrival.stream / PEERS).expect("streams go flow by flow")
}

/// The place of a peer that comes and goes among those that do.
pub(crate) fn visitor(peer: NodeId) -> usize {
    usize::from(peer.as_bytes()[0]) - PEERS
}

fn event(arrival: &Arrival, visits: &mut [Vec<usize>]) -> TransportEvent {
    const { assert!(FlowType::COUNT * PEERS < 256, "a peer's number is a byte") };
    let sequence = arrival.sequence;
    let peer = arrival.stream % PEERS;
    let artifact_id = ArtifactId::new([1; 32]);
    let integrity_hash = IntegrityHash::new([2; 32]);
    let chunk_number = sequence as u32;
    let message = match flow_of(arrival) {
        FlowType::Advert => GossipMessage::Advert(GossipAdvert {
            artifact_id,
            size: sequence as u64,
            integrity_hash,
            attributes: Bytes::from_static(&[3; 64]),
        }),
        FlowType::Request => GossipMessage::ChunkRequest(GossipChunkRequest {
            artifact_id,
            integrity_hash,
            chunk_number,
        }),
        FlowType::Chunk => {
            let payload = Ok(Bytes::from_static(&[4; CHUNK_BYTES]));
            GossipMessage::Chunk(GossipChunk { artifact_id, integrity_hash, chunk_number, payload })
        }
        FlowType::Retransmission => {
            GossipMessage::RetransmissionRequest(ArtifactFilter { height: sequence as u64 })
        }
        FlowType::Transport => {
            // Such an event has no number in it, but a peer's own come in their order.
            visits[peer].push(sequence);
            let visitor = NodeId::new([(peer + PEERS) as u8; 32]);
            return if visits[peer].len() % 2 == 1 {
                TransportEvent::PeerUp(visitor)
            } else {
                TransportEvent::PeerDown(visitor)
            };
        }
    };
    let payload = wire::encode(&message);
    TransportEvent::Message(TransportMessage { peer_id: NodeId::new([peer as u8; 32]), payload })
}
