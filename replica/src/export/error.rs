//! What can go wrong with an export, and why a single file is not written.

use std::{io, path::PathBuf};

use super::content::ContentError;
use crate::catalog::CatalogError;

/// Why a file is left as it is, while all others go on. It is tried again with each call.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// A symbolic link stands there, or where a folder on the way should be. It may lead inside.
    #[error("a symbolic link is in the way")]
    Symlink,
    /// The export wrote the file, and somebody has written to it since.
    #[error("it was changed by somebody")]
    Changed,
    /// A file stands there that the export has not written, with other content.
    #[error("somebody else's file is in the way")]
    Foreign,
    /// The system finds another exported file under this name: it folds case, say, or there is a hard link.
    #[error("this system takes it for another exported file")]
    SameFile,
    /// A folder stands there. If it was the export's own, something of somebody else's is in it.
    #[error("a folder is in the way")]
    FolderInTheWay,
    /// A file stands where a folder on the way should be.
    #[error("a file is where a folder should be")]
    FileInTheWay,
    /// A device, a named pipe or a socket stands there, or where a folder on the way should be.
    #[error("a device, a pipe or a socket is in the way")]
    Special,
    /// The name is longer than this file system allows.
    #[error("the name is too long for this file system")]
    NameTooLong,
    /// This system or this file system cannot have the name.
    #[error("this system cannot have the name")]
    Name,
    /// The file is larger than this file system allows.
    #[error("it is too large for this file system")]
    TooLarge,
    /// It would leave less free on its disk than [`Export::with_min_free_bytes`](super::Export::with_min_free_bytes)
    /// says.
    #[error("its disk has too little space")]
    NoSpace,
    /// The system does not allow it.
    #[error("permission denied")]
    Denied,
    /// Something is mounted there, or the system uses it.
    #[error("the system has it in use")]
    Busy,
    /// A folder on the way is on another file system, onto which no file can be renamed.
    #[error("a folder on the way is on another file system")]
    OtherFileSystem,
    /// The catalog says another size than the content has.
    #[error("the content has another size than the catalog says")]
    WrongSize,
    /// The content is here and cannot be read.
    #[error("the content cannot be read: {0}")]
    Unreadable(String),
    /// The catalog has more than [`MAX_FOLDERS`](super::MAX_FOLDERS), and this file comes after them in order.
    #[error("the catalog has more than {} folders", super::MAX_FOLDERS)]
    TooManyFolders,
}

/// Why an export cannot go on. What is written stays, and the next call goes on where this one ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The name of the subfolder is none, or is taken.
    #[error("{0:?} cannot be the name of a folder to export to")]
    Subfolder(String),
    /// The system refuses: a quota, one that is read-only, a folder that was removed meanwhile.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The folder, or the record in it, is no longer there: it was removed, or its file system unmounted. It is not
    /// made again.
    #[error("{} is no longer there; was it unmounted or removed?", path.display())]
    Gone {
        /// What was looked for.
        path: PathBuf,
    },
    /// [`begin`](super::begin) remembers the folder, which is now as if nothing had ever been exported to it.
    #[error(
        "{} was exported to before, and has no .gossip-export now: is its disk mounted? \
         If it is the right folder, remove {}",
        path.display(), memory.display()
    )]
    NotMounted {
        /// The folder.
        path: PathBuf,
        /// Where it is remembered.
        memory: PathBuf,
    },
    /// A link or a file stands where a folder of the export should be.
    #[error("{}: {why}", path.display())]
    InTheWay {
        /// Where.
        path: PathBuf,
        /// What stands there.
        why: Refusal,
    },
    /// The subfolder is on another file system than the folder, so that no file can be renamed into it.
    #[error("{} is on another file system than the folder it is in; export to it instead", path.display())]
    OtherFileSystem {
        /// The subfolder.
        path: PathBuf,
    },
    /// The record of what was written is none. Without it, what is there counts as somebody else's, and what has the
    /// right content is adopted.
    #[error("{} is damaged: {source}; if it is removed, what is there counts as somebody else's", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: CatalogError,
    },
    /// Another process exports to the same subfolder at this moment.
    #[error("another process exports to {}", path.display())]
    Locked {
        /// The subfolder.
        path: PathBuf,
    },
    /// `is_stopped` has said so.
    #[error("the export was stopped")]
    Stopped,
}

impl ExportError {
    pub(super) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}

/// What comes of one step with one file.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It concerns this file.
    Refused(Refusal),
    /// The content is not here yet, or was not verified yet.
    NotYet,
    /// `is_stopped` has said so.
    Stopped,
    /// It concerns all files.
    Fatal(&'static str, io::Error),
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<ContentError> for Trouble {
    fn from(error: ContentError) -> Self {
        match error {
            ContentError::NotYet => Self::NotYet,
            ContentError::WrongSize => Refusal::WrongSize.into(),
            ContentError::Read(why) => Refusal::Unreadable(why).into(),
            ContentError::Write(error) => Self::of("write")(error),
        }
    }
}

impl Trouble {
    /// Whether what the system says concerns one name or all.
    pub(super) fn of(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| {
            use io::ErrorKind as Kind;
            #[cfg(unix)]
            match error.raw_os_error() {
                Some(libc::ELOOP) => return Refusal::Symlink.into(),
                Some(libc::EILSEQ) => return Refusal::Name.into(),
                _ => {}
            }
            let refusal = match error.kind() {
                Kind::InvalidFilename => Refusal::NameTooLong,
                Kind::InvalidInput => Refusal::Name,
                Kind::PermissionDenied => Refusal::Denied,
                Kind::CrossesDevices => Refusal::OtherFileSystem,
                Kind::FileTooLarge => Refusal::TooLarge,
                Kind::NotADirectory => Refusal::FileInTheWay,
                Kind::IsADirectory | Kind::DirectoryNotEmpty => Refusal::FolderInTheWay,
                Kind::AlreadyExists => Refusal::Foreign,
                Kind::ResourceBusy | Kind::ExecutableFileBusy => Refusal::Busy,
                _ => return Self::Fatal(action, error),
            };
            refusal.into()
        }
    }
}
