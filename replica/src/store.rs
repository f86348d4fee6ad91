//! The artifacts of a replica: files in one folder, named by the SHA-256 of their content.
//!
//! ```text
//! folder/lock        held while a store is open
//! folder/<64 hex>    an artifact, complete and verified when it got this name
//! folder/partial/    artifacts on their way in, and parts of them that are kept; see `kept`
//! folder/catalogs/   which artifacts are catalogs; see `catalog`
//! folder/damaged/    what somebody has put under an artifact's name and is no file
//! ```
//!
//! An artifact is hashed, then its file is synced, then renamed, so at no moment of a crash is there a
//! half one under a final name. The folder itself is not synced: a power cut that undoes a rename leaves
//! the file in `partial/`, and the artifact is fetched or published again as if it had not come yet.
//!
//! Presence is not content. What is found in the folder is held, and is hashed before a byte of it is
//! served; the [`Verifier`] reads everything back in the background. What turns out to be wrong is no
//! longer held:
//!
//! - A regular file with the wrong content is removed; the log says which and why. It holds nothing that
//!   anybody asked for, and takes space.
//! - Anything else under an artifact's name somebody has put there. It is moved to `damaged/`.
//! - The id is among the [losses](Store::take_lost), so that the artifact is fetched or published again.
//!
//! No name in the folder is a peer's choice: ids are 32 bytes, and a file is named by their digits.
//!
//! Bounded: no file stays open but the two that are being verified, copying and hashing use one small
//! buffer, the index in memory is about 250 bytes an artifact; the disk, by
//! [`StoreOptions::min_free_bytes`] and [`StoreOptions::max_store_bytes`]. May lose: what somebody
//! removes, until it is fetched again.

mod copy;
mod error;
mod files;
mod folder;
mod import;
mod index;
mod journal;
mod kept;
mod losses;
#[cfg(any(test, feature = "simulation"))]
mod memory;
mod options;
mod partial;
mod read;
mod space;
mod verifier;
mod verify;

use std::{
    fs::{self, File, OpenOptions},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use gossip_engine::ArtifactId;

use self::{
    folder::FolderState,
    index::{Index, MAX_RECENT},
    journal::Key,
    losses::Losses,
    space::{FreeSpace, Space},
    verifier::Asked,
};

pub(crate) use self::files::open_regular;
#[cfg(any(test, feature = "simulation"))]
pub(crate) use self::memory::Contents;
pub use self::{
    copy::{CopyError, copy_artifact, has_artifact},
    error::StoreError,
    import::Imported,
    index::Artifact,
    options::{Durability, StoreOptions, StoreStatus},
    partial::Partial,
    verifier::{Verifier, Verifying},
};

const LOCK_FILE: &str = "lock";
const PARTIAL_FOLDER: &str = "partial";
const DAMAGED_FOLDER: &str = "damaged";
pub(crate) const CATALOGS_FOLDER: &str = "catalogs";

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
    options: StoreOptions,
    folder_state: Mutex<FolderState>,
    index: Mutex<Index>,
    count: AtomicU64,
    bytes: AtomicU64,
    partials: AtomicU64,
    space: Space,
    losses: Mutex<Losses>,
    verified_bytes: AtomicU64,
    /// How often the folder was made again, so that nothing in it is verified.
    restorations: AtomicU64,
    asked: Asked,
    /// What the artifacts are, where there is no disk.
    #[cfg(any(test, feature = "simulation"))]
    memory: Option<Arc<Contents>>,
}

