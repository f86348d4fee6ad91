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

/// The arrival of this peer waits for leave as well.
const SLOW: NodeId = NodeId::new([9; 32]);

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
    fn on_peer_up(&self, peer: NodeId) {
        if peer == SLOW {
            self.0.recv_timeout(LIMIT).expect("the test gives leave");
        }
    }
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

#[test]
fn departures_that_are_refused_are_repeated_a_few_at_a_time_and_each_in_its_turn() {
    const KEPT: u8 = 100;
    let refuses = FlowConfig::new(1).with_threads(1).with_overload_policy(OverloadPolicy::Refuse);
    let config = ChannelConfig::default().with_flow(FlowType::Transport, refuses);
    let registry = MetricsRegistry::new();
    let (leave, leaves) = bounded(1);
    let flows = Flows::new(config, &registry, Arc::new(Gated(leaves))).unwrap();
    let _arrival = flows.peer_up(SLOW);
    let completions: Vec<_> =
        (10..10 + KEPT).map(|from| flows.depart(NodeId::new([from; 32]))).collect();
    let notices = || registry.snapshot().notices;
    flows.look_at_departures();
    assert_eq!(notices(), 64, "a limit at a time");
    flows.look_at_departures();
    assert_eq!(notices(), 128);
    leave.send(()).unwrap();
    for completion in completions {
        let mut returned = false;
        let limit = std::time::Instant::now() + LIMIT;
        while !returned {
            flows.look_at_departures();
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            returned = completion.poll(&mut context) == std::task::Poll::Ready(true);
            assert!(std::time::Instant::now() < limit, "a departure that never comes");
        }
    }
    assert!(flows.shut_down(instant_after(LIMIT)).is_clean());
}
