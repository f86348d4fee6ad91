use std::{fs, path::PathBuf, time::SystemTime};

use gossip_replica::{
    catalog::{FileEntry, FilePath},
    store::Store,
};
use tempfile::TempDir;

use super::*;

struct Scene {
    folder: TempDir,
    path: PathBuf,
    file: File,
}

impl Scene {
    /// A file of some pieces and a bit, and the same in two folders.
    fn new(length: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let content: Vec<u8> = (0..length).map(|index| (index / 251) as u8).collect();
        fs::write(&path, content).unwrap();
        for copy in ["one", "two"] {
            fs::create_dir(folder.path().join(copy)).unwrap();
            fs::copy(&path, folder.path().join(copy).join("file")).unwrap();
        }
        let artifact =
            Store::open(&folder.path().join("store")).unwrap().import(&path).unwrap().artifact;
        let metadata = fs::metadata(&path).unwrap();
        let file = File {
            path: path.clone(),
            name: FilePath::new(b"file").unwrap(),
            entry: FileEntry::of(artifact.id, &metadata),
            artifact,
            publisher: 0,
            modified: metadata.modified().ok(),
        };
        Self { folder, path, file }
    }

    fn compare(&self) -> Result<(), String> {
        let exports = ["one", "two"].map(|copy| vec![self.folder.path().join(copy)]);
        compare(&self.file, &copies_of(&self.file, &exports))
    }

    fn copy(&self) -> PathBuf {
        self.folder.path().join("two").join("file")
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
        assert_eq!(scene.compare(), Ok(()), "{length}");
    }
}

#[test]
fn a_single_byte_is_found_wherever_it_is() {
    for offset in [0, PIECE_BYTES - 1, PIECE_BYTES, 2 * PIECE_BYTES] {
        let scene = Scene::new(2 * PIECE_BYTES + 1);
        spoil(&scene.copy(), offset);
        let problem = scene.compare().unwrap_err();
        assert!(problem.contains("replica 2"), "{problem}");

        let scene = Scene::new(2 * PIECE_BYTES + 1);
        spoil(&scene.path, offset);
        let problem = scene.compare().unwrap_err();
        assert!(problem.contains("on replica 1 differs"), "{problem}");
    }
}

#[test]
fn a_copy_that_is_gone_is_found() {
    let scene = Scene::new(10);
    fs::remove_file(scene.copy()).unwrap();
    let problem = scene.compare().unwrap_err();
    assert!(problem.contains("replica 2"), "{problem}");
    fs::write(scene.copy(), vec![0; 11]).unwrap();
    let problem = scene.compare().unwrap_err();
    assert!(problem.contains("on replica 2 differs"), "{problem}");
}

#[test]
fn a_file_that_has_changed_blames_no_replica() {
    let scene = Scene::new(10);
    fs::write(&scene.path, b"something else").unwrap();
    let problem = scene.compare().unwrap_err();
    assert!(problem.contains("changed during the demo"), "{problem}");

    let mut scene = Scene::new(10);
    fs::write(&scene.path, b"0123456789").unwrap();
    scene.file.modified = Some(SystemTime::UNIX_EPOCH);
    let problem = scene.compare().unwrap_err();
    assert!(problem.contains("changed during the demo"), "{problem}");
}
