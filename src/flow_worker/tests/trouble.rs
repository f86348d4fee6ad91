//! Overload, panics, peers that go, and changes while messages flow.

use super::*;
use crate::{Codel, OverloadPolicy, PanicPolicy, Quarantine};

/// A flow of one thread whose handlers wait for leave, the first of which has begun on message 0 of peer 1.
fn busy(
    config: FlowConfig,
) -> (FlowWorker<u32, impl MessageHandler<u32>>, Receiver<u32>, Sender<()>) {
    let (handler, starts, leave) = gated();
    let registry = MetricsRegistry::new();
    let flow = FlowWorker::new(FlowType::Request, &config.with_threads(1), &registry, handler);
    let flow = flow.unwrap();
    block_on(flow.execute(peer(1), 0)).unwrap();
    assert_eq!(starts.recv_timeout(LIMIT), Ok(0));
    (flow, starts, leave)
}

fn at_rest<M: Send + 'static>(flow: &FlowWorker<M, impl MessageHandler<M>>) -> FlowSnapshot {
    wait_until("rest", || flow.snapshot().in_flight == 0);
    let counts = flow.snapshot();
    counts.verify("test").unwrap();
    assert_eq!((counts.waiting, counts.bytes_in_flight), (0, 0));
    counts
}

fn brought<T>(execute: impl Future<Output = T> + Unpin) -> T {
    execute.now_or_never().expect("nobody has to wait")
}

#[test]
fn where_nobody_waits_what_finds_no_room_comes_back() {
    let config = FlowConfig::new(1).with_overload_policy(OverloadPolicy::Refuse);
    let (flow, _starts, leave) = busy(config);
    let refused = brought(flow.execute(peer(1), 7)).unwrap_err();
    assert_eq!((refused.message, refused.reason), (7, RefusalReason::NoRoom));
    leave.send(()).unwrap();
    let counts = at_rest(&flow);
    assert_eq!((counts.ended(End::NoRoom), counts.handled(), counts.dropped()), (1, 1, 0));
}

#[test]
fn the_newest_is_dropped_where_that_is_the_policy() {
    let config =
        FlowConfig::new(2).with_peer_quota(2).with_overload_policy(OverloadPolicy::DropNewest);
    let (flow, starts, leave) = busy(config);
    (1..5).for_each(|message| brought(flow.execute(peer(1), message)).unwrap());
    (0..2).for_each(|_| leave.send(()).unwrap());
    let counts = at_rest(&flow);
    assert_eq!((counts.handled(), counts.ended(End::DroppedNewest)), (2, 3));
    assert_eq!(starts.try_iter().collect::<Vec<_>>(), [1]);
}

#[test]
fn the_oldest_is_dropped_where_that_is_the_policy() {
    let config =
        FlowConfig::new(3).with_peer_quota(3).with_overload_policy(OverloadPolicy::DropOldest);
    let (flow, starts, leave) = busy(config);
    (1..6).for_each(|message| brought(flow.execute(peer(1), message)).unwrap());
    // One of another peer, for which the one that has most makes room.
    brought(flow.execute(peer(2), 9)).unwrap();
    (0..3).for_each(|_| leave.send(()).unwrap());
    let counts = at_rest(&flow);
    assert_eq!((counts.handled(), counts.ended(End::DroppedOldest)), (3, 4));
    let mut ran: Vec<_> = starts.try_iter().collect();
    ran.sort_unstable();
    assert_eq!(ran, [5, 9]);
}

#[test]
fn nothing_is_dropped_of_others_for_one_that_finds_no_room_all_the_same() {
    let config = FlowConfig::new(100)
        .with_peer_quota(100)
        .with_max_bytes(Some(1_000))
        .with_overload_policy(OverloadPolicy::DropOldest);
    let (flow, _starts, leave) = busy(config);
    (1..5).for_each(|message| brought(flow.execute_sized(peer(2), message, 4)).unwrap());
    brought(flow.execute_sized(peer(3), 5, 100_000)).unwrap();
    // Its bytes are what is missing, and it is the oldest of its peer.
    brought(flow.execute_sized(peer(3), 6, 4)).unwrap();
    brought(flow.execute_sized(peer(4), 7, 100_000)).unwrap();
    brought(flow.execute_sized(peer(5), 8, 4)).unwrap();
    let counts = flow.snapshot();
    assert_eq!((counts.ended(End::DroppedOldest), counts.ended(End::DroppedNewest)), (1, 1));
    (0..7).for_each(|_| leave.send(()).unwrap());
    assert_eq!(at_rest(&flow).handled(), 7);
}

