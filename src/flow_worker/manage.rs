//! How a flow is changed, looked at and ended from outside.

use std::time::{Duration, Instant};

use super::{FlowWorker, MessageHandler, OfPeers, flow};
use crate::{
    ConfigError, FlowConfig, FlowReport, NodeId, clock::instant_after, metrics::FlowSnapshot,
};

impl<M: Send + 'static, H: MessageHandler<M>> FlowWorker<M, H> {
    /// Changes the flow's configuration while messages flow. It holds for every message that is brought
    /// or taken up from then on; what was admitted under a larger bound stays admitted, and who waits is let
    /// in at once where a bound has grown.
    ///
    /// What can change: the bounds in messages and bytes, of the flow and of each peer; quantum, wait
    /// strategy, overload policy, maximum age, CoDel and panic policy. The quota and the number of threads at
    /// work can change up to what the flow was built with; a quota that is not set is at most that. What
    /// cannot: `max_peers`, `max_waiters`, the order and the cores. A bound in bytes that is set while
    /// messages are in flight counts those that come later.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if a figure is out of range or cannot change; the flow is unchanged.
    pub fn reconfigure(&self, config: &FlowConfig) -> Result<(), ConfigError> {
        let config = flow::of_its_kind(self.flow, config);
        self.inner.core.validate_change(&config)?;
        self.inner.core.reconfigure(&config);
        Ok(())
    }

    /// Checks what [`reconfigure`](Self::reconfigure) would.
    pub(crate) fn validate_change(&self, config: &FlowConfig) -> Result<(), ConfigError> {
        self.inner.core.validate_change(&flow::of_its_kind(self.flow, config))
    }

    /// Gives the flow another handler while messages flow: it runs every message that no worker has
    /// taken up. The flow lets go of the old one when the last worker that runs it has ended its message.
    pub fn replace_handler(&self, handler: H) {
        drop(self.exchange_handler(handler));
    }

    /// Does what [`replace_handler`](Self::replace_handler) does, and returns what holds the old one, whose
    /// `Drop` is the user's code.
    pub(crate) fn exchange_handler(&self, handler: H) -> impl Sized + use<M, H> {
        self.inner.core.replace_handler(OfPeers(handler))
    }

    /// Forgets the panics that this peer's messages have caused, and ends its quarantine; true if it was
    /// in one.
    pub fn lift_quarantine(&self, node_id: NodeId) -> bool {
        self.inner.core.lift_quarantine(node_id)
    }

    /// What the flow has counted so far.
    #[must_use]
    pub fn snapshot(&self) -> FlowSnapshot {
        self.inner.core.metrics.snapshot()
    }

    /// Refuses every later message and all who wait. What was admitted still runs.
    pub fn close(&self) {
        self.inner.close();
    }

    /// Closes the flow, lets what was admitted run until the deadline, drops and counts what has not
    /// started by then, ends the threads and says what was left.
    ///
    /// Returns when all is done; blocks the caller for `deadline` at the most, or up to a second longer
    /// if the threads have nothing left to run and still do not end. A handler that is stuck beyond that
    /// goes on alone, on a thread that is not joined, and the report names it as running. Called again,
    /// it reports what is left by then.
    ///
    /// Called from one of the flow's own handlers, it does not wait for that handler, nor for its
    /// threads, nor for other handlers that shut the same flow down. In a flow that is in order per peer,
    /// what is queued of the handler's own peer is dropped at
    /// once; in one whose threads are all taken by the handlers below the call, everything queued is. The
    /// report of such a call is never clean: the calling handler counts as running. Other code of the user's that
    /// happens to run on the flow's threads, the `Drop` of a message, a waker, or what a handler has given to
    /// other threads by rayon, cannot be told from a handler of another message: a call from there waits for its
    /// own until the deadline.
    pub fn shutdown(&self, deadline: Duration) -> FlowReport {
        self.shut_down_by(instant_after(deadline))
    }

    pub(crate) fn shut_down_by(&self, deadline: Instant) -> FlowReport {
        self.inner.shut_down(true, deadline)
    }
}
