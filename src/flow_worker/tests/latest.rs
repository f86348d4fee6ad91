//! Messages that take the place of those that they supersede.

use std::collections::VecDeque;

use super::*;

type Discards = Receiver<(u32, Outcome)>;

/// Messages with the same last digit supersede each other, those that are higher lower ones.
struct Latest<F> {
    handle: F,
    discards: Sender<(u32, Outcome)>,
}

impl<F: Fn(&NodeId, u32) + Send + Sync + 'static> MessageHandler<u32> for Latest<F> {
    fn handle(&self, peer: &NodeId, message: u32) {
        (self.handle)(peer, message);
    }

    fn supersedes(&self, newer: &u32, older: &u32) -> bool {
        assert_ne!(*older, 66, "a panic that is contained");
        newer % 10 == older % 10 && newer > older
    }

    fn discarded(&self, _: &NodeId, message: u32, outcome: Outcome) {
        self.discards.send((message, outcome)).unwrap();
    }
}

/// A flow whose only worker has begun on message 0 of peer 1.
fn busy(limit: usize) -> (FlowWorker<u32>, Receiver<u32>, Sender<()>, Discards) {
    let config = FlowConfig::new(limit)
        .with_peer_quota(limit)
        .with_threads(1)
        .with_overload_policy(OverloadPolicy::KeepLatest);
    let (handle, starts, leave) = gated();
    let (discards, discarded) = channel();
    let handler = Latest { handle, discards };
    let flow =
        FlowWorker::new(FlowType::Advert, &config, &MetricsRegistry::new(), handler).unwrap();
    flow.try_execute(peer(1), 0).unwrap();
    assert_eq!(starts.recv_timeout(LIMIT), Ok(0));
    (flow, starts, leave, discarded)
}

/// Lets so many messages end, and returns those that have started since.
fn ends(
    flow: &FlowWorker<u32>,
    starts: &Receiver<u32>,
    leave: &Sender<()>,
    count: usize,
) -> (FlowSnapshot, Vec<u32>) {
    (0..count).for_each(|_| leave.send(()).unwrap());
    (at_rest(flow), starts.try_iter().collect())
}

#[test]
fn the_latest_takes_the_place_of_what_it_supersedes_by_each_way_in() {
    let (flow, starts, leave, discarded) = busy(6);
    for message in [11, 12, 13, 21, 14] {
        assert_eq!(at_once(flow.execute(peer(1), message)).unwrap(), Submitted::Admitted);
    }
    // It supersedes two, and one place becomes free by that.
    flow.try_execute(peer(1), 31).unwrap();
    assert_eq!(
        discarded.try_iter().collect::<Vec<_>>(),
        [11, 21].map(|m| (m, Outcome::Superseded))
    );
    flow.try_execute(peer(2), 22).unwrap();
    assert_eq!(flow.try_execute(peer(2), 23).unwrap_err().reason, RefusalReason::Full);
    assert_eq!(at_once(flow.execute(peer(1), 32)).unwrap(), Submitted::Admitted);
    let mut submitter = flow.submitter(peer(1));
    assert_eq!(at_once(submitter.execute(33)).unwrap(), Submitted::Admitted);
    // A row's rest goes by the same way.
    let mut row = VecDeque::from([(34, 4), (44, 4)]);
    while !row.is_empty() {
        if submitter.try_execute_many(&mut row) == 0 {
            let (message, bytes) = row.pop_front().unwrap();
            at_once(submitter.execute_sized(message, bytes)).unwrap();
        }
    }
    let superseded = [12, 13, 14, 34].map(|message| (message, Outcome::Superseded));
    assert_eq!(discarded.try_iter().collect::<Vec<_>>(), superseded);
    // One that is older than what is queued does not.
    assert_eq!(flow.try_execute(peer(1), 1).unwrap_err().message, 1);
    let (counts, started) = ends(&flow, &starts, &leave, 6);
    // Peer 2 has its turn between those of peer 1.
    let of_first: Vec<u32> = started.iter().copied().filter(|&message| message != 22).collect();
    assert_eq!(of_first, [31, 32, 33, 44]);
    assert_eq!((counts.admitted, counts.handled()), (12, 6));
    assert_eq!((counts.count(Outcome::Superseded), counts.dropped()), (6, 0));
    assert_eq!(counts.count(Outcome::Full), 2);
}

