//! An artifact on its way in: a temporary file that becomes an artifact, or is kept for later, or nothing.
//!
//! ```text
//!        reserve, first write               finish
//! begun ─────────────────────> in progress ────────> an artifact
//!   │                           ^  │    │
//!   │ resume                    │  │    └──drop──> removed
//!   └────────────> kept ────────┘  │
//!                   ^              │ keep, or the end of the process
//!                   └──────────────┘
//! ```
//!
//! Its space is reserved by [`reserve`](Partial::reserve), [`resume`](Partial::resume) or the first write. The file
//! is made by the first write, so a download that nobody serves costs no disk, and it is opened for each write, so that
//! downloads in progress hold no file descriptors. It is made once: if somebody removes it, what was
//! written is gone, and the next write says so. The bytes are not trusted until
//! [`finish`](Partial::finish) has read them back and hashed them.
//!
//! One of a megabyte or more has a [journal](super::journal) of what has come, by which it is [kept](super::kept). A
//! smaller one is removed when it ends without being whole.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    ops::Range,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use gossip_engine::{ArtifactId, NodeId};
use sha2::{Digest as _, Sha256};

use super::{
    Artifact, Inner, StoreError,
    journal::{self, Key, MAX_ENTRIES},
    kept::{KeptFile, MIN_KEPT_BYTES, read_part},
    space::Reservation,
};

/// How many bytes are in memory while a file is copied or hashed.
pub(super) const BUFFER_BYTES: usize = 128 << 10;

/// An artifact being written, in any order and from any thread. Dropping it removes what was written,
/// unless it has been finished or kept, and releases its space.
#[derive(Debug)]
pub struct Partial {
    pub(super) store: Arc<Inner>,
    pub(super) key: Key,
    progress: Mutex<Progress>,
    /// Whether it is over. Who writes or resumes holds it, so that nothing is kept that is still written.
    over: RwLock<bool>,
}

#[derive(Debug)]
pub(super) struct Progress {
    path: PathBuf,
    pub(super) reservation: Option<Reservation>,
    /// Whether the file was made.
    made: bool,
    /// Whether it is an artifact's by now, or kept.
    handed_on: bool,
    /// How many entries its journal has.
    entries: u64,
    #[cfg(any(test, feature = "simulation"))]
    pub(super) in_memory: super::memory::Written,
}

