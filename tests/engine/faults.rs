//! Peers that come and go, messages that are dropped, and changes of everything while messages flow.

use std::{
    env,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
        mpsc::{Sender, channel},
    },
    thread,
    time::Duration,
};

use futures_executor::block_on;
use futures_util::FutureExt;
use gossip_engine::{
    ArtifactDestination, ArtifactFilter, AsyncTransportEventHandlerImpl, ChannelConfig,
    ConfigError, FlowConfig, FlowType, Gossip, GossipAdvert, GossipChunk, GossipChunkRequest,
    GossipMessage, MetricsRegistry, NodeId, Outcome, OverloadPolicy, TransportEvent,
    TransportMessage,
};
use tower_service::Service;

use crate::common::{LIMIT, Recorder, Told, advert, chunk, event, peer, wait_until};

fn advert_event(from: u8, number: u64) -> TransportEvent {
    event(from, GossipMessage::Advert(advert(number)))
}

fn one_thread(flow: FlowType, config: FlowConfig) -> ChannelConfig {
    ChannelConfig::default().with_flow(flow, config.with_threads(1))
}

/// Says how far each peer's connections have come, and counts what runs out of its time.
#[derive(Default)]
struct Clerk {
    up: [AtomicU64; 8],
    down: [AtomicU64; 8],
    early: AtomicU64,
    late: AtomicU64,
}

fn of(counts: &[AtomicU64; 8], peer: NodeId) -> &AtomicU64 {
    &counts[usize::from(peer.as_bytes()[0])]
}

impl Clerk {
    /// A message of this connection starts.
    fn sees(&self, peer: NodeId, connection: u64) {
        let is_late = of(&self.down, peer).load(Ordering::SeqCst) >= connection;
        let is_early = of(&self.up, peer).load(Ordering::SeqCst) < connection;
        self.late.fetch_add(is_late.into(), Ordering::Relaxed);
        self.early.fetch_add(is_early.into(), Ordering::Relaxed);
    }
}

impl Gossip for Clerk {
    type GossipAdvert = GossipAdvert;
    type GossipChunkRequest = GossipChunkRequest;
    type GossipChunk = GossipChunk;
    type GossipRetransmissionRequest = ArtifactFilter;

    fn on_gossip_advert(&self, advert: GossipAdvert, peer: NodeId) {
        self.sees(peer, advert.size);
    }

    fn on_chunk_request(&self, _: GossipChunkRequest, _: NodeId) {}

    fn on_gossip_chunk(&self, chunk: GossipChunk, peer: NodeId) {
        self.sees(peer, chunk.chunk_number.into());
    }

    fn on_gossip_retransmission_request(&self, request: ArtifactFilter, peer: NodeId) {
        self.sees(peer, request.height);
    }

    fn on_peer_up(&self, peer: NodeId) {
        of(&self.up, peer).fetch_add(1, Ordering::SeqCst);
    }

    fn on_peer_down(&self, peer: NodeId) {
        of(&self.down, peer).fetch_add(1, Ordering::SeqCst);
    }

    fn on_gossip_timer(&self) {}

    fn broadcast_advert(&self, _: GossipAdvert, _: ArtifactDestination) {}
}

#[test]
fn messages_run_between_the_coming_and_the_going_of_their_connection() {
    let rounds: u64 = env::var("GOSSIP_STRESS_ROUNDS")
        .map_or(2_000, |rounds| rounds.parse().expect("a number of rounds"));
    const PEERS: u8 = 4;
    let clerk = Arc::new(Clerk::default());
    let registry = MetricsRegistry::new();
    let handler = AsyncTransportEventHandlerImpl::new(
        peer(0),
        &registry,
        ChannelConfig::default(),
        Arc::clone(&clerk),
    )
    .unwrap();
    thread::scope(|scope| {
        for from in 1..=PEERS {
            let mut handler = handler.clone();
            scope.spawn(move || {
                let mut seed = u64::from(from);
                for connection in 1..=rounds {
                    block_on(handler.call(TransportEvent::PeerUp(peer(from)))).unwrap();
                    // xorshift (Marsaglia), so that the peers meet in all ways.
                    seed ^= seed << 13;
                    seed ^= seed >> 7;
                    seed ^= seed << 17;
                    for number in 0..seed % 6 {
                        let message = match (seed >> number) % 3 {
                            0 => GossipMessage::Advert(advert(connection)),
                            1 => GossipMessage::Chunk(chunk(connection as u32)),
                            _ => GossipMessage::RetransmissionRequest(ArtifactFilter {
                                height: connection,
                            }),
                        };
                        block_on(handler.call(event(from, message))).unwrap();
                    }
                    block_on(handler.call(TransportEvent::PeerDown(peer(from)))).unwrap();
                }
            });
        }
    });
    assert!(handler.shutdown(LIMIT).is_clean());
    let counts = registry.snapshot();
    counts.verify().unwrap();
    let changes = counts.flow(FlowType::Transport).handled();
    assert_eq!(changes, 2 * rounds * u64::from(PEERS));
    assert_eq!(clerk.late.load(Ordering::Relaxed), 0, "started after its peer had gone");
    assert_eq!(clerk.early.load(Ordering::Relaxed), 0, "started before its peer had come");
    let ran = [FlowType::Advert, FlowType::Chunk, FlowType::Retransmission]
        .map(|flow| counts.flow(flow).handled());
    assert!(ran.iter().all(|ran| *ran > 0), "{ran:?}: nothing was in time");
}

