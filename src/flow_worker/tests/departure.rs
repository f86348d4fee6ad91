//! Peers that go.

use super::*;

#[test]
fn what_a_peer_has_queued_ends_when_it_goes_and_those_who_wait_are_told() {
    let config = FlowConfig::new(3).with_peer_quota(3);
    let (flow, starts, leave) = busy(config);
    brought(flow.execute(peer(2), 1)).unwrap();
    brought(flow.execute(peer(2), 2)).unwrap();
    let [gone, other] = [flow.execute(peer(2), 3), flow.execute(peer(3), 4)];
    flow.cancel_peer(peer(2));
    let refused = block_on(gone).unwrap_err();
    assert_eq!((refused.message, refused.reason), (3, RefusalReason::Disconnected));
    // The room of those that will not run is had at once, though the only worker is busy.
    block_on(other).unwrap();
    // Of its next connection.
    brought(flow.execute(peer(2), 5)).unwrap();
    (0..3).for_each(|_| leave.send(()).unwrap());
    let counts = at_rest(&flow);
    assert_eq!((counts.count(Outcome::Cancelled), counts.count(Outcome::Disconnected)), (2, 1));
    let mut ran: Vec<_> = starts.try_iter().collect();
    ran.sort_unstable();
    assert_eq!(ran, [4, 5]);
}

#[test]
fn what_was_cancelled_is_no_part_of_a_shutdown() {
    let (flow, _starts, leave) = busy(FlowConfig::new(10).with_peer_quota(5));
    (1..4).for_each(|message| brought(flow.execute(peer(2), message)).unwrap());
    flow.cancel_peer(peer(2));
    let report = flow.shutdown(Duration::ZERO);
    assert_eq!((report.running, report.dropped), (1, 0));
    leave.send(()).unwrap();
    assert!(flow.shutdown(LIMIT).is_clean());
    assert_eq!(at_rest(&flow).count(Outcome::Cancelled), 3);
}

#[test]
fn a_peer_that_comes_and_goes_takes_no_room_from_others() {
    let (flow, _starts, leave) = busy(FlowConfig::new(100).with_peer_quota(25));
    for _ in 0..4 {
        // What finds no room goes with its future.
        (0..25).for_each(|message| drop(flow.execute(peer(1), message)));
        flow.cancel_peer(peer(1));
    }
    brought(flow.execute(peer(2), 2)).unwrap();
    (0..2).for_each(|_| leave.send(()).unwrap());
    assert_eq!(at_rest(&flow).handled(), 2);
}

#[test]
fn a_lane_whose_peer_has_gone_gives_its_seat_back() {
    let (handler, starts, leave) = gated();
    let config = FlowConfig::new(100).with_threads(2).with_wait_strategy(WaitStrategy::GiveBack);
    let flow = flow(config, handler);
    for number in 1..50 {
        block_on(flow.execute(peer(number), 0)).unwrap();
        assert_eq!(starts.recv_timeout(LIMIT), Ok(0));
        flow.cancel_peer(peer(number));
        // Another worker looks into the lane, and finds it empty.
        block_on(flow.execute(peer(200), 1)).unwrap();
        assert_eq!(starts.recv_timeout(LIMIT), Ok(1));
        (0..2).for_each(|_| leave.send(()).unwrap());
        at_rest(&flow);
    }
    let lanes = || flow.inner.core.peers.iter().count();
    wait_until("that only one lane is left", || lanes() <= 1);
}

#[test]
fn lanes_that_have_lost_something_make_place_for_newcomers() {
    let config =
        FlowConfig::new(1).with_max_peers(2).with_overload_policy(OverloadPolicy::DropNewest);
    let (flow, _starts, leave) = busy(config);
    (1..3).for_each(|from| brought(flow.execute(peer(from), 1)).unwrap());
    assert_eq!(flow.snapshot().count(Outcome::DroppedNewest), 2);
    leave.send(()).unwrap();
    at_rest(&flow);
    for from in 3..20 {
        block_on(flow.execute(peer(from), 2)).unwrap();
        leave.send(()).unwrap();
        at_rest(&flow);
    }
}
