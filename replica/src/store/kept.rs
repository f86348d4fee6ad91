//! What attempts that ended have left, for those that follow: parts of artifacts, in files of their own.
//!
//! ```text
//! attempt ends, or the store is opened ──> kept ──> taken by the next attempt at the same artifact
//!                                           │
//!                                           └──> removed: space is needed, too many, too old, not wanted, held
//! ```
//!
//! A file is called `<id>.<size>.<number>`: an id may be claimed to have several sizes, and a number is new for each
//! attempt, so that one that is late disturbs no other. Its [journal](super::journal) says what a file has.
//!
//! Nothing is reserved for what is kept: to all that needs space it counts as free, and is removed for it, the oldest
//! first. So a peer that has artifacts announced and leaves them holds nobody up.
//!
//! Bounded: [`MAX_KEPT`] files of together [`MAX_KEPT_BYTES`], each of at least [`MIN_KEPT_BYTES`] that have come. Of
//! too many files the one with the fewest bytes goes, so that many small parts remove no large one. Of too many bytes
//! the oldest go. A file is kept for [`KEPT_FOR`]. Each run of the program counts this time anew.
//!
//! May lose: a part whose attempt ends while the next one at the same artifact begins already.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use gossip_engine::ArtifactId;

use super::{
    Inner, Store,
    files::{FoundPart, open_regular},
    journal::{self, Journal, Key},
};

/// How many files are kept: as many as are fetched at the same time by default.
pub(super) const MAX_KEPT: usize = 128;
/// How many bytes they have together.
pub(super) const MAX_KEPT_BYTES: u64 = 8 << 30;
/// How many bytes of an artifact have to be there for it to be kept. Less is fetched again within a moment.
pub(super) const MIN_KEPT_BYTES: u64 = if cfg!(fuzzing) { 1 << 10 } else { 1 << 20 };
/// For how long one is kept that is not taken.
const KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// A part of an artifact.
#[derive(Debug)]
pub(super) struct KeptFile {
    pub(super) key: Key,
    pub(super) path: PathBuf,
    /// How many bytes of it are there.
    pub(super) bytes: u64,
    /// When [`expire`](Kept::expire) saw it first, by the clock of its caller.
    seen: Option<Duration>,
}

impl KeptFile {
    pub(super) fn new(key: Key, path: PathBuf, bytes: u64) -> Self {
        Self { key, path, bytes, seen: None }
    }
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// Oldest first.
    files: Vec<KeptFile>,
    bytes: u64,
}

impl Kept {
    /// How many bytes all have.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn len(&self) -> usize {
        self.files.len()
    }

    /// Keeps a file, in place of an older part of the same.
    pub(super) fn insert(&mut self, file: KeptFile) {
        self.remove_part(file.key);
        self.bytes += file.bytes;
        self.files.push(file);
        while self.files.len() > MAX_KEPT
            && let Some((least, _)) =
                self.files.iter().enumerate().min_by_key(|(_, file)| file.bytes)
        {
            self.remove(least);
        }
        while self.bytes > MAX_KEPT_BYTES {
            self.remove(0);
        }
    }

    /// Where the part of an artifact is.
    pub(super) fn find(&self, key: Key) -> Option<&Path> {
        self.files.iter().find(|file| file.key == key).map(|file| &*file.path)
    }

    /// Takes the part of an artifact that is in this file, to go on with it.
    pub(super) fn take(&mut self, path: &Path) -> Option<KeptFile> {
        let at = self.files.iter().position(|file| file.path == path)?;
        let taken = self.files.remove(at);
        self.bytes -= taken.bytes;
        Some(taken)
    }

    /// Removes at least so many bytes, or all.
    pub(super) fn give_way(&mut self, bytes: u64) {
        let left = self.bytes.saturating_sub(bytes);
        while self.bytes > left {
            self.remove(0);
        }
    }

    /// Removes what was seen for the first time too long ago.
    pub(super) fn expire(&mut self, now: Duration) {
        let mut expired = Vec::new();
        for file in &mut self.files {
            let seen = *file.seen.get_or_insert(now);
            if now.saturating_sub(seen) >= KEPT_FOR {
                expired.push(file.path.clone());
            }
        }
        self.remove_where(|file| expired.contains(&file.path));
    }

    /// The ids of all.
    pub(super) fn ids(&self) -> Vec<ArtifactId> {
        self.files.iter().map(|file| file.key.id).collect()
    }

    /// Removes the part of an artifact.
    pub(super) fn remove_part(&mut self, key: Key) {
        self.remove_where(|file| file.key == key);
    }

    /// Removes those of these artifacts.
    pub(super) fn remove_of(&mut self, ids: &[ArtifactId]) {
        self.remove_where(|file| ids.contains(&file.key.id));
    }

    fn remove_where(&mut self, removed: impl Fn(&KeptFile) -> bool) {
        while let Some(at) = self.files.iter().position(&removed) {
            self.remove(at);
        }
    }

    fn remove(&mut self, at: usize) {
        let file = self.files.remove(at);
        self.bytes -= file.bytes;
        // One that cannot be removed now is found when the store is opened again.
        let _ = fs::remove_file(file.path);
    }
}