#[test]
fn what_is_too_old_does_not_start_and_is_counted() {
    let config = FlowConfig::new(10).with_peer_quota(10).with_threads(1);
    let (flow, starts, leave) = busy(config);
    flow.reconfigure(&config.with_max_age(Some(Duration::from_nanos(1)))).unwrap();
    (1..4).for_each(|message| brought(flow.execute(peer(1), message)).unwrap());
    leave.send(()).unwrap();
    let counts = at_rest(&flow);
    assert_eq!((counts.ended(End::Expired), counts.handled()), (3, 1));
    assert_eq!((starts.try_iter().count(), counts.dropped()), (0, 3));
    flow.reconfigure(&config).unwrap();
    brought(flow.execute(peer(1), 4)).unwrap();
    assert_eq!(starts.recv_timeout(LIMIT), Ok(4));
    leave.send(()).unwrap();
    at_rest(&flow);
}

#[test]
fn a_queue_that_stands_is_shed() {
    let interval = Duration::from_millis(1);
    let config = FlowConfig::new(100)
        .with_peer_quota(100)
        .with_codel(Codel::new(Duration::from_nanos(1), interval));
    let (flow, starts, leave) = busy(config);
    (1..100).for_each(|message| brought(flow.execute(peer(1), message)).unwrap());
    for _ in 0..100 {
        // Each handler lasts for longer than the interval, whatever the machine does.
        let begun = Instant::now();
        while begun.elapsed() <= interval {
            thread::yield_now();
        }
        leave.send(()).unwrap();
    }
    let counts = at_rest(&flow);
    assert!(counts.ended(End::Shed) > 0, "{counts:?}");
    assert_eq!(starts.try_iter().count() as u64 + 1, counts.handled());
}

#[test]
fn a_bound_in_bytes_holds_back_what_a_bound_in_messages_lets_in() {
    let config = FlowConfig::new(100).with_peer_quota(100).with_max_bytes(Some(1_000));
    let (flow, starts, leave) = busy(config);
    brought(flow.execute_sized(peer(1), 1, 2_000)).unwrap();
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
    brought(flow.execute_sized(peer(1), 1, 50)).unwrap();
    let waiting = flow.execute_sized(peer(1), 2, 1);
    brought(flow.execute_sized(peer(2), 3, 50)).unwrap();
    assert_eq!(flow.snapshot().waiting, 1);
    // A bound that is lifted while somebody waits lets it in, and what was charged is taken off.
    flow.reconfigure(&FlowConfig::new(100).with_threads(1)).unwrap();
    block_on(waiting).unwrap();
    (0..4).for_each(|_| leave.send(()).unwrap());
    assert_eq!(at_rest(&flow).handled(), 4);
}

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
    assert_eq!((counts.ended(End::Cancelled), counts.ended(End::Disconnected)), (2, 1));
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
    assert_eq!(at_rest(&flow).ended(End::Cancelled), 3);
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
    assert_eq!(flow.snapshot().ended(End::DroppedNewest), 2);
    leave.send(()).unwrap();
    at_rest(&flow);
    for from in 3..20 {
        block_on(flow.execute(peer(from), 2)).unwrap();
        leave.send(()).unwrap();
        at_rest(&flow);
    }
}

#[test]
fn a_peer_whose_messages_panic_is_refused_until_that_is_lifted() {
    let policy = Quarantine::after(2, Duration::from_secs(3_600));
    let config = FlowConfig::new(10).with_panic_policy(PanicPolicy::Quarantine(policy));
    let flow = flow(config, |_, panics: bool| assert!(!panics, "on purpose"));
    for _ in 0..2 {
        block_on(flow.execute(peer(1), true)).unwrap();
        at_rest(&flow);
    }
    let refused = brought(flow.execute(peer(1), false)).unwrap_err();
    assert_eq!(refused.reason, RefusalReason::Quarantined);
    block_on(flow.execute(peer(2), false)).unwrap();
    assert!(flow.lift_quarantine(peer(1)) && !flow.lift_quarantine(peer(1)));
    block_on(flow.execute(peer(1), false)).unwrap();
    let counts = at_rest(&flow);
    assert_eq!((counts.panicked(), counts.handled(), counts.ended(End::Quarantined)), (2, 2, 1));
}

