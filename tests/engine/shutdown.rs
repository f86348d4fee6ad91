//! Shutdowns from inside callbacks, and of replicas that own their handlers.

use std::{
    sync::{Arc, Mutex, OnceLock, Weak, mpsc::channel},
    time::Duration,
};

use futures_executor::block_on;
use gossip_engine::{
    AdvertBroadcaster, ArtifactDestination, AsyncTransportEventHandlerImpl, ChannelConfig,
    FlowType, GossipArc, GossipMessage, MetricsRegistry, ShutdownReport, TransportEvent,
};
use tower_service::Service;

use crate::common::{LIMIT, Recorder, advert, event, peer};

type Handler = AsyncTransportEventHandlerImpl<Recorder>;

/// A replica that owns its handler, and shuts it down from its first callback if it `may`.
fn owner(
    may: bool,
) -> (Handler, Weak<Recorder>, MetricsRegistry, std::sync::mpsc::Receiver<ShutdownReport>) {
    let (told, _hear) = channel();
    let (report, reports) = channel();
    let report = Mutex::new(report);
    let place: Arc<OnceLock<Handler>> = Arc::default();
    let owned = Arc::clone(&place);
    let gossip = Arc::new(Recorder::with(told, move |_| {
        let handler = owned.get().expect("the test has put it there");
        if may {
            // As good as for ever: a thread that waits for anything waits for itself.
            report.lock().unwrap().send(handler.shutdown(Duration::MAX)).unwrap();
        }
    }));
    let weak = Arc::downgrade(&gossip);
    let registry = MetricsRegistry::new();
    let handler = Handler::new(peer(0), &registry, ChannelConfig::default(), gossip).unwrap();
    assert!(place.set(handler.clone()).is_ok());
    (handler, weak, registry, reports)
}

#[test]
fn a_replica_that_owns_its_handler_is_freed_by_a_clean_shutdown() {
    let (mut handler, replica, registry, _) = owner(false);
    for from in 1..4 {
        block_on(handler.call(TransportEvent::PeerUp(peer(from)))).unwrap();
        block_on(handler.call(event(from, GossipMessage::Advert(advert(1))))).unwrap();
    }
    assert!(handler.shutdown(LIMIT).is_clean());
    assert_eq!(replica.strong_count(), 0, "the replica is kept");
    // The handler answers for itself all the same.
    assert!(block_on(handler.call(TransportEvent::PeerUp(peer(1)))).is_err());
    let (told, _hear) = channel();
    let late = Arc::new(Recorder::new(told));
    handler.replace_gossip(&late);
    assert_eq!(Arc::strong_count(&late), 1, "a replica that comes late is kept");
    handler.reconfigure(ChannelConfig::default()).unwrap();
    assert!(handler.shutdown(LIMIT).is_clean());
    registry.snapshot().verify().unwrap();
}

#[test]
fn a_shutdown_from_inside_a_callback_closes_and_returns_at_once() {
    let (mut handler, replica, registry, reports) = owner(true);
    block_on(handler.call(event(1, GossipMessage::Advert(advert(1))))).unwrap();
    let report = reports.recv_timeout(LIMIT).expect("it does not wait");
    assert!(!report.is_clean());
    assert_eq!(report.flow(FlowType::Advert).unwrap().dropped, 0);
    assert!(block_on(handler.call(event(1, GossipMessage::Advert(advert(2))))).is_err());
    assert!(handler.shutdown(LIMIT).is_clean());
    assert_eq!(replica.strong_count(), 0, "the replica is kept");
    assert_eq!(registry.snapshot().flow(FlowType::Advert).handled(), 1);
    registry.snapshot().verify().unwrap();
}

#[test]
fn a_broadcaster_that_is_shut_down_by_its_own_callback_does_not_wait_for_it() {
    let (told, _hear) = channel();
    let (report, reports) = channel();
    let report = Mutex::new(report);
    let place: Arc<OnceLock<AdvertBroadcaster>> = Arc::default();
    let owned = Arc::clone(&place);
    let gossip: GossipArc = Arc::new(Recorder::with(told, move |_| {
        let broadcaster = owned.get().expect("the test has put it there");
        report.lock().unwrap().send(broadcaster.shutdown(Duration::MAX)).unwrap();
    }));
    let replica = Arc::downgrade(&gossip);
    let registry = MetricsRegistry::new();
    assert!(place.set(AdvertBroadcaster::new(&registry).unwrap()).is_ok());
    let broadcaster = place.get().unwrap();
    broadcaster.start(gossip);
    broadcaster.send(advert(1), ArtifactDestination::AllReplicas).unwrap();
    let report = reports.recv_timeout(LIMIT).expect("it does not wait");
    assert_eq!((report.dropped, report.running, report.joined), (0, 1, false));
    assert!(broadcaster.shutdown(LIMIT).is_clean());
    assert_eq!(replica.strong_count(), 0, "the replica is kept");
    assert_eq!(registry.snapshot().broadcast.handled(), 1);
}
