//! The way of an item out: a worker moves the inbox into the lanes, takes a run, and says what it has finished.

use std::{hash::Hash, sync::Arc};

use super::{
    AHEAD, BRIEF, DRAIN, FairQueue, HANDFUL, Lane, RUN, Take, WARM_LANES, WakeList, Worker,
    chunks::Chunk,
    schedule::{Ended, Schedule},
};
use crate::sync::{MutexGuard, Ordering, fence};

impl<K: Clone + Eq + Hash, T> FairQueue<K, T> {
    pub(crate) fn worker(&self, index: usize) -> Worker<K, T> {
        Worker {
            index,
            lane: None,
            run: Chunk::with_capacity(RUN),
            taken: 0,
            ended: None,
            left: false,
        }
    }

    /// Takes the next run in fair order.
    pub(crate) fn take(&self, worker: &mut Worker<K, T>) -> Take {
        let Some(mut schedule) = self.schedule.try_lock() else { return Take::Busy };
        let is_brief = worker.ended.is_none_or(|ended| ended.service < BRIEF * ended.items as u64);
        let deactivated = self.end_turn(&mut schedule, worker);
        let mut has_moved_all =
            self.finished.len() > 1 && (deactivated || self.knocked.load(Ordering::Relaxed));
        if has_moved_all {
            self.drain_all(&mut schedule);
        } else if is_brief {
            let (queued, before) = (schedule.queued(), schedule.queued_before);
            let taken = before.saturating_sub(queued);
            if taken >= AHEAD.min(before / 2) {
                self.drain(&mut schedule, AHEAD.saturating_sub(queued).max(2 * taken));
            }
        } else {
            self.drain(&mut schedule, DRAIN);
        }
        if !has_moved_all && !schedule.has_due() {
            // Before a debt is forgiven for want of another lane: the other's items may be in the inbox.
            self.drain(&mut schedule, DRAIN);
        }
        loop {
            if let Some(lane) = schedule.next(&mut worker.run) {
                worker.lane = Some(lane);
                worker.taken = worker.run.len();
                if self.lane_workers > 1 {
                    // The run may have been all that the lane had, which others may serve: as in `end_turn`.
                    self.drain_all(&mut schedule);
                }
                self.leave(&schedule);
                return Take::Run { more: schedule.is_ready() };
            }
            if has_moved_all {
                self.leave(&schedule);
                return Take::Empty;
            }
            // Nothing that is queued can be served: what is in the inbox may.
            self.drain_all(&mut schedule);
            has_moved_all = true;
        }
    }

    /// An item of the worker's run is gone, whatever became of it, and its capacity is free.
    #[inline]
    pub(crate) fn finish(&self, worker: &Worker<K, T>, charge: u32) {
        let lane = worker.lane();
        if charge > 0 {
            lane.entrance.bytes.leave(charge.into());
            self.bytes.leave(charge.into());
        }
        if self.lane_workers == 1 {
            // Relaxed load: nobody else writes it. Release: who sees the item finished sees what it did.
            lane.finished
                .items
                .store(lane.finished.items.load(Ordering::Relaxed) + 1, Ordering::Release);
        } else {
            lane.finished.items.fetch_add(1, Ordering::Release);
        }
        let finished = &self.finished[worker.index];
        finished.store(finished.load(Ordering::Relaxed) + 1, Ordering::Release);
    }

    /// The worker has no time for the queue for a while: its lane can be served by others.
    pub(crate) fn put_down(&self, worker: &mut Worker<K, T>) {
        if worker.ended.is_some() {
            let mut schedule = self.schedule.lock();
            self.end_turn(&mut schedule, worker);
            self.drain_all(&mut schedule);
            self.leave(&schedule);
        }
    }

    /// Settles a run that is over with the schedule; true if its lane is active no longer.
    pub(super) fn end_turn(
        &self,
        schedule: &mut Schedule<K, T>,
        worker: &mut Worker<K, T>,
    ) -> bool {
        let Some(ended) = worker.ended.take() else { return false };
        let lane = worker.lane.take().expect("a run has a lane");
        // Who cancels or retires the lane says so before it takes the lock that is held here: it finds the lane served
        // no longer, or is found. Relaxed: ordered by the lock.
        if !lane.service.departs.load(Ordering::Relaxed) {
            return schedule.end(lane, ended).1;
        }
        let (is_last, deactivated) = schedule.end(Arc::clone(&lane), ended);
        if is_last {
            lane.notify_left();
        }
        worker.left |= self.remove_if_over(schedule, &lane);
        deactivated
    }

