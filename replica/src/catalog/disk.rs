//! Heads on disk: small files that are written aside, synced and renamed.

use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
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

/// Replaces a file, or makes it and its folder. A crash leaves the old content or the new.
pub(super) fn write_aside(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}
