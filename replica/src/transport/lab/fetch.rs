//! Fetching a file of chunks over a transport, as the protocol does: so many requests at a time.

use std::{
    collections::VecDeque,
    future::{Ready, ready},
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use gossip_engine::{
    ArtifactId, EventError, FlowType, GossipChunk, GossipChunkRequest, GossipMessage,
    IntegrityHash, NodeId, RefusalReason, Submitted, TransportEvent, wire,
};
use tokio::{sync::watch, time::Instant};
use tower_service::Service;

use super::{line::Weather, network::Network};
use crate::{
    gossip::GossipOptions,
    identity::Identity,
    outbox::Outbox,
    transport::{self, Peer, Transport, TransportOptions},
};

/// A peer's messages and its connection, handed to the protocol.
#[derive(Clone)]
pub(super) struct Handler(Arc<dyn Fn(TransportEvent) + Send + Sync>);

impl Service<TransportEvent> for Handler {
    type Response = Submitted;
    type Error = EventError;
    type Future = Ready<Result<Submitted, EventError>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), EventError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, event: TransportEvent) -> Self::Future {
        (self.0)(event);
        ready(Ok(Submitted::Admitted))
    }
}

impl transport::Handler for Handler {
    type Connection = ();

    async fn connect(&mut self, peer: NodeId) -> Result<(), RefusalReason> {
        (self.0)(TransportEvent::PeerUp(peer));
        Ok(())
    }
}

pub(super) fn request(number: u32) -> GossipMessage {
    GossipMessage::ChunkRequest(GossipChunkRequest {
        artifact_id: ArtifactId::new([1; 32]),
        integrity_hash: IntegrityHash::new([1; 32]),
        chunk_number: number,
    })
}

fn message(event: TransportEvent) -> Option<(NodeId, GossipMessage)> {
    match event {
        TransportEvent::Message(message) => {
            Some((message.peer_id, wire::decode(message.payload).unwrap()))
        }
        _ => None,
    }
}

/// Answers requests for chunks.
pub(super) fn source(outbox: Arc<dyn Outbox>, chunk_bytes: usize) -> Handler {
    let payload = Bytes::from(vec![7; chunk_bytes]);
    Handler(Arc::new(move |event| {
        if let Some((peer, GossipMessage::ChunkRequest(request))) = message(event) {
            let chunk = GossipChunk {
                artifact_id: request.artifact_id,
                integrity_hash: request.integrity_hash,
                chunk_number: request.chunk_number,
                payload: Ok(payload.clone()),
            };
            // What is not sent is counted by the transport.
            let _ = outbox.send(peer, GossipMessage::Chunk(chunk));
        }
    }))
}

struct Fetcher {
    source: NodeId,
    unasked: Mutex<VecDeque<u32>>,
    /// How many have not arrived.
    missing: watch::Sender<u32>,
    connected: watch::Sender<bool>,
    outbox: Arc<dyn Outbox>,
}

impl Fetcher {
    fn ask(&self) {
        let next = self.unasked.lock().unwrap().pop_front();
        if let Some(number) = next {
            self.outbox.send(self.source, request(number)).unwrap();
        }
    }

    fn handler(self: &Arc<Self>) -> Handler {
        let fetcher = self.clone();
        Handler(Arc::new(move |event| match event {
            TransportEvent::PeerUp(_) => _ = fetcher.connected.send_replace(true),
            event => {
                if let Some((_, GossipMessage::Chunk(_))) = message(event) {
                    fetcher.missing.send_modify(|missing| *missing -= 1);
                    fetcher.ask();
                }
            }
        }))
    }
}

/// What is fetched, and how.
#[derive(Clone, Debug)]
pub(super) struct Fetch {
    pub(super) bytes: u64,
    pub(super) fetchers: usize,
    pub(super) requests_per_peer: usize,
    pub(super) weather: Weather,
}

impl Default for Fetch {
    fn default() -> Self {
        let GossipOptions { requests_per_peer, .. } = GossipOptions::default();
        Self { bytes: 8 << 20, fetchers: 1, requests_per_peer, weather: Weather::default() }
    }
}

/// How a fetch went.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fetched {
    /// From the first request to the last chunk of the last fetcher.
    pub(super) took: Duration,
    /// Datagrams lost by chance.
    pub(super) lost: u64,
    /// Datagrams lost to full queues.
    pub(super) overflown: u64,
}

impl Fetch {
    /// All fetchers begin when all are connected.
    pub(super) async fn run(&self) -> Fetched {
        let chunk_bytes = GossipOptions::default().chunk_bytes;
        let chunks = self.bytes.div_ceil(chunk_bytes.into()) as u32;
        let network = Network::new(self.weather.clone());
        let options = TransportOptions::default().with_idle_timeout(Duration::from_secs(60));
        let host = || {
            let identity = Identity::generate();
            let transport = Transport::on(&identity, network.host(), options.clone()).unwrap();
            let peer = Peer { node_id: identity.node_id(), address: transport.local_addr().into() };
            (transport, peer)
        };
        let (from, source_peer) = host();
        let to: Vec<_> = (0..self.fetchers).map(|_| host()).collect();
        let peers = to.iter().map(|(_, peer)| peer.clone()).collect();
        from.start(peers, source(from.outbox(), chunk_bytes as usize)).unwrap();
        let mut fetchers = Vec::new();
        for (transport, _) in &to {
            let fetcher = Arc::new(Fetcher {
                source: source_peer.node_id,
                unasked: Mutex::new((0..chunks).collect()),
                missing: watch::Sender::new(chunks),
                connected: watch::Sender::new(false),
                outbox: transport.outbox(),
            });
            transport.start(vec![source_peer.clone()], fetcher.handler()).unwrap();
            fetchers.push(fetcher);
        }
        for fetcher in &fetchers {
            fetcher.connected.subscribe().wait_for(|connected| *connected).await.unwrap();
        }
        let began = Instant::now();
        for fetcher in &fetchers {
            (0..self.requests_per_peer).for_each(|_| fetcher.ask());
        }
        for fetcher in &fetchers {
            fetcher.missing.subscribe().wait_for(|missing| *missing == 0).await.unwrap();
        }
        let took = began.elapsed();
        assert_eq!(from.counters().flow(FlowType::Chunk).full, 0, "each request has an answer");
        let (lost, overflown) = network.losses();
        Fetched { took, lost, overflown }
    }
}
