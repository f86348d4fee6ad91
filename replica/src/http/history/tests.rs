use super::*;

#[test]
fn a_minute_is_what_its_seconds_have_added() {
    let mut waits = Waits::default();
    // What was recorded before the first look counts as its second's.
    waits.take(vec![(1_000, 10)]);
    for second in 1..=RECENT_SECONDS as u64 {
        waits.take(vec![(1_000, 10), (2_000_000, second)]);
    }
    let [median, high] = waits.quantiles([0.5, 0.99]);
    // The ten of the beginning are a minute old.
    assert_eq!((median, high), (Some(Duration::from_millis(2)), Some(Duration::from_millis(2))));
    assert_eq!(waits.p99_history().collect::<Vec<_>>()[..3], [1, 2_000, 2_000]);
    for _ in 0..RECENT_SECONDS {
        waits.take(vec![(1_000, 10), (2_000_000, RECENT_SECONDS as u64)]);
    }
    assert_eq!(waits.quantiles([0.5]), [None], "a quiet minute has no percentiles");
}

#[test]
fn a_percentile_is_of_its_rank() {
    let mut waits = Waits::default();
    waits.take(vec![(10, 98), (20, 1), (30, 1)]);
    let nanos = |share| waits.quantiles([share])[0].map(|time| time.as_nanos());
    assert_eq!([0.0, 0.5, 0.98, 0.99, 1.0].map(nanos), [10, 10, 10, 20, 30].map(Some));
}

#[test]
fn the_rings_are_bounded() {
    let (mut waits, mut growth) = (Waits::default(), Growth::default());
    for number in 0..2 * HISTORY_SECONDS as u64 {
        waits.take(vec![(1_000, number)]);
        growth.read(number);
    }
    assert_eq!(waits.p99.iter().count(), HISTORY_SECONDS);
    assert_eq!(waits.recent.iter().count(), RECENT_SECONDS);
    assert_eq!(growth.history().count(), HISTORY_SECONDS);
    assert_eq!((growth.lately(), growth.rate()), (RECENT_SECONDS as u64, 1));
}

#[test]
fn a_first_reading_is_no_growth_and_a_fall_is_none() {
    let mut growth = Growth::default();
    for (reading, lately) in [(1_000, 0), (1_003, 3), (5, 3), (6, 4)] {
        growth.read(reading);
        assert_eq!((growth.total(), growth.lately()), (reading, lately));
    }
}
