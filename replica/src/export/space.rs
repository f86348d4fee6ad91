//! Space that is left free on the disk of the export.
//!
//! The free space is asked of the system each time, since other programs use it too, the store among them. A system
//! that does not say limits nothing here; its refusals do.

use std::{fmt, io, path::Path};

use crate::store::StoreOptions;

/// Asks the system for the free space of a folder's disk, in bytes.
type FreeSpace = Box<dyn Fn(&Path) -> io::Result<u64> + Send>;

/// See the [module](self).
pub(super) struct Space {
    pub(super) min_free: u64,
    pub(super) free: FreeSpace,
}

impl Default for Space {
    fn default() -> Self {
        let min_free = StoreOptions::default().min_free_bytes;
        Self { min_free, free: Box::new(|folder| fs4::available_space(folder)) }
    }
}

impl Space {
    /// How many more bytes may be written to the disk of a folder.
    pub(super) fn available(&self, folder: &Path) -> u64 {
        (self.free)(folder).map_or(u64::MAX, |free| free.saturating_sub(self.min_free))
    }
}

impl fmt::Debug for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Space").field("min_free", &self.min_free).finish_non_exhaustive()
    }
}
