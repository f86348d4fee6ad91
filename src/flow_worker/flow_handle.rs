//! Who owns a flow: when the owner is dropped, the flow closes, what was admitted still runs, and the threads end.

use std::{ops::Deref, sync::Arc, time::Instant};

use super::{core::Core, execute::Refused, handler::Handle, submit::Decision};
use crate::{
    BuildError, FlowConfig, FlowReport, FlowType, MetricsRegistry, NodeId, sync::Ordering,
};

#[derive(Debug)]
pub(crate) struct FlowHandle<M: Send + 'static, H: Handle<M>>(Arc<Core<M, H>>);

impl<M: Send + 'static, H: Handle<M>> FlowHandle<M, H> {
    /// Builds a flow; `flow` is `None` for the adverts on their way out, which run once it is [open](Self::open).
    pub(crate) fn new(
        flow: Option<FlowType>,
        config: &FlowConfig,
        registry: &MetricsRegistry,
        handler: H,
        notifies: bool,
    ) -> Result<Self, BuildError> {
        Core::start(flow, config, registry, handler, notifies).map(Self)
    }

    pub(crate) fn with_handler<R>(&self, use_it: impl FnOnce(&H) -> R) -> R {
        use_it(&self.0.runtime.load_full().handler)
    }

    /// Makes the lane of a peer before its first message.
    pub(crate) fn add_lane(&self, peer: NodeId) {
        let _ = self.0.queue.lane(&peer);
    }

    /// Admits a message if there is capacity; nobody waits.
    pub(crate) fn try_submit(
        &self,
        peer: NodeId,
        message: M,
        bytes: usize,
    ) -> Result<(), Refused<M>> {
        match self.0.submit(None, peer, message, bytes, false) {
            Decision::Admitted => Ok(()),
            Decision::Refused(refused) => Err(*refused),
            Decision::Waits(_) | Decision::Dropped(_) => unreachable!("it is admitted or refused"),
        }
    }

    /// Lets messages run.
    pub(crate) fn open(&self) {
        self.0.open();
    }

    /// See [`FlowWorker::shutdown`](super::FlowWorker::shutdown).
    pub(crate) fn shut_down(&self, deadline: Instant) -> FlowReport {
        self.0.shut_down(deadline)
    }
}

impl<M: Send + 'static, H: Handle<M>> Deref for FlowHandle<M, H> {
    type Target = Arc<Core<M, H>>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<M: Send + 'static, H: Handle<M>> Drop for FlowHandle<M, H> {
    fn drop(&mut self) {
        self.0.close();
        // What never ran will not run.
        if !self.0.open.load(Ordering::Acquire) {
            self.0.abandon();
            self.0.open();
        }
    }
}
