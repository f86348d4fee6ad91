//! Whether a file is still what it was, as far as the system can tell without reading it.
//!
//! Length and time of change are what a writer may choose or repeat. The number of the file differs where another one
//! has taken its place, and the time of its last change of any kind (`ctime`) is the system's own. Not seen: what is
//! written through a memory map, until the system notes it.

use std::{fs::Metadata, time::SystemTime};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct FileVersion {
    bytes: u64,
    modified: Option<SystemTime>,
    /// Device, number, and seconds and nanoseconds of the last change.
    #[cfg(unix)]
    system: [i64; 4],
}

impl FileVersion {
    pub(crate) fn new(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        use std::os::unix::fs::MetadataExt as _;

        Self {
            bytes: metadata.len(),
            modified: metadata.modified().ok(),
            #[cfg(unix)]
            system: [
                metadata.dev() as i64,
                metadata.ino() as i64,
                metadata.ctime(),
                metadata.ctime_nsec(),
            ],
        }
    }
}
