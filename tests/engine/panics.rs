//! Callbacks that panic, and peers on whose messages they do.

use std::{
    sync::{
        Arc, Mutex,
        mpsc::{Sender, channel},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_executor::block_on;
use gossip_engine::{
    ArtifactDestination, ArtifactFilter, AsyncTransportEventHandlerImpl, ChannelConfig, EventError,
    FlowConfig, FlowType, Gossip, GossipAdvert, GossipChunk, GossipChunkRequest, GossipMessage,
    MetricsRegistry, NodeId, PanicPolicy, Quarantine, RefusalReason, TransportEvent,
    TransportMessage,
};
use tower_service::Service;

use crate::common::{LIMIT, advert, chunk, event, peer, wait_until};

#[derive(Debug, Eq, PartialEq)]
enum Hook {
    Panic(FlowType, NodeId),
    Failed(FlowType, NodeId),
}

/// Panics on adverts of odd sizes and on the coming of peers, and says which hooks are called.
struct Panics(Mutex<Sender<Hook>>);

impl Gossip for Panics {
    type GossipAdvert = GossipAdvert;
    type GossipChunkRequest = GossipChunkRequest;
    type GossipChunk = GossipChunk;
    type GossipRetransmissionRequest = ArtifactFilter;

    fn on_gossip_advert(&self, advert: GossipAdvert, _: NodeId) {
        assert!(advert.size.is_multiple_of(2), "on purpose");
    }

    fn on_chunk_request(&self, _: GossipChunkRequest, _: NodeId) {}
    fn on_gossip_chunk(&self, _: GossipChunk, _: NodeId) {}
    fn on_gossip_retransmission_request(&self, _: ArtifactFilter, _: NodeId) {}

    fn on_peer_up(&self, _: NodeId) {
        panic!("on purpose");
    }

    fn on_peer_down(&self, _: NodeId) {}

    fn on_panic(&self, flow: FlowType, peer: NodeId) {
        self.0.lock().unwrap().send(Hook::Panic(flow, peer)).unwrap();
    }

    fn on_flow_failed(&self, flow: FlowType, peer: NodeId) {
        self.0.lock().unwrap().send(Hook::Failed(flow, peer)).unwrap();
    }

    fn on_gossip_timer(&self) {}
    fn broadcast_advert(&self, _: GossipAdvert, _: ArtifactDestination) {}
}

fn advert_event(from: u8, number: u64) -> TransportEvent {
    event(from, GossipMessage::Advert(advert(number)))
}

fn garbage(from: u8) -> TransportEvent {
    let payload = Bytes::from_static(b"\xff");
    TransportEvent::Message(TransportMessage { peer_id: peer(from), payload })
}

#[test]
fn a_peer_whose_messages_panic_is_refused_before_they_are_decoded_until_that_is_lifted() {
    let (hook, hooks) = channel();
    let registry = MetricsRegistry::new();
    let policy = Quarantine::after(2, Duration::from_secs(3_600));
    let config = ChannelConfig::default().with_quarantine(Some(policy));
    let gossip = Arc::new(Panics(hook.into()));
    let mut handler =
        AsyncTransportEventHandlerImpl::new(peer(0), &registry, config, gossip).unwrap();
    let panicked = || registry.snapshot().flow(FlowType::Advert).panicked();
    for count in 1..=2 {
        block_on(handler.call(advert_event(1, 1))).unwrap();
        assert_eq!(hooks.recv_timeout(LIMIT), Ok(Hook::Panic(FlowType::Advert, peer(1))));
        assert_eq!(panicked(), count);
    }
    let quarantined = Err(EventError::Quarantined { peer: peer(1) });
    assert_eq!(block_on(handler.call(advert_event(1, 2))), quarantined);
    assert_eq!(block_on(handler.clone().call(garbage(1))), quarantined, "it was decoded");
    assert_eq!(registry.snapshot().quarantined_peers, 1);
    // Others are served, and so are the peer's coming and going.
    block_on(handler.call(advert_event(2, 2))).unwrap();
    block_on(handler.call(TransportEvent::PeerDown(peer(1)))).unwrap();
    assert_eq!(block_on(handler.call(advert_event(1, 2))), quarantined, "it came back");
    assert!(handler.lift_quarantine(peer(1)) && !handler.lift_quarantine(peer(1)));
    assert_eq!(registry.snapshot().quarantined_peers, 0);
    block_on(handler.call(advert_event(1, 2))).unwrap();
    assert!(handler.shutdown(LIMIT).is_clean());
    let counts = registry.snapshot();
    assert_eq!((counts.received, counts.quarantined, counts.malformed), (8, 3, 0));
    let adverts = counts.flow(FlowType::Advert);
    assert_eq!((adverts.panicked(), adverts.handled(), adverts.refused()), (2, 2, 0));
    counts.verify().unwrap();
}

#[test]
fn without_a_quarantine_each_panic_is_reported_and_nobody_is_refused() {
    let (hook, hooks) = channel();
    let registry = MetricsRegistry::new();
    let config = ChannelConfig::default();
    let gossip = Arc::new(Panics(hook.into()));
    let mut handler =
        AsyncTransportEventHandlerImpl::new(peer(0), &registry, config, gossip).unwrap();
    for _ in 0..20 {
        block_on(handler.call(advert_event(1, 1))).unwrap();
    }
    block_on(handler.call(TransportEvent::PeerUp(peer(1)))).unwrap();
    assert!(handler.shutdown(LIMIT).is_clean());
    let of_adverts =
        hooks.try_iter().filter(|hook| *hook == Hook::Panic(FlowType::Advert, peer(1)));
    assert_eq!(of_adverts.count(), 20);
    let counts = registry.snapshot();
    assert_eq!(counts.flow(FlowType::Advert).panicked(), 20);
    assert_eq!(counts.flow(FlowType::Transport).panicked(), 1);
    counts.verify().unwrap();
}

#[test]
fn a_flow_that_fails_by_a_panic_takes_nothing_more_and_the_others_go_on() {
    let (hook, hooks) = channel();
    let registry = MetricsRegistry::new();
    let flow = FlowConfig::new(10).with_panic_policy(PanicPolicy::FailFast);
    let config = ChannelConfig::default().with_flow(FlowType::Advert, flow);
    let gossip = Arc::new(Panics(hook.into()));
    let mut handler =
        AsyncTransportEventHandlerImpl::new(peer(0), &registry, config, gossip).unwrap();
    block_on(handler.call(advert_event(1, 1))).unwrap();
    assert_eq!(hooks.recv_timeout(LIMIT), Ok(Hook::Panic(FlowType::Advert, peer(1))));
    assert_eq!(hooks.recv_timeout(LIMIT), Ok(Hook::Failed(FlowType::Advert, peer(1))));
    let (flow, reason) = (FlowType::Advert, RefusalReason::Closed);
    let refused = Err(EventError::Refused { peer: peer(2), flow, reason });
    assert_eq!(block_on(handler.call(advert_event(2, 2))), refused);
    block_on(handler.call(event(2, GossipMessage::Chunk(chunk(1))))).unwrap();
    wait_until("the chunk", || registry.snapshot().flow(FlowType::Chunk).handled() == 1);
    assert!(handler.shutdown(LIMIT).is_clean());
    assert!(hooks.try_recv().is_err(), "once");
    registry.snapshot().verify().unwrap();
}
