#![expect(clippy::disallowed_types, reason = "counts in a test, which loom does not run")]

use std::{
    sync::Mutex,
    sync::atomic::AtomicUsize as StdAtomicUsize,
    task::{Wake, Waker},
};

use proptest::prelude::*;

use super::*;
use crate::flow_worker::line::{Standing, WAKE_AT_ONCE};

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

/// Permits, and the messages of those who waited that were admitted.
struct Bench {
    permits: Permits<u32>,
    log: Log,
}

#[derive(Default)]
struct Log {
    admitted: Mutex<Vec<u32>>,
    refused: Mutex<usize>,
}

impl Admit<u32> for Log {
    fn admit(&self, message: u32) {
        self.admitted.lock().unwrap().push(message);
    }

    fn refused(&self) {
        *self.refused.lock().unwrap() += 1;
    }
}

impl Bench {
    fn new(limit: usize, max_waiters: usize) -> Self {
        Self { permits: Permits::new(limit, max_waiters), log: Log::default() }
    }

    /// All permits are taken.
    fn full(limit: usize) -> Self {
        let bench = Self::new(limit, 1_000);
        for _ in 0..limit {
            assert_eq!(bench.permits.try_acquire(), Attempt::Acquired);
        }
        bench
    }

    fn join(&self, message: u32) -> Waiting {
        let place = self.permits.join(message, &self.log).unwrap();
        let waiting = Waiting { place, wakes: Arc::default() };
        waiting.standing();
        waiting
    }

    fn leave(&self, waiting: &Waiting) -> Option<u32> {
        self.permits.leave(&waiting.place, &self.log)
    }

    fn give_back(&self) {
        self.permits.give_back(&self.log);
    }

    fn close(&self) {
        self.permits.close(&self.log);
    }

    fn admitted(&self) -> Vec<u32> {
        self.log.admitted.lock().unwrap().clone()
    }
}

/// A submitter that waits, and how often it was woken.
struct Waiting {
    place: Arc<Place<u32>>,
    wakes: Arc<Wakes>,
}

impl Waiting {
    fn standing(&self) -> Standing {
        self.place.poll(&Waker::from(Arc::clone(&self.wakes)))
    }
}

#[test]
fn there_are_as_many_permits_as_the_limit_says() {
    let bench = Bench::full(3);
    assert_eq!(bench.permits.try_acquire(), Attempt::Full);
    assert_eq!(bench.permits.in_flight(), 3);
    bench.give_back();
    assert_eq!(bench.permits.try_acquire(), Attempt::Acquired);
    assert_eq!(bench.permits.try_acquire(), Attempt::Full);
}

#[test]
fn messages_are_admitted_in_the_order_of_their_arrival_and_each_waiter_is_woken_once() {
    let bench = Bench::full(1);
    let waiting: Vec<_> = (0..10).map(|message| bench.join(message)).collect();
    for served in 0..10 {
        bench.give_back();
        assert!(bench.admitted().into_iter().eq(0..=served));
        for (index, waiting) in (0..).zip(&waiting) {
            assert_eq!(waiting.wakes.count(), usize::from(index <= served));
        }
        assert_eq!(bench.permits.in_flight(), 1);
    }
    assert!(waiting.iter().all(|waiting| waiting.standing() == Standing::Granted));
}

#[test]
fn more_waiters_than_are_woken_at_once_are_all_served() {
    const ALL: u32 = 3 * WAKE_AT_ONCE as u32 + 1;
    let bench = Bench::full(1);
    let waiting: Vec<_> = (0..ALL).map(|message| bench.join(message)).collect();
    bench.close();
    assert!(waiting.iter().all(|waiting| waiting.standing() == Standing::Refused));
    assert!(waiting.iter().all(|waiting| waiting.wakes.count() == 1));
    assert_eq!(*bench.log.refused.lock().unwrap(), ALL as usize);
}

#[test]
fn a_newcomer_passes_nobody_who_waits() {
    let bench = Bench::full(1);
    bench.join(1);
    bench.give_back();
    assert_eq!(bench.permits.try_acquire(), Attempt::Full);
    assert_eq!(bench.admitted(), [1]);
}

#[test]
fn who_leaves_takes_its_message_along_and_is_passed_over() {
    let bench = Bench::full(1);
    let [first, second] = [bench.join(1), bench.join(2)];
    assert_eq!(bench.leave(&first), Some(1));
    assert_eq!(bench.permits.waiting(), 1);
    bench.give_back();
    assert_eq!(bench.admitted(), [2]);
    assert_eq!((first.wakes.count(), second.wakes.count()), (0, 1));
}

#[test]
fn who_leaves_after_a_decision_leaves_nothing() {
    let bench = Bench::full(1);
    let [first, second] = [bench.join(1), bench.join(2)];
    bench.give_back();
    assert_eq!(bench.leave(&first), None);
    bench.close();
    assert_eq!(bench.leave(&second), None);
    assert_eq!((bench.permits.in_flight(), bench.permits.waiting()), (1, 0));
}

