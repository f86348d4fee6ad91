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
//! A drain job is nested when a handler that waits for rayon's other threads (in `join` or `scope`)
//! picks it up. A nested job runs one message and then hands its claim to a new job, so that it
//! never holds up the handler below it for longer than that.

use std::{
    any::Any,
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use crossbeam::channel::{Receiver, Sender, TrySendError, bounded};

use super::{
    permits::{Permits, Returned},
    pool::{Job, Spawn},
    ready::Claims,
};
use crate::{
    config::FlowConfig,
    log_limit::LogLimit,
    metrics::{FlowLoad, FlowMetrics},
    sync::{ArrayQueue, AtomicBool, Ordering},
};

/// A shutdown that waits for the last message looks at least this often, should it miss the word.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// What is done with messages.
pub(crate) trait Handle<M>: Send + Sync + 'static {
    /// Runs one message.
    fn handle(&self, message: M);

    /// Takes a message that will not run.
    fn discard(&self, message: M) {
        drop(message);
    }
}

/// A message that holds a permit.
struct Admitted<M> {
    message: M,
    /// When its submitter brought it.
    arrived: Instant,
}

/// What the submitters and the workers of a flow share.
pub(crate) struct Core<M: Send + 'static, H: Handle<M>> {
    name: &'static str,
    pub(super) permits: Permits,
    pub(super) metrics: Arc<FlowMetrics>,
    queue: ArrayQueue<Admitted<M>>,
    claims: Claims,
    handler: H,
    /// Nothing is started any more.
    abandoned: AtomicBool,
    panics: LogLimit,
    /// One token: a permit has come back after the flow was closed.
    returned: (Sender<()>, Receiver<()>),
}

thread_local! {
    static DRAINING: Cell<bool> = const { Cell::new(false) };
}

