//! A subscriber of the log that panics unwinds out of no call. It is the process's, so this is a process of its own.
#![cfg(not(any(loom, shuttle)))]
#![expect(
    clippy::disallowed_types,
    reason = "the engine's stand-ins for atomics are not part of its public API"
)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures_executor::block_on;
use gossip_engine::{
    AdvertBroadcaster, ArtifactDestination, ArtifactFilter, ArtifactId,
    AsyncTransportEventHandlerImpl, ChannelConfig, FlowConfig, FlowType, Gossip, GossipAdvert,
    GossipArc, GossipChunk, GossipChunkRequest, GossipMessage, IntegrityHash, MetricsRegistry,
    NodeId, P2PThreadJoiner, PanicPolicy, Quarantine, TransportEvent, TransportMessage, wire,
};
use tower_service::Service;
use tracing::{
    Event, Metadata, Subscriber,
    span::{Attributes, Id, Record},
};

/// Beyond this a test has failed; nothing passes by taking long.
const LIMIT: Duration = Duration::from_secs(60);

static EVENTS: AtomicU64 = AtomicU64::new(0);

/// Panics on each event, as one does that writes to a standard error that is closed.
struct Panics;

impl Subscriber for Panics {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {
        EVENTS.fetch_add(1, Ordering::SeqCst);
        panic!("the subscriber, on purpose");
    }

    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// A replica of which some callbacks panic, so that they are logged.
struct Replica;

impl Gossip for Replica {
    type GossipAdvert = GossipAdvert;
    type GossipChunkRequest = GossipChunkRequest;
    type GossipChunk = GossipChunk;
    type GossipRetransmissionRequest = ArtifactFilter;

    fn on_gossip_advert(&self, _: GossipAdvert, _: NodeId) {
        panic!("the callback, on purpose");
    }

    fn on_chunk_request(&self, _: GossipChunkRequest, _: NodeId) {}
    fn on_gossip_chunk(&self, _: GossipChunk, _: NodeId) {}
    fn on_gossip_retransmission_request(&self, _: ArtifactFilter, _: NodeId) {}
    fn on_peer_up(&self, _: NodeId) {}
    fn on_peer_down(&self, _: NodeId) {}

    fn on_gossip_timer(&self) {
        panic!("the timer, on purpose");
    }

    fn broadcast_advert(&self, _: GossipAdvert, _: ArtifactDestination) {
        panic!("the broadcast, on purpose");
    }
}

fn advert() -> GossipAdvert {
    GossipAdvert {
        artifact_id: ArtifactId::new([1; 32]),
        size: 1,
        integrity_hash: IntegrityHash::new([2; 32]),
        attributes: Default::default(),
    }
}

/// Calls what logs, and says how many events that were at least.
fn logs<R>(at_least: u64, call: impl FnOnce() -> R) -> R {
    let before = EVENTS.load(Ordering::SeqCst);
    let result = call();
    let limit = Instant::now() + LIMIT;
    while EVENTS.load(Ordering::SeqCst) < before + at_least {
        assert!(Instant::now() < limit, "nothing was logged");
        std::thread::yield_now();
    }
    result
}

#[test]
fn a_subscriber_that_panics_unwinds_out_of_nothing() {
    std::panic::set_hook(Box::new(|_| {}));
    tracing::subscriber::set_global_default(Panics).unwrap();
    let (own, peer) = (NodeId::new([0; 32]), NodeId::new([1; 32]));
    let registry = MetricsRegistry::new();
    let fails = FlowConfig::new(10).with_panic_policy(PanicPolicy::FailFast);
    let config = ChannelConfig::default()
        .with_flow(FlowType::Advert, fails)
        .with_stuck_handler_timeout(Duration::from_secs(1_000))
        .with_quarantine(Some(Quarantine::after(1, LIMIT)));
    let mut handler = logs(1, || {
        AsyncTransportEventHandlerImpl::new(own, &registry, config.clone(), Arc::new(Replica))
            .unwrap()
    });
    logs(1, || handler.reconfigure(config).unwrap());
    logs(1, || handler.replace_gossip(&Arc::new(Replica)));
    block_on(handler.call(TransportEvent::PeerUp(peer))).unwrap();
    // The panic, the quarantine, and that the flow has failed.
    let payload = wire::encode(&GossipMessage::Advert(advert()));
    let message = TransportMessage { peer_id: peer, payload };
    logs(3, || block_on(handler.call(TransportEvent::Message(message))).unwrap());
    assert!(logs(1, || handler.shutdown(LIMIT)).is_clean());
    let counts = registry.snapshot();
    assert_eq!((counts.flow(FlowType::Advert).panicked(), counts.received), (1, 2));
    counts.verify().unwrap();

    let replica: GossipArc = Arc::new(Replica);
    let broadcaster = AdvertBroadcaster::new(&registry).unwrap();
    logs(1, || broadcaster.start(Arc::clone(&replica)));
    logs(1, || broadcaster.send(advert(), ArtifactDestination::AllReplicas).unwrap());
    assert!(broadcaster.shutdown(LIMIT).is_clean());
    let timer = logs(1, || {
        P2PThreadJoiner::with_period(&registry, replica, Duration::from_millis(1)).unwrap()
    });
    drop(timer);
    let counts = registry.snapshot();
    assert_eq!(counts.broadcast.panicked(), 1);
    assert!(counts.timer_panics >= 1);
}
