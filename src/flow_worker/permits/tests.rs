#![expect(clippy::disallowed_types, reason = "counts in a test, which loom does not run")]

use std::{
    sync::atomic::AtomicUsize as StdAtomicUsize,
    task::{Wake, Waker},
};

use proptest::prelude::*;

use super::*;
use crate::flow_worker::line::Standing;

#[derive(Default)]
struct Wakes(StdAtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Wakes {
    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// A submitter that waits, and how often it was woken.
struct Waiting {
    place: Arc<Place>,
    wakes: Arc<Wakes>,
}

impl Waiting {
    fn join(permits: &Permits) -> Self {
        let waiting = Self { place: permits.join().unwrap(), wakes: Arc::default() };
        waiting.standing();
        waiting
    }

    fn standing(&self) -> Standing {
        self.place.poll(&Waker::from(Arc::clone(&self.wakes)))
    }
}

fn full(limit: usize) -> Permits {
    let permits = Permits::new(limit, 1_000);
    for _ in 0..limit {
        assert_eq!(permits.try_acquire(), Attempt::Acquired);
    }
    permits
}

#[test]
fn there_are_as_many_permits_as_the_limit_says() {
    let permits = full(3);
    assert_eq!(permits.try_acquire(), Attempt::Full);
    assert_eq!(permits.in_flight(), 3);
    permits.give_back();
    assert_eq!(permits.try_acquire(), Attempt::Acquired);
    assert_eq!(permits.try_acquire(), Attempt::Full);
}

#[test]
fn waiters_are_served_in_the_order_of_their_arrival_and_woken_once() {
    let permits = full(1);
    let waiting: Vec<_> = (0..10).map(|_| Waiting::join(&permits)).collect();
    for served in 0..10 {
        permits.give_back();
        for (index, waiting) in waiting.iter().enumerate() {
            let granted = index <= served;
            assert_eq!(waiting.place.is_granted(), granted, "place {index} after {served}");
            assert_eq!(waiting.wakes.count(), usize::from(granted));
        }
        assert_eq!(permits.in_flight(), 1);
    }
}

#[test]
fn a_newcomer_passes_nobody_who_waits() {
    let permits = full(1);
    let waiting = Waiting::join(&permits);
    permits.give_back();
    assert_eq!(permits.try_acquire(), Attempt::Full);
    assert_eq!(waiting.standing(), Standing::Granted);
}

#[test]
fn who_leaves_is_passed_over() {
    let permits = full(1);
    let [first, second] = [Waiting::join(&permits), Waiting::join(&permits)];
    assert!(permits.leave(&first.place).is_none());
    assert_eq!(permits.waiting(), 1);
    permits.give_back();
    assert_eq!(second.standing(), Standing::Granted);
    assert_eq!(first.wakes.count(), 0);
}

#[test]
fn who_leaves_after_it_was_granted_gives_the_permit_to_the_next() {
    let permits = full(1);
    let [first, second] = [Waiting::join(&permits), Waiting::join(&permits)];
    permits.give_back();
    assert!(permits.leave(&first.place).is_some());
    assert_eq!(second.standing(), Standing::Granted);
    assert_eq!((permits.in_flight(), permits.waiting()), (1, 0));
}

#[test]
fn closing_refuses_those_who_wait_and_all_who_come() {
    let permits = full(1);
    let waiting = Waiting::join(&permits);
    permits.close();
    assert_eq!((waiting.standing(), waiting.wakes.count()), (Standing::Refused, 1));
    assert!(permits.leave(&waiting.place).is_none());
    assert_eq!(permits.try_acquire(), Attempt::Closed);
    assert_eq!(permits.join().err(), Some(RefusalReason::Closed));
    assert!(permits.give_back().closed);
    assert_eq!((permits.in_flight(), permits.waiting()), (0, 0));
}

#[test]
fn the_number_of_waiters_is_bounded() {
    let permits = Permits::new(1, 2);
    assert_eq!(permits.try_acquire(), Attempt::Acquired);
    let [first, _second] = [Waiting::join(&permits), Waiting::join(&permits)];
    assert_eq!(permits.join().err(), Some(RefusalReason::TooManyWaiters));
    permits.leave(&first.place);
    assert!(permits.join().is_ok());
}

#[test]
fn places_that_were_left_do_not_pile_up_behind_one_that_waits() {
    let permits = full(1);
    let head = Waiting::join(&permits);
    let mut others = Vec::new();
    for round in 0..10_000 {
        let brief = Waiting::join(&permits);
        if round % 1_000 == 0 {
            others.push(Waiting::join(&permits));
        }
        permits.leave(&brief.place);
        assert!(permits.line.len() <= 2 * permits.waiting() + 65, "{} places", permits.line.len());
    }
    for waiting in std::iter::once(&head).chain(&others) {
        permits.give_back();
        assert_eq!(waiting.standing(), Standing::Granted);
    }
    assert_eq!(permits.waiting(), 0);
}

#[test]
fn a_waker_that_panics_harms_nobody_else() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("on purpose");
        }
    }
    let permits = full(1);
    let bad = permits.join().unwrap();
    assert_eq!(bad.poll(&Waker::from(Arc::new(Panics))), Standing::Waiting);
    let good = Waiting::join(&permits);
    permits.give_back();
    assert!(bad.is_granted());
    permits.give_back();
    assert_eq!((good.standing(), good.wakes.count()), (Standing::Granted, 1));
}

