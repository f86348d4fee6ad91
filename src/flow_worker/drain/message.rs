//! What a worker does with one message: it looks whether it may start still, runs it, and gives its room
//! back, whatever becomes of it.

use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use super::{BRIEF, Shift, WAKE_WITHIN};
use crate::{
    Outcome, PanicPolicy,
    clock::Moment,
    flow_worker::{
        brought::Brought,
        core::{Core, Handle},
        lane::Lane,
        line::Decided,
        live::Live,
        pool::Spawn,
    },
    metrics::WorkerMetrics,
    panics::contain,
    sync::{Ordering, thread_local},
};

/// The wait outside of handlers: none is as long as this.
const NOT_HANDLING: u64 = u64::MAX;

thread_local! {
    /// How many handlers are on the stack of this thread.
    pub(super) static HANDLERS: Cell<usize> = const { Cell::new(0) };
    /// A drain job of this thread runs what handlers wait for.
    pub(super) static HELPS: Cell<bool> = const { Cell::new(false) };
    /// The seat of the lane whose handler is the innermost of them.
    pub(super) static SEAT: Cell<usize> = const { Cell::new(usize::MAX) };
    /// How long its message has waited, in nanoseconds.
    pub(super) static WAITED: Cell<u64> = const { Cell::new(NOT_HANDLING) };
}

/// How long the message has waited that the calling handler runs, from its submitter's call to the
/// handler's start, waiting for room included; `None` outside of handlers, and on other threads that help
/// one.
///
/// A handler asks when what it has to judge depends on time: a peer is not to be blamed for an answer that
/// was late only because it was queued here.
///
/// ```
/// use std::{sync::mpsc, time::Duration};
/// use gossip_engine::{FlowConfig, FlowType, FlowWorker, MetricsRegistry, NodeId, queue_delay};
///
/// let (sender, receiver) = mpsc::channel();
/// let handler = move |_: NodeId, (): ()| sender.send(queue_delay()).unwrap();
/// let registry = MetricsRegistry::new();
/// let flow = FlowWorker::new(FlowType::Chunk, &FlowConfig::new(1), &registry, handler)?;
/// # futures_executor::block_on(async {
/// flow.execute(NodeId::new([1; 32]), ()).await.expect("the flow is open");
/// # });
/// assert!(receiver.recv().unwrap().is_some_and(|waited| waited < Duration::from_secs(60)));
/// assert_eq!(queue_delay(), None);
/// # Ok::<(), gossip_engine::BuildError>(())
/// ```
#[must_use]
pub fn queue_delay() -> Option<Duration> {
    let waited = WAITED.get();
    (waited != NOT_HANDLING).then(|| Duration::from_nanos(waited))
}

/// Runs something as if it were on another thread.
#[cfg(all(any(test, fuzzing), not(any(loom, shuttle))))]
pub(crate) fn as_another_thread(run: impl FnOnce()) {
    let (handlers, helps) = (HANDLERS.replace(0), HELPS.replace(false));
    let (seat, waited) = (SEAT.replace(usize::MAX), WAITED.replace(NOT_HANDLING));
    run();
    HANDLERS.set(handlers);
    HELPS.set(helps);
    SEAT.set(seat);
    WAITED.set(waited);
}

/// How many handlers are on the stack of this thread.
pub(in crate::flow_worker) fn handlers_on_this_thread() -> usize {
    HANDLERS.get()
}

/// Whether a drain job on this thread would hold up a handler, or one that spins.
pub(super) fn is_on_top() -> bool {
    HANDLERS.get() > 0 || HELPS.get()
}

