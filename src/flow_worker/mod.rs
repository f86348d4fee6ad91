//! One flow: what its messages mean, on a fair queue, workers and a ledger.
//!
//! ```text
//!  execute ──▶ queue ──▶ workers ──▶ drain ──▶ handler
//!  (submit)  (FairQueue)                │
//!                                       └──▶ ledger
//! ```
//!
//! | file | its subject |
//! |---|---|
//! | `submit`, `execute` | how a message is submitted, and what becomes of it without capacity |
//! | `submitter`, `service` | many messages of one peer; the same, each by a permit |
//! | `drain`, `batch`, `pace` | what a worker does with a run of messages, and when it lets some come together |
//! | `handler`, `slot` | what a flow does with a message, and how it finishes later |
//! | `runtime_config` | what can change while messages flow |
//! | `shutdown` | a flow's end |
//! | `drop_notices`, `stuck`, `recent` | what the replica and the log are notified of, and what was done last |
//! | `core`, `flow_handle` | all of it put together, and who owns it |
//! | `of_engine` | what an engine does with its flows |

use std::{
    borrow::Borrow,
    fmt,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use self::submitter::Holder;
use crate::{
    BuildError, ConfigError, FlowConfig, FlowName, FlowReport, MetricsRegistry, NodeId, PeerKey,
    clock::instant_after,
    ledger::FlowSnapshot,
    panics::contain,
    watch::{Watch, Watched},
};

mod batch;
mod core;
mod drain;
mod drop_notices;
mod execute;
mod flow_handle;
mod handler;
mod of_engine;
mod pace;
mod recent;
mod runtime_config;
mod service;
mod shutdown;
mod slot;
mod stuck;
mod submit;
mod submitter;

pub(crate) use self::{
    core::{FlowSpec, LaneLeft},
    flow_handle::FlowHandle,
    stuck::Reported,
    submitter::RememberedLane,
};
pub use batch::{MAX_BATCH, Received};
#[cfg(all(any(test, fuzzing, feature = "test-util"), not(any(loom, shuttle))))]
pub(crate) use drain::as_another_thread;
pub use drain::queue_delay;
pub use execute::{Execute, Refused};
pub use handler::MessageHandler;
pub use recent::RecentMessage;
pub use service::PeerService;
pub use slot::Slot;
pub use submitter::Submitter;

/// The heaviest that a peer can be made.
pub const MAX_WEIGHT: u32 = 1_000;

/// All that serves one flow: its name, its counters, its threads and its bound.
///
/// At most [`max_inflight_requests`](FlowConfig::max_inflight_requests) messages are admitted and
/// not yet finished. Handlers run on the flow's own threads ([`FlowName`] says what they are called), which
/// belong to a rayon pool. Each peer has a lane of its own, with a quota; lanes are served in turn.
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
///     move |peer: &NodeId, message: &'static str| sender.send((*peer, message)).unwrap(),
/// )?;
/// let peer = NodeId::new([7; 32]);
/// # futures_executor::block_on(async {
/// flow.execute(peer, "hello").await.expect("the flow is open");
/// # });
/// assert_eq!(receiver.recv(), Ok((peer, "hello")));
/// # Ok::<(), gossip_engine::BuildError>(())
/// ```
///
/// # Alone, or in an engine
///
/// An [`Engine`](crate::Engine) has several and adds what takes more than one: peers that come and go in order, notices
/// of what was dropped. Five of them make up an
/// [`AsyncTransportEventHandlerImpl`](crate::AsyncTransportEventHandlerImpl). A flow alone counts its drops and
/// notifies nobody. Its registry lacks the events that an engine counts, so check its counts by
/// [`FlowSnapshot::verify`](crate::FlowSnapshot::verify).
///
/// # Dropping
///
/// Dropping the worker closes the flow and does not wait: submitters that wait are refused, what was
/// admitted still runs, and then the threads end. [`shutdown`](Self::shutdown) waits for that.
pub struct FlowWorker<M: Send + 'static, K: PeerKey = NodeId> {
    inner: FlowHandle<M, K>,
    /// Where the events of its engine are counted, whose users call it directly.
    events: Option<MetricsRegistry>,
    /// Its own, unless it belongs to an engine, which has one for all flows.
    _watch: Option<Watch>,
}

