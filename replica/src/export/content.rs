//! Where the content of the files comes from.

use std::io;

use gossip_engine::ArtifactId;

use crate::store::{Store, StoreError};

/// How many bytes are read at once.
const PIECE_BYTES: u64 = 1 << 20;

/// Content by its id.
pub trait Content {
    /// Whether the content is here, as far as is known without reading it.
    fn contains(&self, id: ArtifactId) -> bool;

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
    fn contains(&self, id: ArtifactId) -> bool {
        Self::contains(self, id)
    }

    fn copy(&self, id: ArtifactId, size: u64, to: &mut dyn io::Write) -> Result<(), ContentError> {
        let artifact = self.get(id).ok_or(ContentError::NotYet)?;
        if artifact.size != size {
            return Err(ContentError::WrongSize);
        }
        let mut written = 0;
        // What is empty is read once as well: that verifies it.
        loop {
            let length = PIECE_BYTES.min(size - written);
            let piece = match self.read_chunk(id, written, length as usize) {
                Ok(piece) => piece,
                Err(
                    StoreError::Unverified(_) | StoreError::NotHeld(_) | StoreError::Changed { .. },
                ) => return Err(ContentError::NotYet),
                Err(error) => return Err(ContentError::Read(error.to_string())),
            };
            to.write_all(&piece).map_err(ContentError::Write)?;
            written += length;
            if written == size {
                return Ok(());
            }
        }
    }
}
