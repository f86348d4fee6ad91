//! What loom explores: a message that is pushed while a worker goes to sleep. A sleeper that nobody
//! calls is reported by loom as a deadlock.

use std::sync::Arc;

use loom::thread;

use super::*;
use crate::{
    flow_worker::claims::Claims,
    sync::{ArrayQueue, AtomicBool, fence},
};

/// One worker, which has a claim and has found nothing so far.
struct Flow {
    queue: ArrayQueue<u32>,
    claims: Claims,
    parking: Parking,
    closed: AtomicBool,
}

impl Flow {
    fn new() -> Arc<Self> {
        let flow = Self {
            queue: ArrayQueue::new(4),
            claims: Claims::new(1, false),
            parking: Parking::new(1),
            closed: AtomicBool::new(false),
        };
        assert!(flow.claims.claim());
        Arc::new(flow)
    }

    fn push(&self) {
        self.queue.push(1).unwrap();
        fence(Ordering::SeqCst);
        if self.claims.claim_if_unseen() {
            assert!(self.parking.call_one(), "somebody is in bed if the claim is free");
        }
    }

    fn close(&self) {
        self.closed.store(true, Ordering::Release);
        fence(Ordering::SeqCst);
        self.parking.call_all_to_leave();
    }

    /// What the worker does, until it has run so many messages or is told to leave.
    fn work(&self, messages: usize) -> usize {
        let mut ran = 0;
        loop {
            while self.queue.pop().is_some() {
                ran += 1;
            }
            if ran == messages {
                return ran;
            }
            self.parking.lie_down(0);
            let call = if self.claims.give_back(|| self.queue.is_empty()) {
                self.parking.get_up(0).map(|call| {
                    // One claim too many.
                    if call == Call::Go {
                        assert!(!self.claims.give_back(|| true));
                    }
                    Call::Go
                })
            } else if self.closed.load(Ordering::Acquire) {
                Some(self.parking.get_up(0).unwrap_or(Call::Leave))
            } else {
                Some(self.parking.sleep(0))
            };
            if call == Some(Call::Leave) {
                return ran;
            }
        }
    }
}

#[test]
fn a_message_that_meets_a_worker_going_to_sleep_wakes_it() {
    loom::model(|| {
        let flow = Flow::new();
        let pusher = {
            let flow = Arc::clone(&flow);
            thread::spawn(move || flow.push())
        };
        assert_eq!(flow.work(1), 1);
        pusher.join().unwrap();
    });
}

#[test]
fn two_messages_that_meet_it_are_both_run() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let flow = Flow::new();
        let pushers = [(); 2].map(|()| {
            let flow = Arc::clone(&flow);
            thread::spawn(move || flow.push())
        });
        assert_eq!(flow.work(2), 2);
        for pusher in pushers {
            pusher.join().unwrap();
        }
    });
}

#[test]
fn a_flow_that_closes_leaves_nobody_asleep() {
    loom::model(|| {
        let flow = Flow::new();
        let closer = {
            let flow = Arc::clone(&flow);
            thread::spawn(move || flow.close())
        };
        assert_eq!(flow.work(1), 0);
        closer.join().unwrap();
    });
}
