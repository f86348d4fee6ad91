//! The face of a flow, on real threads.

use std::{
    collections::BTreeSet,
    sync::{
        Barrier,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
};

use futures_executor::block_on;
use futures_util::{FutureExt, future::join_all};

use super::*;
use crate::{
    End, Order, RefusalReason, WaitStrategy,
    sync::{AtomicBool, Ordering},
};

mod trouble;

/// Beyond this a test has failed; nothing passes by taking long.
const LIMIT: Duration = Duration::from_secs(60);

fn peer(number: u8) -> NodeId {
    NodeId::new([number; 32])
}

fn flow<M: Send + 'static>(
    config: FlowConfig,
    handler: impl Fn(NodeId, M) + Send + Sync + 'static,
) -> FlowWorker<M, impl MessageHandler<M>> {
    // One peer may have all of it, unless a test is about quotas.
    let config = config.with_peer_quota(config.max_inflight_requests());
    FlowWorker::new(FlowType::Request, &config, &MetricsRegistry::new(), handler).unwrap()
}

/// Waits until `condition` holds.
fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let limit = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < limit, "{what} did not come about");
        thread::yield_now();
    }
}

/// A handler that reports each message and waits for leave to end.
fn gated() -> (impl Fn(NodeId, u32) + Send + Sync + 'static, Receiver<u32>, Sender<()>) {
    let (started, starts) = channel();
    let (leave, leaves) = crossbeam::channel::unbounded::<()>();
    let (sender, ends) = channel();
    thread::spawn(move || ends.into_iter().for_each(|()| leave.send(()).unwrap_or(())));
    let handler = move |_, message| {
        started.send(message).unwrap();
        leaves.recv_timeout(LIMIT).expect("the test gives leave");
    };
    (handler, starts, sender)
}

#[test]
fn a_wrong_configuration_is_refused_before_a_thread_starts() {
    let built = FlowWorker::new(
        FlowType::Chunk,
        &FlowConfig::new(1).with_threads(0),
        &MetricsRegistry::new(),
        |_: NodeId, (): ()| {},
    );
    assert_eq!(built.unwrap_err().to_string(), "Chunk flow: no threads; give it 1 to 256");
}

#[test]
fn handlers_run_on_the_named_threads_of_the_flow() {
    let (sender, receiver) = channel();
    let flow = flow(FlowConfig::new(10), move |peer, message: u32| {
        let name = thread::current().name().map(str::to_owned);
        sender.send((name, peer, message, rayon::current_num_threads())).unwrap();
    });
    block_on(flow.execute(peer(1), 7)).unwrap();
    let name = Some("P2P_Request_Thread".to_owned());
    assert_eq!(receiver.recv_timeout(LIMIT).unwrap(), (name, peer(1), 7, 3));
}

#[cfg(all(feature = "pinning", target_os = "linux"))]
#[test]
fn pinned_threads_run_on_their_cores_only() {
    let (sender, receiver) = channel();
    let config = FlowConfig::new(10).with_threads(1).with_first_core(1);
    let flow = flow(config, move |_, (): ()| {
        // Only those cores are shown that the thread may use.
        sender.send(core_affinity::get_core_ids().unwrap()).unwrap();
    });
    block_on(flow.execute(peer(1), ())).unwrap();
    let all = core_affinity::get_core_ids().unwrap();
    assert_eq!(receiver.recv_timeout(LIMIT).unwrap(), [all[1 % all.len()]]);
}

#[test]
fn with_one_permit_the_second_waits_and_nothing_is_lost() {
    let (handler, starts, leave) = gated();
    let flow = flow(FlowConfig::new(1), handler);
    block_on(flow.execute(peer(1), 0)).unwrap();
    assert_eq!(starts.recv_timeout(LIMIT), Ok(0));
    let mut second = flow.execute(peer(1), 1);
    let mut third = flow.execute(peer(2), 2);
    assert!((&mut third).now_or_never().is_none());
    assert!((&mut second).now_or_never().is_none());
    let counts = flow.snapshot();
    assert_eq!((counts.in_flight, counts.waiting, counts.waiting_for_peer_permit), (1, 2, 2));
    leave.send(()).unwrap();
    block_on(second).unwrap();
    assert_eq!(starts.recv_timeout(LIMIT), Ok(1));
    assert!((&mut third).now_or_never().is_none());
    leave.send(()).unwrap();
    block_on(third).unwrap();
    assert_eq!(starts.recv_timeout(LIMIT), Ok(2));
    leave.send(()).unwrap();
    assert!(flow.shutdown(LIMIT).is_clean());
    assert_eq!((flow.snapshot().admitted, flow.snapshot().handled()), (3, 3));
}

