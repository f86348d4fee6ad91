//! One peer's lane in a flow: its queue, its permits, and who waits for them.
//!
//! A lane is bounded twice: a message enters if its peer has fewer than its quota in flight, which is
//! the lane's to know, and if the flow has room, which is not ([`admission`](super::admission)). So a
//! peer that is over its quota waits alone. The queue has a slot for each message of the quota, and a
//! slot is empty before its message counts as finished, so a push never fails.
//!
//! ```text
//!             first message              unused, and forgotten or in the way
//!   (no lane) ─────────────▶ in the table ─────────────────────────────────▶ retired ──▶ (dropped)
//!                                 │ its peer has gone                           ▲
//!                                 └─────────▶ cancelled ────────────────────────┘ its last message has ended
//! ```
//!
//! A lane is one connection's. When the peer goes, its lane is cancelled, whatever is queued in it: one
//! mark, which is looked at when a message would start. A message that comes later, of the peer's next
//! connection, finds no lane and makes a new one.
//!
//! What the submitters write with each message and what the workers write with each message lie on cache
//! lines of their own; what is read with each message is written once in a turn at the most.

use std::{fmt, sync::Arc};

use arc_swap::ArcSwapOption;
use crossbeam::utils::CachePadded;

use super::{
    codel::Standing,
    line::Line,
    welcome::{WITHHELD_QUOTA, Welcome},
};
use crate::{
    FlowConfig, NodeId,
    permits::{ByteBound, Permits},
    sync::{ArrayQueue, AtomicBool, AtomicU64, Ordering, fence},
};

/// As the time since when messages are queued.
const NOBODY: u64 = u64::MAX;

/// What submitters read and write with each message.
pub(super) struct Entrance {
    /// Shut means cancelled or retired.
    pub(super) permits: Permits,
    /// Written if the flow or its peers are bounded in bytes.
    pub(super) bytes: ByteBound,
}

/// What workers read and write with each message.
pub(super) struct Service {
    /// Messages that were finished. Written with every one of them, by whichever worker.
    left: AtomicU64,
    /// About when the oldest message in the queue has come, in nanoseconds since the flow was made, or that none
    /// is queued. Whoever takes it away may take a younger one's along, so that an age may be too small.
    since: AtomicU64,
    /// A worker runs its messages, and no other may. Only in flows that are in order per peer.
    held: AtomicBool,
    /// Somebody waits for room in this lane. Written under the baton only.
    pub(super) crowded: AtomicBool,
    /// The lane goes when it is unused.
    forgotten: AtomicBool,
    /// Nothing that is in it starts any more.
    cancelled: AtomicBool,
}

/// A peer's lane.
pub(super) struct Lane<M> {
    pub(super) entrance: CachePadded<Entrance>,
    pub(super) service: CachePadded<Service>,
    pub(super) queue: ArrayQueue<M>,
    pub(super) peer: NodeId,
    /// Its place in the flow's sets of lanes.
    pub(super) seat: usize,
    /// Nothing that is in it starts before the replica has been told of the peer.
    welcome: Option<Arc<Welcome>>,
    /// Made when somebody waits for the first time.
    line: ArcSwapOption<Line<M>>,
    /// Its seat is given back.
    vacated: AtomicBool,
    /// Messages that were dropped and of which the replica has not been told.
    lost: AtomicU64,
    /// When it was told last, in nanoseconds since the flow was made, and one more.
    told: AtomicU64,
    pub(super) standing: Standing,
}

impl<M> Lane<M> {
    pub(super) fn new(
        peer: NodeId,
        seat: usize,
        config: &FlowConfig,
        slots: usize,
        welcome: Option<Arc<Welcome>>,
    ) -> Self {
        let is_withheld = welcome.is_some();
        Self {
            entrance: CachePadded::new(Entrance {
                permits: Permits::new(quota(config, slots, is_withheld)),
                bytes: ByteBound::new(config.peer_max_bytes()),
            }),
            service: CachePadded::new(Service {
                left: AtomicU64::new(0),
                since: AtomicU64::new(NOBODY),
                held: AtomicBool::new(false),
                crowded: AtomicBool::new(false),
                forgotten: AtomicBool::new(false),
                cancelled: AtomicBool::new(false),
            }),
            queue: ArrayQueue::new(slots),
            peer,
            seat,
            welcome,
            line: ArcSwapOption::empty(),
            vacated: AtomicBool::new(false),
            lost: AtomicU64::new(0),
            told: AtomicU64::new(0),
            standing: Standing::default(),
        }
    }

