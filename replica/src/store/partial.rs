//! An artifact on its way in: a temporary file that becomes an artifact or nothing.
//!
//! Its space is reserved by [`reserve`](Partial::reserve) or by the first write. The file is made by the
//! first write, so a download that nobody serves costs no disk, and it is opened for each write, so that
//! downloads in progress hold no file descriptors. It is made once: if somebody removes it, what was
//! written is gone, and the next write says so. The bytes are not trusted until
//! [`finish`](Partial::finish) has read them back and hashed them.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use gossip_engine::{ArtifactId, NodeId};
use sha2::{Digest as _, Sha256};

use super::{Artifact, Inner, StoreError, space::Reservation};

/// How many bytes are in memory while a file is copied or hashed.
pub(super) const BUFFER_BYTES: usize = 128 << 10;

/// An artifact being written, in any order and from any thread. Dropping it removes what was written,
/// unless it has been finished, and releases its space.
#[derive(Debug)]
pub struct Partial {
    store: Arc<Inner>,
    path: PathBuf,
    id: ArtifactId,
    size: u64,
    progress: Mutex<Progress>,
    finished: AtomicBool,
}

#[derive(Debug)]
struct Progress {
    reservation: Option<Reservation>,
    /// Whether the file was made.
    made: bool,
}

impl Partial {
    pub(super) fn new(store: Arc<Inner>, id: ArtifactId, size: u64) -> Self {
        let path = store.next_partial();
        let progress = Mutex::new(Progress { reservation: None, made: false });
        Self { store, path, id, size, progress, finished: AtomicBool::new(false) }
    }

    /// Reserves the space of the whole artifact until this is finished or dropped, unless that was done. Space for
    /// what a `peer` has announced is not held back from others before it is earned, see [`write_at`](Self::write_at).
    ///
    /// # Errors
    ///
    /// [`StoreError::NoSpace`]; it may be tried again.
    pub fn reserve(&self, peer: Option<NodeId>) -> Result<(), StoreError> {
        let mut progress = self.progress();
        if progress.reservation.is_none() {
            progress.reservation = Some(Reservation::new(&self.store, self.size, peer)?);
        }
        Ok(())
    }

    /// Writes `bytes` at `offset`. Writers of different ranges do not disturb each other.
    ///
    /// # Errors
    ///
    /// [`StoreError::OutOfRange`] beyond the artifact's size; [`StoreError::NoSpace`] as long as the
    /// whole artifact does not fit, or if what was not held back of a peer's is taken by now; [`StoreError::Removed`]
    /// if what was written before is gone, for good; [`StoreError::Io`] if the disk refuses: the range may then be
    /// half written, and may be written again.
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), StoreError> {
        let length = bytes.len() as u64;
        if offset.checked_add(length).is_none_or(|end| end > self.size) {
            let (id, size, length) = (self.id, self.size, bytes.len());
            return Err(StoreError::OutOfRange { id, size, offset, length });
        }
        let mut file = self.open()?;
        if let Some(reservation) = &self.progress().reservation {
            reservation.earn(length)?;
        }
        let mut write = || -> io::Result<()> {
            file.seek(SeekFrom::Start(offset))?;
            file.write_all(bytes)
        };
        write().map_err(|error| self.store.note(StoreError::io("write", &self.path)(error)))?;
        if let Some(reservation) = &self.progress().reservation {
            reservation.write(length);
        }
        Ok(())
    }

    /// Reads the content back, and if it hashes to the id, gives it its final name. What was never
    /// written reads as zeros. Call it once, after the last write has returned.
    ///
    /// # Errors
    ///
    /// [`StoreError::Mismatch`] if the content is another one, and otherwise as for
    /// [`write_at`](Self::write_at). Either way nothing is kept once this is dropped.
    pub fn finish(&self) -> Result<Artifact, StoreError> {
        let file = self.open()?;
        file.set_len(self.size).map_err(StoreError::io("extend", &self.path))?;
        let found = hash(&file).map_err(StoreError::io("read", &self.path))?;
        if found != self.id {
            return Err(StoreError::Mismatch { expected: self.id, found, size: self.size });
        }
        let artifact = self.store.keep(&file, &self.path, self.id, self.size)?;
        // Relaxed: read by the `drop` of the last owner, which the Arc or the borrow orders after this.
        self.finished.store(true, Ordering::Relaxed);
        self.progress().reservation = None;
        Ok(artifact)
    }

    /// The file, which is made if it was not made before and there is space.
    fn open(&self) -> Result<File, StoreError> {
        self.reserve(None)?;
        let mut progress = self.progress();
        if !progress.made {
            let file = self.store.create_partial(&self.path)?;
            progress.made = true;
            return Ok(file);
        }
        drop(progress);
        let opened = OpenOptions::new().read(true).write(true).open(&self.path);
        opened.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => StoreError::Removed { path: self.path.clone() },
            _ => StoreError::io("open", &self.path)(error),
        })
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        // Nothing in it is left half done by a panic.
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
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
