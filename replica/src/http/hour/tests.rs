use std::time::Duration;

use super::*;

fn counts(bytes_in: u64, missing: u64, dropped: u64) -> Counts {
    Counts { bytes_in, bytes_out: 2 * bytes_in, missing, held_bytes: bytes_in, dropped }
}

#[test]
fn a_step_says_what_its_looks_have_seen() {
    let (mut hour, start) = (Hour::default(), Instant::now());
    for second in 0..=15 {
        // Something was missing for a moment. What came before the first look came at no known time.
        let missing = if second == 7 { 3 } else { 0 };
        let seen = counts(1_000_000 + 100 * second, missing, 40 + second);
        assert!(hour.view().in_rate.is_empty(), "a step ends with its time");
        hour.take(seen, start + Duration::from_secs(second));
    }
    let view = hour.view();
    assert_eq!((view.step, view.in_rate, view.out_rate), (15.0, vec![100], vec![200]));
    assert_eq!((view.missing, view.dropped), (vec![3], vec![15]));
    assert_eq!(view.held_bytes, [1_001_500]);
    // The next begins where this one has ended.
    hour.take(counts(1_001_500 + 3_000, 0, 55), start + 2 * HOUR_STEP);
    let view = hour.view();
    assert_eq!(
        (view.in_rate, view.missing, view.dropped),
        (vec![100, 200], vec![3, 0], vec![15, 0])
    );
}

#[test]
fn a_step_that_nobody_ended_counts_as_several() {
    let (mut hour, start) = (Hour::default(), Instant::now());
    hour.take(counts(0, 1, 0), start);
    hour.take(counts(4_500, 0, 7), start + 3 * HOUR_STEP);
    let view = hour.view();
    assert_eq!((view.in_rate, view.missing), (vec![100; 3], vec![1; 3]));
    assert_eq!(view.dropped, [7, 0, 0]);
}

#[test]
fn an_hour_is_kept_and_no_more() {
    let (mut hour, start) = (Hour::default(), Instant::now());
    for step in 0..=2 * HOUR_STEPS as u32 {
        hour.take(counts(u64::from(step), 0, 0), start + step * HOUR_STEP);
    }
    let view = hour.view();
    let lists = [view.in_rate, view.out_rate, view.missing, view.held_bytes, view.dropped];
    assert!(lists.iter().all(|list| list.len() == HOUR_STEPS));
    hour.take(Counts::default(), start + 10_000 * HOUR_STEP);
    assert_eq!(hour.view().in_rate.len(), HOUR_STEPS);
}