    /// Sets the bounds of the lane anew. The caller fences and lets in those who wait.
    pub(super) fn bound(&self, config: &FlowConfig, slots: usize) {
        self.entrance.bytes.set_limit(config.peer_max_bytes());
        loop {
            let is_withheld = self.is_withheld();
            self.entrance.permits.set_limit(quota(config, slots, is_withheld));
            // SeqCst: whoever releases the lane fences and then sets its bounds. If that fence comes later, so
            // do those; if it comes first, the lane is found released here.
            fence(Ordering::SeqCst);
            if is_withheld == self.is_withheld() {
                return;
            }
        }
    }

    /// Messages that were finished.
    pub(super) fn left(&self) -> u64 {
        // Acquire: the slots of those that are counted are seen empty.
        self.service.left.load(Ordering::Acquire)
    }

    /// A message has finished. The caller fences and looks for those who wait.
    pub(super) fn leave(&self) {
        // Release: pairs with the load above.
        self.service.left.fetch_add(1, Ordering::Release);
    }

    /// Whether one more may enter now.
    pub(super) fn has_room(&self) -> bool {
        self.entrance.permits.has_room(|| self.left()) && self.entrance.bytes.has_room()
    }

    /// Takes the lane for the calling worker; false if another has it.
    pub(super) fn hold(&self) -> bool {
        // Acquire: what the last holder did comes before what this one does. Relaxed on failure: the
        // caller fences.
        self.service
            .held
            .compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    /// Gives the lane back. The caller fences and looks at the queue once more.
    pub(super) fn release(&self) {
        // Release: pairs with `hold`.
        self.service.held.store(false, Ordering::Release);
    }

    /// Whether a worker has the lane; that one looks at the queue once more when it gives it back.
    pub(super) fn is_held(&self) -> bool {
        // Relaxed: the caller's fence pairs with the holder's.
        self.service.held.load(Ordering::Relaxed)
    }

    pub(super) fn forget(&self) {
        // Relaxed: a hint. Whoever misses it leaves an unused lane in the table.
        self.service.forgotten.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_forgotten(&self) -> bool {
        // Relaxed: as above.
        self.service.forgotten.load(Ordering::Relaxed)
    }

    /// Ends what is queued and whoever waits: nothing of it starts after the caller's fence, unless a
    /// worker has looked before its own.
    pub(super) fn cancel(&self) {
        self.forget();
        // Release: who sees it sees what led to it. The caller fences.
        self.service.cancelled.store(true, Ordering::Release);
        self.entrance.permits.shut();
    }

    /// Whether the peer has gone. To be asked when a message would start.
    pub(super) fn is_cancelled(&self) -> bool {
        // Relaxed: the fence at the beginning of a worker's turn pairs with that of whoever cancels.
        self.service.cancelled.load(Ordering::Relaxed)
    }

    /// Whether its messages must not start yet. The caller fences before; whoever opens it fences and
    /// looks at the queue after.
    pub(super) fn is_withheld(&self) -> bool {
        self.welcome.as_ref().is_some_and(|welcome| !welcome.is_open()) && !self.is_cancelled()
    }

    /// Whether it was made for a connection of which the replica had not been told.
    pub(super) fn was_ever_withheld(&self) -> bool {
        self.welcome.is_some()
    }

    /// Retires the lane if it is unused; true if it was this call that did. One that has losses of which the
    /// replica is to be told is not, unless it is forgotten.
    pub(super) fn retire(&self) -> bool {
        let left = || self.left();
        // Relaxed: what is lost is counted before its message has left, which has been seen.
        let is_owed = || !self.is_forgotten() && self.lost.load(Ordering::Relaxed) > 0;
        let is_unused = self.entrance.permits.is_done(left)
            || self.entrance.permits.in_flight(left) == 0
                && !is_owed()
                && self.entrance.permits.shut_if_unused(left);
        // AcqRel: one of those who find it unused gives its seat back.
        is_unused && !self.vacated.swap(true, Ordering::AcqRel)
    }

    /// A message was dropped of which the replica is to be told.
    pub(super) fn lose(&self) {
        // Relaxed: the set of lanes that have lost some publishes it.
        self.lost.fetch_add(1, Ordering::Relaxed);
    }

    /// How many were dropped since the replica was told last, if that is `interval` ago. The caller
    /// tells it, or [gives them back](Self::give_back_losses).
    pub(super) fn take_losses(&self, now: u64, interval: u64) -> u64 {
        // Relaxed: one thread at a time takes them.
        let told = self.told.load(Ordering::Relaxed);
        if told > 0 && now.saturating_sub(told - 1) < interval {
            return 0;
        }
        self.told.store(now.saturating_add(1), Ordering::Relaxed);
        self.lost.swap(0, Ordering::Relaxed)
    }

    pub(super) fn give_back_losses(&self, count: u64) {
        // Relaxed: as above.
        self.told.store(0, Ordering::Relaxed);
        self.lost.fetch_add(count, Ordering::Relaxed);
    }

    /// Whether it is kept only because the replica is to be told of what it has lost.
    pub(super) fn is_only_owed(&self) -> bool {
        let unused = self.entrance.permits.in_flight(|| self.left()) == 0
            && self.entrance.permits.waiting() == 0;
        unused && self.has_losses()
    }

    pub(super) fn has_losses(&self) -> bool {
        // Relaxed: the caller's fence pairs with that of whoever has lost some.
        self.lost.load(Ordering::Relaxed) > 0
    }

    /// A message that came at `nanos` is taken, so nothing older is in the queue.
    pub(super) fn is_served_up_to(&self, nanos: u64) {
        // Relaxed, here and below: for the eye only.
        self.service.since.store(nanos, Ordering::Relaxed);
    }

    /// A message that came at `nanos` has been pushed, and nobody was looking at the lane.
    #[inline]
    pub(super) fn begins_to_queue(&self, nanos: u64) {
        if self.service.since.load(Ordering::Relaxed) == NOBODY {
            let _ = self.service.since.compare_exchange(
                NOBODY,
                nanos,
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
        }
    }

    /// The queue was found empty.
    pub(super) fn is_served(&self) {
        self.service.since.store(NOBODY, Ordering::Relaxed);
    }

    /// When the oldest message in the queue has come, at the earliest; a message that nobody has put
    /// down counts from `now`.
    pub(super) fn queues_since(&self, now: u64) -> Option<u64> {
        if self.queue.is_empty() {
            return None;
        }
        self.begins_to_queue(now);
        Some(self.service.since.load(Ordering::Relaxed).min(now))
    }

    /// Those who wait, if anybody ever did.
    pub(super) fn line(&self) -> Option<Arc<Line<M>>> {
        self.line.load_full()
    }

    /// Those who wait; `max` is how many may.
    pub(super) fn line_for(&self, max: usize) -> Arc<Line<M>> {
        self.line().unwrap_or_else(|| {
            let line = Arc::new(Line::new(max));
            let before = self.line.compare_and_swap(&None::<Arc<_>>, Some(Arc::clone(&line)));
            // Somebody else may have been first.
            (*before).as_ref().map_or(line, Arc::clone)
        })
    }
}

/// How many messages a lane may have in flight.
fn quota(config: &FlowConfig, slots: usize, is_withheld: bool) -> u64 {
    let quota = config.peer_quota().min(slots);
    (if is_withheld { quota.min(WITHHELD_QUOTA) } else { quota }) as u64
}

impl<M> fmt::Debug for Lane<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane")
            .field("peer", &self.peer)
            .field("permits", &self.entrance.permits)
            .finish_non_exhaustive()
    }
}
