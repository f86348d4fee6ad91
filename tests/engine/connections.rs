//! Connections as guards: whatever becomes of them, each peer comes and goes in order.

use std::{
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
};

use futures_executor::block_on;
use futures_util::FutureExt;
use gossip_engine::{
    AsyncTransportEventHandlerImpl, ChannelConfig, Connecting, Connection, FlowConfig, FlowType,
    GossipMessage, MetricsRegistry, OverloadPolicy, RefusalReason,
};
use tower_service::Service;

use crate::common::{LIMIT, Recorder, Told, chunk, event, peer, wait_until};

type Handler = AsyncTransportEventHandlerImpl<Recorder>;

/// The Transport flow has one thread and capacity for one event; the callback of peer 9's arrival waits for leave.
fn narrow(transport: FlowConfig) -> (Handler, MetricsRegistry, Receiver<Told>, Sender<()>) {
    let (told, hear) = channel();
    let (leave, leaves) = channel::<()>();
    let leaves = Mutex::new(leaves);
    let gossip = Recorder::with(told, move |told| {
        if *told == Told::Up(peer(9)) {
            leaves.lock().unwrap().recv_timeout(LIMIT).expect("the test gives leave");
        }
    });
    let registry = MetricsRegistry::new();
    let config = ChannelConfig::default().with_flow(FlowType::Transport, transport.with_threads(1));
    let handler = Handler::new(peer(0), &registry, config, Arc::new(gossip)).unwrap();
    (handler, registry, hear, leave)
}

/// The next that it hears.
fn next(hear: &Receiver<Told>) -> Told {
    hear.recv_timeout(LIMIT).expect("something is called")
}

/// Where the flow refuses, the capacity of the event before may not be free yet.
fn arrived(handler: &Handler, from: u8) -> Connection {
    let mut connection = None;
    wait_until("a connection", || {
        connection = handler.connect(peer(from)).wait().ok();
        connection.is_some()
    });
    connection.expect("waited for")
}

/// The arrival of peer 9, admitted or in line.
fn in_its_callback(handler: &Handler) -> Connecting {
    let mut connecting = handler.connect(peer(9));
    wait_until("an arrival that is not refused", || {
        let is_refused = (&mut connecting).now_or_never().is_some();
        if is_refused {
            connecting = handler.connect(peer(9));
        }
        !is_refused
    });
    connecting
}

fn finish(handler: &Handler, registry: &MetricsRegistry) {
    assert!(handler.shutdown(LIMIT).is_clean());
    registry.snapshot().verify().unwrap();
}

#[test]
fn a_connection_begins_and_ends_with_the_return_of_its_callbacks() {
    let (mut handler, registry, hear, leave) = narrow(FlowConfig::new(10));
    let mut connecting = handler.connect(peer(9));
    assert_eq!(next(&hear), Told::Up(peer(9)));
    assert!((&mut connecting).now_or_never().is_none(), "its callback runs");
    leave.send(()).unwrap();
    let connection = connecting.wait().unwrap();
    assert_eq!(*connection.id(), peer(9));
    handler.call(event(9, GossipMessage::Chunk(chunk(1)))).wait().unwrap();
    assert_eq!(next(&hear), Told::Chunk(chunk(1), peer(9)));
    connection.close().wait();
    assert_eq!(hear.try_recv(), Ok(Told::Down(peer(9))));
    finish(&handler, &registry);
}

#[test]
fn a_departure_that_nobody_waits_for_comes_though_the_flow_is_full() {
    let (handler, registry, hear, leave) = narrow(FlowConfig::new(1));
    let connections = [1, 2, 3].map(|from| block_on(handler.connect(peer(from))).unwrap());
    assert!([1, 2, 3].into_iter().all(|from| next(&hear) == Told::Up(peer(from))));
    let full = handler.connect(peer(9));
    assert_eq!(next(&hear), Told::Up(peer(9)));
    let [one, two, three] = connections;
    drop(one);
    drop(two.close());
    let closing = three.close();
    assert!(hear.try_recv().is_err(), "there is no capacity");
    leave.send(()).unwrap();
    closing.wait();
    let mut gone = [(); 3].map(|()| format!("{:?}", next(&hear)));
    gone.sort();
    assert_eq!(gone, [1, 2, 3].map(|from| format!("{:?}", Told::Down(peer(from)))));
    drop(full);
    assert_eq!(next(&hear), Told::Down(peer(9)));
    finish(&handler, &registry);
}

#[test]
fn a_departure_that_is_refused_is_repeated_and_no_arrival_overtakes_it() {
    let refuses = FlowConfig::new(1).with_overload_policy(OverloadPolicy::Refuse);
    let (handler, registry, hear, leave) = narrow(refuses);
    let one = arrived(&handler, 1);
    let full = in_its_callback(&handler);
    assert_eq!([next(&hear), next(&hear)], [Told::Up(peer(1)), Told::Up(peer(9))]);
    drop(one);
    let reason = RefusalReason::TooManyWaiters;
    assert_eq!(block_on(handler.connect(peer(1))).err(), Some(reason));
    // It is offered again, and refused again, meanwhile.
    wait_until("a repeated departure", || registry.snapshot().notices > 1);
    leave.send(()).unwrap();
    let nine = block_on(full).unwrap();
    assert_eq!(next(&hear), Told::Down(peer(1)));
    // It may find the flow full once more.
    let mut again = None;
    wait_until("the next connection", || {
        again = block_on(handler.connect(peer(1))).ok();
        again.is_some()
    });
    assert_eq!(next(&hear), Told::Up(peer(1)));
    drop((nine, again));
    let gone = [next(&hear), next(&hear)];
    assert!(gone.contains(&Told::Down(peer(1))) && gone.contains(&Told::Down(peer(9))));
    finish(&handler, &registry);
}