#[test]
fn what_supersedes_nothing_waits() {
    let (flow, starts, leave, discarded) = busy(2);
    at_once(flow.execute(peer(1), 11)).unwrap();
    let waits = flow.execute(peer(1), 12);
    let of_another = flow.execute(peer(2), 21);
    assert_eq!(flow.snapshot().waiting, 2);
    // Nobody is held up by those who wait: no capacity is needed.
    at_once(flow.execute(peer(1), 31)).unwrap();
    (0..4).for_each(|_| leave.send(()).unwrap());
    block_on(waits).unwrap();
    block_on(of_another).unwrap();
    let counts = at_rest(&flow);
    assert_eq!(starts.try_iter().collect::<std::collections::BTreeSet<_>>(), [12, 21, 31].into());
    assert_eq!((counts.handled(), counts.admitted), (4, 5));
    assert_eq!(discarded.try_iter().collect::<Vec<_>>(), [(11, Outcome::Superseded)]);
}

#[test]
fn a_panic_where_messages_are_compared_is_contained_and_the_message_waits() {
    let (flow, starts, leave, _discarded) = busy(3);
    at_once(flow.execute(peer(1), 66)).unwrap();
    at_once(flow.execute(peer(1), 11)).unwrap();
    let mut waits = flow.execute(peer(1), 21);
    assert!((&mut waits).now_or_never().is_none());
    (0..4).for_each(|_| leave.send(()).unwrap());
    block_on(waits).unwrap();
    let counts = at_rest(&flow);
    assert_eq!(starts.try_iter().collect::<Vec<_>>(), [66, 11, 21]);
    assert_eq!((counts.handled(), counts.count(Outcome::Superseded)), (4, 0));
}

#[test]
fn on_several_threads_the_last_of_each_peer_is_handled_and_none_in_vain() {
    const PEERS: u8 = 8;
    const LAST: u64 = 2_000;
    for _ in 0..rounds(3) {
        struct Heights(Arc<[AtomicU64; PEERS as usize]>);
        impl MessageHandler<u64> for Heights {
            fn handle(&self, peer: &NodeId, height: u64) {
                let before = self.0[usize::from(peer.as_bytes()[0])].swap(height, Ordering::AcqRel);
                assert!(before < height, "{height} after {before}");
            }
            fn supersedes(&self, newer: &u64, older: &u64) -> bool {
                newer > older
            }
        }
        let heights: Arc<[AtomicU64; PEERS as usize]> = Arc::default();
        let config = FlowConfig::new(8)
            .with_peer_quota(3)
            .with_threads(2)
            .with_overload_policy(OverloadPolicy::KeepLatest);
        let handler = Heights(Arc::clone(&heights));
        let flow = FlowWorker::new("heights", &config, &MetricsRegistry::new(), handler).unwrap();
        thread::scope(|threads| {
            for number in 0..PEERS {
                let mut submitter = flow.submitter(peer(number));
                threads.spawn(move || {
                    (1..=LAST).for_each(|height| _ = submitter.execute(height).wait().unwrap());
                });
            }
        });
        let counts = at_rest(&flow);
        assert_eq!((counts.panicked(), counts.admitted), (0, u64::from(PEERS) * LAST));
        assert!(heights.iter().all(|height| height.load(Ordering::Acquire) == LAST));
    }
}

