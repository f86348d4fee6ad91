//! The door, with lanes whose messages nobody runs until the test finishes them.
#![expect(clippy::disallowed_types, reason = "counts in a test, which loom does not run")]

use std::{
    sync::Mutex,
    sync::atomic::AtomicUsize as StdAtomicUsize,
    task::{Wake, Waker},
};

use super::{
    stand_in::{Flow, metrics},
    *,
};
use crate::{
    Outcome,
    flow_worker::line::{Standing, WAKE_AT_ONCE},
};

mod reseated;
mod steps;

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

/// A door, its lanes, and the messages of those who waited that were admitted.
struct Bench {
    admission: Admission<u32>,
    flow: Flow,
}

impl Bench {
    fn new(lanes: usize, quota: usize, limit: usize, max_waiters: usize) -> Self {
        Self {
            admission: Admission::new(lanes, max_waiters, metrics(limit, 1)),
            flow: Flow::new(lanes, quota),
        }
    }

    /// One lane that is full, and with it the flow.
    fn full(limit: usize) -> Self {
        let bench = Self::new(1, limit, limit, 1_000);
        for _ in 0..limit {
            assert_eq!(bench.enter(0), Entry::Admitted);
        }
        bench
    }

    fn enter(&self, lane: usize) -> Entry {
        self.admission.enter(&self.flow.lanes[lane], &mut 0, &self.flow)
    }

    fn try_join(&self, lane: usize, message: u32) -> Result<Arc<Place<u32>>, (u32, Denied)> {
        self.admission.join(&self.flow.lanes[lane], message, &self.flow)
    }

    fn join(&self, lane: usize, message: u32) -> Waiting {
        let place = self.try_join(lane, message).unwrap();
        let waiting = Waiting { place, wakes: Arc::default() };
        waiting.standing();
        waiting
    }

    fn leave(&self, lane: usize, waiting: &Waiting) -> Option<u32> {
        self.leave_place(lane, &waiting.place)
    }

    fn leave_place(&self, lane: usize, place: &Place<u32>) -> Option<u32> {
        self.admission.leave(&self.flow.lanes[lane], place, &self.flow)
    }

    fn finish(&self, lane: usize) {
        self.flow.lanes[lane].leave();
        self.admission.metrics.workers[0].finished();
        self.admission.finished(&self.flow.lanes[lane], &self.flow, &mut Decided::default());
    }

    fn close(&self) {
        self.admission.close(&self.flow);
    }

    fn admitted(&self) -> Vec<u32> {
        self.flow.admitted.lock().unwrap().clone()
    }

    fn in_flight(&self) -> usize {
        self.admission.metrics.in_flight()
    }

