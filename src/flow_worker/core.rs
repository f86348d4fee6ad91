//! The inside of a flow: its lanes, its door, its workers and its handler, put together.
//!
//! A message that is [brought](super::brought) finds its lane, is admitted or waits
//! ([`admission`](super::admission)), is pushed into the lane's queue, and wakes a drain job if nobody would
//! find it ([`claims`](super::claims)). What happens then is the [`drain`](super::drain) job's.

use std::{fmt, sync::Arc};

use arc_swap::ArcSwap;
use crossbeam::utils::CachePadded;

use super::{
    admission::{Admission, Admit},
    brought::Brought,
    claims::Claims,
    lane::Lane,
    lane_set::LaneSet,
    live::{Kept, Live},
    parking::Parking,
    patience::Patience,
    peers::Peers,
    pool::{Job, Spawn, Threads},
    quarantine::Suspects,
    welcome::Welcomes,
};
use crate::{
    NodeId, Order, RefusalReason,
    clock::Moment,
    config::FlowConfig,
    metrics::FlowMetrics,
    panics::PanicLog,
    sync::{AtomicBool, AtomicUsize, Ordering, fence},
};

/// What is done with messages.
pub(crate) trait Handle<M>: Send + Sync + 'static {
    /// Runs one message.
    fn handle(&self, peer: NodeId, message: M);

    /// Takes a message that will not run.
    fn discard(&self, message: M) {
        drop(message);
    }

    /// The flow has closed because a handler has panicked on a message of this peer.
    fn failed(&self, _peer: NodeId) {}
}

/// The inside of a flow.
pub(crate) struct Core<M: Send + 'static, H: Handle<M>, S: Spawn = Threads> {
    pub(super) name: &'static str,
    pub(super) order: Order,
    /// What it was built with; some of it never changes.
    pub(super) built: FlowConfig,
    /// What may change while it runs.
    pub(super) live: ArcSwap<Live<H>>,
    pub(super) peers: Peers<Brought<M>>,
    pub(super) admission: Admission<Brought<M>>,
    /// Lanes with messages.
    pub(super) ready: LaneSet,
    pub(super) tells_losses: bool,
    /// Lanes whose messages were dropped.
    pub(super) lossy: LaneSet,
    /// Lanes of peers that have gone with messages in the queue.
    pub(super) cancelled: LaneSet,
    pub(super) suspects: Suspects,
    /// A handler has panicked, and the flow does not survive that.
    pub(super) failed: AtomicBool,
    pub(super) claims: CachePadded<Claims>,
    pub(super) parking: Parking,
    pub(super) patience: CachePadded<Patience>,
    pub(super) metrics: Arc<FlowMetrics>,
    pub(super) threads: S,
    pub(super) panics: Arc<PanicLog>,
    /// From when the flow's own times count.
    pub(super) epoch: Moment,
    /// The seat at which the next drain job begins: where the last one has ended.
    pub(super) turn: AtomicUsize,
    /// The least depth of the stack at which a spawned drain job was ever found.
    pub(super) bottom: AtomicUsize,
}

/// What a flow is built of, beside its configuration.
pub(super) struct Parts<H, S> {
    pub(super) name: &'static str,
    /// Nothing runs until [`open`](Core::open).
    pub(super) withheld: bool,
    /// There is somebody who tells the replica of what is lost.
    pub(super) tells_losses: bool,
    pub(super) welcomes: Arc<Welcomes>,
    pub(super) panics: Arc<PanicLog>,
    pub(super) metrics: Arc<FlowMetrics>,
    pub(super) threads: S,
    pub(super) handler: H,
}

impl<M: Send + 'static, H: Handle<M>, S: Spawn> Core<M, H, S> {
    /// A flow of a checked configuration.
    pub(super) fn new(config: &FlowConfig, parts: Parts<H, S>) -> Self {
        let Parts { name, withheld, tells_losses, welcomes, panics, metrics, threads, handler } =
            parts;
        let peers = config.max_peers();
        Self {
            name,
            order: config.order(),
            built: *config,
            live: ArcSwap::from_pointee(Live::new(config, Kept::new(handler))),
            peers: Peers::new(peers, config.peer_quota(), welcomes),
            admission: Admission::new(peers, config.max_waiters(), Arc::clone(&metrics)),
            ready: LaneSet::new(peers),
            tells_losses,
            lossy: LaneSet::new(peers),
            cancelled: LaneSet::new(peers),
            suspects: Suspects::default(),
            failed: AtomicBool::new(false),
            claims: CachePadded::new(Claims::new(config.threads(), withheld)),
            parking: Parking::new(config.threads()),
            patience: CachePadded::new(Patience::new()),
            metrics,
            threads,
            panics,
            epoch: Moment::now(),
            turn: AtomicUsize::new(0),
            bottom: AtomicUsize::new(usize::MAX),
        }
    }

    /// Lets in those who wait in a lane that may have more room than before, or that was cancelled.
    pub(super) fn settle(self: &Arc<Self>, lane: &Lane<Brought<M>>) {
        // SeqCst: part of the proof in `admission::settle`.
        fence(Ordering::SeqCst);
        self.admission.settle_lane(lane, self);
    }

    /// A moment as the flow's own times are kept.
    #[inline]
    pub(super) fn nanos(&self, moment: Moment) -> u64 {
        moment.nanos_since(self.epoch)
    }

    /// Makes sure that somebody will look into a lane that has messages; true if nobody would have.
    #[inline]
    pub(super) fn list(self: &Arc<Self>, lane: &Lane<Brought<M>>) -> bool {
        // SeqCst: pairs with that of whoever takes the lane out of the set or lets go of it, of whoever
        // releases it, and of whoever lowers a claim: the message is pushed before it, they are looked at
        // after.
        fence(Ordering::SeqCst);
        if self.order == Order::PerPeer && lane.is_held() || lane.is_withheld() {
            return false;
        }
        let is_new = self.ready.insert(lane.seat);
        if is_new {
            // SeqCst: the same, for the lane in the set and the claims.
            fence(Ordering::SeqCst);
        }
        if self.claims.claim_if_unseen() {
            self.start();
        }
        is_new
    }

    /// Starts a drain job, or wakes one that sleeps. The caller has taken a claim for it.
    pub(super) fn start(self: &Arc<Self>) {
        if self.parking.call_one() {
            return;
        }
        if !self.threads.spawn(Arc::clone(self) as Arc<dyn Job>) {
            // Only a shutdown takes the threads away, after it has abandoned the flow. The calling thread is
            // no worker, and has no worker's counters.
            self.discard_listed();
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

    fn refused(&self, reason: RefusalReason) {
        self.metrics.ended(reason.into());
    }

    fn has_left(&self, lane: &Arc<Lane<Brought<M>>>) {
        self.retire_if_done(lane);
    }
}

impl<M: Send + 'static, H: Handle<M>, S: Spawn> fmt::Debug for Core<M, H, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core").field("name", &self.name).field("peers", &self.peers).finish()
    }
}

#[cfg(all(test, loom))]
mod model;
