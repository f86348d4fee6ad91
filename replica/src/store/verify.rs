//! Whether an artifact's file is what its name says: opened, read back, hashed.
//!
//! ```text
//! unverified ──hash──> verified, with the version of the file ──version differs──> unverified
//!      │ wrong, short, gone, no file                                              │
//!      └──────────────────────────────> lost <──────────────────────────────────┘
//! ```
//!
//! What was found when the store was opened is unverified. What came in since was hashed on its way.
//!
//! A file that changes while it is read is read again. One that may not be read, or not now, stays held:
//! permissions and a lack of file descriptors say nothing of its content.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::Path,
    sync::atomic::Ordering,
};

use gossip_engine::ArtifactId;
use sha2::{Digest as _, Sha256};

use super::{
    Artifact, Inner, StoreError,
    files::{open_regular, take_away},
    losses::Damage,
    partial::BUFFER_BYTES,
};
use crate::file_version::FileVersion;

/// How often a file is read again that has changed meanwhile.
const MAX_TRIES: usize = 4;

/// Why a file is not the artifact, or cannot be said to be.
#[derive(Debug)]
pub(super) enum Fault {
    /// It is not; this is what stands there, if anything does.
    Damage(Damage, Option<FileVersion>),
    /// It changes, so that nothing can be said of it.
    Changing,
    /// The system does not let it be read.
    Io(io::Error),
}

/// Looks at the file of an artifact without opening it: regular, of the right length.
pub(super) fn look(path: &Path, size: u64) -> Result<FileVersion, Fault> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => check_shape(&metadata, size),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(Fault::Damage(Damage::Gone, None))
        }
        Err(error) => Err(Fault::Io(error)),
    }
}

/// The file of an artifact, opened, if it is regular and has the right length.
pub(super) fn open(path: &Path, size: u64) -> Result<(File, FileVersion), Fault> {
    let file = open_regular(path).map_err(|error| match look(path, size) {
        Ok(_) if error.kind() == io::ErrorKind::NotFound => Fault::Changing,
        Ok(seen) => unreadable(error, seen),
        // What stands there says why.
        Err(fault) => fault,
    })?;
    let metadata = file.metadata().map_err(Fault::Io)?;
    let version = check_shape(&metadata, size)?;
    Ok((file, version))
}

fn check_shape(metadata: &fs::Metadata, size: u64) -> Result<FileVersion, Fault> {
    let damage = if !metadata.is_file() {
        Damage::NotAFile
    } else if metadata.len() != size {
        Damage::Length { found: metadata.len(), expected: size }
    } else {
        return Ok(FileVersion::of(metadata));
    };
    Err(Fault::Damage(damage, Some(FileVersion::of(metadata))))
}

/// A sector that cannot be read is damage; that we may not read is not.
pub(super) fn unreadable(error: io::Error, version: FileVersion) -> Fault {
    #[cfg(unix)]
    if error.raw_os_error() == Some(libc::EIO) {
        return Fault::Damage(Damage::Unreadable(error), Some(version));
    }
    let _ = version;
    Fault::Io(error)
}

/// A file that is read back piece by piece.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) id: ArtifactId,
    file: File,
    version: FileVersion,
    hasher: Sha256,
}

impl Reading {
    pub(super) fn begin(store: &Inner, id: ArtifactId, size: u64) -> Result<Self, Fault> {
        let (file, version) = open(&store.path(id), size)?;
        Ok(Self { id, file, version, hasher: Sha256::new() })
    }

