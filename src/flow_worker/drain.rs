//! The heart of a flow: a bounded queue of admitted messages, and the job that runs them.
//!
//! A message is admitted when it holds a permit; it is then pushed and wakes a drain job if one is
//! missing ([`ready`](super::ready)). A drain job runs messages until the queue is empty. Each
//! message ends in one of three ways, and its permit comes back in a `Drop` after its end has been
//! counted: handled, panicked, or dropped because the flow was shut down before it started.
//!
//! The queue cannot overflow: it has a slot for each permit, and a message's slot is free again
//! before its permit is.
//!
//! # Handlers that use rayon
//!
//! A handler that waits for rayon's other threads, in `join` or `scope`, runs other jobs of the pool
//! meanwhile, and a drain job may be among them. It must not hold up the handler below it on the stack:
//!
//! - A drain job on top of a handler of the same thread passes its claim on at once: the queue is
//!   *offered* to every thread of the pool, behind all that the thread has to do. The thread itself
//!   has a drain job below, so no message is forgotten.
//! - On top of a part of a handler that another thread has stolen, a drain job cannot know that
//!   it is on top of anything. So every drain job passes its claim on after [`QUANTUM`].
//!
//! An offer lies below the thread's own deque, unlike a spawned job, so that a `join` finds its other
//! half before it finds the offer again.

use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    permits::{Admit, Permits},
    pool::{Job, Pool, Spawn},
    ready::Claims,
};
use crate::{
    RefusalReason,
    config::FlowConfig,
    metrics::{FlowLoad, FlowMetrics},
    panics::PanicLog,
    sync::{ArrayQueue, AtomicBool, Ordering},
};

/// How long a drain job runs before it offers the rest to all threads of the flow. Long beside the
/// cost of an offer, which wakes them; short beside what a handler that waits would notice.
const QUANTUM: Duration = Duration::from_millis(10);

/// What is done with messages.
pub(crate) trait Handle<M>: Send + Sync + 'static {
    /// Runs one message.
    fn handle(&self, message: M);

    /// Takes a message that will not run.
    fn discard(&self, message: M) {
        drop(message);
    }
}

/// A message on its way to its handler.
#[derive(Debug)]
pub(crate) struct Brought<M> {
    pub(super) message: M,
    /// When its submitter brought it.
    pub(super) arrived: Instant,
}

/// The inside of a flow: its bound, its queue, its workers and its handler.
pub(crate) struct Core<M: Send + 'static, H: Handle<M>, S: Spawn = Pool> {
    name: &'static str,
    pub(super) permits: Permits<Brought<M>>,
    pub(super) metrics: Arc<FlowMetrics>,
    pub(super) threads: S,
    queue: ArrayQueue<Brought<M>>,
    claims: Claims,
    handler: H,
    /// Nothing is started any more.
    abandoned: AtomicBool,
    panics: Arc<PanicLog>,
}

thread_local! {
    /// How many handlers are on the stack of this thread.
    static HANDLERS: Cell<usize> = const { Cell::new(0) };
}

/// How many handlers are on the stack of this thread.
pub(super) fn handlers_on_this_thread() -> usize {
    HANDLERS.get()
}

/// What distinguishes a flow from others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setup {
    pub(super) name: &'static str,
    /// How many handlers run at the same time.
    pub(super) workers: usize,
    /// Nothing runs until [`Core::open`].
    pub(super) withheld: bool,
}

