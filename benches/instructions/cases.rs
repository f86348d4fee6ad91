//! The cases that are counted. In most of them a first message's handler holds the only worker; then all others are
//! submitted; then the worker is let go, and the producer waits, asleep, until all have been handled. In `empty_lanes`
//! each message is another peer's, whose lane is empty and known to its submitter. In `one_at_a_time` the worker
//! sleeps as well: the producer waits for a message's end before it submits the next one, so that a sleep and a wake-up
//! are part of what a message costs.
//!
//! What the cases do themselves takes no locked instruction for a message, so those that are counted are the engine's.

#![expect(
    clippy::disallowed_types,
    reason = "the engine's stand-ins for atomics are not part of its public API"
)]

use std::{
    collections::VecDeque,
    hint::black_box,
    mem,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use bytes::Bytes;
use futures_util::FutureExt;
use gossip_engine::{
    ArtifactDestination, ArtifactFilter, ArtifactId, AsyncTransportEventHandlerImpl, ChannelConfig,
    FlowConfig, FlowType, FlowWorker, Gossip, GossipAdvert, GossipChunk, GossipChunkRequest,
    GossipMessage, IntegrityHash, MetricsRegistry, NodeId, Submitted, TransportEvent,
    TransportMessage, WaitStrategy, wire,
};
use strum::IntoEnumIterator;
use tower::Service;

pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// The two numbers of messages that it runs with.
    pub(crate) messages: [usize; 2],
    /// Runs so many messages.
    pub(crate) run: fn(usize),
}

const MANY: [usize; 2] = [10_000, 30_000];
/// For a case whose producer sleeps with each message.
const FEW: [usize; 2] = [2_000, 6_000];

pub(crate) const CASES: [Case; 7] = {
    const fn case(name: &'static str, messages: [usize; 2], run: fn(usize)) -> Case {
        Case { name, messages, run }
    }
    [
        case("one_peer_long_turns", MANY, |messages| worker(messages, 1, FlowConfig::MAX_QUANTUM)),
        case("hundred_peers_short_turns", MANY, |messages| worker(messages, 100, Duration::ZERO)),
        case("submitter_to_a_busy_flow", MANY, submitter),
        case("rows_to_a_busy_flow", MANY, rows),
        case("empty_lanes", MANY, empty_lanes),
        case("one_at_a_time", FEW, one_at_a_time),
        case("decoded_adverts", MANY, adverts),
    ]
};

/// More than all messages of a case, so that nobody waits.
const PERMITS: usize = 1 << 16;

/// Many times what a worker takes to come to rest under callgrind.
const REST: Duration = Duration::from_micros(500);

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
        // Relaxed, and no single step: there is one worker.
        let missing = self.missing.load(Ordering::Relaxed) - 1;
        self.missing.store(missing, Ordering::Relaxed);
        if missing == 0 {
            self.ended.send(()).expect("the producer waits");
        }
    }
}

/// Runs so many messages and a first one by what submits one.
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
        .with_wait_strategy(WaitStrategy::Park)
}

/// A flow of its own, with messages of 96 bytes that take turns among so many peers.
fn worker(messages: usize, peers: usize, quantum: Duration) {
    run(messages, |gate| {
        let handler = move |_: &NodeId, message: [u64; 12]| gate.pass(black_box(message)[0]);
        let config = flow(peers, quantum);
        let flow = FlowWorker::new(FlowType::Advert, &config, &MetricsRegistry::new(), handler)
            .expect("the configuration is in range");
        let ids: Vec<NodeId> = (0..peers).map(|peer| NodeId::new([peer as u8; 32])).collect();
        Box::new(move |sequence| {
            let peer = ids[sequence as usize % ids.len()];
            let admitted = flow.execute(peer, black_box([sequence; 12])).now_or_never();
            assert!(admitted.is_some_and(|admitted| admitted.is_ok()), "there is capacity");
        })
    });
}

/// Like [`worker`] with one peer, by somebody who submits many messages of it.
fn submitter(messages: usize) {
    run(messages, |gate| {
        let handler = move |_: &NodeId, message: [u64; 12]| gate.pass(black_box(message)[0]);
        let config = flow(1, FlowConfig::MAX_QUANTUM);
        let flow = FlowWorker::new(FlowType::Advert, &config, &MetricsRegistry::new(), handler)
            .expect("the configuration is in range");
        // Never dropped in any case.
        let flow: &'static _ = Box::leak(Box::new(flow));
        let mut submitter = flow.submitter(NodeId::new([1; 32]));
        Box::new(move |sequence| {
            let admitted = submitter.execute(black_box([sequence; 12])).now_or_never();
            assert!(admitted.is_some_and(|admitted| admitted.is_ok()), "there is capacity");
        })
    });
}

