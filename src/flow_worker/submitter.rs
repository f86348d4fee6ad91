//! Who submits many messages of one peer, and remembers its lane.
//!
//! A lane that takes messages is the one that a lookup would find: it is closed before it leaves the table, and a
//! message that would enter a closed one is refused and looks its lane up as any other does. So what is remembered
//! saves the lookup, and says nothing that the table would not.

use std::{fmt, sync::Arc};

use super::{
    Execute, FlowWorker, MessageHandler,
    core::{PeerLane, PeerQueue},
};
use crate::NodeId;

/// The lane of the peer whose message came last.
#[derive(Debug, Default)]
pub(crate) struct RememberedLane {
    peer: Option<NodeId>,
    lane: Option<Arc<PeerLane>>,
}

impl RememberedLane {
    /// The lane of a peer whose messages follow upon each other; `None` means to look it up. At the first of
    /// them only the peer is noted, so that peers that take turns message by message cost nothing more.
    #[inline]
    pub(super) fn lane<M>(&mut self, peer: NodeId, queue: &PeerQueue<M>) -> Option<&Arc<PeerLane>> {
        if self.peer != Some(peer) {
            *self = Self { peer: Some(peer), lane: None };
            return None;
        }
        if self.lane.as_ref().is_none_or(|lane| lane.is_closed()) {
            self.lane = queue.with_lane(&peer, |lane| lane.cloned());
        }
        self.lane.as_ref()
    }
}

/// Submits the messages of one peer to a flow: [`FlowWorker::execute`] for who submits many of them, as the reader of a
/// peer's stream does.
///
/// It does what the flow's own `execute` does and spares it the look-up of the peer's lane. What becomes
/// of the peer meanwhile makes no difference; a lane that is gone is kept in memory until the next message or
/// the end of the submitter. Any number of them may submit messages of the same peer, as may the flow itself.
///
/// It borrows its flow ([`FlowWorker::submitter`]), or owns a part of it ([`FlowWorker::submitter_owned`]), for a
/// task or a thread that outlives the caller.
///
/// ```
/// use std::sync::{Arc, mpsc};
/// use std::thread;
/// use gossip_engine::{FlowConfig, FlowType, FlowWorker, MetricsRegistry, NodeId};
///
/// let (sender, receiver) = mpsc::channel();
/// let handler = move |_: NodeId, message: u32| sender.send(message).unwrap();
/// let config = FlowConfig::new(100).with_threads(1);
/// let flow = FlowWorker::new(FlowType::Transport, &config, &MetricsRegistry::new(), handler)?;
/// let mut submitter = Arc::new(flow).submitter_owned(NodeId::new([7; 32]));
/// let reader = thread::spawn(move || {
///     futures_executor::block_on(async {
///         for message in 0..1_000 {
///             submitter.execute(message).await.expect("the flow is open");
///         }
///     });
/// });
/// assert!(receiver.into_iter().eq(0..1_000));
/// # reader.join().unwrap();
/// # Ok::<(), gossip_engine::BuildError>(())
/// ```
pub struct Submitter<'a, M: Send + 'static, H: MessageHandler<M>> {
    flow: Holder<'a, M, H>,
    node_id: NodeId,
    remembered: RememberedLane,
}

/// How a submitter holds its flow. No reference of the user's own kind, which might be to one flow first and then
/// to another, in which the lane means nothing.
pub(super) enum Holder<'a, M: Send + 'static, H: MessageHandler<M>> {
    Borrows(&'a FlowWorker<M, H>),
    Owns(Arc<FlowWorker<M, H>>),
}

impl<'a, M: Send + 'static, H: MessageHandler<M>> Submitter<'a, M, H> {
    pub(super) fn new(flow: Holder<'a, M, H>, node_id: NodeId) -> Self {
        let remembered = RememberedLane { peer: Some(node_id), lane: None };
        Self { flow, node_id, remembered }
    }

    /// Whose messages it submits.
    #[must_use]
    pub fn node_id(&self) -> NodeId {
        self.node_id
    }

    /// Submits a message, as [`FlowWorker::execute`] does.
    ///
    /// # Errors
    ///
    /// As for [`FlowWorker::execute`].
    ///
    /// # Cancel safety
    ///
    /// As for [`FlowWorker::execute`].
    pub fn execute(&mut self, message: M) -> Execute<M, H> {
        self.execute_sized(message, size_of::<M>())
    }

    /// Submits a message of so many bytes, as [`FlowWorker::execute_sized`] does.
    ///
    /// # Errors
    ///
    /// As for [`FlowWorker::execute`].
    ///
    /// # Cancel safety
    ///
    /// As for [`FlowWorker::execute`].
    pub fn execute_sized(&mut self, message: M, bytes: usize) -> Execute<M, H> {
        let flow = match &self.flow {
            Holder::Borrows(flow) => flow,
            Holder::Owns(flow) => &**flow,
        };
        flow.execute_from(self.node_id, message, bytes, &mut self.remembered)
    }
}

impl<M: Send + 'static, H: MessageHandler<M>> fmt::Debug for Submitter<'_, M, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Submitter").field("node_id", &self.node_id).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;
