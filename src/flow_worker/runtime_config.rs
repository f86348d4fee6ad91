//! What can change while messages flow: the configuration and the handler.
//!
//! Both are behind one arc-swapped pointer. A worker keeps a reference, and reads it anew before a run if a count says
//! that it has changed. A change is checked first, then published, and then applied to what has a copy of it: the
//! queue's limits and the workers' manner. The caller goes on until it has applied what is published by then, so of
//! several at once the last one stands.
//!
//! When the threads have ended the flow lets go of its handler, which may own what owns the flow.

use std::{fmt, ops::Deref, sync::Arc};

use super::{
    batch::MAX_BATCH,
    core::{Core, limits, longest_look},
    handler::MessageHandler,
    pace::Pace,
};
use crate::{
    ConfigError, FlowConfig, PeerKey, WaitStrategy, clock::nanos, panics::contain, queue::WakeList,
    sync::Ordering,
};

#[derive(Debug)]
pub(super) struct RuntimeConfig<M, K: PeerKey> {
    pub(super) config: FlowConfig,
    pub(super) handler: Arc<HandlerCell<M, K>>,
    /// In nanoseconds, `u64::MAX` if messages never expire.
    pub(super) max_age: u64,
    /// How many messages a worker lets come together.
    pub(super) gathers: u64,
    /// How many messages a call takes.
    pub(super) batch: usize,
}

impl<M: 'static, K: PeerKey> RuntimeConfig<M, K> {
    pub(super) fn new(config: &FlowConfig, handler: Box<dyn MessageHandler<M, K>>) -> Self {
        Self::of(config, Arc::new(HandlerCell(Some(handler))))
    }

    fn of(config: &FlowConfig, handler: Arc<HandlerCell<M, K>>) -> Self {
        let max_age = config.max_age().map_or(u64::MAX, nanos);
        let gathers = match config.wait_strategy() {
            // Whose threads have cores of their own wants the briefest wait.
            WaitStrategy::Spin => 0,
            _ => Pace::most(config.max_inflight_requests(), config.peer_quota()),
        };
        let batch = handler.get().map_or(1, |handler| handler.max_batch().min(MAX_BATCH));
        Self { config: *config, handler, max_age, gathers, batch }
    }
}

/// A handler, whose `Drop` is the user's code and may run in the middle of ours. Empty once the flow has let go of it.
pub(super) struct HandlerCell<M, K: PeerKey>(Option<Box<dyn MessageHandler<M, K>>>);

impl<M, K: PeerKey> HandlerCell<M, K> {
    /// The handler, if the flow has not let go of it.
    pub(super) fn get(&self) -> Option<&dyn MessageHandler<M, K>> {
        self.0.as_deref()
    }
}

impl<M, K: PeerKey> Deref for HandlerCell<M, K> {
    type Target = dyn MessageHandler<M, K>;

    fn deref(&self) -> &Self::Target {
        self.0.as_deref().expect("it is there as long as there are threads")
    }
}

impl<M, K: PeerKey> fmt::Debug for HandlerCell<M, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandlerCell").finish_non_exhaustive()
    }
}

impl<M, K: PeerKey> Drop for HandlerCell<M, K> {
    fn drop(&mut self) {
        contain(|| drop(self.0.take()));
    }
}

impl<M: Send + 'static, K: PeerKey> Core<M, K> {
    /// Checks that the flow can be given another configuration.
    pub(super) fn validate_change(&self, config: &FlowConfig) -> Result<(), ConfigError> {
        self.built.validate_change(config, self.name)
    }

    /// Gives the flow another configuration, which was checked.
    pub(super) fn reconfigure(&self, config: &FlowConfig) {
        self.runtime.rcu(|now| RuntimeConfig::of(config, Arc::clone(&now.handler)));
        loop {
            let now = self.runtime.load_full();
            self.queue.set_limits(&limits(&now.config));
            // Relaxed: workers see it at their next look; those who sleep are woken below.
            self.longest_look.store(longest_look(&now.config), Ordering::Relaxed);
            if Arc::ptr_eq(&now, &self.runtime.load()) {
                break;
            }
        }
        self.ledger.excess.reset();
        self.runtime_changed();
        self.let_in();
    }

    /// Lets in all who wait and for whom there is capacity.
    pub(super) fn let_in(&self) {
        let mut wake = WakeList::default();
        // Ends: each turn but the last lets somebody in, of those who wait now and those who come meanwhile.
        loop {
            let before = self.queue.waiting();
            self.queue.grant_all(&mut wake);
            self.wake(&mut wake);
            let after = self.queue.waiting();
            if after == 0 || after >= before {
                return;
            }
        }
    }

    /// Gives the flow another handler, which runs what no worker has taken up. Returns what was before, with the old
    /// one in it, to be dropped where the user's code may run. A flow that has let go of its handler takes no other.
    pub(super) fn replace_handler(
        &self,
        handler: Box<dyn MessageHandler<M, K>>,
    ) -> Arc<RuntimeConfig<M, K>> {
        let handler = Arc::new(HandlerCell(Some(handler)));
        let before = self.runtime.rcu(|now| {
            let next = if now.handler.get().is_some() { &handler } else { &now.handler };
            RuntimeConfig::of(&now.config, Arc::clone(next))
        });
        self.runtime_changed();
        before
    }

    /// Has the workers look at what was published, and let go of what it replaces.
    fn runtime_changed(&self) {
        // Release: who sees the new count sees what was published. Those who sleep are woken afterwards.
        self.runtime_changes.fetch_add(1, Ordering::Release);
        self.workers.wake_all();
    }

    /// Lets go of the handler. The threads must have ended.
    pub(super) fn release_handler(&self) {
        let none = Arc::new(HandlerCell(None));
        self.runtime.rcu(|now| RuntimeConfig::of(&now.config, Arc::clone(&none)));
    }

    /// Whether the threads have ended and the handler is gone.
    pub(super) fn is_released(&self) -> bool {
        self.runtime.load().handler.get().is_none()
    }
}