/// A handler that panics on 0, and whose hook shuts the flow down.
struct Fails {
    #[expect(clippy::disallowed_types, reason = "a test's own")]
    flow: std::sync::Mutex<Option<std::sync::Weak<FlowWorker<u32, Fails>>>>,
    go: crossbeam::channel::Receiver<()>,
    reports: Sender<FlowReport>,
}

impl MessageHandler<u32> for Fails {
    fn handle(&self, _: NodeId, message: u32) {
        self.go.recv_timeout(LIMIT).unwrap();
        assert!(message > 0, "on purpose");
    }

    fn failed(&self, _: NodeId) {
        let flow = self.flow.lock().unwrap().clone().unwrap().upgrade().unwrap();
        self.reports.send(flow.shutdown(LIMIT)).unwrap();
        panic!("this too");
    }
}

#[test]
fn a_flow_that_fails_by_a_panic_calls_its_hook_once_which_may_shut_it_down() {
    let (go, gone) = crossbeam::channel::unbounded();
    let (sender, reports) = channel();
    let fails = Fails { flow: Default::default(), go: gone, reports: sender };
    let config = FlowConfig::new(10).with_threads(1).with_panic_policy(PanicPolicy::FailFast);
    let flow = FlowWorker::new(FlowType::Request, &config, &MetricsRegistry::new(), fails);
    let flow = Arc::new(flow.unwrap());
    flow.inner.with_handler(|handler| {
        *handler.0.flow.lock().unwrap() = Some(Arc::downgrade(&flow));
    });
    block_on(flow.execute(peer(1), 0)).unwrap();
    block_on(flow.execute(peer(1), 1)).unwrap();
    go.send(()).unwrap();
    let report = reports.recv_timeout(LIMIT / 2).expect("it does not wait for itself");
    assert_eq!((report.dropped, report.running), (1, 1));
    let refused = block_on(flow.execute(peer(1), 2)).unwrap_err();
    assert_eq!(refused.reason, RefusalReason::Closed);
    assert_eq!(at_rest(&flow).panicked(), 1);
    assert!(reports.try_recv().is_err(), "once");
}

/// Says what it is given, and may panic when it is dropped.
struct Bomb {
    live: bool,
    told: Sender<u32>,
    go: crossbeam::channel::Receiver<()>,
}

impl MessageHandler<u32> for Bomb {
    fn handle(&self, _: NodeId, message: u32) {
        self.told.send(message).unwrap();
        self.go.recv_timeout(LIMIT).unwrap();
    }
}

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(!self.live, "on purpose");
    }
}

#[test]
fn a_replaced_handler_whose_drop_panics_harms_nobody() {
    let (go, gone) = crossbeam::channel::unbounded();
    let (told, hears) = channel();
    let bomb = |live| Bomb { live, told: told.clone(), go: gone.clone() };
    let config = FlowConfig::new(10).with_peer_quota(10).with_threads(1);
    let flow = FlowWorker::new(FlowType::Request, &config, &MetricsRegistry::new(), bomb(true));
    let flow = flow.unwrap();
    block_on(flow.execute(peer(1), 0)).unwrap();
    assert_eq!(hears.recv_timeout(LIMIT), Ok(0));
    flow.replace_handler(bomb(false));
    (1..3).for_each(|message| brought(flow.execute(peer(1), message)).unwrap());
    (0..3).for_each(|_| go.send(()).unwrap());
    assert_eq!(at_rest(&flow).handled(), 3);
    assert_eq!(flow.snapshot().stray_panics, 0);
}

#[test]
fn what_cannot_change_is_refused_and_nothing_changes() {
    let config = FlowConfig::new(10).with_threads(2).with_peer_quota(4);
    let flow =
        FlowWorker::new(FlowType::Chunk, &config, &MetricsRegistry::new(), |_: NodeId, (): ()| {});
    let flow = flow.unwrap();
    let wrong = [
        (config.with_max_peers(1), "cannot change while it runs: max_peers"),
        (config.with_max_waiters(1), "cannot change while it runs: max_waiters"),
        (config.with_order(Order::PerPeer), "cannot change while it runs: order"),
        (config.with_threads(3), "cannot change while it runs: threads, which can only be fewer"),
        (
            config.with_peer_quota(5),
            "cannot change while it runs: peer_quota, which can only be smaller",
        ),
        (config.with_max_bytes(Some(0)), "a bound of 0 bytes; give it 1 to 1099511627776"),
        (
            config.with_max_age(Some(Duration::ZERO)),
            "an age of 0ns; give it more than zero and up to 3600s",
        ),
    ];
    for (wrong, why) in wrong {
        let error = flow.reconfigure(&wrong).unwrap_err();
        assert_eq!(error.to_string(), format!("Chunk flow: {why}"));
    }
    flow.reconfigure(&FlowConfig::new(20).with_threads(1)).unwrap();
}

