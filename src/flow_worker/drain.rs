//! What a worker does with a run of messages.
//!
//! A worker looks at each message once more before it starts: it may be too old, its peer may have gone, or the flow
//! may have been shut down. Otherwise it is handled, or its handler panics. It is counted, then its capacity is free.
//!
//! # When those who wait are let in
//!
//! To let somebody in and to wake him costs about two microseconds. So among handlers that are briefer than that
//! ([`BRIEF`]) a worker lets in those who wait by the handful: after [`LET_IN_WITHIN`], or when it has nothing else to
//! do, or goes on with another lane. After a longer handler it does so at once. Should a handler turn out long among
//! brief ones, the flow's watch lets in those who wait, within [`WATCH_PERIOD`](crate::WATCH_PERIOD).

use std::{
    any::Any,
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use super::{
    batch::Batcher,
    core::{Core, Envelope},
    handler::MessageHandler,
    pace::Pace,
    runtime_config::RuntimeConfig,
    slot,
};
use crate::{
    Outcome, PanicPolicy, PeerKey,
    clock::Moment,
    ledger::{Taken, WorkerLedger},
    panics::contain,
    queue::{self, Lane, Take, WakeList},
    sync::{Ordering, thread_local},
    workers::{Found, Manner, Source},
};

/// A handler that takes as long, in nanoseconds, is not brief.
const BRIEF: u64 = 2_000;

/// Among briefer ones those who wait are let in after so many nanoseconds at the latest.
const LET_IN_WITHIN: u64 = 10_000;

thread_local! {
    /// This thread is a worker's, or runs the user's code in the middle of something of a flow: the `Drop` of a
    /// message, or a waker.
    static WITHIN: Cell<bool> = const { Cell::new(false) };
}

/// How long the message has waited that the calling handler runs, from its submitter's call to the
/// handler's start, waiting for capacity included; `None` outside of handlers, and on other threads that help
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
/// let handler = move |_: &NodeId, (): ()| sender.send(queue_delay()).unwrap();
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
    slot::waited().map(Duration::from_nanos)
}

/// Whether this thread is a worker's, or a flow is in the middle of something below the caller.
pub(super) fn is_within() -> bool {
    WITHIN.get()
}

/// Runs the user's code, on whatever thread it is, in the middle of something of a flow.
pub(super) fn within<R>(code: impl FnOnce() -> R) -> R {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            WITHIN.set(self.0);
        }
    }
    let _restore = Restore(WITHIN.replace(true));
    code()
}

/// Runs something as if it were on another thread.
#[cfg(all(any(test, fuzzing, feature = "test-util"), not(any(loom, shuttle))))]
pub(crate) fn as_another_thread(run: impl FnOnce()) {
    let within = WITHIN.replace(false);
    slot::as_another_thread(run);
    WITHIN.set(within);
}

/// What a worker keeps between its runs.
#[derive(Debug)]
pub(crate) struct Drainer<M, K: PeerKey> {
    pub(super) index: usize,
    pub(super) queue: queue::Worker<K, Envelope<M>>,
    pub(super) batcher: Batcher<M, K>,
    pub(super) runtime: Arc<RuntimeConfig<M, K>>,
    /// How often that had changed when it was read.
    runtime_changes: u64,
    pub(super) wake: WakeList,
    pace: Pace,
    pub(super) owed: Option<Owed<K>>,
}

/// Those who wait are to be let in, by then at the latest: something of this lane has finished.
#[derive(Debug)]
pub(super) struct Owed<K> {
    lane: Arc<Lane<K>>,
    by: Moment,
}

impl<M, K: PeerKey> Drainer<M, K> {
    fn owes_another_lane(&self) -> bool {
        self.owed.as_ref().is_some_and(|owed| !Arc::ptr_eq(&owed.lane, self.queue.lane()))
    }
}