impl Store {
    /// Opens the folder with the default options. See [`open_with`](Self::open_with).
    ///
    /// # Errors
    ///
    /// As for [`open_with`](Self::open_with).
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        Self::open_with(folder, StoreOptions::default())
    }

    /// Opens the folder, which is created if there is none.
    ///
    /// What a crash left half written is removed, unless its journal says that enough of it is there to be
    /// [resumed](Partial::resume). Files whose names are not ours are left alone. No
    /// content is read: that is the [`Verifier`]'s, and that of the first reader of an artifact.
    ///
    /// # Errors
    ///
    /// [`StoreError::Locked`] if another store has the folder open, here or in another process;
    /// [`StoreError::Io`] if the system refuses.
    pub fn open_with(folder: &Path, options: StoreOptions) -> Result<Self, StoreError> {
        Self::open_on(folder, options, Box::new(|folder| fs4::available_space(folder)))
    }

    /// Opens the folder on a disk with the free space that `free` says.
    pub(crate) fn open_on(
        folder: &Path,
        options: StoreOptions,
        free: FreeSpace,
    ) -> Result<Self, StoreError> {
        fs::create_dir_all(folder).map_err(StoreError::io("create", folder))?;
        let lock = files::lock(folder)?;
        let parts = files::find_parts(&folder.join(PARTIAL_FOLDER))?;
        let (found, ignored) = files::find_artifacts(folder)?;
        let state = FolderState::locked(lock);
        let mut inner = Inner::new(folder.into(), options, state, free);
        inner.partials =
            parts.iter().fold(0, |next, part| next.max(part.number.wrapping_add(1))).into();
        let inner = Arc::new(inner);
        let artifacts = inner.adopt(found);
        let kept = inner.adopt_parts(parts);
        let bytes = inner.bytes();
        tracing::info!(folder = %folder.display(), artifacts, bytes, ignored, kept, "store opened");
        Ok(Self { inner })
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.inner.folder
    }

    /// Where [`Catalogs`](crate::catalog::Catalogs) keep what they know of these artifacts.
    #[must_use]
    pub fn catalogs_folder(&self) -> PathBuf {
        self.inner.folder.join(CATALOGS_FOLDER)
    }

    /// Removes an artifact that nobody needs any more. Returns whether it was held.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] if the system refuses. It is not held any more, but will be when the folder is opened again.
    pub fn discard(&self, id: ArtifactId) -> Result<bool, StoreError> {
        self.inner.discard(id)
    }

    /// Whether there is space for an artifact of `size` bytes, beside all that is in progress. It is
    /// reserved by the [`Partial`], not by this.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoSpace`] if there is not.
    pub fn space_for(&self, size: u64) -> Result<(), StoreError> {
        self.inner.space.check(&self.inner.folder, self.bytes(), size)
    }

    /// Begins to write an artifact that comes in pieces. Touches no disk yet.
    #[must_use]
    pub fn begin(&self, id: ArtifactId, size: u64) -> Partial {
        Partial::new(self.inner.clone(), id, size)
    }

    /// Reads an artifact back and hashes it. One that is not what its name says is no longer held, so
    /// that it can be fetched again; then, and if it is not held, the answer is `false`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] if the system refuses, [`StoreError::Changed`] if the file changes all the time;
    /// the artifact is then still held.
    pub fn verify(&self, id: ArtifactId) -> Result<bool, StoreError> {
        self.inner.verify(id)
    }

    /// What is no longer held since this was last asked, and what damage was found when the store was
    /// opened: at most 1024 ids. The protocol asks now and then, and asks its peers for them.
    #[must_use]
    pub fn take_lost(&self) -> Vec<ArtifactId> {
        self.inner.losses().take()
    }

    /// How often the folder was made again, or found again, with whatever lay in it.
    pub(crate) fn restorations(&self) -> u64 {
        // Acquire: a thread that sees the count sees what was found before it.
        self.inner.restorations.load(Ordering::Acquire)
    }

    /// How the store stands. Asks the system for the free space.
    #[must_use]
    pub fn status(&self) -> StoreStatus {
        let losses = self.inner.losses();
        let (damaged, repaired) = (losses.damaged, losses.repaired);
        let last_error = losses.last_error.clone();
        drop(losses);
        StoreStatus {
            artifacts: self.count(),
            bytes: self.bytes(),
            kept_bytes: self.inner.space.kept_bytes(),
            free_bytes: self.inner.space.free(&self.inner.folder),
            min_free_bytes: self.inner.options.min_free_bytes,
            max_store_bytes: self.inner.options.max_store_bytes,
            // Relaxed: as for `count`.
            verified_bytes: self.inner.verified_bytes.load(Ordering::Relaxed),
            damaged,
            repaired,
            last_error,
        }
    }

    /// The artifacts that came last, newest first, and when: at most 64. Those that were found when the
    /// store was opened came when their files were last written.
    #[must_use]
    pub fn recent(&self, count: usize) -> Vec<(Artifact, SystemTime)> {
        self.inner.index().recent(count.min(MAX_RECENT))
    }

    /// The artifact, if it is held.
    #[must_use]
    pub fn get(&self, id: ArtifactId) -> Option<Artifact> {
        self.inner.index().get(id).map(|entry| entry.artifact)
    }

    /// The artifact, if it is held, and whether its file was verified in this run. If not, its size is what the file
    /// has, which may be damaged.
    pub(crate) fn get_verified(&self, id: ArtifactId) -> Option<(Artifact, bool)> {
        self.inner.index().get(id).map(|entry| (entry.artifact, entry.verified.is_some()))
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

    /// The height of the artifact that came last; 0 if none ever did.
    pub(crate) fn last_height(&self) -> u64 {
        self.inner.index().last_height()
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
        self.inner.bytes()
    }
}

#[cfg(any(test, fuzzing))]
impl Store {
    /// How many bytes are reserved for artifacts in progress.
    pub(crate) fn reserved_bytes(&self) -> u64 {
        self.inner.space.reserved_bytes()
    }
}

impl Inner {
    fn new(
        folder: PathBuf,
        options: StoreOptions,
        folder_state: FolderState,
        free: FreeSpace,
    ) -> Self {
        Self {
            folder,
            options,
            folder_state: Mutex::new(folder_state),
            index: Mutex::default(),
            count: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            partials: AtomicU64::new(0),
            space: Space::new(&options, free),
            losses: Mutex::default(),
            verified_bytes: AtomicU64::new(0),
            restorations: AtomicU64::new(0),
            asked: Asked::default(),
            #[cfg(any(test, feature = "simulation"))]
            memory: None,
        }
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        // A panic inside of the index's few steps is a bug that other threads need not die of.
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn losses(&self) -> MutexGuard<'_, Losses> {
        // As for the index.
        self.losses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bytes(&self) -> u64 {
        // Relaxed: as for `Store::count`.
        self.bytes.load(Ordering::Relaxed)
    }

    fn path(&self, id: ArtifactId) -> PathBuf {
        self.folder.join(format!("{id:x}"))
    }

    /// The path of a new file. One that may be kept is named by its artifact, so that it is found again.
    fn next_partial(&self, key: Option<Key>) -> PathBuf {
        // Relaxed: only the number has to be a new one.
        let number = self.partials.fetch_add(1, Ordering::Relaxed);
        let name = key.map_or_else(|| number.to_string(), |key| key.file_name(number));
        self.folder.join(PARTIAL_FOLDER).join(name)
    }

    /// Makes the file of an artifact in progress, and its folder if somebody has removed that.
    fn create_partial(&self, path: &Path) -> Result<File, StoreError> {
        self.restore_folder()?;
        let mut options = OpenOptions::new();
        let opened = options.read(true).write(true).create(true).truncate(false).open(path);
        opened.map_err(|error| self.note(StoreError::io("create", path)(error)))
    }

    /// Remembers what went wrong last.
    fn note(&self, error: StoreError) -> StoreError {
        self.losses().last_error = Some(error.to_string());
        error
    }
}

#[cfg(test)]
mod tests;
