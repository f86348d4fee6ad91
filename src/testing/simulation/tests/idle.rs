//! How long a worker with nothing to do looks for something, in the simulation's time.

use std::time::Duration;

use futures_util::FutureExt;

use super::super::{
    clock,
    threads::{Running, run_one},
};
use crate::{FlowConfig, FlowType, FlowWorker, MetricsRegistry, NodeId, WaitStrategy};

const LONGEST: Duration = Duration::from_micros(200);
/// Some readings of the clock, and a look more than there is time for. One that does not look at all yields not
/// even once, which takes 5 µs.
const ROUGHLY: [Duration; 2] = [Duration::from_micros(5), Duration::from_micros(15)];

fn now() -> Duration {
    clock::read().expect("a simulation runs on this thread")
}

/// For how long a worker runs that is needed so long after the one before has gone: once for each of these.
fn runs(strategy: WaitStrategy, gaps: impl IntoIterator<Item = Duration>) -> Vec<Duration> {
    let running = Running::begin();
    let config = FlowConfig::new(1).with_threads(1).with_wait_strategy(strategy);
    let flow =
        FlowWorker::new(FlowType::Advert, &config, &MetricsRegistry::new(), |_: &NodeId, ()| {});
    let flow = flow.expect("the configuration is in range");
    let run = |gap: Duration| {
        clock::set(Some(now() + gap));
        let began = now();
        let submitted = flow.execute(NodeId::new([1; 32]), ()).now_or_never();
        assert!(submitted.is_some_and(|submitted| submitted.is_ok()), "there is capacity");
        assert!(run_one(0), "a worker is needed");
        now() - began
    };
    let runs = gaps.into_iter().map(run).collect();
    assert!(flow.shutdown(Duration::ZERO).is_clean());
    drop(running);
    runs
}

fn assert_roughly(found: &[Duration], expected_micros: &[u64]) {
    let expected = expected_micros.iter().map(|micros| Duration::from_micros(*micros));
    for (place, (found, expected)) in found.iter().zip(expected).enumerate() {
        let roughly = ROUGHLY[usize::from(!expected.is_zero())];
        let rest = found.checked_sub(expected);
        assert!(rest.is_some_and(|rest| rest < roughly), "{place}: {found:?}, not {expected:?}");
    }
    assert_eq!(found.len(), expected_micros.len());
}

#[test]
fn one_that_is_needed_seldom_stops_looking_and_one_that_is_needed_soon_looks_again() {
    let seldom = [Duration::from_millis(1); 7];
    let soon = [Duration::from_micros(1); 7];
    let gaps = seldom.into_iter().chain(soon);
    let found = runs(WaitStrategy::Adaptive(LONGEST), gaps);
    // In the end it has looked for the longest in vain, and was needed a little later.
    let expected = [200, 100, 50, 25, 12, 0, 0, 10, 20, 40, 80, 160, 200, 100];
    assert_roughly(&found, &expected);
}

#[test]
fn one_that_parks_does_not_look() {
    let found = runs(WaitStrategy::Park, [Duration::from_micros(1); 5]);
    assert_roughly(&found, &[0; 5]);
}
