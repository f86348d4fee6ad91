//! What loom explores: a message that is pushed while the last drain job finds the queue empty.

use std::sync::Arc;

use loom::thread;

use super::*;
use crate::sync::ArrayQueue;

struct Flow {
    queue: ArrayQueue<usize>,
    claims: Claims,
    ran: AtomicUsize,
}

impl Flow {
    fn new(limit: usize, withheld: bool) -> Arc<Self> {
        Arc::new(Self {
            queue: ArrayQueue::new(4),
            claims: Claims::new(limit, withheld),
            ran: AtomicUsize::new(0),
        })
    }

    fn submit(&self, message: usize) {
        self.queue.push(message).unwrap();
        if self.claims.claim_after_push() {
            self.drain();
        }
    }

    fn drain(&self) {
        loop {
            while self.queue.pop().is_some() {
                self.ran.fetch_add(1, Ordering::Relaxed);
            }
            if !self.claims.give_back(|| self.queue.is_empty()) {
                return;
            }
        }
    }

    fn at_rest(&self, ran: usize) {
        // Relaxed: all threads have been joined.
        assert_eq!(self.ran.load(Ordering::Relaxed), ran);
        assert_eq!(self.claims.taken.load(Ordering::Relaxed), 0);
        assert!(self.queue.is_empty());
    }
}

#[test]
fn a_message_that_meets_the_last_recheck_runs() {
    loom::model(|| {
        let flow = Flow::new(1, false);
        let other = {
            let flow = Arc::clone(&flow);
            thread::spawn(move || flow.submit(1))
        };
        flow.submit(2);
        other.join().unwrap();
        flow.at_rest(2);
    });
}

#[test]
fn a_message_that_meets_the_recheck_of_two_jobs_runs() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let flow = Flow::new(2, false);
        let others = [1, 2].map(|message| {
            let flow = Arc::clone(&flow);
            thread::spawn(move || flow.submit(message))
        });
        for other in others {
            other.join().unwrap();
        }
        flow.at_rest(2);
    });
}

#[test]
fn a_message_that_meets_the_opening_gate_runs() {
    loom::model(|| {
        let flow = Flow::new(1, true);
        let other = {
            let flow = Arc::clone(&flow);
            thread::spawn(move || flow.submit(1))
        };
        if flow.claims.hand_out(|| flow.queue.is_empty()) {
            flow.drain();
        }
        other.join().unwrap();
        flow.at_rest(1);
    });
}
