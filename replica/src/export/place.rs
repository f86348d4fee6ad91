//! The folders of an export, opened for one call and locked as long.
//!
//! Nothing stays open between two calls, so that a file system can be unmounted.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use cap_fs_ext::{DirExt as _, FollowSymlinks, OpenOptionsFollowExt as _};
use cap_std::{
    ambient_authority,
    fs::{Dir, OpenOptions},
};

use super::{
    error::{ExportError, Trouble},
    folders::explain,
    seen::{Kind, Seen},
    steps::{step, sync},
};
use crate::catalog::{Catalog, FilePath, MAX_CATALOG_BYTES};

/// Beside the subfolders, for all of them.
const STATE_FOLDER: &str = ".gossip-export";
/// What is written before it has a name, in the folder aside.
pub(super) const ASIDE_FILE: &str = "file";
const ASIDE_RECORD: &str = "record";
/// The longest name of a subfolder, in bytes. Names in the state folder are up to 8 bytes longer.
const MAX_SUBFOLDER_BYTES: usize = 240;

pub(super) struct Place {
    /// `FOLDER/<subfolder>`.
    pub(super) files: Dir,
    /// `FOLDER/.gossip-export/<subfolder>.new`.
    pub(super) aside: Dir,
    state: Dir,
    state_path: PathBuf,
    subfolder: String,
    /// The file system that both are on.
    pub(super) device: u64,
    /// Whether the subfolder was made by this opening.
    pub(super) is_new: bool,
    _lock: Lock,
}

/// Locked until it is dropped.
struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing is not enough: a child process that begins at this moment has the file open as well.
        let _ = fs4::FileExt::unlock(&self.0);
    }
}

/// The two files of a record.
#[derive(Clone, Copy)]
pub(super) enum Part {
    /// What was written.
    Written,
    /// What is being written.
    Next,
}

/// Whether this can be the name of a subfolder.
pub(super) fn check_subfolder(name: &str) -> Result<(), ExportError> {
    let is_name = FilePath::new(name.as_bytes()).is_ok_and(|path| path.to_path().is_ok());
    let is_taken = name.eq_ignore_ascii_case(STATE_FOLDER);
    if is_name && !is_taken && !name.contains('/') && name.len() <= MAX_SUBFOLDER_BYTES {
        Ok(())
    } else {
        Err(ExportError::Subfolder(name.into()))
    }
}

impl Place {
    /// Opens the folders, and makes those of the subfolder that are not there.
    pub(super) fn open(folder: &Path, subfolder: &str) -> Result<Self, ExportError> {
        let top = open_top(folder)?;
        let state_path = folder.join(STATE_FOLDER);
        let (state, _) = open_folder(&top, STATE_FOLDER, &state_path, false)?;
        let files_path = folder.join(subfolder);
        let lock = lock(&state, &state_path.join(format!("{subfolder}.lock")), &files_path)?;
        let aside_name = format!("{subfolder}.new");
        let aside_path = state_path.join(&aside_name);
        let (aside, _) = open_folder(&state, &aside_name, &aside_path, true)?;
        let (files, is_new) = open_folder(&top, subfolder, &files_path, true)?;
        let device = |dir: &Dir, path: &Path| {
            let metadata = dir.dir_metadata().map_err(ExportError::io("look at", path))?;
            Ok::<_, ExportError>(Seen::of(&metadata).device)
        };
        let (device, other) = (device(&files, &files_path)?, device(&aside, &aside_path)?);
        if device != other {
            return Err(ExportError::OtherFileSystem { path: files_path });
        }
        let subfolder = subfolder.into();
        Ok(Self { files, aside, state, state_path, subfolder, device, is_new, _lock: lock })
    }

    /// Removes what an earlier call has left half written.
    pub(super) fn clear_aside(&self) -> Result<(), ExportError> {
        let path = self.state_path.join(format!("{}.new", self.subfolder));
        let clear = || {
            for entry in self.aside.entries()? {
                let entry = entry?;
                // No folder in there is the export's.
                if !entry.file_type()?.is_dir() {
                    step()?;
                    self.aside.remove_file(entry.file_name())?;
                }
            }
            Ok(())
        };
        clear().map_err(ExportError::io("clear", path))
    }

    /// What stands under the name of a part of the record.
    pub(super) fn look(&self, part: Part) -> Result<Option<Seen>, ExportError> {
        let seen = Seen::under(&self.state, self.name(part));
        seen.map_err(ExportError::io("look at", self.path(part)))
    }

