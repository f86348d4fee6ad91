//! What all tests of the export use: content in memory, catalogs in short, and what is in a folder.

mod attacks;
mod begin;
mod crashes;
mod limits;
mod measure;
mod rules;
mod troubles;

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, HashMap},
    fs,
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use gossip_engine::ArtifactId;
use sha2::{Digest as _, Sha256};

use super::{Content, ContentError, Export, ExportError, Progress, Refusal, place::make_state};
use crate::catalog::{Catalog, FileEntry, FilePath};

/// A time that most file systems keep.
const TIME: i64 = 1_700_000_000_000_000_000;

type Fault = fn() -> ContentError;

/// Content in memory. What is short comes in pieces of four bytes.
#[derive(Default)]
struct Memory {
    content: RefCell<HashMap<ArtifactId, Vec<u8>>>,
    copies: Cell<usize>,
    /// What a check says of all content, if not that it can be copied; and a copy likewise.
    fault: Cell<Option<Fault>>,
    copy_fault: Cell<Option<Fault>>,
    /// What somebody does while a file is written, once.
    meanwhile: RefCell<Option<Box<dyn FnOnce()>>>,
}

impl Memory {
    fn add(&self, content: &[u8]) -> ArtifactId {
        let id = id_of(content);
        self.content.borrow_mut().insert(id, content.into());
        id
    }

    fn forget(&self, content: &[u8]) {
        self.content.borrow_mut().remove(&id_of(content));
    }

    /// A catalog of paths and contents, all of which are here.
    fn catalog(&self, files: &[(&str, &str)]) -> Catalog {
        let files = files.iter().map(|(path, content)| {
            self.add(content.as_bytes());
            (path_of(path), entry_of(content.as_bytes()))
        });
        Catalog::new(files).expect("a catalog")
    }
}

impl Content for Memory {
    fn check(&self, id: ArtifactId, size: u64) -> Result<(), ContentError> {
        if let Some(fault) = self.fault.get() {
            return Err(fault());
        }
        match self.content.borrow().get(&id) {
            None => Err(ContentError::NotYet),
            Some(content) if content.len() as u64 != size => Err(ContentError::WrongSize),
            Some(_) => Ok(()),
        }
    }

    fn copy(&self, id: ArtifactId, size: u64, to: &mut dyn io::Write) -> Result<(), ContentError> {
        self.copies.set(self.copies.get() + 1);
        if let Some(fault) = self.copy_fault.get() {
            return Err(fault());
        }
        if let Some(happens) = self.meanwhile.take() {
            happens();
        }
        let content = self.content.borrow();
        let content = content.get(&id).ok_or(ContentError::NotYet)?;
        if content.len() as u64 != size {
            return Err(ContentError::WrongSize);
        }
        for piece in content.chunks(if size > 100 { 1 << 20 } else { 4 }) {
            to.write_all(piece).map_err(ContentError::Write)?;
        }
        Ok(())
    }
}

fn id_of(content: &[u8]) -> ArtifactId {
    ArtifactId::new(Sha256::digest(content).into())
}

fn path_of(path: &str) -> FilePath {
    FilePath::new(path.as_bytes()).expect("a path")
}

/// Each content has a time of its own.
fn entry_of(content: &[u8]) -> FileEntry {
    let id = id_of(content);
    let seconds = i64::from(u16::from_be_bytes([id.as_bytes()[0], id.as_bytes()[1]]));
    let modified_ns = TIME + seconds * 2_000_000_000;
    FileEntry { id, size: content.len() as u64, mode: 0o644, modified_ns }
}

/// Opens an export whose folder is there and made ready. Its calls end early for no reason of time.
fn open(folder: &Path, subfolder: &str) -> Result<Export, ExportError> {
    fs::create_dir_all(folder).expect("a folder");
    make_state(folder)?;
    let mut export = Export::open(folder, subfolder)?;
    (export.limits.looking, export.limits.writing) = (Duration::MAX, Duration::MAX);
    Ok(export)
}

fn apply(export: &mut Export, catalog: &Catalog, content: &Memory) -> Progress {
    export.apply(catalog, content, &|| false).expect("an export")
}

/// All that is in a folder, by path: what a file contains; `/` for a folder, `->` and more for a link.
fn tree(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(below) = folders.pop() {
        for entry in fs::read_dir(folder.join(&below)).into_iter().flatten() {
            let path = below.join(entry.expect("an entry").file_name());
            let there = folder.join(&path);
            let metadata = fs::symlink_metadata(&there).expect("metadata");
            let what = if metadata.is_dir() {
                folders.push(path.clone());
                "/".into()
            } else if metadata.is_symlink() {
                format!("-> {}", fs::read_link(&there).expect("a link").display())
            } else if metadata.is_file() {
                String::from_utf8_lossy(&fs::read(&there).expect("content")).into_owned()
            } else {
                "special".into()
            };
            found.insert(path.display().to_string(), what);
        }
    }
    found
}

/// The same, files only.
fn files(folder: &Path) -> BTreeMap<String, String> {
    let mut files = tree(folder);
    files.retain(|_, what| what != "/");
    files
}

fn list(files: &[(&str, &str)]) -> BTreeMap<String, String> {
    files.iter().map(|(path, content)| ((*path).into(), (*content).into())).collect()
}

fn put(path: &Path, content: &str) {
    fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
    fs::File::create(path).expect("a file").write_all(content.as_bytes()).expect("content");
}

fn set_time(path: &Path, nanos: i64) {
    let at = SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos.try_into().expect("after 1970"));
    fs::File::open(path).expect("a file").set_modified(at).expect("a time");
}

fn refusals(progress: &Progress) -> Vec<(String, Refusal)> {
    let refused = progress.refused.iter();
    refused.map(|(path, why)| (path.to_string(), why.clone())).collect()
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).expect("metadata").permissions().mode() & 0o777
}

fn inode(path: &Path) -> u64 {
    fs::symlink_metadata(path).expect("metadata").ino()
}

fn time(path: &Path) -> i64 {
    let metadata = fs::symlink_metadata(path).expect("metadata");
    metadata.mtime() * 1_000_000_000 + metadata.mtime_nsec()
}