#[test]
fn permits_replacements_departures_and_a_close_at_once_leave_nothing_behind() {
    struct Any(AtomicU64);
    impl MessageHandler<u32> for Any {
        fn handle(&self, _: &NodeId, message: u32) {
            if message.is_multiple_of(64) {
                thread::yield_now();
            }
        }
        fn supersedes(&self, newer: &u32, older: &u32) -> bool {
            if self.0.fetch_add(1, Ordering::Relaxed).is_multiple_of(97) {
                thread::yield_now();
            }
            newer % 3 == older % 3
        }
    }
    for round in 0..rounds(12) {
        let bytes = (round % 2 == 0).then_some(24);
        let config = FlowConfig::new(6)
            .with_peer_quota(4)
            .with_threads(2)
            .with_max_bytes(bytes)
            .with_peer_threads(1 + round % 2)
            .with_max_peers(3)
            .with_overload_policy(OverloadPolicy::KeepLatest);
        let flow = FlowWorker::new("any", &config, &MetricsRegistry::new(), Any(AtomicU64::new(1)));
        let flow = Arc::new(flow.unwrap());
        thread::scope(|threads| {
            for thread in 0..3_u32 {
                let flow = &flow;
                threads.spawn(move || {
                    let mut service = Arc::clone(flow).service(peer((thread % 2) as u8));
                    for n in 0..300_u32 {
                        let peer = peer((n % 4) as u8);
                        match n % 7 {
                            0 => drop(flow.execute(peer, n)),
                            1 => drop(flow.try_execute(peer, n)),
                            2 => drop(block_on(flow.execute_sized(peer, n, (n % 9) as usize))),
                            3 => {
                                let mut context =
                                    std::task::Context::from_waker(std::task::Waker::noop());
                                use tower::Service;
                                if let std::task::Poll::Ready(Ok(())) =
                                    service.poll_ready(&mut context)
                                {
                                    drop(service.call(n));
                                }
                            }
                            4 if n % 5 == 0 => flow.cancel_peer(peer),
                            5 if n % 15 == 0 => service = service.clone(),
                            _ => drop(flow.execute(peer, n)),
                        }
                    }
                    if thread == 0 && round % 3 == 0 {
                        flow.close();
                    }
                });
            }
        });
        let report = flow.shutdown(LIMIT);
        assert!(report.is_clean(), "{report:?}");
        let counts = flow.snapshot();
        counts.verify("any").unwrap();
        assert_eq!(
            (counts.in_flight, counts.bytes_in_flight, counts.waiting),
            (0, 0, 0),
            "{counts:?}"
        );
    }
}

#[test]
fn a_comparison_may_use_the_flow_cancel_its_peer_and_shut_the_flow_down() {
    struct Re(std::sync::OnceLock<Weak<FlowWorker<u32>>>, AtomicU64);
    impl MessageHandler<u32> for Re {
        fn handle(&self, _: &NodeId, _: u32) {
            thread::yield_now();
        }
        fn supersedes(&self, newer: &u32, _: &u32) -> bool {
            let flow = self.0.get().unwrap().upgrade().unwrap();
            match self.1.fetch_add(1, Ordering::Relaxed) % 50 {
                7 => flow.cancel_peer(peer(1)),
                49 if *newer > 900 => assert!(!flow.shutdown(LIMIT).is_clean()),
                n if n.is_multiple_of(3) => drop(flow.execute(peer(1), *newer)),
                _ => drop(flow.try_execute(peer(1), *newer)),
            }
            newer.is_multiple_of(2)
        }
    }
    struct Shared(Arc<Re>);
    impl MessageHandler<u32> for Shared {
        fn handle(&self, p: &NodeId, m: u32) {
            self.0.handle(p, m)
        }
        fn supersedes(&self, a: &u32, b: &u32) -> bool {
            self.0.supersedes(a, b)
        }
    }
    for _ in 0..rounds(5) {
        let re = Arc::new(Re(Default::default(), AtomicU64::new(0)));
        let config = FlowConfig::new(5)
            .with_peer_quota(4)
            .with_threads(2)
            .with_overload_policy(OverloadPolicy::KeepLatest);
        let flow = Arc::new(
            FlowWorker::new("re", &config, &MetricsRegistry::new(), Shared(re.clone())).unwrap(),
        );
        re.0.set(Arc::downgrade(&flow)).unwrap();
        thread::scope(|threads| {
            for _ in 0..2 {
                let flow = &flow;
                threads.spawn(move || (0..1_000).for_each(|n| drop(flow.execute(peer(1), n))));
            }
        });
        assert!(flow.shutdown(LIMIT).is_clean());
        flow.snapshot().verify("re").unwrap();
        assert_eq!((flow.snapshot().in_flight, flow.snapshot().waiting), (0, 0));
    }
}

#[test]
fn a_flow_is_shut_down_by_the_end_of_a_thread() {
    struct Keeps(std::cell::RefCell<Option<FlowWorker<u32>>>);
    impl Drop for Keeps {
        fn drop(&mut self) {
            if let Some(flow) = self.0.take() {
                assert!(flow.shutdown(LIMIT).is_clean());
            }
        }
    }
    std::thread_local! { static KEEPS: Keeps = const { Keeps(std::cell::RefCell::new(None)) } }
    thread::spawn(|| {
        KEEPS.with(|keeps| {
            *keeps.0.borrow_mut() = Some(flow(FlowConfig::new(2), |_, _: u32| {}));
        });
    })
    .join()
    .unwrap();
}
