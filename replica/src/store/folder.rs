//! The folder that the store works in: ours, locked, whole; and made again if somebody removes it.
//!
//! ```text
//!                removed, or another one in its place
//! ours, locked ──────────────────────────────────────> away: holds nothing, takes nothing
//!      ^                                                 │
//!      └── made again, locked, looked through ───────────┘ tried each time that it is asked for
//! ```
//!
//! A lock on a file that was removed locks nothing: another replica can make the folder again and lock
//! that. So before anything is written, the lock under its name is compared with ours. While another
//! replica has the folder, this one holds nothing and says so; it comes back when the other ends.
//!
//! Between that comparison and the writing somebody may still remove the folder. What is written then is
//! lost, and fetched or published again.
//!
//! Who removes a folder under which another file system was mounted finds the store in the folder below.

use std::{
    collections::HashSet,
    fs::{self, File},
    io,
    path::Path,
    sync::{MutexGuard, PoisonError, atomic::Ordering},
    time::SystemTime,
};

use gossip_engine::ArtifactId;
use sha2::{Digest as _, Sha256};

use super::{
    Artifact, Durability, Inner, LOCK_FILE, PARTIAL_FOLDER, StoreError,
    files::{Found, find_artifacts, is_same_file, lock, take_away},
    index::MAX_RECENT,
    losses::Damage,
};
use crate::file_version::FileVersion;

/// The lock, if we have it. It is held to change what stands under the artifacts' names.
#[derive(Debug)]
pub(super) struct FolderState {
    pub(super) lock: Option<File>,
    /// What was last said of a folder that is away.
    reported: Option<String>,
}

impl FolderState {
    pub(super) fn locked(lock: File) -> Self {
        Self { lock: Some(lock), reported: None }
    }

    #[cfg(any(test, feature = "simulation"))]
    pub(super) fn without_folder() -> Self {
        Self { lock: None, reported: None }
    }
}

impl Inner {
    pub(super) fn folder_state(&self) -> MutexGuard<'_, FolderState> {
        // A panic in between leaves names as a crash would: the verification finds them.
        self.folder_state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sees to it that the folder is ours and that partial artifacts have their place.
    pub(super) fn restore_folder(&self) -> Result<(), StoreError> {
        self.restore(&mut self.folder_state())
    }

    fn restore(&self, state: &mut FolderState) -> Result<(), StoreError> {
        #[cfg(any(test, feature = "simulation"))]
        if self.memory.is_some() {
            let reason = io::Error::from(io::ErrorKind::Unsupported);
            return Err(StoreError::io("create", &self.folder)(reason));
        }
        if let Some(lock) = &state.lock {
            let path = self.folder.join(LOCK_FILE);
            match is_same_file(lock, &path) {
                Ok(true) => return self.make_partial_folder(),
                Ok(false) => {}
                Err(error) => return Err(self.note(StoreError::io("read", path)(error))),
            }
        }
        let news = state.lock.take().is_some();
        let restored = fs::create_dir_all(&self.folder)
            .map_err(StoreError::io("create", &self.folder))
            .and_then(|()| lock(&self.folder))
            .and_then(|lock| Ok((lock, find_artifacts(&self.folder)?.0)))
            .and_then(|restored| self.make_partial_folder().map(|()| restored));
        let folder = self.folder.display();
        match restored {
            Ok((lock, found)) => {
                state.lock = Some(lock);
                state.reported = None;
                let lost = self.lose_all_but(&found);
                let count = self.adopt(found);
                // Release: a thread that sees the count sees what was found.
                self.restorations.fetch_add(1, Ordering::Release);
                self.losses().last_error =
                    Some(format!("{folder} was removed or replaced, and is made again"));
                tracing::error!(
                    %folder, lost, found = count,
                    "the store's folder was removed or replaced, and is made again"
                );
                Ok(())
            }
            Err(error) => {
                let lost = self.lose_all_but(&[]);
                let reason = error.to_string();
                self.losses().last_error =
                    Some(format!("{folder} was removed or replaced: {reason}"));
                if news || state.reported.as_ref() != Some(&reason) {
                    tracing::error!(
                        %folder, lost, reason,
                        "the store's folder was removed or replaced, and cannot be used"
                    );
                    state.reported = Some(reason);
                }
                Err(error)
            }
        }
    }

    fn make_partial_folder(&self) -> Result<(), StoreError> {
        let path = self.folder.join(PARTIAL_FOLDER);
        match fs::create_dir(&path) {
            Ok(()) => {
                tracing::warn!(folder = %path.display(), "a folder was removed, and is made again");
                Ok(())
            }
            // If that is a file, the next write there fails and says so.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(self.note(StoreError::io("create", path)(error))),
        }
    }

