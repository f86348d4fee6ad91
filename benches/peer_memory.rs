//! What a connected peer costs in memory.
//!
//! A counting allocator says how many bytes are live, on all threads, before and after; the difference
//! is divided by the number of peers. A peer that is connected has had its `PeerUp` handled and has
//! sent nothing; one that has sent an advert has had it handled as well, and then has a lane of the
//! Advert flow's default quota. What the allocator itself adds for each block is not counted, nor
//! what the replica behind the callbacks keeps; what the engine frees later counts as live.
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
        atomic::{AtomicUsize, Ordering},
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

/// Counts its callbacks.
#[derive(Default)]
struct Counting {
    calls: AtomicUsize,
}

impl Counting {
    fn called(&self) {
        // Relaxed: a count and nothing else.
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    fn wait_for(&self, calls: usize) {
        let until = Instant::now() + DEADLINE;
        while self.calls.load(Ordering::Relaxed) < calls {
            assert!(Instant::now() < until, "void: callbacks are missing");
            thread::sleep(Duration::from_millis(1));
        }
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

/// Bytes for each of so many peers, once they are connected and, if so wanted, have sent an advert.
fn measure(peers: usize, with_advert: bool) -> Value {
    let config = FlowType::iter().fold(ChannelConfig::default(), |config, flow| {
        let of_flow = config.flow(flow).with_max_peers(peers + 1);
        config.with_flow(flow, of_flow)
    });
    let gossip = Arc::new(Counting::default());
    let registry = MetricsRegistry::new();
    let own_id = NodeId::new([0; 32]);
    let gossip_of_handler = Arc::clone(&gossip);
    let mut handler =
        AsyncTransportEventHandlerImpl::new(own_id, &registry, config.clone(), gossip_of_handler)
            .expect("the configuration is in range");
    let advert = wire::encode(&GossipMessage::Advert(GossipAdvert {
        artifact_id: ArtifactId::new([1; 32]),
        size: 1,
        integrity_hash: IntegrityHash::new([2; 32]),
        attributes: Bytes::new(),
    }));
    let each = if with_advert { 2 } else { 1 };
    let mut connect = |number| {
        let peer_id = peer(number);
        let message = TransportMessage { peer_id, payload: advert.clone() };
        let events = [TransportEvent::PeerUp(peer_id), TransportEvent::Message(message)];
        for event in events.into_iter().take(each) {
            futures_executor::block_on(handler.call(event)).expect("there is room");
        }
    };
    // What comes with the first peer is not the peers'.
    connect(peers);
    gossip.wait_for(each);
    let before = live_bytes();
    (0..peers).for_each(&mut connect);
    gossip.wait_for((peers + 1) * each);
    let bytes = (live_bytes() - before) / peers as f64;
    assert!(handler.shutdown(DEADLINE).is_clean(), "void: not all was handled");
    let what = if with_advert { "has sent an advert" } else { "has sent nothing" };
    println!("{peers:>6} peers, each {what}: {bytes:.1} bytes a peer");
    json!({
        "peers": peers,
        "what": what,
        "advert_quota": config.flow(FlowType::Advert).peer_quota(),
        "bytes_per_peer": bytes,
        "in_target": (!with_advert).then_some(bytes <= TARGET_BYTES),
    })
}

fn main() -> io::Result<()> {
    let mut rows: Vec<Value> = [100, 1_000, 10_000].map(|peers| measure(peers, false)).into();
    let word = if rows.iter().all(|row| row["in_target"] == true) { "met" } else { "missed" };
    println!("at most {TARGET_BYTES} bytes for a peer that has sent nothing: {word}");
    rows.push(measure(100, true));
    output::publish("peer_memory", rows)
}
