//! One flow: its bound, its lanes, its threads and its counters.
//!
//! ```text
//!              ┌─ lane of a peer ─┐
//!  execute ──▶ │ permits ▶ queue  │ ──▶ ready set ──▶ claims ──▶ pool ──▶ drain ──▶ handler
//!    (line)    └──────────────────┘                                         │
//!       ▲                                                                   │
//!       └───────────────────── room, when a message has finished ───────────┘
//! ```
//!
//! | room | its subject |
//! |---|---|
//! | [`brought`] | the way of a message in: its lane, and what becomes of it if there is no room |
//! | [`peers`] | who has a lane, and how a message finds it |
//! | [`lane`] | one peer's queue and quota |
//! | [`admission`] | who comes in, and who waits in which [`line`]; in `settle`, in which turn they are let in, with the proof |
//! | [`lane_set`] | which lanes have messages |
//! | [`claims`] | that a worker runs whenever there is something to do; proof |
//! | [`drain`] | what a worker does: the turns of lanes, the run of a message, idling |
//! | [`overload`], [`codel`] | what is dropped when there is too much to do, and who is told |
//! | [`discard`] | messages that will not run |
//! | [`departure`], [`welcome`] | what becomes of messages when their peer goes, and when it comes; proof |
//! | [`quarantine`] | peers on whose messages handlers panic |
//! | [`live`] | what can change while messages flow |
//! | [`watch`] | what is looked at from outside |
//! | [`patience`] | how long a worker looks for the next message |
//! | [`parking`] | where a worker may sleep |
//! | [`pool`] | the threads |
//! | [`manage`] | how it is changed and ended from outside |
//! | [`core`], [`flow`] | all of it put together, and its beginning and end |
//! | [`handler`] | what a flow does with a message |
//! | [`execute`] | the future of a message that was brought |
//! | [`submitter`] | who brings many messages of one peer |
//!
//! Words that are written with every message, by more than one side: none, but for the slots of the
//! queues. By all submitters: the
//! flow's and the lane's count of what has entered, which bound them, and the tail of the lane's queue.
//! By all workers: the lane's count of what has left, and the head of its queue. Each worker's
//! counters and histograms are its own.

use std::{
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use self::{core::Core, flow::OfPeers, submitter::Holder};
use crate::{
    BuildError, FlowConfig, FlowType, MetricsRegistry, NodeId, RefusalReason, clock::nanos,
    panics::contain,
};

mod admission;
mod brought;
mod claims;
mod codel;
mod core;
mod departure;
mod discard;
mod drain;
mod execute;
mod flow;
mod handler;
mod lane;
mod lane_set;
mod line;
mod live;
mod manage;
mod overload;
mod parking;
mod patience;
mod peers;
mod pool;
mod quarantine;
mod submitter;
#[cfg(all(any(test, fuzzing), not(any(loom, shuttle))))]
mod threads;
mod watch;
mod welcome;

pub(crate) use self::{
    core::Handle,
    flow::Flow,
    submitter::Remembered,
    watch::Reported,
    welcome::{Connected, Greeting, Welcomes},
};
#[cfg(all(any(test, fuzzing), not(any(loom, shuttle))))]
pub(crate) use drain::as_another_thread;
pub use drain::queue_delay;
pub use execute::{Execute, Refused};
pub use handler::MessageHandler;
pub use submitter::Submitter;

/// All that serves one flow: its name, its counters, its threads and its bound.
///
/// At most [`max_inflight_requests`](FlowConfig::max_inflight_requests) messages are admitted and
/// not yet finished. Handlers run on the flow's own threads (`P2P_Advert_Thread` and the like), which
/// belong to a rayon pool, so that a handler may use `rayon::join` and gets idle threads as helpers.
/// Each peer has a lane of its own, with a quota; lanes are served in turn.
///
/// ```
/// use std::sync::mpsc;
/// use gossip_engine::{FlowConfig, FlowType, FlowWorker, MetricsRegistry, NodeId};
///
/// let (sender, receiver) = mpsc::channel();
/// let flow = FlowWorker::new(
///     FlowType::Advert,
///     &FlowConfig::new(100),
///     &MetricsRegistry::new(),
///     move |peer: NodeId, message: &'static str| sender.send((peer, message)).unwrap(),
/// )?;
/// let peer = NodeId::new([7; 32]);
/// # futures_executor::block_on(async {
/// flow.execute(peer, "hello").await.expect("the flow is open");
/// # });
/// assert_eq!(receiver.recv(), Ok((peer, "hello")));
/// # Ok::<(), gossip_engine::BuildError>(())
/// ```
///
/// # Alone, or in a handler
///
/// Five of them make up an [`AsyncTransportEventHandlerImpl`](crate::AsyncTransportEventHandlerImpl), which adds what
/// takes more than one flow: peers that come and go in order, notices of what was dropped, a watch for handlers that
/// do not end. A flow alone counts its drops and tells nobody, counts no stuck handlers, and its counts are checked by
/// [`FlowSnapshot::verify`](crate::FlowSnapshot::verify): those of its registry lack the events that a handler counts.
///
/// # Dropping
///
/// Dropping the worker closes the flow and does not wait: submitters that wait are refused, what was
/// admitted still runs, and then the threads end. [`shutdown`](Self::shutdown) waits for that.
pub struct FlowWorker<M: Send + 'static, H: MessageHandler<M>> {
    inner: Flow<M, OfPeers<H>>,
    flow: FlowType,
}