#[test]
fn a_waiting_message_is_dropped_with_its_future_and_counted() {
    let (handler, starts, leave) = gated();
    let flow = flow(FlowConfig::new(1), handler);
    block_on(flow.execute(peer(1), 0)).unwrap();
    let never_polled = flow.execute(peer(1), 1);
    let mut polled = flow.execute(peer(1), 2);
    assert!((&mut polled).now_or_never().is_none());
    let last = flow.execute(peer(1), 3);
    drop(never_polled);
    drop(polled);
    starts.recv_timeout(LIMIT).unwrap();
    leave.send(()).unwrap();
    block_on(last).unwrap();
    leave.send(()).unwrap();
    assert_eq!(starts.recv_timeout(LIMIT), Ok(3));
    assert!(flow.shutdown(LIMIT).is_clean());
    let counts = flow.snapshot();
    assert_eq!((counts.admitted, counts.handled(), counts.ended(End::GaveUp)), (2, 2, 2));
    assert_eq!((counts.in_flight, counts.waiting), (0, 0));
}

#[test]
fn one_waiter_too_many_gets_its_message_back() {
    let (handler, starts, leave) = gated();
    let flow = flow(FlowConfig::new(1).with_max_waiters(0), handler);
    block_on(flow.execute(peer(1), 0)).unwrap();
    starts.recv_timeout(LIMIT).unwrap();
    let refused = block_on(flow.execute(peer(1), 5)).unwrap_err();
    assert_eq!((refused.message, refused.reason), (5, RefusalReason::TooManyWaiters));
    leave.send(()).unwrap();
    assert_eq!(flow.snapshot().refused(), 1);
}

#[test]
fn a_shutdown_runs_what_was_admitted_and_refuses_those_who_wait() {
    let (handler, starts, leave) = gated();
    let flow = flow(FlowConfig::new(2).with_threads(1), handler);
    block_on(flow.execute(peer(1), 0)).unwrap();
    block_on(flow.execute(peer(1), 1)).unwrap();
    let waiting = flow.execute(peer(1), 2);
    starts.recv_timeout(LIMIT).unwrap();
    thread::scope(|scope| {
        let report = scope.spawn(|| flow.shutdown(LIMIT));
        let refused = block_on(waiting).unwrap_err();
        assert_eq!((refused.message, refused.reason), (2, RefusalReason::Closed));
        leave.send(()).unwrap();
        leave.send(()).unwrap();
        assert!(report.join().unwrap().is_clean());
    });
    assert_eq!(starts.try_recv(), Ok(1));
    let refused = block_on(flow.execute(peer(1), 3)).unwrap_err();
    assert_eq!((refused.message, refused.reason), (3, RefusalReason::Closed));
    let counts = flow.snapshot();
    assert_eq!((counts.admitted, counts.handled(), counts.refused()), (2, 2, 2));
    assert_eq!(counts.ended(End::Closed), 2);
}

#[test]
fn a_shutdown_reports_what_is_stuck_and_what_never_started() {
    let (handler, starts, leave) = gated();
    let flow = flow(FlowConfig::new(3).with_threads(1), handler);
    (0..3).for_each(|message| block_on(flow.execute(peer(1), message)).unwrap());
    starts.recv_timeout(LIMIT).unwrap();
    let report = flow.shutdown(Duration::ZERO);
    assert_eq!((report.dropped, report.running, report.joined), (2, 1, false));
    leave.send(()).unwrap();
    let report = flow.shutdown(LIMIT);
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(starts.try_recv().ok(), None, "something started after the shutdown");
    let counts = flow.snapshot();
    assert_eq!((counts.admitted, counts.handled(), counts.ended(End::Abandoned)), (3, 1, 2));
}

#[test]
fn a_handler_may_shut_its_own_flow_down() {
    let (sender, receiver) = channel();
    let (give, take) = crossbeam::channel::bounded::<Arc<dyn Fn() -> FlowReport + Send + Sync>>(1);
    let flow = Arc::new(flow(FlowConfig::new(2), move |_, (): ()| {
        let shutdown = take.recv_timeout(LIMIT).unwrap();
        sender.send(shutdown()).unwrap();
    }));
    let same = Arc::clone(&flow);
    give.send(Arc::new(move || same.shutdown(LIMIT))).unwrap();
    block_on(flow.execute(peer(1), ())).unwrap();
    let report = receiver.recv_timeout(LIMIT).unwrap();
    assert_eq!((report.dropped, report.running, report.joined), (0, 1, false));
    assert!(flow.shutdown(LIMIT).is_clean());
}