impl<M: Send + 'static, K: PeerKey> FlowWorker<M, K> {
    /// Builds the flow and starts its threads, and one more that looks at it every
    /// [`WATCH_PERIOD`](crate::WATCH_PERIOD).
    ///
    /// # Errors
    ///
    /// [`BuildError::Config`] if `config` is out of range or [no flow](FlowName) can have the name,
    /// [`BuildError::Threads`] or [`BuildError::WatchThread`] if the system gives no threads.
    pub fn new(
        flow: impl Into<FlowName>,
        config: &FlowConfig,
        registry: &MetricsRegistry,
        handler: impl MessageHandler<M, K>,
    ) -> Result<Self, BuildError> {
        let flow = flow.into();
        flow.validate()?;
        let spec = FlowSpec::new(flow, config, registry);
        let mut worker = Self::of_engine(spec, handler, None)?;
        let core: Weak<core::Core<M, K>> = Arc::downgrade(&worker.inner);
        worker._watch = Some(Watch::start(core)?);
        Ok(worker)
    }

    /// The flow's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.inner.name
    }

    /// Submits a message of a peer.
    ///
    /// If there is capacity and nobody waits for it, the message is admitted before this returns, and the future is
    /// ready. Otherwise the flow's [`OverloadPolicy`](crate::OverloadPolicy) decides. By default the message waits: the
    /// wait is counted (`waiting_for_peer_permit`), and the future resolves when the message has been admitted. The
    /// messages of one peer are admitted in the order of the calls, whether their futures are polled or not. To submit
    /// many messages of one peer at less cost, use a [`submitter`](Self::submitter).
    ///
    /// `Ok` says whether the message was [admitted](crate::Submitted::Admitted) or the policy has
    /// [dropped](crate::Submitted::Dropped) it. It does not mean that the message has run.
    ///
    /// A thread without an executor waits by [`Execute::wait`]. To learn at once whether there is capacity, use
    /// [`try_execute`](Self::try_execute).
    ///
    /// # Errors
    ///
    /// The future resolves to [`Refused`], with the message, for any of the
    /// [`RefusalReason`](crate::RefusalReason)s.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped at any time. A message that waits is dropped with it, counted as
    /// [`WaitCancelled`](crate::Outcome::WaitCancelled), and takes no capacity; one that was admitted runs.
    ///
    /// # Whose code runs here
    ///
    /// Where there is no capacity, the policy may drop the peer's oldest message, or compare the message with those
    /// that it may supersede. This call may then let in up to 64 waiting submitters. The `Drop` of what is dropped,
    /// [`supersedes`](MessageHandler::supersedes) and the submitters' wakers run on the caller's thread.
    pub fn execute(&self, peer: impl Borrow<K>, message: M) -> Execute<M, K> {
        self.execute_sized(peer, message, size_of::<M>())
    }

    /// Like [`execute`](Self::execute), for a message of `bytes` bytes, where the flow is
    /// [bounded in bytes](FlowConfig::with_max_bytes). `execute` takes the size of the message's type instead. 0 counts
    /// as 1. More than 4 GiB count as 4 GiB, so a larger message is charged too little.
    ///
    /// # Errors
    ///
    /// As for [`execute`](Self::execute).
    ///
    /// # Cancel safety
    ///
    /// As for [`execute`](Self::execute).
    pub fn execute_sized(&self, peer: impl Borrow<K>, message: M, bytes: usize) -> Execute<M, K> {
        self.count_events(1);
        Execute::of(self.inner.submit(None, peer.borrow(), message, bytes, true), &self.inner)
    }

    /// Returns a submitter of many messages of this peer, at less cost each than [`execute`](Self::execute).
    #[must_use]
    pub fn submitter(&self, peer: impl Borrow<K>) -> Submitter<'_, M, K> {
        Submitter::new(Holder::Borrows(self), peer.borrow())
    }

    /// Like [`submitter`](Self::submitter), for a task or a thread that outlives the caller: it keeps the flow.
    #[must_use]
    pub fn submitter_owned(self: Arc<Self>, peer: impl Borrow<K>) -> Submitter<'static, M, K> {
        Submitter::new(Holder::Owns(self), peer.borrow())
    }

    /// Returns a tower service for messages of this peer, which is ready when it holds capacity for one.
    #[must_use]
    pub fn service(self: Arc<Self>, peer: impl Borrow<K>) -> PeerService<M, K> {
        PeerService::new(self, peer.borrow().clone())
    }

    /// Cancels the messages of a peer that has gone. Those that are queued do not start and are counted as
    /// [`Cancelled`](crate::Outcome::Cancelled). Its submitters that wait are refused
    /// ([`RefusalReason::Disconnected`](crate::RefusalReason::Disconnected)). Its handlers that run go on. A message
    /// that is submitted later belongs to a new connection.
    ///
    /// The `Drop` of the queued messages runs on the caller's thread. A worker may have taken up to 31 more together
    /// with the one that runs; it drops these itself.
    pub fn cancel_peer(&self, peer: impl Borrow<K>) {
        let _ = self.cancel(peer.borrow());
    }

    /// Sets the weight of a peer, which is its share of the flow's time: 1, the default, to [`MAX_WEIGHT`]. 0 counts as
    /// 1, and more than the maximum as the maximum. A peer of weight 3 gets three times the time of one of weight 1, as
    /// long as both have messages. The weight holds from the next turn on, also for later connections, until it is set
    /// to 1.
    ///
    /// Returns false if [`max_peers`](FlowConfig::with_max_peers) others already have a weight other than 1. Nothing
    /// changes then.
    #[must_use = "the weight may not have been set"]
    pub fn set_peer_weight(&self, peer: impl Borrow<K>, weight: u32) -> bool {
        self.inner.queue.set_weight(peer.borrow(), weight.clamp(1, MAX_WEIGHT))
    }

    /// Admits a message of a peer if there is capacity and nobody of this peer waits for it. The message never
    /// waits, and no policy drops it or another for it: it comes back. Under
    /// [`KeepLatest`](crate::OverloadPolicy::KeepLatest) it may take the place of one that it supersedes.
    ///
    /// # Errors
    ///
    /// [`Refused`], with the message: [`RefusalReason::Full`](crate::RefusalReason::Full) if there is no capacity, or
    /// another of the [`RefusalReason`](crate::RefusalReason)s. Each refusal is counted.
    pub fn try_execute(&self, peer: impl Borrow<K>, message: M) -> Result<(), Refused<M>> {
        self.try_execute_sized(peer, message, size_of::<M>())
    }

    /// Like [`try_execute`](Self::try_execute), for a message of `bytes` bytes, as
    /// [`execute_sized`](Self::execute_sized) is.
    ///
    /// # Errors
    ///
    /// As for [`try_execute`](Self::try_execute).
    pub fn try_execute_sized(
        &self,
        peer: impl Borrow<K>,
        message: M,
        bytes: usize,
    ) -> Result<(), Refused<M>> {
        self.count_events(1);
        self.inner.try_submit(peer.borrow(), message, bytes)
    }

    /// Changes the flow's configuration while messages flow. The change holds for every message that is submitted or
    /// taken up from then on. What was admitted under a larger bound stays admitted. Where a bound has grown, waiting
    /// submitters are let in at once.
    ///
    /// What can change: the bounds in messages and bytes, of the flow and of each peer; quantum, wait strategy,
    /// overload policy, maximum age and panic policy. What cannot: `threads`, `peer_threads`, `forking_handlers`,
    /// `core_affinity`, `max_peers` and `max_waiters`. A bound in bytes that is set while messages are in flight counts
    /// only those that come later.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if a figure is out of range or cannot change; the flow is unchanged.
    pub fn reconfigure(&self, config: &FlowConfig) -> Result<(), ConfigError> {
        self.inner.validate_change(config)?;
        self.inner.reconfigure(config);
        Ok(())
    }

    /// Gives the flow another handler while messages flow: it runs every message that no worker has
    /// taken up. The flow lets go of the old one when the last worker that runs it has ended its run. After a
    /// [shutdown](Self::shutdown) that has ended the threads there is nothing to run, and it takes none.
    pub fn replace_handler(&self, handler: impl MessageHandler<M, K>) {
        drop(self.exchange_handler(handler));
    }

    /// How many lanes are remembered for what was dropped of them.
    #[cfg(all(test, not(any(loom, shuttle))))]
    pub(crate) fn drops_listed(&self) -> usize {
        self.inner.drops.listed()
    }

    /// What the flow has counted so far.
    #[must_use]
    pub fn snapshot(&self) -> FlowSnapshot {
        self.inner.ledger.snapshot()
    }

    /// The last messages that the flow's threads have taken, up to 4 095 of each thread, and what became of them; the
    /// oldest first. Those that run are not among them. Read it with a [snapshot](Self::snapshot) when something is
    /// wrong: it shows whose messages have taken the flow's time, and which the
    /// threads have let go. A peer that has departed since has no name in it.
    ///
    /// It stops no worker. It looks up each peer once, and takes about 200 bytes for each message.
    #[must_use]
    pub fn recent(&self) -> Vec<RecentMessage<K>> {
        self.inner.recent()
    }

    /// Refuses every later message and all who wait. What was admitted still runs.
    pub fn close(&self) {
        self.inner.close();
    }

    /// Closes the flow, lets what was admitted run until the deadline, drops and counts what has not
    /// started by then, ends the threads and says what was left.
    ///
    /// Returns when all is done. Blocks the caller for `deadline` at the most, or up to a second longer if the threads
    /// have nothing left to run and still do not end. A handler that is stuck beyond that goes on alone, on a thread
    /// that is not joined. The report counts it as running, together with up to 31 messages that its worker has taken;
    /// they are dropped when it returns. Called again, this reports what is left by then.
    ///
    /// When the threads have ended the flow lets go of the handler, which may own the flow.
    ///
    /// Called on a thread of a flow, this one or another, or by a waker or the `Drop` of a message that a flow calls,
    /// it closes the flow and returns at once. Its report is not clean. What was admitted still runs; call it again
    /// from elsewhere to wait for that.
    pub fn shutdown(&self, deadline: Duration) -> FlowReport {
        self.shut_down_by(instant_after(deadline))
    }

    pub(crate) fn shut_down_by(&self, deadline: Instant) -> FlowReport {
        let report = self.inner.shut_down(deadline);
        if report.joined {
            // It may own what owns this flow.
            self.inner.release_handler();
        }
        report
    }
}

