//! Peers that come and go: when the futures of their events resolve, and what has run by then.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use futures_executor::block_on;
use futures_util::FutureExt;
use gossip_engine::{
    AsyncTransportEventHandlerImpl, ChannelConfig, EventError, FlowConfig, FlowType, GossipMessage,
    MetricsRegistry, RefusalReason, TransportEvent,
};
use tower_service::Service;

use crate::common::{LIMIT, Recorder, Told, chunk, event, peer};

type Handler = AsyncTransportEventHandlerImpl<Recorder>;

/// How long `on_peer_down` waits for callbacks that run.
const PATIENCE: Duration = Duration::from_millis(100);

/// A handler whose callbacks wait for leave where that `is_gated`.
fn gated(
    config: ChannelConfig,
    is_gated: impl Fn(&Told) -> bool + Send + Sync + 'static,
) -> (Handler, MetricsRegistry, Receiver<Told>, Sender<()>) {
    let (told, hear) = channel();
    let (leave, leaves) = channel::<()>();
    let leaves = Mutex::new(leaves);
    let gossip = Recorder::with(told, move |told| {
        if is_gated(told) {
            leaves.lock().unwrap().recv_timeout(LIMIT).expect("the test gives leave");
        }
    });
    let registry = MetricsRegistry::new();
    let handler = Handler::new(peer(0), &registry, config, Arc::new(gossip)).unwrap();
    (handler, registry, hear, leave)
}

#[test]
fn the_future_of_a_peers_coming_or_going_resolves_when_its_callback_has_returned() {
    let is_gated = |told: &Told| matches!(told, Told::Up(_) | Told::Down(_));
    let (mut handler, registry, hear, leave) = gated(ChannelConfig::default(), is_gated);
    let changes = [
        (TransportEvent::PeerUp(peer(1)), Told::Up(peer(1))),
        (TransportEvent::PeerDown(peer(1)), Told::Down(peer(1))),
    ];
    for (change, expected) in changes {
        let mut called = handler.call(change);
        assert!((&mut called).now_or_never().is_none());
        assert_eq!(hear.recv_timeout(LIMIT), Ok(expected));
        assert!((&mut called).now_or_never().is_none(), "its callback runs");
        // Others are not held up.
        block_on(handler.call(event(2, GossipMessage::Chunk(chunk(1))))).unwrap();
        assert_eq!(hear.recv_timeout(LIMIT), Ok(Told::Chunk(chunk(1), peer(2))));
        leave.send(()).unwrap();
        block_on(called).unwrap();
    }
    assert!(handler.shutdown(LIMIT).is_clean());
    assert_eq!(registry.snapshot().flow(FlowType::Transport).handled(), 2);
    registry.snapshot().verify().unwrap();
}

#[test]
fn a_callback_that_panics_has_run_for_its_caller() {
    let (told, hear) = channel();
    let gossip = Recorder::with(told, |_| panic!("on purpose"));
    let registry = MetricsRegistry::new();
    let config = ChannelConfig::default();
    let mut handler = Handler::new(peer(0), &registry, config, Arc::new(gossip)).unwrap();
    block_on(handler.call(TransportEvent::PeerUp(peer(1)))).unwrap();
    block_on(handler.call(TransportEvent::PeerDown(peer(1)))).unwrap();
    assert!(handler.shutdown(LIMIT).is_clean());
    drop(handler);
    assert!(hear.into_iter().eq([Told::Up(peer(1)), Told::Down(peer(1))]));
    assert_eq!(registry.snapshot().flow(FlowType::Transport).panicked(), 2);
}

