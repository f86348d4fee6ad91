//! Taking in a file of this machine: copied and hashed in one pass, in bounded memory.
//!
//! What is stored is what was hashed, so a file that changes meanwhile cannot produce an artifact with a
//! wrong id; it could produce one that was never the file's content, which is why the
//! file's [version](FileVersion) is compared before and after. Its space is reserved before the first byte is written.

use std::{
    fs::{self, File, Metadata},
    io::{self, Read as _, Seek as _, Write as _},
    path::Path,
};

use gossip_engine::ArtifactId;
use sha2::{Digest as _, Sha256};

use super::{
    Artifact, Store, StoreError,
    files::open_regular,
    partial::{BUFFER_BYTES, hash},
    space::Reservation,
};
use crate::{
    file_version::FileVersion,
    identity::{KEY_HEAD_BYTES, begins_as_private_key},
};

/// What became of an imported file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Imported {
    /// The artifact that has the file's content.
    pub artifact: Artifact,
    /// Whether the store did not hold it before.
    pub new: bool,
}

/// A temporary file that is removed unless it has been renamed.
struct Temporary<'a>(&'a Path);

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        // After a rename there is nothing left under this name.
        let _ = fs::remove_file(self.0);
    }
}

impl Store {
    /// Takes in a copy of a file of any size. The file itself stays as it is. A link is no file.
    ///
    /// A duplicate costs one reading and no writing. One whose file is gone is none.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotAFile`], [`StoreError::PrivateKey`], [`StoreError::Changed`], [`StoreError::NoSpace`]
    /// before anything is written, or [`StoreError::Io`] with the path of the file or of the store, depending on
    /// which of the two is at fault.
    pub fn import(&self, path: &Path) -> Result<Imported, StoreError> {
        let (mut source, before) = open(path)?;
        refuse_private_key(&mut source, path)?;
        // Only an artifact of the same size can be the same, so most new files are read once.
        if self.inner.index().has_size(before.len()) {
            let id = hash(&source).map_err(StoreError::io("read", path))?;
            if let Some(artifact) = self.inner.look_at(id, before.len())? {
                return Ok(Imported { artifact, new: false });
            }
            source.rewind().map_err(StoreError::io("read", path))?;
        }

        let space = Reservation::new(&self.inner, before.len(), None, None)?;
        let target_path = self.inner.next_partial(None);
        let mut target = self.inner.create_partial(&target_path)?;
        let _temporary = Temporary(&target_path);
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut copied = 0;
        // One byte beyond the length shows that the file grows, without following it for ever.
        let mut source = source.take(before.len().saturating_add(1));
        loop {
            let read = match source.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(StoreError::io("read", path)(error)),
            };
            hasher.update(&buffer[..read]);
            target
                .write_all(&buffer[..read])
                .map_err(|error| self.inner.note(StoreError::io("write", &target_path)(error)))?;
            space.write(read as u64);
            copied += read as u64;
        }
        let after = source.get_ref().metadata().map_err(StoreError::io("read", path))?;
        if copied != before.len() || FileVersion::of(&before) != FileVersion::of(&after) {
            return Err(StoreError::Changed { path: path.into() });
        }
        let id = ArtifactId::new(hasher.finalize().into());
        if let Some(artifact) = self.inner.look_at(id, copied)? {
            return Ok(Imported { artifact, new: false });
        }
        let (artifact, new) = self.inner.keep(&target, &target_path, id, copied)?;
        Ok(Imported { artifact, new })
    }
}

/// Opens a regular file. A link is not followed, also if it was put there a moment ago: it may lead to what is not to
/// be published.
fn open(path: &Path) -> Result<(File, Metadata), StoreError> {
    let regular = |found: Metadata| match found.is_file() {
        true => Ok(found),
        false => Err(StoreError::NotAFile { path: path.into() }),
    };
    // Asked before opening too, which may do something to a device.
    regular(fs::symlink_metadata(path).map_err(StoreError::io("read", path))?)?;
    let source = open_regular(path).map_err(StoreError::io("open", path))?;
    let found = regular(source.metadata().map_err(StoreError::io("read", path))?)?;
    Ok((source, found))
}

/// Here, where all that is published comes in, and of the file that is open, so that it is no other one that is
/// copied. One that is written over afterwards has changed.
fn refuse_private_key(source: &mut File, path: &Path) -> Result<(), StoreError> {
    let mut head = Vec::with_capacity(KEY_HEAD_BYTES);
    let read = (&*source).take(KEY_HEAD_BYTES as u64).read_to_end(&mut head);
    read.and_then(|_| source.rewind()).map_err(StoreError::io("read", path))?;
    if begins_as_private_key(&head) {
        return Err(StoreError::PrivateKey { path: path.into() });
    }
    Ok(())
}
