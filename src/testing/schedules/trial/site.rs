//! What is seen of a flow: messages that know their end, and a handler that takes notes.

use std::{
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use shuttle::sync::{Condvar, Mutex};

use super::{EACH, PEERS, SUBMITTERS, Tested, add, count, peer};
use crate::{
    MessageHandler, NodeId,
    sync::{Ordering, Tally, random, switch},
};

/// A message, by its peer, its submitter and its place among those that this one submits.
pub(in super::super) struct Message {
    peer: usize,
    submitter: usize,
    place: usize,
    /// How many handlers had been replaced before it was submitted.
    replaced: u64,
    site: Arc<Site>,
}

impl Message {
    pub(super) fn new(site: &Arc<Site>, peer: usize, submitter: usize, place: usize) -> Self {
        Self { peer, submitter, place, replaced: count(&site.replaced), site: Arc::clone(site) }
    }

    fn fate(&self) -> &Fate {
        &self.site.fates[self.submitter * EACH + self.place]
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        add(&self.fate().gone);
        *self.site.gone.lock().unwrap() += 1;
        self.site.went.notify_all();
    }
}

/// What became of a message.
#[derive(Default)]
pub(super) struct Fate {
    pub(super) handled: Tally,
    pub(super) admitted: Tally,
    pub(super) refused: Tally,
    pub(super) gone: Tally,
    /// One more than its peer, once its submitter's call has returned.
    pub(super) submitted: Tally,
    /// Its peer has gone since, and the last worker has left.
    pub(super) departed: Tally,
}

/// What is seen of a flow.
#[derive(Default)]
pub(super) struct Site {
    pub(super) fates: [Fate; SUBMITTERS * EACH],
    /// How many of a peer's handlers run.
    running: [Tally; PEERS],
    /// One more than the place of the last message of a peer and a submitter that has begun.
    begun: [[Tally; SUBMITTERS]; PEERS],
    gone: Mutex<u64>,
    went: Condvar,
    pub(super) over: Tally,
    began: Tally,
    /// How many handlers that wait may end.
    leave: Mutex<u64>,
    given: Condvar,
    /// Departures of each peer that have begun.
    pub(super) departing: [Tally; PEERS],
    /// Handlers that were replaced, and that were dropped.
    pub(super) replaced: Tally,
    pub(super) handlers_dropped: Tally,
    pub(super) panics: Tally,
    pub(super) failures: Tally,
    pub(super) broken: OnceLock<&'static str>,
    pub(super) flow: OnceLock<Weak<Tested>>,
}

impl Site {
    fn expect(&self, promise: &'static str, kept: bool) {
        // A panic in a handler would be the flow's to catch.
        if !kept {
            let _ = self.broken.set(promise);
        }
    }

    /// Lets so many handlers end.
    pub(super) fn give_leave(&self, handlers: u64) {
        let mut leave = self.leave.lock().unwrap();
        *leave = handlers.max(*leave);
        self.given.notify_all();
    }

    /// Waits until one more than `before` have leave.
    fn wait_for_leave(&self, before: u64) {
        let mut leave = self.leave.lock().unwrap();
        while *leave <= before {
            leave = self.given.wait(leave).unwrap();
        }
    }

    /// Waits until nobody has any of so many messages.
    pub(super) fn wait_until_gone(&self, messages: u64) {
        let mut gone = self.gone.lock().unwrap();
        while *gone < messages {
            gone = self.went.wait(gone).unwrap();
        }
    }
}

/// What a handler does beside noting what it is given.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(in super::super) enum Habit {
    Nothing,
    /// It shuts the flow down with some of its messages.
    ShutsDown,
    /// It panics on some of its messages.
    Panics,
    /// It does not end before it is given leave.
    WaitsForLeave,
    /// It does not end before the next one has begun, or the one before: two and two.
    WaitsForAnother,
}

pub(in super::super) struct Handler {
    pub(super) site: Arc<Site>,
    pub(super) in_order: bool,
    pub(super) habit: Habit,
    /// How many were replaced before it.
    pub(super) replaced: u64,
}

impl MessageHandler<Message> for Handler {
    fn handle(&self, from: &NodeId, message: Message) {
        let Self { site, in_order, habit, .. } = self;
        let has_departed = || count(&message.fate().departed) > 0;
        site.expect("nothing starts after a shutdown", count(&site.over) == 0);
        site.expect("nothing starts after its peer has gone", !has_departed());
        site.expect("a later message runs on a later handler", self.replaced >= message.replaced);
        site.expect("a message runs once", add(&message.fate().handled) == 0);
        site.expect("a message runs as its peer's", *from == peer(message.peer));
        let beside = add(&site.running[message.peer]);
        let begun = &site.begun[message.peer][message.submitter];
        let earlier = begun.swap(message.place as u64 + 1, Ordering::Relaxed);
        if *in_order {
            // A departure leaves handlers behind that run beside those of the next connection.
            let departs = count(&site.departing[message.peer]) > 0;
            site.expect("one of a peer runs at a time", beside == 0 || departs);
            site.expect("a peer's run in order", earlier <= message.place as u64);
        }
        (0..random(3)).for_each(|_| switch());
        match habit {
            Habit::WaitsForLeave => site.wait_for_leave(add(&site.began)),
            Habit::WaitsForAnother => {
                let before = add(&site.began);
                if before % 2 == 1 {
                    site.give_leave(before + 1);
                }
                // As the flow's watch would while this handler runs.
                if let Some(flow) = site.flow.get().and_then(Weak::upgrade) {
                    flow.look(Duration::MAX, &mut Default::default());
                }
                site.wait_for_leave(before);
            }
            Habit::Nothing | Habit::ShutsDown | Habit::Panics => {}
        }
        if *habit == Habit::ShutsDown
            && random(4) == 0
            && let Some(flow) = site.flow.get().and_then(Weak::upgrade)
        {
            let report = flow.shutdown(Duration::ZERO);
            site.expect("its caller runs", report.running > 0 && !report.joined);
            site.expect("it drops nothing", report.dropped == 0);
        }
        // Nobody has seen the last worker leave while this ran.
        site.expect("a worker is there until it leaves", !has_departed());
        site.running[message.peer].fetch_sub(1, Ordering::Relaxed);
        if *habit == Habit::Panics && random(4) == 0 {
            add(&site.panics);
            // Before the panic, which would poison the mutex that it locks.
            drop(message);
            // Without the panic hook, which would write thousands of them.
            std::panic::resume_unwind(Box::new("a handler panics"));
        }
    }

    fn failed(&self, _: &NodeId) {
        add(&self.site.failures);
    }
}

impl Drop for Handler {
    fn drop(&mut self) {
        add(&self.site.handlers_dropped);
    }
}
