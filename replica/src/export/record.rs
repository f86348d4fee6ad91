//! What the export has written, and how it knows that again.
//!
//! Two catalogs beside the files: what was written, and, while a call writes, what it is about to write. A file is the
//! export's if one of them has its path, and it has the size and the time that are noted there. So at each moment of a
//! crash the files of the export are known, and no others: nothing stood under a path of the second catalog when that
//! was written, but what the first one has, and what had the right content.
//!
//! File systems keep times more coarsely than they are noted, so a time also matches when it was cut down to one of
//! [`GRAINS_NS`]. One that a file system cannot have at all, of the year 1700 for instance, does not match when the
//! record is read; then the content decides.
//!
//! A file that has the right time and is shorter is what a power cut leaves of a file that was not synced. Nobody else
//! has written it: that would have set its time. It is written again.

use std::collections::{BTreeMap, HashSet, btree_map::Entry};

use super::{
    error::{ExportError, Refusal, Trouble},
    folders::Folders,
    place::{Part, Place},
    seen::{Kind, Seen},
};
use crate::catalog::{Catalog, FileEntry, FilePath};

/// How coarsely file systems keep times, in nanoseconds: the usual ones, NTFS, network file systems, HFS+, FAT.
const GRAINS_NS: [i64; 6] = [1, 100, 1_000, 1_000_000, 1_000_000_000, 2_000_000_000];

pub(super) type Files = BTreeMap<FilePath, Known>;

/// A file that the export has written. Some 200 bytes with its path.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    /// As it was written.
    pub(super) entry: FileEntry,
    pub(super) state: State,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum State {
    /// It is there, with this time.
    Written { modified_ns: i64, inode: u64 },
    /// It is there and too short.
    Torn { size: u64, modified_ns: i64 },
    /// Something else is there.
    Changed,
}

impl Known {
    pub(super) fn written(entry: FileEntry, seen: &Seen) -> Self {
        let state = State::Written { modified_ns: seen.modified_ns, inode: seen.inode };
        Self { entry, state }
    }

    /// Whether the export has written what stands there.
    pub(super) fn is(&self, seen: &Seen) -> bool {
        let (size, time) = match self.state {
            State::Written { modified_ns, .. } => (self.entry.size, modified_ns),
            State::Torn { size, modified_ns } => (size, modified_ns),
            State::Changed => return false,
        };
        seen.kind == Kind::File && seen.size == size && seen.modified_ns == time
    }

    /// Whether the file is as the catalog says.
    pub(super) fn is_as(&self, entry: &FileEntry) -> bool {
        matches!(self.state, State::Written { .. }) && self.entry == *entry
    }
}

/// The record, as it was read and has been kept since.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) files: Files,
    /// What stands under the name of its first part. Another process, or another file system, has another.
    on_disk: Seen,
    /// The disk has it otherwise.
    pub(super) is_unsettled: bool,
}

impl Record {
    /// Reads the record, and compares it with what is there. `None` if there is none.
    ///
    /// Folders are removed that are empty because a file of the record is gone.
    pub(super) fn load(
        place: &Place,
        stopped: &dyn Fn() -> bool,
    ) -> Result<Option<Self>, ExportError> {
        let Some(on_disk) = place.look(Part::Written)? else { return Ok(None) };
        let Some(written) = place.read(Part::Written)? else { return Ok(None) };
        let next = place.read(Part::Next)?;
        let mut is_unsettled = next.is_some();
        // For each path what was written, and what was about to be.
        let mut noted: BTreeMap<FilePath, [Option<FileEntry>; 2]> = BTreeMap::new();
        for (part, catalog) in [Some(written), next].into_iter().enumerate() {
            for (path, entry) in catalog.iter().flat_map(Catalog::files) {
                match noted.entry(path.clone()) {
                    Entry::Vacant(vacant) => vacant.insert([None; 2])[part] = Some(*entry),
                    Entry::Occupied(occupied) => occupied.into_mut()[part] = Some(*entry),
                }
            }
        }
        let mut files = Files::new();
        let mut inodes = HashSet::new();
        let mut folders = Folders::new(&place.files);
        let read = "look at the files of";
        for (path, entries) in noted {
            if stopped() {
                return Err(ExportError::Stopped);
            }
            let seen = match look(&mut folders, &path) {
                Ok(seen) => seen,
                // It cannot be told.
                Err(Trouble::Refused(Refusal::Denied)) => {
                    let changed = |entry| Known { entry, state: State::Changed };
                    files.extend(entries[0].map(|entry| (path, changed(entry))));
                    continue;
                }
                // Where the way leads elsewhere now there is no file of the export.
                Err(Trouble::Refused(_)) => None,
                Err(Trouble::Fatal(_, source)) => {
                    return Err(ExportError::io(read, place.path(Part::Written))(source));
                }
                Err(Trouble::NotYet | Trouble::Stopped) => return Err(ExportError::Stopped),
            };
            match seen.and_then(|seen| identify(entries, &seen)) {
                // One file under two names has one owner.
                Some(Known { state: State::Written { inode, .. }, .. })
                    if inode != 0 && !inodes.insert(inode) =>
                {
                    is_unsettled = true;
                }
                Some(known) => _ = files.insert(path, known),
                None => is_unsettled = true,
            }
        }
        match folders.leave(0) {
            Err(Trouble::Fatal(_, source)) => {
                Err(ExportError::io(read, place.path(Part::Written))(source))
            }
            _ => Ok(Some(Self { files, on_disk, is_unsettled })),
        }
    }

