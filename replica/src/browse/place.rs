//! A place on the command line: a publisher, and a path in the publisher's folder.

use std::ffi::OsStr;

use gossip_replica::catalog::FilePath;

use crate::failure::Failure;

/// `PUBLISHER` or `PUBLISHER/PATH`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Place {
    /// A name, or the beginning of an id.
    pub(super) publisher: String,
    /// A file or a folder in the publisher's.
    pub(super) path: Option<FilePath>,
}

impl Place {
    /// Reads a word of the command line. A `/` at its end makes no difference.
    pub(super) fn parse(word: &OsStr) -> Result<Self, Failure> {
        let fault = |reason: &dyn std::fmt::Display| {
            Failure::usage(format_args!("{word:?} is no PUBLISHER or PUBLISHER/PATH: {reason}"))
        };
        let bytes = bytes(word).ok_or_else(|| fault(&"it is no Unicode"))?;
        let slash = bytes.iter().position(|byte| *byte == b'/');
        let (publisher, path) = bytes.split_at(slash.unwrap_or(bytes.len()));
        let publisher = str::from_utf8(publisher).map_err(|_| fault(&"no name has such bytes"))?;
        if publisher.is_empty() {
            return Err(fault(&"it begins with a publisher"));
        }
        let path = path.strip_prefix(b"/").unwrap_or(path);
        let path = path.strip_suffix(b"/").unwrap_or(path);
        let path = match path {
            [] => None,
            path => Some(FilePath::new(path).map_err(|error| fault(&error))?),
        };
        Ok(Self { publisher: publisher.to_owned(), path })
    }

    /// Whether a file is there, or below it.
    pub(super) fn covers(&self, file: &FilePath) -> bool {
        self.path.as_ref().is_none_or(|path| path == file || path.contains(file))
    }
}

fn bytes(word: &OsStr) -> Option<&[u8]> {
    #[cfg(unix)]
    {
        Some(std::os::unix::ffi::OsStrExt::as_bytes(word))
    }
    #[cfg(not(unix))]
    {
        Some(word.to_str()?.as_bytes())
    }
}

#[cfg(test)]
mod tests;
