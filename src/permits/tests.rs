use std::{cell::Cell, thread};

use proptest::prelude::*;

use super::*;
use crate::sync::AtomicBool;

#[test]
fn what_enters_and_leaves_is_bounded_and_who_waits_is_not_passed() {
    let permits = Permits::new(2);
    let left = Cell::new(0);
    let enter = || permits.enter(|| left.get());
    assert_eq!([enter(), enter(), enter()], [Attempt::Entered, Attempt::Entered, Attempt::Full]);
    left.set(1);
    assert_eq!(permits.join(1), Joined::Waiting);
    assert_eq!((permits.join(1), permits.waiting()), (Joined::Crowded, 1));
    assert_eq!(enter(), Attempt::Full);
    assert_eq!(permits.enter_past(|| left.get()), Attempt::Entered);
    permits.unjoin();
    assert_eq!(permits.in_flight(|| left.get()), 2);
    permits.retreat();
    assert_eq!((enter(), permits.entered()), (Attempt::Entered, 3));
    permits.shut();
    left.set(3);
    assert_eq!((enter(), permits.join(1)), (Attempt::Shut, Joined::Shut));
}

#[test]
fn only_what_is_unused_is_shut_and_only_once() {
    let permits = Permits::new(2);
    assert_eq!(permits.enter(|| 0), Attempt::Entered);
    assert!(!permits.shut_if_unused(|| 0));
    assert_eq!(permits.join(1), Joined::Waiting);
    assert!(!permits.shut_if_unused(|| 1));
    permits.unjoin();
    assert!(permits.shut_if_unused(|| 1));
    assert!(!permits.shut_if_unused(|| 1));
    assert!(permits.is_shut());
}

#[test]
fn a_count_that_wraps_around_is_bounded_as_any_other() {
    let permits = Permits::new(3);
    let start = COUNT - 1;
    permits.word.store(start * ENTRANT, Ordering::Relaxed);
    // As a caller counts them, in all 64 bits.
    let left = Cell::new(start + 7 * (COUNT + 1));
    for _ in 0..10 {
        let attempts = [(); 4].map(|()| permits.enter(|| left.get()));
        assert_eq!(attempts[..3], [Attempt::Entered; 3]);
        assert_eq!((attempts[3], permits.in_flight(|| left.get())), (Attempt::Full, 3));
        left.set(left.get() + 3);
    }
    assert_eq!(permits.in_flight(|| left.get()), 0);
}

#[test]
fn the_bound_holds_between_threads() {
    const LIMIT: u64 = 3;
    let (permits, left) = (Permits::new(LIMIT), AtomicU64::new(0));
    let (inside, broken) = (AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut entries = 0;
                while entries < 20_000 {
                    if permits.enter(|| left.load(Ordering::Acquire)) == Attempt::Entered {
                        if inside.fetch_add(1, Ordering::Relaxed) >= LIMIT {
                            broken.store(true, Ordering::Relaxed);
                        }
                        inside.fetch_sub(1, Ordering::Relaxed);
                        left.fetch_add(1, Ordering::Release);
                        entries += 1;
                    } else {
                        thread::yield_now();
                    }
                }
            });
        }
    });
    assert!(!broken.load(Ordering::Relaxed));
    assert_eq!(permits.in_flight(|| left.load(Ordering::Relaxed)), 0);
}

proptest! {
    #[test]
    fn it_does_as_three_plain_numbers_do(
        limit in 1_u64..5,
        operations in proptest::collection::vec(0_u8..7, 0..200),
    ) {
        let permits = Permits::new(limit);
        let left = Cell::new(0_u64);
        let (mut inside, mut waiting) = (0, 0);
        for operation in operations {
            match operation {
                0 => {
                    let entered = permits.enter(|| left.get()) == Attempt::Entered;
                    prop_assert_eq!(entered, waiting == 0 && inside < limit);
                    inside += u64::from(entered);
                }
                1 => {
                    let entered = permits.enter_past(|| left.get()) == Attempt::Entered;
                    prop_assert_eq!(entered, inside < limit);
                    inside += u64::from(entered);
                }
                2 if inside > 0 => {
                    permits.retreat();
                    inside -= 1;
                }
                3 if inside > 0 => {
                    left.set(left.get() + 1);
                    inside -= 1;
                }
                4 => {
                    let joined = permits.join(3) == Joined::Waiting;
                    prop_assert_eq!(joined, waiting < 3);
                    waiting += usize::from(joined);
                }
                5 if waiting > 0 => {
                    permits.unjoin();
                    waiting -= 1;
                }
                6 => {
                    prop_assert_eq!(permits.look(|| left.get()), inside as usize);
                    prop_assert_eq!(permits.at_most_in_flight(), inside);
                }
                _ => {}
            }
            prop_assert_eq!(permits.in_flight(|| left.get()), inside as usize);
            prop_assert_eq!(permits.waiting(), waiting);
        }
    }
}
