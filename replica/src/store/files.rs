//! What the store asks of its folder: the lock, the names, and what stands under a name.
//!
//! Nothing is read before it is known to be a regular file. To open a named pipe does not wait for its
//! writer here. A link is not followed: it leads to content that nobody has verified.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use gossip_engine::ArtifactId;

use super::{CATALOGS_FOLDER, DAMAGED_FOLDER, LOCK_FILE, PARTIAL_FOLDER, StoreError, journal::Key};

/// How often the lock is taken anew because its file was removed at that moment.
const LOCK_TRIES: usize = 8;
/// How many entries of the same name are moved to the folder of damaged ones.
const MAX_SET_ASIDE: usize = 64;

/// Opens a file for reading that is regular, not a link, and waits for nobody.
pub(crate) fn open_regular(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(
        &mut options,
        libc::O_NOFOLLOW | libc::O_NONBLOCK,
    );
    options.open(path)
}

/// Locks a folder: the file that holds the lock, until it is closed.
pub(super) fn lock(folder: &Path) -> Result<File, StoreError> {
    let path = folder.join(LOCK_FILE);
    for _ in 0..LOCK_TRIES {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(StoreError::io("create", &path))?;
        match fs4::FileExt::try_lock(&file) {
            Ok(()) => {}
            Err(fs4::TryLockError::WouldBlock) => {
                return Err(StoreError::Locked { path: folder.into() });
            }
            Err(fs4::TryLockError::Error(error)) => {
                return Err(StoreError::io("lock", &path)(error));
            }
        }
        // A file that was removed between the two steps locks nothing.
        if is_same_file(&file, &path).map_err(StoreError::io("read", &path))? {
            return Ok(file);
        }
    }
    let removed = io::Error::other("it is removed again and again");
    Err(StoreError::io("lock", &path)(removed))
}

/// Whether the file under this name is the one that is open. An error says that nobody can tell.
pub(super) fn is_same_file(file: &File, path: &Path) -> io::Result<bool> {
    let there = match fs::symlink_metadata(path) {
        Ok(there) => there,
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            return Ok(false);
        }
        Err(error) => return Err(error),
    };
    let open = file.metadata()?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        Ok((open.dev(), open.ino()) == (there.dev(), there.ino()))
    }
    #[cfg(not(unix))]
    {
        Ok(open.is_file() == there.is_file())
    }
}

/// A file whose name says that it has a part of an artifact.
#[derive(Clone, Debug)]
pub(super) struct FoundPart {
    pub(super) key: Key,
    pub(super) number: u64,
    pub(super) path: PathBuf,
    modified: SystemTime,
}

/// Makes the folder of partial artifacts, and removes what a crash has left and nobody can go on with. Returns the
/// others, the oldest first.
pub(super) fn find_parts(folder: &Path) -> Result<Vec<FoundPart>, StoreError> {
    let mut parts = Vec::new();
    fs::create_dir_all(folder).map_err(StoreError::io("create", folder))?;
    for entry in fs::read_dir(folder).map_err(StoreError::io("list", folder))? {
        let entry = entry.map_err(StoreError::io("list", folder))?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if name.parse::<u64>().is_ok() {
            fs::remove_file(entry.path()).map_err(StoreError::io("remove", entry.path()))?;
        } else if let Some((key, number)) = Key::parse(name)
            && let Ok(metadata) = entry.metadata()
            && metadata.is_file()
        {
            let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            parts.push(FoundPart { key, number, path: entry.path(), modified });
        }
    }
    parts.sort_by_key(|part| (part.modified, part.number));
    Ok(parts)
}

/// An entry of the folder whose name is an id.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) id: ArtifactId,
    pub(super) size: u64,
    pub(super) modified: SystemTime,
    pub(super) regular: bool,
}

/// All entries whose names are ids, in the order of these, and how many others there are.
pub(super) fn find_artifacts(folder: &Path) -> Result<(Vec<Found>, usize), StoreError> {
    let mut found = Vec::new();
    let mut ignored = 0;
    for entry in fs::read_dir(folder).map_err(StoreError::io("list", folder))? {
        let entry = entry.map_err(StoreError::io("list", folder))?;
        let name = entry.file_name();
        if [LOCK_FILE, PARTIAL_FOLDER, CATALOGS_FOLDER, DAMAGED_FOLDER]
            .iter()
            .any(|ours| name == *ours)
        {
            continue;
        }
        // Upper-case digits are not ours: two names for one id would count it twice.
        let id = name.to_str().and_then(|name| {
            name.parse::<ArtifactId>().ok().filter(|id| format!("{id:x}") == name)
        });
        let Some(id) = id else {
            ignored += 1;
            continue;
        };
        // The entry's own metadata: a link is no artifact, wherever it leads.
        let metadata = match entry.metadata() {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(StoreError::io("read", entry.path())(error)),
        };
        found.push(Found {
            id,
            size: metadata.len(),
            modified: metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH),
            regular: metadata.is_file(),
        });
    }
    found.sort_unstable_by_key(|found| found.id);
    Ok((found, ignored))
}

/// Takes away what stands under an artifact's name and is not the artifact. Returns what was done.
///
/// A regular file is removed: it holds nothing that anybody asked for, and takes space. Anything else
/// somebody has put there, so it is moved to the folder of damaged entries.
pub(super) fn take_away(folder: &Path, path: &Path) -> io::Result<&'static str> {
    if fs::symlink_metadata(path)?.is_file() {
        fs::remove_file(path)?;
        return Ok("removed");
    }
    let aside = folder.join(DAMAGED_FOLDER);
    fs::create_dir_all(&aside)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let free = |path: &PathBuf| fs::symlink_metadata(path).is_err();
    let target = (0..MAX_SET_ASIDE)
        .map(|number| match number {
            0 => aside.join(&name),
            number => aside.join(format!("{name}.{number}")),
        })
        .find(free);
    let target = target.ok_or_else(|| io::Error::from(io::ErrorKind::AlreadyExists))?;
    fs::rename(path, target)?;
    Ok("moved to damaged/")
}
