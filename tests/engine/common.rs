//! A replica that writes down what it is told, and the patience of the tests.

use std::{
    collections::BTreeSet,
    sync::{Mutex, mpsc::Sender},
    time::{Duration, Instant},
};

use gossip_engine::{
    ArtifactDestination, ArtifactFilter, ArtifactId, Gossip, GossipAdvert, GossipChunk,
    GossipChunkRequest, GossipMessage, IntegrityHash, NodeId, TransportEvent, TransportMessage,
    wire,
};

/// Beyond this a test has failed; nothing passes by taking long.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// What a replica was told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Told {
    Advert(GossipAdvert, NodeId),
    Request(GossipChunkRequest, NodeId),
    Chunk(GossipChunk, NodeId),
    Retransmission(ArtifactFilter, NodeId),
    Up(NodeId),
    Down(NodeId),
    Timer,
    Broadcast(GossipAdvert, ArtifactDestination),
}

/// Sends what it is told through a channel, and then does what the test wants done.
pub(crate) struct Recorder {
    told: Mutex<Sender<Told>>,
    then: Box<dyn Fn(&Told) + Send + Sync>,
}

impl Recorder {
    pub(crate) fn new(told: Sender<Told>) -> Self {
        Self::with(told, |_| {})
    }

    pub(crate) fn with(told: Sender<Told>, then: impl Fn(&Told) + Send + Sync + 'static) -> Self {
        Self { told: Mutex::new(told), then: Box::new(then) }
    }

    fn tell(&self, told: Told) {
        // A test that has seen enough listens no more.
        let _ = self.told.lock().unwrap().send(told.clone());
        (self.then)(&told);
    }
}

impl Gossip for Recorder {
    type GossipAdvert = GossipAdvert;
    type GossipChunkRequest = GossipChunkRequest;
    type GossipChunk = GossipChunk;
    type GossipRetransmissionRequest = ArtifactFilter;

    fn on_gossip_advert(&self, advert: GossipAdvert, peer: NodeId) {
        self.tell(Told::Advert(advert, peer));
    }

    fn on_chunk_request(&self, request: GossipChunkRequest, peer: NodeId) {
        self.tell(Told::Request(request, peer));
    }

    fn on_gossip_chunk(&self, chunk: GossipChunk, peer: NodeId) {
        self.tell(Told::Chunk(chunk, peer));
    }

    fn on_gossip_retransmission_request(&self, request: ArtifactFilter, peer: NodeId) {
        self.tell(Told::Retransmission(request, peer));
    }

    fn on_peer_up(&self, peer: NodeId) {
        self.tell(Told::Up(peer));
    }

    fn on_peer_down(&self, peer: NodeId) {
        self.tell(Told::Down(peer));
    }

    fn on_gossip_timer(&self) {
        self.tell(Told::Timer);
    }

    fn broadcast_advert(&self, advert: GossipAdvert, dst: ArtifactDestination) {
        self.tell(Told::Broadcast(advert, dst));
    }
}

pub(crate) fn peer(number: u8) -> NodeId {
    NodeId::new([number; 32])
}

/// An advert that is told from others by its size.
pub(crate) fn advert(size: u64) -> GossipAdvert {
    GossipAdvert {
        artifact_id: ArtifactId::new([1; 32]),
        size,
        integrity_hash: IntegrityHash::new([2; 32]),
        attributes: "attributes".into(),
    }
}

pub(crate) fn request(chunk_number: u32) -> GossipChunkRequest {
    GossipChunkRequest {
        artifact_id: ArtifactId::new([1; 32]),
        integrity_hash: IntegrityHash::new([2; 32]),
        chunk_number,
    }
}

pub(crate) fn chunk(chunk_number: u32) -> GossipChunk {
    GossipChunk {
        artifact_id: ArtifactId::new([1; 32]),
        integrity_hash: IntegrityHash::new([2; 32]),
        chunk_number,
        payload: Ok("data".into()),
    }
}

pub(crate) fn event(from: u8, message: GossipMessage) -> TransportEvent {
    TransportEvent::Message(TransportMessage {
        peer_id: peer(from),
        payload: wire::encode(&message),
    })
}

pub(crate) fn replicas(numbers: impl IntoIterator<Item = u8>) -> ArtifactDestination {
    ArtifactDestination::Replicas(numbers.into_iter().map(peer).collect::<BTreeSet<_>>())
}

/// Waits until `condition` holds.
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let limit = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < limit, "{what} did not come about");
        std::thread::yield_now();
    }
}