impl<M: Send + 'static, K: PeerKey> core::Core<M, K> {
    /// Logs each handler that has run for longer than `limit`, once, with what its worker has run before, and
    /// [stands in](core::Core::stand_in) for its worker; sees how many messages are in flight.
    fn look(&self, limit: Duration, reported: &mut Reported) {
        self.find_stuck(limit, reported, |worker, peer, runs| {
            let before = self.last_turns(worker);
            // The subscriber is the user's code.
            contain(|| {
                tracing::warn!(flow = self.name, %peer, ?runs, %before, "a handler is stuck");
            });
        });
        self.ledger.look_at_excess(self.now(), || self.queue.in_flight() == 0);
        self.stand_in();
        self.revoke_idle_permits();
        self.ledger.look_at_in_flight(self.queue.least_in_flight());
    }
}

impl<M: Send + 'static, K: PeerKey> Watched for core::Core<M, K> {
    type Known = Reported;

    fn look(&self, known: &mut Reported) {
        self.look(crate::config::DEFAULT_STUCK_HANDLER_TIMEOUT, known);
    }

    fn is_over(&self) -> bool {
        self.is_released()
    }
}

impl<M: Send + 'static, K: PeerKey> fmt::Debug for FlowWorker<M, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let queue = &self.inner.queue;
        f.debug_struct("FlowWorker")
            .field("name", &self.inner.name)
            .field("in_flight", &queue.in_flight())
            .field("waiting", &queue.waiting())
            .field("closed", &queue.is_closed())
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;
