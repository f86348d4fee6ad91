//! Flows that end: by a shutdown, from inside, with their owner.

use super::*;
use crate::sync::Mutex;

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
    assert_eq!(counts.count(Outcome::Closed), 2);
}

#[test]
fn a_shutdown_reports_what_is_stuck_and_what_never_started() {
    let (handler, starts, leave) = gated();
    let flow = flow(FlowConfig::new(3).with_threads(1), handler);
    (0..3).for_each(|message| _ = block_on(flow.execute(peer(1), message)).unwrap());
    starts.recv_timeout(LIMIT).unwrap();
    let report = flow.shutdown(Duration::ZERO);
    assert_eq!((report.dropped, report.running, report.joined), (2, 1, false));
    leave.send(()).unwrap();
    let report = flow.shutdown(LIMIT);
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(starts.try_recv().ok(), None, "something started after the shutdown");
    let counts = flow.snapshot();
    assert_eq!(
        (counts.admitted, counts.handled(), counts.count(Outcome::DroppedAtShutdown)),
        (3, 1, 2)
    );
}

#[test]
fn a_shutdown_from_inside_a_handler_closes_and_returns_at_once() {
    let (sender, receiver) = channel();
    let (give, take) =
        crossbeam::channel::bounded::<Arc<dyn Fn() -> crate::FlowReport + Send + Sync>>(1);
    let (go, gone) = crossbeam::channel::bounded::<()>(1);
    let flow = Arc::new(flow(FlowConfig::new(3).with_threads(1), move |_, message: u32| {
        if message == 0 {
            gone.recv_timeout(LIMIT).unwrap();
            let shut_down = take.recv_timeout(LIMIT).unwrap();
            sender.send(shut_down()).unwrap();
        }
    }));
    let same = Arc::clone(&flow);
    // For ever, as good as: a caller that waits for anything waits for itself.
    give.send(Arc::new(move || same.shutdown(Duration::MAX))).unwrap();
    (0..3).for_each(|message| _ = at_once(flow.execute(peer(1), message)).unwrap());
    let waiting = flow.execute(peer(1), 3);
    go.send(()).unwrap();
    let report = receiver.recv_timeout(LIMIT).expect("it does not wait");
    assert_eq!((report.dropped, report.running, report.joined), (0, 3, false));
    assert!(!report.is_clean());
    assert_eq!(block_on(waiting).unwrap_err().reason, RefusalReason::Closed);
    assert_eq!(block_on(flow.execute(peer(1), 4)).unwrap_err().reason, RefusalReason::Closed);
    // What was admitted still runs.
    assert!(flow.shutdown(LIMIT).is_clean());
    assert_eq!((at_rest(&flow).handled(), flow.snapshot().refused()), (3, 2));
}

#[test]
fn a_handler_may_shut_another_flow_down_and_does_not_wait_for_it() {
    let (handler, starts, leave) = gated();
    let other = Arc::new(flow(FlowConfig::new(2).with_threads(1), handler));
    block_on(other.execute(peer(1), 0)).unwrap();
    assert_eq!(starts.recv_timeout(LIMIT), Ok(0));
    let (sender, receiver) = channel();
    let same = Arc::clone(&other);
    let flow = flow(FlowConfig::new(1), move |_, (): ()| {
        sender.send(same.shutdown(Duration::MAX)).unwrap();
    });
    block_on(flow.execute(peer(1), ())).unwrap();
    let report = receiver.recv_timeout(LIMIT).expect("it does not wait");
    assert_eq!((report.dropped, report.running, report.joined), (0, 1, false));
    assert!(flow.shutdown(LIMIT).is_clean());
    leave.send(()).unwrap();
    assert!(other.shutdown(LIMIT).is_clean());
}