/// Like [`submitter`], 16 messages at a time.
fn rows(messages: usize) {
    const ROW: usize = 16;
    assert!(messages.is_multiple_of(ROW), "the last row is full, too");
    run(messages, |gate| {
        let handler = move |_: &NodeId, message: [u64; 12]| gate.pass(black_box(message)[0]);
        let config = flow(1, FlowConfig::MAX_QUANTUM);
        let flow = FlowWorker::new(FlowType::Advert, &config, &MetricsRegistry::new(), handler)
            .expect("the configuration is in range");
        // Never dropped in any case.
        let flow: &'static _ = Box::leak(Box::new(flow));
        let mut submitter = flow.submitter(NodeId::new([1; 32]));
        let mut row = VecDeque::with_capacity(ROW);
        Box::new(move |sequence| {
            let message = black_box([sequence; 12]);
            if sequence == 0 {
                let admitted = submitter.execute(message).now_or_never();
                assert!(admitted.is_some_and(|admitted| admitted.is_ok()), "there is capacity");
                return;
            }
            row.push_back((message, size_of_val(&message)));
            if row.len() == ROW {
                assert_eq!(submitter.try_execute_many(&mut row), ROW, "there is capacity");
            }
        })
    });
}

/// Like [`submitter`] with a peer for each message. Each peer has sent two before: the first makes its lane, the second
/// has its submitter remember it.
fn empty_lanes(messages: usize) {
    run(messages, |gate| {
        const BEFORE: u64 = u64::MAX;
        let missing = Arc::new(AtomicUsize::new(2 * (messages + 1)));
        let of_handler = Arc::clone(&missing);
        let handler = move |_: &NodeId, message: [u64; 12]| match black_box(message)[0] {
            // Release: pairs with the load below.
            BEFORE => _ = of_handler.fetch_sub(1, Ordering::Release),
            sequence => gate.pass(sequence),
        };
        let peers = messages + 1;
        let config = flow(peers, FlowConfig::MAX_QUANTUM).with_max_peers(peers);
        let flow = FlowWorker::new(FlowType::Advert, &config, &MetricsRegistry::new(), handler)
            .expect("the configuration is in range");
        let flow: &'static _ = Box::leak(Box::new(flow));
        let mut submitters: Vec<_> = (0..peers as u64)
            .map(|peer| {
                let mut id = [0; 32];
                id[..8].copy_from_slice(&peer.to_le_bytes());
                flow.submitter(NodeId::new(id))
            })
            .collect();
        let mut submit = move |peer: u64, word: u64| {
            let message = black_box([word; 12]);
            let admitted = submitters[peer as usize].execute(message).now_or_never();
            assert!(admitted.is_some_and(|admitted| admitted.is_ok()), "there is capacity");
        };
        (0..2 * peers as u64).for_each(|turn| submit(turn / 2, BEFORE));
        // Acquire: pairs with the handler's step.
        while missing.load(Ordering::Acquire) > 0 {
            thread::sleep(REST);
        }
        Box::new(move |sequence| submit(sequence, sequence))
    });
}

/// Each message is submitted when the one before has been handled and the worker is parked. The producer sleeps for so
/// long meanwhile that the worker comes to rest, which takes the same few instructions for each message.
fn one_at_a_time(messages: usize) {
    let handled = Arc::new(AtomicU64::new(0));
    let of_handler = Arc::clone(&handled);
    // Release: pairs with the load below.
    let handler = move |_: &NodeId, message: [u64; 12]| {
        of_handler.store(black_box(message)[0], Ordering::Release);
    };
    let config = flow(1, FlowConfig::MAX_QUANTUM);
    let flow = FlowWorker::new(FlowType::Advert, &config, &MetricsRegistry::new(), handler)
        .expect("the configuration is in range");
    let bring = |sequence: u64| {
        let message = black_box([sequence; 12]);
        let admitted = flow.execute(NodeId::new([1; 32]), message).now_or_never();
        assert!(admitted.is_some_and(|admitted| admitted.is_ok()), "there is capacity");
        thread::sleep(REST);
        // Acquire: pairs with the store of the handler.
        while handled.load(Ordering::Acquire) != sequence {
            thread::sleep(REST);
        }
    };
    bring(1);
    the_counted_part(|| (2..=messages as u64 + 1).for_each(bring));
    // As in `run`.
    mem::forget(flow);
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
            config.with_flow(FlowType::Advert, flow(1, FlowConfig::MAX_QUANTUM)),
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
            assert_eq!(called, Some(Ok(Submitted::Admitted)), "there is capacity");
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