impl<M: Send + 'static, H: Handle<M>, S: Spawn> Core<M, H, S> {
    pub(super) fn new(
        Setup { name, workers, withheld }: Setup,
        config: &FlowConfig,
        metrics: Arc<FlowMetrics>,
        panics: Arc<PanicLog>,
        threads: S,
        handler: H,
    ) -> Self {
        Self {
            name,
            permits: Permits::new(config.max_inflight_requests(), config.max_waiters()),
            metrics,
            threads,
            queue: ArrayQueue::new(config.max_inflight_requests()),
            claims: Claims::new(workers, withheld),
            handler,
            abandoned: AtomicBool::new(false),
            panics,
        }
    }

    pub(crate) fn handler(&self) -> &H {
        &self.handler
    }

    /// Queues a message for which the caller has acquired a permit, and wakes a worker for it.
    pub(super) fn push(self: &Arc<Self>, brought: Brought<M>) {
        self.metrics.admitted();
        let pushed = self.queue.push(brought);
        assert!(pushed.is_ok(), "{}: the queue has a slot for each permit", self.name);
        if self.claims.claim_after_push() {
            self.start();
        }
    }

    /// Lets a flow run that was built withheld. To be called once.
    pub(super) fn open(self: &Arc<Self>) {
        if self.claims.hand_out(|| self.queue.is_empty()) {
            self.start();
        }
    }

    fn start(self: &Arc<Self>) {
        if !self.threads.spawn(Arc::clone(self) as Arc<dyn Job>) {
            // Only a shutdown takes the threads away, after it has abandoned the flow: draining runs
            // nothing any more, it only drops.
            self.drain();
        }
    }

    /// Runs messages until the queue is empty or the quantum is over. A claim is held.
    fn drain(self: &Arc<Self>) {
        let mut now = Instant::now();
        let end = now + QUANTUM;
        loop {
            while let Some(brought) = self.queue.pop() {
                now = self.run_one(brought, now);
                if now >= end && self.pass_on() {
                    return;
                }
            }
            if !self.claims.give_back(|| self.queue.is_empty()) {
                return;
            }
        }
    }

    /// Gives the claim of this job back and offers what is left to all threads; false if there is
    /// something left and nobody to offer it to, so that this job keeps its claim and goes on.
    fn pass_on(self: &Arc<Self>) -> bool {
        let done = self.claims.pass_on(|| self.queue.is_empty());
        done || self.threads.offer(Arc::clone(self) as Arc<dyn Job>) || !self.claims.claim()
    }

    /// Runs one message and says when it ended: the next one's beginning, so that a message costs
    /// one look at the clock here.
    fn run_one(
        self: &Arc<Self>,
        Brought { message, arrived }: Brought<M>,
        now: Instant,
    ) -> Instant {
        let _permit = Permit(self);
        // Acquire: pairs with the Release in `abandon`.
        if self.abandoned.load(Ordering::Acquire) {
            self.discard(message);
            return now;
        }
        HANDLERS.set(HANDLERS.get() + 1);
        let outcome = catch_unwind(AssertUnwindSafe(|| self.handler.handle(message)));
        HANDLERS.set(HANDLERS.get() - 1);
        let ended = Instant::now();
        let worker = rayon::current_thread_index().unwrap_or(0);
        // A message that arrived after `now` was read has not waited.
        self.metrics.ran(
            worker,
            now.saturating_duration_since(arrived),
            ended.saturating_duration_since(now.max(arrived)),
        );
        match outcome {
            Ok(()) => self.metrics.handled(),
            Err(payload) => {
                self.metrics.panicked();
                self.panics.report(payload);
            }
        }
        ended
    }

    fn discard(&self, message: M) {
        self.metrics.dropped();
        let discarded = catch_unwind(AssertUnwindSafe(|| self.handler.discard(message)));
        if let Err(payload) = discarded {
            self.panics.report(payload);
        }
    }

    /// Starts nothing any more and drops what is queued; returns how many messages that was. The
    /// flow must be closed.
    pub(super) fn abandon(self: &Arc<Self>) -> usize {
        // Release: who sees it sees the flow closed.
        self.abandoned.store(true, Ordering::Release);
        let mut dropped = 0;
        // Ends: the flow is closed, and at most as many messages as there are permits are left.
        while let Some(Brought { message, .. }) = self.queue.pop() {
            let _permit = Permit(self);
            self.discard(message);
            dropped += 1;
        }
        dropped
    }

    /// Whether other threads may run messages while the calling handler runs.
    pub(super) fn runs_beside(&self, handlers: usize) -> bool {
        handlers < self.claims.limit()
    }
}

impl<M: Send + 'static, H: Handle<M>, S: Spawn> Job for Core<M, H, S> {
    fn run(self: Arc<Self>) {
        if handlers_on_this_thread() == 0 || !self.pass_on() {
            self.drain();
        }
    }

    fn run_if_needed(self: Arc<Self>) {
        if handlers_on_this_thread() == 0 && !self.queue.is_empty() && self.claims.claim() {
            self.drain();
        }
    }
}

impl<M: Send + 'static, H: Handle<M>, S: Spawn> Admit<Brought<M>> for Arc<Core<M, H, S>> {
    fn admit(&self, brought: Brought<M>) {
        self.push(brought);
    }

    fn refused(&self) {
        self.metrics.refused(RefusalReason::Closed);
    }
}

impl<M: Send + 'static, H: Handle<M>, S: Spawn> FlowLoad for Core<M, H, S> {
    fn in_flight(&self) -> usize {
        self.permits.in_flight()
    }

    fn waiting(&self) -> usize {
        self.permits.waiting()
    }
}

impl<M: Send + 'static, H: Handle<M>, S: Spawn> Drop for Core<M, H, S> {
    fn drop(&mut self) {
        // Those of a flow that was withheld to the end; there is nobody left who waits for room.
        while let Some(Brought { message, .. }) = self.queue.pop() {
            self.discard(message);
        }
    }
}

/// Gives the permit of a message back, whatever became of the message.
struct Permit<'a, M: Send + 'static, H: Handle<M>, S: Spawn>(&'a Arc<Core<M, H, S>>);

impl<M: Send + 'static, H: Handle<M>, S: Spawn> Drop for Permit<'_, M, H, S> {
    fn drop(&mut self) {
        self.0.permits.give_back(self.0);
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