#[test]
fn a_shutdown_lets_go_of_the_handler() {
    let (owner, registry) = (Arc::new(()), MetricsRegistry::new());
    let handler = |owner: &Arc<()>| {
        let owned = Arc::clone(owner);
        move |_: &NodeId, (): ()| drop(Arc::clone(&owned))
    };
    let config = FlowConfig::new(2);
    let flow = FlowWorker::new(FlowType::Request, &config, &registry, handler(&owner)).unwrap();
    block_on(flow.execute(peer(1), ())).unwrap();
    assert!(flow.shutdown(LIMIT).is_clean());
    assert_eq!(Arc::strong_count(&owner), 1);
    // What comes later is kept by nobody.
    flow.replace_handler(handler(&owner));
    assert_eq!(Arc::strong_count(&owner), 1);
    assert_eq!(block_on(flow.execute(peer(1), ())).unwrap_err().reason, RefusalReason::Closed);
    flow.reconfigure(&config.with_quantum(Duration::ZERO)).unwrap();
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
    let core = Arc::downgrade(&flow.inner);
    block_on(flow.execute(peer(1), 0)).unwrap();
    block_on(flow.execute(peer(1), 1)).unwrap();
    let waiting = flow.execute(peer(1), 2);
    drop(flow);
    assert_eq!(block_on(waiting).unwrap_err().reason, RefusalReason::Closed);
    leave.send(()).unwrap();
    leave.send(()).unwrap();
    assert_eq!(starts.into_iter().take(2).collect::<Vec<_>>(), [0, 1]);
    exited.recv_timeout(LIMIT).expect("the handler is dropped");
    // Each thread keeps it.
    wait_until("the end of the threads", || core.strong_count() == 0);
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
    let core = Arc::downgrade(&flow.inner);
    block_on(flow.execute(peer(1), 0)).unwrap();
    starts.recv_timeout(LIMIT).unwrap();
    drop(flow);
    leave.send(()).unwrap();
    drops.recv_timeout(LIMIT).unwrap();
    wait_until("the end of the threads", || core.strong_count() == 0);
}

