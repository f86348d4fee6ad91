//! Space on the disk, promised before it is used.
//!
//! ```text
//!   the caller                  Space                          Reservation (in a Partial or an import)
//!   space_for(size) ─────────> is there space? ── NoSpace
//!   reserve, first write,
//!   import ──────────────────> reserve: size ────────────────> held, or hoped for until it is earned
//!                                 ^  each write: as much less is unwritten │
//!                                 └──── release: finished, or dropped ─────┘
//! ```
//!
//! What is reserved and not written yet is taken off the disk's free space, so that artifacts in progress
//! do not together promise themselves more than there is. What is written the disk itself counts. Against
//! [`max_store_bytes`](super::StoreOptions::max_store_bytes) counts all that is held or reserved.
//!
//! A peer may announce what it never delivers. So what is reserved for a peer's artifact holds back that peer's
//! others from the start, and everybody else's only as far as it is earned: twice as much as is written. What is not
//! earned yet may be gone by then; the write that would earn it is refused.
//!
//! What attempts that ended have [kept](super::kept) counts as free. It goes when something is earned that needs its
//! space, and not before, so that what is only announced removes nothing.
//!
//! What does not fit is no fault of the store: the limits are its operator's, and a peer may claim any size. The store
//! does not remember it; what waits for space is the protocol's to say.
//!
//! The free space is asked of the system each time, since other programs use it too. A system that does
//! not say limits nothing here; its refusals do.

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt, io,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use gossip_engine::NodeId;

use super::{Inner, StoreError, StoreOptions, kept::Kept};

/// What is reserved for a peer's artifact is earned with so many times what is written of it.
const EARNED: u64 = 2;

/// Asks the system for the free space of a folder's disk, in bytes.
pub(super) type FreeSpace = Box<dyn Fn(&Path) -> io::Result<u64> + Send + Sync>;

/// See the [module](self).
pub(super) struct Space {
    min_free: u64,
    max_store: Option<u64>,
    free: FreeSpace,
    reserved: Mutex<Reserved>,
}

#[derive(Debug, Default)]
struct Reserved {
    /// What is held back for all that is in progress.
    total: u64,
    /// How much of that is not on the disk yet.
    unwritten: u64,
    /// How much more each peer has in progress that is not earned. A peer that has nothing has no entry.
    hoped: HashMap<NodeId, u64>,
    /// What gives way.
    kept: Kept,
}

impl Space {
    pub(super) fn new(options: &StoreOptions, free: FreeSpace) -> Self {
        Self {
            min_free: options.min_free_bytes,
            max_store: options.max_store_bytes,
            free,
            reserved: Mutex::default(),
        }
    }

    /// What the disk of the folder has free, if the system says.
    pub(super) fn free(&self, folder: &Path) -> Option<u64> {
        (self.free)(folder).ok()
    }

    /// Whether `size` more bytes fit beside the `held` ones and all that is reserved.
    pub(super) fn check(&self, folder: &Path, held: u64, size: u64) -> Result<(), StoreError> {
        self.fits(&self.reserved(), folder, held, size, 0)
    }

    /// `besides` is held back beside what is held back for all.
    fn fits(
        &self,
        reserved: &Reserved,
        folder: &Path,
        held: u64,
        size: u64,
        besides: u64,
    ) -> Result<(), StoreError> {
        let disk = self.free(folder).map_or(u64::MAX, |free| {
            free.saturating_add(reserved.kept.bytes())
                .saturating_sub(self.min_free)
                .saturating_sub(reserved.unwritten)
                .saturating_sub(besides)
        });
        let store = self.max_store.map_or(u64::MAX, |max| {
            max.saturating_sub(held).saturating_sub(reserved.total).saturating_sub(besides)
        });
        let available = disk.min(store);
        if size > available {
            return Err(StoreError::NoSpace { needed: size, available });
        }
        Ok(())
    }

    /// Removes as much of what is kept as what is held and earned needs. Files are removed under the lock: until they
    /// are, their space is nobody else's.
    fn make_space(&self, reserved: &mut Reserved, folder: &Path, held: u64) {
        if reserved.kept.bytes() == 0 {
            return;
        }
        let disk = self.free(folder).map_or(0, |free| {
            self.min_free.saturating_add(reserved.unwritten).saturating_sub(free)
        });
        let all = held.saturating_add(reserved.total).saturating_add(reserved.kept.bytes());
        let store = self.max_store.map_or(0, |max| all.saturating_sub(max));
        reserved.kept.give_way(disk.max(store));
    }

    /// How many bytes are kept.
    pub(super) fn kept_bytes(&self) -> u64 {
        self.reserved().kept.bytes()
    }

    /// Changes what is kept, which then makes space for what is held and earned by now.
    pub(super) fn with_kept<T>(
        &self,
        folder: &Path,
        held: u64,
        change: impl FnOnce(&mut Kept) -> T,
    ) -> T {
        let mut reserved = self.reserved();
        let changed = change(&mut reserved.kept);
        self.make_space(&mut reserved, folder, held);
        changed
    }

