use std::time::Duration;

use super::*;

const MOST: u64 = 32;

fn pace() -> (Pace, Moment) {
    let now = Moment::now();
    (Pace { since: Some(now), ..Pace::default() }, now)
}

/// The wait after a row of so many messages in so many nanoseconds.
fn wait(row: u64, span: u64, most: u64) -> u64 {
    let (mut pace, began) = pace();
    (0..row).for_each(|_| pace.takes());
    pace.wait(began.after(Duration::from_nanos(span)), most)
}

#[test]
fn as_many_come_together_as_were_run_if_they_do_so_soon() {
    assert_eq!([wait(100, 10_000, MOST), wait(10, 1_000, MOST)], [3_200, 1_000]);
    assert_eq!([wait(7, 700, MOST), wait(8, 800, MOST)], [0, 800]);
    // The slowest for which it is worth it, and one that is slower.
    assert_eq!([wait(32, 5_000, MOST), wait(32, 5_001, MOST)], [5_000, 0]);
    assert_eq!(
        [wait(100, 10_000, 8), wait(100, 10_000, 0), wait(100, u64::MAX, MOST)],
        [800, 0, 0]
    );
}

#[test]
fn who_cannot_bring_more_than_were_run_is_not_waited_for_again() {
    let (mut pace, mut now) = pace();
    let mut wait_after = |row: u64| {
        (0..row).for_each(|_| pace.takes());
        let began = now;
        now = began.after(Duration::from_nanos(100 * row));
        pace.since = Some(began);
        pace.wait(now, MOST)
    };
    // A closed loop of ten, a growing flood, and one that goes on as it is.
    assert_eq!([10, 10, 10].map(&mut wait_after), [1_000, 0, 0]);
    assert_eq!([20, 31, 40, 40, 32].map(&mut wait_after), [2_000, 3_100, 3_200, 3_200, 3_200]);
    assert_eq!([31, 32].map(wait_after), [0, 3_200]);
}

#[test]
fn a_worker_that_has_just_begun_knows_no_pace_and_one_that_looks_twice_waits_once() {
    let now = Moment::now();
    let mut pace = Pace::default();
    (0..100).for_each(|_| pace.takes());
    let first = pace.gather(now, MOST, || panic!("it does not wait"));
    assert_eq!((first, pace.row, pace.since), (now, 0, Some(now)));
    (0..100).for_each(|_| pace.takes());
    let later = now.after(Duration::from_nanos(9_000));
    let then = pace.gather(later, MOST, || false);
    assert!(then.nanos_since(later) >= 32 * 90, "waited until {then:?} from {later:?}");
    assert_eq!(pace.since, Some(then), "the wait is no part of the next row's time");
    assert_eq!(pace.gather(then, MOST, || panic!("it does not wait")), then);
}

#[test]
fn what_else_comes_up_ends_the_wait() {
    // Moments that are far ahead, so that the clock never ends it.
    let began = Moment::now().after(Duration::from_secs(1_000));
    let mut pace = Pace { since: Some(began), ..Pace::default() };
    (0..100).for_each(|_| pace.takes());
    let asked = std::cell::Cell::new(0);
    let other = || {
        asked.set(asked.get() + 1);
        asked.get() == 3
    };
    let _ = pace.gather(began.after(Duration::from_nanos(1_000)), MOST, other);
    assert_eq!(asked.get(), 3);
}

#[test]
fn what_comes_together_leaves_room_for_others() {
    let most_of = |config: FlowConfig| most(&config.with_threads(1));
    assert_eq!(most_of(FlowConfig::new(100_000).with_peer_quota(128)), 32);
    assert_eq!(most_of(FlowConfig::new(100).with_peer_quota(100)), 25);
    assert_eq!(most(&FlowConfig::new(100).with_peer_quota(100).with_threads(3)), 8);
    assert_eq!(most_of(FlowConfig::new(100_000).with_peer_quota(32)), 8);
    assert_eq!(most_of(FlowConfig::new(100_000).with_peer_quota(31)), 0);
    assert_eq!(most_of(FlowConfig::new(31).with_peer_quota(31)), 0);
    let wide = FlowConfig::new(100_000).with_peer_quota(1_000);
    assert_eq!(
        [wide.with_max_bytes(Some(1 << 30)), wide.with_peer_max_bytes(Some(1 << 20))].map(most_of),
        [0, 0]
    );
}

#[test]
fn who_spins_for_the_briefest_waits_lets_nothing_come_together() {
    let most_with = |strategy| most(&FlowConfig::new(100_000).with_wait_strategy(strategy));
    assert_eq!([WaitStrategy::Spin, WaitStrategy::Park].map(most_with), [0, 32]);
}
