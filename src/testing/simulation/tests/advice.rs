//! What a flow advises after it has dropped messages, and the same load again with that.

use std::{cell::RefCell, iter::Peekable, rc::Rc, time::Duration, vec};

use futures_util::FutureExt;

use super::{
    super::{
        clock,
        threads::{Running, look, run_one},
    },
    bytes_of,
};
use crate::{
    Advice, FlowConfig, FlowSnapshot, FlowType, FlowWorker, MetricsRegistry, NodeId, Outcome,
    OverloadPolicy, WATCH_PERIOD, WaitStrategy,
};

/// How many seeds are tried, unless one is named.
const SEEDS: usize = 60;

/// A message says how long its handler takes.
type Tested = FlowWorker<Duration>;

#[derive(Clone, Copy, Debug)]
struct Arrival {
    at: Duration,
    peer: u8,
    service: Duration,
    bytes: usize,
}

/// What is to come, and where to.
struct Site {
    flow: Rc<Tested>,
    arrivals: Peekable<vec::IntoIter<Arrival>>,
}

thread_local! {
    static SITE: RefCell<Option<Site>> = const { RefCell::new(None) };
}

fn with<R>(use_it: impl FnOnce(&mut Site) -> R) -> R {
    SITE.with_borrow_mut(|site| use_it(site.as_mut().expect("a test runs")))
}

fn now() -> Duration {
    clock::read().expect("a simulation runs on this thread")
}

/// Submits what comes until then, when it comes.
fn submit_until(end: Duration) {
    loop {
        let next = with(|site| {
            let next = site.arrivals.next_if(|arrival| arrival.at <= end);
            next.map(|arrival| (arrival, Rc::clone(&site.flow)))
        });
        let Some((Arrival { at, peer, service, bytes }, flow)) = next else { return };
        clock::set(Some(at.max(now())));
        let submitted = flow.execute_sized(NodeId::new([peer; 32]), service, bytes).now_or_never();
        assert!(submitted.is_some(), "nobody waits");
    }
}

/// Works for its time, in which others come.
fn handle(_: &NodeId, service: Duration) {
    let end = now() + service;
    submit_until(end);
    clock::set(Some(end.max(now())));
}

/// Runs all arrivals; returns what was counted.
fn run(config: &FlowConfig, arrivals: Vec<Arrival>) -> FlowSnapshot {
    let running = Running::begin();
    let flow = FlowWorker::new(FlowType::Chunk, config, &MetricsRegistry::new(), handle);
    let flow = Rc::new(flow.expect("the configuration is in range"));
    let submitted = arrivals.len() as u64;
    SITE.set(Some(Site { flow: Rc::clone(&flow), arrivals: arrivals.into_iter().peekable() }));
    let mut looks = now();
    while let Some(next) = with(|site| site.arrivals.peek().map(|arrival| arrival.at)) {
        while looks < next {
            clock::set(Some(looks.max(now())));
            look();
            looks = now() + WATCH_PERIOD;
        }
        submit_until(next);
        while run_one(0) {}
    }
    SITE.set(None);
    let counts = flow.snapshot();
    counts.verify("Chunk").unwrap();
    assert_eq!((counts.in_flight, counts.submitted()), (0, submitted));
    assert!(flow.shutdown(Duration::ZERO).is_clean());
    drop(flow);
    drop(running);
    counts
}

fn lost(counts: &FlowSnapshot) -> u64 {
    counts.dropped() + counts.count(Outcome::Full)
}

/// The configuration, with what is advised.
fn with_advice(config: &FlowConfig, advice: Advice) -> FlowConfig {
    let bound = advice.max_inflight_requests.unwrap_or(config.max_inflight_requests());
    config
        .with_max_inflight_requests(bound)
        .with_peer_quota(advice.peer_quota.unwrap_or(config.peer_quota()))
        .with_max_bytes(advice.max_bytes.or(config.max_bytes()))
        .with_peer_max_bytes(advice.peer_max_bytes.or(config.peer_max_bytes()))
}

/// Numbers of a seed.
struct Numbers(Box<dyn Iterator<Item = u8>>);

impl Numbers {
    fn of(seed: u64) -> Self {
        Self(Box::new((0..).flat_map(move |part| bytes_of(seed << 32 | part))))
    }

    fn below(&mut self, limit: u64) -> u64 {
        let word: Vec<u8> = self.0.by_ref().take(4).collect();
        u64::from(u32::from_le_bytes(word.try_into().expect("there is no end"))) % limit
    }

    fn one_of<T: Copy, const N: usize>(&mut self, all: [T; N]) -> T {
        all[self.below(N as u64) as usize]
    }
}

