//! Where the content of the files comes from.

use std::io;

use gossip_engine::ArtifactId;

use crate::store::{Store, StoreError};

/// How many bytes are read at once.
const PIECE_BYTES: u64 = 1 << 20;

/// Content by its id.
pub trait Content {
    /// Whether [`copy`](Self::copy) can give the content now, as far as a look at it says. `size` is as there.
    ///
    /// # Errors
    ///
    /// [`ContentError`], but for [`Write`](ContentError::Write): the reason that `copy` would have.
    fn check(&self, id: ArtifactId, size: u64) -> Result<(), ContentError>;

    /// Writes the content to `to`, in pieces. `size` is what the catalog says of it.
    ///
    /// # Errors
    ///
    /// [`ContentError`]. What was written to `to` is then of no use.
    fn copy(&self, id: ArtifactId, size: u64, to: &mut dyn io::Write) -> Result<(), ContentError>;
}

/// Why content was not copied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContentError {
    /// It is not here, or was not verified yet. It may be later.
    #[error("the content is not here yet")]
    NotYet,
    /// It has another size.
    #[error("the content has another size")]
    WrongSize,
    /// It cannot be read.
    #[error("the content cannot be read: {0}")]
    Read(String),
    /// It cannot be written.
    #[error("the content cannot be written: {0}")]
    Write(#[source] io::Error),
}

/// Gives verified bytes only. What waits for the [`Verifier`](crate::store::Verifier) is [`ContentError::NotYet`].
impl Content for Store {
    fn check(&self, id: ArtifactId, size: u64) -> Result<(), ContentError> {
        let artifact = self.get(id).ok_or(ContentError::NotYet)?;
        if artifact.size != size {
            return Err(ContentError::WrongSize);
        }
        // Of no byte: that verifies it, or has it verified.
        self.read_chunk(id, 0, 0).map(drop).map_err(why)
    }

    fn copy(&self, id: ArtifactId, size: u64, to: &mut dyn io::Write) -> Result<(), ContentError> {
        self.check(id, size)?;
        let mut written = 0;
        while written < size {
            let length = PIECE_BYTES.min(size - written);
            let piece = self.read_chunk(id, written, length as usize).map_err(why)?;
            to.write_all(&piece).map_err(ContentError::Write)?;
            written += length;
        }
        Ok(())
    }
}

fn why(error: StoreError) -> ContentError {
    match error {
        StoreError::Unverified(_) | StoreError::NotHeld(_) | StoreError::Changed { .. } => {
            ContentError::NotYet
        }
        error => ContentError::Read(error.to_string()),
    }
}
