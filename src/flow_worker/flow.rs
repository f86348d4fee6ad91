//! A flow's beginning and its end.

use std::{
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use super::{
    MessageHandler,
    brought::Decision,
    core::{Core, Handle, Parts},
    drain::handlers_on_this_thread,
    pool::{Spawn, Threads},
    welcome::Welcomes,
};
use crate::{
    BuildError, FlowConfig, FlowReport, FlowType, MetricsRegistry, NodeId, Order, Outcome,
    RefusalReason, clock::Moment, metrics::FlowMetrics, panics::PanicLog,
};

/// How long a shutdown waits beyond its deadline for threads that have nothing left to run.
const JOIN_GRACE: Duration = Duration::from_secs(1);

/// The configuration with what a flow of this kind always has.
pub(super) fn of_its_kind(flow: FlowType, config: &FlowConfig) -> FlowConfig {
    match flow {
        FlowType::Transport => config.with_order(Order::PerPeer),
        _ => *config,
    }
}

/// Runs the messages of peers, as the core of a flow wants it.
pub(crate) struct OfPeers<H>(pub(super) H);

impl<M, H: MessageHandler<M>> Handle<M> for OfPeers<H> {
    fn handle(&self, peer: NodeId, message: M) {
        self.0.handle(peer, message);
    }

    fn failed(&self, peer: NodeId) {
        self.0.failed(peer);
    }
}

/// Owns a flow: when it is dropped, the flow closes, what was admitted still runs, and the threads end.
pub(crate) struct Flow<M: Send + 'static, H: Handle<M>> {
    pub(super) core: Arc<Core<M, H>>,
}

impl<M: Send + 'static, H: Handle<M>> Flow<M, H> {
    /// Builds a flow and registers its metrics; `flow` is `None` for the adverts on their way out,
    /// which are withheld until [`open`](Self::open).
    pub(crate) fn new(
        flow: Option<FlowType>,
        config: &FlowConfig,
        registry: &MetricsRegistry,
        handler: H,
        welcomes: Option<Arc<Welcomes>>,
    ) -> Result<Self, BuildError> {
        let name = flow.map_or("Broadcast", FlowType::name);
        config.validate_as(name)?;
        let config = flow.map_or(*config, |flow| of_its_kind(flow, config));
        // The clock's first reading calibrates it, which no message should wait for.
        Moment::now();
        let metrics = Arc::new(FlowMetrics::new(&config));
        let panics = Arc::new(PanicLog::new(name));
        let stray_panic = {
            let (metrics, panics) = (Arc::clone(&metrics), Arc::clone(&panics));
            move |payload| {
                metrics.stray_panic();
                panics.report(payload);
            }
        };
        let threads = format!("P2P_{name}_Thread");
        let pool = Threads::new(&threads, config.threads(), config.core_affinity(), stray_panic)
            .map_err(|source| BuildError::Threads { flow: name, source })?;
        registry.register(flow, &metrics);
        let withheld = flow.is_none();
        let parts = Parts {
            name,
            withheld,
            tells_losses: welcomes.is_some(),
            welcomes: welcomes.unwrap_or_default(),
            panics,
            metrics: Arc::clone(&metrics),
            threads: pool,
            handler,
        };
        let core = Arc::new(Core::new(&config, parts));
        let gauges: Weak<Core<M, H>> = Arc::downgrade(&core);
        metrics.observe(gauges);
        Ok(Self { core })
    }

    pub(crate) fn with_handler<R>(&self, use_it: impl FnOnce(&H) -> R) -> R {
        use_it(&self.core.live.load_full().handler)
    }

    /// Makes the lane of a peer before its first message.
    pub(crate) fn seat(&self, peer: NodeId) {
        self.core.seat(peer);
    }

    /// Admits a message if there is room; nobody waits.
    pub(crate) fn try_admit(&self, peer: NodeId, message: M) -> Result<(), (M, RefusalReason)> {
        match self.core.bring(peer, message, size_of::<M>(), false) {
            Decision::Admitted => Ok(()),
            Decision::Waits(..) | Decision::Dropped => unreachable!("it is admitted or refused"),
            Decision::Refused(message, reason) => Err((message, reason)),
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
        // Workers that were about to begin a message drop it, too.
        let before = metrics.count(Outcome::DroppedAtShutdown) - behind as u64;
        self.core.abandon();
        threads.release();
        let grace = if metrics.in_flight() == 0 { JOIN_GRACE } else { Duration::ZERO };
        let joined = !inside && threads.join(deadline.max(Instant::now() + grace));
        let dropped = (metrics.count(Outcome::DroppedAtShutdown) - before) as usize;
        FlowReport { dropped, running: metrics.in_flight(), joined }
    }
}

impl<M: Send + 'static, H: Handle<M>> Drop for Flow<M, H> {
    fn drop(&mut self) {
        // The threads go with the core, when the last drain job lets go of it.
        self.close();
    }
}
