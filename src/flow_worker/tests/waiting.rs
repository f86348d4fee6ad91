//! Submitters that wait, and futures that are dropped.

use super::*;

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
    assert_eq!(
        (counts.admitted, counts.handled(), counts.count(Outcome::WaitCancelled)),
        (2, 2, 2)
    );
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
fn one_call_at_a_time_needs_one_waiter() {
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
    assert_eq!((flow.snapshot().waiting, flow.snapshot().count(Outcome::WaitCancelled)), (0, 1));
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
    assert_eq!((flow.snapshot().handled(), flow.snapshot().count(Outcome::WaitCancelled)), (2, 0));
}

/// A submitter that was let in submits to another flow, for which the handler that runs next waits.
fn heard_of_while_the_next_handler_runs(before: u32) {
    let (heard, hears) = crossbeam::channel::unbounded::<()>();
    let other = flow(FlowConfig::new(10).with_threads(1), move |_, (): ()| heard.send(()).unwrap());
    let (go, gone) = crossbeam::channel::bounded::<()>(1);
    // 0 holds the only thread, 1 is brief, 2 waits for the other flow.
    let handler = move |_: &NodeId, message: u32| match message {
        0 => gone.recv_timeout(LIMIT).expect("the test gives leave"),
        2 => hears.recv_timeout(LIMIT).expect("who was let in does not hear of it"),
        _ => {}
    };
    // Capacity for those only that are queued first, in the flow or, if some are brief, in their lane: it is free when
    // the first of these has ended, in the middle of a run.
    let (limit, from) = if before == 0 { (2, peer(3)) } else { (100, peer(1)) };
    let config = FlowConfig::new(limit).with_peer_quota(before as usize + 1).with_threads(1);
    let registry = MetricsRegistry::new();
    let flow = FlowWorker::new(FlowType::Request, &config, &registry, handler).unwrap();
    // So that the flow knows how brief they are, and takes many at once.
    for _ in 0..1_000 {
        block_on(flow.execute(peer(1), 1)).unwrap();
    }
    at_rest(&flow);
    // Of another peer, so that what is brief stays known.
    block_on(flow.execute(peer(2), 0)).unwrap();
    (0..before).for_each(|_| _ = at_once(flow.execute(peer(1), 1)).unwrap());
    at_once(flow.execute(peer(1), 2)).unwrap();
    let mut waiting = flow.execute(from, 1);
    assert!((&mut waiting).now_or_never().is_none());
    thread::scope(|scope| {
        scope.spawn(|| {
            block_on(waiting).unwrap();
            block_on(other.execute(peer(1), ())).unwrap();
        });
        go.send(()).unwrap();
    });
    assert_eq!(at_rest(&flow).handled(), 1_000 + u64::from(before) + 3);
    assert!(flow.shutdown(LIMIT).is_clean() && other.shutdown(LIMIT).is_clean());
}

#[test]
fn who_was_let_in_hears_of_it_while_the_next_handler_runs_which_waits_for_it() {
    for _ in 0..rounds(3) {
        // At the head of a run, and in the middle of one.
        heard_of_while_the_next_handler_runs(0);
        heard_of_while_the_next_handler_runs(1);
        heard_of_while_the_next_handler_runs(20);
    }
}
