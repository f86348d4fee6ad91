//! Those who submit messages: they wait for some decisions and leave others.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
};

use shuttle::future::block_on;

use super::{
    EACH, Tested, add, count, peer,
    site::{Message, Site},
};
use crate::{
    Execute, NodeId, Refused, Submitted,
    flow_worker::RememberedLane,
    sync::{Ordering, Tally, random},
};

/// Counts how often a submitter is woken.
pub(in super::super) struct Woken {
    submitter: Waker,
    pub(super) times: Tally,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        add(&self.times);
        self.submitter.wake_by_ref();
    }
}

fn poll(
    future: &mut Execute<Message>,
    woken: &Arc<Woken>,
) -> Poll<Result<Submitted, Refused<Message>>> {
    let waker = Waker::from(Arc::clone(woken));
    Pin::new(future).poll(&mut Context::from_waker(&waker))
}

/// What a submitter does with its futures.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(in super::super) enum Conduct {
    /// It waits for some, leaves others, and submits more before it looks at some.
    Mixed,
    /// It waits for each before it submits the next.
    OneByOne,
    /// It submits all before it waits for the first.
    AllAtOnce,
    /// It waits for none.
    Leaves,
}

/// One who submits messages.
pub(super) struct Submitter {
    pub(super) number: usize,
    pub(super) conduct: Conduct,
    pub(super) flow: Arc<Tested>,
    pub(super) site: Arc<Site>,
    pub(super) woken: Vec<Arc<Woken>>,
    pub(super) remembered: RememberedLane<NodeId>,
}

impl Submitter {
    /// Every other submitter remembers the lane of the peer whose messages it submits.
    fn submit(&mut self, from: usize, place: usize) -> Execute<Message> {
        let message = Message::new(&self.site, from, self.number, place);
        if self.number.is_multiple_of(2) {
            return self.flow.execute(peer(from), message);
        }
        let bytes = size_of::<Message>();
        self.flow.execute_from(&peer(from), message, bytes, &mut self.remembered)
    }

    fn woken(&mut self, submitter: &Waker) -> Arc<Woken> {
        let woken = Arc::new(Woken { submitter: submitter.clone(), times: Tally::new(0) });
        self.woken.push(Arc::clone(&woken));
        woken
    }

    /// Waits for the decision, looking when it is woken and not otherwise.
    fn wait(&mut self, mut future: Execute<Message>, place: usize) {
        let mut woken = None;
        let outcome = block_on(poll_fn(|context| match &woken {
            None => poll(&mut future, woken.insert(self.woken(context.waker()))),
            // For an earlier message, whose decision was seen before its waker was called.
            Some(woken) if count(&woken.times) == 0 => Poll::Pending,
            Some(woken) => {
                let outcome = poll(&mut future, woken);
                assert!(outcome.is_ready(), "woken without a decision");
                outcome
            }
        }));
        let fate = &self.site.fates[self.number * EACH + place];
        add(if outcome.is_ok() { &fate.admitted } else { &fate.refused });
    }

    /// Submits all of its messages, waiting for some and leaving others; returns whom it had woken.
    pub(super) fn run(mut self, choose_peer: fn(usize) -> usize) -> Vec<Arc<Woken>> {
        let mut kept = Vec::new();
        for place in 0..EACH {
            let from = choose_peer(self.number);
            let mut future = self.submit(from, place);
            let fate = &self.site.fates[self.number * EACH + place];
            fate.submitted.store(from as u64 + 1, Ordering::Relaxed);
            let next = match self.conduct {
                Conduct::Mixed => random(6),
                Conduct::OneByOne => 0,
                Conduct::AllAtOnce => 3,
                Conduct::Leaves => 4 + random(2),
            };
            match next {
                0..3 => self.wait(future, place),
                // Others come before it is polled.
                3 => kept.push((future, place)),
                4 => drop(future),
                _ => {
                    let woken = self.woken(Waker::noop());
                    let _ = poll(&mut future, &woken);
                    drop(future);
                }
            }
        }
        for (future, place) in kept {
            self.wait(future, place);
        }
        self.woken
    }
}
