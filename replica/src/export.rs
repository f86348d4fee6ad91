//! A publisher's files, written out into a folder of this machine.
//!
//! A publisher's catalog says which files there are; their content comes from the store. An [`Export`] makes
//! `FOLDER/<subfolder>/` what the catalog says, as far as the content is here, and does it again for each newer one.
//!
//! ```text
//! FOLDER/<subfolder>/<path>                  the files
//! FOLDER/.gossip-export/                     made by `begin`
//! FOLDER/.gossip-export/<subfolder>.catalog  which of them the export has written, with size and time
//! FOLDER/.gossip-export/<subfolder>.next     which it is about to write; only while it writes, and after a crash
//! FOLDER/.gossip-export/<subfolder>.new/     what is half written; cleared when an export is opened
//! FOLDER/.gossip-export/<subfolder>.lock     locked while a call runs
//! ```
//!
//! # What it promises
//!
//! 1. **Nothing outside of the subfolder is touched**, whatever the catalog says and whatever lies in the folder.
//!    Folders are opened one by one, each in the one above. A symbolic link in the way, of a file or a folder, is
//!    refused: it is neither followed nor removed, even if it leads inside. A folder that is moved elsewhere while a
//!    call writes into it gets its files for up to a second more.
//! 2. **A name has the old content or the new.** A file is written aside, gets its mode and its time, and is renamed.
//! 3. **What it has not written it neither changes nor removes.** The export's is what the record has, with the same
//!    size and time. So a file that somebody has changed is left alone ([`Refusal::Changed`]). A foreign file with the
//!    content that is wanted is adopted: it is replaced if its mode or time differ, and the export's from then on.
//!    A folder is the exception: one that is empty because the export has removed the last file in it goes as well.
//! 4. **What is removed is written again** if the catalog has it. This is noticed when an export is opened.
//! 5. **One file's trouble is no other's.** What cannot be written is refused with the reason, and tried again with
//!    each call; the rest goes on. What concerns all files, such as a disk that is read-only, is an [`ExportError`].
//!    The next call looks at everything again and goes on.
//! 6. **A folder that is gone is not made again.** It may be a file system that was unmounted. `.gossip-export` in it
//!    is how it is known again, also in the next run: see [`begin()`]. The first time nothing is known of it.
//!
//! Removals come first, then the folders that are empty now, then writes. So a file becomes a folder, and the other way
//! round. A file that was renamed, or whose mode or time changed, is written anew from the store.
//!
//! The mode is that of the catalog, nine bits, whatever the umask. The owner's permission to read is always set, so
//! that the files can be compared. The owner's permission to write is not: replacing a file needs none. Where a file
//! system has no modes, or not this time, files have what it gives them.
//!
//! # What a power cut leaves
//!
//! The record is synced before it gets its name, the files are not: the store has their content, and a sync for each
//! file would take most of the time. So a power cut may leave a file shorter than it was written. That is found when
//! the export is opened, where the size and the time of each file are compared with the record, once: a file that is
//! shorter and has the right time is written again. Content is not read, so bytes that rot are not found.
//!
//! # What it takes
//!
//! Time and memory in proportion to the catalog, some 500 bytes a file. A file that is as it should be takes no system
//! call. A file that stands refused takes a few with each call; its content is read once. A call in which nothing comes
//! of any file leaves the record as it is. Opened are at most one file and one folder for each name in its path, and
//! nothing between two calls. Two calls for the same subfolder exclude each other, also those of two processes.
//!
//! Folders are bounded by [`MAX_FOLDERS`], the refused that a call lists by [`MAX_LISTED`]. A catalog may name one
//! artifact under a million paths, so what is written is bounded by the disk, of which
//! [`Export::with_min_free_bytes`] stay free. A call ends after 1 GiB or some 10 s of writing, and the next one goes on
//! where it ended, so that several publishers have their turns. Removals are not cut short.

mod begin;
mod content;
mod error;
mod folders;
mod look;
mod pass;
mod place;
mod plan;
mod record;
mod seen;
mod space;
mod steps;
mod write;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use self::{
    look::{Looker, Refused},
    pass::{Done, Limits, Pass},
    place::Place,
    plan::Plan,
    record::Record,
    space::Space,
};
use crate::catalog::{Catalog, FilePath};

