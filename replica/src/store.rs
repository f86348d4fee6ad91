//! The artifacts of a replica: files in one folder, named by the SHA-256 of their content.
//!
//! ```text
//! folder/lock        held while a store is open
//! folder/<64 hex>    an artifact, complete and verified when it got this name
//! folder/partial/    artifacts on their way in; emptied when a store is opened
//! ```
//!
//! An artifact is hashed, then its file is synced, then renamed, so at no moment of a crash is there a
//! half one under a final name. The folder itself is not synced: a power cut that undoes a rename leaves
//! the file in `partial/`, and the artifact is fetched or published again as if it had not come yet.
//!
//! No name in the folder is a peer's choice: ids are 32 bytes, and a file is named by their digits.
//!
//! Bounded: no file stays open, copying and hashing use one small buffer, the index in memory is about
//! 200 bytes an artifact. Not bounded: how many artifacts there are; that is the caller's decision.
//!
//! The content of an artifact is not read again when a store is opened, so one whose bytes the disk has
//! spoilt is found out by [`Store::verify`] or by those that fetch it: they hash it too, and refuse it.

mod error;
mod import;
mod index;
mod partial;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use gossip_engine::ArtifactId;

use index::Index;

pub use self::{error::StoreError, import::Imported, index::Artifact, partial::Partial};

const LOCK_FILE: &str = "lock";
const PARTIAL_FOLDER: &str = "partial";

/// What an artifact survives once the store has said that it is held.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Durability {
    /// A power cut: content is synced before it gets its final name. About a millisecond a file.
    #[default]
    PowerCut,
    /// The end of the process, however sudden. After a power cut a file may have lost bytes under its
    /// final name, which only [`Store::verify`] finds. For tests, demos and folders in memory.
    Crash,
}

/// A folder of artifacts, opened by this process alone. Clones share it.
///
/// Every artifact has a *height*: 1 for the first that this store came to hold, and so on. A height only
/// orders the artifacts of one store between two openings: it is not kept on disk, and when a store is
/// opened the artifacts get new heights in the order of their ids. So neither heights nor the chunk size
/// under which an artifact once came in need a file of their own; whoever serves an artifact cuts it as
/// it likes.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    durability: Durability,
    index: Mutex<Index>,
    count: AtomicU64,
    bytes: AtomicU64,
    partials: AtomicU64,
    /// Unlocked when it is closed, by the system if need be.
    _lock: File,
}

impl Store {
    /// Opens the folder, which is created if there is none, and survives power cuts.
    ///
    /// What a crash left half written is removed. Files whose names are not ours are left alone.
    ///
    /// # Errors
    ///
    /// [`StoreError::Locked`] if another store has the folder open, here or in another process;
    /// [`StoreError::Io`] if the system refuses.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        Self::open_with(folder, Durability::default())
    }

    /// Opens the folder as [`open`](Self::open) does, with a choice of what artifacts survive.
    ///
    /// # Errors
    ///
    /// As for [`open`](Self::open).
    pub fn open_with(folder: &Path, durability: Durability) -> Result<Self, StoreError> {
        fs::create_dir_all(folder).map_err(StoreError::io("create", folder))?;
        let lock = lock(folder)?;
        remove_partials(&folder.join(PARTIAL_FOLDER))?;
        let mut index = Index::default();
        let mut bytes = 0;
        let (found, ignored) = find_artifacts(folder)?;
        for (id, size) in &found {
            index.add(*id, *size);
            bytes += size;
        }
        tracing::info!(folder = %folder.display(), artifacts = found.len(), bytes, ignored, "store opened");
        Ok(Self {
            inner: Arc::new(Inner {
                folder: folder.into(),
                durability,
                index: Mutex::new(index),
                count: AtomicU64::new(found.len() as u64),
                bytes: AtomicU64::new(bytes),
                partials: AtomicU64::new(0),
                _lock: lock,
            }),
        })
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.inner.folder
    }

    /// Begins to write an artifact that comes in pieces. Touches no disk yet.
    #[must_use]
    pub fn begin(&self, id: ArtifactId, size: u64) -> Partial {
        Partial::new(self.inner.clone(), id, size)
    }

    /// Reads a part of an artifact.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotHeld`] and [`StoreError::OutOfRange`] if there are no such bytes;
    /// [`StoreError::Io`] if the system refuses. An artifact whose file is gone or too short is no
    /// longer held afterwards, so that it can be fetched again.
    pub fn read_chunk(
        &self,
        id: ArtifactId,
        offset: u64,
        length: usize,
    ) -> Result<Bytes, StoreError> {
        let size = self.get(id).ok_or(StoreError::NotHeld(id))?.size;
        if offset.checked_add(length as u64).is_none_or(|end| end > size) {
            return Err(StoreError::OutOfRange { id, size, offset, length });
        }
        let path = self.inner.path(id);
        let read = || -> io::Result<Bytes> {
            let mut file = File::open(&path)?;
            file.seek(SeekFrom::Start(offset))?;
            let mut chunk = vec![0; length];
            file.read_exact(&mut chunk)?;
            Ok(chunk.into())
        };
        read().map_err(|error| {
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof) {
                self.inner.forget(id);
            }
            StoreError::io("read", &path)(error)
        })
    }

    /// Reads an artifact back and hashes it. One that is not what its name says is removed, so that it
    /// can be fetched again; then, and if it is not held, the answer is `false`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] if the system refuses; the artifact is then still held.
    pub fn verify(&self, id: ArtifactId) -> Result<bool, StoreError> {
        if !self.contains(id) {
            return Ok(false);
        }
        let path = self.inner.path(id);
        let intact = match File::open(&path) {
            Ok(file) => hash_of(&file, &path)? == id,
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(StoreError::io("open", &path)(error)),
        };
        if !intact {
            self.inner.forget(id);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(StoreError::io("remove", &path)(error));
                }
                _ => {}
            }
        }
        Ok(intact)
    }

    /// The artifact, if it is held.
    #[must_use]
    pub fn get(&self, id: ArtifactId) -> Option<Artifact> {
        self.inner.index().get(id)
    }

    /// Whether the artifact is held.
    #[must_use]
    pub fn contains(&self, id: ArtifactId) -> bool {
        self.get(id).is_some()
    }

    /// Up to `limit` artifacts of at least this height, lowest first. All are from height 0.
    #[must_use]
    pub fn list_from(&self, height: u64, limit: usize) -> Vec<Artifact> {
        self.inner.index().list_from(height, limit)
    }

    /// How many artifacts are held. One atomic reading.
    #[must_use]
    pub fn count(&self) -> u64 {
        // Relaxed: a figure to look at; whoever needs the artifacts themselves takes the index's lock.
        self.inner.count.load(Ordering::Relaxed)
    }

    /// How many bytes of content are held. One atomic reading.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        // Relaxed: as for `count`.
        self.inner.bytes.load(Ordering::Relaxed)
    }
}

