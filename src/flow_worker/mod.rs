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
//! | [`peers`] | who has a lane, and how a message finds it |
//! | [`lane`] | one peer's queue and quota |
//! | [`admission`] | who comes in, and who waits in which [`line`]; in `settle`, in which turn they are let in, with the proof |
//! | [`lane_set`] | which lanes have messages |
//! | [`claims`] | that a worker runs whenever there is something to do; proof |
//! | [`drain`] | what a worker does: the turns of lanes, the run of a message, idling |
//! | [`parking`] | where a worker may sleep |
//! | [`pool`] | the threads |
//! | [`core`] | all of it put together |
//! | [`execute`] | the future of a message that was brought |
//!
//! Words that are written with every message, by more than one side: none, but for the slots of the
//! queues. By all submitters: the
//! flow's and the lane's count of what has entered, which bound them, and the tail of the lane's queue.
//! By all workers: the lane's count of what has left, and the head of its queue. Each worker's
//! counters and histograms are its own.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use self::{
    core::{Core, Outcome},
    drain::handlers_on_this_thread,
    pool::Threads,
};
use crate::{
    BuildError, FlowConfig, FlowReport, FlowType, MetricsRegistry, NodeId, Order, RefusalReason,
    clock::Moment,
    metrics::{FlowMetrics, FlowSnapshot},
    panics::PanicLog,
};

mod admission;
mod claims;
mod core;
mod drain;
mod execute;
mod lane;
mod lane_set;
mod line;
mod parking;
mod peers;
mod pool;

pub(crate) use core::Handle;
pub use execute::{Execute, Refused};

/// How long a shutdown waits beyond its deadline for threads that have nothing left to run.
const JOIN_GRACE: Duration = Duration::from_secs(1);

/// What a flow does with a message of a peer.
///
/// Every `Fn(NodeId, M)` that may be shared between threads is one. It runs on several threads at the
/// same time, unless the flow has one; for the messages of one peer, see [`Order`].
pub trait MessageHandler<M>: Send + Sync + 'static {
    /// Runs one message, on a thread of the flow.
    fn handle(&self, peer: NodeId, message: M);
}

impl<M, F: Fn(NodeId, M) + Send + Sync + 'static> MessageHandler<M> for F {
    fn handle(&self, peer: NodeId, message: M) {
        self(peer, message);
    }
}

/// Runs the messages of peers, as the core of a flow wants it.
pub(crate) struct OfPeers<H>(H);

impl<M, H: MessageHandler<M>> Handle<M> for OfPeers<H> {
    fn handle(&self, peer: NodeId, message: M) {
        self.0.handle(peer, message);
    }
}

/// Owns a flow: when it is dropped, the flow closes, what was admitted still runs, and the threads end.
pub(crate) struct Flow<M: Send + 'static, H: Handle<M>> {
    core: Arc<Core<M, H>>,
}

