use std::time::Duration;

use crossbeam::channel::{Receiver, bounded};
use futures_executor::block_on;

use super::*;
use crate::{
    ArtifactDestination, ArtifactFilter, ArtifactId, FlowConfig, GossipAdvert, GossipChunk,
    GossipChunkRequest, IntegrityHash, Outcome, OverloadPolicy, clock::instant_after,
};

/// Beyond this a test has failed; nothing passes by taking long.
const LIMIT: Duration = Duration::from_secs(60);

/// A replica whose adverts wait for leave.
struct Gated(Receiver<()>);

impl Gossip for Gated {
    type GossipAdvert = GossipAdvert;
    type GossipChunkRequest = GossipChunkRequest;
    type GossipChunk = GossipChunk;
    type GossipRetransmissionRequest = ArtifactFilter;

    fn on_gossip_advert(&self, _: GossipAdvert, _: NodeId) {
        self.0.recv_timeout(LIMIT).expect("the test gives leave");
    }
    fn on_chunk_request(&self, _: GossipChunkRequest, _: NodeId) {}
    fn on_gossip_chunk(&self, _: GossipChunk, _: NodeId) {}
    fn on_gossip_retransmission_request(&self, _: ArtifactFilter, _: NodeId) {}
    fn on_peer_up(&self, _: NodeId) {}
    fn on_peer_down(&self, _: NodeId) {}
    fn on_gossip_timer(&self) {}
    fn broadcast_advert(&self, _: GossipAdvert, _: ArtifactDestination) {}
}

fn advert() -> GossipAdvert {
    GossipAdvert {
        artifact_id: ArtifactId::new([1; 32]),
        size: 1,
        integrity_hash: IntegrityHash::new([2; 32]),
        attributes: Default::default(),
    }
}

#[test]
fn of_what_was_dropped_before_a_shutdown_nobody_is_told_again_and_again() {
    let flow = FlowConfig::new(1).with_threads(1).with_overload_policy(OverloadPolicy::DropNewest);
    let config = ChannelConfig::default()
        .with_flow(FlowType::Advert, flow)
        .with_drop_notice_interval(Duration::ZERO);
    let registry = MetricsRegistry::new();
    let (leave, leaves) = bounded(1);
    let flows = Flows::new(config, &registry, Arc::new(Gated(leaves))).unwrap();
    let peer = NodeId::new([7; 32]);
    for _ in 0..2 {
        block_on(flows.advert.execute(peer, advert())).unwrap();
    }
    assert_eq!(flows.advert.snapshot().count(Outcome::DroppedNewest), 1);
    leave.send(()).unwrap();
    assert!(flows.shut_down(instant_after(LIMIT)).is_clean());
    let mut known = Default::default();
    let mut notices = || {
        flows.look(&mut known);
        registry.snapshot().notices
    };
    assert_eq!([(); 5].map(|()| notices()), [1; 5]);
}
