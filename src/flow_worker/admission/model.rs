//! What loom explores: every interleaving of a few threads, for lost wake-ups and lost room.
//!
//! A thread that waits for ever is reported by loom as a deadlock, so a lost wake-up fails.

use std::{future::poll_fn, sync::Arc, task::Poll};

use loom::{future::block_on, thread};

use super::{
    stand_in::{Flow, metrics},
    *,
};
use crate::flow_worker::line::Standing;

const MAX_WAITERS: usize = 2;

/// A door, its lanes, and which messages of those who waited were admitted or refused.
struct Model {
    admission: Admission<u32>,
    flow: Flow,
}

impl Model {
    fn new(lanes: usize, quota: usize, limit: usize) -> Arc<Self> {
        let flow = Flow::new(lanes, quota);
        for lane in &flow.lanes {
            // loom cannot see how arc-swap hands a new line to another thread.
            lane.line_for(MAX_WAITERS);
        }
        // One that finishes messages for each thread of a model.
        Arc::new(Self { admission: Admission::new(lanes, MAX_WAITERS, metrics(limit, 3)), flow })
    }

    /// One lane that is full, and with it the flow.
    fn full(limit: usize) -> Arc<Self> {
        let model = Self::new(1, limit, limit);
        for _ in 0..limit {
            assert_eq!(model.enter(0), Entry::Admitted);
        }
        model
    }

    fn enter(&self, lane: usize) -> Entry {
        self.admission.enter(&self.flow.lanes[lane], &mut 0, &self.flow)
    }

    fn join(&self, lane: usize, message: u32) -> Arc<Place<u32>> {
        self.admission.join(&self.flow.lanes[lane], message, &self.flow).expect("few wait")
    }

    fn leave(&self, place: &Place<u32>) -> Option<u32> {
        self.admission.leave(&self.flow.lanes[0], place, &self.flow)
    }

    fn finish(&self, lane: usize, worker: usize) {
        self.flow.lanes[lane].leave();
        self.admission.metrics.workers[worker].finished();
        self.admission.finished(&self.flow.lanes[lane], &self.flow, &mut Decided::default());
    }

    fn close(&self) {
        self.admission.close(&self.flow);
    }

    fn on_a_thread(self: &Arc<Self>, act: impl FnOnce(&Self) + 'static) -> thread::JoinHandle<()> {
        let model = Arc::clone(self);
        thread::spawn(move || act(&model))
    }

    /// Admitted in the end, at once or after waiting.
    fn submit(&self, lane: usize, message: u32) {
        match self.enter(lane) {
            Entry::Admitted => {}
            Entry::Full => assert_eq!(decision(&self.join(lane, message)), Standing::Granted),
            other => unreachable!("{other:?}"),
        }
    }

    fn admitted(&self) -> Vec<u32> {
        self.flow.admitted.lock().unwrap().clone()
    }

    fn assert_at_rest(&self) {
        assert_eq!(self.admission.metrics.in_flight(), 0);
        assert_eq!(self.admission.metrics.waiting(), 0);
        // Relaxed: all threads have been joined.
        assert_eq!(self.admission.baton.load(Ordering::Relaxed), 0);
    }
}

fn decision(place: &Place<u32>) -> Standing {
    block_on(poll_fn(|context| match place.poll(context.waker()) {
        Standing::Waiting => Poll::Pending,
        decided => Poll::Ready(decided),
    }))
}