    /// Reads a part of the record.
    pub(super) fn read(&self, part: Part) -> Result<Option<Catalog>, ExportError> {
        let file = match open_file(&self.state, self.name(part).as_ref()) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(ExportError::io("open", self.path(part))(error)),
        };
        let mut bytes = Vec::new();
        let read = file.take(MAX_CATALOG_BYTES + 1).read_to_end(&mut bytes);
        read.map_err(ExportError::io("read", self.path(part)))?;
        let catalog = Catalog::decode(&bytes);
        let damaged = |source| ExportError::Record { path: self.path(part), source };
        Ok(Some(catalog.map_err(damaged)?))
    }

    /// Writes a part of the record, synced, and says what stands under its name then.
    pub(super) fn write(&self, part: Part, catalog: &Catalog) -> Result<Seen, ExportError> {
        let write = || {
            let mut file = create_file(&self.aside, ASIDE_RECORD.as_ref())?;
            step()?;
            file.write_all(&catalog.encode())?;
            sync(&file)?;
            step()?;
            self.aside.rename(ASIDE_RECORD, &self.state, self.name(part))?;
            Seen::under(&self.state, self.name(part))?.ok_or(io::ErrorKind::NotFound.into())
        };
        write().map_err(ExportError::io("write", self.path(part)))
    }

    /// Removes a part of the record, if there is one.
    pub(super) fn remove(&self, part: Part) -> Result<(), ExportError> {
        match step().and_then(|()| self.state.remove_file(self.name(part))) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(ExportError::io("remove", self.path(part))(error)),
        }
    }

    pub(super) fn path(&self, part: Part) -> PathBuf {
        self.state_path.join(self.name(part))
    }

    fn name(&self, part: Part) -> String {
        match part {
            Part::Written => format!("{}.catalog", self.subfolder),
            Part::Next => format!("{}.next", self.subfolder),
        }
    }
}

/// Whether a folder has been made ready for exports.
pub(super) fn has_state(folder: &Path) -> Result<bool, ExportError> {
    match open_folder(&open_top(folder)?, STATE_FOLDER, &folder.join(STATE_FOLDER), false) {
        Ok(_) => Ok(true),
        Err(ExportError::Gone { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Makes a folder ready for exports.
pub(super) fn make_state(folder: &Path) -> Result<(), ExportError> {
    open_folder(&open_top(folder)?, STATE_FOLDER, &folder.join(STATE_FOLDER), true).map(drop)
}

fn open_top(folder: &Path) -> Result<Dir, ExportError> {
    Dir::open_ambient_dir(folder, ambient_authority())
        .map_err(|error| gone_or("open", folder, error))
}

/// Makes a file that nobody else has, for its owner alone.
pub(super) fn create_file(folder: &Dir, name: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    cap_std::fs::OpenOptionsExt::mode(&mut options, 0o600);
    step()?;
    match folder.open_with(name, &options) {
        // What was left there half written when a call failed.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            folder.remove_file(name)?;
            folder.open_with(name, &options)
        }
        opened => opened,
    }
    .map(cap_std::fs::File::into_std)
}

/// Opens a file for reading, no link, and waits for nobody if it is a pipe.
pub(super) fn open_file(folder: &Dir, name: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).follow(FollowSymlinks::No);
    wait_for_nobody(&mut options);
    folder.open_with(name, &options).map(cap_std::fs::File::into_std)
}

fn wait_for_nobody(options: &mut OpenOptions) {
    #[cfg(unix)]
    cap_std::fs::OpenOptionsExt::custom_flags(options, libc::O_NONBLOCK);
    #[cfg(not(unix))]
    let _ = options;
}

fn lock(state: &Dir, path: &Path, files: &Path) -> Result<Lock, ExportError> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).follow(FollowSymlinks::No);
    wait_for_nobody(&mut options);
    let name = path.file_name().unwrap_or_default();
    let file = state.open_with(name, &options).map_err(ExportError::io("create", path))?.into_std();
    match fs4::FileExt::try_lock(&file) {
        Ok(()) => Ok(Lock(file)),
        Err(fs4::TryLockError::WouldBlock) => Err(ExportError::Locked { path: files.into() }),
        Err(fs4::TryLockError::Error(error)) => Err(ExportError::io("lock", path)(error)),
    }
}

/// Opens a folder in a folder, and says whether it was made.
fn open_folder(
    above: &Dir,
    name: &str,
    path: &Path,
    make: bool,
) -> Result<(Dir, bool), ExportError> {
    let open = || above.open_dir_nofollow(name);
    match open() {
        Ok(dir) => return Ok((dir, false)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            return Err(match explain(above, name.as_ref(), copied(&error)) {
                Trouble::Refused(why) if is_in_the_way(above, name) => {
                    ExportError::InTheWay { path: path.into(), why }
                }
                _ => ExportError::io("open", path)(error),
            });
        }
    }
    if !make {
        return Err(ExportError::Gone { path: path.into() });
    }
    match step().and_then(|()| above.create_dir(name)) {
        Ok(()) => {}
        // Another export in the same folder was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(ExportError::io("create", path)(error)),
    }
    Ok((open().map_err(ExportError::io("open", path))?, true))
}

fn is_in_the_way(above: &Dir, name: &str) -> bool {
    Seen::under(above, name).is_ok_and(|seen| seen.is_some_and(|seen| seen.kind != Kind::Folder))
}

fn copied(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error)
}

pub(super) fn gone_or(action: &'static str, path: &Path, error: io::Error) -> ExportError {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            ExportError::Gone { path: path.into() }
        }
        _ => ExportError::io(action, path)(error),
    }
}