impl<M: Send + 'static, H: Handle<M>> Flow<M, H> {
    /// Builds a flow and registers its metrics; `flow` is `None` for the adverts on their way out,
    /// which are withheld until [`open`](Self::open).
    pub(crate) fn new(
        flow: Option<FlowType>,
        config: &FlowConfig,
        registry: &MetricsRegistry,
        handler: H,
    ) -> Result<Self, BuildError> {
        let name = flow.map_or("Broadcast", FlowType::name);
        config.validate(name)?;
        let config = match flow {
            Some(FlowType::Transport) => config.with_order(Order::PerPeer),
            _ => *config,
        };
        // The clock's first reading calibrates it, which no message should wait for.
        Moment::now();
        let metrics = Arc::new(FlowMetrics::new(config.max_inflight_requests(), config.threads()));
        let panics = Arc::new(PanicLog::new(name));
        let stray_panic = {
            let (metrics, panics) = (Arc::clone(&metrics), Arc::clone(&panics));
            move |payload| {
                metrics.stray_panic();
                panics.report(payload);
            }
        };
        let threads = format!("P2P_{name}_Thread");
        let pool = Threads::new(&threads, config.threads(), config.first_core(), stray_panic)
            .map_err(|source| BuildError::Threads { flow: name, source })?;
        registry.register(flow, &metrics);
        let withheld = flow.is_none();
        let core = Arc::new(Core::new(name, &config, withheld, panics, metrics, pool, handler));
        Ok(Self { core })
    }

    pub(crate) fn handler(&self) -> &H {
        &self.core.handler
    }

    /// Makes the lane of a peer before its first message.
    pub(crate) fn seat(&self, peer: NodeId) {
        self.core.peers.find_or_seat(peer);
    }

    /// Admits a message if there is room; nobody waits.
    pub(crate) fn try_admit(&self, peer: NodeId, message: M) -> Result<(), (M, RefusalReason)> {
        match self.core.bring(peer, message, false) {
            Outcome::Admitted => Ok(()),
            Outcome::Waits(..) => unreachable!("it may not wait"),
            Outcome::Refused(message, reason) => Err((message, reason)),
        }
    }

    /// Lets a flow run that was built withheld. To be called once.
    pub(crate) fn open(&self) {
        self.core.open();
    }

    /// Refuses every later message and all who wait.
    pub(crate) fn close(&self) {
        self.core.close();
    }

    /// Closes the flow, waits for what was admitted if it `runs`, drops the rest and ends the
    /// threads.
    pub(crate) fn shut_down(&self, runs: bool, deadline: Instant) -> FlowReport {
        self.close();
        let Core { metrics, threads, .. } = &*self.core;
        let inside = threads.is_current();
        // The handlers below this call on the stack end after it, so it cannot wait for them.
        let (beside, behind) = if inside { self.core.runs_beside_handlers() } else { (true, 0) };
        if runs && beside {
            let own = if inside { handlers_on_this_thread() } else { 0 };
            metrics.wait_for_last(own, deadline);
        }
        let dropped = behind + self.core.abandon();
        let running = metrics.in_flight();
        threads.release();
        let grace = if running == 0 { JOIN_GRACE } else { Duration::ZERO };
        let joined = !inside && threads.join(deadline.max(Instant::now() + grace));
        FlowReport { dropped, running, joined }
    }
}

impl<M: Send + 'static, H: Handle<M>> Drop for Flow<M, H> {
    fn drop(&mut self) {
        // The threads go with the core, when the last drain job lets go of it.
        self.close();
    }
}

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
        let inner = Flow::new(Some(flow), config, registry, OfPeers(handler))?;
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
    /// the future is ready. Otherwise the wait is counted (`waiting_for_peer_permit`) and the
    /// future resolves when the message has been admitted. The messages of one peer are
    /// admitted in the order of the calls, whether their futures are polled or not. Admitted means that the message will run,
    /// unless the flow is [shut down](Self::shutdown) before it starts; it does not mean that it has
    /// run.
    ///
    /// # Errors
    ///
    /// The future resolves to [`Refused`], with the message, if the flow is closed, too many of the
    /// peer's submitters wait, or too many other peers have messages.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped at any time. A message that waits is dropped with it, counted as
    /// given up, and takes no room; one that was admitted runs.
    pub fn execute(&self, node_id: NodeId, message: M) -> Execute<M, H> {
        let core = &self.inner.core;
        match core.bring(node_id, message, true) {
            Outcome::Admitted => Execute::admitted(),
            Outcome::Waits(lane, place) => Execute::waiting(Arc::downgrade(core), lane, place),
            Outcome::Refused(message, reason) => Execute::refused(message, reason),
        }
    }

    /// The peer has gone: its lane goes as soon as it is empty. What is in it still runs; a later
    /// message brings a new lane.
    pub fn forget_peer(&self, node_id: NodeId) {
        self.inner.core.forget(node_id);
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
    /// threads. In a flow that is in order per peer, what is queued of the handler's own peer is dropped at
    /// once; in one whose threads are all taken by the handlers below the call, everything queued is. The
    /// report of such a call is never clean: the calling handler counts as running.
    /// Two handlers that shut the same flow down at the same time wait for each other until the
    /// deadline.
    pub fn shutdown(&self, deadline: Duration) -> FlowReport {
        self.shut_down_by(instant_after(deadline))
    }

    pub(crate) fn shut_down_by(&self, deadline: Instant) -> FlowReport {
        self.inner.shut_down(true, deadline)
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

/// The moment that is `duration` from now; one that no clock can name counts as a year.
pub(crate) fn instant_after(duration: Duration) -> Instant {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
    let now = Instant::now();
    now.checked_add(duration).unwrap_or_else(|| now + YEAR)
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;

#[cfg(all(test, shuttle))]
mod schedules;
