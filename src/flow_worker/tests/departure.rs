//! Peers that go.

use super::*;

#[test]
fn what_a_peer_has_queued_ends_when_it_goes_and_those_who_wait_are_refused() {
    let config = FlowConfig::new(3).with_peer_quota(3);
    let (flow, starts, leave) = busy(config);
    at_once(flow.execute(peer(2), 1)).unwrap();
    at_once(flow.execute(peer(2), 2)).unwrap();
    let [gone, other] = [flow.execute(peer(2), 3), flow.execute(peer(3), 4)];
    flow.cancel_peer(peer(2));
    let refused = block_on(gone).unwrap_err();
    assert_eq!((refused.message, refused.reason), (3, RefusalReason::Disconnected));
    // The capacity of those that will not run is free at once, though the only worker is busy.
    block_on(other).unwrap();
    // Of its next connection.
    at_once(flow.execute(peer(2), 5)).unwrap();
    (0..3).for_each(|_| leave.send(()).unwrap());
    let counts = at_rest(&flow);
    assert_eq!((counts.count(Outcome::Cancelled), counts.count(Outcome::Disconnected)), (2, 1));
    let mut ran: Vec<_> = starts.try_iter().collect();
    ran.sort_unstable();
    assert_eq!(ran, [4, 5]);
}

#[test]
fn a_departure_that_drains_waits_for_what_was_cancelled_before_and_still_runs() {
    let config = FlowConfig::new(3).with_departure(crate::Departure::Drain);
    let (flow, _starts, leave) = busy(config);
    flow.cancel_peer(peer(1));
    at_once(flow.execute(peer(1), 1)).unwrap();
    let lanes = flow.depart(&peer(1));
    assert!(lanes.len() == 2 && lanes.iter().all(|lane| !lane.is_left()));
    (0..2).for_each(|_| leave.send(()).unwrap());
    assert!(flow.shutdown(LIMIT).is_clean() && lanes.iter().all(|lane| lane.is_left()));
}

#[test]
fn a_departure_waits_for_handlers_of_its_own_peer_only() {
    let (handler, starts, leave) = gated();
    let flow = flow(FlowConfig::new(10).with_threads(2), handler);
    for number in [1, 2] {
        at_once(flow.execute(peer(number), 0)).unwrap();
        assert_eq!(starts.recv_timeout(LIMIT), Ok(0));
    }
    for number in [1, 2] {
        let lanes = flow.depart(&peer(number));
        assert_eq!(lanes.iter().map(|lane| *lane.key()).collect::<Vec<_>>(), [peer(number)]);
        assert!(lanes[0].is_served());
    }
    (0..2).for_each(|_| leave.send(()).unwrap());
    assert!(flow.shutdown(LIMIT).is_clean());
}

#[test]
fn what_was_cancelled_is_no_part_of_a_shutdown() {
    let (flow, _starts, leave) = busy(FlowConfig::new(10).with_peer_quota(5));
    (1..4).for_each(|message| _ = at_once(flow.execute(peer(2), message)).unwrap());
    flow.cancel_peer(peer(2));
    let report = flow.shutdown(Duration::ZERO);
    assert_eq!((report.running, report.dropped), (1, 0));
    leave.send(()).unwrap();
    assert!(flow.shutdown(LIMIT).is_clean());
    assert_eq!(at_rest(&flow).count(Outcome::Cancelled), 3);
}

#[test]
fn a_peer_that_comes_and_goes_takes_no_capacity_from_others() {
    let (flow, _starts, leave) = busy(FlowConfig::new(100).with_peer_quota(25));
    for _ in 0..4 {
        // What finds no capacity goes with its future.
        (0..25).for_each(|message| drop(flow.execute(peer(1), message)));
        flow.cancel_peer(peer(1));
    }
    at_once(flow.execute(peer(2), 2)).unwrap();
    (0..2).for_each(|_| leave.send(()).unwrap());
    assert_eq!(at_rest(&flow).handled(), 2);
}

#[test]
fn a_lane_whose_peer_has_gone_leaves_its_place_when_its_handler_has_ended() {
    let (handler, starts, leave) = gated();
    let flow = flow(FlowConfig::new(100).with_threads(2).with_max_peers(2), handler);
    for number in 1..50 {
        // A place is free a little after the last message has ended in it.
        wait_until("a free place", || at_once(flow.execute(peer(number), 0)).is_ok());
        assert_eq!(starts.recv_timeout(LIMIT), Ok(0));
        flow.cancel_peer(peer(number));
        // There are two places, one of which is taken as long as the handler runs.
        wait_until("the other place", || at_once(flow.execute(peer(200), 1)).is_ok());
        assert_eq!(starts.recv_timeout(LIMIT), Ok(1));
        let refused = at_once(flow.execute(peer(201), 2)).unwrap_err();
        assert_eq!(refused.reason, RefusalReason::TooManyPeers);
        (0..2).for_each(|_| leave.send(()).unwrap());
        at_rest(&flow);
    }
    assert_eq!(flow.snapshot().handled(), 98);
}

#[test]
fn what_is_dropped_with_its_peer_may_panic_and_harms_nobody() {
    struct Bomb(bool);
    impl Drop for Bomb {
        fn drop(&mut self) {
            assert!(!self.0, "on purpose");
        }
    }
    let (leave, leaves) = crossbeam::channel::unbounded::<()>();
    let flow = flow(FlowConfig::new(10).with_threads(1), move |_, message: Bomb| {
        std::mem::forget(message);
        leaves.recv_timeout(LIMIT).expect("the test gives leave");
    });
    (0..4).for_each(|number| _ = at_once(flow.execute(peer(1), Bomb(number > 0))).ok().unwrap());
    at_once(flow.execute(peer(2), Bomb(true))).ok().unwrap();
    wait_until("the first handler", || flow.snapshot().queued < 5);
    flow.cancel_peer(peer(1));
    (0..5).for_each(|_| leave.send(()).unwrap());
    let counts = at_rest(&flow);
    assert_eq!((counts.handled(), counts.count(Outcome::Cancelled)), (2, 3));
}

#[test]
fn lanes_of_which_something_was_dropped_make_place_for_newcomers() {
    let config =
        FlowConfig::new(1).with_max_peers(2).with_overload_policy(OverloadPolicy::DropNewest);
    let (flow, _starts, leave) = busy(config);
    (1..3).for_each(|from| _ = at_once(flow.execute(peer(from), 1)).unwrap());
    assert_eq!(flow.snapshot().count(Outcome::DroppedNewest), 2);
    leave.send(()).unwrap();
    at_rest(&flow);
    for from in 3..20 {
        block_on(flow.execute(peer(from), 2)).unwrap();
        leave.send(()).unwrap();
        at_rest(&flow);
    }
}
