//! Heads on disk.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::Path,
};

use super::{Head, head::MAX_HEAD_BYTES};

/// Reads a head, whose signature is checked.
pub(super) fn read_head(path: &Path) -> io::Result<Head> {
    if !fs::symlink_metadata(path)?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut content = Vec::new();
    File::open(path)?.take(MAX_HEAD_BYTES as u64 + 1).read_to_end(&mut content)?;
    Head::decode(&content).map_err(io::Error::other)
}
