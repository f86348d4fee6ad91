//! The broadcaster, as a replica uses it.

use std::{
    sync::{
        Arc, Barrier, Mutex,
        mpsc::{Receiver, channel},
    },
    thread,
    time::Duration,
};

use crate::common::{LIMIT, Recorder, Told, advert, replicas, wait_until};
use gossip_engine::{
    AdvertBroadcaster, ArtifactDestination, DestinationKind, DropReason, GossipArc,
    MetricsRegistry, Outcome,
};

const ALL: ArtifactDestination = ArtifactDestination::AllReplicas;

fn numbers(hear: Receiver<Told>) -> Vec<u64> {
    hear.into_iter()
        .map(|told| match told {
            Told::Broadcast(advert, _) => advert.size,
            other => panic!("a broadcast is told as {other:?}"),
        })
        .collect()
}

fn recorder() -> (GossipArc, Receiver<Told>) {
    let (told, hear) = channel();
    (Arc::new(Recorder::new(told)), hear)
}

#[test]
fn the_first_adverts_find_room_however_many_threads_send_them_at_once() {
    for _ in 0..300 {
        let broadcaster: AdvertBroadcaster =
            AdvertBroadcaster::with_max_inflight(&MetricsRegistry::new(), 100).unwrap();
        let start = Barrier::new(4);
        thread::scope(|scope| {
            for number in 0..4 {
                let (broadcaster, start) = (&broadcaster, &start);
                scope.spawn(move || {
                    start.wait();
                    broadcaster.send(advert(number), ALL).expect("there is capacity");
                });
            }
        });
    }
}

#[test]
fn what_is_sent_before_the_start_goes_out_in_order_when_the_gate_opens() {
    let registry = MetricsRegistry::new();
    let broadcaster = AdvertBroadcaster::new(&registry).unwrap();
    (0..1_000).for_each(|number| broadcaster.send(advert(number), ALL).unwrap());
    assert_eq!(registry.snapshot().broadcast.in_flight, 1_000);
    assert_eq!(registry.snapshot().broadcast.handled(), 0);
    let (gossip, hear) = recorder();
    broadcaster.start(gossip);
    (1_000..2_000).for_each(|number| broadcaster.send(advert(number), ALL).unwrap());
    assert!(broadcaster.shutdown(LIMIT).is_clean());
    drop(broadcaster);
    assert_eq!(numbers(hear), (0..2_000).collect::<Vec<_>>());
}

#[test]
fn a_hundred_thousand_adverts_are_broadcast_once_each() {
    const ADVERTS: u64 = 100_000;
    let registry = MetricsRegistry::new();
    let broadcaster = AdvertBroadcaster::new(&registry).unwrap();
    let (gossip, hear) = recorder();
    thread::scope(|scope| {
        let sender = scope.spawn(|| {
            (0..ADVERTS).for_each(|number| broadcaster.send(advert(number), ALL).unwrap());
        });
        // Opens at some moment while adverts are sent.
        wait_until("the first adverts", || registry.snapshot().broadcast.admitted > 1_000);
        broadcaster.start(gossip);
        sender.join().unwrap();
    });
    assert!(broadcaster.shutdown(LIMIT).is_clean());
    drop(broadcaster);
    assert_eq!(numbers(hear), (0..ADVERTS).collect::<Vec<_>>());
    assert_eq!(registry.snapshot().broadcast.handled(), ADVERTS);
}

#[test]
fn what_finds_no_room_comes_back_and_is_counted_by_destination() {
    let registry = MetricsRegistry::new();
    let broadcaster: AdvertBroadcaster =
        AdvertBroadcaster::with_max_inflight(&registry, 2).unwrap();
    broadcaster.send(advert(0), ALL).unwrap();
    broadcaster.send(advert(1), replicas([1])).unwrap();
    for (number, destination) in [(2, ALL), (3, replicas([1, 2])), (4, ALL)] {
        let dropped = broadcaster.send(advert(number), destination.clone()).unwrap_err();
        assert_eq!(dropped.reason, DropReason::Full);
        assert_eq!((dropped.advert, dropped.destination), (advert(number), destination));
    }
    let (gossip, hear) = recorder();
    broadcaster.start(gossip);
    assert_eq!(hear.recv_timeout(LIMIT), Ok(Told::Broadcast(advert(0), ALL)));
    assert_eq!(hear.recv_timeout(LIMIT), Ok(Told::Broadcast(advert(1), replicas([1]))));
    assert!(broadcaster.shutdown(LIMIT).is_clean());
    let closed = broadcaster.send(advert(5), replicas([3])).unwrap_err();
    assert_eq!(
        (closed.reason, closed.to_string()),
        (DropReason::Closed, "advert dropped: shut down".into())
    );
    let snapshot = registry.snapshot();
    assert_eq!(snapshot.dropped_adverts(DestinationKind::AllReplicas), 2);
    assert_eq!(snapshot.dropped_adverts(DestinationKind::Replicas), 2);
    assert_eq!((snapshot.broadcast.admitted, snapshot.broadcast.refused()), (2, 4));
}