    fn waiting(&self) -> usize {
        self.admission.metrics.waiting()
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
fn messages_are_admitted_in_the_order_of_their_arrival_and_each_waiter_is_woken_once() {
    let bench = Bench::full(1);
    let waiting: Vec<_> = (0..10).map(|message| bench.join(0, message)).collect();
    for served in 0..10 {
        bench.finish(0);
        assert!(bench.admitted().into_iter().eq(0..=served));
        for (index, waiting) in (0..).zip(&waiting) {
            assert_eq!(waiting.wakes.count(), usize::from(index <= served));
        }
        assert_eq!(bench.in_flight(), 1);
    }
    assert!(waiting.iter().all(|waiting| waiting.standing() == Standing::Granted));
}

#[test]
fn more_waiters_than_are_woken_at_once_are_all_served() {
    const ALL: u32 = 3 * WAKE_AT_ONCE as u32 + 1;
    let bench = Bench::full(1);
    let waiting: Vec<_> = (0..ALL).map(|message| bench.join(0, message)).collect();
    bench.close();
    assert!(
        waiting
            .iter()
            .all(|waiting| waiting.standing() == Standing::Refused(RefusalReason::Closed))
    );
    assert!(waiting.iter().all(|waiting| waiting.wakes.count() == 1));
    assert_eq!(bench.flow.refused.lock().unwrap().len(), ALL as usize);
}

#[test]
fn a_newcomer_passes_nobody_who_waits() {
    let bench = Bench::full(1);
    bench.join(0, 1);
    bench.finish(0);
    assert_eq!(bench.enter(0), Entry::Full);
    assert_eq!(bench.admitted(), [1]);
}

#[test]
fn who_leaves_takes_its_message_along_and_is_passed_over() {
    let bench = Bench::full(1);
    let [first, second] = [bench.join(0, 1), bench.join(0, 2)];
    assert_eq!(bench.leave(0, &first), Some(1));
    assert_eq!(bench.waiting(), 1);
    bench.finish(0);
    assert_eq!(bench.admitted(), [2]);
    assert_eq!((first.wakes.count(), second.wakes.count()), (0, 1));
}

#[test]
fn who_leaves_after_a_decision_leaves_nothing() {
    let bench = Bench::full(1);
    let [first, second] = [bench.join(0, 1), bench.join(0, 2)];
    bench.finish(0);
    assert_eq!(bench.leave(0, &first), None);
    bench.close();
    assert_eq!(bench.leave(0, &second), None);
    assert_eq!((bench.in_flight(), bench.waiting()), (1, 0));
}

#[test]
fn closing_refuses_those_who_wait_and_all_who_come() {
    let bench = Bench::full(1);
    let waiting = bench.join(0, 1);
    bench.close();
    assert_eq!(
        (waiting.standing(), waiting.wakes.count()),
        (Standing::Refused(RefusalReason::Closed), 1)
    );
    assert_eq!(waiting.place.take_message(), 1);
    assert_eq!(bench.enter(0), Entry::Closed);
    let late = bench.try_join(0, 2).unwrap();
    assert_eq!(
        (late.standing(), late.take_message()),
        (Standing::Refused(RefusalReason::Closed), 2)
    );
    bench.finish(0);
    assert_eq!((bench.in_flight(), bench.waiting()), (0, 0));
}

#[test]
fn the_number_of_waiters_is_bounded() {
    let bench = Bench::new(1, 1, 1, 2);
    assert_eq!(bench.enter(0), Entry::Admitted);
    let [first, _second] = [bench.join(0, 1), bench.join(0, 2)];
    let refused = bench.try_join(0, 3).err();
    assert_eq!(refused, Some((3, Denied::Crowded)));
    bench.leave(0, &first);
    assert!(bench.try_join(0, 4).is_ok());
}

#[test]
fn places_that_were_left_do_not_pile_up_behind_one_that_waits() {
    const MAX: usize = 20;
    let bench = Bench::new(1, 1, 1, MAX);
    assert_eq!(bench.enter(0), Entry::Admitted);
    bench.join(0, 0);
    let mut others = vec![0];
    for round in 1..10_000 {
        let brief = bench.join(0, round);
        if round % 1_000 == 0 {
            bench.join(0, 10_000 + round);
            others.push(10_000 + round);
        }
        bench.leave(0, &brief);
        let places = bench.flow.lanes[0].line().unwrap().len();
        assert!(places <= bench.waiting() + MAX, "{places} places");
    }
    (0..others.len()).for_each(|_| bench.finish(0));
    assert_eq!(bench.admitted(), others);
    assert_eq!(bench.waiting(), 0);
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
    let bad = bench.try_join(0, 1).unwrap();
    let waker = std::mem::ManuallyDrop::new(Waker::from(Arc::new(Bomb)));
    assert_eq!(bad.poll(&waker), Standing::Waiting);
    let good = bench.join(0, 2);
    bench.finish(0);
    bench.finish(0);
    assert_eq!((good.standing(), good.wakes.count()), (Standing::Granted, 1));
    assert_eq!(bench.admitted(), [1, 2]);
}

#[test]
fn a_waker_that_panics_when_it_is_dropped_goes_with_its_owner() {
    let bench = Bench::full(1);
    let bad = bench.try_join(0, 1).unwrap();
    {
        let waker = Waker::from(Arc::new(Bomb));
        assert_eq!(bad.poll(&waker), Standing::Waiting);
        // The place has the last reference from now on.
        std::mem::forget(waker.clone());
        std::mem::forget(waker);
    }
    let leaves = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        bench.admission.leave(&bench.flow.lanes[0], &bad, &bench.flow)
    }));
    drop(bad);
    let good = bench.join(0, 2);
    bench.finish(0);
    assert_eq!((leaves.ok().flatten(), good.standing()), (Some(1), Standing::Granted));
    assert_eq!(bench.waiting(), 0);
}

