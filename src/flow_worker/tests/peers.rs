//! Peers beside each other: their quotas, their turns, their lanes.

use super::*;

#[test]
fn the_transport_flow_runs_each_peers_messages_one_at_a_time_in_the_order_of_the_calls() {
    const EACH: u32 = 3_000;
    let (sender, receiver) = channel();
    let running: [AtomicBool; 3] = Default::default();
    let handler = move |peer: &NodeId, message: u32| {
        let running = &running[usize::from(peer.as_bytes()[0])];
        assert!(!running.swap(true, Ordering::AcqRel), "two at a time");
        sender.send((*peer, message)).unwrap();
        running.store(false, Ordering::Release);
    };
    // Little capacity, so that most have to wait for it, and futures that nobody polls.
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
    // All the others find capacity, though somebody waits.
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
fn each_peer_has_its_turn_however_much_another_has_sent() {
    let (handler, starts, leave) = gated();
    let flow = flow(FlowConfig::new(100).with_threads(1), handler);
    let submit = |from: u8, number: u32| {
        block_on(flow.execute(peer(from), u32::from(from) * 100 + number)).unwrap();
    };
    submit(4, 0);
    assert_eq!(starts.recv_timeout(LIMIT), Ok(400));
    (0..20).for_each(|number| submit(1, number));
    (0..3).for_each(|number| submit(2, number));
    (0..2).for_each(|number| submit(3, number));
    (0..26).for_each(|_| leave.send(()).unwrap());
    assert!(flow.shutdown(LIMIT).is_clean());
    let order: Vec<u32> = starts.try_iter().collect();
    // Further turns depend on the time that the first ones took.
    assert_eq!(order[..3], [100, 200, 300]);
    for (from, count) in [(1, 20), (2, 3), (3, 2)] {
        let of_peer = order.iter().copied().filter(|message| message / 100 == from);
        assert!(of_peer.eq(from * 100..from * 100 + count), "{order:?}");
    }
}

#[test]
fn a_peer_without_a_lane_takes_the_place_of_an_unused_one_or_is_refused() {
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
        let submitters: Vec<_> = (0..4_u8)
            .map(|submitter| {
                let flow = &flow;
                scope.spawn(move || {
                    let submit = |message: usize| {
                        let from = peer(submitter + 4 * (message % 3) as u8);
                        if message.is_multiple_of(5) {
                            flow.cancel_peer(from);
                        }
                        match block_on(flow.execute(from, message)) {
                            Ok(_) => 0,
                            Err(refused) => {
                                assert_eq!(refused.reason, RefusalReason::TooManyPeers);
                                1
                            }
                        }
                    };
                    (0..EACH).map(submit).sum::<u64>()
                })
            })
            .collect();
        submitters.into_iter().map(|submitter| submitter.join().unwrap()).sum()
    });
    assert!(flow.shutdown(LIMIT).is_clean());
    let counts = flow.snapshot();
    let admitted = 4 * EACH as u64 - refused;
    assert_eq!((counts.admitted, counts.refused()), (admitted, refused));
    assert_eq!(counts.handled() + counts.count(Outcome::Cancelled), admitted);
    assert!(counts.handled() > 0);
}

/// Messages one after the other, each in a lane that has the place of one that has just gone.
fn take_the_place(config: FlowConfig, departs: bool) {
    let (sender, receiver) = channel();
    let flow = flow(config, move |_, message: u32| sender.send(message).unwrap());
    for message in 0..4_000 {
        let from = if departs { 1 } else { (message % 2) as u8 };
        if departs {
            flow.cancel_peer(peer(from));
        }
        // Until the other peer's lane is unused.
        while block_on(flow.execute(peer(from), message)).is_err() {}
        assert_eq!(receiver.recv_timeout(LIMIT), Ok(message), "it rests in its lane");
    }
    assert_eq!(at_rest(&flow).handled(), 4_000);
}

#[test]
fn a_message_in_a_lane_that_took_the_place_of_another_runs() {
    take_the_place(FlowConfig::new(8).with_threads(1).with_max_peers(1), false);
    take_the_place(FlowConfig::new(8).with_threads(3).with_max_peers(1), false);
    take_the_place(FlowConfig::new(100), true);
    take_the_place(FlowConfig::new(100).with_peer_threads(3), true);
}

#[test]
fn a_peer_whose_handlers_are_stuck_holds_one_thread_only() {
    let (handler, starts, leave) = gated();
    let (sender, receiver) = channel();
    let config = FlowConfig::new(100);
    assert_eq!((config.threads(), config.peer_threads()), (3, 1));
    let flow = flow(config, move |from, message| {
        if *from == peer(1) {
            handler(from, message);
        } else {
            sender.send(message).unwrap();
        }
    });
    (0..20).for_each(|message| _ = at_once(flow.execute(peer(1), message)).unwrap());
    assert_eq!(starts.recv_timeout(LIMIT), Ok(0));
    for message in 0..1_000 {
        block_on(flow.execute(peer(2 + (message % 5) as u8), message)).unwrap();
        assert_eq!(receiver.recv_timeout(LIMIT), Ok(message), "another peer is held up");
    }
    wait_until("the end of all others", || flow.snapshot().finished() == 1_000);
    assert_eq!(starts.try_recv().ok(), None, "the stuck peer has a second thread");
    assert_eq!(flow.snapshot().in_flight - flow.snapshot().queued, 1);
    (0..20).for_each(|_| leave.send(()).unwrap());
    assert!(flow.shutdown(LIMIT).is_clean());
    assert!(starts.try_iter().eq(1..20));
}

#[test]
fn a_peer_that_may_have_several_threads_has_so_many() {
    let (handler, starts, leave) = gated();
    let config = FlowConfig::new(100).with_threads(3).with_peer_threads(2);
    let flow = flow(config, handler);
    (0..6).for_each(|message| _ = at_once(flow.execute(peer(1), message)).unwrap());
    let mut first: Vec<_> = starts.iter().take(2).collect();
    first.sort_unstable();
    assert_eq!(first, [0, 1]);
    block_on(flow.execute(peer(2), 100)).unwrap();
    assert_eq!(starts.recv_timeout(LIMIT), Ok(100), "the third thread is another peer's");
    (0..7).for_each(|_| leave.send(()).unwrap());
    assert!(flow.shutdown(LIMIT).is_clean());
    assert_eq!((starts.try_iter().count(), flow.snapshot().handled()), (4, 7));
}
