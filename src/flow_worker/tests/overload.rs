//! More messages than there is capacity or time for.

use super::*;

#[test]
fn where_nobody_waits_what_finds_no_capacity_comes_back() {
    let config = FlowConfig::new(1).with_overload_policy(OverloadPolicy::Refuse);
    let (flow, _starts, leave) = busy(config);
    let refused = at_once(flow.execute(peer(1), 7)).unwrap_err();
    assert_eq!((refused.message, refused.reason), (7, RefusalReason::Full));
    leave.send(()).unwrap();
    let counts = at_rest(&flow);
    assert_eq!((counts.count(Outcome::Full), counts.handled(), counts.dropped()), (1, 1, 0));
}

#[test]
fn the_newest_is_dropped_where_that_is_the_policy() {
    let config =
        FlowConfig::new(2).with_peer_quota(2).with_overload_policy(OverloadPolicy::DropNewest);
    let (flow, starts, leave) = busy(config);
    let answers = [1, 2, 3, 4].map(|message| at_once(flow.execute(peer(1), message)).unwrap());
    let dropped = Submitted::Dropped(Outcome::DroppedNewest);
    assert_eq!(answers, [Submitted::Admitted, dropped, dropped, dropped]);
    (0..2).for_each(|_| leave.send(()).unwrap());
    let counts = at_rest(&flow);
    assert_eq!((counts.handled(), counts.count(Outcome::DroppedNewest)), (2, 3));
    assert_eq!(starts.try_iter().collect::<Vec<_>>(), [1]);
}

#[test]
fn the_oldest_is_dropped_where_that_is_the_policy() {
    let config =
        FlowConfig::new(3).with_peer_quota(3).with_overload_policy(OverloadPolicy::DropOldest);
    let (flow, starts, leave) = busy(config);
    for message in 1..6 {
        assert_eq!(at_once(flow.execute(peer(1), message)).unwrap(), Submitted::Admitted);
    }
    // One of another peer, which has none that is older: nothing is dropped of others.
    let answer = at_once(flow.execute(peer(2), 9)).unwrap();
    assert_eq!(answer, Submitted::Dropped(Outcome::DroppedNewest));
    (0..3).for_each(|_| leave.send(()).unwrap());
    let counts = at_rest(&flow);
    let dropped = [Outcome::DroppedOldest, Outcome::DroppedNewest].map(|end| counts.count(end));
    assert_eq!((counts.handled(), dropped), (3, [3, 1]));
    assert_eq!(starts.try_iter().collect::<Vec<_>>(), [4, 5]);
}

#[test]
fn who_tries_gets_the_message_back_whatever_the_policy_and_nothing_is_dropped_for_it() {
    let policies = [
        OverloadPolicy::Wait,
        OverloadPolicy::Refuse,
        OverloadPolicy::DropNewest,
        OverloadPolicy::DropOldest,
        // A closure supersedes nothing.
        OverloadPolicy::KeepLatest,
    ];
    for policy in policies {
        let config = FlowConfig::new(2).with_peer_quota(2).with_overload_policy(policy);
        let (flow, starts, leave) = busy(config);
        flow.try_execute(peer(1), 1).expect("there is capacity");
        for from in [1, 2] {
            let refused = flow.try_execute(peer(from), 2).unwrap_err();
            assert_eq!((refused.message, refused.reason), (2, RefusalReason::Full), "{policy:?}");
        }
        assert_eq!(flow.snapshot().waiting, 0);
        (0..2).for_each(|_| leave.send(()).unwrap());
        let counts = at_rest(&flow);
        assert_eq!((counts.handled(), counts.dropped(), counts.count(Outcome::Full)), (2, 0, 2));
        assert_eq!(starts.try_iter().collect::<Vec<_>>(), [1]);
        flow.close();
        assert_eq!(flow.try_execute(peer(1), 3).unwrap_err().reason, RefusalReason::Closed);
    }
}

#[test]
fn who_tries_does_not_pass_those_who_wait() {
    let (flow, _starts, leave) = busy(FlowConfig::new(1).with_peer_quota(1));
    let waiting = flow.execute(peer(2), 1);
    leave.send(()).unwrap();
    block_on(waiting).unwrap();
    let later = flow.execute(peer(1), 2);
    assert_eq!(flow.try_execute(peer(2), 3).unwrap_err().reason, RefusalReason::Full);
    leave.send(()).unwrap();
    block_on(later).unwrap();
    leave.send(()).unwrap();
    assert_eq!(at_rest(&flow).handled(), 3);
}

