//! What loom explores: every interleaving of a few threads, for lost wake-ups and lost permits.
//!
//! A thread that waits for ever is reported by loom as a deadlock, so a lost wake-up fails.

use std::{future::poll_fn, sync::Arc, task::Poll};

use loom::{future::block_on, thread};

use super::*;
use crate::flow_worker::line::Standing;

fn decision(place: &Place) -> Standing {
    block_on(poll_fn(|context| match place.poll(context.waker()) {
        Standing::Waiting => Poll::Pending,
        decided => Poll::Ready(decided),
    }))
}

fn at_rest(permits: &Permits) {
    assert_eq!((permits.in_flight(), permits.waiting()), (0, 0));
    // Relaxed: all threads have been joined.
    assert_eq!(permits.baton.load(Ordering::Relaxed), 0);
}

/// A flow with one permit, which is taken.
fn full() -> Arc<Permits> {
    let permits = Arc::new(Permits::new(1, 4));
    assert_eq!(permits.try_acquire(), Attempt::Acquired);
    permits
}

fn acquire(permits: &Permits) {
    match permits.try_acquire() {
        Attempt::Acquired => {}
        Attempt::Full => {
            let place = permits.join().unwrap();
            assert_eq!(decision(&place), Standing::Granted);
        }
        Attempt::Closed => unreachable!("nobody closes it"),
    }
}

#[test]
fn a_permit_that_returns_meets_a_waiter_that_registers() {
    loom::model(|| {
        let permits = full();
        let returner = {
            let permits = Arc::clone(&permits);
            thread::spawn(move || permits.give_back())
        };
        acquire(&permits);
        permits.give_back();
        returner.join().unwrap();
        at_rest(&permits);
    });
}

#[test]
fn the_bound_holds_between_submitters_that_race() {
    loom::model(|| {
        let permits = Arc::new(Permits::new(1, 4));
        let running = Arc::new(AtomicUsize::new(0));
        let submit = |permits: Arc<Permits>, running: Arc<AtomicUsize>| {
            acquire(&permits);
            assert_eq!(running.fetch_add(1, Ordering::Relaxed), 0);
            running.fetch_sub(1, Ordering::Relaxed);
            permits.give_back();
        };
        let other = {
            let (permits, running) = (Arc::clone(&permits), Arc::clone(&running));
            thread::spawn(move || submit(permits, running))
        };
        submit(Arc::clone(&permits), running);
        other.join().unwrap();
        at_rest(&permits);
    });
}

#[test]
fn a_waiter_that_leaves_as_it_is_granted_passes_the_permit_on() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let permits = full();
        let first = permits.join().unwrap();
        let second = permits.join().unwrap();
        let returner = {
            let permits = Arc::clone(&permits);
            thread::spawn(move || permits.give_back())
        };
        permits.leave(&first);
        assert_eq!(decision(&second), Standing::Granted);
        permits.give_back();
        returner.join().unwrap();
        at_rest(&permits);
    });
}

#[test]
fn who_waits_when_the_flow_closes_is_told() {
    loom::model(|| {
        let permits = full();
        let closer = {
            let permits = Arc::clone(&permits);
            thread::spawn(move || permits.close())
        };
        match permits.join() {
            Ok(place) => assert_eq!(decision(&place), Standing::Refused),
            Err(reason) => assert_eq!(reason, RefusalReason::Closed),
        }
        closer.join().unwrap();
        assert_eq!(permits.try_acquire(), Attempt::Closed);
        permits.give_back();
        at_rest(&permits);
    });
}

#[test]
fn closing_and_returning_at_once_decide_a_place_only_once() {
    loom::model(|| {
        let permits = full();
        let place = permits.join().unwrap();
        let closer = {
            let permits = Arc::clone(&permits);
            thread::spawn(move || permits.close())
        };
        permits.give_back();
        if decision(&place) == Standing::Granted {
            permits.give_back();
        }
        closer.join().unwrap();
        at_rest(&permits);
    });
}

#[test]
fn two_permits_that_return_serve_two_waiters_in_order() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let permits = Arc::new(Permits::new(2, 4));
        assert_eq!(permits.try_acquire(), Attempt::Acquired);
        assert_eq!(permits.try_acquire(), Attempt::Acquired);
        let first = permits.join().unwrap();
        let returners = [(); 2].map(|()| {
            let permits = Arc::clone(&permits);
            thread::spawn(move || permits.give_back())
        });
        let second = permits.join().unwrap();
        assert_eq!(decision(&second), Standing::Granted);
        assert!(first.is_granted(), "the second was served before the first");
        for returner in returners {
            returner.join().unwrap();
        }
        permits.give_back();
        permits.give_back();
        at_rest(&permits);
    });
}
