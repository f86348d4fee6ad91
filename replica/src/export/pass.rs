//! One call: removals, then a look at each target, then writes. The record is right at each moment between.
//!
//! A call that has looked or written for long enough ends before it comes to the last file. What it has not come to is
//! neither looked at nor announced.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, Instant},
};

use gossip_engine::ArtifactId;

use super::{
    content::Content,
    error::{ExportError, Refusal, Trouble},
    folders::Folders,
    look::{Looker, Refused, Target},
    place::{Part, Place},
    plan::Plan,
    record::{Known, Record, State},
    seen::{Kind, Seen},
    space::Space,
    steps::step,
    write::{remove_aside, rename_new, rename_over, write_aside},
};
use crate::catalog::{FileEntry, FilePath};

/// When a call ends that has come to one file at least.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// The files that it writes have so many bytes.
    pub(super) bytes: u64,
    /// It has looked for so long.
    pub(super) looking: Duration,
    /// It has written for so long.
    pub(super) writing: Duration,
}

pub(super) struct Pass<'a, C> {
    pub(super) place: &'a Place,
    /// For messages, and for its disk.
    pub(super) folder: PathBuf,
    pub(super) record: &'a mut Record,
    pub(super) content: &'a C,
    pub(super) is_stopped: &'a dyn Fn() -> bool,
    pub(super) looker: Looker<'a>,
    pub(super) space: &'a Space,
    pub(super) limits: Limits,
    /// Files of this size or more are not tried.
    pub(super) too_large: &'a mut u64,
    pub(super) done: Done,
}

/// What a call has done.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) written: usize,
    pub(super) adopted: usize,
    pub(super) removed: usize,
    pub(super) missing: usize,
    /// The first file that it has not come to.
    pub(super) next: Option<FilePath>,
    /// The files that stand refused.
    pub(super) refused: BTreeMap<FilePath, Refused>,
    /// Files that the catalog no longer names and somebody has changed: theirs, from now on.
    pub(super) given_up: Vec<FilePath>,
}

/// A file that is to be written.
struct Write<'p> {
    path: &'p FilePath,
    entry: FileEntry,
    target: Target,
    /// How many files before it are missing.
    missing: usize,
}