impl Partial {
    pub(super) fn new(store: Arc<Inner>, id: ArtifactId, size: u64) -> Self {
        let key = Key { id, size };
        let path = store.next_partial(has_journal(key).then_some(key));
        let progress = Mutex::new(Progress {
            path,
            reservation: None,
            made: false,
            handed_on: false,
            entries: 0,
            #[cfg(any(test, feature = "simulation"))]
            in_memory: super::memory::Written::default(),
        });
        Self { store, key, progress, over: RwLock::new(false) }
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
            progress.reservation = Some(Reservation::new(&self.store, self.key.size, peer, None)?);
        }
        Ok(())
    }

    /// Reserves as [`reserve`](Self::reserve) does, to go on with what an earlier one has [kept](Self::keep), in this
    /// run or one before. Returns which bytes of the artifact are there: ranges in order and apart from each other.
    /// They are as little trusted as all that is written. Does nothing after [`keep`](Self::keep), or if space is
    /// reserved.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoSpace`]; it may be tried again. What is kept stays kept.
    pub fn resume(&self, peer: Option<NodeId>) -> Result<Vec<Range<u64>>, StoreError> {
        let over = self.over.read().unwrap_or_else(PoisonError::into_inner);
        let mut progress = self.progress();
        if *over || progress.reservation.is_some() {
            return Ok(Vec::new());
        }
        let (path, journal) = self.store.find_part(self.key).unzip();
        let reservation = Reservation::new(&self.store, self.key.size, peer, path.as_deref())?;
        let resumed = reservation.resumed;
        progress.reservation = Some(reservation);
        // It may have been removed meanwhile for the space of another.
        let (Some(path), Some(journal), true) = (path, journal, resumed) else {
            return Ok(Vec::new());
        };
        progress.path = path;
        progress.made = true;
        progress.entries = journal.entries;
        Ok(journal.ranges)
    }

    /// Writes `bytes` at `offset`. Writers of different ranges do not disturb each other. After [`keep`](Self::keep)
    /// nothing is written.
    ///
    /// # Errors
    ///
    /// [`StoreError::OutOfRange`] beyond the artifact's size; [`StoreError::NoSpace`] as long as the
    /// whole artifact does not fit, or if what was not held back of a peer's is taken by now; [`StoreError::Removed`]
    /// if what was written before is gone, for good; [`StoreError::Io`] if the disk refuses: the range may then be
    /// half written, and may be written again.
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), StoreError> {
        let Key { id, size } = self.key;
        let length = bytes.len() as u64;
        if offset.checked_add(length).is_none_or(|end| end > size) {
            return Err(StoreError::OutOfRange { id, size, offset, length: bytes.len() });
        }
        let over = self.over.read().unwrap_or_else(PoisonError::into_inner);
        if *over {
            return Ok(());
        }
        #[cfg(any(test, feature = "simulation"))]
        if let Some(contents) = &self.store.memory {
            return self.write_in_memory(contents, offset, bytes);
        }
        let (mut file, path) = self.open()?;
        if let Some(reservation) = &self.progress().reservation {
            reservation.earn(length)?;
        }
        let mut write = || -> io::Result<()> {
            file.seek(SeekFrom::Start(offset))?;
            file.write_all(bytes)
        };
        let refused = |error| self.store.note(StoreError::io("write", &path)(error));
        write().map_err(refused)?;
        let entry = {
            let mut progress = self.progress();
            if let Some(reservation) = &progress.reservation {
                reservation.write(length);
            }
            progress.entries += 1;
            progress.entries - 1
        };
        if has_journal(self.key)
            && entry < MAX_ENTRIES
            && let Ok(length) = u32::try_from(length)
        {
            // After the bytes that it stands for.
            journal::write(&mut file, self.key, entry, offset, length).map_err(refused)?;
        }
        Ok(())
    }

    /// Reads the content back, and if it hashes to the id, gives it its final name. What was never
    /// written reads as zeros. Call it once, after the last write has returned, and not after [`keep`](Self::keep).
    ///
    /// # Errors
    ///
    /// [`StoreError::Mismatch`] if the content is another one, and otherwise as for
    /// [`write_at`](Self::write_at).
    pub fn finish(&self) -> Result<Artifact, StoreError> {
        #[cfg(any(test, feature = "simulation"))]
        if let Some(contents) = &self.store.memory {
            return self.finish_in_memory(contents);
        }
        let Key { id, size } = self.key;
        let (file, path) = self.open()?;
        let length = file.metadata().map_err(StoreError::io("read", &path))?.len();
        if length < size {
            file.set_len(size).map_err(StoreError::io("extend", &path))?;
        }
        let found = hash_first(&file, size).map_err(StoreError::io("read", &path))?;
        if found != id {
            return Err(StoreError::Mismatch { expected: id, found, size });
        }
        // Not before it is known to be right: without its journal it counts as whole.
        file.set_len(size).map_err(StoreError::io("cut", &path))?;
        let (artifact, _) = self.store.keep(&file, &path, id, size)?;
        let mut progress = self.progress();
        (progress.handed_on, progress.reservation) = (true, None);
        Ok(artifact)
    }

    /// Ends it, and keeps what was written for a later [`resume`](Self::resume), if that is enough to be worth it,
    /// there is space and the artifact is not held. Otherwise it is removed when this is dropped. Waits until writes in
    /// progress have returned.
    pub fn keep(&self) {
        *self.over.write().unwrap_or_else(PoisonError::into_inner) = true;
        let mut progress = self.progress();
        // First, or its bytes would count twice.
        progress.reservation = None;
        if !progress.made || !has_journal(self.key) || progress.handed_on {
            return;
        }
        if let Some(journal) = read_part(&progress.path, self.key) {
            let file = KeptFile::new(self.key, progress.path.clone(), journal.bytes());
            // A later attempt may have been faster. What enters the store has its parts removed afterwards, so one of
            // the two sees the other.
            let is_kept = self.store.with_kept(|kept| {
                let is_lacking = self.store.index().get(self.key.id).is_none();
                if is_lacking {
                    kept.insert(file);
                }
                is_lacking
            });
            progress.handed_on = is_kept;
        }
    }

    /// The file, which is made if it was not made before and there is space, and where it is.
    fn open(&self) -> Result<(File, PathBuf), StoreError> {
        self.reserve(None)?;
        let mut progress = self.progress();
        let path = progress.path.clone();
        if !progress.made {
            let file = self.store.create_partial(&path)?;
            if has_journal(self.key) {
                let begun = journal::begin(&file, self.key);
                begun.map_err(|error| self.store.note(StoreError::io("write", &path)(error)))?;
            }
            progress.made = true;
            return Ok((file, path));
        }
        drop(progress);
        match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(file) => Ok((file, path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(StoreError::Removed { path })
            }
            Err(error) => Err(StoreError::io("open", path)(error)),
        }
    }

    pub(super) fn progress(&self) -> MutexGuard<'_, Progress> {
        // Nothing in it is left half done by a panic.
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        #[cfg(any(test, feature = "simulation"))]
        if self.store.memory.is_some() {
            return;
        }
        let progress = self.progress();
        if !progress.handed_on {
            // There is no file before the first write. One that cannot be removed now is found when
            // the store is opened again.
            let _ = fs::remove_file(&progress.path);
        }
    }
}

/// Whether it is large enough to be kept.
fn has_journal(key: Key) -> bool {
    key.size >= MIN_KEPT_BYTES
}

/// The SHA-256 of a whole file, from its start.
pub(super) fn hash(file: &File) -> io::Result<ArtifactId> {
    hash_first(file, u64::MAX)
}

/// The SHA-256 of so many bytes of a file, from its start.
fn hash_first(mut file: &File, bytes: u64) -> io::Result<ArtifactId> {
    file.seek(SeekFrom::Start(0))?;
    let mut content = file.take(bytes);
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match content.read(&mut buffer) {
            Ok(0) => return Ok(ArtifactId::new(hasher.finalize().into())),
            Ok(read) => hasher.update(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
