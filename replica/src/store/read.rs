//! Reading what is held, and nothing that was not verified.

use std::{
    io::{self, Read as _, Seek as _, SeekFrom},
    path::Path,
};

use bytes::Bytes;
use gossip_engine::ArtifactId;

use super::{
    Store, StoreError,
    verify::{Fault, open, unreadable},
};
use crate::file_version::FileVersion;

/// The largest artifact that is verified on the thread that reads it first: 1 MiB, some milliseconds. A larger
/// one is put off until the verifier has read it.
pub(super) const MAX_INLINE_BYTES: u64 = 1 << 20;
/// How often a file is looked at again that changes meanwhile.
const MAX_TRIES: usize = 3;

impl Store {
    /// Reads a part of an artifact, which was verified before in this run or is verified now.
    ///
    /// What was verified is a file: one with another inode, length or time of change is verified anew. An
    /// artifact of at most 1 MiB is verified by this call. A larger one is put off, and is the next that
    /// the [`Verifier`](super::Verifier) reads, as fast as the disk gives it: a few seconds for 1 GiB.
    /// That costs one reading in a run, however often it is asked for. If there is no verifier, this call
    /// does it.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotHeld`] and [`StoreError::OutOfRange`] if there are no such bytes;
    /// [`StoreError::Unverified`] if it is put off; [`StoreError::Io`] if the system refuses, and
    /// [`StoreError::Changed`] if the file changes all the time. An artifact that turns out to be damaged
    /// is no longer held afterwards, so that it can be fetched again.
    pub fn read_chunk(
        &self,
        id: ArtifactId,
        offset: u64,
        length: usize,
    ) -> Result<Bytes, StoreError> {
        #[cfg(any(test, feature = "simulation"))]
        if let Some(contents) = &self.inner.memory {
            return self.inner.read_in_memory(contents, id, offset, length);
        }
        let path = self.inner.path(id);
        for _ in 0..MAX_TRIES {
            let entry = self.inner.index().get(id).ok_or(StoreError::NotHeld(id))?;
            let size = entry.artifact.size;
            if offset.checked_add(length as u64).is_none_or(|end| end > size) {
                return Err(StoreError::OutOfRange { id, size, offset, length });
            }
            match read_verified(&path, size, entry.verified, offset, length) {
                Ok(Some(bytes)) => return Ok(bytes),
                Ok(None) if size > MAX_INLINE_BYTES && self.inner.asked.ask(id) => {
                    return Err(StoreError::Unverified(id));
                }
                Ok(None) => _ = self.inner.verify(id)?,
                Err(fault) => _ = self.inner.conclude(id, size, Err(fault))?,
            }
        }
        Err(StoreError::Changed { path })
    }
}

/// Reads from the file if it is the one that was verified.
fn read_verified(
    path: &Path,
    size: u64,
    verified: Option<FileVersion>,
    offset: u64,
    length: usize,
) -> Result<Option<Bytes>, Fault> {
    let (mut file, version) = open(path, size)?;
    if verified != Some(version) {
        return Ok(None);
    }
    let mut chunk = vec![0; length];
    let read = file.seek(SeekFrom::Start(offset)).and_then(|_| file.read_exact(&mut chunk));
    match read {
        Ok(()) => Ok(Some(chunk.into())),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(Fault::Changing),
        Err(error) => Err(unreadable(error, version)),
    }
}
