//! The face to the transport, as a transport uses it.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, mpsc::channel},
    thread,
};

use crate::common::{LIMIT, Recorder, Told, advert, chunk, event, peer, request, wait_until};
use bytes::Bytes;
use futures_executor::block_on;
use futures_util::{FutureExt, future::join_all};
use gossip_engine::{
    ArtifactDestination, ArtifactFilter, AsyncTransportEventHandlerImpl, ChannelConfig, Codec,
    DynGossip, EventError, FlowConfig, FlowType, Gossip, GossipArc, GossipMessage, MetricsRegistry,
    MetricsSnapshot, NodeId, Outcome, RefusalReason, TransportEvent, TransportMessage,
    wire::DecodeError,
};
use strum::IntoEnumIterator;
use tower_service::Service;

type Handler<G = DynGossip> = AsyncTransportEventHandlerImpl<G>;

fn handler<G: Gossip + ?Sized>(
    registry: &MetricsRegistry,
    config: ChannelConfig,
    gossip: Arc<G>,
) -> Handler<G>
where
    gossip_engine::wire::WireCodec: Codec<G>,
{
    Handler::new(peer(0), registry, config, gossip).unwrap()
}

/// Every event has come to one end; to be called at rest.
fn assert_all_accounted_for(snapshot: &MetricsSnapshot) {
    snapshot.verify().unwrap();
    for flow in FlowType::iter() {
        let counts = snapshot.flow(flow);
        assert_eq!((counts.in_flight, counts.waiting), (0, 0), "{flow}");
        assert_eq!(counts.service.count(), counts.handled() + counts.panicked(), "{flow}");
        assert_eq!(counts.wait.count(), counts.service.count(), "{flow}");
    }
}

/// One event of each kind, and what the replica is told of it.
fn one_of_each() -> Vec<(TransportEvent, Told)> {
    let filter = ArtifactFilter { height: 9 };
    vec![
        (TransportEvent::PeerUp(peer(1)), Told::Up(peer(1))),
        (event(1, GossipMessage::Advert(advert(5))), Told::Advert(advert(5), peer(1))),
        (event(2, GossipMessage::ChunkRequest(request(6))), Told::Request(request(6), peer(2))),
        (event(3, GossipMessage::Chunk(chunk(7))), Told::Chunk(chunk(7), peer(3))),
        (
            event(4, GossipMessage::RetransmissionRequest(filter)),
            Told::Retransmission(filter, peer(4)),
        ),
        (TransportEvent::PeerDown(peer(1)), Told::Down(peer(1))),
    ]
}

#[test]
fn each_event_reaches_its_callback_with_its_peer() {
    let (told, hear) = channel();
    let gossip: GossipArc = Arc::new(Recorder::new(told));
    let registry = MetricsRegistry::new();
    let mut handler = handler(&registry, ChannelConfig::default(), gossip);
    for (event, expected) in one_of_each() {
        block_on(handler.call(event)).unwrap();
        assert_eq!(hear.recv_timeout(LIMIT), Ok(expected));
    }
    assert!(handler.shutdown(LIMIT).is_clean());
    let snapshot = registry.snapshot();
    assert_all_accounted_for(&snapshot);
    assert_eq!(snapshot.received, 6);
    let handled: Vec<_> = FlowType::iter().map(|flow| snapshot.flow(flow).handled()).collect();
    assert_eq!(handled, [1, 1, 1, 1, 2]);
}

#[test]
fn a_concrete_gossip_needs_no_dynamic_dispatch() {
    let (told, hear) = channel();
    let registry = MetricsRegistry::new();
    let mut handler: Handler<Recorder> =
        handler(&registry, ChannelConfig::default(), Arc::new(Recorder::new(told)));
    block_on(handler.call(TransportEvent::PeerUp(peer(3)))).unwrap();
    assert_eq!(hear.recv_timeout(LIMIT), Ok(Told::Up(peer(3))));
}

#[test]
fn a_message_of_a_later_version_is_neither_malformed_nor_handled() {
    let (told, hear) = channel();
    let registry = MetricsRegistry::new();
    let mut handler = handler(&registry, ChannelConfig::default(), Arc::new(Recorder::new(told)));
    // A body with the number 5, which the schema does not have yet.
    let later = TransportMessage { peer_id: peer(0xab), payload: Bytes::from_static(b"\x2a\0") };
    let error = block_on(handler.call(TransportEvent::Message(later))).unwrap_err();
    assert_eq!(
        error,
        EventError::Unknown {
            peer: peer(0xab),
            source: DecodeError::Unknown { field: "body", number: 5 },
        }
    );
    assert_eq!(
        error.to_string(),
        "unknown message from abababab: unknown body 5, of a later version"
    );
    block_on(handler.call(event(0xab, GossipMessage::Advert(advert(1))))).unwrap();
    assert_eq!(hear.recv_timeout(LIMIT), Ok(Told::Advert(advert(1), peer(0xab))));
    assert!(handler.shutdown(LIMIT).is_clean());
    let snapshot = registry.snapshot();
    assert_eq!((snapshot.received, snapshot.malformed, snapshot.unknown), (2, 0, 1));
    assert_all_accounted_for(&snapshot);
}

