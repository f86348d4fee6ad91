//! Handlers that take several messages in one call.

use super::*;

/// What a call was given: who sent what.
type Call = Vec<(NodeId, u32)>;

/// Says what each call gets. A call that has message 0 waits for leave, one that has 13 panics.
struct Batches {
    most: usize,
    calls: Sender<Call>,
    leave: crossbeam::channel::Receiver<()>,
    panicked: Sender<NodeId>,
}

impl Batches {
    fn run(&self, call: Call) {
        let has = |number| call.iter().any(|(_, message)| *message == number);
        let (waits, panics) = (has(0), has(13));
        self.calls.send(call).unwrap();
        if waits {
            self.leave.recv_timeout(LIMIT).expect("the test gives leave");
        }
        if panics {
            // Without the noise.
            std::panic::resume_unwind(Box::new("on purpose"));
        }
    }
}

impl MessageHandler<u32> for Batches {
    fn handle(&self, peer: &NodeId, message: u32) {
        self.run(vec![(*peer, message)]);
    }

    fn handle_many(&self, messages: Vec<Received<u32>>) {
        assert!(Slot::take().is_none() && queue_delay().is_none());
        self.run(messages.iter().map(|received| (*received.peer(), received.message)).collect());
    }

    fn max_batch(&self) -> usize {
        self.most
    }

    fn panicked(&self, peer: &NodeId) {
        self.panicked.send(*peer).unwrap();
    }
}

struct Site {
    flow: FlowWorker<u32>,
    calls: Receiver<Call>,
    leave: crossbeam::channel::Sender<()>,
    panicked: Receiver<NodeId>,
}

/// A flow whose first call has begun and waits for leave.
fn site(config: FlowConfig, most: usize) -> Site {
    let (sender, calls) = channel();
    let (leave, leaves) = crossbeam::channel::unbounded();
    let (panics, panicked) = channel();
    let handler = Batches { most, calls: sender, leave: leaves, panicked: panics };
    let config = config.with_threads(1);
    let flow = FlowWorker::new("batches", &config, &MetricsRegistry::new(), handler).unwrap();
    at_once(flow.execute(peer(9), 0)).unwrap();
    assert_eq!(calls.recv_timeout(LIMIT), Ok(vec![(peer(9), 0)]), "it came alone");
    Site { flow, calls, leave, panicked }
}

fn rest(site: &Site) -> FlowSnapshot {
    assert!(site.flow.shutdown(LIMIT).is_clean());
    at_rest(&site.flow)
}

#[test]
fn what_has_gathered_comes_in_one_call_each_peer_in_its_order() {
    let site = site(FlowConfig::new(100).with_quantum(Duration::from_millis(10)), 100);
    for message in 1..=4 {
        for from in 1..=5 {
            at_once(site.flow.execute(peer(from), message)).unwrap();
        }
    }
    site.leave.send(()).unwrap();
    let mut calls = Vec::new();
    while calls.iter().map(Vec::len).sum::<usize>() < 20 {
        calls.push(site.calls.recv_timeout(LIMIT).unwrap());
    }
    assert!(calls[0].len() >= 5, "one of each peer at least: {calls:?}");
    assert!(calls.len() <= 4, "{calls:?}");
    for from in 1..=5 {
        let of_peer = calls.iter().flatten().filter(|(of, _)| *of == peer(from));
        assert!(of_peer.map(|(_, message)| *message).eq(1..=4), "{calls:?}");
    }
    let counts = rest(&site);
    assert_eq!((counts.handled(), counts.wait.count(), counts.service.count()), (21, 21, 21));
}

#[test]
fn a_call_takes_about_as_many_as_it_is_to() {
    let site = site(FlowConfig::new(1_000), 10);
    (1..=100).for_each(|from| _ = at_once(site.flow.execute(peer(from), 1)).unwrap());
    site.leave.send(()).unwrap();
    let mut left = 100;
    while left > 0 {
        let call = site.calls.recv_timeout(LIMIT).unwrap();
        assert!((1..=10).contains(&call.len()), "{}", call.len());
        left -= call.len();
    }
    rest(&site);
}

#[test]
fn a_panic_counts_for_each_of_the_call_and_the_flow_goes_on() {
    let site = site(FlowConfig::new(100), 100);
    for (from, message) in [(1, 1), (2, 13), (3, 3)] {
        at_once(site.flow.execute(peer(from), message)).unwrap();
    }
    site.leave.send(()).unwrap();
    assert_eq!(site.calls.recv_timeout(LIMIT).unwrap().len(), 3);
    at_once(site.flow.execute(peer(4), 4)).unwrap();
    assert_eq!(site.calls.recv_timeout(LIMIT), Ok(vec![(peer(4), 4)]));
    let counts = rest(&site);
    assert_eq!((counts.panicked(), counts.handled(), counts.stray_panics), (3, 2, 0));
    assert_eq!(site.panicked.try_iter().collect::<Vec<_>>(), [1, 2, 3].map(peer));
}

