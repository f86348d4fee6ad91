//! The way to a file: folders opened one by one, each in the one before, no link among them.
//!
//! The folders on the way to the last file stay open, since the next file in order is mostly in the same one. So there
//! are at most [`MAX_DEPTH`](crate::catalog::MAX_DEPTH) open. Each was found inside of the one above it. A folder that
//! somebody moves elsewhere takes its handle with it, so none is used for longer than [`MAX_AGE`].

use std::{
    ffi::{OsStr, OsString},
    io,
    path::Path,
    time::{Duration, Instant},
};

use cap_fs_ext::DirExt as _;
use cap_std::fs::Dir;

use super::{
    error::{Refusal, Trouble},
    seen::{Kind, Seen},
    steps::step,
};

const MAX_AGE: Duration = Duration::from_secs(1);

pub(super) struct Folders<'a> {
    root: &'a Dir,
    open: Vec<Folder>,
    since: Instant,
}

struct Folder {
    name: OsString,
    dir: Dir,
    /// Something in it was removed, so that it may be empty.
    is_emptied: bool,
}

impl<'a> Folders<'a> {
    pub(super) fn new(root: &'a Dir) -> Self {
        Self { root, open: Vec::new(), since: Instant::now() }
    }

    /// The folder that `path` is in. `None` if there is none and none is to be made.
    pub(super) fn enter(&mut self, path: &Path, make: bool) -> Result<Option<&Dir>, Trouble> {
        if self.since.elapsed() > MAX_AGE {
            self.leave(0)?;
        }
        if self.open.is_empty() {
            self.since = Instant::now();
        }
        let parent = path.parent().unwrap_or(Path::new(""));
        let both = self.open.iter().zip(parent);
        let shared = both.take_while(|(folder, name)| folder.name == *name).count();
        self.leave(shared)?;
        for name in parent.iter().skip(shared) {
            let above = self.last();
            let dir = match above.open_dir_nofollow(name) {
                Ok(dir) => dir,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    if !make {
                        return Ok(None);
                    }
                    match step().and_then(|()| above.create_dir(name)) {
                        Ok(()) => {}
                        // Somebody was faster. If it is a folder it will do.
                        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                        Err(error) => return Err(Trouble::of("create a folder for")(error)),
                    }
                    above.open_dir_nofollow(name).map_err(|error| explain(above, name, error))?
                }
                Err(error) => return Err(explain(above, name, error)),
            };
            self.open.push(Folder { name: name.into(), dir, is_emptied: false });
        }
        Ok(Some(self.last()))
    }

    /// Something was removed from the folder that was entered last, or was gone.
    pub(super) fn note_removal(&mut self) {
        if let Some(folder) = self.open.last_mut() {
            folder.is_emptied = true;
        }
    }

    /// Leaves all but the first `kept` folders, and removes those that were emptied.
    pub(super) fn leave(&mut self, kept: usize) -> Result<(), Trouble> {
        while self.open.len() > kept {
            let Some(Folder { name, dir, is_emptied }) = self.open.pop() else { break };
            drop(dir);
            if is_emptied {
                step().map_err(Trouble::of("remove the folder of"))?;
                // One that is not empty stays, as does one that cannot be removed: it harms nobody.
                if self.last().remove_dir(&name).is_ok() {
                    self.note_removal();
                }
            }
        }
        Ok(())
    }

    fn last(&self) -> &Dir {
        self.open.last().map_or(self.root, |folder| &folder.dir)
    }
}

/// Why what stands under this name could not be opened as a folder.
pub(super) fn explain(above: &Dir, name: &OsStr, error: io::Error) -> Trouble {
    match Seen::under(above, name).ok().flatten().map(|seen| seen.kind) {
        Some(Kind::Symlink) => Refusal::Symlink.into(),
        Some(Kind::File) => Refusal::FileInTheWay.into(),
        Some(Kind::Special) => Refusal::Special.into(),
        Some(Kind::Folder) | None => Trouble::of("open the folder of")(error),
    }
}
