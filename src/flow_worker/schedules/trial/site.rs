//! What is seen of a flow: messages that know their end, and a handler that takes notes.

use std::{
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use shuttle::sync::{Condvar, Mutex};

use super::{EACH, PEERS, PRODUCERS, Tested, add, count, peer};
use crate::{
    MessageHandler, NodeId, Order,
    sync::{Ordering, Tally, random, switch},
};

/// A message, by its peer, its producer and its place among those that this one brings.
pub(in super::super) struct Message {
    pub(super) peer: usize,
    pub(super) producer: usize,
    pub(super) place: usize,
    pub(super) site: Arc<Site>,
}

impl Message {
    fn fate(&self) -> &Fate {
        &self.site.fates[self.producer * EACH + self.place]
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        add(&self.fate().gone);
    }
}

/// What became of a message.
#[derive(Default)]
pub(super) struct Fate {
    pub(super) handled: Tally,
    pub(super) admitted: Tally,
    pub(super) refused: Tally,
    pub(super) gone: Tally,
}

/// What is seen of a flow.
#[derive(Default)]
pub(super) struct Site {
    pub(super) fates: [Fate; PRODUCERS * EACH],
    /// How many of a peer's handlers run.
    running: [Tally; PEERS],
    /// One more than the place of the last message of a peer and a producer that has begun.
    begun: [[Tally; PRODUCERS]; PEERS],
    ends: Mutex<u64>,
    end: Condvar,
    pub(super) over: Tally,
    began: Tally,
    /// How many handlers that wait may end.
    leave: Mutex<u64>,
    given: Condvar,
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

    pub(super) fn wait_for_ends(&self, messages: u64) {
        let mut ends = self.ends.lock().unwrap();
        while *ends < messages {
            ends = self.end.wait(ends).unwrap();
        }
    }
}

/// What a handler does beside noting what it is given.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(in super::super) enum Habit {
    Nothing,
    /// It shuts the flow down with some of its messages.
    ShutsDown,
    /// It does not end before it is given leave.
    WaitsForLeave,
    /// It does not end before the next one has begun, or the one before: two and two.
    WaitsForAnother,
}

pub(in super::super) struct Handler {
    pub(super) site: Arc<Site>,
    pub(super) order: Order,
    pub(super) habit: Habit,
}

impl MessageHandler<Message> for Handler {
    fn handle(&self, from: NodeId, message: Message) {
        let Self { site, order, habit } = self;
        site.expect("nothing starts after a shutdown", count(&site.over) == 0);
        site.expect("a message runs once", add(&message.fate().handled) == 0);
        site.expect("a message runs as its peer's", from == peer(message.peer));
        let beside = add(&site.running[message.peer]);
        let begun = &site.begun[message.peer][message.producer];
        let earlier = begun.swap(message.place as u64 + 1, Ordering::Relaxed);
        if *order == Order::PerPeer {
            site.expect("one of a peer runs at a time", beside == 0);
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
                site.wait_for_leave(before);
            }
            Habit::Nothing | Habit::ShutsDown => {}
        }
        if *habit == Habit::ShutsDown
            && random(4) == 0
            && let Some(flow) = site.flow.get().and_then(Weak::upgrade)
        {
            site.expect("its caller runs", flow.shutdown(Duration::ZERO).running > 0);
        }
        site.running[message.peer].fetch_sub(1, Ordering::Relaxed);
        drop(message);
        *site.ends.lock().unwrap() += 1;
        site.end.notify_all();
    }
}
