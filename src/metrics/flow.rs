//! What one flow counts, which is its bound as well.

use std::time::{Duration, Instant};

use crossbeam::{
    channel::{Receiver, Sender, bounded},
    utils::CachePadded,
};
use strum::EnumCount;

use super::{Counter, FlowSnapshot};
use crate::{
    RefusalReason,
    latency::{LatencySnapshot, Recorder},
    permits::Permits,
    sync::{AtomicU64, AtomicUsize, Ordering},
};

/// Who waits for the last message to finish looks at least this often, should it miss the word.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// What one worker counts. Nobody else writes it, so that a count is a load and a store.
#[derive(Debug, Default)]
pub(crate) struct WorkerMetrics {
    finished: AtomicU64,
    panicked: AtomicU64,
    wait: Recorder,
    service: Recorder,
}

impl WorkerMetrics {
    /// A handler has returned or panicked. Only the worker itself calls this.
    pub(crate) fn ran(&self, wait: Duration, service: Duration, panicked: bool) {
        self.wait.record(wait);
        self.service.record(service);
        if panicked {
            // Relaxed: `finished` publishes it.
            let count = self.panicked.load(Ordering::Relaxed);
            self.panicked.store(count + 1, Ordering::Relaxed);
        }
    }

    /// A message that ran is gone, and its room is free. Only the worker itself calls this.
    pub(crate) fn finished(&self) {
        // Relaxed: nobody else writes it.
        let count = self.finished.load(Ordering::Relaxed);
        // Release: who sees it counted sees what its handler did.
        self.finished.store(count + 1, Ordering::Release);
    }
}

/// Counters and histograms of one flow of one handler, and its bound.
#[derive(Debug)]
pub(crate) struct FlowMetrics {
    /// Written with every message that is admitted.
    pub(crate) permits: CachePadded<Permits>,
    pub(crate) workers: Box<[CachePadded<WorkerMetrics>]>,
    waiting: AtomicUsize,
    waited: Counter,
    gave_up: Counter,
    refused: [Counter; RefusalReason::COUNT],
    dropped: Counter,
    stray_panics: Counter,
    /// One token: a message has finished after the flow was closed.
    finished: (Sender<()>, Receiver<()>),
}

impl FlowMetrics {
    pub(crate) fn new(limit: usize, workers: usize) -> Self {
        Self {
            permits: CachePadded::new(Permits::new(limit)),
            workers: (0..workers).map(|_| CachePadded::default()).collect(),
            waiting: AtomicUsize::new(0),
            waited: Counter::default(),
            gave_up: Counter::default(),
            refused: Default::default(),
            dropped: Counter::default(),
            stray_panics: Counter::default(),
            finished: bounded(1),
        }
    }

    /// How many messages have finished, dropped ones included.
    pub(crate) fn left(&self) -> u64 {
        // Acquire: who sees a message finished sees what it did.
        let ran = self.workers.iter().map(|worker| worker.finished.load(Ordering::Acquire));
        self.dropped.0.load(Ordering::Acquire) + ran.sum::<u64>()
    }

    /// Messages admitted and not yet finished.
    pub(crate) fn in_flight(&self) -> usize {
        self.permits.in_flight(|| self.left())
    }

    /// Whether one more message may be admitted now.
    pub(crate) fn has_room(&self) -> bool {
        self.permits.has_room(|| self.left())
    }

    /// Submitters that wait for room.
    pub(crate) fn waiting(&self) -> usize {
        // Relaxed: for the eye only.
        self.waiting.load(Ordering::Relaxed)
    }

    /// A message found no room, and its submitter waits.
    pub(crate) fn waits(&self) {
        self.waited.increment();
        // Relaxed: for the eye only.
        self.waiting.fetch_add(1, Ordering::Relaxed);
    }

    /// A submitter that was counted as waiting has found no place to wait.
    pub(crate) fn never_waited(&self) {
        // Relaxed: a count.
        self.waited.0.fetch_sub(1, Ordering::Relaxed);
        self.waits_no_longer();
    }

    /// A submitter waits no longer.
    pub(crate) fn waits_no_longer(&self) {
        // Relaxed: for the eye only.
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }

    /// A submitter that waited was dropped before its message was admitted.
    pub(crate) fn gave_up(&self) {
        self.gave_up.increment();
    }

    /// A message was not admitted, and its submitter was told so.
    pub(crate) fn refused(&self, reason: RefusalReason) {
        self.refused[reason as usize].increment();
    }

    /// A message was admitted but will not run, because the flow was shut down. It is gone, and its
    /// room is free.
    pub(crate) fn dropped(&self) {
        // Release: as for those that ran.
        self.dropped.0.fetch_add(1, Ordering::Release);
    }

    /// Something that a handler has spawned panicked.
    pub(crate) fn stray_panic(&self) {
        self.stray_panics.increment();
    }

    /// A message has finished after the flow was closed.
    pub(crate) fn tell_who_shuts_down(&self) {
        // Full means that the word is out already.
        let _ = self.finished.0.try_send(());
    }

    /// Waits until no more than `own` messages are in flight; false if the deadline comes first.
    /// The flow must be closed.
    pub(crate) fn wait_for_last(&self, own: usize, deadline: Instant) -> bool {
        loop {
            if self.in_flight() <= own {
                return true;
            }
            let now = Instant::now();
            if now >= deadline {
                return false;
            }
            // Either outcome means to look again.
            let _ = self.finished.1.recv_deadline(deadline.min(now + LOOK_EVERY));
        }
    }

    pub(crate) fn snapshot(&self) -> FlowSnapshot {
        // The load first: who finds nothing in flight then reads the counts of all that finished.
        let in_flight = self.in_flight();
        let ran = |count: fn(&WorkerMetrics) -> &AtomicU64| {
            // Acquire: as in `left`.
            self.workers.iter().map(|worker| count(worker).load(Ordering::Acquire)).sum::<u64>()
        };
        let finished = ran(|worker| &worker.finished);
        let panicked = ran(|worker| &worker.panicked);
        FlowSnapshot {
            in_flight,
            waiting: self.waiting(),
            // One that has panicked may not have finished.
            handled: finished.saturating_sub(panicked),
            panicked,
            dropped: self.dropped.get(),
            stray_panics: self.stray_panics.get(),
            admitted: self.permits.entered(),
            waiting_for_peer_permit: self.waited.get(),
            gave_up: self.gave_up.get(),
            refused: std::array::from_fn(|reason| self.refused[reason].get()),
            wait: LatencySnapshot::of(self.workers.iter().map(|worker| &worker.wait)),
            service: LatencySnapshot::of(self.workers.iter().map(|worker| &worker.service)),
        }
    }
}
