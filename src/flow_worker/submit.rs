//! The way of a message in: its lane, and what becomes of it if there is no capacity.

use std::{
    cell::Cell,
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use super::{
    core::{Core, Envelope, bounds},
    drain::within,
    execute::Refused,
};
use crate::{
    Outcome, OverloadPolicy, PeerKey, RefusalReason,
    clock::Moment,
    ledger::{Amount, Usage},
    queue::{Denied, Lane, Offer, Replaced, WakeList},
};

/// How many messages are dropped for one, at the most. One is enough, unless another submitter is quicker.
const MAX_EVICTIONS: usize = 4;

/// What becomes of a message.
#[derive(Debug)]
#[must_use]
pub(super) enum Decision<M> {
    Admitted,
    /// It waits in a line; this is its ticket.
    Waits(usize),
    /// The policy has dropped it, and it is counted so.
    Dropped(Outcome),
    Refused(Box<Refused<M>>),
}

impl<M: Send + 'static, K: PeerKey> Core<M, K> {
    /// Submits a message of a peer, of so many bytes; a submitter may remember the peer's lane. If there is no capacity
    /// it waits, if it `may`, or what the flow's policy says is done with it.
    #[inline]
    pub(super) fn submit(
        &self,
        remembered: Option<&Arc<Lane<K>>>,
        peer: &K,
        message: M,
        bytes: usize,
        may_wait: bool,
    ) -> Decision<M> {
        let bytes = charged(bytes);
        // Taken out where it is admitted, so that it moves once.
        let mut envelope = Some(Envelope { message, arrived: Moment::now() });
        let mut wake = WakeList::default();
        let submitted = match remembered {
            Some(lane) => self.queue.submit(lane, &mut envelope, bytes, &mut wake),
            None => self.queue.with_lane(peer, |lane| match lane {
                Some(lane) => self.queue.submit(lane, &mut envelope, bytes, &mut wake),
                None => Err(Denied::LaneClosed),
            }),
        };
        let submitted = match submitted {
            Ok(()) => Decision::Admitted,
            Err(denied) => {
                let envelope = envelope.take().expect("it was not admitted");
                self.submit_denied(peer, envelope, denied, bytes, may_wait, &mut wake)
            }
        };
        self.wake(&mut wake);
        submitted
    }

    /// Submits messages of a peer with the bytes of each, as far as there is capacity, and returns how many. They are
    /// taken from the front and count as admitted. The others stay where they are and count as nothing: the first of
    /// them is for [`submit`](Self::submit), which says why it is not admitted, or lets it wait.
    pub(crate) fn submit_many(
        &self,
        remembered: Option<&Arc<Lane<K>>>,
        peer: &K,
        messages: &mut VecDeque<(M, usize)>,
    ) -> usize {
        if messages.is_empty() {
            return 0;
        }
        let mut wake = WakeList::default();
        let mut offered = Offered { messages, arrived: Moment::now() };
        let mut submitted = match remembered {
            Some(lane) => self.queue.submit_many(lane, &mut offered, &mut wake),
            None => self.queue.with_lane(peer, |lane| match lane {
                Some(lane) => self.queue.submit_many(lane, &mut offered, &mut wake),
                None => Err(Denied::LaneClosed),
            }),
        };
        if submitted == Err(Denied::LaneClosed) {
            // It has none, or one that another thread has closed.
            if let Some(lane) = self.queue.lane(peer) {
                submitted = self.queue.submit_many(&lane, &mut offered, &mut wake);
            }
        }
        if !messages.is_empty() {
            self.ledger.note_in_flight(self.queue.least_in_flight());
        }
        self.wake(&mut wake);
        submitted.unwrap_or(0)
    }

    /// What is done with a message that has not been admitted at the first attempt.
    #[cold]
    fn submit_denied(
        &self,
        peer: &K,
        mut envelope: Envelope<M>,
        mut denied: Denied,
        bytes: u32,
        may_wait: bool,
        wake: &mut WakeList,
    ) -> Decision<M> {
        let mut evictions = 0;
        // Each turn but the last has found a lane that another thread has closed, or has dropped a message, which it
        // does a few times only.
        loop {
            if self.queue.is_closed() || denied == Denied::Closed {
                return self.refuse(envelope, RefusalReason::Closed);
            }
            let Some(lane) = self.queue.lane(peer) else {
                return self.refuse(envelope, RefusalReason::TooManyPeers);
            };
            if denied == Denied::Full {
                self.ledger.note_in_flight(self.queue.least_in_flight());
                let policy = self.runtime.load().config.overload_policy();
                if policy == OverloadPolicy::KeepLatest {
                    let mut newer = Some(envelope);
                    if self.supersede(&lane, &mut newer, bytes, wake) {
                        return Decision::Admitted;
                    }
                    envelope = newer.take().expect("it was not admitted");
                }
                match policy {
                    _ if !may_wait => return self.refuse(envelope, RefusalReason::Full),
                    OverloadPolicy::Refuse => {
                        self.count_excess(&lane, bytes);
                        return self.refuse(envelope, RefusalReason::Full);
                    }
                    OverloadPolicy::DropNewest => {
                        return self.drop_newest(&lane, envelope, bytes, wake);
                    }
                    OverloadPolicy::DropOldest => {
                        let oldest = self.queue.evict(&lane, wake);
                        self.wake(wake);
                        let Some((oldest, charge)) = oldest else {
                            return self.drop_newest(&lane, envelope, bytes, wake);
                        };
                        // Before it is discarded, so that it counts beside the one that its capacity goes to.
                        self.count_excess(&lane, charge);
                        self.discard(&lane, oldest, charge, Outcome::DroppedOldest, wake);
                        evictions += 1;
                        if evictions > MAX_EVICTIONS {
                            return self.drop_newest(&lane, envelope, bytes, wake);
                        }
                    }
                    OverloadPolicy::Wait | OverloadPolicy::KeepLatest => {
                        match self.queue.wait(&lane, envelope, bytes, wake) {
                            Ok(ticket) => {
                                self.ledger.has_waited();
                                return Decision::Waits(ticket);
                            }
                            Err((back, Denied::TooManyWaiters)) => {
                                return self.refuse(back, RefusalReason::TooManyWaiters);
                            }
                            Err((back, _)) => {
                                envelope = back;
                                continue;
                            }
                        }
                    }
                }
            }
            let mut again = Some(envelope);
            match self.queue.submit(&lane, &mut again, bytes, wake) {
                Ok(()) => return Decision::Admitted,
                Err(why) => denied = why,
            }
            envelope = again.take().expect("it was not admitted");
        }
    }

    /// Admits a message in the place of one that it supersedes; false if there is none.
    fn supersede(
        &self,
        lane: &Arc<Lane<K>>,
        newer: &mut Option<Envelope<M>>,
        bytes: u32,
        wake: &mut WakeList,
    ) -> bool {
        // What replaces the handler meanwhile is not asked.
        let runtime = self.runtime.load_full();
        let Some(handler) = runtime.handler.get() else { return false };
        let has_panicked = Cell::new(false);
        let supersedes = |newer: &Envelope<M>, older: &Envelope<M>| {
            if has_panicked.get() {
                return false;
            }
            let ask = || handler.supersedes(&newer.message, &older.message);
            catch_unwind(AssertUnwindSafe(|| within(ask))).unwrap_or_else(|payload| {
                has_panicked.set(true);
                self.panics.report(payload);
                false
            })
        };
        let count = || self.ledger.count(Outcome::Superseded);
        let notify = |wake: &mut WakeList| self.wake(wake);
        let replaced = self.queue.replace(lane, newer, bytes, supersedes, count, notify);
        let Some(Replaced { first, others }) = replaced else { return false };
        self.let_go(lane.key(), first.message, Outcome::Superseded);
        for (older, charge) in others {
            self.discard(lane, older, charge, Outcome::Superseded, wake);
        }
        true
    }

    /// Counts a message of so many bytes that is dropped, or refused by the policy, for want of capacity.
    fn count_excess(&self, lane: &Lane<K>, bytes: u32) {
        let (excess, bytes) = (&self.ledger.excess, u64::from(bytes));
        let amount = |(items, bytes)| Amount { items, bytes };
        let of_lane = amount(lane.count_excess(excess.overload(), bytes));
        let [flow, of_peer] = bounds(&self.runtime.load().config);
        let in_flight = (self.queue.least_in_flight() as u64, self.queue.bytes_in_flight() as u64);
        let flow = Usage { bound: flow, in_flight: amount(in_flight) };
        let lane = Usage { bound: of_peer, in_flight: amount(lane.in_flight()) };
        excess.record(bytes, flow, lane, of_lane);
    }

    fn refuse(&self, envelope: Envelope<M>, reason: RefusalReason) -> Decision<M> {
        self.ledger.count(reason.into());
        Decision::Refused(Box::new(Refused { message: envelope.message, reason }))
    }

    /// Drops a message for which there is no capacity.
    fn drop_newest(
        &self,
        lane: &Arc<Lane<K>>,
        envelope: Envelope<M>,
        bytes: u32,
        wake: &mut WakeList,
    ) -> Decision<M> {
        // Before the user's code runs.
        self.wake(wake);
        self.count_excess(lane, bytes);
        self.drops.record(lane);
        self.ledger.count(Outcome::DroppedNewest);
        self.let_go(lane.key(), envelope.message, Outcome::DroppedNewest);
        Decision::Dropped(Outcome::DroppedNewest)
    }
}

/// What a message of so many bytes is charged. One of no bytes counts as one byte, one of more than a count holds as
/// that many.
#[inline]
pub(super) fn charged(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX).max(1)
}

/// Messages that are submitted together, with the bytes of each.
struct Offered<'a, M> {
    messages: &'a mut VecDeque<(M, usize)>,
    arrived: Moment,
}

impl<M> Offer for Offered<'_, M> {
    type Item = Envelope<M>;

    fn len(&self) -> usize {
        self.messages.len()
    }

    #[inline]
    fn bytes(&self, at: usize) -> u32 {
        charged(self.messages[at].1)
    }

    #[inline]
    fn next(&mut self) -> Option<Envelope<M>> {
        let (message, _) = self.messages.pop_front()?;
        Some(Envelope { message, arrived: self.arrived })
    }
}
