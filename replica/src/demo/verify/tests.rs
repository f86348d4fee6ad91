use std::{fs, path::PathBuf, time::SystemTime};

use gossip_replica::store::{Durability, StoreOptions};
use tempfile::TempDir;

use super::*;

struct Scene {
    folder: TempDir,
    path: PathBuf,
    stores: Vec<Store>,
    file: File,
}

impl Scene {
    /// A file of some pieces and a bit, and two stores that hold it.
    fn new(length: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let content: Vec<u8> = (0..length).map(|index| (index / 251) as u8).collect();
        fs::write(&path, content).unwrap();
        let options = StoreOptions { durability: Durability::Crash, ..StoreOptions::default() };
        let open = |name| Store::open_with(&folder.path().join(name), options).unwrap();
        let stores: Vec<Store> = ["one", "two"].map(open).into();
        let artifact = stores[0].import(&path).unwrap().artifact;
        stores[1].import(&path).unwrap();
        let modified = fs::metadata(&path).unwrap().modified().ok();
        let file = File { path: path.clone(), artifact, publisher: 0, modified };
        Self { folder, path, stores, file }
    }

    fn copy(&self) -> PathBuf {
        self.folder.path().join("two").join(format!("{:x}", self.file.artifact.id))
    }
}

/// Changes one byte without a trace in the file's metadata.
fn spoil(path: &PathBuf, offset: usize) {
    let modified = fs::metadata(path).unwrap().modified().unwrap();
    let mut content = fs::read(path).unwrap();
    content[offset] ^= 1;
    fs::write(path, content).unwrap();
    fs::File::options().write(true).open(path).unwrap().set_modified(modified).unwrap();
}

#[test]
fn equal_copies_are_equal() {
    for length in [0, 1, PIECE_BYTES - 1, PIECE_BYTES, 2 * PIECE_BYTES + 1] {
        let scene = Scene::new(length);
        assert_eq!(compare(&scene.file, &scene.stores), Ok(()), "{length}");
    }
}

#[test]
fn a_single_byte_is_found_wherever_it_is() {
    for offset in [0, PIECE_BYTES - 1, PIECE_BYTES, 2 * PIECE_BYTES] {
        let scene = Scene::new(2 * PIECE_BYTES + 1);
        // Mostly by the store itself, which sees that its file was changed.
        spoil(&scene.copy(), offset);
        let problem = compare(&scene.file, &scene.stores).unwrap_err();
        assert!(problem.contains("replica 2"), "{problem}");

        let scene = Scene::new(2 * PIECE_BYTES + 1);
        spoil(&scene.path, offset);
        let problem = compare(&scene.file, &scene.stores).unwrap_err();
        assert!(problem.contains("on replica 1 differs"), "{problem}");
    }
}

#[test]
fn a_copy_that_is_gone_is_found() {
    let scene = Scene::new(10);
    fs::remove_file(scene.copy()).unwrap();
    let problem = compare(&scene.file, &scene.stores).unwrap_err();
    assert!(problem.contains("replica 2"), "{problem}");
    // The store has noticed.
    let problem = compare(&scene.file, &scene.stores).unwrap_err();
    assert!(problem.starts_with("replica 2 does not hold"), "{problem}");
}

#[test]
fn a_file_that_has_changed_blames_no_replica() {
    let scene = Scene::new(10);
    fs::write(&scene.path, b"something else").unwrap();
    let problem = compare(&scene.file, &scene.stores).unwrap_err();
    assert!(problem.contains("changed during the demo"), "{problem}");

    let mut scene = Scene::new(10);
    fs::write(&scene.path, b"0123456789").unwrap();
    scene.file.modified = Some(SystemTime::UNIX_EPOCH);
    let problem = compare(&scene.file, &scene.stores).unwrap_err();
    assert!(problem.contains("changed during the demo"), "{problem}");
}
