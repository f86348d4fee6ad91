//! Handlers that use rayon, and what becomes of messages meanwhile.

use super::*;

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