#[test]
fn an_arrival_that_nobody_waits_for_is_followed_by_its_departure_or_does_not_come() {
    let (handler, registry, hear, leave) = narrow(FlowConfig::new(1));
    // Admitted, and never polled.
    drop(handler.connect(peer(1)));
    assert_eq!([next(&hear), next(&hear)], [Told::Up(peer(1)), Told::Down(peer(1))]);
    // In its callback.
    let runs = handler.connect(peer(9));
    assert_eq!(next(&hear), Told::Up(peer(9)));
    // In line: it never comes.
    let mut waits = handler.connect(peer(2));
    assert!((&mut waits).now_or_never().is_none());
    drop(waits);
    // In line, and let in before it is dropped.
    let let_in = handler.connect(peer(3));
    drop(runs);
    leave.send(()).unwrap();
    let mut told = [(); 2].map(|()| next(&hear));
    told.sort_by_key(|told| *told == Told::Down(peer(9)));
    assert_eq!(told, [Told::Up(peer(3)), Told::Down(peer(9))]);
    drop(let_in);
    assert_eq!(next(&hear), Told::Down(peer(3)));
    finish(&handler, &registry);
    assert!(hear.try_recv().is_err());
}

#[test]
fn a_connection_ends_at_once_where_the_handler_was_shut_down() {
    let (handler, registry, hear, _leave) = narrow(FlowConfig::new(1));
    let [one, two] = [1, 2].map(|from| block_on(handler.connect(peer(from))).unwrap());
    finish(&handler, &registry);
    one.close().wait();
    drop(two);
    let reason = RefusalReason::Closed;
    assert_eq!(handler.connect(peer(3)).wait().err(), Some(reason));
    registry.snapshot().verify().unwrap();
    assert_eq!(hear.try_iter().count(), 2, "two arrivals, and nothing after the shutdown");
}

#[test]
fn a_wait_for_a_departure_that_the_shutdown_refuses_ends() {
    let refuses = FlowConfig::new(1).with_overload_policy(OverloadPolicy::Refuse);
    for transport in [FlowConfig::new(1), refuses] {
        let (handler, registry, hear, leave) = narrow(transport);
        let [one, two] = [1, 2].map(|from| arrived(&handler, from));
        let full = in_its_callback(&handler);
        assert!([1, 2, 9].into_iter().all(|from| next(&hear) == Told::Up(peer(from))));
        // There is no capacity, so the handler keeps them.
        let closings = [one.close(), two.close()];
        let ending = handler.clone();
        let ended = thread::spawn(move || ending.shutdown(LIMIT).is_clean());
        wait_until("the end of admission", || handler.connect(peer(3)).wait().is_err());
        leave.send(()).unwrap();
        assert!(ended.join().unwrap());
        let mut closings = closings.map(Box::pin);
        wait_until("both are told", || {
            closings.iter_mut().all(|closing| closing.as_mut().now_or_never().is_some())
        });
        drop(full);
        registry.snapshot().verify().unwrap();
    }
}

#[test]
fn whatever_becomes_of_connections_each_peer_comes_and_goes_in_turn() {
    const PEERS: u8 = 4;
    let rounds =
        std::env::var("GOSSIP_STRESS_ROUNDS").map_or(200, |rounds| rounds.parse().unwrap());
    for policy in [OverloadPolicy::Wait, OverloadPolicy::Refuse] {
        let transport = FlowConfig::new(1).with_max_waiters(2).with_overload_policy(policy);
        let (handler, registry, hear, _leave) = narrow(transport);
        thread::scope(|threads| {
            for from in 1..=PEERS {
                let handler = &handler;
                threads.spawn(move || {
                    for round in 0..rounds {
                        let connecting = handler.connect(peer(from));
                        if round % 5 == 0 {
                            continue;
                        }
                        let Ok(connection) = connecting.wait() else { continue };
                        match round % 3 {
                            0 => connection.close().wait(),
                            1 => drop(connection.close()),
                            _ => drop(connection),
                        }
                    }
                });
            }
        });
        let at_rest = || {
            let counts = registry.snapshot();
            let transport = counts.flow(FlowType::Transport);
            transport.in_flight == 0 && transport.waiting == 0
        };
        // A departure that was refused may be with the watch.
        let mut told = Vec::new();
        let changes = |told: &[Told], up: bool| {
            told.iter().filter(|told| matches!(told, Told::Up(_)) == up).count()
        };
        wait_until("all departures", || {
            told.extend(hear.try_iter());
            at_rest() && changes(&told, true) == changes(&told, false)
        });
        for from in 1..=PEERS {
            let of_peer = told
                .iter()
                .filter(|told| **told == Told::Up(peer(from)) || **told == Told::Down(peer(from)));
            let ups: Vec<bool> = of_peer.map(|told| matches!(told, Told::Up(_))).collect();
            assert!(ups.iter().enumerate().all(|(at, up)| *up == (at % 2 == 0)), "{from}: {ups:?}");
            assert!(policy != OverloadPolicy::Wait || !ups.is_empty(), "{from} was there");
        }
        finish(&handler, &registry);
    }
}