#[test]
fn a_malformed_payload_is_an_error_that_names_peer_and_reason() {
    let (told, hear) = channel();
    let registry = MetricsRegistry::new();
    let mut handler = handler(&registry, ChannelConfig::default(), Arc::new(Recorder::new(told)));
    let garbage = TransportMessage { peer_id: peer(0xab), payload: Bytes::from_static(b"\xff") };
    let error = block_on(handler.call(TransportEvent::Message(garbage))).unwrap_err();
    assert_eq!(
        error.to_string(),
        "malformed message from abababab: malformed envelope at byte 0: \
         a field key that is no varint",
    );
    assert!(matches!(
        error,
        EventError::Malformed { peer: culprit, source: DecodeError::Envelope { .. } }
            if culprit == peer(0xab)
    ));
    // Nothing else is harmed by it.
    block_on(handler.call(event(1, GossipMessage::Advert(advert(1))))).unwrap();
    assert_eq!(hear.recv_timeout(LIMIT), Ok(Told::Advert(advert(1), peer(1))));
    assert!(handler.shutdown(LIMIT).is_clean());
    assert_eq!(registry.snapshot().malformed, 1);
    assert_all_accounted_for(&registry.snapshot());
}

#[test]
fn a_hundred_thousand_adverts_with_as_many_permits_run_once_each() {
    const ADVERTS: u64 = 100_000;
    let (told, hear) = channel();
    let registry = MetricsRegistry::new();
    let mut handler = handler(&registry, ChannelConfig::default(), Arc::new(Recorder::new(told)));
    for number in 0..ADVERTS {
        // From a hundred peers, because none of them has a quota for all.
        let from = (number % 100) as u8;
        let admitted = handler.call(event(from, GossipMessage::Advert(advert(number))));
        admitted.now_or_never().expect("there is capacity for all").unwrap();
    }
    assert!(handler.shutdown(LIMIT).is_clean());
    drop(handler);
    let mut numbers = HashSet::new();
    for told in hear {
        let Told::Advert(advert, _) = told else { panic!("an advert is told as {told:?}") };
        assert!(numbers.insert(advert.size), "advert {} ran twice", advert.size);
    }
    assert_eq!(numbers.len() as u64, ADVERTS);
    assert_eq!(registry.snapshot().flow(FlowType::Advert).waiting_for_peer_permit, 0);
    assert_all_accounted_for(&registry.snapshot());
}

#[test]
fn with_one_permit_and_a_slow_handler_the_sender_is_held_back_and_nothing_is_lost() {
    let (told, hear) = channel();
    let (leave, leaves) = channel::<()>();
    let leaves = Mutex::new(leaves);
    let slow = Recorder::with(told, move |_| leaves.lock().unwrap().recv().unwrap_or(()));
    let registry = MetricsRegistry::new();
    let config = ChannelConfig::default()
        .with_flow(FlowType::Advert, FlowConfig::new(1).with_max_waiters(1_000));
    let mut handler = handler(&registry, config, Arc::new(slow));
    let mut calls: Vec<_> = (0..1_000)
        .map(|number| handler.call(event(1, GossipMessage::Advert(advert(number)))))
        .collect();
    // The first has the only permit; all others are held back as long as it runs.
    let held_back =
        calls.iter_mut().filter_map(|call| call.now_or_never()).collect::<Result<Vec<_>, _>>();
    assert_eq!(held_back.unwrap().len(), 1);
    thread::scope(|scope| {
        let rest = scope.spawn(|| block_on(join_all(calls.drain(1..))));
        for number in 0..1_000 {
            // In the order of the calls, because there is only one permit.
            assert_eq!(hear.recv_timeout(LIMIT), Ok(Told::Advert(advert(number), peer(1))));
            assert!(registry.snapshot().flow(FlowType::Advert).in_flight <= 1);
            leave.send(()).unwrap();
        }
        assert!(rest.join().unwrap().iter().all(Result::is_ok));
    });
    assert!(handler.shutdown(LIMIT).is_clean());
    let snapshot = registry.snapshot();
    assert_all_accounted_for(&snapshot);
    assert_eq!(snapshot.flow(FlowType::Advert).handled(), 1_000);
    assert_eq!(snapshot.flow(FlowType::Advert).waiting_for_peer_permit, 999);
}