#[test]
fn dropping_the_flow_runs_what_was_admitted_and_ends_its_threads() {
    struct OnExit(Sender<()>);
    impl Drop for OnExit {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }
    let (handler, starts, leave) = gated();
    let (exit, exited) = channel();
    let guard = OnExit(exit);
    let flow = flow(FlowConfig::new(2).with_threads(1), move |peer, message| {
        let _ = &guard;
        handler(peer, message);
    });
    let pool = flow.inner.core.threads.ended();
    block_on(flow.execute(peer(1), 0)).unwrap();
    block_on(flow.execute(peer(1), 1)).unwrap();
    let waiting = flow.execute(peer(1), 2);
    drop(flow);
    assert_eq!(block_on(waiting).unwrap_err().reason, RefusalReason::Closed);
    leave.send(()).unwrap();
    leave.send(()).unwrap();
    assert_eq!(starts.into_iter().take(2).collect::<Vec<_>>(), [0, 1]);
    exited.recv_timeout(LIMIT).expect("the handler is dropped");
    let end = pool.recv_timeout(LIMIT);
    assert_eq!(end, Err(crossbeam::channel::RecvTimeoutError::Disconnected));
}

#[test]
fn handlers_get_the_idle_threads_of_the_flow_as_helpers() {
    let (sender, receiver) = channel();
    let both = Barrier::new(2);
    let flow = flow(FlowConfig::new(1).with_threads(2), move |_, (): ()| {
        // Each side waits for the other, so this ends only if two threads run it.
        rayon::join(|| both.wait(), || both.wait());
        sender.send(()).unwrap();
    });
    block_on(flow.execute(peer(1), ())).unwrap();
    receiver.recv_timeout(LIMIT).expect("an idle thread helps");
}

#[test]
fn handlers_that_use_rayon_under_load_all_end() {
    let config = FlowConfig::new(64).with_threads(2).with_max_waiters(5_000);
    let flow = flow(config, |_, depth: u32| {
        fn fork(depth: u32) {
            if depth > 0 {
                rayon::join(|| fork(depth - 1), || fork(depth - 1));
            }
        }
        fork(depth);
    });
    block_on(join_all((0..5_000).map(|n| flow.execute(peer(1), n % 5))));
    assert!(flow.shutdown(LIMIT).is_clean());
    assert_eq!(flow.snapshot().handled(), 5_000);
}

#[test]
fn a_handler_may_bring_messages_to_its_own_flow() {
    type Slot = std::sync::OnceLock<Arc<dyn Fn(u32) + Send + Sync>>;
    let next: Arc<Slot> = Arc::default();
    let (sender, receiver) = channel();
    let in_handler = Arc::clone(&next);
    let flow = Arc::new(flow(FlowConfig::new(2).with_threads(1), move |_, left: u32| match left {
        0 => sender.send(()).unwrap(),
        _ => in_handler.get().unwrap()(left - 1),
    }));
    let weak = Arc::downgrade(&flow);
    let resubmit = move |left| {
        let flow = weak.upgrade().expect("the test keeps the flow");
        flow.execute(peer(1), left).now_or_never().expect("there is room").unwrap();
    };
    assert!(next.set(Arc::new(resubmit)).is_ok());
    block_on(flow.execute(peer(1), 1_000)).unwrap();
    receiver.recv_timeout(LIMIT).unwrap();
}

#[test]
fn every_message_of_every_producer_runs_exactly_once_whatever_is_cancelled() {
    const EACH: usize = 5_000;
    let (sender, receiver) = channel();
    let flow = flow(FlowConfig::new(7), move |_, message: usize| sender.send(message).unwrap());
    thread::scope(|scope| {
        for producer in 0..4 {
            let flow = &flow;
            scope.spawn(move || {
                for message in 0..EACH {
                    let mut execute = flow.execute(peer(0), producer * EACH + message);
                    // Those whose future is dropped here may have been admitted since.
                    if (&mut execute).now_or_never().is_none() && message % 3 > 0 {
                        block_on(execute).unwrap();
                    }
                }
            });
        }
    });
    assert!(flow.shutdown(LIMIT).is_clean());
    let counts = flow.snapshot();
    drop(flow);
    let ran: Vec<usize> = receiver.into_iter().collect();
    let distinct: BTreeSet<usize> = ran.iter().copied().collect();
    assert_eq!(distinct.len(), ran.len(), "a message ran twice");
    assert_eq!((counts.handled(), counts.admitted), (ran.len() as u64, ran.len() as u64));
    assert_eq!(counts.handled() + counts.ended(End::GaveUp), 4 * EACH as u64);
    assert_eq!((counts.in_flight, counts.waiting), (0, 0));
}

