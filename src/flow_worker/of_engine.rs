//! What an engine does with its flows, and their users do not.

use std::{sync::Arc, time::Duration};

use super::{Execute, FlowHandle, FlowSpec, FlowWorker, MessageHandler, RememberedLane, Reported};
use crate::{
    BuildError, ConfigError, FlowConfig, MetricsRegistry, PeerKey, clock::nanos, queue::Lane,
};

impl<M: Send + 'static, K: PeerKey> FlowWorker<M, K> {
    /// Like [`new`](Self::new), for a flow of an engine, which watches it. What its users submit is counted as events
    /// of this registry, if there is one.
    pub(crate) fn of_engine(
        spec: FlowSpec<'_>,
        handler: impl MessageHandler<M, K>,
        events: Option<MetricsRegistry>,
    ) -> Result<Self, BuildError> {
        Ok(Self { inner: FlowHandle::new(spec, handler)?, events, _watch: None })
    }

    /// Like [`execute_sized`](Self::execute_sized), for a submitter with a memory.
    #[inline]
    pub(crate) fn execute_from(
        &self,
        peer: &K,
        message: M,
        bytes: usize,
        remembered: &mut RememberedLane<K>,
    ) -> Execute<M, K> {
        let lane = remembered.lane(peer, &self.inner.queue);
        Execute::of(self.inner.submit(lane, peer, message, bytes, true), &self.inner)
    }

    /// Does what [`cancel_peer`](Self::cancel_peer) does; returns the peer's lane, if it had one.
    pub(crate) fn cancel(&self, peer: &K) -> Option<Arc<Lane<K>>> {
        self.inner.cancel(peer)
    }

    /// Does that, or lets what is queued run: see [`Departure`](crate::Departure).
    pub(crate) fn depart(&self, peer: &K) -> Vec<Arc<Lane<K>>> {
        self.inner.depart(peer)
    }

    /// So many events have come, if this is where events come to the engine.
    #[inline]
    pub(crate) fn count_events(&self, events: u64) {
        if let Some(registry) = &self.events {
            registry.received(events);
        }
    }

    /// Notifies of messages that were dropped; see [`DropNotices`](super::drop_notices::DropNotices::notify).
    pub(crate) fn notify_drops(&self, interval: Duration, notify: impl Fn(&K, u64) -> bool) {
        self.inner.drops.notify(self.inner.now(), nanos(interval), notify);
    }

    /// Looks at the flow, as a watch does: see `stuck`.
    pub(crate) fn look(&self, stuck_limit: Duration, reported: &mut Reported) {
        self.inner.look(stuck_limit, reported);
    }

    /// Checks what [`reconfigure`](Self::reconfigure) would.
    pub(crate) fn validate_change(&self, config: &FlowConfig) -> Result<(), ConfigError> {
        self.inner.validate_change(config)
    }

    /// Does what [`replace_handler`](Self::replace_handler) does, and returns what holds the old one, whose
    /// `Drop` is the user's code.
    pub(crate) fn exchange_handler<H: MessageHandler<M, K>>(
        &self,
        handler: H,
    ) -> impl Sized + use<M, K, H> {
        self.inner.replace_handler(Box::new(handler))
    }

    /// Whether nothing is admitted any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.inner.queue.is_closed()
    }

    /// Whether a shutdown has ended the threads.
    pub(crate) fn is_over(&self) -> bool {
        self.inner.is_released()
    }
}
