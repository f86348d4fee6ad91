//! An artifact on its way in: a temporary file that becomes an artifact or nothing.
//!
//! The file is made by the first write, so a download that nobody serves costs no disk, and it is opened
//! for each write, so that downloads in progress hold no file descriptors. The bytes are not trusted
//! until [`finish`](Partial::finish) has read them back and hashed them.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use gossip_engine::ArtifactId;
use sha2::{Digest as _, Sha256};

use super::{Artifact, Inner, StoreError};

/// How many bytes are in memory while a file is copied or hashed.
pub(super) const BUFFER_BYTES: usize = 128 << 10;

/// An artifact being written, in any order and from any thread. Dropping it removes what was written,
/// unless it has been finished.
#[derive(Debug)]
pub struct Partial {
    store: Arc<Inner>,
    path: PathBuf,
    id: ArtifactId,
    size: u64,
    finished: AtomicBool,
}

impl Partial {
    pub(super) fn new(store: Arc<Inner>, id: ArtifactId, size: u64) -> Self {
        let path = store.next_partial();
        Self { store, path, id, size, finished: AtomicBool::new(false) }
    }

    /// Writes `bytes` at `offset`. Writers of different ranges do not disturb each other.
    ///
    /// # Errors
    ///
    /// [`StoreError::OutOfRange`] beyond the artifact's size, [`StoreError::Io`] if the disk refuses;
    /// the range may then be half written, and may be written again.
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), StoreError> {
        let end = offset.checked_add(bytes.len() as u64);
        if end.is_none_or(|end| end > self.size) {
            let (id, size, length) = (self.id, self.size, bytes.len());
            return Err(StoreError::OutOfRange { id, size, offset, length });
        }
        let write = || -> io::Result<()> {
            let mut file = self.open()?;
            file.seek(SeekFrom::Start(offset))?;
            file.write_all(bytes)
        };
        write().map_err(StoreError::io("write", &self.path))
    }

    /// Reads the content back, and if it hashes to the id, gives it its final name. What was never
    /// written reads as zeros. Call it once, after the last write has returned.
    ///
    /// # Errors
    ///
    /// [`StoreError::Mismatch`] if the content is another one, [`StoreError::Io`] if the disk refuses.
    /// Either way nothing is kept once this is dropped.
    pub fn finish(&self) -> Result<Artifact, StoreError> {
        let file = self.open().map_err(StoreError::io("create", &self.path))?;
        file.set_len(self.size).map_err(StoreError::io("extend", &self.path))?;
        let found = hash(&file).map_err(StoreError::io("read", &self.path))?;
        if found != self.id {
            return Err(StoreError::Mismatch { expected: self.id, found, size: self.size });
        }
        let artifact = self.store.keep(&file, &self.path, self.id, self.size)?;
        // Relaxed: read by the `drop` of the last owner, which the Arc or the borrow orders after this.
        self.finished.store(true, Ordering::Relaxed);
        Ok(artifact)
    }

    fn open(&self) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&self.path)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !*self.finished.get_mut() {
            // There is no file before the first write. One that cannot be removed now is removed when
            // the store is opened again.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The SHA-256 of a whole file, from its start.
pub(super) fn hash(mut file: &File) -> io::Result<ArtifactId> {
    file.seek(SeekFrom::Start(0))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(ArtifactId::new(hasher.finalize().into())),
            Ok(read) => hasher.update(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
