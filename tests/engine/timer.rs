//! The clock, as a replica uses it.

use std::{
    sync::{Arc, Mutex, mpsc::channel},
    thread,
    time::Duration,
};

use crate::common::{LIMIT, Recorder, Told};
use gossip_engine::{BuildError, GossipArc, MetricsRegistry, P2PThreadJoiner};

#[test]
fn the_callback_is_called_again_and_again_on_the_thread_of_the_clock() {
    let (told, hear) = channel();
    let (name, names) = channel();
    let name = Mutex::new(name);
    let gossip: GossipArc = Arc::new(Recorder::with(told, move |_| {
        let _ = name.lock().unwrap().send(thread::current().name().map(str::to_owned));
    }));
    let registry = MetricsRegistry::new();
    let joiner = P2PThreadJoiner::new(&registry, gossip).unwrap();
    for _ in 0..3 {
        assert_eq!(hear.recv_timeout(LIMIT), Ok(Told::Timer));
    }
    drop(joiner);
    assert_eq!(names.recv_timeout(LIMIT), Ok(Some("P2P_OnTimer_Thread".to_owned())));
    assert!(registry.snapshot().timer_ticks >= 3);
    // It has been waited for: nothing is told any more, and nobody can tell.
    assert!(hear.into_iter().all(|told| told == Told::Timer));
}

#[test]
fn it_stops_at_once_and_not_after_a_tick() {
    let (told, _hear) = channel();
    for period in [Duration::from_secs(1_000_000), Duration::MAX] {
        let gossip: GossipArc = Arc::new(Recorder::new(told.clone()));
        let registry = MetricsRegistry::new();
        let joiner = P2PThreadJoiner::with_period(&registry, gossip, period).unwrap();
        let (done, stopped) = channel();
        thread::spawn(move || {
            drop(joiner);
            done.send(()).unwrap();
        });
        stopped.recv_timeout(LIMIT).expect("it waits for its tick");
    }
}

#[test]
fn a_callback_that_panics_does_not_stop_the_clock() {
    let (told, hear) = channel();
    let gossip: GossipArc = Arc::new(Recorder::with(told, |_| panic!("on purpose")));
    let registry = MetricsRegistry::new();
    let joiner = P2PThreadJoiner::with_period(&registry, gossip, Duration::from_millis(1)).unwrap();
    for _ in 0..5 {
        assert_eq!(hear.recv_timeout(LIMIT), Ok(Told::Timer));
    }
    drop(joiner);
    let snapshot = registry.snapshot();
    assert!(snapshot.timer_panics >= 5);
    assert_eq!(snapshot.timer_panics, snapshot.timer_ticks);
}

#[test]
fn it_can_be_dropped_from_inside_its_own_callback() {
    let (told, hear) = channel();
    let joiner: Arc<Mutex<Option<P2PThreadJoiner>>> = Arc::default();
    let inside = Arc::clone(&joiner);
    let gossip: GossipArc = Arc::new(Recorder::with(told, move |_| {
        drop(inside.lock().unwrap().take());
    }));
    {
        let mut slot = joiner.lock().unwrap();
        let registry = MetricsRegistry::new();
        let period = Duration::from_millis(1);
        *slot = Some(P2PThreadJoiner::with_period(&registry, gossip, period).unwrap());
    }
    // The thread lets go of the gossip, and with it of the sender, when it ends.
    assert_eq!(hear.recv_timeout(LIMIT), Ok(Told::Timer));
    assert!(hear.recv_timeout(LIMIT).is_err());
}

#[test]
fn a_period_of_zero_is_refused() {
    let (told, _hear) = channel();
    let gossip: GossipArc = Arc::new(Recorder::new(told));
    let registry = MetricsRegistry::new();
    let refused = P2PThreadJoiner::with_period(&registry, gossip, Duration::ZERO);
    assert!(matches!(refused, Err(BuildError::ZeroPeriod)));
}
