//! The path of a file within its publisher's folder.
//!
//! It comes from a peer, and names a file on this machine's disk. So what could lead out of a folder, or confuse a
//! terminal, is no path here. Names are bytes, as they are on the publisher's disk: they need be no UTF-8.

use std::{
    cmp::Ordering,
    fmt::{self, Write as _},
    path::{Path, PathBuf},
};

/// The longest path, in bytes; `PATH_MAX` of Linux with its zero.
pub const MAX_PATH_BYTES: usize = 4095;
/// The longest name of a file or a folder in it, in bytes; `NAME_MAX` of Linux.
pub const MAX_NAME_BYTES: usize = 255;
/// How many names a path has at most.
pub const MAX_DEPTH: usize = 128;

/// A relative path: names of folders and of a file, with a `/` between each two.
///
/// No name is empty, `.` or `..`, none has a control character of ASCII, and all is within the limits. The order is
/// that of the names, so that what is in a folder stands together. `Display` is for people: what is no UTF-8 or cannot
/// be seen is escaped.
///
/// ```
/// use gossip_replica::catalog::FilePath;
///
/// assert_eq!(FilePath::new(b"photos/2026/sea.jpg")?.to_string(), "photos/2026/sea.jpg");
/// assert!(FilePath::new(b"../key").is_err());
/// # Ok::<(), gossip_replica::catalog::PathError>(())
/// ```
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct FilePath(Box<[u8]>);

/// Why bytes are no [`FilePath`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// It has no byte.
    #[error("the path is empty")]
    Empty,
    /// It begins with `/`.
    #[error("the path is absolute")]
    Absolute,
    /// It is longer than [`MAX_PATH_BYTES`].
    #[error("the path has {0} bytes, more than {MAX_PATH_BYTES}")]
    TooLong(usize),
    /// A name is longer than [`MAX_NAME_BYTES`].
    #[error("a name in the path has {0} bytes, more than {MAX_NAME_BYTES}")]
    NameTooLong(usize),
    /// It has more than [`MAX_DEPTH`] names.
    #[error("the path has more than {MAX_DEPTH} names")]
    TooDeep,
    /// A name is empty, `.` or `..`.
    #[error("a name in the path is empty, \".\" or \"..\"")]
    NotAName,
    /// There is a control character in it.
    #[error("the path has a control character")]
    Control,
    /// This system has no such names.
    #[error("the path is no Unicode, or cannot be a path on this system")]
    Foreign,
}

impl FilePath {
    /// Checks a path.
    ///
    /// # Errors
    ///
    /// [`PathError`] says what is wrong.
    pub fn new(bytes: &[u8]) -> Result<Self, PathError> {
        match bytes {
            [] => return Err(PathError::Empty),
            [b'/', ..] => return Err(PathError::Absolute),
            _ if bytes.len() > MAX_PATH_BYTES => return Err(PathError::TooLong(bytes.len())),
            _ => {}
        }
        if bytes.iter().any(u8::is_ascii_control) {
            return Err(PathError::Control);
        }
        for (number, name) in bytes.split(is_slash).enumerate() {
            match name {
                b"" | b"." | b".." => return Err(PathError::NotAName),
                _ if name.len() > MAX_NAME_BYTES => return Err(PathError::NameTooLong(name.len())),
                _ if number >= MAX_DEPTH => return Err(PathError::TooDeep),
                _ => {}
            }
        }
        Ok(Self(bytes.into()))
    }

    /// The path of a file of this machine, relative to the folder that is published.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new).
    pub fn of(relative: &Path) -> Result<Self, PathError> {
        #[cfg(unix)]
        {
            use std::os::unix::ffi::OsStrExt as _;
            Self::new(relative.as_os_str().as_bytes())
        }
        #[cfg(not(unix))]
        {
            let names = relative.iter().map(|name| name.to_str().ok_or(PathError::Foreign));
            Self::new(names.collect::<Result<Vec<_>, _>>()?.join("/").as_bytes())
        }
    }

    /// The same as a relative path of this system.
    ///
    /// # Errors
    ///
    /// [`PathError::Foreign`] where names have to be Unicode and these are not, and where they would have a meaning
    /// of their own to the system. On Unix all are allowed.
    pub fn to_path(&self) -> Result<PathBuf, PathError> {
        #[cfg(unix)]
        {
            use std::os::unix::ffi::OsStrExt as _;
            Ok(std::ffi::OsStr::from_bytes(&self.0).into())
        }
        #[cfg(not(unix))]
        {
            let text = str::from_utf8(&self.0).map_err(|_| PathError::Foreign)?;
            let path = PathBuf::from(text);
            let mut parts = path.components();
            let plain = parts.all(|part| matches!(part, std::path::Component::Normal(_)));
            if plain && !text.contains([':', '\\']) { Ok(path) } else { Err(PathError::Foreign) }
        }
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether `self` is a folder on the way to `other`.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        other.0.strip_prefix(&*self.0).is_some_and(|rest| rest.first() == Some(&b'/'))
    }
}

fn is_slash(byte: &u8) -> bool {
    *byte == b'/'
}

impl Ord for FilePath {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.split(is_slash).cmp(other.0.split(is_slash))
    }
}

impl PartialOrd for FilePath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                // Quotes are no danger, and a backslash has to differ from that of an escape.
                match character {
                    '\'' | '"' => f.write_char(character)?,
                    _ => write!(f, "{}", character.escape_debug())?,
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
