//! One key's lane, as those see it who are not in the schedule: its bound, and who serves it.
//!
//! Three cache lines, by who writes them: the thread that begins or ends to serve it, the worker that finishes its
//! items, and submitters ([`Gate`]). A submitter reads only the first and the last. With thousands of lanes each
//! line costs a transfer from a far cache, so the key, by which a lane is found, is in the first, and what is seldom
//! needed is in a fourth.

use std::time::Duration;

use super::gate::{Bytes, Gate};
use crate::sync::{AtomicBool, AtomicU64, AtomicUsize, Condvar, Mutex, Ordering};

/// How many bits a [tag](Lane::tag) has.
pub(crate) const TAG_BITS: u32 = 35;

/// Those of a lane's number in it: there are at most so many lanes.
pub(super) const NUMBER_BITS: u32 = 16;

/// A lane. It is found by its key as long as it is open; who holds a reference may go on using it.
///
/// Many processors fetch cache lines in pairs: those who serve the lane write the first pair, submitters the second.
#[derive(Debug)]
#[repr(C, align(128))]
pub(crate) struct Lane<K> {
    key: K,
    /// Its place in the schedule. Another lane may have it once this one is closed and empty.
    pub(super) index: u32,
    tag: u64,
    pub(super) service: Service,
    pub(super) finished: Finished,
    pub(super) entrance: Entrance,
    seldom: Seldom,
}

/// Written by those who finish its items.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Finished {
    /// Items that workers have run.
    pub(super) items: AtomicU64,
}

/// Written by those who enter, and by those who wait.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Entrance {
    pub(super) gate: Gate,
    pub(super) bytes: Bytes,
    /// How many wait in this lane's line.
    pub(super) waiting: AtomicUsize,
    /// Items that others than workers took out.
    pub(super) discarded: AtomicU64,
}

/// The key of a peer, and what stands behind it, lie in the first of four lines.
#[cfg(not(any(loom, shuttle)))]
const _: () = {
    assert!(std::mem::offset_of!(Lane<[u8; 32]>, finished) == 64);
    assert!(size_of::<Lane<[u8; 32]>>() == 256);
};

#[derive(Debug)]
#[repr(align(64))]
struct Seldom {
    /// A number that no other lane of the queue ever had.
    serial: u64,
    /// Items that were dropped and that nobody has been notified of.
    dropped: AtomicU64,
    /// Who waits for the last worker to leave.
    left: (Mutex<()>, Condvar),
    excess: Mutex<Excess>,
}

/// Items that were dropped for want of capacity in an overload, and their bytes.
#[derive(Debug, Default)]
struct Excess {
    overload: u64,
    items: u64,
    bytes: u64,
}

/// Written by who has the schedule, when a run of the lane begins or ends.
#[derive(Debug)]
pub(super) struct Service {
    /// Workers that run its items.
    pub(super) workers: AtomicUsize,
    /// The schedule knows that something is queued in it, or as many workers serve it as may: who submits to it need
    /// wake nobody.
    pub(super) active: AtomicBool,
    /// Nothing that is in it starts any more.
    pub(super) cancelled: AtomicBool,
    /// It was retired or cancelled: who ends to serve it looks whether it is over.
    pub(super) departs: AtomicBool,
    /// It was retired or cancelled, and is over.
    left: AtomicBool,
}

impl<K> Lane<K> {
    pub(super) fn new(key: K, index: u32, serial: u64) -> Self {
        Self {
            key,
            index,
            tag: (serial << NUMBER_BITS | u64::from(index)) & ((1 << TAG_BITS) - 1),
            service: Service {
                workers: AtomicUsize::new(0),
                active: AtomicBool::new(false),
                cancelled: AtomicBool::new(false),
                departs: AtomicBool::new(false),
                left: AtomicBool::new(false),
            },
            finished: Finished { items: AtomicU64::new(0) },
            entrance: Entrance {
                gate: Gate::new(),
                bytes: Bytes::new(),
                waiting: AtomicUsize::new(0),
                discarded: AtomicU64::new(0),
            },
            seldom: Seldom {
                serial,
                dropped: AtomicU64::new(0),
                left: (Mutex::new(()), Condvar::new()),
                excess: Mutex::default(),
            },
        }
    }

    pub(crate) fn key(&self) -> &K {
        &self.key
    }

    /// A number that no other lane of the queue ever had.
    pub(crate) fn serial(&self) -> u64 {
        self.seldom.serial
    }

    /// A number that no other lane has at the same time.
    #[cfg(all(test, not(shuttle)))]
    pub(crate) fn number(&self) -> u32 {
        self.index
    }

    /// In [`TAG_BITS`]: its number, and as many bits of its serial as fit. The serial distinguishes it from the lanes
    /// that have the number before and after it. The next lane with the same tag comes half a million lanes later.
    #[inline]
    pub(crate) fn tag(&self) -> u64 {
        self.tag
    }