#[test]
fn a_peers_coming_that_is_dropped_at_a_shutdown_resolves_to_closed() {
    let transport = FlowConfig::new(2).with_peer_quota(2).with_threads(1);
    let config = ChannelConfig::default().with_flow(FlowType::Transport, transport);
    let (mut handler, registry, hear, leave) = gated(config, |told| matches!(told, Told::Up(_)));
    let first = handler.call(TransportEvent::PeerUp(peer(1)));
    assert_eq!(hear.recv_timeout(LIMIT), Ok(Told::Up(peer(1))));
    // One is queued, the other waits.
    let later = [2, 3].map(|from| handler.call(TransportEvent::PeerUp(peer(from))));
    let report = handler.shutdown(Duration::ZERO).flow(FlowType::Transport).unwrap();
    assert_eq!((report.dropped, report.running, report.joined), (1, 1, false));
    for (from, later) in [2, 3].into_iter().zip(later) {
        let (flow, reason) = (FlowType::Transport, RefusalReason::Closed);
        assert_eq!(block_on(later), Err(EventError::Refused { peer: peer(from), flow, reason }));
    }
    leave.send(()).unwrap();
    block_on(first).unwrap();
    assert!(handler.shutdown(LIMIT).is_clean());
    assert!(hear.try_recv().is_err(), "something started after the shutdown");
    registry.snapshot().verify().unwrap();
}

/// Goes while a callback of one of its messages runs; returns when `on_peer_down` began, whether the callback had
/// returned by then, and whether it does so before it is waited for no longer.
fn down_beside_a_callback(returns: bool) -> (Duration, bool) {
    let (told, hear) = channel();
    let (leave, leaves) = channel::<()>();
    let (leaves, has_returned) = (Mutex::new(leaves), Arc::new(AtomicBool::new(false)));
    let (began, begins) = channel();
    let began = Mutex::new(began);
    let returned = Arc::clone(&has_returned);
    let gossip = Recorder::with(told, move |told| match told {
        Told::Chunk(..) => {
            leaves.lock().unwrap().recv_timeout(LIMIT).expect("the test gives leave");
            returned.store(true, Ordering::SeqCst);
        }
        Told::Down(_) => {
            let seen = (Instant::now(), returned.load(Ordering::SeqCst));
            began.lock().unwrap().send(seen).unwrap();
        }
        _ => {}
    });
    let registry = MetricsRegistry::new();
    let config = ChannelConfig::default();
    let mut handler = Handler::new(peer(0), &registry, config, Arc::new(gossip)).unwrap();
    block_on(handler.call(event(1, GossipMessage::Chunk(chunk(1))))).unwrap();
    assert_eq!(hear.recv_timeout(LIMIT), Ok(Told::Chunk(chunk(1), peer(1))));
    let called = Instant::now();
    let down = handler.call(TransportEvent::PeerDown(peer(1)));
    if returns {
        // Long enough for a thread to begin with what it should not.
        thread::sleep(PATIENCE / 20);
        leave.send(()).unwrap();
    }
    block_on(down).unwrap();
    let (began, had_returned) = begins.recv_timeout(LIMIT).unwrap();
    let _ = leave.send(());
    assert!(handler.shutdown(LIMIT).is_clean());
    assert!(has_returned.load(Ordering::SeqCst));
    (began - called, had_returned)
}

#[test]
fn on_peer_down_waits_for_a_callback_of_the_peer() {
    for _ in 0..10 {
        let (after, had_returned) = down_beside_a_callback(true);
        // A machine may hold the test up for so long that it is right not to wait.
        assert!(had_returned || after >= PATIENCE, "it began after {after:?}");
    }
}

#[test]
fn on_peer_down_does_not_wait_for_ever_for_a_callback_that_is_stuck() {
    let (after, had_returned) = down_beside_a_callback(false);
    assert!(!had_returned && after >= PATIENCE, "it began after {after:?}");
}

#[test]
fn weights_are_set_in_all_flows_of_messages() {
    let config = FlowType::ALL.into_iter().fold(ChannelConfig::default(), |config, flow| {
        config.with_flow(flow, FlowConfig::new(10).with_max_peers(2))
    });
    let (handler, ..) = gated(config, |_| false);
    assert!(handler.set_peer_weight(peer(1), 3) && handler.set_peer_weight(peer(2), 2));
    assert!(!handler.set_peer_weight(peer(3), 2), "two have one other than 1 already");
    assert!(handler.set_peer_weight(peer(1), 1) && handler.set_peer_weight(peer(3), 2));
    assert!(handler.shutdown(LIMIT).is_clean());
}
