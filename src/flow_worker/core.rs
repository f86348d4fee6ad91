//! The inside of a flow: its lanes, its door, its workers and its handler, put together.
//!
//! A message that is brought finds its lane, is admitted or waits ([`admission`](super::admission)),
//! is pushed into the lane's queue, and wakes a drain job if nobody would find it
//! ([`claims`](super::claims)). What happens then is the [`drain`](super::drain) job's.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use crossbeam::utils::CachePadded;

use super::{
    admission::{Admission, Admit, Denied, Entry},
    claims::Claims,
    lane::Lane,
    lane_set::LaneSet,
    line::{Decided, Place},
    parking::Parking,
    peers::Peers,
    pool::{Job, Spawn, Threads},
};
use crate::{
    NodeId, Order, RefusalReason, WaitStrategy,
    clock::Moment,
    config::FlowConfig,
    metrics::FlowMetrics,
    panics::PanicLog,
    sync::{AtomicUsize, Ordering, fence},
};

/// What is done with messages.
pub(crate) trait Handle<M>: Send + Sync + 'static {
    /// Runs one message.
    fn handle(&self, peer: NodeId, message: M);

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
    pub(super) arrived: Moment,
}

/// What becomes of a message that was brought.
#[derive(Debug)]
#[must_use]
pub(super) enum Outcome<M> {
    Admitted,
    Waits(Arc<Lane<Brought<M>>>, Arc<Place<Brought<M>>>),
    Refused(M, RefusalReason),
}

/// How a flow treats its lanes and its threads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manners {
    pub(super) order: Order,
    pub(super) quantum: Duration,
    pub(super) wait: WaitStrategy,
}

/// The inside of a flow.
pub(crate) struct Core<M: Send + 'static, H: Handle<M>, S: Spawn = Threads> {
    name: &'static str,
    pub(super) manners: Manners,
    pub(super) peers: Peers<Brought<M>>,
    pub(super) admission: Admission<Brought<M>>,
    /// Lanes with messages.
    pub(super) ready: LaneSet,
    pub(super) claims: CachePadded<Claims>,
    pub(super) parking: Parking,
    pub(super) metrics: Arc<FlowMetrics>,
    pub(super) threads: S,
    pub(super) handler: H,
    pub(super) panics: Arc<PanicLog>,
    /// The seat at which the next drain job begins: where the last one has ended.
    pub(super) turn: AtomicUsize,
    /// The least depth of the stack at which a spawned drain job was ever found.
    pub(super) bottom: AtomicUsize,
}