    /// The worker's run is over; it has taken so many nanoseconds. The lane counts as served until the worker's next
    /// [`take`](Self::take) or [`put_down`](Self::put_down), which must follow at once: so a submitter to it wakes
    /// nobody in between.
    pub(crate) fn end_run(&self, worker: &mut Worker<K, T>, service: u64) {
        debug_assert!(worker.run.is_empty(), "all of a run is finished");
        worker.ended = Some(Ended { items: worker.taken, service });
        self.publish();
    }

    /// An item that no worker took is gone, and its capacity is free.
    pub(crate) fn finish_discarded(&self, lane: &Arc<Lane<K>>, charge: u32, wake: &mut WakeList) {
        if charge > 0 {
            lane.entrance.bytes.leave(charge.into());
            self.bytes.leave(charge.into());
        }
        // Release: as for `finish`.
        lane.entrance.discarded.fetch_add(1, Ordering::Release);
        self.discarded.fetch_add(1, Ordering::Release);
        self.publish();
        if lane.is_over() {
            wake.left |= self.remove_if_over(&mut self.schedule.lock(), lane);
        }
        if self.has_waiters() {
            self.grant(Some(lane), wake);
        }
    }

    /// Whether somebody waits. After an item has finished, without a fence: an answer may come too early.
    #[inline]
    pub(crate) fn has_waiters(&self) -> bool {
        self.signals.waiting.load(Ordering::Relaxed) > 0
    }

    /// Makes what this thread has finished, taken back or closed known before it looks who waits, or whether the queue
    /// or the lane is over.
    pub(super) fn publish(&self) {
        // SeqCst: steps 2, 3 and 4 of the proof.
        fence(Ordering::SeqCst);
    }

    /// Whether a worker that looks would find something, or may.
    #[inline]
    pub(crate) fn is_ready(&self) -> bool {
        self.knocked.load(Ordering::Relaxed) || self.ready.load(Ordering::Relaxed)
    }

    /// Whether some lane could be served when a worker last took a run.
    #[inline]
    pub(crate) fn has_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    /// Moves all items into the lanes that are in the inbox now. Ends: it has so many slots.
    pub(super) fn drain_all(&self, schedule: &mut Schedule<K, T>) {
        // Relaxed: ordered by the fence.
        self.knocked.store(false, Ordering::Relaxed);
        // SeqCst: step 1 of the proof: who finds that somebody has knocked already has pushed before this.
        fence(Ordering::SeqCst);
        self.drain_present(schedule);
    }

    /// Moves up to `most` items from the inbox into the lanes, and the rest of the row that the last of them is in.
    pub(super) fn drain(&self, schedule: &mut Schedule<K, T>, most: usize) {
        self.drain_up_to(schedule, most, most);
    }

    /// Moves all items that are in the inbox now.
    pub(super) fn drain_present(&self, schedule: &mut Schedule<K, T>) {
        self.drain_up_to(schedule, self.inbox.len(), usize::MAX);
    }

    /// Moves items until so many entries of the inbox or so many items are moved.
    fn drain_up_to(&self, schedule: &mut Schedule<K, T>, entries: usize, items: usize) {
        if schedule.lanes() > WARM_LANES {
            self.drain_by_handfuls(schedule, entries, items);
        } else {
            let mut left = items;
            for _ in 0..entries {
                let Some(entry) = self.inbox.pop() else { break };
                left = left.saturating_sub(self.accept(schedule, entry));
                if left == 0 {
                    break;
                }
            }
        }
        schedule.queued_before = schedule.queued();
    }

    /// The same where lanes are many: a pop waits for all cache lines that were asked for before it.
    fn drain_by_handfuls(&self, schedule: &mut Schedule<K, T>, entries: usize, items: usize) {
        let mut arrivals = std::mem::take(&mut schedule.arrivals);
        let (mut entries, mut items) = (entries, items);
        while entries > 0 && items > 0 {
            let handful = entries.min(items).min(HANDFUL);
            arrivals.extend(std::iter::from_fn(|| self.inbox.pop()).take(handful));
            entries = if arrivals.len() == handful { entries - handful } else { 0 };
            for entry in arrivals.drain(..) {
                items = items.saturating_sub(self.accept(schedule, entry));
            }
        }
        schedule.arrivals = arrivals;
    }

    /// To be called before the schedule's lock is given back by anybody who has changed it.
    pub(super) fn leave(&self, schedule: &Schedule<K, T>) {
        // Relaxed: a worker fences before it reads this and sleeps; who has made a lane ready fences before it
        // reads who sleeps, in `Sleep::notify`.
        self.ready.store(schedule.is_ready(), Ordering::Relaxed);
    }

    /// The same for who is no worker and has ended the activity of a lane.
    pub(super) fn leave_changed(
        &self,
        mut schedule: MutexGuard<'_, Schedule<K, T>>,
        wake: &mut WakeList,
    ) {
        self.drain_all(&mut schedule);
        self.leave(&schedule);
        wake.worker |= schedule.is_ready();
    }
}
