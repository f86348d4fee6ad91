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

/// Beyond this a test has failed; nothing passes by taking long.
const LIMIT: Duration = Duration::from_secs(60);

fn peer(number: u8) -> NodeId {
    NodeId::new([number; 32])
}

fn flow<M: Send + 'static>(
    config: FlowConfig,
    handler: impl Fn(NodeId, M) + Send + Sync + 'static,
) -> FlowWorker<M, impl MessageHandler<M>> {
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
    assert_eq!((flow.snapshot().admitted, flow.snapshot().handled), (3, 3));
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
    assert_eq!((counts.admitted, counts.handled, counts.gave_up), (2, 2, 2));
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
    assert_eq!((counts.admitted, counts.handled, counts.refused_closed), (2, 2, 2));
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
    assert_eq!((counts.admitted, counts.handled, counts.dropped), (3, 1, 2));
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
    let pool = flow.inner.pool.ended();
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
    let flow = flow(FlowConfig::new(64).with_threads(2), |_, depth: u32| {
        fn fork(depth: u32) {
            if depth > 0 {
                rayon::join(|| fork(depth - 1), || fork(depth - 1));
            }
        }
        fork(depth);
    });
    block_on(join_all((0..5_000).map(|n| flow.execute(peer(1), n % 5))));
    assert!(flow.shutdown(LIMIT).is_clean());
    assert_eq!(flow.snapshot().handled, 5_000);
}

#[test]
fn a_handler_may_bring_messages_to_its_own_flow() {
    type Slot = std::sync::OnceLock<Arc<dyn Fn(u32) + Send + Sync>>;
    let next: Arc<Slot> = Arc::default();
    let (sender, receiver) = channel();
    let in_handler = Arc::clone(&next);
    let flow = Arc::new(flow(FlowConfig::new(2), move |_, left: u32| match left {
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
    let abandoned: usize = thread::scope(|scope| {
        let producers: Vec<_> = (0..4)
            .map(|producer| {
                let flow = &flow;
                scope.spawn(move || {
                    let mut abandoned = 0;
                    for message in 0..EACH {
                        let mut execute = flow.execute(peer(0), producer * EACH + message);
                        if (&mut execute).now_or_never().is_some() {
                            continue;
                        }
                        if message % 3 == 0 {
                            drop(execute);
                            abandoned += 1;
                        } else {
                            block_on(execute).unwrap();
                        }
                    }
                    abandoned
                })
            })
            .collect();
        producers.into_iter().map(|producer| producer.join().unwrap()).sum()
    });
    assert!(flow.shutdown(LIMIT).is_clean());
    let counts = flow.snapshot();
    drop(flow);
    let ran: Vec<usize> = receiver.into_iter().collect();
    let distinct: BTreeSet<usize> = ran.iter().copied().collect();
    assert_eq!(distinct.len(), ran.len(), "a message ran twice");
    assert_eq!(ran.len() + abandoned, 4 * EACH);
    assert_eq!((counts.handled, counts.admitted), (ran.len() as u64, ran.len() as u64));
    assert_eq!((counts.gave_up, counts.in_flight, counts.waiting), (abandoned as u64, 0, 0));
}

#[test]
fn the_transport_flow_runs_one_handler_at_a_time_in_order() {
    let (sender, receiver) = channel();
    let handler = move |_, message: u32| sender.send(message).unwrap();
    // Little room, so that some have to wait for it.
    let config = FlowConfig::new(10);
    let flow = FlowWorker::new(FlowType::Transport, &config, &MetricsRegistry::new(), handler);
    let flow = flow.unwrap();
    (0..10_000).for_each(|number| block_on(flow.execute(peer(1), number)).unwrap());
    assert!(flow.shutdown(LIMIT).is_clean());
    drop(flow);
    assert!(receiver.into_iter().eq(0..10_000), "out of order");
}

#[test]
fn a_deadline_that_no_clock_can_name_is_a_long_one() {
    assert!(instant_after(Duration::MAX) > Instant::now() + LIMIT);
    wait_until("a moment", || Instant::now() > instant_after(Duration::ZERO) - LIMIT);
}
