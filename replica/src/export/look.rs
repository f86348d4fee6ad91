//! What stands where a file is to be written, and whether it may be replaced.

use std::{
    collections::{BTreeMap, HashSet},
    io::{self, Read as _},
    path::Path,
};

use cap_std::fs::Dir;
use gossip_engine::ArtifactId;
use sha2::{Digest as _, Sha256};

use super::{
    error::{Refusal, Trouble},
    folders::Folders,
    place::open_file,
    record::{Files, Known, State},
    seen::{Kind, Seen},
};
use crate::catalog::{FileEntry, FilePath};

/// How many bytes are read at once.
const PIECE_BYTES: usize = 128 << 10;

/// What stands where a file is to be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target {
    Nothing,
    /// A file that may be replaced while it is still this one.
    Replaceable(Seen),
    /// Somebody else's file, which is already as the catalog says.
    AsWanted(Seen),
}

/// A file that is not written.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    pub(super) why: Refusal,
    /// What was read, and its content: it is not read again.
    pub(super) read: Option<(Seen, ArtifactId)>,
}

/// Looks at targets. Reads what has the size that is wanted, but not twice.
pub(super) struct Looker<'a> {
    pub(super) device: u64,
    pub(super) earlier: &'a BTreeMap<FilePath, Refused>,
    pub(super) is_stopped: &'a dyn Fn() -> bool,
    /// The numbers of the export's files, once they are needed.
    inodes: Option<HashSet<u64>>,
}

impl<'a> Looker<'a> {
    pub(super) fn new(
        device: u64,
        earlier: &'a BTreeMap<FilePath, Refused>,
        is_stopped: &'a dyn Fn() -> bool,
    ) -> Self {
        Self { device, earlier, is_stopped, inodes: None }
    }

    pub(super) fn look(
        &mut self,
        folders: &mut Folders<'_>,
        files: &Files,
        path: &FilePath,
        entry: &FileEntry,
    ) -> Result<Target, (Trouble, Option<(Seen, ArtifactId)>)> {
        let refused = |refusal: Refusal| (Trouble::from(refusal), None);
        let plain = |trouble: Trouble| (trouble, None);
        let relative = path.to_path().map_err(|_| refused(Refusal::Name))?;
        let name = Path::new(relative.file_name().unwrap_or_default());
        let folder = folders.enter(&relative, false).map_err(plain)?;
        let Some(folder) = folder else { return Ok(Target::Nothing) };
        let seen =
            Seen::under(folder, name).map_err(|error| plain(Trouble::of("look at")(error)))?;
        let Some(seen) = seen else { return Ok(Target::Nothing) };
        if files.get(path).is_some_and(|known| known.is(&seen)) {
            return Ok(Target::Replaceable(seen));
        }
        let why = self.why(files, path, &seen);
        if !matches!(why, Refusal::Changed | Refusal::Foreign) || seen.size != entry.size {
            return Err(refused(why));
        }
        let before = self.earlier.get(path).and_then(|refused| refused.read);
        let read = match before.filter(|(before, _)| *before == seen) {
            Some(read) => Some(read),
            None => self.read(folder, name, &seen).map_err(plain)?.map(|id| (seen, id)),
        };
        if read.is_none_or(|(_, id)| id != entry.id) {
            return Err((why.into(), read));
        }
        let has_mode = cfg!(not(unix)) || seen.mode == entry.mode;
        if has_mode && seen.modified_ns == entry.modified_ns {
            return Ok(Target::AsWanted(seen));
        }
        Ok(Target::Replaceable(seen))
    }

    /// Why what stands there, and is not what the export has written there, is not replaced.
    pub(super) fn why(&mut self, files: &Files, path: &FilePath, seen: &Seen) -> Refusal {
        match seen.kind {
            Kind::File if self.is_another(files, path, seen) => Refusal::SameFile,
            Kind::File if files.contains_key(path) => Refusal::Changed,
            Kind::File => Refusal::Foreign,
            Kind::Folder => Refusal::FolderInTheWay,
            Kind::Symlink => Refusal::Symlink,
            Kind::Special => Refusal::Special,
        }
    }

    /// The export has written this file.
    pub(super) fn note(&mut self, seen: &Seen) {
        if let Some(inodes) = &mut self.inodes {
            inodes.insert(seen.inode);
        }
    }

    /// Whether the export has written this file under another name.
    fn is_another(&mut self, files: &Files, path: &FilePath, seen: &Seen) -> bool {
        let number = |known: &Known| match known.state {
            State::Written { inode, .. } => Some(inode),
            State::Torn { .. } | State::Changed => None,
        };
        let is_numbered = seen.inode != 0 && seen.device == self.device;
        // Under its own name it is a file that somebody has written to.
        if !is_numbered || files.get(path).and_then(number) == Some(seen.inode) {
            return false;
        }
        let numbers = || files.values().filter_map(number).collect();
        self.inodes.get_or_insert_with(numbers).contains(&seen.inode)
    }

    /// The id of the content of a file. `None` if it has changed meanwhile.
    fn read(&self, folder: &Dir, name: &Path, seen: &Seen) -> Result<Option<ArtifactId>, Trouble> {
        let failed = || Trouble::of("read");
        let mut file = open_file(folder, name).map_err(failed())?;
        let mut hash = Sha256::new();
        let mut piece = vec![0; PIECE_BYTES];
        // Bounded: of a file that grows no more is read than it had.
        let mut left = seen.size;
        while left > 0 {
            if (self.is_stopped)() {
                return Err(Trouble::Stopped);
            }
            let wanted = left.min(PIECE_BYTES as u64) as usize;
            match file.read(&mut piece[..wanted]) {
                Ok(0) => return Ok(None),
                Ok(read) => {
                    hash.update(&piece[..read]);
                    left -= read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed()(error)),
            }
        }
        let file = cap_std::fs::File::from_std(file);
        let now = Seen::of(&file.metadata().map_err(failed())?);
        Ok((now == *seen).then(|| ArtifactId::new(hash.finalize().into())))
    }
}