impl<M: Send + 'static, K: PeerKey> Source for Core<M, K> {
    type Worker = Drainer<M, K>;

    fn worker(&self, index: usize) -> Self::Worker {
        self.take_post(index);
        WITHIN.set(true);
        // The count first: what changes in between is read again.
        let runtime_changes = self.runtime_changes.load(Ordering::Acquire);
        Drainer {
            index,
            queue: self.queue.worker(index),
            batcher: Batcher::default(),
            runtime: self.runtime.load_full(),
            runtime_changes,
            wake: WakeList::default(),
            pace: Pace::default(),
            owed: None,
        }
    }

    fn take(&self, worker: &mut Self::Worker) -> Found {
        if !self.open.load(Ordering::Acquire) {
            return Found::Nothing;
        }
        let taken = self.queue.take(&mut worker.queue);
        if worker.queue.take_left() {
            self.lane_left();
        }
        match taken {
            Take::Run { more } => Found::Work { more },
            // Who is let in makes work.
            Take::Empty if self.let_in_owed(worker) => Found::Busy,
            Take::Empty => Found::Nothing,
            Take::Busy => Found::Busy,
        }
    }

    fn run(&self, worker: &mut Self::Worker, began: Option<Moment>) -> Moment {
        let mut began = began;
        if worker.owes_another_lane() || self.is_outdated(worker) {
            // Only one lane is remembered. Wakers, and the `Drop` of a replaced handler, may take long.
            self.let_in_owed(worker);
            self.refresh(worker);
            began = None;
        }
        if worker.runtime.batch > 1
            && let Some(ended) = self.run_batch(worker, began)
        {
            return ended;
        }
        let Drainer { index, queue, runtime, wake, pace, owed, .. } = worker;
        let ledger = &self.ledger.workers[*index];
        let handler = &**runtime.handler;
        let mut now = began.unwrap_or_else(Moment::now);
        let mut let_in_by = owed.as_ref().map_or(now.after_nanos(LET_IN_WITHIN), |owed| owed.by);
        let (mut service, mut last) = (0, 0);
        while let Some((envelope, charge)) = queue.pop() {
            if self.queue.has_waiters() && (last >= BRIEF || now >= let_in_by) {
                // Their wakers may have taken long.
                now = self.let_in_after(queue.lane(), wake);
                let_in_by = now.after_nanos(LET_IN_WITHIN);
                *owed = None;
            }
            let message = (envelope, charge);
            let (ended, is_held) =
                self.run_message(queue.lane(), message, handler, ledger, runtime, now);
            last = ended.nanos_since(now);
            service += last;
            now = ended;
            if !is_held {
                self.queue.finish(queue, charge);
            }
        }
        self.queue.end_run(queue, service);
        // What is finished is published by `end_run`.
        if self.queue.has_waiters() {
            if last >= BRIEF || now >= let_in_by {
                now = self.let_in_after(queue.lane(), wake);
                *owed = None;
            } else if owed.is_none() {
                *owed = Some(Owed { lane: Arc::clone(queue.lane()), by: let_in_by });
            }
        }
        if self.queue.is_closed() {
            self.end_if_over();
        }
        let wait = pace.ended(now.as_nanos(), queue.taken() as u64, runtime.gathers);
        if self.queue.has_ready() { now } else { self.gather(wait, now) }
    }

    fn put_down(&self, worker: &mut Self::Worker) {
        self.queue.put_down(&mut worker.queue);
        if worker.queue.take_left() {
            self.lane_left();
        }
        // What it has left in the lane is for others.
        if self.is_ready() {
            self.workers.notify();
        }
        self.let_in_owed(worker);
    }

    fn is_ready(&self) -> bool {
        self.queue.is_ready() && self.open.load(Ordering::Acquire)
    }

    fn is_over(&self) -> bool {
        self.queue.is_over()
    }

    fn manner(&self) -> Manner {
        // Relaxed: a change wakes those who sleep.
        let longest = self.longest_look.load(Ordering::Relaxed);
        Manner { longest, forks: self.built.forking_handlers() }
    }

    fn refresh(&self, worker: &mut Self::Worker) {
        // The count first, as in `worker`.
        worker.runtime_changes = self.runtime_changes.load(Ordering::Acquire);
        // Lets go of a handler that was replaced.
        worker.runtime = self.runtime.load_full();
    }

    fn is_outdated(&self, worker: &Self::Worker) -> bool {
        // Acquire: pairs with `runtime_changed`.
        self.runtime_changes.load(Ordering::Acquire) != worker.runtime_changes
    }

    /// A fault of the engine. A wait for a message that the worker had taken would last for ever, and so would
    /// that of the flow's submitters if it was the last worker: they are refused.
    fn worker_broke(&self, payload: Box<dyn Any + Send>) {
        self.ledger.stray_panic();
        self.panics.report(payload);
        // AcqRel: as in `answer_panic`.
        if !self.failed.swap(true, Ordering::AcqRel) {
            contain(|| self.close());
            contain(|| tracing::error!(flow = self.name, "failed by a panic of the engine's own"));
        }
        // AcqRel: the last one comes after all others.
        if self.broken.fetch_add(1, Ordering::AcqRel) + 1 == self.built.threads() {
            // Nobody is left to run what was admitted.
            contain(|| self.abandon());
        }
    }
}

