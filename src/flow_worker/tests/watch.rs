//! What is seen from outside.

use super::*;

#[test]
fn gauges_tell_how_the_flow_stands() {
    let config = FlowConfig::new(10).with_peer_quota(10).with_max_age(Some(LIMIT));
    let (flow, starts, leave) = busy(config);
    (1..4).for_each(|message| _ = at_once(flow.execute(peer(1), message)).unwrap());
    let counts = flow.snapshot();
    assert_eq!((counts.in_flight, counts.queued, counts.live_workers), (4, 3, 1));
    assert_eq!((counts.overload, counts.high_water), (40, 4));
    assert!(counts.oldest_age > Duration::ZERO);
    (0..4).for_each(|_| leave.send(()).unwrap());
    let counts = at_rest(&flow);
    assert_eq!((counts.overload, counts.high_water, counts.oldest_age), (0, 4, Duration::ZERO));
    assert_eq!(starts.try_iter().count(), 3);
    assert!(flow.shutdown(LIMIT).is_clean());
    wait_until("the end of the threads", || flow.snapshot().live_workers == 0);
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
