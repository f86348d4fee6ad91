//! What loom explores: every interleaving of a few threads, for lost wake-ups and lost permits.
//!
//! A thread that waits for ever is reported by loom as a deadlock, so a lost wake-up fails.

use std::{future::poll_fn, sync::Arc, task::Poll};

use loom::{future::block_on, thread};

use super::*;
use crate::flow_worker::line::Standing;

/// Permits, and which messages of those who waited were admitted or refused.
struct Model {
    permits: Permits<u32>,
    log: Log,
}

/// A lock that loom does not see adds no order to a model.
#[derive(Default)]
struct Log {
    admitted: std::sync::Mutex<Vec<u32>>,
    refused: std::sync::Mutex<usize>,
}

impl Admit<u32> for Log {
    fn admit(&self, message: u32) {
        self.admitted.lock().unwrap().push(message);
    }

    fn refused(&self) {
        *self.refused.lock().unwrap() += 1;
    }
}

impl Model {
    /// A flow with so many permits, all of which are taken.
    fn full(limit: usize) -> Arc<Self> {
        let model = Arc::new(Self { permits: Permits::new(limit, 4), log: Log::default() });
        for _ in 0..limit {
            assert_eq!(model.permits.try_acquire(), Attempt::Acquired);
        }
        model
    }

    fn join(&self, message: u32) -> Arc<Place<u32>> {
        self.permits.join(message, &self.log).expect("the flow is open")
    }

    fn give_back(&self) {
        self.permits.give_back(&self.log);
    }

    fn on_a_thread(self: &Arc<Self>, act: impl FnOnce(&Self) + 'static) -> thread::JoinHandle<()> {
        let model = Arc::clone(self);
        thread::spawn(move || act(&model))
    }

    fn acquire(&self) {
        match self.permits.try_acquire() {
            Attempt::Acquired => {}
            Attempt::Full => assert_eq!(decision(&self.join(0)), Standing::Granted),
            Attempt::Closed => unreachable!("nobody closes it"),
        }
    }

    fn admitted(&self) -> Vec<u32> {
        self.log.admitted.lock().unwrap().clone()
    }

    fn assert_at_rest(&self) {
        assert_eq!((self.permits.in_flight(), self.permits.waiting()), (0, 0));
        // Relaxed: all threads have been joined.
        assert_eq!(self.permits.baton.load(Ordering::Relaxed), 0);
    }
}

fn decision(place: &Place<u32>) -> Standing {
    block_on(poll_fn(|context| match place.poll(context.waker()) {
        Standing::Waiting => Poll::Pending,
        decided => Poll::Ready(decided),
    }))
}

fn explore(preemptions: Option<usize>, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = preemptions;
    builder.check(model);
}

#[test]
fn a_permit_that_returns_meets_a_waiter_that_registers() {
    explore(None, || {
        let model = Model::full(1);
        let returner = model.on_a_thread(Model::give_back);
        model.acquire();
        model.give_back();
        returner.join().unwrap();
        model.assert_at_rest();
    });
}

#[test]
fn the_bound_holds_between_submitters_that_race() {
    explore(Some(4), || {
        let model = Arc::new(Model { permits: Permits::new(1, 4), log: Log::default() });
        let running = Arc::new(AtomicUsize::new(0));
        let submit = |model: &Model, running: &AtomicUsize| {
            model.acquire();
            assert_eq!(running.fetch_add(1, Ordering::Relaxed), 0);
            running.fetch_sub(1, Ordering::Relaxed);
            model.give_back();
        };
        let other = {
            let running = Arc::clone(&running);
            model.on_a_thread(move |model| submit(model, &running))
        };
        submit(&model, &running);
        other.join().unwrap();
        model.assert_at_rest();
    });
}

#[test]
fn a_waiter_that_leaves_as_it_is_granted_either_runs_or_passes_the_permit_on() {
    explore(Some(3), || {
        let model = Model::full(1);
        let first = model.join(1);
        let second = model.join(2);
        let returner = model.on_a_thread(Model::give_back);
        let left = model.permits.leave(&first, &model.log);
        if left.is_none() {
            // Its message was admitted, and ends.
            model.give_back();
        }
        assert_eq!(decision(&second), Standing::Granted);
        model.give_back();
        returner.join().unwrap();
        assert_eq!(model.admitted(), if left.is_some() { vec![2] } else { vec![1, 2] });
        model.assert_at_rest();
    });
}

#[test]
fn who_waits_when_the_flow_closes_is_told() {
    explore(None, || {
        let model = Model::full(1);
        let closer = model.on_a_thread(|model| model.permits.close(&model.log));
        match model.permits.join(7, &model.log) {
            Ok(place) => {
                assert_eq!(decision(&place), Standing::Refused);
                assert_eq!(place.take_message(), 7);
            }
            Err(refused) => assert_eq!(refused, (7, RefusalReason::Closed)),
        }
        closer.join().unwrap();
        assert_eq!(model.permits.try_acquire(), Attempt::Closed);
        model.give_back();
        model.assert_at_rest();
    });
}

#[test]
fn closing_and_returning_at_once_decide_a_place_only_once() {
    explore(None, || {
        let model = Model::full(1);
        let place = model.join(1);
        let closer = model.on_a_thread(|model| model.permits.close(&model.log));
        model.give_back();
        if decision(&place) == Standing::Granted {
            model.give_back();
        }
        closer.join().unwrap();
        let refused = *model.log.refused.lock().unwrap();
        assert_eq!(model.admitted().len() + refused, 1);
        model.assert_at_rest();
    });
}

#[test]
fn leaving_and_closing_at_once_give_the_message_to_one_of_them() {
    explore(None, || {
        let model = Model::full(1);
        let place = model.join(1);
        let closer = model.on_a_thread(|model| model.permits.close(&model.log));
        let left = model.permits.leave(&place, &model.log);
        closer.join().unwrap();
        assert_eq!(usize::from(left.is_none()), *model.log.refused.lock().unwrap());
        model.give_back();
        model.assert_at_rest();
    });
}

#[test]
fn two_permits_that_return_admit_two_messages_in_order() {
    explore(Some(3), || {
        let model = Model::full(2);
        model.join(1);
        let returners = [(); 2].map(|()| model.on_a_thread(Model::give_back));
        let second = model.join(2);
        assert_eq!(decision(&second), Standing::Granted);
        for returner in returners {
            returner.join().unwrap();
        }
        assert_eq!(model.admitted(), [1, 2]);
        model.give_back();
        model.give_back();
        model.assert_at_rest();
    });
}

#[test]
fn a_newcomer_never_passes_a_message_that_waits() {
    explore(Some(3), || {
        let model = Model::full(1);
        let returner = model.on_a_thread(Model::give_back);
        let place = model.join(1);
        // Later than the join: either it finds that one waits, or that one has been admitted.
        if model.permits.try_acquire() == Attempt::Acquired {
            assert_eq!(model.admitted(), [1]);
            model.give_back();
        }
        assert_eq!(decision(&place), Standing::Granted);
        model.give_back();
        returner.join().unwrap();
        model.assert_at_rest();
    });
}
