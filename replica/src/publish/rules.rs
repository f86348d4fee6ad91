//! The `.gitignore` and `.ignore` files of a folder, and what they exclude.
//!
//! The `ignore` crate understands a rule and matches paths with it. The files are read here, where a named pipe keeps
//! nobody waiting, a link is not followed, and the size is bounded. Its own walk opens whatever stands under the name,
//! and goes on as if there were no rules where it cannot read them.

use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use ignore::{
    Match,
    gitignore::{Gitignore, GitignoreBuilder},
};

use crate::store::open_regular;

/// What files with rules are called. A rule of the first precedes all of the second.
const NAMES: [&str; 2] = [".ignore", ".gitignore"];

/// How many bytes of rules may apply to one entry: those of its folder and of all above it.
const MAX_BYTES: usize = 64 * 1024;

/// Why rules cannot be applied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RulesError {
    /// A link, a pipe or a device stands under the name. A folder of that name is one like others.
    #[error("{} is no regular file", file.display())]
    NotAFile {
        /// What stands there.
        file: PathBuf,
    },
    /// The system refuses.
    #[error("cannot read {}: {source}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// With it, more bytes of rules would apply than may.
    #[error("with {} there are more than {MAX_BYTES} bytes of rules", file.display())]
    TooLarge {
        /// The file.
        file: PathBuf,
    },
    /// A line is no rule.
    #[error("{}, line {line}: {reason}", file.display())]
    Malformed {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// All rules of a file together take too much memory.
    #[error("the rules of {} take too much memory: {reason}", file.display())]
    TooCostly {
        /// The file.
        file: PathBuf,
        /// By which measure.
        reason: String,
    },
}

/// The rules that apply at a place of a walk.
#[derive(Debug, Default)]
pub(super) struct Rules {
    /// Of the folders on the way that have any, from the top.
    folders: Vec<Folder>,
}

#[derive(Debug)]
struct Folder {
    path: PathBuf,
    depth: usize,
    bytes: usize,
    /// By the place of its name in [`NAMES`].
    matchers: [Gitignore; NAMES.len()],
}

impl Rules {
    /// Forgets the rules of folders at this depth and below: the walk has left them.
    pub(super) fn keep_above(&mut self, depth: usize) {
        while self.folders.pop_if(|folder| folder.depth >= depth).is_some() {}
    }

    /// Applies the rules of a folder from now on. In case of an error none of them applies.
    pub(super) fn enter(&mut self, path: &Path, depth: usize) -> Result<(), RulesError> {
        let mut left = MAX_BYTES - self.folders.iter().map(|folder| folder.bytes).sum::<usize>();
        let before = left;
        let mut matchers = NAMES.map(|_| Gitignore::empty());
        for (matcher, name) in matchers.iter_mut().zip(NAMES) {
            let file = path.join(name);
            if let Some(lines) = read(&file, left)? {
                left -= lines.len();
                *matcher = parse(path, file, &lines)?;
            }
        }
        if matchers.iter().any(|matcher| !matcher.is_empty()) {
            let bytes = before - left;
            self.folders.push(Folder { path: path.into(), depth, bytes, matchers });
        }
        Ok(())
    }

    /// The file that excludes an entry, if one does.
    pub(super) fn exclude(&self, path: &Path, is_folder: bool) -> Option<PathBuf> {
        for (place, name) in NAMES.into_iter().enumerate() {
            for folder in self.folders.iter().rev() {
                match folder.matchers[place].matched(path, is_folder) {
                    Match::None => {}
                    Match::Ignore(_) => return Some(folder.path.join(name)),
                    Match::Whitelist(_) => return None,
                }
            }
        }
        None
    }
}

/// What a file holds, if there is one.
fn read(file: &Path, most: usize) -> Result<Option<Vec<u8>>, RulesError> {
    let io = |source| RulesError::Io { file: file.into(), source };
    match fs::symlink_metadata(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(error)),
        Ok(metadata) if metadata.is_dir() => return Ok(None),
        Ok(metadata) if !metadata.is_file() => {
            return Err(RulesError::NotAFile { file: file.into() });
        }
        Ok(_) => {}
    }
    let mut lines = Vec::new();
    // One more than may be, to see that there is more.
    let some = open_regular(file).map_err(io)?.take(most as u64 + 1);
    { some }.read_to_end(&mut lines).map_err(io)?;
    if lines.len() > most {
        return Err(RulesError::TooLarge { file: file.into() });
    }
    Ok(Some(lines))
}

fn parse(folder: &Path, file: PathBuf, lines: &[u8]) -> Result<Gitignore, RulesError> {
    let mut builder = GitignoreBuilder::new(folder);
    let lines = lines.strip_prefix(b"\xef\xbb\xbf").unwrap_or(lines);
    for (index, line) in lines.split(|byte| *byte == b'\n').enumerate() {
        // A comment may be in any encoding.
        if line.starts_with(b"#") {
            continue;
        }
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let rule = str::from_utf8(line).map_err(|error| error.to_string());
        // Without the file, of which each rule would keep a copy.
        let added = rule.and_then(|rule| builder.add_line(None, rule).map_err(said));
        if let Err(reason) = added {
            return Err(RulesError::Malformed { file, line: index + 1, reason });
        }
    }
    builder.build().map_err(|error| RulesError::TooCostly { file, reason: said(error) })
}

/// Without the rule, which may be long.
fn said(error: ignore::Error) -> String {
    match error {
        ignore::Error::Glob { err, .. } => err,
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests;
