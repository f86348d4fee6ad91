use std::{
    fs::{File, OpenOptions, write},
    io::Write as _,
    sync::Mutex,
};

use gossip_replica::store::Artifact;
use tempfile::TempDir;

use super::*;

const SETTLE: Duration = Duration::from_secs(2);

/// What was published, by content, and what the next answers are.
#[derive(Debug, Default)]
struct Shelf {
    published: Mutex<Vec<Vec<u8>>>,
    is_lost: Mutex<bool>,
    faults: Mutex<Vec<PublishError>>,
}

impl Outlet for Arc<Shelf> {
    fn publish(&self, path: &Path) -> Result<Imported, PublishError> {
        if let Some(fault) = self.faults.lock().unwrap().pop() {
            return Err(fault);
        }
        let content = fs::read(path).unwrap();
        let size = content.len() as u64;
        self.published.lock().unwrap().push(content);
        let artifact = Artifact { id: ArtifactId::new([1; 32]), size, height: 1 };
        Ok(Imported { artifact, new: true })
    }

    fn holds(&self, _id: ArtifactId) -> bool {
        !*self.is_lost.lock().unwrap()
    }
}

struct Scene {
    folder: TempDir,
    shelf: Arc<Shelf>,
    files: Files<Arc<Shelf>>,
    now: Instant,
}

impl Scene {
    fn new(settle: Duration) -> Self {
        let shelf = Arc::new(Shelf::default());
        let files = Files::new(shelf.clone(), settle, Arc::default());
        Self { folder: TempDir::new().unwrap(), shelf, files, now: Instant::now() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Looks at everything after so many seconds more.
    fn scan_after(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        self.files.look_at(&files, self.now, &|| false);
    }

    fn published(&self) -> Vec<Vec<u8>> {
        self.shelf.published.lock().unwrap().clone()
    }
}

#[test]
fn a_file_that_grows_is_published_once_it_has_grown() {
    let mut scene = Scene::new(SETTLE);
    let path = scene.path("file");
    let mut file = File::create(&path).unwrap();
    for _ in 0..10 {
        file.write_all(b"a piece ").unwrap();
        scene.scan_after(1);
    }
    assert!(scene.published().is_empty());
    assert_eq!(scene.files.next_settled(), Some(scene.now + SETTLE));
    scene.now += SETTLE;
    scene.files.look_at_settling(scene.now, &|| false);
    assert_eq!(scene.published(), [b"a piece ".repeat(10)]);
    assert_eq!((scene.files.next_settled(), scene.files.published()), (None, 1));
    scene.scan_after(1000);
    assert_eq!(scene.published().len(), 1);
}

#[cfg(unix)]
#[test]
fn another_file_of_the_same_length_and_time_is_seen() {
    let mut scene = Scene::new(Duration::ZERO);
    let path = scene.path("file");
    write(&path, "one").unwrap();
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    scene.scan_after(1);
    // Moved in.
    let other = scene.folder.path().with_extension("draft");
    write(&other, "two").unwrap();
    File::options().write(true).open(&other).unwrap().set_modified(modified).unwrap();
    fs::rename(&other, &path).unwrap();
    scene.scan_after(1);
    // Written over.
    let mut file = OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all(b"six").unwrap();
    file.set_modified(modified).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), modified);
    scene.scan_after(1);
    assert_eq!(scene.published(), [b"one", b"two", b"six"]);
}

#[test]
fn what_the_store_has_lost_is_published_again() {
    let mut scene = Scene::new(Duration::ZERO);
    write(scene.path("file"), "one").unwrap();
    scene.scan_after(1);
    scene.scan_after(1);
    assert_eq!(scene.published().len(), 1);
    *scene.shelf.is_lost.lock().unwrap() = true;
    scene.scan_after(1);
    assert_eq!(scene.published().len(), 2);
}

#[test]
fn a_file_that_changes_while_it_is_read_settles_again() {
    let mut scene = Scene::new(Duration::ZERO);
    let path = scene.path("file");
    write(&path, "one").unwrap();
    scene.shelf.faults.lock().unwrap().push(StoreError::Changed { path }.into());
    scene.scan_after(1);
    assert!(scene.published().is_empty());
    assert!(scene.files.next_settled().unwrap() > scene.now, "not at once");
    scene.scan_after(1);
    assert_eq!(scene.published().len(), 1);
}

#[test]
fn a_store_that_takes_nothing_is_not_tried_with_the_next_file() {
    let mut scene = Scene::new(SETTLE);
    for name in ["one", "two", "three"] {
        write(scene.path(name), name).unwrap();
    }
    scene.scan_after(1);
    let fault = || {
        let path = PathBuf::from("/store/partial/1");
        StoreError::Io { action: "write", path, source: io::ErrorKind::StorageFull.into() }.into()
    };
    scene.shelf.faults.lock().unwrap().extend([fault(), fault()]);
    scene.scan_after(2);
    assert_eq!(scene.shelf.faults.lock().unwrap().len(), 1);
    assert_eq!(scene.files.next_settled(), None, "not before the next scan");
    scene.scan_after(10);
    assert!(scene.shelf.faults.lock().unwrap().is_empty());
    scene.scan_after(10);
    assert_eq!(scene.published().len(), 3);
}

#[test]
fn one_file_that_is_refused_holds_no_other_up() {
    let mut scene = Scene::new(Duration::ZERO);
    for name in ["one", "two"] {
        write(scene.path(name), name).unwrap();
    }
    let path = scene.path("any");
    scene.shelf.faults.lock().unwrap().push(StoreError::PrivateKey { path }.into());
    scene.scan_after(1);
    assert_eq!(scene.published().len(), 1);
    scene.scan_after(1);
    assert_eq!(scene.published().len(), 2, "it is tried again");
}