#[test]
fn a_second_start_swaps_the_gossip_while_sends_go_on() {
    let registry = MetricsRegistry::new();
    let broadcaster = AdvertBroadcaster::new(&registry).unwrap();
    let (first, heard_by_first) = recorder();
    let (second, heard_by_second) = recorder();
    broadcaster.start(first);
    thread::scope(|scope| {
        let sender = scope.spawn(|| {
            for number in 0..20_000 {
                broadcaster.send(advert(number), ALL).unwrap();
                if number == 10_000 {
                    broadcaster.start(Arc::clone(&second));
                }
            }
        });
        sender.join().unwrap();
    });
    assert!(broadcaster.shutdown(LIMIT).is_clean());
    drop((broadcaster, second));
    let mut all = numbers(heard_by_first);
    let by_first = all.len();
    all.extend(numbers(heard_by_second));
    assert!(by_first <= 10_001, "the first was told {by_first} adverts, after the swap too");
    assert_eq!(all, (0..20_000).collect::<Vec<_>>());
}

#[test]
fn sending_never_blocks_while_a_broadcast_is_stuck() {
    let (told, hear) = channel();
    let (leave, leaves) = channel::<()>();
    let leaves = Mutex::new(leaves);
    let stuck: GossipArc =
        Arc::new(Recorder::with(told, move |_| leaves.lock().unwrap().recv().unwrap_or(())));
    let registry = MetricsRegistry::new();
    let broadcaster = AdvertBroadcaster::with_max_inflight(&registry, 10).unwrap();
    broadcaster.start(stuck);
    let sent = (0..25).filter(|number| broadcaster.send(advert(*number), ALL).is_ok()).count();
    assert_eq!(sent, 10);
    assert_eq!(hear.recv_timeout(LIMIT), Ok(Told::Broadcast(advert(0), ALL)));
    let report = broadcaster.shutdown(Duration::ZERO);
    assert_eq!((report.dropped, report.running, report.joined), (9, 1, false));
    drop(leave);
    assert!(broadcaster.shutdown(LIMIT).joined);
    let snapshot = registry.snapshot();
    assert_eq!(snapshot.dropped_adverts(DestinationKind::AllReplicas), 15 + 9);
    assert_eq!(
        (snapshot.broadcast.handled(), snapshot.broadcast.count(Outcome::DroppedAtShutdown)),
        (1, 9)
    );
}

#[test]
fn what_never_found_an_open_gate_is_counted_when_the_broadcaster_goes() {
    for shut_down in [true, false] {
        let registry = MetricsRegistry::new();
        let broadcaster: AdvertBroadcaster = AdvertBroadcaster::new(&registry).unwrap();
        (0..7).for_each(|number| broadcaster.send(advert(number), replicas([1])).unwrap());
        if shut_down {
            assert_eq!(broadcaster.shutdown(LIMIT).dropped, 7);
        }
        drop(broadcaster);
        wait_until("the count of the drops", || {
            registry.snapshot().dropped_adverts(DestinationKind::Replicas) == 7
        });
        let broadcast = registry.snapshot().broadcast;
        assert_eq!(
            (broadcast.admitted, broadcast.count(Outcome::DroppedAtShutdown), broadcast.in_flight),
            (7, 7, 0)
        );
    }
}

#[test]
fn a_broadcast_may_send_and_may_panic() {
    type Slot = std::sync::OnceLock<Arc<AdvertBroadcaster>>;
    let slot: Arc<Slot> = Arc::default();
    let (told, hear) = channel();
    let inside = Arc::clone(&slot);
    let gossip: GossipArc = Arc::new(Recorder::with(told, move |told| {
        let Told::Broadcast(told, _) = told else { return };
        if told.size > 0 {
            inside.get().unwrap().send(advert(told.size - 1), ALL).unwrap();
        }
        assert!(told.size % 2 == 0, "on purpose");
    }));
    let registry = MetricsRegistry::new();
    let broadcaster = Arc::new(AdvertBroadcaster::new(&registry).unwrap());
    assert!(slot.set(Arc::clone(&broadcaster)).is_ok());
    broadcaster.start(gossip);
    broadcaster.send(advert(9), ALL).unwrap();
    for number in (0..10).rev() {
        assert_eq!(hear.recv_timeout(LIMIT), Ok(Told::Broadcast(advert(number), ALL)));
    }
    assert!(broadcaster.shutdown(LIMIT).is_clean());
    let broadcast = registry.snapshot().broadcast;
    assert_eq!((broadcast.handled(), broadcast.panicked()), (5, 5));
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("on purpose");
    }
}

#[test]
fn a_gossip_that_panics_as_it_goes_harms_neither_a_start_nor_a_shutdown() {
    let (told, hear) = channel();
    let armed = || -> GossipArc {
        let bomb = Bomb;
        Arc::new(Recorder::with(told.clone(), move |_| {
            let _ = &bomb;
        }))
    };
    let broadcaster = AdvertBroadcaster::new(&MetricsRegistry::new()).unwrap();
    broadcaster.start(armed());
    broadcaster.start(armed());
    broadcaster.send(advert(1), ALL).unwrap();
    assert!(broadcaster.shutdown(LIMIT).is_clean());
    assert_eq!(hear.try_recv(), Ok(Told::Broadcast(advert(1), ALL)));
}