impl<M: Send + 'static, H: Handle<M>> Core<M, H> {
    /// A flow that runs up to `workers` handlers at the same time; `withheld` means that it runs
    /// none until [`open`](Self::open).
    pub(super) fn new(
        name: &'static str,
        config: &FlowConfig,
        workers: usize,
        withheld: bool,
        metrics: Arc<FlowMetrics>,
        handler: H,
    ) -> Self {
        Self {
            name,
            permits: Permits::new(config.max_inflight_requests(), config.max_waiters()),
            metrics,
            queue: ArrayQueue::new(config.max_inflight_requests()),
            claims: Claims::new(workers, withheld),
            handler,
            abandoned: AtomicBool::new(false),
            panics: LogLimit::new(),
            returned: bounded(1),
        }
    }

    pub(crate) fn handler(&self) -> &H {
        &self.handler
    }

    /// Queues a message for which the caller has acquired a permit, and wakes a worker for it.
    pub(super) fn push(self: &Arc<Self>, spawn: &dyn Spawn, message: M, arrived: Instant) {
        self.metrics.admitted();
        let pushed = self.queue.push(Admitted { message, arrived });
        assert!(pushed.is_ok(), "{}: the queue has a slot for each permit", self.name);
        if self.claims.claim_after_push() {
            self.start(spawn);
        }
    }

    /// Lets a flow run that was built withheld. To be called once.
    pub(super) fn open(self: &Arc<Self>, spawn: &dyn Spawn) {
        if self.claims.hand_out(|| self.queue.is_empty()) {
            self.start(spawn);
        }
    }

    fn start(self: &Arc<Self>, spawn: &dyn Spawn) {
        let job = Arc::clone(self) as Arc<dyn Job>;
        if !spawn.spawn(job) {
            // The threads have gone, so the flow is abandoned, and draining runs nothing.
            self.drain();
        }
    }

    /// Runs messages until the queue is empty.
    fn drain(&self) {
        let mut now = Instant::now();
        loop {
            while let Some(admitted) = self.queue.pop() {
                now = self.run_one(admitted, now);
            }
            if !self.claims.give_back(|| self.queue.is_empty()) {
                return;
            }
        }
    }

    /// Runs one message and says when it ended: the next one's beginning, so that a message costs
    /// one look at the clock here.
    fn run_one(&self, Admitted { message, arrived }: Admitted<M>, now: Instant) -> Instant {
        let _permit = Permit(self);
        // Acquire: pairs with the Release in `abandon`.
        if self.abandoned.load(Ordering::Acquire) {
            self.discard(message);
            return now;
        }
        let outcome = catch_unwind(AssertUnwindSafe(|| self.handler.handle(message)));
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
                self.report_panic(payload);
            }
        }
        ended
    }

    fn discard(&self, message: M) {
        self.metrics.dropped();
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| self.handler.discard(message))) {
            self.report_panic(payload);
        }
    }

    /// Logs a panic of the handler's. The payload is the handler's own value and the subscriber is
    /// the user's own code, so either may panic in turn; a worker survives that too.
    fn report_panic(&self, payload: Box<dyn Any + Send>) {
        let reported = catch_unwind(AssertUnwindSafe(|| {
            if let Some(suppressed) = self.panics.permit() {
                let what = panic_text(payload.as_ref());
                tracing::error!(flow = self.name, suppressed, "a handler panicked: {what:?}");
            }
            drop(payload);
        }));
        if let Err(second) = reported {
            std::mem::forget(second);
        }
    }

    /// Waits until no more than `own` messages are in flight; false if the deadline comes first.
    /// The flow must be closed.
    pub(super) fn wait_for_last(&self, own: usize, deadline: Instant) -> bool {
        loop {
            if self.permits.in_flight() <= own {
                return true;
            }
            let now = Instant::now();
            if now >= deadline {
                return false;
            }
            // Either outcome means to look again.
            let _ = self.returned.1.recv_deadline(deadline.min(now + LOOK_EVERY));
        }
    }

    /// Starts nothing any more and drops what is queued; returns how many messages that was.
    pub(super) fn abandon(&self) -> usize {
        // Release: who sees it sees the flow closed.
        self.abandoned.store(true, Ordering::Release);
        self.drop_queued()
    }

    fn drop_queued(&self) -> usize {
        let mut dropped = 0;
        // Ends: the flow is closed, and at most as many messages as there are permits are left.
        while let Some(Admitted { message, .. }) = self.queue.pop() {
            let _permit = Permit(self);
            self.discard(message);
            dropped += 1;
        }
        dropped
    }

    /// A permit has been given back.
    pub(super) fn returned(&self, returned: Returned) {
        if returned.closed {
            match self.returned.0.try_send(()) {
                Ok(()) | Err(TrySendError::Full(()) | TrySendError::Disconnected(())) => {}
            }
        }
    }

    /// Runs one message and leaves the rest to another job.
    fn step(self: Arc<Self>) {
        if let Some(admitted) = self.queue.pop() {
            self.run_one(admitted, Instant::now());
        }
        if self.claims.give_back(|| self.queue.is_empty()) {
            rayon::spawn(move || Job::run(self));
        }
    }
}

impl<M: Send + 'static, H: Handle<M>> Job for Core<M, H> {
    fn run(self: Arc<Self>) {
        if DRAINING.replace(true) {
            self.step();
        } else {
            self.drain();
            DRAINING.set(false);
        }
    }
}

impl<M: Send + 'static, H: Handle<M>> FlowLoad for Core<M, H> {
    fn in_flight(&self) -> usize {
        self.permits.in_flight()
    }

    fn waiting(&self) -> usize {
        self.permits.waiting()
    }
}

impl<M: Send + 'static, H: Handle<M>> Drop for Core<M, H> {
    fn drop(&mut self) {
        self.drop_queued();
    }
}

/// Gives the permit of a message back, whatever became of the message.
struct Permit<'a, M: Send + 'static, H: Handle<M>>(&'a Core<M, H>);

impl<M: Send + 'static, H: Handle<M>> Drop for Permit<'_, M, H> {
    fn drop(&mut self) {
        self.0.returned(self.0.permits.give_back());
    }
}

pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a value that is no text")
}

#[cfg(all(test, not(loom)))]
mod tests;
