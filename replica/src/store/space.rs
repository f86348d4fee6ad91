//! Space on the disk, promised before it is used.
//!
//! ```text
//!   the caller                  Space                          Reservation (in a Partial or an import)
//!   space_for(size) ─────────> is there space? ── NoSpace
//!   reserve, first write,
//!   import ──────────────────> reserve: size ────────────────> held
//!                                 ^  each write: as much less is unwritten │
//!                                 └──── release: finished, or dropped ─────┘
//! ```
//!
//! What is reserved and not written yet is taken off the disk's free space, so that artifacts in progress
//! do not together promise themselves more than there is. What is written the disk itself counts. Against
//! [`max_store_bytes`](super::StoreOptions::max_store_bytes) counts all that is held or reserved.
//!
//! The free space is asked of the system each time, since other programs use it too. A system that does
//! not say limits nothing here; its refusals do.

use std::{
    fmt, io,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{Inner, StoreError, StoreOptions};

/// Asks the system for the free space of a folder's disk, in bytes.
pub(super) type FreeSpace = Box<dyn Fn(&Path) -> io::Result<u64> + Send + Sync>;

/// See the [module](self).
pub(super) struct Space {
    min_free: u64,
    max_store: Option<u64>,
    free: FreeSpace,
    reserved: Mutex<Reserved>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Reserved {
    /// The sizes of all that is in progress.
    total: u64,
    /// How much of that is not on the disk yet.
    unwritten: u64,
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
        self.fits(&self.reserved(), folder, held, size)
    }

    /// `held` is asked under the lock: what enters the store is counted there before its reservation is released, so
    /// that one of the two is always seen.
    fn reserve(
        &self,
        folder: &Path,
        held: impl FnOnce() -> u64,
        size: u64,
    ) -> Result<(), StoreError> {
        let mut reserved = self.reserved();
        self.fits(&reserved, folder, held(), size)?;
        reserved.total += size;
        reserved.unwritten += size;
        Ok(())
    }

    fn fits(
        &self,
        reserved: &Reserved,
        folder: &Path,
        held: u64,
        size: u64,
    ) -> Result<(), StoreError> {
        let disk = self.free(folder).map_or(u64::MAX, |free| {
            free.saturating_sub(self.min_free).saturating_sub(reserved.unwritten)
        });
        let store = self
            .max_store
            .map_or(u64::MAX, |max| max.saturating_sub(held).saturating_sub(reserved.total));
        let available = disk.min(store);
        if size > available {
            return Err(StoreError::NoSpace { needed: size, available });
        }
        Ok(())
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
    unwritten: AtomicU64,
}

impl Reservation {
    /// Reserves space for `size` bytes.
    pub(super) fn new(store: &Arc<Inner>, size: u64) -> Result<Self, StoreError> {
        let reserved = store.space.reserve(&store.folder, || store.bytes(), size);
        reserved.map_err(|error| store.note(error))?;
        Ok(Self { store: store.clone(), size, unwritten: AtomicU64::new(size) })
    }

    /// So many bytes more are on the disk. A range that is written twice counts twice, up to the size:
    /// then too little is held back for a moment, and the disk's own count makes up for it.
    pub(super) fn write(&self, bytes: u64) {
        let mut reserved = self.store.space.reserved();
        // Relaxed: the lock orders it.
        let before = self.unwritten.load(Ordering::Relaxed);
        let written = bytes.min(before);
        self.unwritten.store(before - written, Ordering::Relaxed);
        reserved.unwritten -= written;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut reserved = self.store.space.reserved();
        reserved.total -= self.size;
        reserved.unwritten -= *self.unwritten.get_mut();
    }
}