pub use self::{
    begin::begin,
    content::{Content, ContentError},
    error::{ExportError, Refusal},
    plan::MAX_FOLDERS,
};

/// The most refused files that a call lists.
pub const MAX_LISTED: usize = 64;
/// A call ends once the files that it writes have so many bytes: 1 GiB. One file alone may have more.
const CALL_BYTES: u64 = 1 << 30;
/// A call ends once it has looked for so long, or has written for so long. One file alone may take longer.
const CALL_TIME: Duration = Duration::from_secs(10);

/// A publisher's files in a folder. See the [module](self).
///
/// ```
/// # use std::io;
/// use gossip_engine::ArtifactId;
/// use gossip_replica::{
///     catalog::{Catalog, FileEntry, FilePath},
///     export::{Content, ContentError, Export, begin},
/// };
///
/// # struct Hello;
/// # impl Content for Hello {
/// #     fn check(&self, _: ArtifactId, _: u64) -> Result<(), ContentError> {
/// #         Ok(())
/// #     }
/// #     fn copy(&self, _: ArtifactId, _: u64, to: &mut dyn io::Write) -> Result<(), ContentError> {
/// #         to.write_all(b"hello").map_err(ContentError::Write)
/// #     }
/// # }
/// # let content = Hello;
/// # let folder = tempfile::tempdir()?;
/// # let (folder, memory) = (&folder.path().join("folder"), &folder.path().join("memory"));
/// # std::fs::create_dir(folder)?;
/// let entry = FileEntry { id: ArtifactId::new([1; 32]), size: 5, mode: 0o644, modified_ns: 0 };
/// let catalog = Catalog::new([(FilePath::new(b"notes/hello.txt")?, entry)])?;
///
/// begin(folder, memory)?;
/// let mut export = Export::open(folder, "alice")?;
/// let progress = export.apply(&catalog, &content, &|| false)?;
/// assert_eq!(progress.written, 1);
/// assert_eq!(std::fs::read(folder.join("alice/notes/hello.txt"))?, b"hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Export {
    folder: PathBuf,
    subfolder: String,
    /// As of the last call, unless that failed: then it is read again.
    record: Option<Record>,
    /// What stood refused after the last call that did not fail.
    refused: BTreeMap<FilePath, Refused>,
    max_folders: usize,
    space: Space,
    /// The least size that the file system was seen to refuse.
    too_large: u64,
    limits: Limits,
    /// Where the next call goes on, if the last one ended early.
    next: Option<Next>,
}

#[derive(Debug)]
struct Next {
    path: FilePath,
    /// How many files before it are missing.
    missing: usize,
}

/// How far an export is, and what a call has done.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Progress {
    /// The files of the catalog that are as it says.
    pub present: usize,
    /// Of these, the files that this call has written.
    pub written: usize,
    /// The files that this call has removed.
    pub removed: usize,
    /// The files whose content is not here yet, or was not verified yet, as far as the calls came to them.
    pub missing: usize,
    /// Whether the call ended before it came to all files, so that others have their turn. The next call goes on there.
    pub more: bool,
    /// How many files are refused now.
    pub refused_files: usize,
    /// Those that no call has listed before with the same reason; at most [`MAX_LISTED`] of them, and the others never.
    /// Also, once, each file that the catalog no longer names and that stays because somebody has changed it.
    pub refused: Vec<(FilePath, Refusal)>,
}

