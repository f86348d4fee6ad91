//! What can change while messages flow: the configuration and the handler.
//!
//! Both are read through one arc-swapped pointer, which workers look at before each message. A change is
//! checked first, then published, and then applied to what has a copy of it: the bounds, the claims and
//! the lanes. Whoever changes goes on until it has applied what is published by then, so of several at
//! once the last one stands, everywhere.

use std::{ops::Deref, sync::Arc};

use super::{
    core::{Core, Handle},
    drain::gather,
    pool::Spawn,
};
use crate::{
    ConfigError, FlowConfig, WaitStrategy,
    clock::nanos,
    panics::contain,
    sync::{Ordering, fence},
};

/// What can change.
#[derive(Debug)]
pub(super) struct Live<H> {
    pub(super) config: FlowConfig,
    pub(super) handler: Arc<Kept<H>>,
    /// In nanoseconds, so that it is not converted with each message.
    pub(super) quantum: u64,
    /// In nanoseconds, `u64::MAX` if messages never expire.
    pub(super) max_age: u64,
    /// How many messages a worker lets come together at the most.
    pub(super) gather: u64,
}

impl<H> Live<H> {
    pub(super) fn new(config: &FlowConfig, handler: Arc<Kept<H>>) -> Self {
        let (quantum, max_age) =
            (nanos(config.quantum()), config.max_age().map_or(u64::MAX, nanos));
        Self { config: *config, handler, quantum, max_age, gather: gather::most(config) }
    }
}

/// A handler, whose `Drop` is the user's code and may run in the middle of ours.
#[derive(Debug)]
pub(super) struct Kept<H>(Option<H>);

impl<H> Kept<H> {
    pub(super) fn new(handler: H) -> Arc<Self> {
        Arc::new(Self(Some(handler)))
    }
}

impl<H> Deref for Kept<H> {
    type Target = H;

    fn deref(&self) -> &H {
        self.0.as_ref().expect("it is there until it is dropped")
    }
}

impl<H> Drop for Kept<H> {
    fn drop(&mut self) {
        contain(|| drop(self.0.take()));
    }
}

impl<M: Send + 'static, H: Handle<M>, S: Spawn> Core<M, H, S> {
    /// Gives the flow another configuration.
    pub(super) fn reconfigure(self: &Arc<Self>, config: &FlowConfig) {
        self.live.rcu(|live| Live::new(config, Arc::clone(&live.handler)));
        loop {
            let live = self.live.load_full();
            self.apply(&live.config);
            if Arc::ptr_eq(&live, &self.live.load()) {
                return;
            }
        }
    }

    /// Gives the flow another handler, which runs what no worker has taken up. Returns what was before, with the
    /// old one in it, to be dropped where the user's code may run.
    pub(super) fn replace_handler(&self, handler: H) -> Arc<Live<H>> {
        let handler = Kept::new(handler);
        let before = self.live.rcu(|live| Live::new(&live.config, Arc::clone(&handler)));
        // SeqCst: pairs with that of a worker that lies down, and then lets go of the old one.
        fence(Ordering::SeqCst);
        self.parking.call_all_to_leave();
        before
    }

    /// Checks that the flow can be given another configuration.
    pub(super) fn validate_change(&self, config: &FlowConfig) -> Result<(), ConfigError> {
        self.built.validate_change(config, self.name)
    }

    fn apply(self: &Arc<Self>, config: &FlowConfig) {
        self.metrics.permits.set_limit(config.max_inflight_requests() as u64);
        self.metrics.bytes.set_limit(config.max_bytes());
        self.claims.set_limit(config.threads());
        // SeqCst: pairs with that of whoever makes a lane, stops letting in, lowers a claim or lies down:
        // what is set is set before it, they are looked at after.
        fence(Ordering::SeqCst);
        for lane in self.peers.iter() {
            lane.bound(config, self.peers.slots());
        }
        // SeqCst: the same, for the lanes' bounds.
        fence(Ordering::SeqCst);
        self.admission.settle_all(self);
        if config.wait_strategy() != WaitStrategy::Park {
            self.parking.call_all_to_leave();
        }
        if !self.ready.is_empty() && self.claims.claim_if_unseen() {
            self.start();
        }
    }
}
