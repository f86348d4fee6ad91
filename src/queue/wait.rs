//! Those who wait: they join a line, are let in, give up, or are refused. Who waits without an item gets a permit, and
//! fills it later.

use std::{hash::Hash, sync::Arc, task::Waker};

use super::{
    Denied, FairQueue, GRANTS, Lane, Left, Refusal, Waited, WakeList, gate::are_charged,
    schedule::Charged, submit::Entered, waiters::Waiters,
};
use crate::{
    panics::contain,
    sync::{Ordering, fence},
};

impl<K: Clone + Eq + Hash, T> FairQueue<K, T> {
    /// Joins the lane's line, with an item of so many bytes. The ticket is to be [polled](Self::poll_ticket) until it
    /// is decided, or [left](Self::leave_ticket).
    pub(crate) fn wait(
        &self,
        lane: &Arc<Lane<K>>,
        item: T,
        bytes: u32,
        wake: &mut WakeList,
    ) -> Result<usize, (T, Denied)> {
        let waits = self.wait_locked(&mut self.waiters.lock(), lane, Some(item), bytes, wake);
        waits.map_err(|(back, denied)| (back.expect("it comes back"), denied))
    }

    fn wait_locked(
        &self,
        waiters: &mut Waiters<K, T>,
        lane: &Arc<Lane<K>>,
        item: Option<T>,
        bytes: u32,
        wake: &mut WakeList,
    ) -> Result<usize, (Option<T>, Denied)> {
        let denied = if self.is_closed() {
            Some(Denied::Closed)
        } else if lane.is_closed() {
            // A thread that closes it refuses those in its line after this, under the same lock.
            Some(Denied::LaneClosed)
        } else if waiters.in_line(lane) >= self.most_waiters(item.is_none()) {
            Some(Denied::TooManyWaiters)
        } else {
            None
        };
        if let Some(denied) = denied {
            return Err((item, denied));
        }
        let ticket = waiters.join(lane, item, bytes);
        // Relaxed: ordered by the fence, and by the lock among those who write it.
        lane.entrance.waiting.fetch_add(1, Ordering::Relaxed);
        self.signals.waiting.fetch_add(1, Ordering::Relaxed);
        waiters.unblock(lane);
        self.grant_locked(waiters, wake);
        Ok(ticket)
    }

    /// Takes a permit of the lane, or waits for one. Returns the ticket, and whether it holds the permit already. It is
    /// to be [polled](Self::poll_ticket) until it does, and then [filled](Self::fill); or [left](Self::leave_ticket).
    pub(crate) fn wait_for_permit(
        &self,
        lane: &Arc<Lane<K>>,
        wake: &mut WakeList,
    ) -> Result<(usize, bool), Denied> {
        // Under the lock: who closes the lane revokes the permit after this, and who finds a permit held that is taken
        // back has yet to join.
        let mut waiters = self.waiters.lock();
        if !self.others_wait(lane) {
            match self.enter(lane, 1, |_| 0, wake) {
                Ok(_) => return Ok((waiters.hold(lane), true)),
                Err((Denied::Full, _)) => {}
                Err((denied, _)) => return Err(denied),
            }
        }
        let waits = self.wait_locked(&mut waiters, lane, None, 0, wake);
        let ticket = waits.map_err(|(_, denied)| denied)?;
        Ok((ticket, false))
    }

    /// How many may wait in a line. Who wants a permit has no other way to get one, so one may always wait.
    fn most_waiters(&self, for_permit: bool) -> usize {
        if for_permit { self.lane_waiters.max(1) } else { self.lane_waiters }
    }

    /// Lets in those who wait, lane by lane in turn, as far as there is capacity, [`GRANTS`] at the most; `freed` is a
    /// lane of which something has finished.
    pub(crate) fn grant(&self, freed: Option<&Arc<Lane<K>>>, wake: &mut WakeList) {
        let mut waiters = self.waiters.lock();
        if let Some(lane) = freed {
            waiters.unblock(lane);
        }
        self.grant_locked(&mut waiters, wake);
    }

    /// The same for all lanes, whichever has finished something.
    pub(crate) fn grant_all(&self, wake: &mut WakeList) {
        let mut waiters = self.waiters.lock();
        waiters.unblock_all();
        self.grant_locked(&mut waiters, wake);
    }

    pub(super) fn grant_locked(&self, waiters: &mut Waiters<K, T>, wake: &mut WakeList) {
        // SeqCst: step 2 of the proof: who waits is written before it, what has finished is read after.
        fence(Ordering::SeqCst);
        for _ in 0..GRANTS {
            if !waiters.is_blocked_on_queue() {
                break;
            }
            // Looked at first, so that a lane's permit is seldom taken in vain.
            if !self.has_capacity() {
                break;
            }
            let Some((lane, bytes)) = waiters.next() else { break };
            match self.enter(&lane, 1, |_| bytes, wake) {
                Ok(Entered { is_charged, .. }) => {
                    let charge = if is_charged { bytes } else { 0 };
                    if let Some(item) = waiters.admit_next(wake) {
                        wake.worker |= self.push(&lane, Charged { item, charge });
                    }
                    // Only now: a submitter that finds nobody waiting pushes at once, and may be this peer's next.
                    self.note_left(&lane, 1, waiters);
                }
                // A worker that finishes an item of the lane comes here and puts it back into the ring; who closes it
                // comes here and empties its line.
                Err((Denied::LaneClosed, _)) => waiters.block_next(),
                Err((_, was_in_lane)) if was_in_lane && self.lane_has_bytes(&lane) => break,
                Err(_) => waiters.block_next(),
            }
        }
        // Relaxed: a submitter that reads an older value passes somebody who waits, once.
        self.signals.blocked.store(waiters.is_blocked_on_queue(), Ordering::Relaxed);
    }

