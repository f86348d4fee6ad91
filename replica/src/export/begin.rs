//! The first time that a folder is exported to, and how that is remembered.
//!
//! A folder without a record may be new, or it may be where a disk should be mounted and is not. The folder cannot say
//! which. So a file elsewhere remembers the folder that was exported to last.
//!
//! ```text
//!                   remembered                      not remembered
//! .gossip-export    goes on                         is remembered, goes on
//! none              NotMounted, nothing is made     .gossip-export is made, then it is remembered
//! ```

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::Path,
};

use super::{
    error::ExportError,
    place::{gone_or, has_state, make_state},
};
use crate::replace_file::replace_file;

/// No system has a longer path, in bytes.
const MAX_PATH_BYTES: u64 = 1 << 16;

/// Makes a folder ready for exports, and says whether it was not. The folder itself must be there.
///
/// The file `memory`, which lies elsewhere, remembers the folder. It has one: another one takes its place.
///
/// To be called before [`Export::open`](super::Export::open), and again after a call has said [`ExportError::Gone`].
/// What was opened before a call that made the folder ready is of no more use.
///
/// # Errors
///
/// [`ExportError::NotMounted`], if the folder is remembered and nothing says that it was exported to; it goes on when
/// the disk is back, or `memory` is removed. [`ExportError::Gone`], if there is no such folder. Other [`ExportError`]s,
/// if the system refuses.
pub fn begin(folder: &Path, memory: &Path) -> Result<bool, ExportError> {
    let place = fs::canonicalize(folder).map_err(|error| gone_or("find", folder, error))?;
    let place = place.as_os_str().as_encoded_bytes();
    let is_remembered = read(memory).map_err(ExportError::io("read", memory))? == place;
    let is_ready = has_state(folder)?;
    if !is_ready {
        if is_remembered {
            return Err(ExportError::NotMounted { path: folder.into(), memory: memory.into() });
        }
        make_state(folder)?;
    }
    // Last, so that a crash before leaves nothing that stops the next one.
    if !is_remembered {
        replace_file(memory, place).map_err(ExportError::io("write", memory))?;
    }
    Ok(!is_ready)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(MAX_PATH_BYTES).read_to_end(&mut content).map(drop)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(content)
}