#[test]
fn the_transport_flow_runs_each_peers_messages_one_at_a_time_in_the_order_of_the_calls() {
    const EACH: u32 = 3_000;
    let (sender, receiver) = channel();
    let running: [AtomicBool; 3] = Default::default();
    let handler = move |peer: NodeId, message: u32| {
        let running = &running[usize::from(peer.as_bytes()[0])];
        assert!(!running.swap(true, Ordering::AcqRel), "two at a time");
        sender.send((peer, message)).unwrap();
        running.store(false, Ordering::Release);
    };
    // Little room, so that most have to wait for it, and futures that nobody polls.
    let config = FlowConfig::new(10).with_max_waiters(EACH as usize);
    let flow = FlowWorker::new(FlowType::Transport, &config, &MetricsRegistry::new(), handler);
    let flow = flow.unwrap();
    let calls: Vec<_> = (0..EACH)
        .flat_map(|number| [0, 1, 2].map(|from| (from, number)))
        .map(|(from, number)| flow.execute(peer(from), number))
        .collect();
    let all = u64::from(3 * EACH);
    wait_until("the end of all", || flow.snapshot().finished() == all);
    drop(calls);
    assert!(flow.shutdown(LIMIT).is_clean());
    assert_eq!((flow.snapshot().handled(), flow.snapshot().admitted), (all, all));
    drop(flow);
    let ran: Vec<_> = receiver.into_iter().collect();
    for from in [0, 1, 2].map(peer) {
        let of_peer = ran.iter().filter(|(peer, _)| *peer == from).map(|(_, message)| *message);
        assert!(of_peer.eq(0..EACH), "out of order");
    }
}

#[test]
fn a_peer_over_its_quota_waits_alone() {
    let (handler, starts, leave) = gated();
    let config = FlowConfig::new(8).with_threads(1);
    assert_eq!(config.peer_quota(), 2);
    let flow =
        FlowWorker::new(FlowType::Request, &config, &MetricsRegistry::new(), handler).unwrap();
    let execute = |from, message| flow.execute(peer(from), message).now_or_never();
    assert!(execute(1, 10).is_some() && execute(1, 11).is_some());
    assert!(execute(1, 12).is_none(), "the quota is two");
    // All the others find room, though somebody waits.
    for from in 2..5 {
        assert!(execute(from, 20).is_some() && execute(from, 21).is_some());
    }
    assert_eq!(flow.snapshot().in_flight, 8);
    assert!(execute(5, 50).is_none(), "the flow is full");
    (0..8).for_each(|_| leave.send(()).unwrap());
    assert!(flow.shutdown(LIMIT).is_clean());
    assert_eq!(flow.snapshot().handled(), 8);
    assert_eq!(starts.try_iter().count(), 8);
}

#[test]
fn peers_are_served_in_turn_however_much_one_of_them_has_sent() {
    let (handler, starts, leave) = gated();
    let config = FlowConfig::new(100).with_threads(1).with_quantum(Duration::ZERO);
    let flow = flow(config, handler);
    let bring = |from: u8, number: u32| {
        block_on(flow.execute(peer(from), u32::from(from) * 100 + number)).unwrap();
    };
    bring(0, 0);
    starts.recv_timeout(LIMIT).unwrap();
    (0..20).for_each(|number| bring(1, number));
    (0..3).for_each(|number| bring(2, number));
    (0..2).for_each(|number| bring(3, number));
    (0..26).for_each(|_| leave.send(()).unwrap());
    assert!(flow.shutdown(LIMIT).is_clean());
    let order: Vec<u32> = starts.try_iter().collect();
    assert_eq!(order[..9], [100, 200, 300, 101, 201, 301, 102, 202, 103]);
    assert!(order[9..].iter().copied().eq(104..120));
}

#[test]
fn lanes_come_with_a_message_and_go_when_they_are_forgotten_and_empty() {
    let (handler, starts, leave) = gated();
    let flow = flow(FlowConfig::new(10).with_threads(1), handler);
    let lanes = || flow.inner.core.peers.iter().count();
    assert_eq!(lanes(), 0);
    block_on(flow.execute(peer(1), 1)).unwrap();
    block_on(flow.execute(peer(2), 2)).unwrap();
    starts.recv_timeout(LIMIT).unwrap();
    flow.forget_peer(peer(1));
    flow.forget_peer(peer(9));
    assert_eq!(lanes(), 2, "one that has messages stays");
    (0..2).for_each(|_| leave.send(()).unwrap());
    wait_until("the lane's end", || lanes() == 1);
    flow.forget_peer(peer(2));
    wait_until("the other lane's end", || lanes() == 0);
    block_on(flow.execute(peer(1), 3)).unwrap();
    leave.send(()).unwrap();
    assert!(flow.shutdown(LIMIT).is_clean());
    assert_eq!((flow.snapshot().handled(), lanes()), (3, 1));
}

#[test]
fn a_peer_without_a_seat_takes_that_of_an_idle_one_or_is_refused() {
    let (handler, starts, leave) = gated();
    let flow = flow(FlowConfig::new(10).with_threads(1).with_max_peers(2), handler);
    block_on(flow.execute(peer(1), 1)).unwrap();
    block_on(flow.execute(peer(2), 2)).unwrap();
    let refused = block_on(flow.execute(peer(3), 3)).unwrap_err();
    assert_eq!((refused.message, refused.reason), (3, RefusalReason::TooManyPeers));
    assert_eq!(flow.snapshot().ended(End::TooManyPeers), 1);
    (0..2).for_each(|_| leave.send(()).unwrap());
    wait_until("idleness", || flow.snapshot().in_flight == 0);
    block_on(flow.execute(peer(3), 3)).unwrap();
    leave.send(()).unwrap();
    assert!(flow.shutdown(LIMIT).is_clean());
    assert_eq!(starts.try_iter().collect::<Vec<_>>(), [1, 2, 3]);
}

