//! Finding the files of a folder that are to be published.
//!
//! To list and to publish are two steps, so that a caller can show how far it is: [`list_files`], then
//! [`ReplicaGossip::publish`](crate::gossip::ReplicaGossip::publish) for each.
//!
//! Listed are regular files, in the order of their paths; names need be no Unicode. Not followed: links,
//! since they may lead out of the folder or in circles. What the process itself prints and logs to is left
//! out, for it changes as long as it is written to. What cannot be read is reported and does not end the
//! walk. Memory grows with the number of paths.
//!
//! Content is not looked at here. The [import](crate::store::Store::import) into the store, which every published
//! file passes, refuses private keys.

mod file_id;

use std::{
    collections::HashSet,
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
};

use self::file_id::FileId;

/// Folders that hold what tools make, not what anybody publishes.
const SKIPPED_FOLDERS: [&str; 2] = [".git", "target"];

/// The files of a folder.
#[derive(Debug, Default)]
pub struct Listing {
    /// The files, in the order of their paths.
    pub files: Vec<PathBuf>,
    /// What is not among them, and why.
    pub skipped: Vec<Skipped>,
}

/// An entry of a folder that is not published.
#[derive(Debug)]
pub struct Skipped {
    /// The entry.
    pub path: PathBuf,
    /// Why.
    pub reason: SkipReason,
}

/// Why an entry of a folder is not published.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SkipReason {
    /// A folder of that name is never published.
    #[error("a folder of this name is not published")]
    Folder,
    /// The caller has excluded it.
    #[error("excluded")]
    Excluded,
    /// This process prints or logs to it.
    #[error("this program writes to it")]
    Output,
    /// A symbolic link.
    #[error("a symbolic link")]
    Link,
    /// A device, a pipe, a socket.
    #[error("not a regular file")]
    Special,
    /// The system refuses.
    #[error("unreadable: {0}")]
    Unreadable(#[source] io::Error),
}

/// Lists the files below `folder`, without the files and folders `excluded`, whatever they are called there;
/// a store's own folder belongs among them if it may lie inside.
///
/// # Errors
///
/// That of reading `folder` itself. Whatever is wrong below it is in [`Listing::skipped`].
pub fn list_files(folder: &Path, excluded: &[&Path]) -> io::Result<Listing> {
    // What does not exist yet has nothing to exclude.
    let excluded: HashSet<FileId> =
        excluded.iter().filter_map(|path| FileId::at(path).ok()).collect();
    let outputs: HashSet<FileId> = FileId::of_outputs().collect();
    let mut listing = Listing::default();
    let mut folders = vec![folder.to_path_buf()];
    let mut first = true;
    while let Some(next) = folders.pop() {
        let entries = fs::read_dir(&next).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let entries = match entries {
            Ok(entries) => entries,
            Err(error) if first => return Err(error),
            Err(error) => {
                listing.skip(next, SkipReason::Unreadable(error));
                continue;
            }
        };
        first = false;
        for entry in entries {
            let path = entry.path();
            // The entry's own: a link is seen as one.
            let id = entry.metadata().and_then(|metadata| {
                Ok((metadata.file_type(), FileId::of_entry(&path, &metadata)?))
            });
            match id {
                Err(error) => listing.skip(path, SkipReason::Unreadable(error)),
                Ok((kind, _)) if kind.is_symlink() => listing.skip(path, SkipReason::Link),
                Ok((kind, _)) if kind.is_dir() && is_skipped_folder(&entry.file_name()) => {
                    listing.skip(path, SkipReason::Folder);
                }
                Ok((_, id)) if excluded.contains(&id) => listing.skip(path, SkipReason::Excluded),
                Ok((_, id)) if outputs.contains(&id) => listing.skip(path, SkipReason::Output),
                Ok((kind, _)) if kind.is_file() => listing.files.push(path),
                Ok((kind, _)) if kind.is_dir() => folders.push(path),
                Ok(_) => listing.skip(path, SkipReason::Special),
            }
        }
    }
    listing.files.sort_unstable();
    listing.skipped.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(listing)
}

fn is_skipped_folder(name: &OsStr) -> bool {
    SKIPPED_FOLDERS.iter().any(|skipped| name == *skipped)
}

impl Listing {
    fn skip(&mut self, path: PathBuf, reason: SkipReason) {
        self.skipped.push(Skipped { path, reason });
    }
}

#[cfg(test)]
mod tests;
