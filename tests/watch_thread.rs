//! The watch's thread ends with what it watches. Threads are counted by their names, so this is a process of its own.
#![cfg(all(target_os = "linux", not(any(loom, shuttle))))]

use std::{
    fs,
    sync::{Arc, OnceLock},
    thread,
    time::{Duration, Instant},
};

use futures_executor::block_on;
use gossip_engine::{
    ArtifactDestination, ArtifactFilter, AsyncTransportEventHandlerImpl, ChannelConfig, FlowConfig,
    FlowType, FlowWorker, Gossip, GossipAdvert, GossipChunk, GossipChunkRequest, MetricsRegistry,
    NodeId, TransportEvent,
};
use tower_service::Service;

/// Beyond this a test has failed; nothing passes by taking long.
const LIMIT: Duration = Duration::from_secs(60);

/// The system shows 15 bytes of a name.
const NAME: &str = "P2P_Watch_Threa";

fn watches() -> usize {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    // A thread may end while it is looked at.
    let names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.trim_end() == NAME).count()
}

fn wait_for(count: usize, when: &str) {
    let limit = Instant::now() + LIMIT;
    while watches() != count {
        assert!(Instant::now() < limit, "{} watches {when}, not {count}", watches());
        thread::yield_now();
    }
}

/// Owns its own handler.
#[derive(Default)]
struct Owner(OnceLock<AsyncTransportEventHandlerImpl<Owner>>);

impl Gossip for Owner {
    type GossipAdvert = GossipAdvert;
    type GossipChunkRequest = GossipChunkRequest;
    type GossipChunk = GossipChunk;
    type GossipRetransmissionRequest = ArtifactFilter;

    fn on_gossip_advert(&self, _: GossipAdvert, _: NodeId) {}
    fn on_chunk_request(&self, _: GossipChunkRequest, _: NodeId) {}
    fn on_gossip_chunk(&self, _: GossipChunk, _: NodeId) {}
    fn on_gossip_retransmission_request(&self, _: ArtifactFilter, _: NodeId) {}
    fn on_peer_up(&self, _: NodeId) {}
    fn on_peer_down(&self, _: NodeId) {}
    fn on_gossip_timer(&self) {}
    fn broadcast_advert(&self, _: GossipAdvert, _: ArtifactDestination) {}
}

#[test]
fn a_watch_ends_with_a_shutdown_or_with_what_it_watches() {
    let (own, registry) = (NodeId::new([0; 32]), MetricsRegistry::new());
    let owner = Arc::new(Owner::default());
    let replica = Arc::downgrade(&owner);
    let config = ChannelConfig::default();
    let handler = AsyncTransportEventHandlerImpl::new(own, &registry, config, owner).unwrap();
    assert!(replica.upgrade().unwrap().0.set(handler.clone()).is_ok());
    wait_for(1, "of a handler");
    block_on(handler.clone().call(TransportEvent::PeerUp(own))).unwrap();
    assert!(handler.shutdown(LIMIT).is_clean());
    wait_for(0, "of a handler that is shut down and still there");
    assert_eq!(replica.strong_count(), 0, "the replica is kept");
    drop(handler);

    let flow = |handler: fn(&NodeId, ())| {
        FlowWorker::new(FlowType::Chunk, &FlowConfig::new(1), &registry, handler).unwrap()
    };
    let shut_down = flow(|_, ()| {});
    wait_for(1, "of a flow");
    assert!(shut_down.shutdown(LIMIT).is_clean());
    wait_for(0, "of a flow that is shut down");
    drop(flow(|_, ()| {}));
    wait_for(0, "of a flow that is dropped");
}