#[test]
fn lanes_that_come_and_go_under_load_lose_nothing() {
    const EACH: usize = 4_000;
    let config = FlowConfig::new(20).with_max_peers(3).with_threads(2);
    let flow = flow(config, |_, _: usize| {});
    let refused: u64 = thread::scope(|scope| {
        let producers: Vec<_> = (0..4_u8)
            .map(|producer| {
                let flow = &flow;
                scope.spawn(move || {
                    let bring = |message: usize| {
                        let from = peer(producer + 4 * (message % 3) as u8);
                        if message.is_multiple_of(5) {
                            flow.forget_peer(from);
                        }
                        match block_on(flow.execute(from, message)) {
                            Ok(()) => 0,
                            Err(refused) => {
                                assert_eq!(refused.reason, RefusalReason::TooManyPeers);
                                1
                            }
                        }
                    };
                    (0..EACH).map(bring).sum::<u64>()
                })
            })
            .collect();
        producers.into_iter().map(|producer| producer.join().unwrap()).sum()
    });
    assert!(flow.shutdown(LIMIT).is_clean());
    let counts = flow.snapshot();
    assert_eq!((counts.handled(), counts.refused()), (4 * EACH as u64 - refused, refused));
    assert!(counts.handled() > 0 && flow.inner.core.peers.iter().count() <= 3);
}

/// Messages one after the other, each in a lane that has the seat of one that has just gone.
fn reseat(config: FlowConfig, forgets: bool) {
    let (sender, receiver) = channel();
    let flow = flow(config, move |_, message: u32| sender.send(message).unwrap());
    for message in 0..4_000 {
        let from = if forgets { 1 } else { (message % 2) as u8 };
        if forgets {
            flow.forget_peer(peer(from));
        }
        // Until the other peer's lane is unused.
        while block_on(flow.execute(peer(from), message)).is_err() {}
        assert_eq!(receiver.recv_timeout(LIMIT), Ok(message), "it rests in its lane");
    }
}

#[test]
fn a_message_in_a_lane_that_took_the_seat_of_another_runs() {
    reseat(FlowConfig::new(8).with_threads(1).with_max_peers(1), false);
    reseat(FlowConfig::new(8).with_threads(3).with_max_peers(1), false);
    reseat(FlowConfig::new(100), true);
    reseat(FlowConfig::new(100).with_order(Order::PerPeer), true);
}

#[test]
fn peers_have_their_turn_though_each_handler_outlasts_a_shift() {
    let (handler, starts, leave) = gated();
    let flow = flow(FlowConfig::new(100).with_threads(1), move |peer, message| {
        handler(peer, message);
        // Longer than a shift.
        thread::sleep(Duration::from_millis(11));
    });
    for (from, number) in (0..8).map(|number| (1, number)).chain([(2, 0), (2, 1), (3, 0)]) {
        block_on(flow.execute(peer(from), u32::from(from) * 100 + number)).unwrap();
    }
    (0..11).for_each(|_| leave.send(()).unwrap());
    assert!(flow.shutdown(LIMIT).is_clean());
    let order: Vec<u32> = starts.try_iter().take(5).collect();
    assert!(order.contains(&200) && order.contains(&300), "{order:?}");
}

#[test]
fn a_message_runs_though_one_thread_is_busy_with_what_a_handler_has_spawned() {
    let (go, gone) = crossbeam::channel::unbounded::<()>();
    let (end, ended) = crossbeam::channel::unbounded::<()>();
    let (sender, receiver) = channel();
    let flow = flow(FlowConfig::new(100).with_threads(2), move |_, message: u32| match message {
        0 => {
            sender.send(0).unwrap();
            gone.recv_timeout(LIMIT).unwrap();
        }
        1 => {
            let (ended, sender) = (ended.clone(), sender.clone());
            rayon::spawn(move || {
                sender.send(100).unwrap();
                ended.recv_timeout(LIMIT).unwrap();
            });
        }
        other => sender.send(other).unwrap(),
    });
    block_on(flow.execute(peer(1), 0)).unwrap();
    assert_eq!(receiver.recv_timeout(LIMIT), Ok(0));
    block_on(flow.execute(peer(2), 1)).unwrap();
    assert_eq!(receiver.recv_timeout(LIMIT), Ok(100), "the other thread runs it");
    go.send(()).unwrap();
    wait_until("idleness", || flow.inner.core.claims.are_free());
    block_on(flow.execute(peer(3), 7)).unwrap();
    assert_eq!(receiver.recv_timeout(LIMIT), Ok(7), "it rests beside an idle thread");
    end.send(()).unwrap();
    assert!(flow.shutdown(LIMIT).is_clean());
}

