use proptest::prelude::*;

use super::*;
use crate::clock::nanos;

fn snapshot_of(durations: impl IntoIterator<Item = Duration>) -> LatencySnapshot {
    let recorder = Recorder::default();
    durations.into_iter().for_each(|duration| _ = recorder.record(nanos(duration)));
    LatencySnapshot::of([&recorder].into_iter())
}

proptest! {
    /// Our buckets are those of the library: what goes through them is what the library itself
    /// would have recorded.
    #[test]
    fn a_snapshot_is_what_hdrhistogram_would_have_recorded(
        nanos in proptest::collection::vec(
            prop_oneof![0..1_000_u64, 0..1_000_000_000_u64, 0..=MAX_NANOS + 1_000], 1..200,
        ),
    ) {
        let mut expected = LatencySnapshot::default();
        for nanos in &nanos {
            expected.histogram.saturating_record((*nanos).min(MAX_NANOS));
        }
        let found = snapshot_of(nanos.iter().copied().map(Duration::from_nanos));
        for share in [0.0, 0.01, 0.5, 0.9, 0.99, 0.999, 1.0] {
            prop_assert_eq!(found.quantile(share), expected.quantile(share));
        }
        prop_assert_eq!(found.count(), nanos.len() as u64);
    }
}

#[test]
fn buckets_are_consecutive_and_start_where_the_one_before_ends() {
    assert_eq!(bucket(0), 0);
    for index in 1..BUCKETS {
        assert_eq!(bucket(lowest_of(index)), index);
        assert_eq!(bucket(lowest_of(index) - 1), index - 1);
    }
}

#[test]
fn nothing_recorded_is_zero() {
    let empty = LatencySnapshot::default();
    assert_eq!(
        (empty.count(), empty.quantile(0.99), empty.max()),
        (0, Duration::ZERO, Duration::ZERO)
    );
}

#[test]
fn what_is_too_long_counts_as_the_longest() {
    let snapshot = snapshot_of([Duration::MAX, Duration::from_secs(61)]);
    assert_eq!(snapshot.count(), 2);
    assert!(snapshot.max() <= MAX_RECORDED);
    assert!(snapshot.max() >= MAX_RECORDED.mul_f64(0.98));
}

#[test]
fn snapshots_add_up() {
    let mut sum = snapshot_of([Duration::from_micros(1)]);
    sum.merge(&snapshot_of([Duration::from_micros(100); 3]));
    assert_eq!(sum.count(), 4);
    assert!(sum.quantile(0.25) < Duration::from_micros(2));
    assert!(sum.quantile(0.5) > Duration::from_micros(99));
}

#[test]
fn what_was_recorded_between_two_snapshots_is_their_difference() {
    let recorder = Recorder::default();
    let counts = || LatencySnapshot::of([&recorder].into_iter()).recorded().collect::<Vec<_>>();
    recorder.record(100);
    let before = counts();
    [100, 100, 70_000_000].into_iter().for_each(|nanos| _ = recorder.record(nanos));
    let after = counts();
    assert_eq!(before, [(Duration::from_nanos(100), 1)]);
    assert_eq!(after[0], (Duration::from_nanos(100), 3));
    assert_eq!(after[1].1, 1);
    assert_eq!(after[1].0.as_millis(), 70);
}

#[test]
fn a_duration_counts_under_the_first_bound_that_it_does_not_exceed() {
    // To the histogram's digits, 1 003 ns are 1 000.
    let nanos = [1, 999, 1_000, 1_003, 1_010, 5_000, 70_000];
    let snapshot = snapshot_of(nanos.map(Duration::from_nanos));
    assert_eq!(snapshot.counts_up_to(&[1_000, 5_000, 50_000]), [4, 2, 0, 1]);
    assert!((snapshot.sum_in_seconds() - 79_013e-9).abs() < 1e-6);
}

#[test]
fn the_sum_never_falls() {
    let mut durations = vec![Duration::from_nanos(123_456_789); 7];
    let mut before = snapshot_of(durations.iter().copied()).sum_in_seconds();
    for _ in 0..1_000 {
        durations.push(Duration::ZERO);
        let sum = snapshot_of(durations.iter().copied()).sum_in_seconds();
        assert!(sum >= before, "{sum} after {before}");
        before = sum;
    }
}
