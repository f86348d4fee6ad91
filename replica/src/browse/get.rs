//! `gossip-replica get`: one file out of a publisher's folder.
//!
//! The file is written aside, checked, and renamed, so that it is there as a whole or not at all. What goes to standard
//! output is read twice: once to check it, so that no byte comes out of a damaged file, and once to copy it.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use gossip_replica::{
    catalog::{FileEntry, FilePath},
    store::{CopyError, copy_artifact},
    words::counted,
};
use tempfile::{Builder, NamedTempFile};

use super::{Browsing, Place};
use crate::{cli::GetArgs, failure::Failure};

/// Copies a file to where it is asked for.
pub(crate) fn get(args: &GetArgs) -> Result<(), Failure> {
    let place = Place::parse(&args.place)?;
    let Some(path) = &place.path else {
        return Err(Failure::usage("say which file, as PUBLISHER/PATH"));
    };
    let to_stdout = args.output.as_deref() == Some(Path::new("-"));
    let target = match &args.output {
        Some(output) => output.clone(),
        None => default_target(path)?,
    };
    if !to_stdout {
        check_target(&target, args.force)?;
    }
    let copy = || {
        let browsing = Browsing::of(&args.config)?;
        let entry = find(&browsing, &place, path)?;
        let copied = match to_stdout {
            true => copy_to_stdout(&browsing.store, &entry),
            false => copy_to(&browsing.store, &entry, &target, args.force),
        };
        Ok::<_, Failure>(copied)
    };
    let copied = match copy()? {
        // The publisher may have replaced it since the catalog was read.
        Err(GetError::Copy(CopyError::NotHere)) => copy()?,
        copied => copied,
    };
    copied.map_err(|error| match error {
        GetError::Copy(CopyError::NotHere) => {
            Failure::runtime(format_args!("{path} is not here yet, or not any more"))
        }
        GetError::Copy(error) => Failure::runtime(format_args!("{path}: {error}")),
        GetError::Target(error) => {
            Failure::runtime(format_args!("cannot write {}: {error}", target.display()))
        }
    })
}

#[derive(Debug)]
enum GetError {
    Copy(CopyError),
    Target(io::Error),
}

fn find(browsing: &Browsing, place: &Place, path: &FilePath) -> Result<FileEntry, Failure> {
    let publisher = browsing.publisher(place)?;
    let current = browsing.catalog(publisher).map_err(Failure::runtime)?;
    if let Some(entry) = current.catalog.get(path) {
        return Ok(*entry);
    }
    let name = browsing.names.publisher_name(publisher);
    match current.catalog.files().filter(|(file, _)| path.contains(file)).count() as u64 {
        0 => Err(Failure::runtime(format_args!("{name} has no file {path}"))),
        files => {
            let files = counted(files, "file");
            Err(Failure::usage(format_args!("{path} of {name} is a folder of {files}; say one")))
        }
    }
}

/// The name of the file, in the folder that the program is started in.
fn default_target(path: &FilePath) -> Result<PathBuf, Failure> {
    let path = path.to_path().map_err(Failure::runtime)?;
    // A path has a name.
    Ok(Path::new(".").join(path.file_name().unwrap_or_default()))
}

/// Refuses early what would be refused at the end. What is no regular file is never replaced: `/dev/null` for instance.
fn check_target(target: &Path, force: bool) -> Result<(), Failure> {
    let shown = target.display();
    match fs::symlink_metadata(target) {
        Ok(there) if !there.is_file() => {
            Err(Failure::usage(format_args!("{shown} is there, and is no regular file")))
        }
        Ok(_) if !force => {
            Err(Failure::usage(format_args!("{shown} is there; say --force to replace it")))
        }
        _ => Ok(()),
    }
}

fn copy_to(store: &Path, entry: &FileEntry, target: &Path, force: bool) -> Result<(), GetError> {
    let folder = match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let aside = Builder::new().prefix(".gossip-replica-").tempfile_in(folder);
    let mut aside: NamedTempFile = aside.map_err(GetError::Target)?;
    copy_artifact(store, entry.id, entry.size, aside.as_file_mut()).map_err(
        |error| match error {
            CopyError::Write(error) => GetError::Target(error),
            error => GetError::Copy(error),
        },
    )?;
    let file = aside.as_file();
    let set = set_mode(file, entry.mode).and_then(|()| match time(entry.modified_ns) {
        Some(time) => file.set_modified(time),
        None => Ok(()),
    });
    set.map_err(GetError::Target)?;
    let kept = if force { aside.persist(target) } else { aside.persist_noclobber(target) };
    kept.map(drop).map_err(|error| GetError::Target(error.error))
}

fn copy_to_stdout(store: &Path, entry: &FileEntry) -> Result<(), GetError> {
    copy_artifact(store, entry.id, entry.size, &mut io::sink()).map_err(GetError::Copy)?;
    let mut stdout = io::stdout().lock();
    copy_artifact(store, entry.id, entry.size, &mut stdout).map_err(GetError::Copy)?;
    stdout.flush().map_err(|error| GetError::Copy(CopyError::Write(error)))
}

#[cfg(unix)]
fn set_mode(file: &fs::File, mode: u32) -> io::Result<()> {
    file.set_permissions(<fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(mode))
}

#[cfg(not(unix))]
fn set_mode(_: &fs::File, _: u32) -> io::Result<()> {
    Ok(())
}

/// A point in time that may lie before 1970; none if this system has no such time.
fn time(nanos: i64) -> Option<SystemTime> {
    let distance = Duration::from_nanos(nanos.unsigned_abs());
    match nanos {
        0.. => SystemTime::UNIX_EPOCH.checked_add(distance),
        _ => SystemTime::UNIX_EPOCH.checked_sub(distance),
    }
}
