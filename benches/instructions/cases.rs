//! The cases that are counted. Each brings a first message, whose handler holds the only worker, then
//! all the others, then lets the worker go and waits, asleep, until all have been handled.

#![expect(
    clippy::disallowed_types,
    reason = "the engine's stand-ins for atomics are not part of its public API"
)]

use std::{
    hint::black_box,
    mem,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::FutureExt;
use gossip_engine::{
    ArtifactDestination, ArtifactFilter, ArtifactId, AsyncTransportEventHandlerImpl, ChannelConfig,
    FlowConfig, FlowType, FlowWorker, Gossip, GossipAdvert, GossipChunk, GossipChunkRequest,
    GossipMessage, IntegrityHash, MAX_QUANTUM, MetricsRegistry, NodeId, TransportEvent,
    TransportMessage, WaitStrategy, wire,
};
use strum::IntoEnumIterator;
use tower::Service;

/// A name and how it runs with so many messages.
pub(crate) type Case = (&'static str, fn(usize));

pub(crate) const CASES: [Case; 3] = [
    ("one_peer_long_turns", |messages| worker(messages, 1, MAX_QUANTUM)),
    ("hundred_peers_short_turns", |messages| worker(messages, 100, Duration::ZERO)),
    ("decoded_adverts", adverts),
];

/// More than all messages of a case, so that nobody waits.
const PERMITS: usize = 1 << 16;

/// Holds the worker in the first message and tells when all have been handled.
struct Gate {
    held: mpsc::Sender<()>,
    opened: crossbeam::channel::Receiver<()>,
    ended: mpsc::Sender<()>,
    missing: AtomicUsize,
}

impl Gate {
    fn pass(&self, sequence: u64) {
        if sequence == 0 {
            self.held.send(()).expect("the producer waits");
            self.opened.recv().expect("the producer opens the gate");
        }
        // Relaxed: there is one worker.
        if self.missing.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.ended.send(()).expect("the producer waits");
        }
    }
}

/// Runs so many messages and a first one by what brings one.
fn run(messages: usize, start: impl FnOnce(Gate) -> Box<dyn FnMut(u64)>) {
    let (held, is_held) = mpsc::channel();
    let (open, opened) = crossbeam::channel::bounded(1);
    let (ended, has_ended) = mpsc::channel();
    let missing = AtomicUsize::new(messages + 1);
    let mut bring = start(Gate { held, opened, ended, missing });
    bring(0);
    is_held.recv().expect("the first message is handled");
    the_counted_part(|| {
        (1..=messages as u64).for_each(&mut bring);
        open.send(()).expect("the worker waits");
        has_ended.recv().expect("the last message is handled");
    });
    // Never dropped, so that no shutdown is counted: its way depends on which threads came when.
    mem::forget(bring);
}

/// What comes before is not counted: the clock's calibration takes as many instructions as it likes.
/// callgrind knows this function by its name.
#[inline(never)]
fn the_counted_part(run: impl FnOnce()) {
    run();
}

/// The manners of the flow that is counted.
fn flow(peers: usize, quantum: Duration) -> FlowConfig {
    FlowConfig::new(PERMITS)
        .with_peer_quota(PERMITS / peers)
        .with_quantum(quantum)
        .with_threads(1)
        .with_wait_strategy(WaitStrategy::GiveBack)
}

/// A flow of its own, with messages of 96 bytes that take turns among so many peers.
fn worker(messages: usize, peers: usize, quantum: Duration) {
    run(messages, |gate| {
        let handler = move |_: NodeId, message: [u64; 12]| gate.pass(black_box(message)[0]);
        let config = flow(peers, quantum);
        let flow = FlowWorker::new(FlowType::Advert, &config, &MetricsRegistry::new(), handler)
            .expect("the configuration is in range");
        let ids: Vec<NodeId> = (0..peers).map(|peer| NodeId::new([peer as u8; 32])).collect();
        Box::new(move |sequence| {
            let peer = ids[sequence as usize % ids.len()];
            let admitted = flow.execute(peer, black_box([sequence; 12])).now_or_never();
            assert!(admitted.is_some_and(|admitted| admitted.is_ok()), "there is room");
        })
    });
}

/// All five flows, and adverts as they come from the network.
fn adverts(messages: usize) {
    run(messages, |gate| {
        // The other flows' threads look for work when they start, and that is counted.
        let config = FlowType::iter().fold(ChannelConfig::default(), |config, other| {
            config.with_flow(other, FlowConfig::new(1).with_threads(1))
        });
        let mut handler = AsyncTransportEventHandlerImpl::new(
            NodeId::new([0; 32]),
            &MetricsRegistry::new(),
            config.with_flow(FlowType::Advert, flow(1, MAX_QUANTUM)),
            Arc::new(Adverts(gate)),
        )
        .expect("the configuration is in range");
        let peer_id = NodeId::new([1; 32]);
        let payload = |size| {
            wire::encode(&GossipMessage::Advert(GossipAdvert {
                artifact_id: ArtifactId::new([1; 32]),
                size,
                integrity_hash: IntegrityHash::new([2; 32]),
                attributes: Bytes::from_static(&[3; 64]),
            }))
        };
        // Encoded beforehand: only decoding is counted.
        let [first, other] = [0, 1].map(payload);
        Box::new(move |sequence| {
            let payload = if sequence == 0 { &first } else { &other };
            let message = TransportMessage { peer_id, payload: payload.clone() };
            let called = handler.call(TransportEvent::Message(message)).now_or_never();
            assert_eq!(called, Some(Ok(())), "there is room");
        })
    });
}

struct Adverts(Gate);

impl Gossip for Adverts {
    type GossipAdvert = GossipAdvert;
    type GossipChunkRequest = GossipChunkRequest;
    type GossipChunk = GossipChunk;
    type GossipRetransmissionRequest = ArtifactFilter;

    fn on_gossip_advert(&self, advert: GossipAdvert, _: NodeId) {
        self.0.pass(black_box(advert).size);
    }
    fn on_chunk_request(&self, _: GossipChunkRequest, _: NodeId) {}
    fn on_gossip_chunk(&self, _: GossipChunk, _: NodeId) {}
    fn on_gossip_retransmission_request(&self, _: ArtifactFilter, _: NodeId) {}
    fn on_peer_up(&self, _: NodeId) {}
    fn on_peer_down(&self, _: NodeId) {}
    fn on_gossip_timer(&self) {}
    fn broadcast_advert(&self, _: GossipAdvert, _: ArtifactDestination) {}
}