#[test]
fn a_stuck_flow_holds_up_no_other() {
    let (told, hear) = channel();
    let (leave, leaves) = channel::<()>();
    let leaves = Mutex::new(leaves);
    let stuck = Recorder::with(told, move |told| {
        if matches!(told, Told::Chunk(..)) {
            let _ = leaves.lock().unwrap().recv();
        }
    });
    let registry = MetricsRegistry::new();
    // So that one peer may have all of them.
    let chunk_flow = FlowConfig::new(5).with_peer_quota(5).with_peer_threads(3);
    let config = ChannelConfig::default().with_flow(FlowType::Chunk, chunk_flow);
    let mut handler = handler(&registry, config, Arc::new(stuck));
    let mut chunks: Vec<_> =
        (0..10).map(|n| handler.call(event(1, GossipMessage::Chunk(chunk(n))))).collect();
    let full = chunks.iter_mut().filter_map(|call| call.now_or_never()).count();
    assert_eq!(full, 5);
    // All threads of the flow are stuck.
    for _ in 0..chunk_flow.threads() {
        assert!(matches!(hear.recv_timeout(LIMIT), Ok(Told::Chunk(..))));
    }
    // Of the same peer, and through all other flows.
    for (event, expected) in one_of_each() {
        if !matches!(expected, Told::Chunk(..)) {
            block_on(handler.call(event)).unwrap();
            while hear.recv_timeout(LIMIT).expect("another flow is held up") != expected {}
        }
    }
    // The last of these events was that the peer has gone.
    for refused in block_on(join_all(chunks.drain(5..))) {
        let reason = RefusalReason::Disconnected;
        let (peer, flow) = (peer(1), FlowType::Chunk);
        assert_eq!(refused, Err(EventError::Refused { peer, flow, reason }));
    }
    drop(leave);
    assert!(handler.shutdown(LIMIT).is_clean());
    let snapshot = registry.snapshot();
    assert_all_accounted_for(&snapshot);
    let chunks = snapshot.flow(FlowType::Chunk);
    assert_eq!((chunks.handled(), chunks.count(Outcome::Cancelled)), (3, 2));
}

#[test]
fn a_panicking_callback_is_counted_and_the_flow_goes_on() {
    let (told, hear) = channel();
    let panics = Recorder::with(told, |told| match told {
        Told::Advert(advert, _) if advert.size % 2 == 0 => {
            // A payload whose own drop panics as well.
            struct Bomb;
            impl Drop for Bomb {
                fn drop(&mut self) {
                    panic!("the payload, on purpose");
                }
            }
            std::panic::panic_any(Bomb)
        }
        _ => {}
    });
    let registry = MetricsRegistry::new();
    let config = ChannelConfig::default().with_flow(FlowType::Advert, FlowConfig::new(2));
    let mut handler = handler(&registry, config, Arc::new(panics));
    for number in 0..1_000 {
        block_on(handler.call(event(1, GossipMessage::Advert(advert(number))))).unwrap();
    }
    assert!(handler.shutdown(LIMIT).is_clean());
    drop(handler);
    assert_eq!(hear.into_iter().count(), 1_000);
    let snapshot = registry.snapshot();
    let adverts = snapshot.flow(FlowType::Advert);
    assert_eq!((adverts.handled(), adverts.panicked()), (500, 500));
    assert_all_accounted_for(&snapshot);
}

#[test]
fn after_a_shutdown_events_are_refused_with_their_flow() {
    let (told, _hear) = channel();
    let registry = MetricsRegistry::new();
    let mut handler = handler(&registry, ChannelConfig::default(), Arc::new(Recorder::new(told)));
    let mut clone = handler.clone();
    assert!(handler.shutdown(LIMIT).is_clean());
    for (event, _) in one_of_each() {
        let error = block_on(clone.call(event)).unwrap_err();
        assert!(
            matches!(error, EventError::Refused { reason: RefusalReason::Closed, .. }),
            "{error}"
        );
    }
    let error = block_on(handler.call(TransportEvent::PeerUp(peer(7)))).unwrap_err();
    assert_eq!(error.to_string(), "Transport flow refuses an event of 07070707: shut down");
    assert_all_accounted_for(&registry.snapshot());
}

#[test]
fn dropping_the_last_handle_runs_what_was_admitted_and_lets_go_of_the_gossip() {
    let (told, hear) = channel();
    let gossip = Arc::new(Recorder::new(told));
    let registry = MetricsRegistry::new();
    let mut first = handler(&registry, ChannelConfig::default(), Arc::clone(&gossip));
    let mut second = first.clone();
    block_on(first.call(TransportEvent::PeerUp(peer(1)))).unwrap();
    drop(first);
    block_on(second.call(TransportEvent::PeerUp(peer(2)))).unwrap();
    drop(second);
    let heard: Vec<_> = (0..2).map(|_| hear.recv_timeout(LIMIT).unwrap()).collect();
    assert_eq!(heard, [Told::Up(peer(1)), Told::Up(peer(2))]);
    wait_until("the end of the threads", || Arc::strong_count(&gossip) == 1);
    assert_all_accounted_for(&registry.snapshot());
}

