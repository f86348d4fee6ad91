//! Who owns a flow: when the owner is dropped, the flow closes, what was admitted still runs, and the threads end.

use std::{ops::Deref, sync::Arc, time::Instant};

use super::{
    core::{Core, FlowSpec},
    execute::Refused,
    handler::MessageHandler,
    submit::Decision,
};
use crate::{BuildError, FlowReport, PeerKey, sync::Ordering};

#[derive(Debug)]
pub(crate) struct FlowHandle<M: Send + 'static, K: PeerKey>(Arc<Core<M, K>>);

impl<M: Send + 'static, K: PeerKey> FlowHandle<M, K> {
    /// Builds a flow.
    pub(crate) fn new(
        spec: FlowSpec<'_>,
        handler: impl MessageHandler<M, K>,
    ) -> Result<Self, BuildError> {
        Core::start(spec, Box::new(handler)).map(Self)
    }

    /// Makes the lane of a peer before its first message.
    pub(crate) fn add_lane(&self, peer: &K) {
        let _ = self.0.queue.lane(peer);
    }

    /// Admits a message if there is capacity; nobody waits.
    pub(crate) fn try_submit(&self, peer: &K, message: M, bytes: usize) -> Result<(), Refused<M>> {
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

impl<M: Send + 'static, K: PeerKey> Deref for FlowHandle<M, K> {
    type Target = Arc<Core<M, K>>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<M: Send + 'static, K: PeerKey> Drop for FlowHandle<M, K> {
    fn drop(&mut self) {
        self.0.close();
        // What never ran will not run.
        if !self.0.open.load(Ordering::Acquire) {
            self.0.abandon();
            self.0.open();
        }
    }
}
