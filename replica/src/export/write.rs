//! Writing one file: aside, with its mode and its time, then under its name.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
    time::{Duration, SystemTime},
};

use cap_std::fs::Dir;

use super::{
    content::Content,
    error::{Refusal, Trouble},
    place::{ASIDE_FILE, create_file},
    seen::Seen,
    steps::step,
};
use crate::catalog::FileEntry;

/// Writes the file aside, and says what the system says of it.
pub(super) fn write_aside(
    aside: &Dir,
    entry: &FileEntry,
    content: &impl Content,
    is_stopped: &dyn Fn() -> bool,
) -> Result<Seen, Trouble> {
    let name = Path::new(ASIDE_FILE);
    let mut file = create_file(aside, name).map_err(|error| Trouble::Fatal("write", error))?;
    let mut pieces = Pieces { file: &mut file, bytes: 0, is_stopped, was_stopped: false };
    let copied = content.copy(entry.id, entry.size, &mut pieces);
    let (bytes, was_stopped) = (pieces.bytes, pieces.was_stopped);
    match copied {
        Err(_) if was_stopped => return Err(Trouble::Stopped),
        Err(error) => return Err(error.into()),
        Ok(()) if bytes != entry.size => return Err(Refusal::WrongSize.into()),
        Ok(()) => {}
    }
    set_mode(&file, entry.mode).or_else(without_such).map_err(Trouble::of("set the mode of"))?;
    set_time(&file, entry.modified_ns)
        .or_else(without_such)
        .map_err(Trouble::of("set the time of"))?;
    let file = cap_std::fs::File::from_std(file);
    Ok(Seen::of(&file.metadata().map_err(Trouble::of("look at"))?))
}

/// Gives the file aside a name that nothing has. Where the system cannot rename like that, a file that gets the name
/// since it was looked at, some microseconds ago, is replaced.
pub(super) fn rename_new(aside: &Dir, folder: &Dir, name: &Path) -> io::Result<()> {
    step()?;
    #[cfg(target_os = "linux")]
    {
        use rustix::{
            fs::{RenameFlags, renameat_with},
            io::Errno,
        };
        match renameat_with(aside, ASIDE_FILE, folder, name, RenameFlags::NOREPLACE) {
            // The kernel or the file system does not know how, or the name is none: that shows below.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
            renamed => return Ok(renamed?),
        }
    }
    aside.rename(ASIDE_FILE, folder, name)
}

/// Gives the file aside the name of another one, which is no more.
pub(super) fn rename_over(aside: &Dir, folder: &Dir, name: &Path) -> io::Result<()> {
    step()?;
    aside.rename(ASIDE_FILE, folder, name)
}

/// Removes the file aside, which is of no use. If it cannot be removed, the next one takes its place.
pub(super) fn remove_aside(aside: &Dir) {
    if step().is_ok() {
        let _ = aside.remove_file(ASIDE_FILE);
    }
}

#[cfg(unix)]
fn set_mode(file: &File, mode: u32) -> io::Result<()> {
    step()?;
    file.set_permissions(<fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(mode))
}

#[cfg(not(unix))]
fn set_mode(_: &File, _: u32) -> io::Result<()> {
    Ok(())
}

fn set_time(file: &File, nanos: i64) -> io::Result<()> {
    step()?;
    let distance = Duration::from_nanos(nanos.unsigned_abs());
    let at = if nanos < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(distance)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(distance)
    };
    at.map_or(Ok(()), |at| file.set_times(fs::FileTimes::new().set_modified(at)))
}

/// A file system that has no such modes or times keeps its own.
fn without_such(error: io::Error) -> io::Result<()> {
    match error.kind() {
        io::ErrorKind::PermissionDenied
        | io::ErrorKind::Unsupported
        | io::ErrorKind::InvalidInput => Ok(()),
        _ => Err(error),
    }
}

/// A file that is written in pieces, with a look between each two whether to stop.
struct Pieces<'a> {
    file: &'a mut File,
    bytes: u64,
    is_stopped: &'a dyn Fn() -> bool,
    was_stopped: bool,
}

impl Write for Pieces<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if (self.is_stopped)() {
            self.was_stopped = true;
            return Err(io::Error::other("stopped"));
        }
        step()?;
        let written = self.file.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
