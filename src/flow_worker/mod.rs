//! One flow: its bound, its threads and its counters.
//!
//! ```text
//!  execute ─▶ permits ──▶ queue ──▶ claims ──▶ pool ──▶ drain ──▶ handler
//!             (line)                (ready)
//!                ▲                                         │
//!                └─────────── permit comes back ───────────┘
//! ```
//!
//! [`permits`] bound what is in flight and let submitters wait in order; [`drain`] holds the queue
//! and the job that runs it; [`ready`] proves that the job runs whenever there is something to do;
//! [`pool`] owns the threads.

use std::{
    fmt,
    marker::PhantomData,
    sync::Arc,
    time::{Duration, Instant},
};

use self::{drain::Core, permits::Attempt, pool::Pool};
use crate::{
    BuildError, FlowConfig, FlowReport, FlowType, MetricsRegistry, NodeId, RefusalReason,
    metrics::{FlowLoad, FlowMetrics, FlowSnapshot},
};

mod drain;
mod execute;
mod line;
mod permits;
mod pool;
mod ready;

pub(crate) use drain::{Handle, panic_text};
pub use execute::{Execute, Refused};

/// How long a shutdown waits beyond its deadline for threads that have nothing left to run.
const JOIN_GRACE: Duration = Duration::from_secs(1);

/// What a flow does with a message of a peer.
///
/// Every `Fn(NodeId, M)` that may be shared between threads is one.
pub trait MessageHandler<M>: Send + Sync + 'static {
    /// Runs one message; called on the flow's threads, by several at the same time.
    fn handle(&self, peer: NodeId, message: M);
}

impl<M, F: Fn(NodeId, M) + Send + Sync + 'static> MessageHandler<M> for F {
    fn handle(&self, peer: NodeId, message: M) {
        self(peer, message);
    }
}

/// Runs the messages of peers, as the core of a flow wants it.
pub(crate) struct OfPeers<H>(H);

impl<M, H: MessageHandler<M>> Handle<(NodeId, M)> for OfPeers<H> {
    fn handle(&self, (peer, message): (NodeId, M)) {
        self.0.handle(peer, message);
    }
}

/// The parts of a flow, shared by its owner and by the futures that wait for room.
pub(crate) struct Inner<M: Send + 'static, H: Handle<M>> {
    core: Arc<Core<M, H>>,
    pool: Pool,
}

impl<M: Send + 'static, H: Handle<M>> Inner<M, H> {
    /// Builds a flow and registers its metrics; `flow` is `None` for the adverts on their way out.
    pub(crate) fn new(
        flow: Option<FlowType>,
        name: &'static str,
        config: &FlowConfig,
        withheld: bool,
        registry: &MetricsRegistry,
        handler: H,
    ) -> Result<Self, BuildError> {
        config.validate(name)?;
        // Peers come and go in their order, so their events run one at a time.
        let workers = if flow == Some(FlowType::Transport) { 1 } else { config.threads() };
        let pool = Pool::new(&format!("P2P_{name}_Thread"), config.threads())
            .map_err(|source| BuildError::Threads { flow: name, source })?;
        let metrics = Arc::new(FlowMetrics::new(config.threads()));
        let core =
            Arc::new(Core::new(name, config, workers, withheld, Arc::clone(&metrics), handler));
        let load: std::sync::Weak<Core<M, H>> = Arc::downgrade(&core);
        registry.register(flow, metrics, load);
        Ok(Self { core, pool })
    }

    pub(crate) fn core(&self) -> &Core<M, H> {
        &self.core
    }

    fn admit(&self, message: M, arrived: Instant) {
        self.core.push(&self.pool, message, arrived);
    }

    /// Admits a message if there is room; nobody waits.
    pub(crate) fn try_admit(&self, message: M) -> Result<(), (M, RefusalReason)> {
        let arrived = Instant::now();
        let reason = match self.core.permits.try_acquire() {
            Attempt::Acquired => {
                self.admit(message, arrived);
                return Ok(());
            }
            Attempt::Full => RefusalReason::TooManyWaiters,
            Attempt::Closed => RefusalReason::Closed,
        };
        self.core.metrics.refused(reason);
        Err((message, reason))
    }

    /// Lets a flow run that was built withheld. To be called once.
    pub(crate) fn open(&self) {
        self.core.open(&self.pool);
    }

    /// Refuses every later message and all who wait.
    pub(crate) fn close(&self) {
        self.core.permits.close();
    }

    pub(crate) fn shut_down(&self, runs: bool, deadline: Instant) -> FlowReport {
        self.core.permits.close();
        let own = usize::from(self.pool.is_current());
        if runs {
            self.core.wait_for_last(own, deadline);
        }
        let dropped = self.core.abandon();
        let running = self.core.permits.in_flight();
        let mut joined = false;
        if own == 0 {
            let grace = if running == 0 { JOIN_GRACE } else { Duration::ZERO };
            joined = self.pool.end(deadline.max(Instant::now() + grace));
        }
        FlowReport { dropped, running, joined }
    }
}

