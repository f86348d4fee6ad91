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