#[test]
fn a_thread_without_an_executor_waits_for_capacity() {
    let (flow, _starts, leave) = busy(FlowConfig::new(1).with_threads(1));
    thread::scope(|threads| {
        let waits = threads.spawn(|| flow.execute(peer(1), 1).wait());
        wait_until("the wait", || flow.snapshot().waiting == 1);
        // Unparked for another reason, it goes on waiting.
        waits.thread().unpark();
        leave.send(()).unwrap();
        assert_eq!(waits.join().unwrap().unwrap(), Submitted::Admitted);
        let refused = threads.spawn(|| flow.execute(peer(1), 2).wait());
        wait_until("the wait", || flow.snapshot().waiting == 1);
        flow.close();
        let refused = refused.join().unwrap().unwrap_err();
        assert_eq!((refused.message, refused.reason), (2, RefusalReason::Closed));
    });
    leave.send(()).unwrap();
    assert_eq!(at_rest(&flow).handled(), 2);
}

#[test]
fn the_oldest_of_its_own_peer_frees_its_bytes() {
    let config = FlowConfig::new(100)
        .with_peer_quota(100)
        .with_max_bytes(Some(1_000))
        .with_overload_policy(OverloadPolicy::DropOldest);
    let (flow, _starts, leave) = busy(config);
    (1..5).for_each(|message| _ = at_once(flow.execute_sized(peer(2), message, 4)).unwrap());
    at_once(flow.execute_sized(peer(3), 5, 100_000)).unwrap();
    // Its bytes are what is missing, and it is the oldest of its peer.
    at_once(flow.execute_sized(peer(3), 6, 4)).unwrap();
    at_once(flow.execute_sized(peer(4), 7, 100_000)).unwrap();
    at_once(flow.execute_sized(peer(5), 8, 4)).unwrap();
    let counts = flow.snapshot();
    assert_eq!(
        (counts.count(Outcome::DroppedOldest), counts.count(Outcome::DroppedNewest)),
        (1, 1)
    );
    (0..7).for_each(|_| leave.send(()).unwrap());
    assert_eq!(at_rest(&flow).handled(), 7);
}

#[test]
fn what_is_too_old_does_not_start_and_is_counted() {
    let config = FlowConfig::new(10).with_peer_quota(10).with_threads(1);
    let (flow, starts, leave) = busy(config);
    flow.reconfigure(&config.with_max_age(Some(Duration::from_nanos(1)))).unwrap();
    (1..4).for_each(|message| _ = at_once(flow.execute(peer(1), message)).unwrap());
    leave.send(()).unwrap();
    let counts = at_rest(&flow);
    assert_eq!((counts.count(Outcome::Expired), counts.handled()), (3, 1));
    assert_eq!((starts.try_iter().count(), counts.dropped()), (0, 3));
    flow.reconfigure(&config).unwrap();
    at_once(flow.execute(peer(1), 4)).unwrap();
    assert_eq!(starts.recv_timeout(LIMIT), Ok(4));
    leave.send(()).unwrap();
    at_rest(&flow);
}

#[test]
fn a_bound_in_bytes_holds_back_what_a_bound_in_messages_lets_in() {
    let config = FlowConfig::new(100).with_peer_quota(100).with_max_bytes(Some(1_000));
    let (flow, starts, leave) = busy(config);
    at_once(flow.execute_sized(peer(1), 1, 2_000)).unwrap();
    let mut waiting = flow.execute_sized(peer(2), 2, 1);
    assert!((&mut waiting).now_or_never().is_none(), "the bound is reached");
    let counts = flow.snapshot();
    assert_eq!((counts.bytes_in_flight, counts.overload), (2_004, 100));
    leave.send(()).unwrap();
    assert_eq!(starts.recv_timeout(LIMIT), Ok(1));
    leave.send(()).unwrap();
    block_on(waiting).unwrap();
    leave.send(()).unwrap();
    assert_eq!(at_rest(&flow).handled(), 3);
}

#[test]
fn a_peer_over_its_bytes_waits_alone() {
    let config = FlowConfig::new(100).with_peer_max_bytes(Some(10));
    let (flow, _starts, leave) = busy(config);
    at_once(flow.execute_sized(peer(1), 1, 50)).unwrap();
    let waiting = flow.execute_sized(peer(1), 2, 1);
    at_once(flow.execute_sized(peer(2), 3, 50)).unwrap();
    assert_eq!(flow.snapshot().waiting, 1);
    // A bound that is lifted while somebody waits lets it in, and what was charged is taken off.
    flow.reconfigure(&FlowConfig::new(100).with_threads(1)).unwrap();
    block_on(waiting).unwrap();
    (0..4).for_each(|_| leave.send(()).unwrap());
    assert_eq!(at_rest(&flow).handled(), 4);
}
