//! What stands under a name, as far as the system says without reading it.

use std::{ffi::OsStr, io};

use cap_std::fs::{Dir, Metadata};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    File,
    Folder,
    Symlink,
    /// A device, a named pipe, a socket.
    Special,
}

/// Equal ones are the same file, unchanged.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Seen {
    pub(super) kind: Kind,
    pub(super) size: u64,
    /// In nanoseconds since 1970, as all times here.
    pub(super) modified_ns: i64,
    /// The time of the last change of any kind. 0 where the system has none.
    changed_ns: i64,
    /// Nine bits. 0 where the system has none.
    pub(super) mode: u32,
    pub(super) device: u64,
    /// The number of the file. 0 where the system has none.
    pub(super) inode: u64,
}

impl Seen {
    pub(super) fn of(metadata: &Metadata) -> Self {
        let kind = match metadata.file_type() {
            kind if kind.is_file() => Kind::File,
            kind if kind.is_dir() => Kind::Folder,
            kind if kind.is_symlink() => Kind::Symlink,
            _ => Kind::Special,
        };
        let size = metadata.len();
        #[cfg(unix)]
        {
            use cap_std::fs::MetadataExt as _;
            let nanos = |seconds: i64, nanos: i64| {
                seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
            };
            Self {
                kind,
                size,
                modified_ns: nanos(metadata.mtime(), metadata.mtime_nsec()),
                changed_ns: nanos(metadata.ctime(), metadata.ctime_nsec()),
                mode: metadata.mode() & 0o777,
                device: metadata.dev(),
                inode: metadata.ino(),
            }
        }
        #[cfg(not(unix))]
        {
            let modified = metadata.modified().ok();
            let since = modified
                .and_then(|at| at.into_std().duration_since(std::time::UNIX_EPOCH).ok())
                .map_or(0, |since| since.as_nanos() as i64);
            Self { kind, size, modified_ns: since, changed_ns: 0, mode: 0, device: 0, inode: 0 }
        }
    }

    /// What stands under a name, without following links. `None` if nothing does.
    pub(super) fn under(folder: &Dir, name: impl AsRef<OsStr>) -> io::Result<Option<Self>> {
        match folder.symlink_metadata(name.as_ref()) {
            Ok(metadata) => Ok(Some(Self::of(&metadata))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}
