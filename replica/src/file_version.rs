//! Whether a file is still what it was, as far as the system can tell without reading it.
//!
//! Length and time of change are what a writer may choose or repeat. The number of the file differs where another one
//! has taken its place, and the time of its last change of any kind (`ctime`) is the system's own. Not seen: a second
//! change within a tick of the file system's clock, some milliseconds; what is written through a memory map, until the
//! system notes it; bytes that rot.

use std::{
    fs::{self, Metadata},
    io,
    path::Path,
};

/// Which file this is and when it last changed. One with an equal version has been left alone, but for what the
/// [module](self) says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FileVersion {
    device: u64,
    file: u64,
    bytes: u64,
    /// In nanoseconds since 1970, or 0.
    modified: i64,
    /// The time of the last change of any kind, which no program can set.
    changed: i64,
}

impl FileVersion {
    /// That of the file with this metadata.
    #[must_use]
    pub fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt as _;
            let nanos =
                |seconds: i64, nanos: i64| seconds.wrapping_mul(1_000_000_000).wrapping_add(nanos);
            Self {
                device: metadata.dev(),
                file: metadata.ino(),
                bytes: metadata.len(),
                modified: nanos(metadata.mtime(), metadata.mtime_nsec()),
                changed: nanos(metadata.ctime(), metadata.ctime_nsec()),
            }
        }
        #[cfg(not(unix))]
        {
            let modified = metadata.modified().ok();
            let since = modified.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
            let modified = since.map_or(0, |since| since.as_nanos() as i64);
            Self { device: 0, file: 0, bytes: metadata.len(), modified, changed: 0 }
        }
    }

    /// Whether this is the same file with the same content under another name, where names are no part of a file. Never
    /// where the system does not number its files.
    #[must_use]
    pub fn is_moved_from(&self, other: &Self) -> bool {
        // A change of the name is a change of some kind.
        cfg!(unix) && *self == Self { changed: self.changed, ..*other }
    }

    /// A number that is the same for two versions of one file, however it is called.
    #[must_use]
    pub fn file_number(&self) -> (u64, u64) {
        (self.device, self.file)
    }

    /// The size of the content in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.bytes
    }

    /// When the content was changed last, in nanoseconds since 1970 as the file says it, or 0.
    #[must_use]
    pub fn modified_ns(&self) -> i64 {
        self.modified
    }

    /// That of what stands under a name now, without following links. `None` if nothing does.
    ///
    /// # Errors
    ///
    /// What the system says, but that there is nothing.
    pub fn under(path: &Path) -> io::Result<Option<Self>> {
        match fs::symlink_metadata(path) {
            Ok(metadata) => Ok(Some(Self::of(&metadata))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}