/// What a test does to a flow's permits.
#[derive(Clone, Copy, Debug)]
enum Step {
    Submit,
    Finish,
    /// The waiter with this index, of those that have not ended.
    Leave(usize),
    Close,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => Just(Step::Submit),
        6 => Just(Step::Finish),
        4 => any::<usize>().prop_map(Step::Leave),
    ];
    (proptest::collection::vec(step, 0..400), any::<bool>()).prop_map(|(mut steps, close)| {
        if close {
            steps.push(Step::Close);
        }
        steps
    })
}

proptest! {
    /// Against a list: whoever came first and has not left is served first, a free permit and a
    /// waiter never rest together, and nobody is woken twice.
    #[test]
    fn permits_do_what_a_list_does(limit in 1_usize..5, steps in steps()) {
        let permits = Permits::new(limit, 1_000);
        let mut running = 0;
        let mut line: Vec<Waiting> = Vec::new();
        for step in steps {
            match step {
                Step::Submit => match permits.try_acquire() {
                    Attempt::Acquired => {
                        prop_assert!(line.is_empty());
                        running += 1;
                    }
                    Attempt::Full => line.push(Waiting::join(&permits)),
                    Attempt::Closed => unreachable!(),
                },
                Step::Finish if running > 0 => {
                    running -= 1;
                    permits.give_back();
                    if !line.is_empty() {
                        let served = line.remove(0);
                        prop_assert_eq!(served.standing(), Standing::Granted);
                        prop_assert_eq!(served.wakes.count(), 1);
                        running += 1;
                    }
                }
                Step::Leave(index) if !line.is_empty() => {
                    let index = index % line.len();
                    permits.leave(&line.remove(index).place);
                }
                Step::Close => {
                    permits.close();
                    for waiting in line.drain(..) {
                        prop_assert_eq!(waiting.standing(), Standing::Refused);
                        prop_assert_eq!(waiting.wakes.count(), 1);
                    }
                }
                Step::Finish | Step::Leave(_) => {}
            }
            prop_assert!(running <= limit);
            prop_assert!(line.is_empty() || running == limit);
            prop_assert!(line.iter().all(|waiting| waiting.wakes.count() == 0));
            prop_assert_eq!((permits.in_flight(), permits.waiting()), (running, line.len()));
        }
    }
}