    pub(super) fn lane_has_bytes(&self, lane: &Lane<K>) -> bool {
        lane.entrance.bytes.used() < self.signals.lane_bytes.load(Ordering::Relaxed)
    }

    /// So many have left a lane's line. Under the waiters' lock.
    pub(super) fn note_left(&self, lane: &Lane<K>, count: usize, _: &Waiters<K, T>) {
        // Release: who reads it in `submit` pushes after what was let in.
        lane.entrance.waiting.fetch_sub(count, Ordering::Release);
        // Relaxed: as in `wait`.
        self.signals.waiting.fetch_sub(count, Ordering::Relaxed);
    }

    /// What has become of a ticket; while it waits, `waker` will be woken.
    pub(crate) fn poll_ticket(&self, ticket: usize, waker: &Waker) -> Waited<T> {
        // The waker is the user's code: cloned before the lock is taken, the old one dropped after it is free.
        let waker = waker.clone();
        let (waited, before) = {
            let mut waiters = self.waiters.lock();
            waiters.poll(ticket, waker)
        };
        contain(|| drop(before));
        waited
    }

    /// Queues an item by the permit of a ticket, which ends with it. The item counts its bytes from now on, whatever
    /// the bound in bytes is: it may be exceeded by one item of each permit.
    pub(crate) fn fill(
        &self,
        ticket: usize,
        item: T,
        bytes: u32,
        wake: &mut WakeList,
    ) -> Result<(), (T, Refusal)> {
        // From here on it is a submitter that has entered, and has yet to push.
        let lane = match self.waiters.lock().fill(ticket) {
            Ok(lane) => lane,
            Err(why) => return Err((item, why)),
        };
        // Relaxed: as in `enter`.
        let most = self.signals.bytes.load(Ordering::Relaxed);
        let lane_most = self.signals.lane_bytes.load(Ordering::Relaxed);
        let charge = if are_charged(most, lane_most) { bytes } else { 0 };
        lane.entrance.bytes.add(charge.into());
        self.bytes.add(charge.into());
        wake.worker |= self.push(&lane, Charged { item, charge });
        Ok(())
    }

    /// Ends a ticket before it is decided, one whose decision nobody has heard, or one that holds a permit.
    pub(crate) fn leave_ticket(&self, ticket: usize, wake: &mut WakeList) -> Left<K, T> {
        let (left, waker) = {
            let mut waiters = self.waiters.lock();
            let (left, waker) = waiters.leave(ticket);
            if let Left::Wait(_, lane) = &left {
                self.note_left(lane, 1, &waiters);
                // It may have been the last for whom others are barred.
                self.grant_locked(&mut waiters, wake);
            }
            (left, waker)
        };
        // Its `Drop` is the user's code, and what comes after this call is not to be missed.
        contain(|| drop(waker));
        left
    }

    /// Bars all who come later and refuses all who wait; returns how many those were, and the lanes of permits that are
    /// revoked, each of which is to be [given back](Self::finish_discarded).
    pub(crate) fn close(&self, wake: &mut WakeList) -> (usize, Vec<Arc<Lane<K>>>) {
        self.gate.close();
        self.signals.closed.store(true, Ordering::Release);
        let mut waiters = self.waiters.lock();
        let (refused, lanes) = waiters.refuse_all(Refusal::Closed, wake);
        let revoked = waiters.revoke_all(Refusal::Closed);
        // Relaxed: as in `wait`.
        lanes.iter().for_each(|lane| lane.entrance.waiting.store(0, Ordering::Relaxed));
        self.signals.waiting.store(0, Ordering::Relaxed);
        self.signals.blocked.store(false, Ordering::Relaxed);
        self.publish();
        (refused, revoked)
    }

    /// Revokes the permits that nobody has asked for since the last call; returns the lane of each, which is to be
    /// [given back](Self::finish_discarded).
    pub(crate) fn revoke_idle(&self) -> Vec<Arc<Lane<K>>> {
        self.waiters.lock().revoke_idle()
    }

    /// How many permits are held.
    pub(crate) fn permits(&self) -> usize {
        self.waiters.lock().permits()
    }

    pub(super) fn has_capacity(&self) -> bool {
        // Relaxed: `enter` decides.
        (self.in_flight() as u64) < self.signals.items.load(Ordering::Relaxed)
            && self.bytes.used() < self.signals.bytes.load(Ordering::Relaxed)
    }
}
