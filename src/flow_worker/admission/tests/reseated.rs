//! A lane that takes the seat of another while somebody settles.

use super::{super::stand_in::lane, *};

/// A flow in which another thread acts just after the lane of seat 0 has been looked up. What it does
/// is done in the lookup.
struct Reseated<F: Fn()> {
    old: Arc<Lane<u32>>,
    new: Arc<Lane<u32>>,
    busy: Arc<Lane<u32>>,
    lookups: StdAtomicUsize,
    /// How many lookups find the old lane.
    old_for: usize,
    meanwhile: F,
}

impl<F: Fn()> Reseated<F> {
    fn new(old_for: usize, meanwhile: F, [old, new, busy]: [Arc<Lane<u32>>; 3]) -> Self {
        Self { old, new, busy, lookups: StdAtomicUsize::new(0), old_for, meanwhile }
    }

    fn lanes() -> [Arc<Lane<u32>>; 3] {
        [0, 0, 1].map(|seat| lane(seat, 1))
    }
}

impl<F: Fn()> Admit<u32> for Reseated<F> {
    fn lane(&self, seat: usize) -> Option<Arc<Lane<u32>>> {
        if seat == 1 {
            return Some(Arc::clone(&self.busy));
        }
        if self.lookups.fetch_add(1, Ordering::Relaxed) >= self.old_for {
            return Some(Arc::clone(&self.new));
        }
        (self.meanwhile)();
        Some(Arc::clone(&self.old))
    }

    fn lanes(&self) -> impl Iterator<Item = Arc<Lane<u32>>> {
        [&self.new, &self.busy].into_iter().cloned()
    }

    fn admit(&self, _: &Lane<u32>, _: u32) {}

    fn refused(&self, _: RefusalReason) {}

    fn has_left(&self, _: &Arc<Lane<u32>>) {}
}

fn finish(admission: &Admission<u32>, lane: &Lane<u32>, flow: &impl Admit<u32>) {
    lane.leave();
    admission.metrics.count(Outcome::DroppedAtShutdown);
    admission.finished(lane, flow, &mut Decided::default());
}

/// While somebody settles, the old lane, which is unused, goes, and a new peer comes and waits; `then` something more
/// happens to it. The baton is held meanwhile, so that all of this leaves notes only. How it stands with whoever
/// waits when the settling is over and, if `finishes`, a message of the flow has finished.
fn standing_after(
    then: impl Fn(&Admission<u32>, &Arc<Lane<u32>>, &Reseated<fn()>),
    finishes: bool,
) -> Standing {
    let admission = Admission::<u32>::new(2, 8, metrics(1, 1));
    let lanes = Reseated::<fn()>::lanes();
    let place = Mutex::new(None);
    let meanwhile = || {
        assert!(lanes[0].retire());
        let nobody: Reseated<fn()> = Reseated::new(0, || {}, lanes.clone());
        assert_eq!(admission.enter(&lanes[1], &mut 0, &nobody), Entry::Full);
        *place.lock().unwrap() = Some(admission.join(&lanes[1], 7, &nobody).unwrap());
        then(&admission, &lanes[1], &nobody);
    };
    let flow = Reseated::new(1, meanwhile, lanes.clone());
    assert_eq!(admission.enter(&flow.busy, &mut 0, &flow), Entry::Admitted);
    // The bit of the old lane is left over, as after every grant, and somebody settles.
    admission.hungry.insert(0);
    admission.settle(&flow, &mut Decided::default());
    if finishes {
        finish(&admission, &flow.busy, &flow);
    }
    place.lock().unwrap().as_ref().expect("it was made meanwhile").standing()
}

#[test]
fn who_waits_in_a_lane_that_took_the_seat_of_another_is_let_in() {
    assert_eq!(standing_after(|_, _, _| {}, true), Standing::Granted);
}

#[test]
fn who_waits_in_such_a_lane_is_refused_if_its_peer_goes_at_once() {
    let goes = |admission: &Admission<u32>, lane: &Arc<Lane<u32>>, flow: &Reseated<fn()>| {
        // As whoever cancels it does.
        lane.cancel();
        fence(Ordering::SeqCst);
        admission.settle_lane(lane, flow);
    };
    assert_eq!(standing_after(goes, false), Standing::Refused(RefusalReason::Disconnected));
}

#[test]
fn a_lane_that_is_going_is_not_looked_at_again_and_again() {
    const MANY: usize = 1_000_000;
    let admission = Admission::<u32>::new(2, 8, metrics(1, 1));
    let flow = Reseated::new(MANY, || {}, Reseated::<fn()>::lanes());
    assert_eq!(admission.enter(&flow.busy, &mut 0, &flow), Entry::Admitted);
    let place = admission.join(&flow.old, 7, &flow).unwrap();
    assert_eq!(admission.leave(&flow.old, &place, &flow), Some(7));
    // It is retired, and its seat not left yet.
    assert!(flow.old.retire());
    finish(&admission, &flow.busy, &flow);
    let lookups = flow.lookups.load(Ordering::Relaxed);
    assert!(lookups < 10, "looked {lookups} times");
}
