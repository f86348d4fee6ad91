//! What loom explores: messages that are pushed while drain jobs find something, or nothing.

use std::sync::Arc;

use loom::thread;

use super::*;
use crate::sync::ArrayQueue;

/// One lane that is always in the set: its queue says whether there is something.
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
        fence(Ordering::SeqCst);
        if self.claims.claim_if_unseen() {
            self.drain();
        }
    }

    fn drain(&self) {
        let mut searches = true;
        loop {
            while self.queue.pop().is_some() {
                if searches {
                    searches = false;
                    if self.claims.found(|| !self.queue.is_empty()) {
                        self.drain();
                    }
                }
                self.ran.fetch_add(1, Ordering::Relaxed);
            }
            if !searches {
                searches = true;
                self.claims.search();
            }
            if !self.claims.give_back(|| self.queue.is_empty()) {
                return;
            }
        }
    }

    fn at_rest(&self, ran: usize) {
        // Relaxed: all threads have been joined.
        assert_eq!(self.ran.load(Ordering::Relaxed), ran);
        assert!(self.claims.are_free());
        assert!(self.queue.is_empty());
    }
}

fn submitters(limit: usize, count: usize) {
    let flow = Flow::new(limit, false);
    let others: Vec<_> = (1..count)
        .map(|message| {
            let flow = Arc::clone(&flow);
            thread::spawn(move || flow.submit(message))
        })
        .collect();
    flow.submit(0);
    for other in others {
        other.join().unwrap();
    }
    flow.at_rest(count);
}

fn explore(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

#[test]
fn a_message_that_meets_the_last_recheck_runs() {
    loom::model(|| submitters(1, 2));
}

#[test]
fn a_message_that_meets_the_recheck_of_one_that_searches_runs() {
    explore(4, || submitters(2, 2));
}

#[test]
fn messages_that_meet_the_rechecks_of_two_jobs_run() {
    explore(2, || submitters(2, 3));
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

/// A handler that never ends must not keep a message that another worker could run: whoever searched
/// when it was pushed has passed the word on.
#[test]
fn a_message_left_to_one_that_found_another_is_not_left_alone() {
    explore(3, || {
        let flow = Flow::new(2, false);
        assert!(flow.claims.claim());
        flow.queue.push(0).unwrap();
        let other = {
            let flow = Arc::clone(&flow);
            thread::spawn(move || {
                flow.queue.push(1).unwrap();
                fence(Ordering::SeqCst);
                flow.claims.claim_if_unseen()
            })
        };
        // The job that searched takes one message, and its handler does not end.
        assert!(flow.queue.pop().is_some());
        let wakes = flow.claims.found(|| !flow.queue.is_empty());
        let woken = other.join().unwrap();
        assert!(wakes || woken, "the other message has no worker");
    });
}

/// The limit is lowered and raised again while a job that searches is about to give a claim too many back.
#[test]
fn a_message_that_meets_a_surplus_and_a_raise_has_a_worker() {
    explore(3, || {
        let flow = Flow::new(2, false);
        // One runs, and its handler does not end; the other searches.
        assert!(flow.claims.claim() && flow.claims.claim());
        flow.queue.push(0).unwrap();
        assert!(flow.queue.pop().is_some());
        let wakes = flow.claims.found(|| !flow.queue.is_empty());
        assert!(!wakes);
        flow.claims.set_limit(1);
        let other = {
            let flow = Arc::clone(&flow);
            thread::spawn(move || {
                flow.queue.push(1).unwrap();
                fence(Ordering::SeqCst);
                let woken = flow.claims.claim_if_unseen();
                flow.claims.set_limit(2);
                fence(Ordering::SeqCst);
                woken || !flow.queue.is_empty() && flow.claims.claim_if_unseen()
            })
        };
        let surplus = flow.claims.give_back_surplus(true, || flow.queue.is_empty());
        // One that keeps its claim goes on searching, and finds it.
        let finds = surplus != Surplus::Gone;
        assert!(other.join().unwrap() || finds, "the message has no worker");
    });
}
