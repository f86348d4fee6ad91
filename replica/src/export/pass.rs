//! One call: removals, then a look at each target, then writes. The record is right at each moment between.

use std::{collections::BTreeMap, path::PathBuf};

use gossip_engine::ArtifactId;

use super::{
    content::Content,
    error::{ExportError, Refusal, Trouble},
    folders::Folders,
    look::{Looker, Refused, Target},
    place::Place,
    plan::Plan,
    record::{Known, Record, State},
    seen::{Kind, Seen},
    steps::step,
    write::{remove_aside, rename_new, rename_over, write_aside},
};
use crate::catalog::{FileEntry, FilePath};

pub(super) struct Pass<'a, C> {
    pub(super) place: &'a Place,
    /// For messages.
    pub(super) folder: PathBuf,
    pub(super) record: &'a mut Record,
    pub(super) content: &'a C,
    pub(super) is_stopped: &'a dyn Fn() -> bool,
    pub(super) looker: Looker<'a>,
    pub(super) done: Done,
}

/// What a call has done.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) written: usize,
    pub(super) adopted: usize,
    pub(super) removed: usize,
    pub(super) missing: usize,
    /// The files that stand refused.
    pub(super) refused: BTreeMap<FilePath, Refused>,
    /// Files that the catalog no longer names and somebody has changed: theirs, from now on.
    pub(super) given_up: Vec<FilePath>,
}

impl<C: Content> Pass<'_, C> {
    pub(super) fn run(&mut self, plan: &Plan<'_>) -> Result<(), ExportError> {
        if self.record.is_unsettled {
            self.record.settle(self.place)?;
        }
        for path in &plan.beyond {
            self.refuse(path, Refusal::TooManyFolders, None);
        }
        self.remove_all(&plan.removals)?;
        let writes = self.look_at_all(&plan.wanted)?;
        if !writes.is_empty() {
            let files = writes.iter().map(|(path, entry, _)| ((*path).clone(), *entry));
            self.record.announce(self.place, files)?;
            self.write_all(&writes)?;
        }
        if self.record.is_unsettled {
            self.record.settle(self.place)?;
        }
        Ok(())
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

    /// Which files to write. What is not here yet is not looked at.
    fn look_at_all<'p>(
        &mut self,
        wanted: &[(&'p FilePath, FileEntry)],
    ) -> Result<Vec<(&'p FilePath, FileEntry, Target)>, ExportError> {
        let mut writes = Vec::new();
        let mut folders = Folders::new(&self.place.files);
        for (path, entry) in wanted {
            self.go_on()?;
            if !self.content.contains(entry.id) {
                self.done.missing += 1;
                continue;
            }
            match self.looker.look(&mut folders, &self.record.files, path, entry) {
                Ok(Target::AsWanted(seen)) => {
                    self.keep(path, *entry, &seen);
                    self.done.adopted += 1;
                }
                Ok(target) => writes.push((*path, *entry, target)),
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

    fn write_all(&mut self, writes: &[(&FilePath, FileEntry, Target)]) -> Result<(), ExportError> {
        let mut folders = Folders::new(&self.place.files);
        for (path, entry, target) in writes {
            self.go_on()?;
            match self.write(&mut folders, path, entry, *target) {
                Ok(seen) => {
                    self.keep(path, *entry, &seen);
                    self.done.written += 1;
                }
                Err(trouble) => {
                    remove_aside(&self.place.aside);
                    match trouble {
                        Trouble::Refused(why) => self.refuse(path, why, None),
                        Trouble::NotYet => self.done.missing += 1,
                        trouble => self.fatal(path, Err(trouble))?,
                    }
                }
            }
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