impl<M: Send + 'static, K: PeerKey> Core<M, K> {
    /// Waits for so many nanoseconds, unless somebody waits for capacity; returns when.
    fn gather(&self, nanos: u64, mut now: Moment) -> Moment {
        let until = now.after_nanos(nanos);
        while now < until && !self.queue.has_waiters() {
            crate::clock::pause();
            now = Moment::now();
        }
        now
    }

    /// Lets in those who are to be let in; true if there were any.
    fn let_in_owed(&self, worker: &mut Drainer<M, K>) -> bool {
        worker.owed.take().is_some_and(|owed| {
            self.let_in_after(&owed.lane, &mut worker.wake);
            true
        })
    }

    /// Lets in those who wait, after something of this lane has finished; returns when.
    fn let_in_after(&self, lane: &Arc<Lane<K>>, wake: &mut WakeList) -> Moment {
        self.queue.grant(Some(lane), wake);
        self.wake(wake);
        Moment::now()
    }

    /// The outcome of a message that a worker has taken and that is not to start, having waited so many nanoseconds.
    #[inline]
    pub(super) fn outcome_before(
        &self,
        lane: &Lane<K>,
        waited: u64,
        runtime: &RuntimeConfig<M, K>,
    ) -> Option<Outcome> {
        if self.abandoned.load(Ordering::Acquire) {
            Some(Outcome::DroppedAtShutdown)
        } else if lane.is_cancelled() {
            Some(Outcome::Cancelled)
        } else {
            (waited > runtime.max_age).then_some(Outcome::Expired)
        }
    }

    /// Lets a message go that a worker has taken, having waited so many nanoseconds, and counts it.
    #[cold]
    pub(super) fn drop_taken(
        &self,
        lane: &Arc<Lane<K>>,
        envelope: Envelope<M>,
        waited: u64,
        outcome: Outcome,
        ledger: &WorkerLedger,
    ) {
        let when = envelope.arrived.after_nanos(waited).nanos_since(self.epoch);
        self.let_go(lane.key(), envelope.message, outcome);
        if outcome.was_dropped() {
            self.drops.record(lane);
        }
        ledger.discarded(Taken { lane: lane.tag(), when }, waited, outcome);
    }

    /// Runs one message, or lets it go; returns when that ended, which is when the next begins, and whether the message
    /// is held by its [slot](super::Slot), which finishes it.
    fn run_message(
        &self,
        lane: &Arc<Lane<K>>,
        (envelope, charge): (Envelope<M>, u32),
        handler: &dyn MessageHandler<M, K>,
        ledger: &WorkerLedger,
        runtime: &RuntimeConfig<M, K>,
        now: Moment,
    ) -> (Moment, bool) {
        // A message that arrived after the last reading of the clock has not waited.
        let began = now.max(envelope.arrived);
        let waited = began.nanos_since(envelope.arrived);
        if let Some(outcome) = self.outcome_before(lane, waited, runtime) {
            self.drop_taken(lane, envelope, waited, outcome, ledger);
            return (Moment::now(), false);
        }
        ledger.begins(Taken { lane: lane.tag(), when: began.nanos_since(self.epoch) });
        slot::begin(waited, charge);
        let peer = lane.key();
        let handled = catch_unwind(AssertUnwindSafe(|| handler.handle(peer, envelope.message)));
        let ended = Moment::now();
        let service = ended.nanos_since(began);
        let is_held = slot::end();
        if is_held {
            ledger.is_held(waited, service);
            if handled.is_err() {
                // The slot counts the message's outcome.
                self.ledger.stray_panic();
            }
        } else {
            ledger.ran(waited, service, handled.is_err());
        }
        if let Err(payload) = handled {
            self.panics.report(payload);
            // As a part of the handler: what it does may shut the flow down.
            self.answer_panic(peer, runtime);
        }
        (ended, is_held)
    }

    /// Does what is to be done when a handler has panicked.
    #[cold]
    pub(super) fn answer_panic(&self, peer: &K, runtime: &RuntimeConfig<M, K>) {
        contain(|| runtime.handler.panicked(peer));
        if runtime.config.panic_policy() != PanicPolicy::FailFast {
            return;
        }
        // AcqRel: one of several calls the hook.
        if !self.failed.swap(true, Ordering::AcqRel) {
            self.close();
            // The subscriber is the user's code.
            contain(|| tracing::error!(flow = self.name, %peer, "failed by a panic"));
            contain(|| runtime.handler.failed(peer));
        }
    }
}