    /// Begins a record without files.
    pub(super) fn begin(place: &Place) -> Result<Self, ExportError> {
        let on_disk = place.write(Part::Written, &Catalog::default())?;
        Ok(Self { files: Files::new(), on_disk, is_unsettled: false })
    }

    /// Whether the disk still has what was read or written last.
    pub(super) fn is_current(&self, place: &Place) -> Result<bool, ExportError> {
        Ok(place.look(Part::Written)? == Some(self.on_disk))
    }

    /// Writes the record, and that nothing is about to be written.
    pub(super) fn settle(&mut self, place: &Place) -> Result<(), ExportError> {
        let files = self.files.iter().map(|(path, known)| (path.clone(), known.entry));
        let damaged = |source| ExportError::Record { path: place.path(Part::Written), source };
        let catalog = Catalog::new(files).map_err(damaged)?;
        self.on_disk = place.write(Part::Written, &catalog)?;
        place.remove(Part::Next)?;
        self.is_unsettled = false;
        Ok(())
    }

    /// Notes what is about to be written.
    pub(super) fn announce(
        place: &Place,
        files: impl Iterator<Item = (FilePath, FileEntry)>,
    ) -> Result<(), ExportError> {
        let damaged = |source| ExportError::Record { path: place.path(Part::Next), source };
        let catalog = Catalog::new(files).map_err(damaged)?;
        place.write(Part::Next, &catalog).map(drop)
    }
}

/// What stands under the path of a file. Its folder counts as emptied if it is not there.
fn look(folders: &mut Folders<'_>, path: &FilePath) -> Result<Option<Seen>, Trouble> {
    let path = path.to_path().map_err(|_| Refusal::Name)?;
    let name = path.file_name().unwrap_or_default();
    let found = folders.enter(&path, false);
    let seen = match found? {
        Some(folder) => Seen::under(folder, name).map_err(Trouble::of("look at"))?,
        None => None,
    };
    // A folder is no file of the export, and stands where one was.
    let seen = seen.filter(|seen| seen.kind != Kind::Folder);
    if seen.is_none() {
        folders.note_removal();
    }
    Ok(seen)
}

/// Which of the entries what stands there was written from. `entries` are what was written, and what was about to be.
fn identify(entries: [Option<FileEntry>; 2], seen: &Seen) -> Option<Known> {
    let [written, next] = entries;
    let candidates = [next, written].into_iter().flatten();
    let mut same_time = candidates
        .filter(|entry| seen.kind == Kind::File && is_kept_as(entry.modified_ns, seen.modified_ns));
    let found = same_time.clone().find(|entry| entry.size == seen.size);
    if let Some(entry) = found {
        return Some(Known::written(entry, seen));
    }
    if let Some(entry) = same_time.find(|entry| entry.size > seen.size) {
        let state = State::Torn { size: seen.size, modified_ns: seen.modified_ns };
        return Some(Known { entry, state });
    }
    // What was only about to be written was never there.
    written.map(|entry| Known { entry, state: State::Changed })
}

/// Whether a file system may keep the time `noted` as `kept`.
fn is_kept_as(noted: i64, kept: i64) -> bool {
    GRAINS_NS.iter().any(|grain| noted.checked_sub(noted.rem_euclid(*grain)) == Some(kept))
}

#[cfg(test)]
mod tests {
    use super::is_kept_as;

    #[test]
    fn a_time_matches_as_coarsely_as_file_systems_keep_it() {
        let noted = 1_700_000_001_123_456_789;
        assert!(is_kept_as(noted, noted));
        assert!(is_kept_as(noted, 1_700_000_001_123_456_700));
        assert!(is_kept_as(noted, 1_700_000_001_000_000_000));
        assert!(is_kept_as(noted, 1_700_000_000_000_000_000));
        assert!(!is_kept_as(noted, noted + 1));
        assert!(!is_kept_as(noted, 1_700_000_001_123_456_780));
        // Before 1970, times are cut down as well.
        assert!(is_kept_as(-1, -1_000_000_000));
        assert!(!is_kept_as(i64::MIN, 0));
    }
}
