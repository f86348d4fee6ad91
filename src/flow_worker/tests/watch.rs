//! What is seen from outside.

use super::*;

#[test]
fn gauges_tell_how_the_flow_stands() {
    let config = FlowConfig::new(10).with_peer_quota(10).with_max_age(Some(LIMIT));
    let (flow, starts, leave) = busy(config);
    (1..4).for_each(|message| _ = at_once(flow.execute(peer(1), message)).unwrap());
    let counts = flow.snapshot();
    assert_eq!((counts.in_flight, counts.queued, counts.live_workers), (4, 3, 1));
    assert_eq!((counts.max_in_flight, counts.peer_quota, counts.threads), (10, 10, 1));
    assert_eq!((counts.max_bytes, counts.peers, counts.max_waiters), (None, 1, 64));
    assert_eq!((counts.overload, counts.high_water), (40, 4));
    assert!(counts.oldest_age > Duration::ZERO);
    (0..4).for_each(|_| leave.send(()).unwrap());
    let counts = at_rest(&flow);
    assert_eq!((counts.overload, counts.oldest_age), (0, Duration::ZERO));
    assert!(counts.high_water <= 4, "{}", counts.high_water);
    assert_eq!(starts.try_iter().count(), 3);
    assert!(flow.shutdown(LIMIT).is_clean());
    wait_until("the end of the threads", || flow.snapshot().live_workers == 0);
}

#[test]
fn limits_that_are_changed_are_shown() {
    let (flow, _starts, leave) = busy(FlowConfig::new(10).with_peer_quota(10));
    let wider = FlowConfig::new(20).with_peer_quota(15).with_max_bytes(Some(1 << 20));
    flow.reconfigure(&wider.with_threads(1)).unwrap();
    let counts = flow.snapshot();
    assert_eq!((counts.max_in_flight, counts.peer_quota), (20, 15));
    assert_eq!((counts.max_bytes, counts.max_peers), (Some(1 << 20), wider.max_peers()));
    leave.send(()).unwrap();
    at_rest(&flow);
}

#[test]
fn a_watch_sees_what_is_in_flight_between_two_snapshots() {
    let (flow, _starts, leave) = busy(FlowConfig::new(10).with_peer_quota(10));
    (1..4).for_each(|message| _ = at_once(flow.execute(peer(1), message)).unwrap());
    flow.look(LIMIT, &mut Reported::default());
    (0..4).for_each(|_| leave.send(()).unwrap());
    wait_until("all have run", || flow.inner.queue.in_flight() == 0);
    // It halves each minute.
    assert!(flow.snapshot().high_water > 1);
}

#[test]
fn a_stuck_handler_is_reported_once_and_the_next_one_again() {
    let (flow, starts, leave) = busy(FlowConfig::new(10).with_peer_quota(10));
    let mut reported = Reported::default();
    let mut look = || {
        flow.look(Duration::ZERO, &mut reported);
        flow.snapshot().stuck
    };
    assert_eq!([look(), look()], [1, 1]);
    at_once(flow.execute(peer(1), 1)).unwrap();
    leave.send(()).unwrap();
    assert_eq!(starts.recv_timeout(LIMIT), Ok(1));
    assert_eq!([look(), look()], [2, 2]);
    leave.send(()).unwrap();
    at_rest(&flow);
    assert_eq!(look(), 2);
}
