//! One peer's lane in a flow: its queue, its permits, and who waits for them.
//!
//! A lane is bounded twice: a message enters if its peer has fewer than its quota in flight, which is
//! the lane's to know, and if the flow has room, which is not ([`admission`](super::admission)). So a
//! peer that is over its quota waits alone. The queue has a slot for each message of the quota, and a
//! slot is empty before its message counts as finished, so a push never fails.
//!
//! ```text
//!             first message              unused, and forgotten or in the way
//!   (no lane) ─────────────▶ in the table ─────────────▶ retired ──▶ (dropped)
//! ```
//!
//! What the submitters write, what the workers write, and what hardly anybody writes lie on cache
//! lines of their own.

use std::{fmt, sync::Arc};

use arc_swap::ArcSwapOption;
use crossbeam::utils::CachePadded;

use super::line::Line;
use crate::{
    NodeId,
    permits::Permits,
    sync::{ArrayQueue, AtomicBool, AtomicU64, Ordering},
};

/// A peer's lane.
pub(super) struct Lane<M> {
    /// Written with every message that is brought. Shut means retired.
    pub(super) permits: CachePadded<Permits>,
    /// Messages that were finished. Written with every one of them, by whichever worker.
    left: CachePadded<AtomicU64>,
    pub(super) queue: ArrayQueue<M>,
    pub(super) peer: NodeId,
    /// Its place in the flow's sets of lanes.
    pub(super) seat: usize,
    /// A worker runs its messages, and no other may. Only in flows that are in order per peer.
    held: AtomicBool,
    /// Somebody waits for room in this lane. Written under the baton only.
    pub(super) crowded: AtomicBool,
    /// The lane goes when it is unused.
    forgotten: AtomicBool,
    /// Made when somebody waits for the first time.
    line: ArcSwapOption<Line<M>>,
}

impl<M> Lane<M> {
    pub(super) fn new(peer: NodeId, seat: usize, quota: usize) -> Self {
        Self {
            permits: CachePadded::new(Permits::new(quota)),
            left: CachePadded::new(AtomicU64::new(0)),
            queue: ArrayQueue::new(quota),
            peer,
            seat,
            held: AtomicBool::new(false),
            crowded: AtomicBool::new(false),
            forgotten: AtomicBool::new(false),
            line: ArcSwapOption::empty(),
        }
    }

    /// Messages that were finished.
    pub(super) fn left(&self) -> u64 {
        // Acquire: the slots of those that are counted are seen empty.
        self.left.load(Ordering::Acquire)
    }

    /// A message has finished. The caller fences and looks for those who wait.
    pub(super) fn leave(&self) {
        // Release: pairs with the load above.
        self.left.fetch_add(1, Ordering::Release);
    }

    /// Whether one more may enter now.
    pub(super) fn has_room(&self) -> bool {
        self.permits.has_room(|| self.left())
    }

    /// Takes the lane for the calling worker; false if another has it.
    pub(super) fn hold(&self) -> bool {
        // Acquire: what the last holder did comes before what this one does. Relaxed on failure: the
        // caller fences.
        self.held.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Gives the lane back. The caller fences and looks at the queue once more.
    pub(super) fn release(&self) {
        // Release: pairs with `hold`.
        self.held.store(false, Ordering::Release);
    }

    /// Whether a worker has the lane; that one looks at the queue once more when it gives it back.
    pub(super) fn is_held(&self) -> bool {
        // Relaxed: the caller's fence pairs with the holder's.
        self.held.load(Ordering::Relaxed)
    }

    pub(super) fn forget(&self) {
        // Relaxed: a hint. Whoever misses it leaves an unused lane in the table.
        self.forgotten.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_forgotten(&self) -> bool {
        // Relaxed: as above.
        self.forgotten.load(Ordering::Relaxed)
    }

    /// Retires the lane if it is unused; true if it was this call that did.
    pub(super) fn retire(&self) -> bool {
        self.permits.shut_if_unused(|| self.left())
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

impl<M> fmt::Debug for Lane<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane")
            .field("peer", &self.peer)
            .field("permits", &self.permits)
            .finish_non_exhaustive()
    }
}