#[test]
fn peers_come_and_go_in_their_order() {
    let (told, hear) = channel();
    let registry = MetricsRegistry::new();
    let mut handler = handler(&registry, ChannelConfig::default(), Arc::new(Recorder::new(told)));
    for _ in 0..500 {
        block_on(handler.call(TransportEvent::PeerUp(peer(1)))).unwrap();
        block_on(handler.call(TransportEvent::PeerDown(peer(1)))).unwrap();
    }
    for _ in 0..500 {
        assert_eq!(hear.recv_timeout(LIMIT), Ok(Told::Up(peer(1))));
        assert_eq!(hear.recv_timeout(LIMIT), Ok(Told::Down(peer(1))));
    }
}

#[test]
fn metrics_are_read_while_messages_flow() {
    let (told, hear) = channel();
    let registry = MetricsRegistry::new();
    let mut handler = handler(&registry, ChannelConfig::default(), Arc::new(Recorder::new(told)));
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut last = 0;
            while last < 20_000 {
                let adverts = registry.snapshot().flow(FlowType::Advert).clone();
                assert!(adverts.handled() >= last && adverts.in_flight <= 100_000);
                last = adverts.handled();
            }
        });
        for number in 0..20_000 {
            block_on(handler.call(event(1, GossipMessage::Advert(advert(number))))).unwrap();
        }
        reader.join().unwrap();
    });
    drop(hear);
    assert!(handler.shutdown(LIMIT).is_clean());
    let adverts = registry.snapshot().flow(FlowType::Advert).clone();
    assert_eq!((adverts.wait.count(), adverts.service.count()), (20_000, 20_000));
    assert!(adverts.wait.quantile(0.5) <= adverts.wait.quantile(0.999));
    assert!(adverts.wait.quantile(0.999) <= adverts.wait.max());
}

/// A replica with message types and an encoding of its own.
mod of_its_own {
    use super::*;

    #[derive(Debug, PartialEq)]
    pub(super) struct Rumour(String);

    #[derive(Debug, thiserror::Error, PartialEq)]
    #[error("not text: {0:?}")]
    pub(super) struct NotText(Vec<u8>);

    #[derive(Default)]
    pub(super) struct Listener(pub(super) Mutex<Vec<(Rumour, NodeId)>>);

    impl Gossip for Listener {
        type GossipAdvert = Rumour;
        type GossipChunkRequest = u64;
        type GossipChunk = Vec<u8>;
        type GossipRetransmissionRequest = ();

        fn on_gossip_advert(&self, advert: Rumour, peer: NodeId) {
            self.0.lock().unwrap().push((advert, peer));
        }

        fn on_chunk_request(&self, _: u64, _: NodeId) {}
        fn on_gossip_chunk(&self, _: Vec<u8>, _: NodeId) {}
        fn on_gossip_retransmission_request(&self, (): (), _: NodeId) {}
        fn on_peer_up(&self, _: NodeId) {}
        fn on_peer_down(&self, _: NodeId) {}
        fn on_gossip_timer(&self) {}
        fn broadcast_advert(&self, _: Rumour, _: ArtifactDestination) {}
    }

    pub(super) struct Text;

    impl Codec<Listener> for Text {
        type Error = NotText;

        fn decode(
            &self,
            payload: Bytes,
        ) -> Result<GossipMessage<Rumour, u64, Vec<u8>, ()>, NotText> {
            match std::str::from_utf8(&payload) {
                Ok(text) => Ok(GossipMessage::Advert(Rumour(text.to_owned()))),
                Err(_) => Err(NotText(payload.to_vec())),
            }
        }
    }

    #[test]
    fn message_types_and_codec_are_linked_without_a_fork() {
        let gossip = Arc::new(Listener::default());
        let registry = MetricsRegistry::new();
        let mut handler = AsyncTransportEventHandlerImpl::with_codec(
            peer(0),
            &registry,
            ChannelConfig::default(),
            Arc::clone(&gossip),
            Text,
        )
        .unwrap();
        let message = |payload: &'static [u8]| {
            let payload = Bytes::from_static(payload);
            TransportEvent::Message(TransportMessage { peer_id: peer(4), payload })
        };
        block_on(handler.call(message(b"psst"))).unwrap();
        let error = block_on(handler.call(message(b"\xff"))).unwrap_err();
        assert_eq!(error.to_string(), "malformed message from 04040404: not text: [255]");
        assert!(handler.shutdown(LIMIT).is_clean());
        assert_eq!(*gossip.0.lock().unwrap(), [(Rumour("psst".to_owned()), peer(4))]);
        assert_all_accounted_for(&registry.snapshot());
    }
}
