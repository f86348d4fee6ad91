//! Bounds grow, stop growing, and begin anew.

use std::time::Duration;

use tokio::time::Instant;

use super::{Backoff, FIRST_BACKOFF, LAST_BACKOFF, LAST_PENALTY, PENALTY_FORGOTTEN_AFTER, Penalty};

#[test]
fn waits_stay_below_a_bound_that_doubles() {
    let mut backoff = Backoff::new();
    let mut bound = FIRST_BACKOFF;
    for _ in 0..20 {
        assert_eq!(backoff.bound, bound);
        assert!(backoff.next() <= bound);
        bound = (bound * 2).min(LAST_BACKOFF);
    }
    assert_eq!(backoff.bound, LAST_BACKOFF);
    backoff.reset();
    assert!(backoff.next() <= FIRST_BACKOFF);
}

#[test]
fn waits_differ() {
    let draw = || {
        let mut backoff = Backoff::new();
        [(); 8].map(|()| backoff.next())
    };
    assert_ne!(draw(), draw());
}

#[test]
fn penalties_double_and_are_forgotten() {
    let first = Duration::from_secs(1);
    let mut penalty = Penalty::new(first);
    let mut now = Instant::now();
    assert_eq!(penalty.left(now), Duration::ZERO);
    let mut expected = first;
    for _ in 0..10 {
        penalty.impose(now);
        assert_eq!(penalty.left(now), expected);
        now += expected;
        assert_eq!(penalty.left(now), Duration::ZERO);
        expected = (expected * 2).min(LAST_PENALTY);
    }
    now += PENALTY_FORGOTTEN_AFTER + Duration::from_secs(1);
    penalty.impose(now);
    assert_eq!(penalty.left(now), first);
}
