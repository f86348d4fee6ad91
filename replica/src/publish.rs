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
//! What a `.gitignore` or `.ignore` file in the folder excludes is left out, as git does it: by the rules of each
//! folder on the way, the deepest first, those of `.ignore` before those of `.gitignore`. No file above the folder
//! counts, and no setting of git. These files are published as others are. Where rules cannot be applied, nothing of
//! their folder is published: what they exclude may be a secret, and what has been published cannot be taken back.
//!
//! Content is not looked at here. The [import](crate::store::Store::import) into the store, which every published
//! file passes, refuses private keys.

mod file_id;
mod rules;

use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
};

use walkdir::{DirEntry, WalkDir};

use self::{file_id::FileId, rules::Rules};

pub use self::rules::RulesError;

/// Holds what git makes, not what anybody publishes. Other folders that tools make are for a `.gitignore` to name.
const GIT_FOLDER: &str = ".git";

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
    /// A `.gitignore` or `.ignore` file excludes it. Of a folder, nothing else is looked at.
    #[error("excluded by {}", file.display())]
    Ignored {
        /// The file with the rule.
        file: PathBuf,
    },
    /// A folder whose own rules cannot be applied.
    #[error("its rules cannot be applied: {0}")]
    Rules(#[source] RulesError),
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
/// That of reading `folder` itself. Whatever is wrong below it is in [`Listing::skipped`], and so are rules in it that
/// cannot be applied.
pub fn list_files(folder: &Path, excluded: &[&Path]) -> io::Result<Listing> {
    // The walk would yield a file as its only entry.
    fs::read_dir(folder)?;
    let mut judge = Judge {
        // What does not exist yet has nothing to exclude.
        excluded: excluded.iter().filter_map(|path| FileId::at(path).ok()).collect(),
        outputs: FileId::of_outputs().collect(),
        rules: Rules::default(),
    };
    let mut listing = Listing::default();
    let mut walk = WalkDir::new(folder).into_iter();
    while let Some(entry) = walk.next() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                let (depth, path) = (error.depth(), error.path().unwrap_or(folder).to_path_buf());
                // No link is followed, so that there are no circles, and each error is the system's.
                let error = error.into_io_error().unwrap_or_else(|| io::ErrorKind::Other.into());
                if depth == 0 {
                    return Err(error);
                }
                listing.skip(path, SkipReason::Unreadable(error));
                continue;
            }
        };
        // The folder itself may be reached by a link.
        let is_folder = entry.depth() == 0 || entry.file_type().is_dir();
        match judge.look_at(&entry) {
            Err(reason) => {
                listing.skip(entry.into_path(), reason);
                if is_folder {
                    walk.skip_current_dir();
                }
            }
            Ok(()) if is_folder => {}
            Ok(()) => listing.files.push(entry.into_path()),
        }
    }
    listing.files.sort_unstable();
    listing.skipped.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(listing)
}

/// Says of each entry of a walk whether it is published, or looked into.
struct Judge {
    excluded: HashSet<FileId>,
    outputs: HashSet<FileId>,
    rules: Rules,
}

impl Judge {
    fn look_at(&mut self, entry: &DirEntry) -> Result<(), SkipReason> {
        let (path, depth) = (entry.path(), entry.depth());
        self.rules.keep_above(depth);
        if depth > 0 {
            // The entry's own: a link is seen as one.
            let kind = entry.file_type();
            if kind.is_dir() && entry.file_name() == GIT_FOLDER {
                return Err(SkipReason::Folder);
            }
            if let Some(file) = self.rules.exclude(path, kind.is_dir()) {
                return Err(SkipReason::Ignored { file });
            }
            if kind.is_symlink() {
                return Err(SkipReason::Link);
            }
            let id = entry.metadata().map_err(io::Error::from);
            let id = id.and_then(|metadata| FileId::of_entry(path, &metadata));
            let id = id.map_err(SkipReason::Unreadable)?;
            if self.excluded.contains(&id) {
                return Err(SkipReason::Excluded);
            }
            if self.outputs.contains(&id) {
                return Err(SkipReason::Output);
            }
            if kind.is_file() {
                return Ok(());
            }
            if !kind.is_dir() {
                return Err(SkipReason::Special);
            }
        }
        self.rules.enter(path, depth).map_err(SkipReason::Rules)
    }
}

impl Listing {
    fn skip(&mut self, path: PathBuf, reason: SkipReason) {
        self.skipped.push(Skipped { path, reason });
    }
}

#[cfg(test)]
mod tests;