#[test]
fn closing_refuses_those_who_wait_and_all_who_come() {
    let bench = Bench::full(1);
    let waiting = bench.join(1);
    bench.close();
    assert_eq!((waiting.standing(), waiting.wakes.count()), (Standing::Refused, 1));
    assert_eq!(waiting.place.take_message(), 1);
    assert_eq!(bench.permits.try_acquire(), Attempt::Closed);
    let refused = bench.permits.join(2, &bench.log).err();
    assert_eq!(refused, Some((2, RefusalReason::Closed)));
    bench.give_back();
    assert_eq!((bench.permits.in_flight(), bench.permits.waiting()), (0, 0));
}

#[test]
fn the_number_of_waiters_is_bounded() {
    let bench = Bench::new(1, 2);
    assert_eq!(bench.permits.try_acquire(), Attempt::Acquired);
    let [first, _second] = [bench.join(1), bench.join(2)];
    let refused = bench.permits.join(3, &bench.log).err();
    assert_eq!(refused, Some((3, RefusalReason::TooManyWaiters)));
    bench.leave(&first);
    assert!(bench.permits.join(4, &bench.log).is_ok());
}

#[test]
fn places_that_were_left_do_not_pile_up_behind_one_that_waits() {
    let bench = Bench::full(1);
    bench.join(0);
    let mut others = vec![0];
    for round in 1..10_000 {
        let brief = bench.join(round);
        if round % 1_000 == 0 {
            bench.join(10_000 + round);
            others.push(10_000 + round);
        }
        bench.leave(&brief);
        let bound = 2 * bench.permits.waiting() + 65;
        assert!(bench.permits.line.len() <= bound, "{} places", bench.permits.line.len());
    }
    (0..others.len()).for_each(|_| bench.give_back());
    assert_eq!(bench.admitted(), others);
    assert_eq!(bench.permits.waiting(), 0);
}

/// A waker, and a value in a panic, that panic whatever is done with them.
struct Bomb;

impl Wake for Bomb {
    fn wake(self: Arc<Self>) {
        std::panic::panic_any(Bomb);
    }
}

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("on purpose");
    }
}

#[test]
fn a_waker_that_panics_when_it_is_woken_harms_nobody_else() {
    let bench = Bench::full(1);
    let bad = bench.permits.join(1, &bench.log).unwrap();
    let waker = std::mem::ManuallyDrop::new(Waker::from(Arc::new(Bomb)));
    assert_eq!(bad.poll(&waker), Standing::Waiting);
    let good = bench.join(2);
    bench.give_back();
    bench.give_back();
    assert_eq!((good.standing(), good.wakes.count()), (Standing::Granted, 1));
    assert_eq!(bench.admitted(), [1, 2]);
}

#[test]
fn a_waker_that_panics_when_it_is_dropped_goes_with_its_owner() {
    let bench = Bench::full(1);
    let bad = bench.permits.join(1, &bench.log).unwrap();
    {
        let waker = Waker::from(Arc::new(Bomb));
        assert_eq!(bad.poll(&waker), Standing::Waiting);
        // The place has the last reference from now on.
        std::mem::forget(waker.clone());
        std::mem::forget(waker);
    }
    let leaves = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        bench.permits.leave(&bad, &bench.log)
    }));
    drop(bad);
    let good = bench.join(2);
    bench.give_back();
    assert_eq!((leaves.ok().flatten(), good.standing()), (Some(1), Standing::Granted));
    assert_eq!(bench.permits.waiting(), 0);
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
        let bench = Bench::new(limit, 1_000);
        let mut running = 0;
        let mut expected = Vec::new();
        let mut line: Vec<(u32, Waiting)> = Vec::new();
        for (message, step) in (0..).zip(steps) {
            match step {
                Step::Submit => match bench.permits.try_acquire() {
                    Attempt::Acquired => {
                        prop_assert!(line.is_empty());
                        running += 1;
                    }
                    Attempt::Full => line.push((message, bench.join(message))),
                    Attempt::Closed => unreachable!(),
                },
                Step::Finish if running > 0 => {
                    running -= 1;
                    bench.give_back();
                    if !line.is_empty() {
                        let (message, served) = line.remove(0);
                        expected.push(message);
                        prop_assert_eq!(served.standing(), Standing::Granted);
                        prop_assert_eq!(served.wakes.count(), 1);
                        running += 1;
                    }
                }
                Step::Leave(index) if !line.is_empty() => {
                    let (message, leaver) = line.remove(index % line.len());
                    prop_assert_eq!(bench.leave(&leaver), Some(message));
                }
                Step::Close => {
                    bench.close();
                    for (message, waiting) in line.drain(..) {
                        prop_assert_eq!(waiting.standing(), Standing::Refused);
                        prop_assert_eq!(waiting.wakes.count(), 1);
                        prop_assert_eq!(waiting.place.take_message(), message);
                    }
                }
                Step::Finish | Step::Leave(_) => {}
            }
            prop_assert!(running <= limit);
            prop_assert!(line.is_empty() || running == limit);
            prop_assert!(line.iter().all(|(_, waiting)| waiting.wakes.count() == 0));
            let counts = (bench.permits.in_flight(), bench.permits.waiting());
            prop_assert_eq!(counts, (running, line.len()));
        }
        prop_assert_eq!(bench.admitted(), expected);
    }
}
