//! More than can be run, in the simulation's time: no thread is ever held up there, so that what is dropped
//! is dropped by the engine's own doing. (`benches/overload` is the same on a real machine.)

use std::{
    array,
    cell::RefCell,
    iter::{self, Peekable},
    rc::Rc,
    time::Duration,
    vec,
};

use futures_util::FutureExt;

use super::{
    super::{
        clock,
        threads::{Running, run_one},
    },
    bytes_of,
};
use crate::{
    FlowConfig, FlowSnapshot, FlowType, FlowWorker, MetricsRegistry, NodeId, Outcome, WaitStrategy,
};

/// What a handler takes, beside the readings of the clock.
pub(super) const SERVICE: Duration = Duration::from_micros(50);
/// That and those of a message's two readings, in which the worker does nothing else.
pub(super) const EACH: Duration = Duration::from_micros(51);
const MAX_AGE: Duration = Duration::from_millis(10);
const PEERS: u8 = 4;
/// Far more than there ever are: nobody waits for capacity.
const LIMIT: usize = 1 << 14;

type Tested = FlowWorker<()>;

/// What is to come, and where to.
struct Site {
    flow: Rc<Tested>,
    arrivals: Peekable<vec::IntoIter<Duration>>,
    number: u8,
    /// What had been counted when the first came after this moment.
    moment: Duration,
    then: Option<FlowSnapshot>,
    found_no_capacity: bool,
}

thread_local! {
    static SITE: RefCell<Option<Site>> = const { RefCell::new(None) };
}

fn with<R>(use_it: impl FnOnce(&mut Site) -> R) -> R {
    SITE.with_borrow_mut(|site| use_it(site.as_mut().expect("a test runs")))
}

pub(super) fn now() -> Duration {
    clock::read().expect("a simulation runs on this thread")
}

/// Submits what comes until then, when it comes.
fn submit_until(end: Duration) {
    loop {
        let due = |site: &mut Site| site.arrivals.next_if(|due| *due <= end);
        let Some(due) = with(due) else { return };
        clock::set(Some(due.max(now())));
        let (flow, peer) = with(|site| {
            site.number = (site.number + 1) % PEERS;
            (Rc::clone(&site.flow), NodeId::new([site.number; 32]))
        });
        if with(|site| site.then.is_none() && due > site.moment) {
            let counts = flow.snapshot();
            with(|site| site.then = Some(counts));
        }
        // A panic in a handler would be the flow's to catch.
        let submitted = flow.execute(peer, ()).now_or_never();
        with(|site| site.found_no_capacity |= submitted.is_none_or(|submitted| submitted.is_err()));
    }
}

/// Works for its time, in which others come.
fn handle(_: &NodeId, (): ()) {
    let end = now() + SERVICE;
    submit_until(end);
    clock::set(Some(end.max(now())));
}

/// Poisson arrivals from one moment to another, at this share of what the worker can do.
pub(super) fn arrivals(from: Duration, to: Duration, share: f64) -> Vec<Duration> {
    let mut bytes = (0..).flat_map(bytes_of);
    let mut at = from;
    iter::from_fn(|| {
        let word = u32::from_le_bytes(array::from_fn(|_| bytes.next().expect("there is no end")));
        let uniform = (f64::from(word) + 1.0) / (f64::from(u32::MAX) + 1.0);
        at += EACH.mul_f64(-uniform.ln() / share);
        Some(at)
    })
    .take_while(|at| *at < to)
    .collect()
}

/// Runs all arrivals; returns the counts when the first comes after this moment, and at last.
fn run(arrivals: Vec<Duration>, moment: Duration) -> [FlowSnapshot; 2] {
    let running = Running::begin();
    let config = FlowConfig::new(LIMIT)
        .with_peer_quota(LIMIT)
        .with_threads(1)
        .with_wait_strategy(WaitStrategy::Park)
        .with_max_age(Some(MAX_AGE));
    let flow = FlowWorker::new(FlowType::Advert, &config, &MetricsRegistry::new(), handle);
    let flow = Rc::new(flow.expect("the configuration is in range"));
    SITE.set(Some(Site {
        flow: Rc::clone(&flow),
        arrivals: arrivals.into_iter().peekable(),
        number: 0,
        moment,
        then: None,
        found_no_capacity: false,
    }));
    while let Some(next) = with(|site| site.arrivals.peek().copied()) {
        submit_until(next);
        while run_one(0) {}
    }
    let site = SITE.take().expect("it was set above");
    assert!(!site.found_no_capacity, "there is capacity for all that comes");
    let then = site.then.clone().expect("something comes after the moment");
    drop(site);
    let last = flow.snapshot();
    last.verify("Advert").unwrap();
    assert_eq!(last.in_flight, 0);
    assert!(flow.shutdown(Duration::ZERO).is_clean());
    drop(flow);
    drop(running);
    [then, last]
}

#[test]
fn below_the_capacity_nothing_is_old() {
    let length = Duration::from_secs(10);
    let arrivals = arrivals(Duration::ZERO, length, 0.8);
    let submitted = arrivals.len() as u64;
    let [_, last] = run(arrivals, length / 2);
    assert_eq!((last.handled(), last.dropped()), (submitted, 0));
    assert!(last.wait.max() < MAX_AGE, "{:?}", last.wait);
}

#[test]
fn twice_the_capacity_is_cut_to_what_is_fresh_and_leaves_no_trace() {
    let (over, end) = (Duration::from_secs(10), Duration::from_secs(12));
    let settled = over + Duration::from_secs(1);
    let all = [arrivals(Duration::ZERO, over, 2.0), arrivals(over, end, 0.8)].concat();
    let submitted = all.len() as u64;
    let [then, last] = run(all, settled);
    assert_eq!(last.handled() + last.count(Outcome::Expired), submitted);
    assert!(last.wait.max() <= MAX_AGE + SERVICE, "{:?}", last.wait);
    // Of what can be run in ten seconds, and in the first that follow upon them.
    let possible = settled.div_duration_f64(EACH);
    let goodput = then.handled() as f64 / possible;
    assert!(goodput > 0.95, "{goodput} of the capacity");
    assert!(then.count(Outcome::Expired) > submitted / 3, "there was too much");
    assert_eq!(
        then.count(Outcome::Expired),
        last.count(Outcome::Expired),
        "drops go on after the overload"
    );
}