#[test]
fn offers_behind_a_handler_that_does_not_end_are_limited() {
    let (handler, starts, leave) = gated();
    let config = FlowConfig::new(100).with_threads(3).with_wait_strategy(WaitStrategy::Spin);
    let flow = flow(config, move |peer, message| {
        if message == 1 {
            handler(peer, message);
        }
    });
    block_on(flow.execute(peer(1), 1)).unwrap();
    starts.recv_timeout(LIMIT).unwrap();
    let end = Instant::now() + Duration::from_millis(300);
    while Instant::now() < end {
        block_on(flow.execute(peer(2), 0)).unwrap();
    }
    assert!(Arc::strong_count(&flow.inner.core) < pool::MAX_OFFERS + 20);
    leave.send(()).unwrap();
    assert!(flow.shutdown(LIMIT).is_clean());
}

#[test]
fn one_call_at_a_time_needs_one_place() {
    let config = FlowConfig::new(1).with_threads(1).with_max_waiters(1);
    let flow = flow(config, |_, _: u32| {});
    for message in 0..100_000 {
        let mut execute = flow.execute(peer(1), message);
        while match (&mut execute).now_or_never() {
            Some(outcome) => {
                assert!(outcome.is_ok(), "refused, though nobody else waits");
                false
            }
            None => true,
        } {}
    }
}

#[test]
fn a_waker_that_panics_when_it_is_dropped_leaves_nobody_counted_as_waiting() {
    struct Bomb;
    impl std::task::Wake for Bomb {
        fn wake(self: Arc<Self>) {}
    }
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("on purpose");
        }
    }
    let (handler, starts, leave) = gated();
    let flow = flow(FlowConfig::new(1).with_threads(1), handler);
    block_on(flow.execute(peer(1), 0)).unwrap();
    starts.recv_timeout(LIMIT).unwrap();
    let mut waiting = flow.execute(peer(1), 1);
    let waker = std::task::Waker::from(Arc::new(Bomb));
    assert!(waiting.poll_unpin(&mut std::task::Context::from_waker(&waker)).is_pending());
    drop(waker);
    drop(waiting);
    assert_eq!((flow.snapshot().waiting, flow.snapshot().ended(End::GaveUp)), (0, 1));
    leave.send(()).unwrap();
    assert!(flow.shutdown(LIMIT).is_clean());
}

#[test]
fn a_refused_message_goes_with_its_future() {
    let (leave, leaves) = crossbeam::channel::unbounded::<()>();
    let flow = flow(FlowConfig::new(1).with_threads(1), move |_, _: Arc<()>| {
        leaves.recv_timeout(LIMIT).unwrap();
    });
    block_on(flow.execute(peer(1), Arc::new(()))).unwrap();
    let message = Arc::new(());
    let waiting = flow.execute(peer(1), Arc::clone(&message));
    flow.close();
    drop(waiting);
    assert_eq!(Arc::strong_count(&message), 1, "it is kept");
    leave.send(()).unwrap();
    assert!(flow.shutdown(LIMIT).is_clean());
}

#[test]
fn every_wait_strategy_runs_everything_and_ends() {
    for strategy in [
        WaitStrategy::GiveBack,
        WaitStrategy::Linger(Duration::ZERO),
        WaitStrategy::Linger(Duration::from_millis(1)),
        WaitStrategy::Adaptive(Duration::ZERO),
        WaitStrategy::Adaptive(Duration::from_micros(20)),
        WaitStrategy::Park,
        WaitStrategy::Spin,
    ] {
        let config = FlowConfig::new(10).with_threads(2).with_wait_strategy(strategy);
        let flow = flow(config, |_, _: u32| {});
        for message in 0..2_000 {
            block_on(flow.execute(peer(1), message)).unwrap();
            if message % 500 == 0 {
                wait_until("idleness", || flow.snapshot().in_flight == 0);
            }
        }
        assert!(flow.shutdown(LIMIT).is_clean(), "{strategy:?}");
        assert_eq!(flow.snapshot().handled(), 2_000);
    }
}

#[test]
fn a_spinning_worker_outlives_its_shift_and_helps_handlers() {
    let (sender, receiver) = channel();
    let both = Barrier::new(2);
    let config = FlowConfig::new(1).with_threads(2).with_wait_strategy(WaitStrategy::Spin);
    let flow = flow(config, move |_, (): ()| {
        rayon::join(|| both.wait(), || both.wait());
        sender.send(()).unwrap();
    });
    for _ in 0..20 {
        block_on(flow.execute(peer(1), ())).unwrap();
        receiver.recv_timeout(LIMIT).expect("the other worker helps");
        // Longer than a shift.
        thread::sleep(Duration::from_millis(3));
    }
    let claimed = || !flow.inner.core.claims.are_free();
    wait_until("a worker that spins", claimed);
    assert!(flow.shutdown(LIMIT).is_clean());
}