/// Tells of what was dropped.
struct Listener {
    lost: std::sync::Mutex<std::sync::mpsc::Sender<(GossipMessage, NodeId, Outcome)>>,
    dropped: std::sync::Mutex<std::sync::mpsc::Sender<(FlowType, NodeId, u64)>>,
    go: std::sync::Mutex<std::sync::mpsc::Receiver<()>>,
    started: std::sync::Mutex<std::sync::mpsc::Sender<()>>,
}

impl Gossip for Listener {
    type GossipAdvert = GossipAdvert;
    type GossipChunkRequest = GossipChunkRequest;
    type GossipChunk = GossipChunk;
    type GossipRetransmissionRequest = ArtifactFilter;

    fn on_gossip_advert(&self, _: GossipAdvert, _: NodeId) {
        self.started.lock().unwrap().send(()).unwrap();
        self.go.lock().unwrap().recv_timeout(LIMIT).unwrap();
    }

    fn on_chunk_request(&self, _: GossipChunkRequest, _: NodeId) {}
    fn on_gossip_chunk(&self, _: GossipChunk, _: NodeId) {}
    fn on_gossip_retransmission_request(&self, _: ArtifactFilter, _: NodeId) {}
    fn on_peer_up(&self, _: NodeId) {}
    fn on_peer_down(&self, _: NodeId) {}

    fn on_message_dropped(&self, message: GossipMessage, peer: NodeId, outcome: Outcome) {
        self.lost.lock().unwrap().send((message, peer, outcome)).unwrap();
    }

    fn on_messages_dropped(&self, flow: FlowType, peer: NodeId, count: u64) {
        self.dropped.lock().unwrap().send((flow, peer, count)).unwrap();
    }

    fn on_gossip_timer(&self) {}
    fn broadcast_advert(&self, _: GossipAdvert, _: ArtifactDestination) {}
}

#[test]
fn the_replica_is_told_of_what_was_dropped_peer_by_peer_and_not_too_often() {
    let (dropped, told) = channel();
    let (leave, go) = channel();
    let (started, starts) = channel();
    let (lost, losses) = channel();
    let gossip = Listener {
        lost: lost.into(),
        dropped: dropped.into(),
        go: go.into(),
        started: started.into(),
    };
    let flow = FlowConfig::new(1).with_overload_policy(OverloadPolicy::DropNewest);
    let config = one_thread(FlowType::Advert, flow).with_drop_notice_interval(LIMIT * 10);
    let registry = MetricsRegistry::new();
    let mut handler =
        AsyncTransportEventHandlerImpl::new(peer(0), &registry, config, Arc::new(gossip)).unwrap();
    block_on(handler.call(advert_event(1, 0))).unwrap();
    starts.recv_timeout(LIMIT).unwrap();
    for from in [2, 3] {
        for number in 0..5 {
            block_on(handler.call(advert_event(from, number))).unwrap();
        }
    }
    // At first at once, with as many as there are by then; then not again for a long time.
    let mut first = [(); 2].map(|()| told.recv_timeout(LIMIT).unwrap());
    first.sort_unstable_by_key(|(_, peer, _)| *peer);
    let [of_two, of_three] = first;
    assert_eq!((of_two.0, of_two.1), (FlowType::Advert, peer(2)));
    assert_eq!((of_three.0, of_three.1), (FlowType::Advert, peer(3)));
    assert!((1..=5).contains(&of_two.2) && (1..=5).contains(&of_three.2));
    block_on(handler.call(advert_event(2, 5))).unwrap();
    leave.send(()).unwrap();
    assert!(handler.shutdown(LIMIT).is_clean());
    assert!(told.try_recv().is_err(), "too often");
    let counts = registry.snapshot();
    counts.verify().unwrap();
    assert_eq!(counts.flow(FlowType::Advert).count(Outcome::DroppedNewest), 11);
    // It gets each of them, in the order in which they were dropped.
    let expected = (0..5).map(|number| (2, number)).chain((0..5).map(|number| (3, number)));
    for (from, number) in expected.chain([(2, 5)]) {
        let (message, of, outcome) = losses.try_recv().unwrap();
        assert_eq!((of, outcome), (peer(from), Outcome::DroppedNewest));
        let event = advert_event(from, number);
        let TransportEvent::Message(TransportMessage { payload, .. }) = event else {
            unreachable!("it is a message")
        };
        assert_eq!(message, gossip_engine::wire::decode(payload).unwrap());
    }
    assert!(losses.try_recv().is_err(), "more than were dropped");
    assert_eq!(counts.notices, 2);
}