#[test]
fn a_lower_limit_and_fewer_threads_hold_at_once_and_higher_ones_let_in_who_waits() {
    let (handler, starts, leave) = gated();
    let config = FlowConfig::new(4).with_threads(3).with_peer_quota(4);
    let flow = flow(config, handler);
    (0..3).for_each(|message| block_on(flow.execute(peer(1), message)).unwrap());
    assert_eq!(starts.iter().take(3).count(), 3);
    flow.reconfigure(&config.with_max_inflight_requests(1).with_threads(1)).unwrap();
    let mut waiting: Vec<_> = (3..7).map(|message| flow.execute(peer(1), message)).collect();
    assert!(waiting.iter_mut().all(|waiting| waiting.now_or_never().is_none()));
    (0..2).for_each(|_| leave.send(()).unwrap());
    wait_until("that two have ended", || flow.snapshot().finished() == 2);
    assert_eq!(flow.snapshot().waiting, 4, "one is in flight, which is the limit");
    leave.send(()).unwrap();
    assert_eq!(starts.recv_timeout(LIMIT), Ok(3));
    wait_until("the end of the third", || flow.snapshot().finished() == 3);
    // One at a time, until it may be three.
    flow.reconfigure(&config).unwrap();
    assert_eq!(starts.iter().take(2).count(), 2);
    (0..4).for_each(|_| leave.send(()).unwrap());
    block_on(join_all(waiting)).into_iter().for_each(|admitted| admitted.unwrap());
    assert_eq!(at_rest(&flow).handled(), 7);
}

#[test]
fn every_wait_strategy_can_become_every_other_while_messages_flow() {
    let strategies = [
        WaitStrategy::GiveBack,
        WaitStrategy::Park,
        WaitStrategy::Spin,
        WaitStrategy::Adaptive(Duration::from_micros(20)),
        WaitStrategy::Park,
        WaitStrategy::GiveBack,
    ];
    let config = FlowConfig::new(8).with_threads(2);
    let flow = flow(config, |_, (): ()| {});
    for round in 0..200_usize {
        let strategy = strategies[round % strategies.len()];
        let threads = 1 + round % 2;
        flow.reconfigure(&config.with_threads(threads).with_wait_strategy(strategy)).unwrap();
        for number in 0..(round % 5) as u8 {
            block_on(flow.execute(peer(number), ())).unwrap();
        }
        at_rest(&flow);
    }
    assert!(flow.shutdown(LIMIT).is_clean());
}

#[test]
fn gauges_tell_how_the_flow_stands() {
    let config = FlowConfig::new(10).with_peer_quota(10).with_max_age(Some(LIMIT));
    let (flow, starts, leave) = busy(config);
    (1..4).for_each(|message| brought(flow.execute(peer(1), message)).unwrap());
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
        flow.report_stuck(Duration::ZERO, &mut reported);
        flow.snapshot().stuck
    };
    assert_eq!([look(), look()], [1, 1]);
    brought(flow.execute(peer(1), 1)).unwrap();
    leave.send(()).unwrap();
    assert_eq!(starts.recv_timeout(LIMIT), Ok(1));
    assert_eq!([look(), look()], [2, 2]);
    leave.send(()).unwrap();
    at_rest(&flow);
    assert_eq!(look(), 2);
}

#[test]
fn two_handlers_that_shut_their_flow_down_do_not_wait_for_each_other() {
    let (give, take) = crossbeam::channel::bounded::<Arc<dyn Fn() -> FlowReport + Send + Sync>>(2);
    let (sender, reports) = channel();
    let both = Barrier::new(2);
    let config = FlowConfig::new(2).with_threads(2);
    let flow = Arc::new(flow(config, move |_, (): ()| {
        let shut_down = take.recv_timeout(LIMIT).unwrap();
        both.wait();
        sender.send(shut_down()).unwrap();
    }));
    for from in 1..3 {
        let same = Arc::clone(&flow);
        give.send(Arc::new(move || same.shutdown(LIMIT))).unwrap();
        block_on(flow.execute(peer(from), ())).unwrap();
    }
    for _ in 0..2 {
        let report = reports.recv_timeout(LIMIT / 2).expect("neither waits for the other");
        assert!(!report.joined);
    }
    at_rest(&flow);
}