#[test]
fn a_future_that_is_dropped_after_its_admission_takes_nothing_back() {
    let (handler, starts, leave) = gated();
    let flow = flow(FlowConfig::new(1), handler);
    block_on(flow.execute(peer(1), 0)).unwrap();
    let never_polled = flow.execute(peer(1), 1);
    leave.send(()).unwrap();
    assert_eq!(starts.recv_timeout(LIMIT), Ok(0));
    assert_eq!(starts.recv_timeout(LIMIT), Ok(1));
    drop(never_polled);
    leave.send(()).unwrap();
    assert!(flow.shutdown(LIMIT).is_clean());
    assert_eq!((flow.snapshot().handled(), flow.snapshot().ended(End::GaveUp)), (2, 0));
}

#[test]
fn a_handler_is_not_held_up_by_the_messages_that_come_while_it_waits_for_rayon() {
    // The first handler's other half is stolen; while it waits for the thief, messages keep coming,
    // and it must come to its end all the same.
    let stop = Arc::new(AtomicBool::new(false));
    let (sender, receiver) = channel();
    let handler_stop = Arc::clone(&stop);
    let flow = flow(FlowConfig::new(100).with_threads(2), move |_, forks: bool| {
        if forks {
            let both = Barrier::new(2);
            rayon::join(
                || both.wait(),
                || {
                    // Only once the other half runs, on the other thread.
                    both.wait();
                    let end = Instant::now() + Duration::from_millis(50);
                    while Instant::now() < end {}
                },
            );
            handler_stop.store(true, Ordering::Relaxed);
            sender.send(()).unwrap();
        }
    });
    let limit = Instant::now() + LIMIT;
    block_on(flow.execute(peer(1), true)).unwrap();
    while !stop.load(Ordering::Relaxed) {
        assert!(Instant::now() < limit, "the handler starves");
        block_on(flow.execute(peer(1), false)).unwrap();
    }
    receiver.recv_timeout(LIMIT).unwrap();
}

#[test]
fn what_a_handler_spawns_runs_though_messages_keep_coming() {
    let done = Arc::new(AtomicBool::new(false));
    let in_handler = Arc::clone(&done);
    let flow = flow(FlowConfig::new(100).with_threads(1), move |_, spawns: bool| {
        if spawns {
            let done = Arc::clone(&in_handler);
            rayon::spawn(move || done.store(true, Ordering::Relaxed));
        }
    });
    let limit = Instant::now() + LIMIT;
    block_on(flow.execute(peer(1), true)).unwrap();
    while !done.load(Ordering::Relaxed) {
        assert!(Instant::now() < limit, "what was spawned starves");
        block_on(flow.execute(peer(1), false)).unwrap();
    }
}

#[test]
fn what_a_handler_spawns_may_panic() {
    let (sender, receiver) = channel();
    let flow = flow(FlowConfig::new(10), move |_, (): ()| {
        let sender = sender.clone();
        rayon::spawn(move || {
            sender.send(()).unwrap();
            panic!("on purpose");
        });
    });
    for _ in 0..10 {
        block_on(flow.execute(peer(1), ())).unwrap();
        receiver.recv_timeout(LIMIT).unwrap();
    }
    assert!(flow.shutdown(LIMIT).is_clean());
    assert_eq!((flow.snapshot().handled(), flow.snapshot().stray_panics), (10, 10));
}

#[test]
fn what_a_handler_owns_may_panic_when_it_is_dropped_with_its_flow() {
    struct Bomb(Sender<()>);
    impl Drop for Bomb {
        fn drop(&mut self) {
            self.0.send(()).unwrap();
            panic!("on purpose");
        }
    }
    let (dropped, drops) = channel();
    let bomb = Bomb(dropped);
    let (handler, starts, leave) = gated();
    let flow = flow(FlowConfig::new(1).with_threads(1), move |peer, message| {
        let _ = &bomb;
        handler(peer, message);
    });
    let ended = flow.inner.core.threads.ended();
    block_on(flow.execute(peer(1), 0)).unwrap();
    starts.recv_timeout(LIMIT).unwrap();
    drop(flow);
    leave.send(()).unwrap();
    drops.recv_timeout(LIMIT).unwrap();
    let end = ended.recv_timeout(LIMIT);
    assert_eq!(end, Err(crossbeam::channel::RecvTimeoutError::Disconnected));
}