    pub(super) fn finished(&self) -> u64 {
        // Acquire: who sees an item finished sees what it did.
        self.finished.items.load(Ordering::Acquire)
            + self.entrance.discarded.load(Ordering::Acquire)
    }

    /// Items admitted and not finished, and their bytes.
    pub(crate) fn in_flight(&self) -> (u64, u64) {
        // What has finished first: it never passes what has entered.
        let finished = self.finished();
        (self.entrance.gate.entered().saturating_sub(finished), self.entrance.bytes.used())
    }

    /// An item of so many bytes was dropped for want of capacity; returns how many were, and their bytes, in the
    /// overload of this number.
    pub(crate) fn count_excess(&self, overload: u64, bytes: u64) -> (u64, u64) {
        let mut excess = self.seldom.excess.lock();
        if excess.overload != overload {
            *excess = Excess { overload, items: 0, bytes: 0 };
        }
        excess.items += 1;
        excess.bytes += bytes;
        (excess.items, excess.bytes)
    }

    /// Whether it takes no more items and all that it took have finished.
    pub(super) fn is_over(&self) -> bool {
        // What has finished first: it never passes what has entered.
        let finished = self.finished();
        self.is_closed() && self.entrance.gate.entered() == finished
    }

    /// Whether nothing that is in it may start any more.
    #[inline]
    pub(crate) fn is_cancelled(&self) -> bool {
        // Acquire: pairs with the store in `cancel`.
        self.service.cancelled.load(Ordering::Acquire)
    }

    /// Whether it was retired or cancelled and nothing of it is queued, in flight or served any more. While this is
    /// false for one that was, its end is still to come as an event: see [`FairQueue::retire_lane`].
    ///
    /// [`FairQueue::retire_lane`]: super::FairQueue::retire_lane
    pub(crate) fn is_left(&self) -> bool {
        // Acquire: who sees it left sees what its items did.
        self.service.left.load(Ordering::Acquire)
    }

    /// It is over; true the first time, if it was retired or cancelled. Under the schedule's lock.
    pub(super) fn leave(&self) -> bool {
        // Relaxed: written under the same lock.
        if !self.service.departs.load(Ordering::Relaxed)
            || self.service.left.load(Ordering::Relaxed)
        {
            return false;
        }
        // Release: pairs with `is_left`.
        self.service.left.store(true, Ordering::Release);
        true
    }

    /// Whether it takes no more items.
    pub(crate) fn is_closed(&self) -> bool {
        self.entrance.gate.is_closed()
    }

    /// An item of this lane was dropped; true if it is the first since the count was taken.
    pub(crate) fn count_dropped(&self) -> bool {
        // AcqRel: the count is read by the notified thread.
        self.seldom.dropped.fetch_add(1, Ordering::AcqRel) == 0
    }

    /// Items that were dropped since the count was last taken.
    pub(crate) fn take_dropped(&self) -> u64 {
        self.seldom.dropped.swap(0, Ordering::AcqRel)
    }

    /// Whether items were dropped since the count was last taken.
    pub(crate) fn has_dropped(&self) -> bool {
        self.seldom.dropped.load(Ordering::Acquire) > 0
    }

    /// Puts back what was taken and could not be said.
    pub(crate) fn put_back_dropped(&self, count: u64) {
        self.seldom.dropped.fetch_add(count, Ordering::AcqRel);
    }

    /// Whether a worker serves this lane. Once it is false of one that is cancelled it stays so.
    pub(crate) fn is_served(&self) -> bool {
        // Acquire: who sees the worker gone sees what it did.
        self.service.workers.load(Ordering::Acquire) > 0
    }

    /// Waits until no worker serves this lane, which must be cancelled; false if `patience` is over first.
    pub(crate) fn wait_until_left(&self, patience: Duration) -> bool {
        // The caller has cancelled the lane, and held the schedule's lock after that. A worker that left before is seen
        // to have left; one that leaves later finds the lane cancelled, and notifies.
        if !self.is_served() {
            return true;
        }
        if crate::clock::pass(patience) {
            return !self.is_served();
        }
        let mut lock = self.seldom.left.0.lock();
        let until = std::time::Instant::now() + patience;
        while self.is_served() {
            let left = until.saturating_duration_since(std::time::Instant::now());
            if left.is_zero() {
                return false;
            }
            lock = match self.seldom.left.1.wait_timeout(lock, left) {
                Ok((lock, _)) => lock,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
        true
    }

    /// The last worker has left this lane.
    pub(super) fn notify_left(&self) {
        // Under the lock: a waiter is asleep or has yet to look.
        let _lock = self.seldom.left.0.lock();
        self.seldom.left.1.notify_all();
    }
}
