use super::*;

/// So many runs of so many messages each, one in so many nanoseconds; the wait after the last.
fn after(runs: u64, run: u64, nanos: u64) -> u64 {
    let mut pace = Pace::default();
    (1..=runs).map(|ended| pace.ended(1_000_000 + ended * run * nanos, run, 32)).last().unwrap()
}

#[test]
fn it_waits_for_messages_that_come_fast_and_one_by_one() {
    assert!((2_000..=GATHER).contains(&after(200, 1, 100)), "{}", after(200, 1, 100));
    assert_eq!(after(200, 2, 400), GATHER);
}

#[test]
fn it_waits_neither_for_slow_ones_nor_in_a_row_of_many_nor_at_first() {
    assert_eq!([after(200, 1, 600), after(200, 16, 50), after(1, 1, 100)], [0, 0, 0]);
}

#[test]
fn small_bounds_are_not_waited_in() {
    assert_eq!([Pace::most(16, 100), Pace::most(100, 20), Pace::most(100_000, 1_024)], [4, 5, 32]);
    let mut pace = Pace::default();
    assert!((1..200).all(|ended| pace.ended(ended * 100, 1, Pace::most(100, 20)) == 0));
}