    /// Reads up to `limit` bytes more. Returns how many, and the verdict at the end of the file.
    pub(super) fn step(&mut self, limit: u64) -> (u64, Option<Result<FileVersion, Fault>>) {
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut total = 0;
        while total < limit {
            let most = usize::try_from(limit - total).unwrap_or(usize::MAX).min(buffer.len());
            match self.file.read(&mut buffer[..most]) {
                Ok(0) => return (total, Some(self.verdict())),
                Ok(read) => {
                    self.hasher.update(&buffer[..read]);
                    total += read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return (total, Some(Err(unreadable(error, self.version)))),
            }
        }
        (total, None)
    }

    fn verdict(&mut self) -> Result<FileVersion, Fault> {
        let after = FileVersion::of(&self.file.metadata().map_err(Fault::Io)?);
        if after != self.version {
            return Err(Fault::Changing);
        }
        let found = ArtifactId::new(self.hasher.finalize_reset().into());
        if found != self.id {
            return Err(Fault::Damage(Damage::Content(found), Some(after)));
        }
        Ok(after)
    }
}

impl Inner {
    /// Reads an artifact back at once. Returns whether it is intact; one that is not is lost.
    pub(super) fn verify(&self, id: ArtifactId) -> Result<bool, StoreError> {
        for _ in 0..MAX_TRIES {
            let Some(entry) = self.index().get(id) else { return Ok(false) };
            let verdict = Reading::begin(self, id, entry.artifact.size).and_then(|mut reading| {
                loop {
                    if let (_, Some(verdict)) = reading.step(u64::MAX) {
                        return verdict;
                    }
                }
            });
            if let Some(intact) = self.conclude(id, entry.artifact.size, verdict)? {
                return Ok(intact);
            }
        }
        Err(StoreError::Changed { path: self.path(id) })
    }

    /// Draws the consequences of a verdict. `None` if the file changes and is to be read again.
    pub(super) fn conclude(
        &self,
        id: ArtifactId,
        size: u64,
        verdict: Result<FileVersion, Fault>,
    ) -> Result<Option<bool>, StoreError> {
        match verdict {
            Ok(version) => {
                self.index().set_verified(id, version);
                // Relaxed: a figure to look at.
                self.verified_bytes.fetch_add(size, Ordering::Relaxed);
                Ok(Some(true))
            }
            Err(Fault::Damage(damage, version)) => {
                Ok(self.lose(id, &damage, version).then_some(false))
            }
            Err(Fault::Changing) => Ok(None),
            Err(Fault::Io(error)) => Err(self.note(StoreError::io("read", self.path(id))(error))),
        }
    }

    /// An artifact is not held any more, because of what stands under its name: `version`. Returns whether
    /// that is still what stands there; if not, it is to be looked at again.
    pub(super) fn lose(
        &self,
        id: ArtifactId,
        damage: &Damage,
        version: Option<FileVersion>,
    ) -> bool {
        // A file that is gone may have gone with the whole folder, which is another matter.
        if matches!(damage, Damage::Gone) && self.restore_folder().is_err() {
            return true;
        }
        let path = self.path(id);
        let done = {
            let _names = self.folder_state();
            if FileVersion::under(&path).ok() != Some(version) {
                return false;
            }
            // Out of the index first, so that nobody serves it meanwhile.
            if !self.remove_from_index(id) {
                return true;
            }
            self.losses().lose(id, true);
            match version.map(|_| take_away(&self.folder, &path)) {
                None => "gone".to_owned(),
                Some(Ok(done)) => done.to_owned(),
                Some(Err(error)) => format!("cannot be taken away: {error}"),
            }
        };
        self.told_damage(id, damage, &done);
        true
    }

    /// The artifact, whose content is known to have this size, if it is held and its file is still there.
    pub(super) fn look_at(
        &self,
        id: ArtifactId,
        size: u64,
    ) -> Result<Option<Artifact>, StoreError> {
        let Some(entry) = self.index().get(id) else { return Ok(None) };
        // The size in the index may be that of a damaged file that was found when the store was opened.
        match look(&self.path(id), size) {
            Ok(_) => Ok(Some(entry.artifact)),
            Err(fault) => {
                self.conclude(id, size, Err(fault))?;
                Ok(self.index().get(id).map(|entry| entry.artifact))
            }
        }
    }

    pub(super) fn told_damage(&self, id: ArtifactId, damage: &Damage, done: &str) {
        self.losses().last_error = Some(format!("artifact {id:x}: {damage}"));
        tracing::warn!(
            artifact = format_args!("{id:x}"),
            reason = %damage,
            file = done,
            "an artifact is damaged and no longer held"
        );
    }
}
