//! A replica whose callbacks count, and wait for as long as they are told to.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use gossip_engine::{
    ArtifactDestination, ArtifactFilter, ArtifactId, AsyncTransportEventHandlerImpl, ChannelConfig,
    Gossip, GossipAdvert, GossipChunk, GossipChunkRequest, GossipMessage, IntegrityHash,
    MetricsRegistry, NodeId, TransportEvent, TransportMessage, wire,
};

use super::DEADLINE;

const LOOK_EVERY: Duration = Duration::from_micros(100);

#[derive(Debug, Default)]
pub(crate) struct Replica {
    /// Callbacks do not return while it is shut.
    shut: AtomicBool,
    pub(crate) called: AtomicUsize,
}

impl Replica {
    /// Relaxed, here and below: they say nothing about any other memory.
    pub(crate) fn shut(&self, shut: bool) {
        self.shut.store(shut, Ordering::Relaxed);
    }

    fn call(&self) {
        while self.shut.load(Ordering::Relaxed) {
            thread::sleep(LOOK_EVERY);
        }
        self.called.fetch_add(1, Ordering::Relaxed);
    }
}

impl Gossip for Replica {
    type GossipAdvert = GossipAdvert;
    type GossipChunkRequest = GossipChunkRequest;
    type GossipChunk = GossipChunk;
    type GossipRetransmissionRequest = ArtifactFilter;

    fn on_gossip_advert(&self, _: GossipAdvert, _: NodeId) {
        self.call();
    }
    fn on_chunk_request(&self, _: GossipChunkRequest, _: NodeId) {
        self.call();
    }
    fn on_gossip_chunk(&self, _: GossipChunk, _: NodeId) {
        self.call();
    }
    fn on_gossip_retransmission_request(&self, _: ArtifactFilter, _: NodeId) {
        self.call();
    }
    fn on_peer_up(&self, _: NodeId) {}
    fn on_peer_down(&self, _: NodeId) {}
    fn on_gossip_timer(&self) {}
    fn broadcast_advert(&self, _: GossipAdvert, _: ArtifactDestination) {}
}

pub(crate) type Handler = AsyncTransportEventHandlerImpl<Replica>;

pub(crate) fn handler(
    config: ChannelConfig,
    registry: &MetricsRegistry,
    replica: &Arc<Replica>,
) -> Handler {
    let own_id = NodeId::new([0xff; 32]);
    Handler::new(own_id, registry, config, Arc::clone(replica))
        .expect("the configuration is in range")
}

pub(crate) fn peer(number: usize) -> NodeId {
    NodeId::new([number as u8; 32])
}

const ARTIFACT: ArtifactId = ArtifactId::new([1; 32]);
const HASH: IntegrityHash = IntegrityHash::new([2; 32]);

pub(crate) fn advert() -> Bytes {
    wire::encode(&GossipMessage::Advert(GossipAdvert {
        artifact_id: ARTIFACT,
        size: 1,
        integrity_hash: HASH,
        attributes: Bytes::new(),
    }))
}

/// In memory of its own.
pub(crate) fn largest_chunk() -> Bytes {
    wire::encode(&GossipMessage::Chunk(GossipChunk {
        artifact_id: ARTIFACT,
        integrity_hash: HASH,
        chunk_number: 0,
        payload: Ok(Bytes::from(vec![3; wire::MAX_CHUNK_DATA_BYTES])),
    }))
}

pub(crate) fn event(peer_id: NodeId, payload: &Bytes) -> TransportEvent {
    TransportEvent::Message(TransportMessage { peer_id, payload: payload.clone() })
}

/// Waits until something is so.
///
/// # Panics
///
/// If it is not in time.
pub(crate) fn wait_until(what: &str, mut is: impl FnMut() -> bool) {
    let until = Instant::now() + DEADLINE;
    while !is() {
        assert!(Instant::now() < until, "not in time: {what}");
        thread::sleep(LOOK_EVERY);
    }
}
