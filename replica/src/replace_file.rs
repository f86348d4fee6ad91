//! Small files that are replaced as a whole.

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
};

/// Replaces a file, or makes it and its folder. A crash leaves the old content or the new.
pub(crate) fn replace_file(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}
