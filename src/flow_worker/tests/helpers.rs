//! Handlers that use rayon, and what becomes of messages meanwhile.

use rayon::prelude::*;

use super::*;

/// Every way for workers to wait, with and without idle threads that stay awake to help.
fn every_manner() -> impl Iterator<Item = FlowConfig> {
    STRATEGIES.into_iter().flat_map(|strategy| {
        let config = FlowConfig::new(64).with_threads(3).with_wait_strategy(strategy);
        [config, config.with_forking_handlers(true)]
    })
}

#[test]
fn handlers_get_the_idle_threads_of_the_flow_as_helpers() {
    for config in every_manner() {
        let (sender, receiver) = channel();
        let both = Barrier::new(2);
        let flow = flow(config.with_threads(2), move |_, (): ()| {
            // Each side waits for the other, so this ends only if two threads run it.
            rayon::join(|| both.wait(), || both.wait());
            sender.send(()).unwrap();
        });
        for _ in 0..3 {
            block_on(flow.execute(peer(1), ())).unwrap();
            receiver.recv_timeout(LIMIT).expect("an idle thread helps");
        }
        assert!(flow.shutdown(LIMIT).is_clean());
    }
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
    wait_until("the end of two", || flow.snapshot().finished() == 2);
    block_on(flow.execute(peer(3), 7)).unwrap();
    assert_eq!(receiver.recv_timeout(LIMIT), Ok(7), "it rests beside an idle thread");
    end.send(()).unwrap();
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
        // Of another peer: those of its own wait for it.
        block_on(flow.execute(peer(2), false)).unwrap();
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

/// Messages of a locked handler that forks. Beyond some tens of them two handlers meet at the lock.
const LOCKED: u32 = 400;

#[expect(clippy::disallowed_types, reason = "a handler's own")]
fn fork_under_a_lock(config: FlowConfig) {
    let lock = std::sync::Mutex::new(0_u64);
    let flow = flow(config, move |_, message: u32| {
        let mut sum = lock.lock().unwrap();
        let parts = (0..64_u32).into_par_iter().map(|part| {
            (0..8_u32).into_par_iter().map(|piece| u64::from(part ^ piece ^ message)).sum::<u64>()
        });
        *sum += parts.sum::<u64>();
    });
    thread::scope(|scope| {
        scope.spawn(|| {
            for message in 0..LOCKED {
                block_on(flow.execute(peer((message % 8) as u8), message)).unwrap();
                // At intervals, so that some come while threads wait for parts of what they have forked.
                let began = Instant::now();
                while began.elapsed() < Duration::from_micros(u64::from(message % 7) * 20) {
                    std::hint::spin_loop();
                }
            }
        });
    });
    let limit = Instant::now() + LIMIT;
    while flow.snapshot().finished() < u64::from(LOCKED) {
        assert!(Instant::now() < limit, "it hangs: {}, {config:?}", flow.snapshot());
        thread::yield_now();
    }
    assert!(flow.shutdown(LIMIT).is_clean());
    assert_eq!(flow.snapshot().handled(), u64::from(LOCKED));
}

#[test]
fn handlers_that_fork_while_they_hold_a_lock_all_end() {
    for _ in 0..rounds(2) {
        every_manner().for_each(fork_under_a_lock);
    }
}

/// Runs handlers of one peer, while three submitters keep the flow busy with what others send, or while nobody does.
fn ends_beside_a_load(config: FlowConfig, load: bool, handler: impl Fn() + Send + Sync + 'static) {
    let (sender, receiver) = channel();
    let flow = flow(config, move |_, forks: bool| {
        if forks {
            handler();
            sender.send(()).unwrap();
        }
    });
    let is_over = AtomicBool::new(false);
    let submitted = AtomicU64::new(0);
    thread::scope(|scope| {
        for from in if load { 1..4 } else { 1..1 } {
            let (flow, is_over, submitted) = (&flow, &is_over, &submitted);
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    block_on(flow.execute(peer(from), false)).unwrap();
                    submitted.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let ended = (0..5).all(|_| {
            block_on(flow.execute(peer(9), true)).unwrap();
            receiver.recv_timeout(LIMIT).is_ok()
        });
        is_over.store(true, Ordering::Relaxed);
        assert!(ended, "it hangs: {}, {config:?}", flow.snapshot());
    });
    assert!(flow.shutdown(LIMIT).is_clean());
    assert_eq!(flow.snapshot().handled(), submitted.load(Ordering::Relaxed) + 5);
}

#[test]
fn a_handler_that_has_each_thread_do_something_ends() {
    for (config, load) in every_manner().flat_map(|config| [(config, false), (config, true)]) {
        ends_beside_a_load(config, load, || assert_eq!(rayon::broadcast(|_| ()).len(), 3));
    }
}

#[test]
fn a_handler_that_waits_for_what_it_has_spawned_ends() {
    for (config, load) in every_manner().flat_map(|config| [(config, false), (config, true)]) {
        ends_beside_a_load(config, load, || {
            let (sender, receiver) = channel();
            rayon::spawn(move || sender.send(()).unwrap());
            receiver.recv_timeout(LIMIT).expect("what was spawned does not run");
        });
    }
}