impl Export {
    /// Opens an export to `folder/subfolder`. The folder was made ready by [`begin`]; the subfolder is made.
    ///
    /// Reads the record, looks at each file in it, and removes what a crash has left half written. It takes some 10 us
    /// a file, and no lock after it has returned.
    ///
    /// # Errors
    ///
    /// [`ExportError`], if `subfolder` cannot be the name of a folder, or has more than 240 bytes; if the system
    /// refuses; if the record is damaged; or if another process exports to it at this moment.
    pub fn open(folder: &Path, subfolder: &str) -> Result<Self, ExportError> {
        place::check_subfolder(subfolder)?;
        let place = Place::open(folder, subfolder)?;
        place.clear_aside()?;
        let record = match Record::load(&place, &|| false)? {
            Some(record) => record,
            None => Record::begin(&place)?,
        };
        Ok(Self {
            folder: folder.into(),
            subfolder: subfolder.into(),
            record: Some(record),
            refused: BTreeMap::new(),
            max_folders: MAX_FOLDERS,
            space: Space::default(),
            too_large: u64::MAX,
            limits: Limits { bytes: CALL_BYTES, looking: CALL_TIME, writing: CALL_TIME },
            next: None,
        })
    }

    /// How many bytes of its disk it leaves free; 64 MiB, as the store does. A file that would leave less is refused,
    /// and those that fit are written. Raise it where other programs need the same disk.
    #[must_use]
    pub fn with_min_free_bytes(mut self, bytes: u64) -> Self {
        self.space.min_free = bytes;
        self
    }

    /// Makes the folder what the catalog says, as far as the content is here.
    ///
    /// To be called again whenever the catalog or the content has changed, and now and then, for what is refused; and
    /// soon, if there is [more](Progress::more). Blocks, for as long as the writes take: of 1 GiB, or of some 10 s, and
    /// of a file more. `is_stopped` is asked between two files, and between two pieces of one.
    ///
    /// # Errors
    ///
    /// [`ExportError`] says what and where. What was written until then stays. The next call goes on, and looks at all
    /// files again before.
    pub fn apply(
        &mut self,
        catalog: &Catalog,
        content: &impl Content,
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<Progress, ExportError> {
        let (record, from) = (self.record.take(), self.next.take());
        let place = Place::open(&self.folder, &self.subfolder)?;
        let mut record = self.current(&place, record, is_stopped)?;
        let plan = Plan::new(&record.files, catalog, self.max_folders);
        let mut pass = Pass {
            place: &place,
            folder: self.folder.join(&self.subfolder),
            record: &mut record,
            content,
            is_stopped,
            looker: Looker::new(place.device, &self.refused, is_stopped),
            space: &self.space,
            limits: self.limits,
            too_large: &mut self.too_large,
            done: Done::default(),
        };
        pass.run(&plan, from.as_ref().map(|next| &next.path))?;
        let done = pass.done;
        let missing = from.map_or(0, |next| next.missing) + done.missing;
        self.record = Some(record);
        let progress = Progress {
            present: plan.present + done.adopted + done.written,
            written: done.written,
            removed: done.removed,
            missing,
            more: done.next.is_some(),
            refused_files: done.refused.len(),
            refused: self.first_time(&done),
        };
        self.refused = done.refused;
        self.next = done.next.map(|path| Next { path, missing });
        Ok(progress)
    }

    /// The record, read again if it may be another one.
    fn current(
        &self,
        place: &Place,
        record: Option<Record>,
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<Record, ExportError> {
        if let Some(record) = record {
            // Without the subfolder all of its files are gone.
            let is_intact = !place.is_new || record.files.is_empty();
            if is_intact && record.is_current(place)? {
                return Ok(record);
            }
        }
        place.clear_aside()?;
        let gone = || ExportError::Gone { path: place.path(place::Part::Written) };
        Record::load(place, is_stopped)?.ok_or_else(gone)
    }

    /// What is refused and was not before.
    fn first_time(&self, done: &Done) -> Vec<(FilePath, Refusal)> {
        let is_new = |path: &FilePath, refused: &Refused| {
            self.refused.get(path).is_none_or(|before| before.why != refused.why)
        };
        let refused = done.refused.iter().filter(|(path, refused)| is_new(path, refused));
        let refused = refused.map(|(path, refused)| (path.clone(), refused.why.clone()));
        let given_up = done.given_up.iter().map(|path| (path.clone(), Refusal::Changed));
        given_up.chain(refused).take(MAX_LISTED).collect()
    }
}

// They are about links, pipes and modes.
#[cfg(all(test, unix))]
mod tests;
