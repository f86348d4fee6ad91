//! Submits many messages of one peer, and remembers its lane.
//!
//! A lane that takes messages is the one that a lookup would find, since a lane is closed before it leaves the table. A
//! closed lane refuses a message, whose lane is then looked up like that of any other. So a remembered lane saves the
//! lookup, and is the one that the table has.

use std::{collections::VecDeque, fmt, sync::Arc};

use super::{Execute, FlowWorker, core::PeerQueue};
use crate::{NodeId, PeerKey, queue::Lane};

/// The lane of the peer whose message came last.
#[derive(Debug)]
pub(crate) struct RememberedLane<K> {
    peer: Option<K>,
    lane: Option<Arc<Lane<K>>>,
}

impl<K> Default for RememberedLane<K> {
    fn default() -> Self {
        Self { peer: None, lane: None }
    }
}

impl<K: PeerKey> RememberedLane<K> {
    /// The lane of a peer whose messages follow upon each other; `None` means to look it up. At the first of
    /// them only the peer is noted, so that peers that take turns message by message cost nothing more.
    #[inline]
    pub(super) fn lane<M>(&mut self, peer: &K, queue: &PeerQueue<M, K>) -> Option<&Arc<Lane<K>>> {
        if self.peer.as_ref() != Some(peer) {
            *self = Self { peer: Some(peer.clone()), lane: None };
            return None;
        }
        self.lane_again(peer, queue)
    }

    /// The same for the next message of the same peer.
    #[inline]
    fn lane_again<M>(&mut self, peer: &K, queue: &PeerQueue<M, K>) -> Option<&Arc<Lane<K>>> {
        if self.lane.as_ref().is_none_or(|lane| lane.is_closed()) {
            self.lane = queue.with_lane(peer, |lane| lane.cloned());
        }
        self.lane.as_ref()
    }
}

/// Submits many messages of one peer to a flow, as the reader of a peer's stream does.
///
/// It does what [`FlowWorker::execute`] does and saves the lookup of the peer's lane. The peer may go and come again
/// meanwhile. A lane that is gone is kept in memory until the next message or the end of the submitter. Any number of
/// submitters may submit messages of the same peer, and so may the flow's own `execute`.
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
/// let handler = move |_: &NodeId, message: u32| sender.send(message).unwrap();
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
pub struct Submitter<'a, M: Send + 'static, K: PeerKey = NodeId> {
    flow: Holder<'a, M, K>,
    peer: K,
    remembered: RememberedLane<K>,
}

/// How a submitter holds its flow. No reference of the user's own kind, which might be to one flow first and then
/// to another, in which the lane means nothing.
pub(super) enum Holder<'a, M: Send + 'static, K: PeerKey> {
    Borrows(&'a FlowWorker<M, K>),
    Owns(Arc<FlowWorker<M, K>>),
}

impl<M: Send + 'static, K: PeerKey> Holder<'_, M, K> {
    fn get(&self) -> &FlowWorker<M, K> {
        match self {
            Self::Borrows(flow) => flow,
            Self::Owns(flow) => flow,
        }
    }
}

impl<'a, M: Send + 'static, K: PeerKey> Submitter<'a, M, K> {
    pub(super) fn new(flow: Holder<'a, M, K>, peer: &K) -> Self {
        let remembered = RememberedLane { peer: Some(peer.clone()), lane: None };
        Self { flow, peer: peer.clone(), remembered }
    }

    /// Whose messages it submits.
    #[must_use]
    pub fn peer(&self) -> &K {
        &self.peer
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
    pub fn execute(&mut self, message: M) -> Execute<M, K> {
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
    pub fn execute_sized(&mut self, message: M, bytes: usize) -> Execute<M, K> {
        let flow = self.flow.get();
        flow.count_events(1);
        let core = &flow.inner;
        let lane = self.remembered.lane_again(&self.peer, &core.queue);
        Execute::of(core.submit(lane, &self.peer, message, bytes, true), core)
    }

    /// Submits a row of messages, with the bytes of each, at the cost of little more than one: for a transport that
    /// reads several frames at once. It admits as many as there is capacity for, up to 16 at a time, takes them from
    /// the front, and returns how many. The others stay where they are. The first of them is for
    /// [`execute_sized`](Self::execute_sized), which lets it wait or says why it is not admitted:
    ///
    /// ```
    /// use std::collections::VecDeque;
    /// use gossip_engine::{FlowConfig, FlowType, FlowWorker, MetricsRegistry, NodeId, Refused};
    ///
    /// # let registry = MetricsRegistry::new();
    /// # let config = FlowConfig::new(4);
    /// # let handler = |_: &NodeId, _: u32| {};
    /// let flow = FlowWorker::new(FlowType::Advert, &config, &registry, handler)?;
    /// let mut submitter = flow.submitter(NodeId::new([7; 32]));
    /// let mut row: VecDeque<_> = (0..100).map(|frame| (frame, size_of::<u32>())).collect();
    /// # futures_executor::block_on(async {
    /// while !row.is_empty() {
    ///     if submitter.try_execute_many(&mut row) == 0
    ///         && let Some((frame, bytes)) = row.pop_front()
    ///     {
    ///         submitter.execute_sized(frame, bytes).await?;
    ///     }
    /// }
    /// # Ok::<(), Refused<u32>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// Nothing is counted of those that stay, and none is dropped, whatever the flow's policy.
    pub fn try_execute_many(&mut self, messages: &mut VecDeque<(M, usize)>) -> usize {
        let flow = self.flow.get();
        let lane = self.remembered.lane_again(&self.peer, &flow.inner.queue);
        let admitted = flow.inner.submit_many(lane, &self.peer, messages);
        flow.count_events(admitted as u64);
        admitted
    }
}

impl<M: Send + 'static, K: PeerKey> fmt::Debug for Submitter<'_, M, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Submitter")
            .field("peer", &format_args!("{}", self.peer))
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;