impl<M: Send + 'static, H: Handle<M>, S: Spawn> Core<M, H, S> {
    /// Runs one message, if it may start still. When it ended is when the next one begins, so that a
    /// message costs one look at the clock here.
    pub(super) fn run(
        self: &Arc<Self>,
        lane: &Arc<Lane<Brought<M>>>,
        brought: Brought<M>,
        shift: &mut Shift<'_, M, H>,
    ) {
        if self.claims.threads() > 1 {
            // What they bring next another thread may run, if this handler is long.
            shift.wake();
        }
        // After the wakers, which may take long and may even shut the flow down.
        if self.admission.is_abandoned() {
            return self.discard(lane, brought, Outcome::DroppedAtShutdown);
        }
        let now = shift.now;
        let end = self.end_before_start(lane, brought.arrived, now, shift.live.load());
        let waking = !shift.decided.is_empty();
        let service = match end {
            Some(end) => self.run_out(lane, brought, end, shift),
            None => self.run_handler(lane, brought, shift),
        };
        if !shift.decided.is_empty() {
            if !waking {
                shift.decided_at = shift.now;
            }
            if service >= BRIEF || shift.now.nanos_since(shift.decided_at) >= WAKE_WITHIN {
                shift.wake();
            }
        }
    }

    /// Runs the handler; returns how long it took, in nanoseconds.
    fn run_handler(
        self: &Arc<Self>,
        lane: &Arc<Lane<Brought<M>>>,
        brought: Brought<M>,
        shift: &mut Shift<'_, M, H>,
    ) -> u64 {
        let charge = brought.charge();
        let Brought { message, arrived, .. } = brought;
        // A message that arrived after the last reading has not waited.
        let began = shift.now.max(arrived);
        let wait = began.nanos_since(arrived);
        let Shift { metrics, decided, live, .. } = shift;
        let live = live.load();
        let finish = Finish { core: self, lane, metrics, decided, charge };
        let outside = (SEAT.replace(lane.seat), WAITED.replace(wait));
        HANDLERS.set(HANDLERS.get() + 1);
        let outcome = catch_unwind(AssertUnwindSafe(|| live.handler.handle(lane.peer, message)));
        let ended = Moment::now();
        let service = ended.nanos_since(began);
        finish.metrics.ran(wait, service, outcome.is_err());
        if let Err(payload) = outcome {
            self.panics.report(payload);
            // As a part of the handler: what it does may shut the flow down.
            self.answer_panic(lane, live, ended);
        }
        HANDLERS.set(HANDLERS.get() - 1);
        SEAT.set(outside.0);
        WAITED.set(outside.1);
        drop(finish);
        shift.now = ended;
        service
    }

    /// Lets a message go that a worker has taken and that must not start; returns the nanoseconds
    /// since the last reading of the clock.
    fn run_out(
        self: &Arc<Self>,
        lane: &Arc<Lane<Brought<M>>>,
        brought: Brought<M>,
        end: Outcome,
        shift: &mut Shift<'_, M, H>,
    ) -> u64 {
        let charge = brought.charge();
        let Shift { metrics, decided, .. } = shift;
        let finish = Finish { core: self, lane, metrics, decided, charge };
        let discarded = self.discard_message(brought.message);
        if end.was_dropped() {
            self.lose(lane);
        }
        finish.metrics.discarded(end);
        drop(finish);
        if let Err(payload) = discarded {
            self.panics.report(payload);
        }
        let began = shift.now;
        shift.now = Moment::now();
        shift.now.nanos_since(began)
    }

    /// Does what the flow's policy says about a handler that has panicked.
    fn answer_panic(self: &Arc<Self>, lane: &Lane<Brought<M>>, live: &Live<H>, now: Moment) {
        match live.config.panic_policy() {
            PanicPolicy::Contain => {}
            PanicPolicy::Quarantine(policy) => {
                if self.suspects.panicked(lane.peer, policy, now.since(self.epoch)) {
                    // The subscriber is the user's code.
                    contain(|| tracing::warn!(flow = self.name, peer = %lane.peer, "quarantined"));
                }
            }
            PanicPolicy::FailFast => {
                // AcqRel: one of several calls the hook.
                if !self.failed.swap(true, Ordering::AcqRel) {
                    self.close();
                    contain(|| {
                        tracing::error!(flow = self.name, peer = %lane.peer, "failed by a panic");
                    });
                    contain(|| live.handler.failed(lane.peer));
                }
            }
        }
    }
}

/// Gives the room of a message back, whatever became of it.
struct Finish<'a, M: Send + 'static, H: Handle<M>, S: Spawn> {
    core: &'a Arc<Core<M, H, S>>,
    lane: &'a Arc<Lane<Brought<M>>>,
    metrics: &'a WorkerMetrics,
    decided: &'a mut Decided<Brought<M>>,
    charge: u32,
}

impl<M: Send + 'static, H: Handle<M>, S: Spawn> Drop for Finish<'_, M, H, S> {
    fn drop(&mut self) {
        self.core.leave(self.lane, self.charge);
        self.metrics.finished();
        self.core.admission.finished(self.lane, self.core, self.decided);
        // At once, so that the peer's next message is that of its next connection.
        self.core.retire_if_done(self.lane);
    }
}