/// A waker that panics whenever it is dropped.
struct DropBomb;

impl Wake for DropBomb {
    fn wake(self: Arc<Self>) {}
}

impl Drop for DropBomb {
    fn drop(&mut self) {
        panic!("on purpose");
    }
}

#[test]
fn a_waker_that_panics_while_another_takes_its_place_harms_nobody_who_waits_there_later() {
    let bench = Bench::full(1);
    let place = bench.try_join(0, 1).unwrap();
    let bomb = Waker::from(Arc::new(DropBomb));
    assert_eq!(place.poll(&bomb), Standing::Waiting);
    drop(bomb);
    let other = Waker::from(Arc::new(Wakes::default()));
    let polled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| place.poll(&other)));
    assert!(polled.is_err(), "the waker has not panicked");
    assert_eq!(bench.leave_place(0, &place), Some(1));
    drop(place);
    bench.finish(0);
    assert_eq!(bench.enter(0), Entry::Admitted);
    let later = bench.join(0, 2);
    bench.finish(0);
    assert_eq!((later.standing(), later.wakes.count()), (Standing::Granted, 1));
}

#[test]
fn lanes_that_wait_for_the_flows_room_are_served_in_turn() {
    let bench = Bench::new(3, 4, 4, 10);
    assert!((0..4).all(|_| bench.enter(0) == Entry::Admitted));
    let waiting: Vec<_> = [(1, 10), (1, 11), (1, 12), (2, 20), (0, 0)]
        .map(|(lane, message)| bench.join(lane, message))
        .into();
    // A newcomer passes nobody, of whichever lane.
    bench.finish(0);
    assert_eq!(bench.enter(2), Entry::Full);
    (0..3).for_each(|_| bench.finish(0));
    assert_eq!(bench.admitted(), [0, 10, 20, 11]);
    bench.finish(1);
    assert_eq!(bench.admitted(), [0, 10, 20, 11, 12]);
    assert!(waiting.iter().all(|waiting| waiting.wakes.count() == 1));
    // Nobody waits any more, so that newcomers find room again.
    bench.finish(1);
    assert_eq!(bench.enter(2), Entry::Admitted);
}

#[test]
fn places_are_used_again() {
    let bench = Bench::full(1);
    let first = bench.join(0, 1);
    let place = Arc::as_ptr(&first.place);
    bench.finish(0);
    bench.admission.keep(first.place);
    let second = bench.join(0, 2);
    assert!(std::ptr::eq(Arc::as_ptr(&second.place), place));
    assert_eq!((second.standing(), second.wakes.count()), (Standing::Waiting, 0));
    // One that somebody still holds is not.
    let held = Arc::clone(&second.place);
    bench.finish(0);
    bench.admission.keep(second.place);
    let third = bench.join(0, 3);
    assert!(!Arc::ptr_eq(&third.place, &held));
    assert_eq!(bench.admitted(), [1, 2]);
}

#[test]
fn a_retired_lane_admits_nobody_and_lets_nobody_wait() {
    let bench = Bench::new(1, 1, 1, 1);
    assert!(bench.flow.lanes[0].retire());
    assert_eq!(bench.enter(0), Entry::Retired);
    assert_eq!(bench.try_join(0, 1).err(), Some((1, Denied::Retired)));
}
