//! What a connected peer costs in memory.
//!
//! A counting allocator says how many bytes are live, on all threads, before and after; the difference
//! is divided by the number of peers. A silent peer has had its `PeerUp` handled and has
//! sent nothing; one after a message has sent an advert and has had it handled; one after a burst has sent 256
//! adverts while the handler of the first was held, and has had all of them handled. What a burst
//! needs while it waits is not counted, but what it leaves behind. What the allocator itself adds for each block is
//! not counted, nor what the replica behind the callbacks keeps; what the engine frees later counts as live.
//!
//! Nothing here depends on time, so there are no rounds; each figure comes from an engine of its own.

#![expect(clippy::print_stdout, reason = "a bench's output is its purpose")]
#![expect(
    clippy::disallowed_types,
    reason = "the engine's stand-ins for atomics are not part of its public API"
)]

#[path = "harness/folder.rs"]
mod folder;
#[path = "harness/output.rs"]
mod output;

use std::{
    alloc::System,
    io,
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
    FlowType, Gossip, GossipAdvert, GossipChunk, GossipChunkRequest, GossipMessage, IntegrityHash,
    MetricsRegistry, NodeId, TransportEvent, TransportMessage, wire,
};
use serde_json::{Value, json};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use strum::IntoEnumIterator;
use tower::Service;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The most that a connected peer that has sent nothing should cost.
const TARGET_BYTES: f64 = 2048.0;
const DEADLINE: Duration = Duration::from_secs(60);
/// How long after its last callback an engine has to let go of what it needed for it.
const SETTLING: Duration = Duration::from_millis(50);

/// Adverts of a burst, at most the quota.
const BURST: usize = 256;

/// What a peer has done before its memory is counted.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Past {
    Silent,
    OneMessage,
    Burst,
}

impl Past {
    fn name(self) -> &'static str {
        match self {
            Self::Silent => "is silent",
            Self::OneMessage => "has sent an advert",
            Self::Burst => "has sent a burst of adverts",
        }
    }
}

/// Counts its callbacks, and holds adverts while the bench asks it to.
#[derive(Default)]
struct Counting {
    calls: AtomicUsize,
    held: AtomicBool,
}

impl Counting {
    fn called(&self) {
        // Relaxed: a count and nothing else.
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    /// Until it was called so often.
    fn reach(&self, calls: usize) {
        let until = Instant::now() + DEADLINE;
        while self.calls.load(Ordering::Relaxed) < calls {
            assert!(Instant::now() < until, "void: callbacks are missing");
            thread::sleep(Duration::from_micros(50));
        }
    }

    /// Like [`reach`](Self::reach), and until the engine is at rest.
    fn settle(&self, calls: usize) {
        self.reach(calls);
        thread::sleep(SETTLING);
        assert_eq!(self.calls.load(Ordering::Relaxed), calls, "void: called too often");
    }
}

impl Gossip for Counting {
    type GossipAdvert = GossipAdvert;
    type GossipChunkRequest = GossipChunkRequest;
    type GossipChunk = GossipChunk;
    type GossipRetransmissionRequest = ArtifactFilter;

    fn on_gossip_advert(&self, _: GossipAdvert, _: NodeId) {
        // Relaxed: it says nothing about any other memory.
        while self.held.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_micros(50));
        }
        self.called();
    }
    fn on_chunk_request(&self, _: GossipChunkRequest, _: NodeId) {}
    fn on_gossip_chunk(&self, _: GossipChunk, _: NodeId) {}
    fn on_gossip_retransmission_request(&self, _: ArtifactFilter, _: NodeId) {}
    fn on_peer_up(&self, _: NodeId) {
        self.called();
    }
    fn on_peer_down(&self, _: NodeId) {}
    fn on_gossip_timer(&self) {}
    fn broadcast_advert(&self, _: GossipAdvert, _: ArtifactDestination) {}
}

fn peer(number: usize) -> NodeId {
    let mut bytes = [0x5a; 32];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    NodeId::new(bytes)
}

fn live_bytes() -> f64 {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated as f64 - stats.bytes_deallocated as f64
}

/// Bytes for each of so many peers, once they are connected and have done what they do.
fn measure(peers: usize, past: Past) -> Value {
    let config = FlowType::iter().fold(ChannelConfig::default(), |config, flow| {
        let of_flow = config.flow(flow).with_max_peers(peers + 1);
        config.with_flow(flow, of_flow)
    });
    let quota = config.flow(FlowType::Advert).peer_quota();
    let adverts = match past {
        Past::Silent => 0,
        Past::OneMessage => 1,
        Past::Burst => BURST.min(quota),
    };
    let gossip = Arc::new(Counting::default());
    let registry = MetricsRegistry::new();
    let own_id = NodeId::new([0; 32]);
    let gossip_of_handler = Arc::clone(&gossip);
    let mut handler =
        AsyncTransportEventHandlerImpl::new(own_id, &registry, config, gossip_of_handler)
            .expect("the configuration is in range");
    let advert = wire::encode(&GossipMessage::Advert(GossipAdvert {
        artifact_id: ArtifactId::new([1; 32]),
        size: 1,
        integrity_hash: IntegrityHash::new([2; 32]),
        attributes: Bytes::new(),
    }));
    let mut calls = 0;
    let mut connect = |number| {
        let peer_id = peer(number);
        futures_executor::block_on(handler.call(TransportEvent::PeerUp(peer_id)))
            .expect("there is capacity");
        calls += 1;
        gossip.held.store(past == Past::Burst, Ordering::Relaxed);
        for _ in 0..adverts {
            let message = TransportMessage { peer_id, payload: advert.clone() };
            // It may wait for the end of `on_peer_up`, but not for the handler that is held: the quota has capacity.
            futures_executor::block_on(handler.call(TransportEvent::Message(message)))
                .expect("there is capacity");
        }
        gossip.held.store(false, Ordering::Relaxed);
        calls += adverts;
        if adverts > 0 {
            gossip.reach(calls);
        }
        calls
    };
    // What comes with the first peer is not the peers'.
    gossip.settle(connect(peers));
    let before = live_bytes();
    let calls = (0..peers).map(&mut connect).last().expect("there are peers");
    gossip.settle(calls);
    let bytes = (live_bytes() - before) / peers as f64;
    assert!(handler.shutdown(DEADLINE).is_clean(), "void: not all was handled");
    println!("{peers:>6} peers, each {}: {bytes:.1} bytes a peer", past.name());
    json!({
        "peers": peers,
        "what": past.name(),
        "adverts": adverts,
        "advert_quota": quota,
        "bytes_per_peer": bytes,
        "in_target": (past == Past::Silent).then_some(bytes <= TARGET_BYTES),
    })
}

fn main() -> io::Result<()> {
    let mut rows: Vec<Value> =
        [100, 1_000, 10_000].map(|peers| measure(peers, Past::Silent)).into();
    let word = if rows.iter().all(|row| row["in_target"] == true) { "met" } else { "missed" };
    println!("at most {TARGET_BYTES} bytes for a peer that is silent: {word}");
    rows.extend([100, 1_000].map(|peers| measure(peers, Past::OneMessage)));
    rows.push(measure(100, Past::Burst));
    output::publish("peer_memory", rows)
}