/// All that serves one flow: its name, its counters, its threads and its bound.
///
/// At most [`max_inflight_requests`](FlowConfig::max_inflight_requests) messages are admitted and
/// not yet finished. Handlers run on the flow's own threads (`P2P_Advert_Thread` and the like), which
/// belong to a rayon pool, so that a handler may use `rayon::join` and gets idle threads as helpers.
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
    inner: Arc<Inner<(NodeId, M), OfPeers<H>>>,
    flow: FlowType,
    message: PhantomData<fn(M)>,
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
        let inner = Inner::new(Some(flow), flow.name(), config, false, registry, OfPeers(handler))?;
        Ok(Self { inner: Arc::new(inner), flow, message: PhantomData })
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
    /// future resolves when the message is admitted. Room is given to those who wait in the order of
    /// their calls; a message takes the room that it was given when its future is polled next, and
    /// until then, as with every semaphore, nobody else gets it. Admitted means that the message will run, unless the flow is
    /// [shut down](Self::shutdown) before it starts; it does not mean that it has run.
    ///
    /// # Errors
    ///
    /// The future resolves to [`Refused`], with the message, if the flow is closed or too many wait.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped at any time. A message that waits is dropped with it, counted as
    /// given up, and takes no room; one that was admitted runs.
    pub fn execute(&self, node_id: NodeId, message: M) -> Execute<M, H> {
        let arrived = Instant::now();
        let core = &self.inner.core;
        match core.permits.try_acquire() {
            Attempt::Acquired => {
                self.inner.admit((node_id, message), arrived);
                Execute::admitted()
            }
            Attempt::Full => match core.permits.join() {
                Ok(place) => {
                    core.metrics.waited();
                    Execute::waiting(Arc::clone(&self.inner), place, (node_id, message), arrived)
                }
                Err(reason) => self.refuse(message, reason),
            },
            Attempt::Closed => self.refuse(message, RefusalReason::Closed),
        }
    }

    fn refuse(&self, message: M, reason: RefusalReason) -> Execute<M, H> {
        self.inner.core.metrics.refused(reason);
        Execute::refused(message, reason)
    }

    /// What the flow has counted so far.
    #[must_use]
    pub fn snapshot(&self) -> FlowSnapshot {
        self.inner.core.metrics.snapshot(Some(&*self.inner.core as &dyn FlowLoad))
    }

    /// Refuses every later message and all who wait. What was admitted still runs.
    pub fn close(&self) {
        self.inner.close();
    }

    /// Closes the flow, lets what was admitted run until the deadline, drops and counts what has not
    /// started by then, ends the threads and says what was left.
    ///
    /// Blocks the caller for `deadline`, or a second longer if the threads have nothing to run and
    /// still do not end. A handler that is stuck beyond that goes on alone, on a thread that is not
    /// joined; nothing starts after it. Called from one of the flow's own handlers, it does not
    /// wait for that handler and joins no thread. Called again, it reports what is left by then.
    pub fn shutdown(&self, deadline: Duration) -> FlowReport {
        self.shut_down_by(instant_after(deadline))
    }

    pub(crate) fn shut_down_by(&self, deadline: Instant) -> FlowReport {
        self.inner.shut_down(true, deadline)
    }
}

impl<M: Send + 'static, H: MessageHandler<M>> Drop for FlowWorker<M, H> {
    fn drop(&mut self) {
        self.close();
    }
}

impl<M: Send + 'static, H: MessageHandler<M>> fmt::Debug for FlowWorker<M, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let permits = &self.inner.core.permits;
        f.debug_struct("FlowWorker")
            .field("flow", &self.flow)
            .field("in_flight", &permits.in_flight())
            .field("waiting", &permits.waiting())
            .field("closed", &permits.is_closed())
            .finish_non_exhaustive()
    }
}

/// The moment that is `duration` from now; one that no clock can name counts as a year.
pub(crate) fn instant_after(duration: Duration) -> Instant {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
    let now = Instant::now();
    now.checked_add(duration).unwrap_or_else(|| now + YEAR)
}

#[cfg(all(test, not(loom)))]
mod tests;