impl<M: Send + 'static, H: Handle<M>, S: Spawn> Core<M, H, S> {
    /// A flow of a checked configuration; one that is `withheld` runs nothing until
    /// [`open`](Self::open).
    pub(super) fn new(
        name: &'static str,
        config: &FlowConfig,
        withheld: bool,
        panics: Arc<PanicLog>,
        metrics: Arc<FlowMetrics>,
        threads: S,
        handler: H,
    ) -> Self {
        let peers = config.max_peers();
        Self {
            name,
            manners: Manners {
                order: config.order(),
                quantum: config.quantum(),
                wait: config.wait_strategy(),
            },
            peers: Peers::new(peers, config.peer_quota()),
            admission: Admission::new(peers, config.max_waiters(), Arc::clone(&metrics)),
            ready: LaneSet::new(peers),
            claims: CachePadded::new(Claims::new(config.threads(), withheld)),
            parking: Parking::new(config.threads()),
            metrics,
            threads,
            handler,
            panics,
            turn: AtomicUsize::new(0),
            bottom: AtomicUsize::new(usize::MAX),
        }
    }

    /// Brings a message of a peer; if there is no room for it, it waits if it `may`.
    pub(super) fn bring(self: &Arc<Self>, peer: NodeId, message: M, may_wait: bool) -> Outcome<M> {
        let mut brought = Brought { message, arrived: Moment::now() };
        // Whoever turns this loop once more has found a lane that another thread has retired.
        loop {
            let part = self.peers.find(peer);
            let seated;
            let lane = match part.lane() {
                Some(lane) => lane,
                None => {
                    seated = self.peers.find_or_seat(peer);
                    let Some(lane) = &seated else {
                        return self.refuse(brought, RefusalReason::TooManyPeers);
                    };
                    lane
                }
            };
            match self.admission.enter(lane, self) {
                Entry::Admitted => {
                    self.push(lane, brought);
                    return Outcome::Admitted;
                }
                Entry::NoRoom if may_wait => match self.admission.join(lane, brought, self) {
                    Ok(place) => return Outcome::Waits(Arc::clone(lane), place),
                    Err((back, Denied::Crowded)) => {
                        return self.refuse(back, RefusalReason::TooManyWaiters);
                    }
                    Err((back, Denied::Retired)) => brought = back,
                },
                Entry::NoRoom => return self.refuse(brought, RefusalReason::TooManyWaiters),
                Entry::Closed => return self.refuse(brought, RefusalReason::Closed),
                Entry::Retired => {}
            }
            self.peers.take_out(lane);
        }
    }

    fn refuse(&self, brought: Brought<M>, reason: RefusalReason) -> Outcome<M> {
        self.metrics.refused(reason);
        Outcome::Refused(brought.message, reason)
    }

    /// Queues a message that has been admitted, and wakes a worker for it.
    fn push(self: &Arc<Self>, lane: &Lane<Brought<M>>, brought: Brought<M>) {
        let pushed = lane.queue.push(brought);
        assert!(pushed.is_ok(), "{}: a lane has a slot for each message of its quota", self.name);
        self.list(lane);
    }

    /// Makes sure that somebody will look into a lane that has messages.
    pub(super) fn list(self: &Arc<Self>, lane: &Lane<Brought<M>>) {
        // SeqCst: pairs with that of whoever takes the lane out of the set or lets go of it, and of
        // whoever lowers a claim: the message is pushed before it, they are looked at after.
        fence(Ordering::SeqCst);
        if self.manners.order == Order::PerPeer && lane.is_held() {
            return;
        }
        if self.ready.insert(lane.seat) {
            // SeqCst: the same, for the lane in the set and the claims.
            fence(Ordering::SeqCst);
        }
        if self.claims.claim_if_unseen() {
            self.start();
        }
    }

    /// Starts a drain job, or wakes one that sleeps. The caller has taken a claim for it.
    pub(super) fn start(self: &Arc<Self>) {
        let parks = self.manners.wait == WaitStrategy::Park;
        if parks && self.parking.call_one() {
            return;
        }
        if !self.threads.spawn(Arc::clone(self) as Arc<dyn Job>) {
            // Only a shutdown takes the threads away, after it has abandoned the flow: draining runs
            // nothing any more, it only drops.
            self.drain(false);
        }
    }

    /// Lets a flow run that was built withheld. To be called once.
    pub(super) fn open(self: &Arc<Self>) {
        if self.claims.hand_out(|| self.ready.is_empty()) {
            self.start();
        }
    }

    /// Admits nothing any more and refuses all who wait. What was admitted still runs.
    pub(super) fn close(self: &Arc<Self>) {
        self.admission.close(self);
        // After the mark that says so, and a fence: who lies down later sees it.
        self.parking.call_all_to_leave();
    }

    /// The peer's lane goes when it is unused.
    pub(super) fn forget(&self, peer: NodeId) {
        if let Some(lane) = self.peers.find(peer).lane() {
            // The mark first: whoever makes the lane unused after the attempt below finds it.
            lane.forget();
            self.peers.retire(lane);
        }
    }

    /// Takes a message that will not run, and frees its room.
    pub(super) fn discard(self: &Arc<Self>, lane: &Lane<Brought<M>>, message: M) {
        let discarded = catch_unwind(AssertUnwindSafe(|| self.handler.discard(message)));
        lane.leave();
        self.metrics.dropped();
        self.admission.finished(lane, self, &mut Decided::default());
        if let Err(payload) = discarded {
            self.panics.report(payload);
        }
    }

    /// Drops what is queued in a lane; returns how many messages that was. The flow must have been
    /// abandoned, or its calling handler hold the lane.
    pub(super) fn discard_queue(self: &Arc<Self>, lane: &Lane<Brought<M>>) -> usize {
        let mut dropped = 0;
        // Ends: the flow is closed, and at most as many messages as the quota are left.
        while let Some(Brought { message, .. }) = lane.queue.pop() {
            self.discard(lane, message);
            dropped += 1;
        }
        dropped
    }

    /// Starts nothing any more and drops what is queued; returns how many messages that was. The
    /// flow must be closed.
    pub(super) fn abandon(self: &Arc<Self>) -> usize {
        self.admission.abandon();
        self.peers.iter().map(|lane| self.discard_queue(&lane)).sum()
    }
}

impl<M: Send + 'static, H: Handle<M>, S: Spawn> Admit<Brought<M>> for Arc<Core<M, H, S>> {
    fn lane(&self, seat: usize) -> Option<Arc<Lane<Brought<M>>>> {
        self.peers.at(seat)
    }

    fn lanes(&self) -> impl Iterator<Item = Arc<Lane<Brought<M>>>> {
        self.peers.iter()
    }

    fn admit(&self, lane: &Lane<Brought<M>>, brought: Brought<M>) {
        self.push(lane, brought);
    }

    fn refused(&self) {
        self.metrics.refused(RefusalReason::Closed);
    }
}

impl<M: Send + 'static, H: Handle<M>, S: Spawn> Drop for Core<M, H, S> {
    fn drop(&mut self) {
        // Those of a flow that was withheld to the end; there is nobody left who waits for room.
        for lane in self.peers.iter() {
            while let Some(Brought { message, .. }) = lane.queue.pop() {
                let discarded = catch_unwind(AssertUnwindSafe(|| self.handler.discard(message)));
                self.metrics.dropped();
                if let Err(payload) = discarded {
                    self.panics.report(payload);
                }
            }
        }
    }
}

impl<M: Send + 'static, H: Handle<M>, S: Spawn> fmt::Debug for Core<M, H, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core").field("name", &self.name).field("peers", &self.peers).finish()
    }
}

#[cfg(all(test, loom))]
mod model;
