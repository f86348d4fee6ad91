//! Reading an artifact out of a store that is not open here, such as that of a replica that runs.

use std::{
    fs,
    io::{self, Read as _, Write},
    path::Path,
};

use gossip_engine::ArtifactId;
use sha2::{Digest as _, Sha256};

use super::{files::open_regular, partial::BUFFER_BYTES};

/// Why an artifact could not be copied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError {
    /// The store does not hold it.
    #[error("it is not here")]
    NotHere,
    /// What stands there is something else.
    #[error("what is in the store is damaged")]
    Damaged,
    /// The system does not let it be read.
    #[error("it cannot be read: {0}")]
    Read(io::Error),
    /// What it is copied to does not take it.
    #[error("it cannot be written: {0}")]
    Write(io::Error),
}

/// Whether the store in this folder has a file for an artifact of this size. Its content is not looked at.
#[must_use]
pub fn has_artifact(folder: &Path, id: ArtifactId, size: u64) -> bool {
    let metadata = fs::symlink_metadata(folder.join(format!("{id:x}")));
    metadata.is_ok_and(|metadata| metadata.is_file() && metadata.len() == size)
}

/// Copies an artifact of `size` bytes out of the store in this folder, which is not opened and not locked for it.
///
/// # Errors
///
/// [`CopyError`]. What was written by then is of no use: that the content is damaged shows at its end.
pub fn copy_artifact(
    folder: &Path,
    id: ArtifactId,
    size: u64,
    to: &mut dyn Write,
) -> Result<(), CopyError> {
    let file =
        open_regular(&folder.join(format!("{id:x}"))).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => CopyError::NotHere,
            _ => CopyError::Read(error),
        })?;
    let metadata = file.metadata().map_err(CopyError::Read)?;
    if !metadata.is_file() || metadata.len() != size {
        return Err(CopyError::Damaged);
    }
    let mut content = file.take(size);
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match content.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => {
                hasher.update(&buffer[..read]);
                to.write_all(&buffer[..read]).map_err(CopyError::Write)?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(CopyError::Read(error)),
        }
    }
    if ArtifactId::new(hasher.finalize().into()) == id { Ok(()) } else { Err(CopyError::Damaged) }
}

#[cfg(test)]
mod tests;