#[test]
fn a_replica_is_replaced_while_messages_flow_and_none_is_lost() {
    const EACH: u64 = 2_000;
    let registry = MetricsRegistry::new();
    let (told, hear) = channel();
    let handler = AsyncTransportEventHandlerImpl::<Recorder>::new(
        peer(0),
        &registry,
        ChannelConfig::default(),
        Arc::new(Recorder::new(told.clone())),
    )
    .unwrap();
    thread::scope(|scope| {
        let mut producer = handler.clone();
        let produce = scope.spawn(move || {
            (0..EACH).for_each(|number| {
                block_on(producer.call(advert_event(1, number))).unwrap();
            });
        });
        while !produce.is_finished() {
            let gossip = Arc::new(Recorder::new(told.clone()));
            handler.replace_gossip(&gossip);
        }
    });
    assert!(handler.shutdown(LIMIT).is_clean());
    drop((handler, told));
    let heard = hear.iter().filter(|told| matches!(told, Told::Advert(..))).count();
    assert_eq!(heard as u64, EACH);
    registry.snapshot().verify().unwrap();
}

/// Changes the configuration of its handler when it is dropped.
struct Changes {
    handler: Arc<OnceLock<AsyncTransportEventHandlerImpl<Recorder>>>,
    done: Sender<bool>,
}

impl Drop for Changes {
    fn drop(&mut self) {
        let handler = self.handler.get().expect("the test has put it there");
        let changed = handler.reconfigure(ChannelConfig::default());
        self.done.send(changed.is_ok()).unwrap();
    }
}

#[test]
fn a_replica_that_is_replaced_may_change_the_configuration_as_it_goes() {
    let (told, _hear) = channel();
    let (done, has_changed) = channel();
    let place = Arc::new(OnceLock::new());
    let changes = Changes { handler: Arc::clone(&place), done };
    let gossip = Recorder::with(told.clone(), move |_| {
        let _ = &changes;
    });
    let registry = MetricsRegistry::new();
    let config = ChannelConfig::default();
    let handler =
        AsyncTransportEventHandlerImpl::new(peer(0), &registry, config, Arc::new(gossip)).unwrap();
    assert!(place.set(handler.clone()).is_ok());
    // Nobody joins it: should it lock itself out, the test fails all the same.
    thread::spawn({
        let handler = handler.clone();
        move || handler.replace_gossip(&Arc::new(Recorder::new(told)))
    });
    assert_eq!(has_changed.recv_timeout(LIMIT), Ok(true));
    assert!(handler.shutdown(LIMIT).is_clean());
}

#[test]
fn a_configuration_that_cannot_be_changes_no_flow() {
    let registry = MetricsRegistry::new();
    let (told, _hear) = channel();
    let config = ChannelConfig::default();
    let mut handler = AsyncTransportEventHandlerImpl::<Recorder>::new(
        peer(0),
        &registry,
        config.clone(),
        Arc::new(Recorder::new(told)),
    )
    .unwrap();
    // The first flow could change; the last cannot.
    let refusing = FlowConfig::new(1).with_overload_policy(OverloadPolicy::Refuse);
    let lossy = config.flow(FlowType::Transport).with_max_age(Some(Duration::from_millis(1)));
    let wrong = config.clone().with_flow(FlowType::Advert, refusing);
    let wrong = wrong.with_flow(FlowType::Transport, lossy);
    let error = handler.reconfigure(wrong).unwrap_err();
    assert_eq!(error, ConfigError::Lossy { flow: "Transport" });
    let calls: Vec<_> = (0..50).map(|number| handler.call(advert_event(1, number))).collect();
    assert!(calls.into_iter().all(|call| block_on(call).is_ok()), "the Advert flow has changed");
    handler.reconfigure(config.with_flow(FlowType::Advert, refusing)).unwrap();
    wait_until("rest", || registry.snapshot().flow(FlowType::Advert).in_flight == 0);
    assert!(handler.call(advert_event(1, 0)).now_or_never().is_some());
    assert!(handler.shutdown(LIMIT).is_clean());
    registry.snapshot().verify().unwrap();
}