/// Some bursts of some peers, far from each other or not, beside a trickle of all.
fn arrivals(numbers: &mut Numbers) -> Vec<Arrival> {
    const PEERS: u64 = 5;
    let mut arrivals = Vec::new();
    let mut from = Duration::from_millis(1);
    let dear: Vec<u64> = (0..PEERS).map(|_| 1 + numbers.below(3)).collect();
    let mut message = |numbers: &mut Numbers, at, peer: u64| {
        let micros = dear[peer as usize] * (10 + numbers.below(60));
        arrivals.push(Arrival {
            at,
            peer: peer as u8,
            service: Duration::from_micros(micros),
            bytes: 1 + numbers.below(1_000) as usize,
        });
    };
    for _ in 0..=numbers.below(4) {
        let mut at = from;
        let (first, peers) = (numbers.below(PEERS), 1 + numbers.below(PEERS));
        let apart = numbers.one_of([0, 1, 10, 30]);
        for _ in 0..20 + numbers.below(200) {
            at += Duration::from_micros(numbers.below(2 * apart + 1));
            let peer = (first + numbers.below(peers)) % PEERS;
            message(numbers, at, peer);
        }
        from = at + Duration::from_micros(numbers.one_of([0, 3_000, 20_000, 500_000, 1_000_000]));
    }
    let mut at = Duration::ZERO;
    while at < from {
        at += Duration::from_micros(numbers.below(1_000));
        let peer = numbers.below(PEERS);
        message(numbers, at, peer);
    }
    arrivals.sort_by_key(|arrival| arrival.at);
    arrivals
}

fn config(numbers: &mut Numbers) -> FlowConfig {
    let bound = 5 + numbers.below(60) as usize;
    let quota = (bound / numbers.one_of([1, 2, 4])).max(1);
    FlowConfig::new(bound)
        .with_peer_quota(quota)
        .with_threads(1)
        .with_wait_strategy(WaitStrategy::Park)
        .with_max_bytes(numbers.one_of([None, None, Some(300 * bound as u64)]))
        .with_peer_max_bytes(numbers.one_of([None, None, Some(300 * quota as u64)]))
        .with_overload_policy(numbers.one_of([
            OverloadPolicy::DropNewest,
            OverloadPolicy::DropOldest,
            OverloadPolicy::Refuse,
        ]))
}

#[test]
fn the_same_seed_with_what_is_advised_drops_nothing() {
    let mut with_drops = 0;
    for seed in super::seeds().take(SEEDS) {
        let mut numbers = Numbers::of(seed);
        let config = config(&mut numbers);
        let arrivals = arrivals(&mut numbers);
        let counts = run(&config, arrivals.clone());
        let drops = counts.advice().map_or(0, |advice| advice.drops);
        assert_eq!(drops, lost(&counts), "seed {seed}");
        let Some(advice) = counts.advice() else { continue };
        with_drops += 1;
        let counts = run(&with_advice(&config, advice), arrivals);
        assert_eq!(lost(&counts), 0, "seed {seed}: {config:?}; {advice}; then {counts}");
        assert_eq!(counts.advice(), None, "seed {seed}");
    }
    assert!(with_drops > 0, "the bounds are small");
}

/// So many messages of a peer at once, at this moment.
fn burst(at: Duration, peer: u8, messages: usize) -> Vec<Arrival> {
    vec![Arrival { at, peer, service: Duration::from_micros(100), bytes: 1 }; messages]
}

/// A burst of 100 where there is capacity for 20, and another so long after; returns what is advised.
fn two_bursts(apart: Duration) -> Advice {
    let config = FlowConfig::new(20)
        .with_peer_quota(20)
        .with_threads(1)
        .with_wait_strategy(WaitStrategy::Park)
        .with_overload_policy(OverloadPolicy::DropNewest);
    let second = Duration::from_millis(1) + apart;
    let arrivals = [burst(Duration::from_millis(1), 1, 100), burst(second, 1, 100)].concat();
    let advice = run(&config, arrivals.clone()).advice().expect("some are dropped");
    assert_eq!(lost(&run(&with_advice(&config, advice), arrivals)), 0, "{advice}");
    advice
}

#[test]
fn a_burst_that_has_passed_adds_nothing_to_the_next_one() {
    // The bound, what was dropped, and a third of that.
    let of_one = Some(20 + 80 + 27);
    let together = two_bursts(Duration::ZERO);
    assert_eq!(together.max_inflight_requests, Some(20 + 180 + 60));
    // Eight milliseconds of work were dropped.
    let apart = two_bursts(Duration::from_secs(1));
    assert_eq!((apart.max_inflight_requests, apart.peer_quota), (of_one, of_one));
    assert_eq!((apart.drops, apart.max_bytes, apart.peer_max_bytes), (160, None, None));
}

#[test]
fn a_bound_that_was_not_reached_is_not_to_be_changed() {
    let config = FlowConfig::new(10_000)
        .with_peer_quota(20)
        .with_threads(1)
        .with_max_bytes(Some(1 << 30))
        .with_wait_strategy(WaitStrategy::Park)
        .with_overload_policy(OverloadPolicy::DropOldest);
    let advice = run(&config, burst(Duration::from_millis(1), 1, 100)).advice();
    let advice = advice.expect("some are dropped");
    assert_eq!((advice.max_inflight_requests, advice.max_bytes), (None, None));
    assert_eq!(advice.peer_quota, Some(20 + 80 + 27));
}
