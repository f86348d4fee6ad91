//! Queues without a network: their bounds, and what becomes of what is in them.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use gossip_engine::{
    ArtifactFilter, ArtifactId, FlowType, GossipChunk, GossipMessage, IntegrityHash, NodeId, wire,
};

use super::{Link, Links, queues};
use crate::{
    outbox::{Outbox as _, SendError},
    transport::{counters::Counters, limits::queue_limit},
};

const PEER: NodeId = NodeId::new([1; 32]);

fn retransmission(height: u64) -> GossipMessage {
    GossipMessage::RetransmissionRequest(ArtifactFilter { height })
}

fn chunk(bytes: usize) -> GossipMessage {
    GossipMessage::Chunk(GossipChunk {
        artifact_id: ArtifactId::new([2; 32]),
        integrity_hash: IntegrityHash::new([3; 32]),
        chunk_number: 0,
        payload: Ok(Bytes::from(vec![0; bytes])),
    })
}

fn links() -> (Links, Arc<Link>, Arc<Counters>) {
    let counters = Arc::new(Counters::default());
    let links = Links::new(counters.clone());
    let link = Arc::new(Link::default());
    assert_eq!(links.send(PEER, retransmission(0)), Err(SendError::NotConnected(PEER)));
    links.publish(HashMap::from([(PEER, link.clone())]));
    (links, link, counters)
}

#[tokio::test]
async fn frames_are_bounded_and_each_refusal_is_counted() {
    let (links, link, counters) = links();
    assert_eq!(links.send(PEER, retransmission(0)), Err(SendError::NotConnected(PEER)));
    let (senders, mut receivers) = queues(&counters);
    let connected = link.connect(senders);
    let flow = FlowType::Retransmission;
    let limit = queue_limit(flow).frames;
    for height in 0..limit {
        assert!(links.has_capacity(PEER, flow, 16));
        links.send(PEER, retransmission(height as u64)).unwrap();
    }
    assert!(!links.has_capacity(PEER, flow, 16));
    assert_eq!(links.send(PEER, retransmission(0)), Err(SendError::Full { peer: PEER, flow }));
    assert_eq!(counters.snapshot().flow(flow).full, 1);

    let queue = receivers.iter_mut().find(|queue| queue.flow() == flow).unwrap();
    let taken: Vec<_> =
        queue.take().await.iter().map(|frame| wire::decode(frame.clone()).unwrap()).collect();
    let expected: Vec<_> = (0..limit).map(|height| retransmission(height as u64)).collect();
    assert_eq!(taken, expected);
    queue.written();
    links.send(PEER, retransmission(0)).unwrap();

    drop(connected);
    assert_eq!(links.send(PEER, retransmission(0)), Err(SendError::NotConnected(PEER)));
    assert!(!links.has_capacity(PEER, flow, 16));
    drop(receivers);
    let counted = counters.snapshot().flow(flow);
    assert_eq!(counted.not_connected, 3);
    assert_eq!(counted.frames_out, limit as u64);
    assert_eq!(counted.lost, 1);
}

#[tokio::test]
async fn bytes_are_bounded_until_they_are_written() {
    let (links, link, counters) = links();
    let (senders, mut receivers) = queues(&counters);
    let _connected = link.connect(senders);
    let flow = FlowType::Chunk;
    let full = Err(SendError::Full { peer: PEER, flow });
    let fitting = queue_limit(flow).bytes / (wire::MAX_CHUNK_DATA_BYTES + 1000);
    assert!(fitting < queue_limit(flow).frames);
    assert!(links.has_capacity(PEER, flow, wire::MAX_CHUNK_DATA_BYTES));
    for _ in 0..fitting {
        links.send(PEER, chunk(wire::MAX_CHUNK_DATA_BYTES)).unwrap();
    }
    assert_eq!(links.send(PEER, chunk(wire::MAX_CHUNK_DATA_BYTES)), full);
    assert!(!links.has_capacity(PEER, flow, wire::MAX_CHUNK_DATA_BYTES));
    assert!(links.has_capacity(PEER, FlowType::Request, 100));
    let queue = receivers.iter_mut().find(|queue| queue.flow() == flow).unwrap();
    assert_eq!(queue.take().await.len(), fitting);
    assert_eq!(links.send(PEER, chunk(wire::MAX_CHUNK_DATA_BYTES)), full);
    queue.written();
    links.send(PEER, chunk(wire::MAX_CHUNK_DATA_BYTES)).unwrap();
    drop(receivers);
    assert_eq!(counters.snapshot().flow(flow).lost, 1);
    assert_eq!(links.send(PEER, chunk(1)), Err(SendError::NotConnected(PEER)));
}

#[tokio::test]
async fn what_no_peer_would_take_is_not_queued() {
    let (links, link, counters) = links();
    let (senders, _receivers) = queues(&counters);
    let _connected = link.connect(senders);
    let error = links.send(PEER, chunk(wire::max_payload_bytes(FlowType::Chunk))).unwrap_err();
    assert!(matches!(error, SendError::TooLarge { .. }), "{error}");
    assert_eq!(counters.snapshot().flow(FlowType::Chunk).too_large, 1);
}
