//! What can go wrong with the folder. Every error of the system carries the path that it concerns.

use std::{io, path::PathBuf};

use gossip_engine::ArtifactId;

use crate::words::counted;

/// Why the store could not do something. No half-written artifact remains, and those held before are
/// untouched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The system refuses: permissions, a full disk, a broken device.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another replica has the folder open.
    #[error("{} is in use by another replica", path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// The content does not hash to the id that it was to have. It is gone.
    #[error("content of {} hashes to {found:x}, not to {expected:x}", counted(*size, "byte"))]
    Mismatch {
        /// The id that was asked for.
        expected: ArtifactId,
        /// The id that the content has.
        found: ArtifactId,
        /// How long the content is, in bytes.
        size: u64,
    },
    /// A file has changed while it was read, so that what was read may never have been its content.
    #[error("{} changed while it was imported", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// Only regular files have content that can be imported.
    #[error("{} is not a regular file", path.display())]
    NotAFile {
        /// What was to be imported.
        path: PathBuf,
    },
    /// A private key makes its holder the owner, so none is given to others.
    #[error("{} is a private key", path.display())]
    PrivateKey {
        /// What was to be imported.
        path: PathBuf,
    },
    /// The artifact does not fit: into the disk beside what is to stay free, or into the store.
    #[error("no space for {}, {available} available", counted(*needed, "byte"))]
    NoSpace {
        /// How many bytes it needs.
        needed: u64,
        /// How many may be written now.
        available: u64,
    },
    /// The artifact was not verified yet in this run. It is next to be; ask again.
    #[error("artifact {0} is not verified yet")]
    Unverified(ArtifactId),
    /// What was written of an artifact in progress is gone: somebody has removed its file.
    #[error("{} was removed while it was written", path.display())]
    Removed {
        /// The file.
        path: PathBuf,
    },
    /// The store does not hold the artifact.
    #[error("artifact {0} is not held")]
    NotHeld(ArtifactId),
    /// The artifact has no such bytes.
    #[error("{length} bytes at {offset} lie outside of artifact {id} of {size} bytes")]
    OutOfRange {
        /// The artifact.
        id: ArtifactId,
        /// Its size in bytes.
        size: u64,
        /// Where the bytes were to begin.
        offset: u64,
        /// How many were asked for.
        length: usize,
    },
}

impl StoreError {
    /// Whether the fault lies with the disk rather than with what was asked for, so that other
    /// artifacts will meet it too.
    #[must_use]
    pub fn is_disk(&self) -> bool {
        matches!(self, Self::Io { .. } | Self::Locked { .. } | Self::Removed { .. })
    }

    pub(super) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}
