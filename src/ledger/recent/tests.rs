use std::thread;

use super::*;
use crate::sync::AtomicBool;

fn taken(number: u64) -> Taken {
    Taken { lane: number & ((1 << LANE_BITS) - 1), when: number }
}

#[test]
fn the_last_ones_are_kept_and_the_slot_that_comes_next_is_not_read() {
    let recent = Recent::default();
    assert_eq!(recent.read(), []);
    let whens = || recent.read().iter().map(|entry| entry.when).collect::<Vec<_>>();
    let size = RECENT as u64;
    for number in 1..=3 * size {
        recent.record(taken(number), 0, 0, Some(Outcome::Handled));
        if [1, size - 1, size, size + 1, 2 * size, 3 * size].contains(&number) {
            let first = number.saturating_sub(size - 1) + 1;
            assert_eq!(whens(), (first..=number).collect::<Vec<_>>());
        }
    }
}

#[test]
fn what_is_recorded_is_read_whatever_it_is() {
    let recent = Recent::default();
    let outcomes = Outcome::iter().map(Some).chain([None]);
    let lanes = [0, 1, (1 << LANE_BITS) - 1].into_iter().cycle();
    let times = [0, 1, 255, 256, BUCKETS - 1].into_iter().cycle();
    let expected: Vec<Entry> = outcomes
        .zip(lanes)
        .zip(times)
        .map(|((outcome, lane), bucket)| {
            let when = u64::MAX - bucket as u64;
            let other = BUCKETS - 1 - bucket;
            recent.record(Taken { lane, when }, bucket, other, outcome);
            Entry { when, lane, wait: lowest_of(bucket), service: lowest_of(other), outcome }
        })
        .collect();
    assert_eq!(recent.read(), expected);
}

#[test]
fn what_a_lane_has_beyond_its_bits_harms_nothing_else() {
    let recent = Recent::default();
    recent.record(Taken { lane: u64::MAX, when: 1 }, 2, 3, Some(Outcome::Panicked));
    let [entry] = recent.read()[..] else { panic!("one was recorded") };
    assert_eq!((entry.lane, entry.wait, entry.service), ((1 << LANE_BITS) - 1, 2, 3));
    assert_eq!(entry.outcome, Some(Outcome::Panicked));
}

#[test]
fn a_reader_beside_a_worker_finds_whole_messages_in_their_order() {
    let (recent, is_over) = (Recent::default(), AtomicBool::new(false));
    thread::scope(|threads| {
        threads.spawn(|| {
            let mut number = 0;
            while !is_over.load(Ordering::Relaxed) {
                number += 1;
                recent.record(taken(number), number as usize % BUCKETS, 0, None);
            }
        });
        let (mut read, mut last) = (0, 0);
        // Around several times: the reader has met the worker at each slot.
        while last < 50 * RECENT as u64 || read < 50 {
            let entries = recent.read();
            for entry in &entries {
                assert_eq!(entry.wait, lowest_of(entry.when as usize % BUCKETS), "torn: {entry:?}");
                assert_eq!(entry.lane, entry.when, "torn: {entry:?}");
            }
            assert!(entries.is_sorted_by(|a, b| a.when + 1 == b.when), "one is missing");
            last = entries.last().map_or(last, |entry| entry.when);
            read += 1;
        }
        is_over.store(true, Ordering::Relaxed);
    });
}