#[test]
fn a_handler_may_shut_its_flow_down_after_somebody_else_has() {
    let (sender, receiver) = channel();
    let (give, take) =
        crossbeam::channel::bounded::<Arc<dyn Fn() -> crate::FlowReport + Send + Sync>>(1);
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

#[test]
fn two_handlers_that_shut_their_flow_down_do_not_wait_for_each_other() {
    let (give, take) =
        crossbeam::channel::bounded::<Arc<dyn Fn() -> crate::FlowReport + Send + Sync>>(2);
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

type Code = Box<dyn FnOnce() + Send + Sync>;

/// Runs something when it is dropped.
struct OnDrop(Option<Code>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.take().into_iter().for_each(|code| code());
    }
}

/// Runs something when it wakes.
struct OnWake(Mutex<Option<Code>>);

impl std::task::Wake for OnWake {
    fn wake(self: Arc<Self>) {
        let code = self.0.lock().take();
        code.into_iter().for_each(|code| code());
    }
}

/// A flow whose handler waits for leave, and has begun on a message of peer 1; and code that shuts the flow down.
struct Ending {
    flow: Arc<FlowWorker<OnDrop>>,
    leave: crossbeam::channel::Sender<()>,
    told: crossbeam::channel::Sender<Option<FlowReport>>,
    hears: crossbeam::channel::Receiver<Option<FlowReport>>,
}

fn ending(config: FlowConfig) -> Ending {
    let (leave, leaves) = crossbeam::channel::unbounded::<()>();
    let (begins, begun) = crossbeam::channel::unbounded::<()>();
    let (told, hears) = crossbeam::channel::unbounded();
    let flow = flow(config.with_threads(1), move |_, _: OnDrop| {
        begins.send(()).unwrap();
        leaves.recv_timeout(LIMIT).expect("the test gives leave");
    });
    assert!(at_once(flow.execute(peer(1), OnDrop(None))).is_ok());
    begun.recv_timeout(LIMIT).unwrap();
    Ending { flow: Arc::new(flow), leave, told, hears }
}

impl Ending {
    fn shuts_down(&self) -> Code {
        let (flow, told) = (Arc::downgrade(&self.flow), self.told.clone());
        Box::new(move || {
            let flow = flow.upgrade().expect("the test keeps the flow");
            told.send(None).unwrap();
            // Nobody waits for so long.
            told.send(Some(flow.shutdown(Duration::from_secs(3_600)))).unwrap();
        })
    }

    fn queue(&self, from: u8, code: Option<Code>) {
        assert!(at_once(self.flow.execute(peer(from), OnDrop(code))).is_ok());
    }

    /// Does something, in which a shutdown is called that does not wait.
    fn does(self, run: impl FnOnce(&FlowWorker<OnDrop>) + Send + 'static) {
        let Self { flow, leave, hears, .. } = self;
        let runs = thread::spawn({
            let flow = Arc::clone(&flow);
            move || run(&flow)
        });
        assert_eq!(hears.recv_timeout(LIMIT), Ok(None), "it has begun");
        // It would wait for the thread that it is called on, whatever else ends.
        (0..10).for_each(|_| leave.send(()).unwrap_or(()));
        let report = hears.recv_timeout(LIMIT).expect("it does not wait for itself");
        assert!(report.is_some_and(|report| !report.is_clean()));
        runs.join().unwrap();
        assert!(flow.shutdown(LIMIT).is_clean());
        flow.snapshot().verify("test").unwrap();
    }
}

#[test]
fn the_drop_of_a_message_of_a_peer_that_goes_may_shut_the_flow_down() {
    let ending = ending(FlowConfig::new(10));
    ending.queue(2, Some(ending.shuts_down()));
    ending.does(|flow| flow.cancel_peer(peer(2)));
}

#[test]
fn the_drop_of_a_message_that_makes_place_may_shut_the_flow_down() {
    let config = FlowConfig::new(2).with_overload_policy(OverloadPolicy::DropOldest);
    let ending = ending(config);
    ending.queue(2, Some(ending.shuts_down()));
    ending.does(|flow| drop(at_once(flow.execute(peer(2), OnDrop(None)))));
}

#[test]
fn the_drop_of_a_message_at_a_shutdown_may_shut_the_flow_down() {
    let ending = ending(FlowConfig::new(10));
    ending.queue(2, Some(ending.shuts_down()));
    ending.does(|flow| _ = flow.shutdown(Duration::ZERO));
}

#[test]
fn a_waker_of_a_peer_that_goes_may_shut_the_flow_down() {
    let ending = ending(FlowConfig::new(2));
    ending.queue(2, None);
    let waker = Arc::new(OnWake(Mutex::new(Some(ending.shuts_down())))).into();
    let mut waits = ending.flow.execute(peer(2), OnDrop(None));
    let mut context = std::task::Context::from_waker(&waker);
    assert!(waits.poll_unpin(&mut context).is_pending());
    ending.does(|flow| flow.cancel_peer(peer(2)));
    drop(waits);
}

#[test]
fn a_handler_that_is_replaced_may_shut_its_flow_down_when_it_is_dropped() {
    let (told, hears) = crossbeam::channel::unbounded();
    let own = Arc::new(std::sync::OnceLock::<Weak<FlowWorker<()>>>::new());
    let code: Code = {
        let own = Arc::clone(&own);
        Box::new(move || {
            let flow = own.get().and_then(Weak::upgrade).expect("the test keeps the flow");
            told.send((flow.shutdown(Duration::from_secs(3_600)), thread::current().id())).unwrap();
        })
    };
    let bomb = OnDrop(Some(code));
    let flow = Arc::new(flow(FlowConfig::new(10).with_threads(1), move |_, (): ()| _ = &bomb));
    own.set(Arc::downgrade(&flow)).unwrap();
    block_on(flow.execute(peer(1), ())).unwrap();
    at_rest(&flow);
    flow.replace_handler(|_: &NodeId, (): ()| {});
    let (report, by) = hears.recv_timeout(LIMIT).expect("it does not wait for itself");
    assert!(by == thread::current().id() || !report.is_clean());
    assert!(flow.shutdown(LIMIT).is_clean());
}

#[test]
fn what_a_handler_has_given_to_rayon_may_shut_the_flow_down() {
    let (told, hears) = crossbeam::channel::unbounded();
    let own = Arc::new(std::sync::OnceLock::<Weak<FlowWorker<()>>>::new());
    let flow = {
        let own = Arc::clone(&own);
        Arc::new(flow(FlowConfig::new(10).with_threads(1), move |_, (): ()| {
            let flow = own.get().and_then(Weak::upgrade).expect("the test keeps the flow");
            let told = told.clone();
            rayon::spawn(move || {
                told.send(flow.shutdown(Duration::from_secs(3_600))).unwrap();
            });
        }))
    };
    own.set(Arc::downgrade(&flow)).unwrap();
    block_on(flow.execute(peer(1), ())).unwrap();
    let report = hears.recv_timeout(LIMIT).expect("it does not wait for itself");
    assert!(!report.joined);
    assert!(flow.shutdown(LIMIT).is_clean());
}