    /// Everything is lost that was not found. Returns how much.
    fn lose_all_but(&self, found: &[Found]) -> u64 {
        let found: HashSet<ArtifactId> = found.iter().map(|found| found.id).collect();
        let gone: Vec<ArtifactId> = self.index().ids().filter(|id| !found.contains(id)).collect();
        for id in &gone {
            if self.remove_from_index(*id) {
                self.losses().lose(*id, false);
            }
        }
        gone.len() as u64
    }

    /// Takes over what was found under the names of artifacts. It is unverified, but what shows without
    /// reading that it is not the artifact is taken away. Returns how much of it was not held before.
    pub(super) fn adopt(&self, found: Vec<Found>) -> usize {
        let nothing = ArtifactId::new(Sha256::digest([]).into());
        let mut came: Vec<(SystemTime, Artifact)> = Vec::new();
        for Found { id, size, modified, regular } in found {
            let damage = if !regular {
                Damage::NotAFile
            } else if size == 0 && id != nothing {
                Damage::Content(nothing)
            } else {
                let (artifact, new) = self.add_to_index(id, size, None);
                if new {
                    came.push((modified, artifact));
                    self.losses().keep(id);
                }
                continue;
            };
            self.remove_from_index(id);
            self.losses().lose(id, true);
            let done = match take_away(&self.folder, &self.path(id)) {
                Ok(done) => done.to_owned(),
                Err(error) => format!("cannot be taken away: {error}"),
            };
            self.told_damage(id, &damage, &done);
        }
        let count = came.len();
        came.sort_by_key(|(modified, artifact)| (*modified, artifact.height));
        let first = came.len().saturating_sub(MAX_RECENT);
        let mut index = self.index();
        for (modified, artifact) in came.drain(first..) {
            index.came(artifact, modified);
        }
        count
    }

    /// Gives verified content its final name, and says whether it is new. Replaces an equal artifact, if another thread
    /// was faster.
    pub(super) fn keep(
        &self,
        file: &File,
        path: &Path,
        id: ArtifactId,
        size: u64,
    ) -> Result<(Artifact, bool), StoreError> {
        if self.options.durability == Durability::PowerCut {
            file.sync_all().map_err(StoreError::io("sync", path))?;
        }
        let target = self.path(id);
        let added = {
            let mut state = self.folder_state();
            self.restore(&mut state)?;
            // A file in the way is replaced; a folder is not.
            if fs::symlink_metadata(&target).is_ok_and(|there| !there.is_file()) {
                take_away(&self.folder, &target).map_err(StoreError::io("move away", &target))?;
            }
            fs::rename(path, &target).map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => StoreError::Removed { path: path.into() },
                _ => StoreError::io("rename", path)(error),
            })?;
            // After the renaming, which changes it. Where it cannot be read, the file is read again.
            let version = file.metadata().ok().map(|metadata| FileVersion::of(&metadata));
            let (artifact, new) = self.add_to_index(id, size, version);
            if new {
                self.index().came(artifact, SystemTime::now());
            }
            (artifact, new)
        };
        self.with_kept(|kept| kept.remove_of(&[id]));
        if let Some(repaired) = self.losses().keep(id) {
            if repaired.reported {
                tracing::info!(
                    artifact = format_args!("{id:x}"),
                    "a damaged artifact is held again"
                );
            }
            if repaired.left == 0 {
                tracing::info!("everything that was damaged is held again");
            }
        }
        self.losses().settle();
        Ok(added)
    }

    /// An artifact is not held any more, and its file is removed.
    pub(super) fn discard(&self, id: ArtifactId) -> Result<bool, StoreError> {
        let mut state = self.folder_state();
        // In another replica's folder nothing is ours to remove.
        self.restore(&mut state)?;
        if !self.remove_from_index(id) {
            return Ok(false);
        }
        let path = self.path(id);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(StoreError::io("remove", path)(error))
            }
            _ => Ok(true),
        }
    }

    pub(super) fn add_to_index(
        &self,
        id: ArtifactId,
        size: u64,
        verified: Option<FileVersion>,
    ) -> (Artifact, bool) {
        let mut index = self.index();
        let (artifact, new) = index.add(id, size, verified);
        if new {
            // Relaxed: as for `Store::count`. The lock is held, so that what is removed was counted.
            self.count.fetch_add(1, Ordering::Relaxed);
            self.bytes.fetch_add(size, Ordering::Relaxed);
        }
        (artifact, new)
    }

    pub(super) fn remove_from_index(&self, id: ArtifactId) -> bool {
        let mut index = self.index();
        let Some(artifact) = index.remove(id) else { return false };
        // Relaxed: as for `Store::count`.
        self.count.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(artifact.size, Ordering::Relaxed);
        true
    }
}
