//! Peers beside each other: their quotas, their turns, their lanes.

use super::*;

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
    assert_eq!(flow.snapshot().count(Outcome::TooManyPeers), 1);
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
fn a_lane_that_was_made_while_its_welcome_opened_has_all_of_its_quota() {
    let welcomes: Arc<Welcomes> = Arc::default();
    let (config, registry) = (FlowConfig::new(100).with_peer_quota(20), MetricsRegistry::new());
    let handler = |_: NodeId, (): ()| {};
    let made = Some(Arc::clone(&welcomes));
    let flow = FlowWorker::of_handler(FlowType::Chunk, &config, &registry, handler, made).unwrap();
    let core = &flow.inner.core;
    // As one thread makes the lane and another opens the welcome before it is found: nobody was told of it.
    let greeting = welcomes.greet(peer(1));
    let lane = core.peers.find_or_seat(peer(1), &config).expect("a seat");
    drop(greeting);
    assert_eq!(lane.entrance.permits.limit(), 4);
    let seated = core.seat(peer(1)).expect("its own");
    assert!(Arc::ptr_eq(&seated, &lane));
    assert_eq!(lane.entrance.permits.limit(), 20);
    assert!(flow.shutdown(LIMIT).is_clean());
}