    #[cfg(test)]
    pub(super) fn is_unreserved(&self) -> bool {
        let reserved = self.reserved();
        (reserved.total, reserved.unwritten) == (0, 0) && reserved.hoped.is_empty()
    }

    /// The sizes of all that is in progress.
    #[cfg(any(test, fuzzing))]
    pub(super) fn reserved_bytes(&self) -> u64 {
        let reserved = self.reserved();
        assert!(reserved.unwritten <= reserved.total, "more to be written than reserved");
        reserved.total + reserved.hoped.values().sum::<u64>()
    }

    fn reserved(&self) -> MutexGuard<'_, Reserved> {
        // A few additions; none of them is left half done by a panic.
        self.reserved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Space")
            .field("min_free", &self.min_free)
            .field("max_store", &self.max_store)
            .field("reserved", &self.reserved)
            .finish_non_exhaustive()
    }
}

/// Space for one artifact in progress. Released when it is dropped.
#[derive(Debug)]
pub(super) struct Reservation {
    store: Arc<Inner>,
    size: u64,
    /// The peer that has announced it.
    whose: Option<NodeId>,
    /// Whether a part of it was kept by an earlier attempt.
    pub(super) resumed: bool,
    // The lock of the space orders these.
    /// How much is written, or about to be.
    begun: AtomicU64,
    /// How much is held back for it.
    earned: AtomicU64,
    /// How much of that is not on the disk yet.
    unwritten: AtomicU64,
}

impl Reservation {
    /// Reserves space for `size` bytes, which a peer has announced or nobody has. A part in the file `kept` is no
    /// longer kept then, and counts as written.
    pub(super) fn new(
        store: &Arc<Inner>,
        size: u64,
        whose: Option<NodeId>,
        kept: Option<&Path>,
    ) -> Result<Self, StoreError> {
        let mut reserved = store.space.reserved();
        // Asked under the lock: what enters the store is counted there before its reservation is released, so that one
        // of the two is always seen.
        let held = store.bytes();
        let hoped = whose.and_then(|peer| reserved.hoped.get(&peer)).copied().unwrap_or(0);
        let fits = store.space.fits(&reserved, &store.folder, held, size, hoped);
        fits?;
        let taken = kept.and_then(|path| reserved.kept.take(path));
        let begun = taken.as_ref().map_or(0, |file| file.bytes.min(size));
        let earned = if let Some(peer) = whose {
            let earned = begun.saturating_mul(EARNED).min(size);
            if earned < size {
                *reserved.hoped.entry(peer).or_default() += size - earned;
            }
            earned
        } else {
            size
        };
        reserved.total += earned;
        reserved.unwritten += earned - begun;
        store.space.make_space(&mut reserved, &store.folder, held);
        drop(reserved);
        Ok(Self {
            store: store.clone(),
            size,
            whose,
            resumed: taken.is_some(),
            begun: AtomicU64::new(begun),
            earned: AtomicU64::new(earned),
            unwritten: AtomicU64::new(earned - begun),
        })
    }

    /// So many bytes more are about to be written, if there is still space for what that earns.
    pub(super) fn earn(&self, bytes: u64) -> Result<(), StoreError> {
        let (store, held) = (&self.store, self.store.bytes());
        let mut reserved = store.space.reserved();
        let begun = self.begun.load(Ordering::Relaxed).saturating_add(bytes).min(self.size);
        let before = self.earned.load(Ordering::Relaxed);
        let earned = begun.saturating_mul(EARNED).clamp(before, self.size);
        let more = earned - before;
        if let Some(peer) = self.whose
            && more > 0
        {
            store.space.fits(&reserved, &store.folder, held, more, 0)?;
            reserved.give_up_hope(peer, more);
            reserved.total += more;
            reserved.unwritten += more;
            self.earned.store(earned, Ordering::Relaxed);
            self.unwritten.fetch_add(more, Ordering::Relaxed);
            store.space.make_space(&mut reserved, &store.folder, held);
        }
        self.begun.store(begun, Ordering::Relaxed);
        Ok(())
    }

    /// So many bytes more are on the disk. A range that is written twice counts twice, up to the size:
    /// then too little is held back for a moment, and the disk's own count makes up for it.
    pub(super) fn write(&self, bytes: u64) {
        let mut reserved = self.store.space.reserved();
        let before = self.unwritten.load(Ordering::Relaxed);
        let written = bytes.min(before);
        self.unwritten.store(before - written, Ordering::Relaxed);
        reserved.unwritten -= written;
    }
}

impl Reserved {
    fn give_up_hope(&mut self, peer: NodeId, bytes: u64) {
        if let Entry::Occupied(mut hoped) = self.hoped.entry(peer) {
            *hoped.get_mut() -= bytes;
            if *hoped.get() == 0 {
                hoped.remove();
            }
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut reserved = self.store.space.reserved();
        let earned = *self.earned.get_mut();
        reserved.total -= earned;
        reserved.unwritten -= *self.unwritten.get_mut();
        if let Some(peer) = self.whose {
            reserved.give_up_hope(peer, self.size - earned);
        }
    }
}
