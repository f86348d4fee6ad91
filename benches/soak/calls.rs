//! Calls that are pending: each is polled only after it was woken, so that a wake-up that is lost shows,
//! and some are dropped before they have resolved.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake},
    thread::{self, Thread},
    time::{Duration, Instant},
};

use gossip_engine::{CallFuture, EventError, Submitted, wire};

use super::{record::Record, replica::Replica};
use crate::harness::changes::Dice;

pub(crate) type Call = CallFuture<Replica, wire::DecodeError>;
pub(crate) type Outcome = Result<Submitted, EventError>;

/// Of so many calls one is dropped before it was ever polled; and of so many looks at one that is
/// pending, one drops it.
const DROPS: u64 = 200;
const PAUSE: Duration = Duration::from_micros(200);
/// How long a call may be pending before it counts as never woken: long beside the time in which any
/// queue of this load is worked off on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

struct Woken {
    thread: Thread,
    is: AtomicBool,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        // Release: pairs with the swap in `poll`.
        self.is.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

struct Pending {
    call: Call,
    woken: Arc<Woken>,
}

impl Pending {
    fn new(call: Call) -> Self {
        let woken = Woken { thread: thread::current(), is: AtomicBool::new(true) };
        Self { call, woken: Arc::new(woken) }
    }

    /// `None` as long as it is pending.
    fn poll(&mut self) -> Option<Outcome> {
        // Acquire: what happened before the wake-up is seen by the poll.
        if !self.woken.is.swap(false, Ordering::Acquire) {
            return None;
        }
        let waker = Arc::clone(&self.woken).into();
        match Pin::new(&mut self.call).poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(outcome) => Some(outcome),
            Poll::Pending => None,
        }
    }
}

/// The pending calls of one producer.
pub(crate) struct Calls {
    pending: Vec<Pending>,
    record: Arc<Record>,
}

impl Calls {
    pub(crate) fn new(record: Arc<Record>) -> Self {
        Self { pending: Vec::new(), record }
    }

    pub(crate) fn push(&mut self, call: Call, dice: &mut Dice) {
        self.record.calls.add();
        if dice.once_in(DROPS) {
            self.record.given_up.add();
            return;
        }
        let mut pending = Pending::new(call);
        match pending.poll() {
            Some(outcome) => note(&self.record, &outcome),
            None => self.pending.push(pending),
        }
    }

    /// Looks at all that are pending, and waits until at most so many are.
    pub(crate) fn settle(&mut self, most: usize, dice: &mut Dice) {
        let until = Instant::now() + PATIENCE;
        loop {
            self.look(dice);
            if self.pending.len() <= most {
                return;
            }
            if Instant::now() > until {
                self.record.never_woken.add_all(self.pending.len() as u64);
                self.pending.clear();
                return;
            }
            thread::park_timeout(PAUSE);
        }
    }

    fn look(&mut self, dice: &mut Dice) {
        let record = &self.record;
        self.pending.retain_mut(|pending| match pending.poll() {
            Some(outcome) => {
                note(record, &outcome);
                false
            }
            None if dice.once_in(DROPS) => {
                record.given_up.add();
                false
            }
            None => true,
        });
    }

    /// Waits for one call alone; `None` if it was dropped instead, which happens only if it may.
    pub(crate) fn wait(&self, call: Call, may_drop: bool, dice: &mut Dice) -> Option<Outcome> {
        self.record.calls.add();
        let until = Instant::now() + PATIENCE;
        let mut pending = Pending::new(call);
        loop {
            if may_drop && dice.once_in(DROPS) {
                self.record.given_up.add();
                return None;
            }
            if let Some(outcome) = pending.poll() {
                note(&self.record, &outcome);
                return Some(outcome);
            }
            if Instant::now() > until {
                self.record.never_woken.add();
                return None;
            }
            thread::park_timeout(PAUSE);
        }
    }
}

fn note(record: &Record, outcome: &Outcome) {
    match outcome {
        Err(EventError::Refused { .. }) => record.refused.add(),
        _ => record.resolved.add(),
    }
}