fn explore(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

#[test]
fn room_that_comes_back_meets_a_waiter_that_registers() {
    explore(3, || {
        let model = Model::full(1);
        let finisher = model.on_a_thread(|model| model.finish(0, 0));
        model.submit(0, 1);
        model.finish(0, 1);
        finisher.join().unwrap();
        model.assert_at_rest();
    });
}

#[test]
fn room_of_a_lane_that_comes_back_meets_a_waiter_that_registers() {
    explore(3, || {
        // The flow has room all the time.
        let model = Model::new(1, 1, 2);
        assert_eq!(model.enter(0), Entry::Admitted);
        let finisher = model.on_a_thread(|model| model.finish(0, 0));
        model.submit(0, 1);
        model.finish(0, 1);
        finisher.join().unwrap();
        model.assert_at_rest();
    });
}

#[test]
fn room_of_the_flow_that_comes_back_meets_a_waiter_of_another_lane() {
    explore(3, || {
        let model = Model::new(2, 1, 1);
        assert_eq!(model.enter(0), Entry::Admitted);
        let finisher = model.on_a_thread(|model| model.finish(0, 0));
        model.submit(1, 1);
        model.finish(1, 1);
        finisher.join().unwrap();
        model.assert_at_rest();
    });
}

#[test]
fn an_entry_that_comes_to_nothing_leaves_nobody_waiting_in_its_lane() {
    explore(1, || {
        // The other lane fills the flow; two submitters meet in this one, which has room for one.
        let model = Model::new(2, 1, 1);
        assert_eq!(model.enter(1), Entry::Admitted);
        let other = model.on_a_thread(|model| {
            model.submit(0, 1);
            model.finish(0, 1);
        });
        let finisher = model.on_a_thread(|model| model.finish(1, 0));
        model.submit(0, 2);
        model.finish(0, 2);
        other.join().unwrap();
        finisher.join().unwrap();
        model.assert_at_rest();
    });
}

#[test]
fn a_waiter_that_leaves_as_it_is_granted_either_runs_or_passes_the_room_on() {
    explore(3, || {
        let model = Model::full(1);
        let first = model.join(0, 1);
        let second = model.join(0, 2);
        let finisher = model.on_a_thread(|model| model.finish(0, 0));
        let left = model.leave(&first);
        if left.is_none() {
            // Its message was admitted, and ends.
            model.finish(0, 1);
        }
        assert_eq!(decision(&second), Standing::Granted);
        model.finish(0, 2);
        finisher.join().unwrap();
        assert_eq!(model.admitted(), if left.is_some() { vec![2] } else { vec![1, 2] });
        model.assert_at_rest();
    });
}

#[test]
fn who_waits_when_the_flow_closes_is_told() {
    explore(3, || {
        let model = Model::full(1);
        let closer = model.on_a_thread(Model::close);
        let place = model.join(0, 7);
        assert_eq!(decision(&place), Standing::Refused(RefusalReason::Closed));
        assert_eq!(place.take_message(), 7);
        closer.join().unwrap();
        assert_eq!(model.enter(0), Entry::Closed);
        model.finish(0, 0);
        model.assert_at_rest();
    });
}

#[test]
fn closing_and_finishing_at_once_decide_a_place_only_once() {
    explore(3, || {
        let model = Model::full(1);
        let place = model.join(0, 1);
        let closer = model.on_a_thread(Model::close);
        model.finish(0, 0);
        if decision(&place) == Standing::Granted {
            model.finish(0, 0);
        }
        closer.join().unwrap();
        let refused = model.flow.refused.lock().unwrap().len();
        assert_eq!(model.admitted().len() + refused, 1);
        model.assert_at_rest();
    });
}

#[test]
fn leaving_and_closing_at_once_give_the_message_to_one_of_them() {
    explore(3, || {
        let model = Model::full(1);
        let place = model.join(0, 1);
        let closer = model.on_a_thread(Model::close);
        let left = model.leave(&place);
        closer.join().unwrap();
        assert_eq!(usize::from(left.is_none()), model.flow.refused.lock().unwrap().len());
        model.finish(0, 0);
        model.assert_at_rest();
    });
}

#[test]
fn two_that_finish_admit_two_messages_in_order() {
    explore(2, || {
        let model = Model::full(2);
        model.join(0, 1);
        let finishers =
            [0, 1].map(|worker| model.on_a_thread(move |model| model.finish(0, worker)));
        let second = model.join(0, 2);
        assert_eq!(decision(&second), Standing::Granted);
        for finisher in finishers {
            finisher.join().unwrap();
        }
        assert_eq!(model.admitted(), [1, 2]);
        model.finish(0, 2);
        model.finish(0, 2);
        model.assert_at_rest();
    });
}

#[test]
fn a_newcomer_never_passes_a_message_that_waits() {
    explore(3, || {
        let model = Model::full(1);
        let finisher = model.on_a_thread(|model| model.finish(0, 0));
        let place = model.join(0, 1);
        // Later than the join: either it finds that one waits, or that one has been admitted.
        if model.enter(0) == Entry::Admitted {
            assert_eq!(model.admitted(), [1]);
            model.finish(0, 1);
        }
        assert_eq!(decision(&place), Standing::Granted);
        model.finish(0, 1);
        finisher.join().unwrap();
        model.assert_at_rest();
    });
}

#[test]
fn who_waits_when_a_bound_is_raised_is_let_in() {
    explore(3, || {
        let model = Model::full(1);
        let changer = model.on_a_thread(|model| {
            model.admission.metrics.permits.set_limit(2);
            model.flow.lanes[0].entrance.permits.set_limit(2);
            fence(Ordering::SeqCst);
            model.admission.settle_all(&model.flow);
        });
        let place = model.join(0, 7);
        assert_eq!(decision(&place), Standing::Granted);
        changer.join().unwrap();
        model.finish(0, 0);
        model.finish(0, 0);
        model.assert_at_rest();
    });
}

#[test]
fn who_waits_when_its_peer_goes_is_told() {
    explore(3, || {
        let model = Model::full(1);
        let parting = model.on_a_thread(|model| {
            let lane = &model.flow.lanes[0];
            lane.cancel();
            fence(Ordering::SeqCst);
            model.admission.settle_lane(lane, &model.flow);
        });
        let joined = model.admission.join(&model.flow.lanes[0], 7, &model.flow);
        match joined {
            Ok(place) => {
                let refused = Standing::Refused(RefusalReason::Disconnected);
                assert_eq!(decision(&place), refused);
                assert_eq!(place.take_message(), 7);
            }
            Err((_, denied)) => assert_eq!(denied, Denied::Retired),
        }
        parting.join().unwrap();
        model.finish(0, 0);
        model.assert_at_rest();
    });
}
