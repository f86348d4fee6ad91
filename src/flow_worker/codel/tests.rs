use std::time::Duration;

use super::*;

const MS: u64 = 1_000_000;
const CODEL: Codel = Codel::new(Duration::from_millis(5), Duration::from_millis(100));

/// Serves one message a millisecond, each of which has waited for so many; at which milliseconds one is
/// shed.
fn shed(standing: &Standing, millis: std::ops::Range<u64>, waited: u64) -> Vec<u64> {
    millis.filter(|at| standing.sheds(CODEL, at * MS, waited * MS, false)).collect()
}

#[test]
fn a_queue_that_stands_loses_messages_at_a_rising_rate() {
    let standing = Standing::default();
    let shed = shed(&standing, 0..600, 20);
    // One interval after the first, then after 100 ms, 100/√2, 100/√3 …
    assert_eq!(shed[..4], [100, 200, 271, 329]);
    assert!(shed.len() > 6, "{shed:?}");
}

#[test]
fn a_burst_that_drains_within_the_interval_loses_nothing() {
    let standing = Standing::default();
    assert_eq!(shed(&standing, 0..99, 20), [0; 0]);
    assert_eq!(shed(&standing, 99..100, 4), [0; 0]);
    assert_eq!(shed(&standing, 100..199, 20), [0; 0]);
}

#[test]
fn a_queue_that_is_short_again_loses_nothing_more() {
    let standing = Standing::default();
    assert!(!shed(&standing, 0..300, 20).is_empty());
    assert_eq!(shed(&standing, 300..600, 4), [0; 0]);
    assert!(!standing.sheds(CODEL, 900 * MS, 20 * MS, true), "the last of a queue is never shed");
}

#[test]
fn a_queue_that_stands_again_soon_begins_at_a_higher_rate() {
    let standing = Standing::default();
    let first = shed(&standing, 0..1_000, 20);
    assert_eq!(shed(&standing, 1_000..1_010, 1), [0; 0]);
    let second = shed(&standing, 1_010..2_000, 20);
    assert!(second[1] - second[0] < first[1] - first[0], "{first:?} {second:?}");
}

#[test]
fn a_queue_that_stands_again_much_later_begins_anew() {
    let standing = Standing::default();
    let first = shed(&standing, 0..20_000, 20);
    assert_eq!(shed(&standing, 20_000..20_001, 1), [0; 0]);
    let hour = 3_600_000;
    let again = shed(&standing, hour..hour + 20_000, 20);
    assert_eq!(again.iter().map(|at| at - hour).collect::<Vec<_>>(), first);
}
