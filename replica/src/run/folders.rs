//! Whether what is published, what is kept and what is secret lie apart.
//!
//! All that lies in the published folder goes to every peer. So the start is refused if the key lies there: copies and
//! backups of a key lie beside it, and no list of names finds them all. It is refused as well if the store lies in the
//! folder, or the folder in the store, since what comes from the peers would be published again; so are they with the
//! folder that is exported. The configuration, the file of peers and the log hold no secret; they are left out, and the
//! log says so.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{failure::Failure, settings::Settings};

/// Refuses folders that lie within each other.
pub(super) fn check_apart(settings: &Settings) -> Result<(), Failure> {
    let resolve = |name, path: &Path| {
        real_path(path).map_err(|error| {
            let fault = format_args!("cannot find out where {} is: {error}", path.display());
            settings.places.fault(name, fault)
        })
    };
    let store = resolve("store", &settings.store)?;
    // What each of these may be in the way of.
    let store = [("store", "the store", settings.store.as_path(), store)];
    let publish = match &settings.publish {
        Some(path) => {
            Some(("publish", "what is published", path.as_path(), resolve("publish", path)?))
        }
        None => None,
    };
    let export = match &settings.export {
        Some(path) => {
            Some(("export", "what is exported", path.as_path(), resolve("export", path)?))
        }
        None => None,
    };
    let others: Vec<_> = store.into_iter().chain(publish.clone()).collect();
    for (number, (name, _, path, place)) in others.iter().chain(&export).enumerate() {
        for (_, what, shown, other) in &others[..number] {
            let (path, shown) = (path.display(), shown.display());
            let fault = if place == other {
                format!("which is {what}")
            } else if other.starts_with(place) {
                format!("which contains {what}, {shown}")
            } else if place.starts_with(other) {
                format!("which lies in {what}, {shown}")
            } else {
                continue;
            };
            return Err(settings.places.fault(name, format_args!("{name} is {path}, {fault}")));
        }
    }
    let Some((_, _, path, outbox)) = publish else { return Ok(()) };
    let publish = path.display();
    let fault = |what: String| {
        Err(settings.places.fault("publish", format_args!("publish is {publish}, {what}")))
    };
    let key = resolve("key_file", &settings.key_file)?;
    if key == outbox {
        return fault("which is the key file".to_owned());
    }
    if key.starts_with(&outbox) {
        return fault(format!(
            "which contains the key file, {}: every peer would get what lies beside it",
            settings.key_file.display(),
        ));
    }
    Ok(())
}

/// Finds out before the replica starts that the folder to publish or to export to is none.
pub(super) fn check_folder(name: &str, folder: &Path) -> Result<(), String> {
    // One that is not there from the beginning is a mistake, or a disk that is not mounted; later it may come and go.
    let shown = folder.display();
    if fs::metadata(folder).is_ok_and(|metadata| !metadata.is_dir()) {
        return Err(format!("{name} is {shown}, which is no folder"));
    }
    fs::read_dir(folder)
        .map(drop)
        .map_err(|error| format!("{name} is {shown}, which cannot be read: {error}"))
}

/// Finds out whether the store can be written, without making it.
pub(super) fn check_store(store: &Path) -> Result<(), String> {
    let failed = |folder: &Path, error: &io::Error| {
        let (store, folder) = (store.display(), folder.display());
        Err(format!("cannot create the store {store} in {folder}: {error}"))
    };
    let mut folder = store;
    loop {
        match fs::metadata(folder) {
            // Without a name where the system has such files, else removed at once.
            Ok(_) => match tempfile::tempfile_in(folder) {
                Ok(_) => return Ok(()),
                Err(error) => return failed(folder, &error),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => match folder.parent() {
                Some(parent) if parent.as_os_str().is_empty() => folder = Path::new("."),
                Some(parent) => folder = parent,
                None => return failed(folder, &error),
            },
            Err(error) => return failed(folder, &error),
        }
    }
}

/// The replica's own files and folders, which are not published wherever they lie.
pub(super) fn own(config: &Path, settings: &Settings) -> Vec<PathBuf> {
    let mut own = vec![config.to_owned(), settings.key_file.clone(), settings.store.clone()];
    own.extend(settings.peers_file.clone());
    own
}

/// The one spelling of a path, of which the last parts need not exist yet.
pub(crate) fn real_path(path: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let path = std::path::absolute(path)?;
            match (path.parent(), path.file_name()) {
                (Some(parent), Some(name)) => Ok(real_path(parent)?.join(name)),
                _ => Err(error),
            }
        }
        resolved => resolved,
    }
}

#[cfg(test)]
mod tests;