impl<C: Content> Pass<'_, C> {
    /// Removes what is to be removed, and writes from the file `from` on.
    pub(super) fn run(
        &mut self,
        plan: &Plan<'_>,
        from: Option<&FilePath>,
    ) -> Result<(), ExportError> {
        if self.record.is_unsettled {
            self.record.settle(self.place)?;
        }
        for path in &plan.beyond {
            self.refuse(path, Refusal::TooManyFolders, None);
        }
        self.remove_all(&plan.removals)?;
        let start = plan.wanted.partition_point(|(path, _)| Some(*path) < from);
        let writes = self.look_at_all(&plan.wanted[start..])?;
        if !writes.is_empty() {
            let files = writes.iter().map(|write| (write.path.clone(), write.entry));
            Record::announce(self.place, files)?;
            self.write_all(&writes)?;
        }
        self.keep_refused(&plan.wanted, from);
        if self.record.is_unsettled {
            self.record.settle(self.place)?;
        } else if !writes.is_empty() {
            // Nothing came of it, and the record is as it was.
            self.place.remove(Part::Next)?;
        }
        Ok(())
    }

    /// What stood refused and this call has not come to stands refused still.
    fn keep_refused(&mut self, wanted: &[(&FilePath, FileEntry)], from: Option<&FilePath>) {
        let Done { next, refused, .. } = &mut self.done;
        let next = next.as_ref();
        for (path, _) in wanted {
            let is_beyond = Some(*path) < from || next.is_some_and(|next| *path >= next);
            if let (true, Some(before)) = (is_beyond, self.looker.earlier.get(path)) {
                refused.entry((*path).clone()).or_insert_with(|| before.clone());
            }
        }
    }

    fn remove_all(&mut self, removals: &[FilePath]) -> Result<(), ExportError> {
        let mut folders = Folders::new(&self.place.files);
        for path in removals {
            self.go_on()?;
            match self.remove(&mut folders, path) {
                // It stays the export's, and is tried again.
                Err(Trouble::Refused(why)) => self.refuse(path, why, None),
                result => self.fatal(path, result)?,
            }
        }
        let left = folders.leave(0);
        removals.last().map_or(Ok(()), |last| self.fatal(last, left))
    }

    /// Removes a file if it is still what the export has written, and forgets it.
    fn remove(&mut self, folders: &mut Folders<'_>, path: &FilePath) -> Result<(), Trouble> {
        let relative = path.to_path().map_err(|_| Refusal::Name)?;
        let name = relative.file_name().unwrap_or_default();
        let Some(known) = self.record.files.get(path) else { return Ok(()) };
        let seen = match folders.enter(&relative, false) {
            Ok(Some(folder)) => match Seen::under(folder, name).map_err(Trouble::of("look at"))? {
                Some(seen) if known.is(&seen) => {
                    step()
                        .and_then(|()| folder.remove_file(name))
                        .map_err(Trouble::of("remove"))?;
                    self.done.removed += 1;
                    None
                }
                seen => seen,
            },
            Ok(None) => None,
            // The file that was there is not where the way leads now.
            Err(Trouble::Refused(Refusal::Symlink | Refusal::FileInTheWay | Refusal::Special)) => {
                self.forget(path);
                return Ok(());
            }
            Err(trouble) => return Err(trouble),
        };
        match seen {
            None => folders.note_removal(),
            Some(seen) if seen.kind == Kind::Folder => {}
            Some(_) => self.done.given_up.push(path.clone()),
        }
        self.forget(path);
        Ok(())
    }

    fn forget(&mut self, path: &FilePath) {
        self.record.files.remove(path);
        self.record.is_unsettled = true;
    }

    /// Which files to write. What is not here yet is not looked at, nor what its content says cannot be written.
    fn look_at_all<'p>(
        &mut self,
        wanted: &[(&'p FilePath, FileEntry)],
    ) -> Result<Vec<Write<'p>>, ExportError> {
        let mut writes = Vec::new();
        let mut bytes = 0_u64;
        let mut folders = Folders::new(&self.place.files);
        let began = Instant::now();
        let available = self.space.available(&self.folder);
        for (number, (path, entry)) in wanted.iter().enumerate() {
            self.go_on()?;
            if number > 0 && (bytes >= self.limits.bytes || began.elapsed() >= self.limits.looking)
            {
                self.done.next = Some((*path).clone());
                break;
            }
            match self.content.check(entry.id, entry.size).map_err(Trouble::from) {
                Ok(()) if entry.size >= *self.too_large => {
                    self.refuse(path, Refusal::TooLarge, None);
                    continue;
                }
                Ok(()) => {}
                Err(trouble) => {
                    self.pass_over(path, trouble)?;
                    continue;
                }
            }
            match self.looker.look(&mut folders, &self.record.files, path, entry) {
                Ok(Target::AsWanted(seen)) => {
                    self.keep(path, *entry, &seen);
                    self.done.adopted += 1;
                }
                // A file that is replaced has its space until then.
                Ok(_) if bytes.saturating_add(entry.size) > available => {
                    self.refuse(path, Refusal::NoSpace, None);
                }
                Ok(target) => {
                    bytes = bytes.saturating_add(entry.size);
                    let missing = self.done.missing;
                    writes.push(Write { path, entry: *entry, target, missing });
                }
                Err((Trouble::Refused(why), read)) => {
                    if why == Refusal::Changed {
                        self.note_change(path);
                    }
                    self.refuse(path, why, read);
                }
                Err((trouble, _)) => self.fatal(path, Err(trouble))?,
            }
        }
        Ok(writes)
    }

    fn write_all(&mut self, writes: &[Write<'_>]) -> Result<(), ExportError> {
        let mut folders = Folders::new(&self.place.files);
        let began = Instant::now();
        let missing = self.done.missing;
        for (number, Write { path, entry, target, missing: before }) in writes.iter().enumerate() {
            self.go_on()?;
            if number > 0 && began.elapsed() >= self.limits.writing {
                // From there on they are counted by the next call.
                self.done.missing -= missing - before;
                self.done.next = Some((*path).clone());
                break;
            }
            // Others have written meanwhile.
            if entry.size > self.space.available(&self.folder) {
                self.refuse(path, Refusal::NoSpace, None);
                continue;
            }
            match self.write(&mut folders, path, entry, *target) {
                Ok(seen) => {
                    self.keep(path, *entry, &seen);
                    self.done.written += 1;
                }
                Err(trouble) => {
                    remove_aside(&self.place.aside);
                    if matches!(trouble, Trouble::Refused(Refusal::TooLarge)) {
                        *self.too_large = entry.size.min(*self.too_large);
                    }
                    self.pass_over(path, trouble)?;
                }
            }
        }
        Ok(())
    }

    /// A file is not written now, unless the trouble concerns all files.
    fn pass_over(&mut self, path: &FilePath, trouble: Trouble) -> Result<(), ExportError> {
        match trouble {
            Trouble::Refused(why) => self.refuse(path, why, None),
            Trouble::NotYet => self.done.missing += 1,
            trouble => self.fatal(path, Err(trouble))?,
        }
        Ok(())
    }

    fn write(
        &mut self,
        folders: &mut Folders<'_>,
        path: &FilePath,
        entry: &FileEntry,
        target: Target,
    ) -> Result<Seen, Trouble> {
        let aside = &self.place.aside;
        let written = write_aside(aside, entry, self.content, self.is_stopped)?;
        let relative = path.to_path().map_err(|_| Refusal::Name)?;
        let name = relative.file_name().unwrap_or_default().as_ref();
        let Some(folder) = folders.enter(&relative, true)? else {
            return Err(Trouble::Fatal("write", std::io::ErrorKind::NotFound.into()));
        };
        let there = Seen::under(folder, name).map_err(Trouble::of("look at"))?;
        match (target, there) {
            (_, None) => rename_new(aside, folder, name),
            (Target::Replaceable(seen), Some(now)) if seen == now => {
                rename_over(aside, folder, name)
            }
            // Somebody has put something there since it was looked at, or the system folds case.
            (_, Some(now)) => {
                return Err(self.looker.why(&self.record.files, path, &now).into());
            }
        }
        .map_err(Trouble::of("write"))?;
        Ok(written)
    }

    fn keep(&mut self, path: &FilePath, entry: FileEntry, seen: &Seen) {
        self.looker.note(seen);
        self.record.files.insert(path.clone(), Known::written(entry, seen));
        self.record.is_unsettled = true;
    }

    /// Once changed, a file is somebody else's until it is gone or has the right content.
    fn note_change(&mut self, path: &FilePath) {
        if let Some(known) = self.record.files.get_mut(path) {
            known.state = State::Changed;
        }
    }

    fn refuse(&mut self, path: &FilePath, why: Refusal, read: Option<(Seen, ArtifactId)>) {
        self.done.refused.insert(path.clone(), Refused { why, read });
    }

    fn go_on(&self) -> Result<(), ExportError> {
        if (self.is_stopped)() { Err(ExportError::Stopped) } else { Ok(()) }
    }

    /// What concerns one file only was handled before.
    fn fatal<T: Default>(
        &self,
        path: &FilePath,
        result: Result<T, Trouble>,
    ) -> Result<T, ExportError> {
        match result {
            Ok(result) => Ok(result),
            Err(Trouble::Stopped) => Err(ExportError::Stopped),
            Err(Trouble::Refused(_) | Trouble::NotYet) => Ok(T::default()),
            Err(Trouble::Fatal(action, source)) => {
                let path = path.to_path().unwrap_or_default();
                Err(ExportError::Io { action, path: self.folder.join(path), source })
            }
        }
    }
}