impl Store {
    /// Removes parts of artifacts that have been kept for a day, or whose artifacts nobody wants any more, and as many
    /// as the limits of space ask for. `now` is the time by a clock that every call uses.
    pub(crate) fn drop_stale_parts(&self, now: Duration, is_unwanted: impl Fn(ArtifactId) -> bool) {
        let ids = self.inner.with_kept(|kept| {
            kept.expire(now);
            kept.ids()
        });
        // Asked outside of the lock.
        let unwanted: Vec<ArtifactId> = ids.into_iter().filter(|id| is_unwanted(*id)).collect();
        if !unwanted.is_empty() {
            self.inner.with_kept(|kept| kept.remove_of(&unwanted));
        }
    }
}

impl Inner {
    pub(super) fn with_kept<T>(&self, change: impl FnOnce(&mut Kept) -> T) -> T {
        self.space.with_kept(&self.folder, self.bytes(), change)
    }

    /// Keeps what an earlier run has left of artifacts that are not held. Returns how many.
    pub(super) fn adopt_parts(&self, parts: Vec<FoundPart>) -> usize {
        for FoundPart { key, path, .. } in parts {
            let lacking = self.index().get(key.id).is_none();
            match read_part(&path, key).filter(|_| lacking) {
                Some(journal) => {
                    let file = KeptFile::new(key, path, journal.bytes());
                    self.with_kept(|kept| kept.insert(file));
                }
                // One that cannot be removed is in nobody's way.
                None => _ = fs::remove_file(path),
            }
        }
        self.with_kept(|kept| kept.len())
    }

    /// Where an earlier attempt has left a part of an artifact, and what is there of it.
    pub(super) fn find_part(&self, key: Key) -> Option<(PathBuf, Journal)> {
        let path = self.with_kept(|kept| kept.find(key).map(PathBuf::from))?;
        let Some(journal) = read_part(&path, key) else {
            // Somebody has been at it.
            self.with_kept(|kept| kept.remove_part(key));
            return None;
        };
        Some((path, journal))
    }
}

/// What is there of an artifact by the journal of this file, if it is enough to be kept.
pub(super) fn read_part(path: &Path, key: Key) -> Option<Journal> {
    let read = || -> io::Result<Option<Journal>> {
        let file = open_regular(path)?;
        let regular = file.metadata()?.is_file();
        regular.then(|| journal::read(&file, key)).transpose()
    };
    // One that cannot be read is of no use.
    read().ok().flatten().filter(|journal| journal.bytes() >= MIN_KEPT_BYTES)
}

#[cfg(test)]
mod tests;
