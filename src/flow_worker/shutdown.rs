//! A flow's end.
//!
//! ```text
//!  OPEN ── close ──▶ CLOSED ── deadline ──▶ ABANDONED
//!                      │                       │
//!                      └── nothing in flight ──┴──▶ OVER: the threads end
//! ```
//!
//! **CLOSED** admits nothing and refuses those who wait; what was admitted still runs. **ABANDONED** starts nothing any
//! more; what is queued is dropped and counted. **OVER** is when nothing is in flight: the thread that finishes the
//! last message, or closes the flow when there is none, wakes the threads, which end.

use std::time::{Duration, Instant};

use super::{core::Core, drain::is_within};
use crate::{
    FlowReport, Outcome, PeerKey,
    clock::instant,
    queue::WakeList,
    sync::{Condvar, Mutex, Ordering},
};

/// How long a shutdown waits beyond its deadline for threads that have nothing left to run.
const JOIN_GRACE: Duration = Duration::from_secs(1);

/// Where a shutdown waits until nothing is in flight.
#[derive(Debug, Default)]
pub(super) struct Over {
    lock: Mutex<()>,
    over: Condvar,
}

impl<M: Send + 'static, K: PeerKey> Core<M, K> {
    /// Admits nothing any more and refuses all who wait. What was admitted still runs.
    pub(super) fn close(&self) {
        let mut wake = WakeList::default();
        let (refused, revoked) = self.queue.close(&mut wake);
        self.ledger.count_many(Outcome::Closed, refused as u64);
        revoked.iter().for_each(|lane| self.give_back(lane, &mut wake));
        self.wake(&mut wake);
        self.end_if_over();
    }

    /// Ends the threads if the flow is closed and nothing is in flight. A thread that has closed it or finished a
    /// message has fenced before this.
    pub(super) fn end_if_over(&self) {
        if self.queue.is_over() {
            self.workers.wake_all();
            // Under the lock: a waiter is asleep or has yet to look.
            let _lock = self.over.lock.lock();
            self.over.over.notify_all();
        }
    }

    /// Waits until nothing is in flight, or for the deadline.
    fn wait_until_over(&self, deadline: Instant) {
        while crate::testing::is_stepped() && !self.queue.is_over() && instant() < deadline {
            // For the deadline at the most.
            crate::testing::run_others(&mut 0);
        }
        let mut lock = self.over.lock.lock();
        while !self.queue.is_over() {
            let left = deadline.saturating_duration_since(instant());
            if left.is_zero() {
                return;
            }
            lock = match self.over.over.wait_timeout(lock, left) {
                Ok((lock, _)) => lock,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }

    /// Starts nothing any more and drops what is queued. The flow must be closed.
    pub(super) fn abandon(&self) {
        // Release, before the schedule's lock is held in `clear`: a worker that takes something later sees it.
        self.abandoned.store(true, Ordering::Release);
        let mut wake = WakeList::default();
        let queued = self.queue.clear(&mut wake);
        self.wake(&mut wake);
        for (lane, envelope, charge) in queued {
            self.discard(&lane, envelope, charge, Outcome::DroppedAtShutdown, &mut wake);
        }
        self.end_if_over();
    }

    /// Messages that were dropped at a shutdown.
    fn dropped_at_shutdown(&self) -> u64 {
        let by_workers: u64 = self.ledger.workers.iter().map(|worker| worker.dropped()).sum();
        by_workers + self.ledger.counted(Outcome::DroppedAtShutdown)
    }

    /// Closes the flow, waits for what was admitted, drops the rest at the deadline and ends the threads.
    pub(super) fn shut_down(&self, deadline: Instant) -> FlowReport {
        self.close();
        if is_within() {
            // The thread, the handler below this call, or what has called the user's `Drop` or waker, ends after it: it
            // cannot wait for that.
            return FlowReport { dropped: 0, running: self.queue.in_flight(), joined: false };
        }
        let before = self.dropped_at_shutdown();
        if self.open.load(Ordering::Acquire) {
            self.wait_until_over(deadline);
        }
        self.abandon();
        // A message that was admitted as the flow closed may be queued only now: somebody drops it.
        self.open();
        self.workers.release();
        let running = self.queue.in_flight();
        let grace = if running == 0 { JOIN_GRACE } else { Duration::ZERO };
        let joined = self.workers.join(deadline.max(instant() + grace));
        let dropped = (self.dropped_at_shutdown() - before) as usize;
        FlowReport { dropped, running: self.queue.in_flight(), joined }
    }
}
