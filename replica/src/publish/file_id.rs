//! Which file it is, whatever its name.

use std::{
    fs::{self, Metadata},
    io,
    path::Path,
};

/// A file or a folder. Two that exist at the same time are the same if they are equal.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct FileId(Inner);

/// Device and number.
#[cfg(unix)]
type Inner = (u64, u64);
/// The one spelling of its path.
#[cfg(not(unix))]
type Inner = std::path::PathBuf;

#[cfg(unix)]
impl FileId {
    /// Whatever has this path, behind links.
    pub(super) fn at(path: &Path) -> io::Result<Self> {
        fs::metadata(path).map(|metadata| Self::new(&metadata))
    }

    /// An entry of a folder that is no link.
    pub(super) fn of_entry(_path: &Path, metadata: &Metadata) -> io::Result<Self> {
        Ok(Self::new(metadata))
    }

    /// The files that this process prints and logs to, if they are files.
    pub(super) fn of_outputs() -> impl Iterator<Item = Self> {
        use std::os::fd::AsFd as _;

        let [stdout, stderr] =
            [io::stdout().as_fd().try_clone_to_owned(), io::stderr().as_fd().try_clone_to_owned()];
        [stdout, stderr].into_iter().filter_map(|output| {
            let metadata = fs::File::from(output.ok()?).metadata().ok()?;
            metadata.is_file().then(|| Self::new(&metadata))
        })
    }

    fn new(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt as _;

        Self((metadata.dev(), metadata.ino()))
    }
}

#[cfg(not(unix))]
impl FileId {
    pub(super) fn at(path: &Path) -> io::Result<Self> {
        fs::canonicalize(path).map(Self)
    }

    pub(super) fn of_entry(path: &Path, _metadata: &Metadata) -> io::Result<Self> {
        Self::at(path)
    }

    pub(super) fn of_outputs() -> impl Iterator<Item = Self> {
        std::iter::empty()
    }
}