impl Inner {
    fn index(&self) -> MutexGuard<'_, Index> {
        // A panic inside of the index's few steps is a bug that other threads need not die of.
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, id: ArtifactId) -> PathBuf {
        self.folder.join(format!("{id:x}"))
    }

    fn next_partial(&self) -> PathBuf {
        // Relaxed: only the number has to be a new one.
        let number = self.partials.fetch_add(1, Ordering::Relaxed);
        self.folder.join(PARTIAL_FOLDER).join(number.to_string())
    }

    /// Gives verified content its final name. Replaces an equal artifact, if another thread was faster.
    fn keep(
        &self,
        file: &File,
        path: &Path,
        id: ArtifactId,
        size: u64,
    ) -> Result<Artifact, StoreError> {
        if self.durability == Durability::PowerCut {
            file.sync_all().map_err(StoreError::io("sync", path))?;
        }
        fs::rename(path, self.path(id)).map_err(StoreError::io("rename", path))?;
        let mut index = self.index();
        let (artifact, new) = index.add(id, size);
        if new {
            // Relaxed: as for `Store::count`. The lock is held, so that what is forgotten was counted.
            self.count.fetch_add(1, Ordering::Relaxed);
            self.bytes.fetch_add(size, Ordering::Relaxed);
        }
        Ok(artifact)
    }

    fn forget(&self, id: ArtifactId) {
        let mut index = self.index();
        if let Some(artifact) = index.remove(id) {
            // Relaxed: as for `Store::count`.
            self.count.fetch_sub(1, Ordering::Relaxed);
            self.bytes.fetch_sub(artifact.size, Ordering::Relaxed);
            tracing::warn!(artifact = %id, "artifact is damaged on disk and no longer held");
        }
    }
}

fn hash_of(file: &File, path: &Path) -> Result<ArtifactId, StoreError> {
    partial::hash(file).map_err(StoreError::io("read", path))
}

fn lock(folder: &Path) -> Result<File, StoreError> {
    let path = folder.join(LOCK_FILE);
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(StoreError::io("create", &path))?;
    match fs4::FileExt::try_lock(&file) {
        Ok(()) => Ok(file),
        Err(fs4::TryLockError::WouldBlock) => Err(StoreError::Locked { path: folder.into() }),
        Err(fs4::TryLockError::Error(error)) => Err(StoreError::io("lock", &path)(error)),
    }
}

/// Makes the folder of partial artifacts, and empties it of what a crash has left.
fn remove_partials(folder: &Path) -> Result<(), StoreError> {
    fs::create_dir_all(folder).map_err(StoreError::io("create", folder))?;
    for entry in fs::read_dir(folder).map_err(StoreError::io("list", folder))? {
        let entry = entry.map_err(StoreError::io("list", folder))?;
        let ours = entry.file_name().to_str().is_some_and(|name| name.parse::<u64>().is_ok());
        if ours {
            fs::remove_file(entry.path()).map_err(StoreError::io("remove", entry.path()))?;
        }
    }
    Ok(())
}

/// All artifacts by name and size, in the order of their ids, and how many other entries there are.
fn find_artifacts(folder: &Path) -> Result<(Vec<(ArtifactId, u64)>, usize), StoreError> {
    let mut found = Vec::new();
    let mut ignored = 0;
    for entry in fs::read_dir(folder).map_err(StoreError::io("list", folder))? {
        let entry = entry.map_err(StoreError::io("list", folder))?;
        let name = entry.file_name();
        if name == LOCK_FILE || name == PARTIAL_FOLDER {
            continue;
        }
        // Upper-case digits are not ours: two names for one id would count it twice.
        let id = name.to_str().and_then(|name| {
            name.parse::<ArtifactId>().ok().filter(|id| format!("{id:x}") == name)
        });
        // The entry's own metadata: a link is no artifact, wherever it leads.
        let metadata = entry.metadata().map_err(StoreError::io("read", entry.path()))?;
        match id {
            Some(id) if metadata.is_file() => found.push((id, metadata.len())),
            _ => ignored += 1,
        }
    }
    found.sort_unstable();
    Ok((found, ignored))
}

#[cfg(test)]
mod tests;