impl<M: Send + 'static, H: MessageHandler<M>> FlowWorker<M, H> {
    /// Builds the flow and starts its threads.
    ///
    /// # Errors
    ///
    /// [`BuildError::Config`] if `config` is out of range, [`BuildError::Threads`] if the system
    /// gives no threads.
    pub fn new(
        flow: FlowType,
        config: &FlowConfig,
        registry: &MetricsRegistry,
        handler: H,
    ) -> Result<Self, BuildError> {
        Self::of_handler(flow, config, registry, handler, None)
    }

    /// Like [`new`](Self::new), for a flow of an event handler, whose peers' messages are withheld until the
    /// replica knows the peer, and which tells it of losses.
    pub(crate) fn of_handler(
        flow: FlowType,
        config: &FlowConfig,
        registry: &MetricsRegistry,
        handler: H,
        welcomes: Option<Arc<Welcomes>>,
    ) -> Result<Self, BuildError> {
        let inner = Flow::new(Some(flow), config, registry, OfPeers(handler), welcomes)?;
        Ok(Self { inner, flow })
    }

    /// Which flow it is.
    #[must_use]
    pub fn flow(&self) -> FlowType {
        self.flow
    }

    /// Brings a message of `node_id`.
    ///
    /// If there is room and nobody waits for it, the message is admitted before this returns, and
    /// the future is ready. Otherwise the flow's [`OverloadPolicy`](crate::OverloadPolicy) decides. The
    /// default is that the wait is counted (`waiting_for_peer_permit`) and the
    /// future resolves when the message has been admitted. The messages of one peer are
    /// admitted in the order of the calls, whether their futures are polled or not.
    /// Whoever brings many messages of one peer does so by a [`submitter`](Self::submitter), at less cost.
    ///
    /// `Ok` means that the engine answers for the message: it comes to one of the [`Outcome`](crate::Outcome)s of
    /// those that were admitted, or was [dropped](crate::Outcome::DroppedNewest) if that is the policy. It does
    /// not mean that it has run.
    ///
    /// # Errors
    ///
    /// The future resolves to [`Refused`], with the message, for any of the
    /// [`RefusalReason`](crate::RefusalReason)s.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped at any time. A message that waits is dropped with it, counted as
    /// given up, and takes no room; one that was admitted runs.
    ///
    /// # Whose code runs here
    ///
    /// Where there is no room, this may take messages of peers that have gone out of the queues, or the oldest if
    /// that is the policy, and let others in: their `Drop` and their wakers then run on the caller's thread.
    pub fn execute(&self, node_id: NodeId, message: M) -> Execute<M, H> {
        self.execute_sized(node_id, message, size_of::<M>())
    }

    /// Like [`execute`](Self::execute), for a message of so many bytes, where the flow is
    /// [bounded in bytes](FlowConfig::with_max_bytes). Unless said, a message has the size of its type. 0
    /// counts as 1 and more than 4 GiB as 4 GiB, so that a message that is larger is charged too little.
    ///
    /// # Errors
    ///
    /// As for [`execute`](Self::execute).
    ///
    /// # Cancel safety
    ///
    /// As for [`execute`](Self::execute).
    pub fn execute_sized(&self, node_id: NodeId, message: M, bytes: usize) -> Execute<M, H> {
        let core = &self.inner.core;
        Execute::of(core.bring(node_id, message, bytes, true), core)
    }

    /// Like [`execute`](Self::execute), for whoever brings many messages of this peer.
    #[must_use]
    pub fn submitter(&self, node_id: NodeId) -> Submitter<'_, M, H> {
        Submitter::new(Holder::Borrows(self), node_id)
    }

    /// Like [`submitter`](Self::submitter), for a task or a thread that outlives the caller: it keeps the flow.
    #[must_use]
    pub fn submitter_owned(self: Arc<Self>, node_id: NodeId) -> Submitter<'static, M, H> {
        Submitter::new(Holder::Owns(self), node_id)
    }

    /// Like [`execute_sized`](Self::execute_sized), for a submitter with a memory.
    pub(crate) fn execute_from(
        &self,
        node_id: NodeId,
        message: M,
        bytes: usize,
        remembered: &mut Remembered<M>,
    ) -> Execute<M, H> {
        let core = &self.inner.core;
        let lane = remembered.lane(node_id, &core.peers);
        Execute::of(core.bring_to(lane, node_id, message, bytes, true), core)
    }

    /// The peer has gone: what it has queued will not start and is counted as
    /// [`Cancelled`](crate::Outcome::Cancelled), and its submitters that wait are refused
    /// ([`RefusalReason::Disconnected`](crate::RefusalReason::Disconnected)). Its handlers that run go on. A message
    /// that is brought later belongs to a new connection.
    ///
    /// Costs the same however much is queued: workers take it out of the queue in their turn. If others wait
    /// for the flow's room, this call takes out up to 64 of the messages itself.
    pub fn cancel_peer(&self, node_id: NodeId) {
        self.inner.core.cancel(node_id);
    }

    /// The peer's lane goes as soon as it is empty; what is in it still runs.
    pub(crate) fn forget_peer(&self, node_id: NodeId) {
        self.inner.core.forget(node_id);
    }

    /// The flow, as those see it who greet and part from its peers.
    pub(crate) fn connected(&self) -> Weak<dyn Connected> {
        let core: Weak<Core<M, OfPeers<H>>> = Arc::downgrade(&self.inner.core);
        core
    }

    /// Admits a message if there is room.
    pub(crate) fn try_execute(&self, node_id: NodeId, message: M) -> Result<(), RefusalReason> {
        self.inner.try_admit(node_id, message).map_err(|(_, reason)| reason)
    }

    /// Tells of messages that were dropped; see [`Core::tell_losses`].
    pub(crate) fn tell_losses(&self, interval: Duration, tell: impl Fn(NodeId, u64) -> bool) {
        self.inner.core.tell_losses(nanos(interval), tell);
    }

    /// Logs each handler that has run for longer than `limit`, once.
    pub(crate) fn report_stuck(&self, limit: Duration, reported: &mut Reported) {
        self.inner.core.find_stuck(limit, reported, |peer, runs| {
            // The subscriber is the user's code.
            contain(|| tracing::warn!(flow = %self.flow, %peer, ?runs, "a handler is stuck"));
        });
    }
}

impl<M: Send + 'static, H: MessageHandler<M>> fmt::Debug for FlowWorker<M, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Core { metrics, admission, .. } = &*self.inner.core;
        f.debug_struct("FlowWorker")
            .field("flow", &self.flow)
            .field("in_flight", &metrics.in_flight())
            .field("waiting", &metrics.waiting())
            .field("closed", &admission.is_closed())
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;

#[cfg(all(test, shuttle))]
mod schedules;