#[test]
fn what_may_not_start_is_in_no_batch() {
    let site = site(FlowConfig::new(100), 100);
    for from in 1..=3 {
        at_once(site.flow.execute(peer(from), 1)).unwrap();
    }
    site.flow.cancel_peer(peer(2));
    site.leave.send(()).unwrap();
    assert_eq!(site.calls.recv_timeout(LIMIT), Ok(vec![(peer(1), 1), (peer(3), 1)]));
    let counts = rest(&site);
    assert_eq!((counts.handled(), counts.count(Outcome::Cancelled)), (3, 1));
}

#[test]
fn each_lane_of_a_call_that_is_left_by_its_end_is_told_of() {
    struct Bell(AtomicU64);
    impl LaneLeft for Bell {
        fn lane_left(&self) {
            self.0.fetch_add(1, Ordering::AcqRel);
        }
    }
    let bell = Arc::new(Bell(AtomicU64::new(0)));
    let (sender, calls) = channel();
    let (leave, leaves) = crossbeam::channel::unbounded();
    let handler = Batches { most: 9, calls: sender, leave: leaves, panicked: channel().0 };
    let config = FlowConfig::new(9).with_threads(1).with_departure(crate::Departure::Drain);
    let registry = MetricsRegistry::new();
    let spec = FlowSpec::new("batches", &config, &registry);
    let left = Some(Arc::<Bell>::clone(&bell) as Arc<dyn LaneLeft>);
    let flow = FlowWorker::of_engine(FlowSpec { left, ..spec }, handler, None).unwrap();
    at_once(flow.execute(peer(9), 0)).unwrap();
    assert_eq!(calls.recv_timeout(LIMIT).unwrap().len(), 1);
    (1..=3).for_each(|from| _ = at_once(flow.execute(peer(from), 0)).unwrap());
    leave.send(()).unwrap();
    assert_eq!(calls.recv_timeout(LIMIT).unwrap().len(), 3);
    for from in 1..=3 {
        assert!(flow.depart(&peer(from)).iter().all(|lane| !lane.is_left()));
    }
    leave.send(()).unwrap();
    assert!(flow.shutdown(LIMIT).is_clean());
    assert_eq!(bell.0.load(Ordering::Acquire), 3);
}

#[test]
fn who_waits_is_let_in_by_the_end_of_a_call() {
    let site = site(FlowConfig::new(4).with_peer_quota(4), 4);
    let calls = (1..=20).map(|message| site.flow.execute(peer(1), message + 20));
    let calls: Vec<_> = calls.collect();
    site.leave.send(()).unwrap();
    block_on(join_all(calls)).into_iter().for_each(|call| _ = call.unwrap());
    let counts = rest(&site);
    assert_eq!((counts.handled(), counts.waiting_for_peer_permit), (21, 17));
}

/// Several workers that batch, peers that go, little capacity: nothing is lost, and no peer's messages pass each other.
#[test]
fn batches_under_stress_add_up() {
    for round in 0..rounds(5) {
        const EACH: u32 = 500;
        struct Ordered(Arc<[AtomicU64; 4]>, Arc<AtomicU64>);
        impl MessageHandler<u32> for Ordered {
            fn handle(&self, peer: &NodeId, message: u32) {
                let last = &self.0[usize::from(peer.as_bytes()[0])];
                if last.swap(message.into(), Ordering::AcqRel) > u64::from(message) {
                    self.1.fetch_add(1, Ordering::AcqRel);
                }
            }
            fn max_batch(&self) -> usize {
                7
            }
        }
        let (last, wrong) = (Arc::default(), Arc::<AtomicU64>::default());
        let config = FlowConfig::new(8 + round).with_threads(3);
        let handler = Ordered(last, Arc::clone(&wrong));
        let flow = FlowWorker::new("ordered", &config, &MetricsRegistry::new(), handler).unwrap();
        thread::scope(|scope| {
            for from in 0..4 {
                let flow = &flow;
                scope.spawn(move || {
                    for message in 1..=EACH {
                        _ = block_on(flow.execute(peer(from), message)).unwrap();
                        if from == 3 && message % 100 == 0 {
                            flow.cancel_peer(peer(from));
                        }
                    }
                });
            }
        });
        assert!(flow.shutdown(LIMIT).is_clean());
        let counts = at_rest(&flow);
        assert_eq!(counts.finished(), u64::from(4 * EACH));
        assert_eq!(wrong.load(Ordering::Acquire), 0, "out of order");
    }
}
