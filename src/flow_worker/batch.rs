//! Several messages in one call of a handler.
//!
//! ```text
//!  take ──▶ run of lane A ──┐
//!  take ──▶ run of lane B ──┼──▶ what may run ──▶ handle_many ──▶ each is counted, its capacity is free
//!  take ──▶ run of lane C ──┘
//! ```
//!
//! A worker waits for nothing: a batch is what has gathered while the workers were busy. Each run is taken in its turn,
//! as if it ran alone, and is charged its share of the call's time. A lane that a batch has messages of counts as
//! served until the call has returned, so messages of one peer keep their order.

use std::{
    fmt, iter,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use super::{
    core::{Core, Envelope},
    drain::Drainer,
    handler::MessageHandler,
};
use crate::{
    NodeId, PeerKey,
    clock::Moment,
    ledger::Taken,
    queue::{self, Lane, Take},
    workers::Source,
};

/// The most messages that one call of a handler can be set to take.
pub const MAX_BATCH: usize = 256;

/// A message of a batch: see [`MessageHandler::handle_many`](super::MessageHandler::handle_many).
pub struct Received<M, K: PeerKey = NodeId> {
    /// The message.
    pub message: M,
    lane: Arc<Lane<K>>,
    waited: u64,
}

impl<M, K: PeerKey> Received<M, K> {
    /// Who has sent it.
    #[must_use]
    pub fn peer(&self) -> &K {
        self.lane.key()
    }

    /// Has it handled alone.
    pub(super) fn handle_by(self, handler: &(impl MessageHandler<M, K> + ?Sized)) {
        handler.handle(self.lane.key(), self.message);
    }

    /// How long it has waited, as [`queue_delay`](super::queue_delay) says of a message that runs alone.
    #[must_use]
    pub fn queue_delay(&self) -> Duration {
        Duration::from_nanos(self.waited)
    }
}

impl<M, K: PeerKey> fmt::Debug for Received<M, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Received")
            .field("peer", &format_args!("{}", self.peer()))
            .field("queue_delay", &self.queue_delay())
            .finish_non_exhaustive()
    }
}

/// What a message of a run was charged, and how long it has waited.
type Admitted = (u32, u64);

/// What a worker keeps between its batches.
#[derive(Debug)]
pub(super) struct Batcher<M, K> {
    /// One for each run beside the first.
    others: Vec<queue::Worker<K, Envelope<M>>>,
    /// The messages of each run that are in the batch.
    admitted: Vec<Vec<Admitted>>,
}

impl<M, K> Default for Batcher<M, K> {
    fn default() -> Self {
        Self { others: Vec::new(), admitted: Vec::new() }
    }
}

impl<M: Send + 'static, K: PeerKey> Core<M, K> {
    /// Takes further runs beside the one that the worker has, while there are fewer messages than a call takes; returns
    /// how many runs.
    fn gather_runs(&self, worker: &mut Drainer<M, K>) -> usize {
        let Drainer { index, queue, batcher, runtime, .. } = worker;
        let (mut messages, mut runs) = (queue.taken(), 0);
        // The last run may hold more than there is capacity for, by a run at the most.
        while messages < runtime.batch {
            if batcher.others.len() == runs {
                batcher.others.push(self.queue.worker(*index));
            }
            let other = &mut batcher.others[runs];
            let taken = self.queue.take(other);
            if other.take_left() {
                self.lane_left();
            }
            if !matches!(taken, Take::Run { .. }) {
                break;
            }
            messages += other.taken();
            runs += 1;
        }
        runs
    }

    /// Runs what the worker has taken and what has gathered beside it, by one call; returns when that ended. `None` if
    /// it is a message alone.
    // Apart from the way of a message alone, whose instructions are counted.
    #[inline(never)]
    pub(super) fn run_batch(
        &self,
        worker: &mut Drainer<M, K>,
        began: Option<Moment>,
    ) -> Option<Moment> {
        let runs = self.gather_runs(worker);
        if runs == 0 && worker.queue.taken() == 1 {
            return None;
        }
        let now = began.unwrap_or_else(Moment::now);
        let Drainer { index, queue, batcher, runtime, wake, owed, .. } = worker;
        let ledger = &self.ledger.workers[*index];
        let Batcher { others, admitted } = batcher;
        let others = &mut others[..runs];
        admitted.resize_with(admitted.len().max(runs + 1), Vec::new);

        let mut batch = Vec::new();
        let mut taken = 0;
        for (run, admitted) in iter::once(&mut *queue).chain(&mut *others).zip(&mut *admitted) {
            admitted.clear();
            taken += run.taken();
            while let Some((envelope, charge)) = run.pop() {
                let waited = now.max(envelope.arrived).nanos_since(envelope.arrived);
                if let Some(outcome) = self.outcome_before(run.lane(), waited, runtime) {
                    self.drop_taken(run.lane(), envelope, waited, outcome, ledger);
                    self.queue.finish(run, charge);
                    continue;
                }
                admitted.push((charge, waited));
                let lane = Arc::clone(run.lane());
                batch.push(Received { message: envelope.message, lane, waited });
            }
        }

        // What was dropped may have taken long.
        let began = Moment::now();
        let when = began.nanos_since(self.epoch);
        let mut handled = Ok(());
        if let Some(first) = batch.first() {
            ledger.begins(Taken { lane: first.lane.tag(), when });
            let call = AssertUnwindSafe(|| runtime.handler.handle_many(batch));
            handled = catch_unwind(call);
        }
        let ended = Moment::now();
        let service = ended.nanos_since(began);

        let has_panicked = handled.is_err();
        if let Err(payload) = handled {
            self.panics.report(payload);
        }
        for (run, admitted) in iter::once(&mut *queue).chain(&mut *others).zip(&mut *admitted) {
            let of_lane = Taken { lane: run.lane().tag(), when };
            for &(charge, waited) in &*admitted {
                ledger.begins(of_lane);
                ledger.ran(waited, service, has_panicked);
                if has_panicked {
                    // Nobody knows whose message it was.
                    self.answer_panic(run.lane().key(), runtime);
                }
                self.queue.finish(run, charge);
            }
            self.queue.end_run(run, service * run.taken() as u64 / taken.max(1) as u64);
        }
        for other in others {
            // At once: its lane counts as served until then.
            self.queue.put_down(other);
            if other.take_left() {
                self.lane_left();
            }
        }
        if runs > 0 && self.is_ready() {
            self.workers.notify();
        }
        *owed = None;
        if self.queue.has_waiters() {
            self.queue.grant_all(wake);
            self.wake(wake);
        }
        if self.queue.is_closed() {
            self.end_if_over();
        }
        Some(Moment::now())
    }
}
