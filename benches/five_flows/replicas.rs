//! Those that serve five flows: the engine's handler, and five of the baseline beside each other.

#![expect(
    clippy::disallowed_types,
    reason = "the engine's stand-ins for atomics are not part of its public API"
)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use crossbeam::channel::{Receiver, Sender, bounded};
use gossip_engine::{
    ArtifactDestination, ArtifactFilter, AsyncTransportEventHandlerImpl, ChannelConfig, FlowType,
    Gossip, GossipAdvert, GossipChunk, GossipChunkRequest, GossipMessage, MetricsRegistry, NodeId,
    TransportEvent, wire,
};
use strum::IntoEnumIterator;
use tower::Service;

use crate::{
    contenders::{self, Contender, Handler},
    events::{Traffic, visitor},
    harness::{clock::Stopwatch, ledger::Message},
};

const DEADLINE: Duration = Duration::from_secs(60);

/// Holds the handlers of the stuck flow until it is opened.
#[derive(Clone)]
pub(crate) struct Gate(Sender<()>, Receiver<()>);

impl Gate {
    pub(crate) fn new() -> Self {
        let (sender, receiver) = bounded(1);
        Self(sender, receiver)
    }

    pub(crate) fn open(&self) {
        self.0.send(()).expect("this holds a receiver");
    }

    /// Whoever has passed lets the next one pass.
    fn pass(&self) {
        self.1.recv().expect("this holds a sender");
        self.open();
    }
}

/// The callbacks: each tells the stopwatch which event it was called with.
pub(crate) struct Served {
    stopwatch: Stopwatch,
    /// What the stuck flow's handlers wait for.
    gate: Option<Gate>,
    visits: Vec<(Vec<usize>, AtomicUsize)>,
}

impl Served {
    pub(crate) fn new(stopwatch: Stopwatch, traffic: &Traffic, gate: Option<Gate>) -> Self {
        let visits = traffic.visits.iter().map(|own| (own.clone(), AtomicUsize::new(0))).collect();
        Self { stopwatch, gate, visits }
    }

    fn chunk(&self, sequence: usize) {
        if let Some(gate) = &self.gate {
            gate.pass();
        }
        self.stopwatch.run(sequence);
    }

    fn visit(&self, peer: NodeId) {
        let (own, so_far) = &self.visits[visitor(peer)];
        // Relaxed: the flow runs one event of a peer at a time.
        self.stopwatch.run(own[so_far.fetch_add(1, Ordering::Relaxed)]);
    }
}

impl Gossip for Served {
    type GossipAdvert = GossipAdvert;
    type GossipChunkRequest = GossipChunkRequest;
    type GossipChunk = GossipChunk;
    type GossipRetransmissionRequest = ArtifactFilter;

    fn on_gossip_advert(&self, advert: GossipAdvert, _: NodeId) {
        self.stopwatch.run(advert.size as usize);
    }
    fn on_chunk_request(&self, request: GossipChunkRequest, _: NodeId) {
        self.stopwatch.run(request.chunk_number as usize);
    }
    fn on_gossip_chunk(&self, chunk: GossipChunk, _: NodeId) {
        self.chunk(chunk.chunk_number as usize);
    }
    fn on_gossip_retransmission_request(&self, request: ArtifactFilter, _: NodeId) {
        self.stopwatch.run(request.height as usize);
    }
    fn on_peer_up(&self, peer: NodeId) {
        self.visit(peer);
    }
    fn on_peer_down(&self, peer: NodeId) {
        self.visit(peer);
    }
    fn on_gossip_timer(&self) {}
    fn broadcast_advert(&self, _: GossipAdvert, _: ArtifactDestination) {}
}

/// Something that serves five flows with so many threads each and the default bounds.
pub(crate) trait Replica: Send + Sync + 'static {
    fn build(threads: usize, served: Served) -> Self;

    /// Resolves when the event, which has this number, has been admitted to its flow.
    fn call(&self, event: TransportEvent, sequence: usize) -> impl Future<Output = ()>;

    /// Returns when all that was admitted has been handled.
    fn finish(self);
}

pub(crate) struct Engine(AsyncTransportEventHandlerImpl<Served>);

impl Replica for Engine {
    fn build(threads: usize, served: Served) -> Self {
        let config = FlowType::iter().fold(ChannelConfig::default(), |config, flow| {
            let of_flow = config.flow(flow).with_threads(threads);
            config.with_flow(flow, of_flow)
        });
        let (id, registry) = (NodeId::new([0xff; 32]), MetricsRegistry::new());
        let handler = AsyncTransportEventHandlerImpl::new(id, &registry, config, Arc::new(served));
        Self(handler.expect("the configuration is in range"))
    }

    async fn call(&self, event: TransportEvent, _: usize) {
        let called = self.0.clone().call(event);
        called.await.expect("void: the flows are open and one waits for each peer");
    }

    fn finish(self) {
        assert!(self.0.shutdown(DEADLINE).is_clean(), "void: not all was handled");
    }
}

/// Runs the messages of one of the baseline's flows.
#[derive(Clone)]
pub(crate) struct OfFlow(Arc<Served>, FlowType);

impl Handler for OfFlow {
    fn handle(&self, _: NodeId, message: Message) {
        match self.1 {
            FlowType::Chunk => self.0.chunk(message.sequence),
            _ => self.0.stopwatch.run(message.sequence),
        }
    }
}

pub(crate) struct Baseline(Vec<contenders::baseline::Baseline<OfFlow>>);

impl Replica for Baseline {
    fn build(threads: usize, served: Served) -> Self {
        let served = Arc::new(served);
        let config = ChannelConfig::default();
        let of_flow = |flow| {
            let limit = config.flow(flow).max_inflight_requests();
            Contender::build(limit, threads, OfFlow(Arc::clone(&served), flow))
        };
        Self(FlowType::iter().map(of_flow).collect())
    }

    async fn call(&self, event: TransportEvent, sequence: usize) {
        let (peer, flow) = match event {
            TransportEvent::Message(message) => {
                let decoded = wire::decode(message.payload).expect("it is well formed");
                let flow = match std::hint::black_box(decoded) {
                    GossipMessage::Advert(_) => FlowType::Advert,
                    GossipMessage::ChunkRequest(_) => FlowType::Request,
                    GossipMessage::Chunk(_) => FlowType::Chunk,
                    GossipMessage::RetransmissionRequest(_) => FlowType::Retransmission,
                };
                (message.peer_id, flow)
            }
            TransportEvent::PeerUp(peer) | TransportEvent::PeerDown(peer) => {
                (peer, FlowType::Transport)
            }
        };
        self.0[flow as usize].submit(peer, Message::new(sequence)).await;
    }

    fn finish(self) {
        self.0.into_iter().for_each(Contender::finish);
    }
}
