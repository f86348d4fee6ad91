//! In its steady state a flow allocates nothing for a message: not where it is submitted, not where it is
//! handled, on no thread of the process.
//!
//! A counting allocator stands for the whole process, so both cases are one test: two would count each
//! other's allocations. A machine may hold a thread up for so long that a worker goes to sleep, and
//! to wake it allocates; that is no fault. So each case is given many windows, and passes with the first
//! one in which nothing was allocated; something that allocates for each message, or for one in a
//! thousand, leaves none.

#![expect(
    clippy::disallowed_types,
    reason = "the engine's stand-ins for atomics are not part of its public API"
)]
// The counting allocator is a dev-dependency that the builds for loom and shuttle leave out.
#![cfg(not(any(loom, shuttle)))]

use std::{
    alloc::System,
    hint,
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
    FlowConfig, FlowType, Gossip, GossipAdvert, GossipChunk, GossipChunkRequest, GossipMessage,
    IntegrityHash, MetricsRegistry, NodeId, TransportEvent, TransportMessage, wire,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tower_service::Service;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Messages of a window under load, and of one in which they trickle.
const LOAD: usize = 5_000;
const TRICKLE: usize = 1_000;
const TRICKLE_GAP: Duration = Duration::from_micros(20);
/// How many windows a case is given.
const WINDOWS: usize = 200;
/// So few that the producer finds the flow full, but never waits longer than for one handler.
const PERMITS: usize = 64;
const PEERS: usize = 4;
const DEADLINE: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Counting {
    handled: AtomicUsize,
}

impl Gossip for Counting {
    type GossipAdvert = GossipAdvert;
    type GossipChunkRequest = GossipChunkRequest;
    type GossipChunk = GossipChunk;
    type GossipRetransmissionRequest = ArtifactFilter;

    fn on_gossip_advert(&self, advert: GossipAdvert, _: NodeId) {
        drop(hint::black_box(advert));
        // Release: pairs with the load in `wait_for`.
        self.handled.fetch_add(1, Ordering::Release);
    }
    fn on_chunk_request(&self, _: GossipChunkRequest, _: NodeId) {}
    fn on_gossip_chunk(&self, _: GossipChunk, _: NodeId) {}
    fn on_gossip_retransmission_request(&self, _: ArtifactFilter, _: NodeId) {}
    fn on_peer_up(&self, _: NodeId) {}
    fn on_peer_down(&self, _: NodeId) {}
    fn on_gossip_timer(&self) {}
    fn broadcast_advert(&self, _: GossipAdvert, _: ArtifactDestination) {}
}

/// A handler, what it calls, and the messages submitted to it.
struct Bench {
    gossip: Arc<Counting>,
    handler: AsyncTransportEventHandlerImpl<Counting>,
    /// Shared bytes, as a transport has them: a clone of them allocates nothing.
    payload: Bytes,
    submitted: usize,
}

impl Bench {
    fn new() -> Self {
        let gossip = Arc::new(Counting::default());
        let config = ChannelConfig::default().with_flow(
            FlowType::Advert,
            FlowConfig::new(PERMITS * PEERS).with_peer_quota(PERMITS).with_threads(1),
        );
        let own_id = NodeId::new([0; 32]);
        let registry = MetricsRegistry::new();
        let handler =
            AsyncTransportEventHandlerImpl::new(own_id, &registry, config, Arc::clone(&gossip))
                .expect("the configuration is in range");
        let payload = wire::encode(&GossipMessage::Advert(GossipAdvert {
            artifact_id: ArtifactId::new([1; 32]),
            size: 1,
            integrity_hash: IntegrityHash::new([2; 32]),
            attributes: Bytes::from_static(&[3; 64]),
        }));
        Self { gossip, handler, payload, submitted: 0 }
    }

    fn submit(&mut self) {
        let peer_id = NodeId::new([(self.submitted % PEERS) as u8; 32]);
        let message = TransportMessage { peer_id, payload: self.payload.clone() };
        let called = self.handler.call(TransportEvent::Message(message));
        futures_executor::block_on(called).expect("the flow is open and nobody else waits");
        self.submitted += 1;
    }

    fn wait_for(&self, handled: usize) {
        let until = Instant::now() + DEADLINE;
        // Acquire: pairs with the count in `on_gossip_advert`.
        while self.gossip.handled.load(Ordering::Acquire) < handled {
            assert!(Instant::now() < until, "messages are missing");
            thread::yield_now();
        }
    }

    /// As many as the flow takes, one after the other, until all are handled.
    fn load(&mut self) {
        for _ in 0..LOAD {
            // One permit short of the quota, so that nobody has to wait: to wait may allocate.
            self.wait_for((self.submitted + 1).saturating_sub(PERMITS - 1));
            self.submit();
        }
        self.wait_for(self.submitted);
    }

    fn trickle(&mut self) {
        let started = Instant::now();
        for number in 0..TRICKLE {
            while started.elapsed() < TRICKLE_GAP * number as u32 {
                hint::spin_loop();
            }
            self.submit();
        }
        self.wait_for(self.submitted);
    }

    /// The fewest allocations of a window; stops looking at the first one without any.
    fn fewest_allocations(&mut self, window: fn(&mut Self)) -> usize {
        // Lanes, histograms, thread-locals: what is made once.
        window(self);
        let mut fewest = usize::MAX;
        for _ in 0..WINDOWS {
            let before = ALLOCATOR.stats();
            window(self);
            let after = ALLOCATOR.stats();
            let made = (after.allocations - before.allocations)
                + (after.reallocations - before.reallocations);
            fewest = fewest.min(made);
            if fewest == 0 {
                break;
            }
        }
        fewest
    }
}

#[test]
fn a_message_allocates_nothing() {
    let mut bench = Bench::new();
    let of_load = bench.fewest_allocations(Bench::load);
    let of_trickle = bench.fewest_allocations(Bench::trickle);
    assert!(bench.handler.shutdown(DEADLINE).is_clean());
    assert_eq!(bench.gossip.handled.load(Ordering::Relaxed), bench.submitted);
    assert_eq!(of_load, 0, "allocations for {LOAD} messages under load, in the best window");
    assert_eq!(
        of_trickle, 0,
        "allocations for {TRICKLE} messages, one in {TRICKLE_GAP:?}, in the best window"
    );
}