#[test]
fn a_handler_may_shut_its_flow_down_after_somebody_else_has() {
    let (sender, receiver) = channel();
    let (give, take) = crossbeam::channel::bounded::<Arc<dyn Fn() -> FlowReport + Send + Sync>>(1);
    let (started, starts) = channel();
    let flow = Arc::new(flow(FlowConfig::new(2), move |_, (): ()| {
        started.send(()).unwrap();
        let shutdown = take.recv_timeout(LIMIT).unwrap();
        sender.send(shutdown()).unwrap();
    }));
    block_on(flow.execute(peer(1), ())).unwrap();
    starts.recv_timeout(LIMIT).unwrap();
    let first = flow.shutdown(Duration::ZERO);
    assert!(!first.joined);
    let same = Arc::clone(&flow);
    // For ever, as good as: it must not wait for its own handler.
    give.send(Arc::new(move || same.shutdown(Duration::MAX))).unwrap();
    let inside = receiver.recv_timeout(LIMIT).expect("it does not wait for itself");
    assert_eq!((inside.running, inside.joined), (1, false));
}

#[test]
fn a_deadline_that_no_clock_can_name_is_a_long_one() {
    assert!(instant_after(Duration::MAX) > Instant::now() + LIMIT);
    wait_until("a moment", || Instant::now() > instant_after(Duration::ZERO) - LIMIT);
}

/// How often the stress test is repeated; `GOSSIP_STRESS_ROUNDS` says otherwise.
const STRESS_ROUNDS: usize = 20;

/// Everything at once, briefly: producers of the same peers and of others, futures that are dropped,
/// handlers that panic, lanes that are forgotten, and a shutdown in the middle.
#[test]
fn whatever_happens_each_message_comes_to_one_end() {
    let rounds = std::env::var("GOSSIP_STRESS_ROUNDS").ok();
    let rounds = rounds.map_or(STRESS_ROUNDS, |rounds| rounds.parse().expect("a number"));
    (0..rounds).for_each(stress);
}

fn stress(round: usize) {
    const EACH: usize = 60;
    const PRODUCERS: usize = 3;
    let strategy = [
        WaitStrategy::Linger(Duration::from_micros(20)),
        WaitStrategy::Adaptive(Duration::from_micros(50)),
        WaitStrategy::GiveBack,
        WaitStrategy::Park,
        WaitStrategy::Spin,
    ][round % 5];
    let config = FlowConfig::new(1 + round % 7)
        .with_peer_quota(1 + round % 3)
        .with_max_peers(1 + round % 5)
        .with_threads(1 + round % 3)
        .with_order(if round.is_multiple_of(2) { Order::Any } else { Order::PerPeer })
        .with_wait_strategy(strategy);
    let (sender, receiver) = channel();
    let handler = move |_, message: usize| {
        sender.send(message).unwrap();
        if message.is_multiple_of(13) {
            // Without the noise.
            std::panic::resume_unwind(Box::new("on purpose"));
        }
    };
    let flow = FlowWorker::new(FlowType::Advert, &config, &MetricsRegistry::new(), handler);
    let flow = flow.unwrap();
    let (mut admitted, mut refused) = (0, 0);
    let report = thread::scope(|scope| {
        let produce = |producer: usize| {
            let flow = &flow;
            move || {
                let (mut known, mut refused) = (0, 0);
                for number in 0..EACH {
                    let message = producer * EACH + number;
                    let from = peer((message % 4) as u8);
                    let mut execute = flow.execute(from, message);
                    match (&mut execute).now_or_never() {
                        None if message.is_multiple_of(3) => continue,
                        None => match block_on(execute) {
                            Ok(()) => known += 1,
                            Err(_) => refused += 1,
                        },
                        Some(Ok(())) => known += 1,
                        Some(Err(_)) => refused += 1,
                    }
                    if message.is_multiple_of(7) {
                        flow.forget_peer(from);
                    }
                }
                (known, refused)
            }
        };
        let producers: Vec<_> = (0..PRODUCERS).map(|number| scope.spawn(produce(number))).collect();
        let report = round.is_multiple_of(5).then(|| flow.shutdown(LIMIT));
        for producer in producers {
            let (known, not) = producer.join().unwrap();
            admitted += known;
            refused += not;
        }
        report
    });
    let report = report.unwrap_or_else(|| flow.shutdown(LIMIT));
    assert!(report.joined && report.running == 0, "round {round}: {report:?}");
    let counts = flow.snapshot();
    drop(flow);
    let ran: Vec<usize> = receiver.into_iter().collect();
    let distinct: BTreeSet<usize> = ran.iter().copied().collect();
    assert_eq!(distinct.len(), ran.len(), "round {round}: a message ran twice");
    assert_eq!((counts.in_flight, counts.waiting), (0, 0), "round {round}");
    assert_eq!(counts.admitted, counts.finished(), "round {round}");
    assert_eq!(counts.handled() + counts.panicked(), ran.len() as u64, "round {round}");
    let all = counts.admitted + counts.refused() + counts.ended(End::GaveUp);
    assert_eq!(all, (PRODUCERS * EACH) as u64, "round {round}");
    assert!(counts.admitted >= admitted && counts.refused() >= refused, "round {round}");
}
