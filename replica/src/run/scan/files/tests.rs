use std::{
    fs::{File, OpenOptions, write},
    io::Write as _,
    sync::{Condvar, Mutex},
};

use gossip_replica::store::{Artifact, StoreError};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::{
    publish::{BATCH, Due, THREADS},
    *,
};

const SETTLE: Duration = Duration::from_secs(2);
/// How long is waited for what has to happen.
const LIMIT: Duration = Duration::from_secs(120);

/// What was published, by content, and what the next answers are.
#[derive(Debug, Default)]
struct Shelf {
    published: Mutex<Vec<Vec<u8>>>,
    is_lost: Mutex<bool>,
    catalogs: Mutex<Vec<Arc<Catalog>>>,
    awaits: Mutex<bool>,
    faults: Mutex<Vec<PublishError>>,
    gate: Mutex<Gate>,
    came: Condvar,
    /// What is written into the next file while it is published.
    late: Mutex<Option<&'static str>>,
}

/// Files wait in their publication until so many have come.
#[derive(Debug, Default)]
struct Gate {
    awaited: usize,
    came: usize,
}

impl Shelf {
    fn pass_gate(&self) {
        let mut gate = self.gate.lock().unwrap();
        gate.came += 1;
        self.came.notify_all();
        let is_closed = |gate: &mut Gate| gate.came < gate.awaited;
        let (gate, waited) = self.came.wait_timeout_while(gate, LIMIT, is_closed).unwrap();
        assert!(!waited.timed_out(), "{} of {} files came", gate.came, gate.awaited);
    }
}

impl Outlet for Arc<Shelf> {
    fn publish(&self, path: &Path) -> Result<Imported, PublishError> {
        self.pass_gate();
        if let Some(fault) = self.faults.lock().unwrap().pop() {
            return Err(fault);
        }
        if let Some(content) = self.late.lock().unwrap().take() {
            write(path, content).unwrap();
        }
        let content = fs::read(path).unwrap();
        let size = content.len() as u64;
        let id = ArtifactId::new(Sha256::digest(&content).into());
        let artifact = Artifact { id, size, height: 1 };
        self.published.lock().unwrap().push(content);
        Ok(Imported { artifact, new: true })
    }

    fn holds(&self, _id: ArtifactId) -> bool {
        !*self.is_lost.lock().unwrap()
    }

    fn catalog(&self) -> Option<Arc<Catalog>> {
        self.catalogs.lock().unwrap().last().cloned()
    }

    fn holds_catalog(&self) -> bool {
        !*self.is_lost.lock().unwrap()
    }

    fn awaits_catalog(&self) -> bool {
        *self.awaits.lock().unwrap()
    }

    fn publish_catalog(&self, catalog: Arc<Catalog>) -> Result<(), CatalogPublishError> {
        self.catalogs.lock().unwrap().push(catalog);
        Ok(())
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
        Self::after(Arc::new(Shelf::default()), TempDir::new().unwrap(), settle)
    }

    /// The same with what an earlier run has left.
    fn after(shelf: Arc<Shelf>, folder: TempDir, settle: Duration) -> Self {
        let files = Files::new(folder.path().to_owned(), shelf.clone(), settle, Arc::default());
        Self { folder, shelf, files, now: Instant::now() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Looks at everything after so many seconds more.
    fn scan_after(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        self.files.look_at(&files, &[], self.now, &|| false);
    }

    /// The names of the catalog that was published last, and the contents that they stand for.
    fn names(&mut self) -> Vec<(String, &'static str)> {
        self.files.publish_catalog(true, self.now);
        let contents = ["one", "two", "three"];
        let content = |id: ArtifactId| {
            let is = |content: &&&str| ArtifactId::new(Sha256::digest(content).into()) == id;
            contents.iter().find(is).copied().unwrap_or("?")
        };
        let catalog = self.shelf.catalog().unwrap_or_default();
        catalog.files().map(|(path, entry)| (path.to_string(), content(entry.id))).collect()
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
    assert_eq!(scene.files.next_due(), Some(scene.now + SETTLE));
    scene.now += SETTLE;
    scene.files.look_at_settling(scene.now, &|| false);
    assert_eq!(scene.published(), [b"a piece ".repeat(10)]);
    assert_eq!((scene.files.next_due(), scene.files.published()), (None, 1));
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
    assert!(scene.files.next_due().unwrap() > scene.now, "not at once");
    scene.scan_after(1);
    assert_eq!(scene.published().len(), 1);
}

#[test]
fn a_store_that_takes_nothing_is_not_tried_with_the_next_file() {
    const FILES: usize = 2 * BATCH;
    let mut scene = Scene::new(SETTLE);
    for number in 0..FILES {
        write(scene.path(&number.to_string()), number.to_string()).unwrap();
    }
    scene.scan_after(1);
    let fault = || {
        let path = PathBuf::from("/store/partial/1");
        StoreError::Io { action: "write", path, source: io::ErrorKind::StorageFull.into() }.into()
    };
    let faults = |scene: &Scene| scene.shelf.faults.lock().unwrap().len();
    // Each thread may have begun a file when another one meets the fault.
    scene.shelf.faults.lock().unwrap().extend((0..2 * THREADS).map(|_| fault()));
    scene.scan_after(2);
    assert!((THREADS..2 * THREADS).contains(&faults(&scene)), "{}", faults(&scene));
    assert!(scene.published().is_empty());
    assert_eq!(scene.files.next_due(), None, "not before the next scan");
    scene.names();
    assert!(scene.shelf.catalog().is_none(), "what was not taken is not gone");
    while faults(&scene) > 0 {
        scene.scan_after(10);
    }
    scene.scan_after(10);
    assert_eq!(scene.published().len(), FILES);
}

#[test]
fn several_files_are_published_at_the_same_time() {
    let mut scene = Scene::new(Duration::ZERO);
    for number in 0..THREADS {
        write(scene.path(&number.to_string()), number.to_string()).unwrap();
    }
    scene.shelf.gate.lock().unwrap().awaited = THREADS;
    scene.scan_after(1);
    assert_eq!(scene.published().len(), THREADS);
}

#[test]
fn of_many_files_one_that_is_refused_holds_no_other_up() {
    const FILES: usize = 2 * BATCH + 1;
    let mut scene = Scene::new(Duration::ZERO);
    for number in 0..FILES {
        write(scene.path(&number.to_string()), number.to_string()).unwrap();
    }
    let no_space = StoreError::NoSpace { needed: 1, available: 0 };
    scene.shelf.faults.lock().unwrap().push(no_space.into());
    scene.scan_after(1);
    assert_eq!((scene.published().len(), scene.names().len()), (FILES - 1, FILES - 1));
    scene.scan_after(1);
    assert_eq!((scene.published().len(), scene.names().len()), (FILES, FILES));
}

#[test]
fn a_file_that_changes_before_its_turn_settles_again() {
    let mut scene = Scene::new(Duration::ZERO);
    let path = scene.path("a");
    write(&path, "one").unwrap();
    let due = Due {
        path: path.clone(),
        name: FilePath::new(b"a").unwrap(),
        metadata: fs::metadata(&path).unwrap(),
    };
    write(&path, "three").unwrap();
    scene.files.publish(vec![due], scene.now, &|| false);
    assert!(scene.published().is_empty());
    scene.scan_after(1);
    assert_eq!(scene.names(), [named("a", "three")]);
}

#[test]
fn a_file_that_grows_in_the_last_moment_settles_again() {
    let mut scene = Scene::new(Duration::ZERO);
    write(scene.path("a"), "one").unwrap();
    *scene.shelf.late.lock().unwrap() = Some("three");
    scene.scan_after(1);
    assert_eq!(scene.names(), []);
    scene.scan_after(1);
    assert_eq!(scene.names(), [named("a", "three")]);
}

#[test]
fn a_stop_ends_between_two_files() {
    let mut scene = Scene::new(Duration::ZERO);
    for number in 0..10 * THREADS {
        write(scene.path(&number.to_string()), number.to_string()).unwrap();
    }
    let entries = fs::read_dir(scene.folder.path()).unwrap();
    let files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    let shelf = scene.shelf.clone();
    let is_stopped = || shelf.published.lock().unwrap().len() >= THREADS;
    scene.files.look_at(&files, &[], scene.now, &is_stopped);
    // Each thread may have passed the question before the last of them.
    assert!((THREADS..2 * THREADS).contains(&scene.published().len()));
    scene.scan_after(1);
    assert_eq!(scene.published().len(), files.len(), "each once");
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

fn named(name: &str, content: &'static str) -> (String, &'static str) {
    (name.to_owned(), content)
}

#[test]
fn a_name_stands_for_what_was_published_last() {
    let mut scene = Scene::new(SETTLE);
    write(scene.path("a"), "one").unwrap();
    scene.scan_after(1);
    assert!(scene.names().is_empty(), "nothing has settled");
    scene.scan_after(3);
    assert_eq!(scene.names(), [named("a", "one")]);
    write(scene.path("a"), "three").unwrap();
    scene.scan_after(1);
    assert_eq!(scene.names(), [named("a", "one")], "until the next content is published");
    scene.scan_after(3);
    assert_eq!(scene.names(), [named("a", "three")]);
    fs::remove_file(scene.path("a")).unwrap();
    scene.scan_after(1);
    assert!(scene.names().is_empty());
}

#[test]
fn a_file_that_is_renamed_need_not_settle() {
    let mut scene = Scene::new(SETTLE);
    write(scene.path("a"), "one").unwrap();
    write(scene.path("b"), "two").unwrap();
    scene.scan_after(1);
    scene.scan_after(3);
    assert_eq!(scene.names(), [named("a", "one"), named("b", "two")]);
    fs::rename(scene.path("a"), scene.path("c")).unwrap();
    scene.scan_after(1);
    assert_eq!(scene.names(), [named("b", "two"), named("c", "one")]);
    assert_eq!(scene.published().len(), 2, "nothing was read again");
    // One that takes the place of another is another file.
    write(scene.path("d"), "three").unwrap();
    fs::rename(scene.path("d"), scene.path("b")).unwrap();
    scene.scan_after(1);
    assert_eq!(scene.names(), [named("b", "two"), named("c", "one")]);
    scene.scan_after(3);
    assert_eq!(scene.names(), [named("b", "three"), named("c", "one")]);
}

#[test]
fn after_a_restart_nothing_vanishes_before_it_is_published_again() {
    let mut scene = Scene::new(SETTLE);
    write(scene.path("a"), "one").unwrap();
    write(scene.path("b"), "two").unwrap();
    scene.scan_after(1);
    scene.scan_after(3);
    assert_eq!(scene.names().len(), 2);
    let Scene { folder, shelf, .. } = scene;
    let mut scene = Scene::after(shelf, folder, SETTLE);
    fs::remove_file(scene.path("b")).unwrap();
    scene.scan_after(1);
    assert_eq!(scene.names(), [named("a", "one")]);
    scene.scan_after(3);
    assert_eq!(scene.names(), [named("a", "one")]);
}

#[test]
fn a_catalog_that_was_lost_is_awaited() {
    let mut scene = Scene::new(Duration::ZERO);
    *scene.shelf.awaits.lock().unwrap() = true;
    write(scene.path("a"), "one").unwrap();
    scene.scan_after(1);
    assert!(scene.names().is_empty());
    scene.scan_after(100);
    assert_eq!(scene.names(), [named("a", "one")], "not for ever");
}

#[test]
fn what_cannot_be_looked_at_stays_as_it_was() {
    let mut scene = Scene::new(Duration::ZERO);
    fs::create_dir(scene.path("sub")).unwrap();
    let (a, b) = (scene.path("a"), scene.path("sub/b"));
    write(&a, "one").unwrap();
    write(&b, "two").unwrap();
    let both = [a.clone(), b];
    scene.files.look_at(&both, &[], scene.now, &|| false);
    assert_eq!(scene.names().len(), 2);
    scene.now += Duration::from_secs(60);
    let sub = scene.path("sub");
    scene.files.look_at(&[a], &[&sub], scene.now, &|| false);
    assert_eq!(scene.names().len(), 2);
    // A look that was cut short says nothing of what is gone.
    scene.now += Duration::from_secs(60);
    scene.files.look_at(&[], &[], scene.now, &|| false);
    scene.files.look_at(&both, &[], scene.now, &|| true);
    assert_eq!(scene.names().len(), 2);
    scene.files.look_at(&[], &[], scene.now, &|| false);
    assert!(scene.names().is_empty());
}

#[test]
fn an_empty_folder_removes_nothing_if_it_may_be_the_place_of_another() {
    let mut scene = Scene::new(Duration::ZERO);
    write(scene.path("a"), "one").unwrap();
    scene.scan_after(1);
    assert_eq!(scene.names().len(), 1);
    fs::remove_file(scene.path("a")).unwrap();
    scene.scan_after(60);
    assert!(scene.files.publish_catalog(false, scene.now), "withheld");
    assert_eq!(scene.shelf.catalogs.lock().unwrap().len(), 1);
    assert!(scene.names().is_empty());
}

#[test]
fn a_folder_that_fills_up_is_no_flood_of_catalogs() {
    let mut scene = Scene::new(Duration::ZERO);
    for number in 0..100 {
        write(scene.path(&number.to_string()), "one").unwrap();
        scene.scan_after(0);
        scene.names();
    }
    assert_eq!(scene.shelf.catalogs.lock().unwrap().len(), 1);
    let due = scene.files.next_due().expect("the rest is due");
    scene.now = due;
    assert_eq!(scene.names().len(), 100);
    assert_eq!(scene.files.next_due(), None);
}

#[cfg(unix)]
#[test]
fn a_name_that_no_catalog_has_is_refused() {
    let mut scene = Scene::new(Duration::ZERO);
    write(scene.path("a\nb"), "one").unwrap();
    write(scene.path("c"), "two").unwrap();
    scene.scan_after(1);
    assert_eq!(scene.names(), [named("c", "two")]);
    assert_eq!(scene.published().len(), 1, "without a name it is no use to anybody");
}

#[test]
fn a_disk_that_goes_during_a_look_removes_nothing() {
    let mut scene = Scene::new(SETTLE);
    write(scene.path("a"), "one").unwrap();
    write(scene.path("b"), "two").unwrap();
    scene.scan_after(1);
    scene.scan_after(3);
    assert_eq!(scene.names().len(), 2);
    write(scene.path("b"), "three").unwrap();
    scene.scan_after(60);
    // Listed, and gone before they are looked at.
    let listed = [scene.path("a"), scene.path("b")];
    let aside = scene.folder.path().with_extension("aside");
    fs::rename(scene.folder.path(), &aside).unwrap();
    scene.now += Duration::from_secs(60);
    scene.files.look_at_settling(scene.now, &|| false);
    scene.files.look_at(&listed, &[], scene.now, &|| false);
    assert_eq!(scene.names(), [named("a", "one"), named("b", "two")]);
    fs::rename(&aside, scene.folder.path()).unwrap();
    scene.scan_after(1);
    scene.scan_after(3);
    assert_eq!(scene.names(), [named("a", "one"), named("b", "three")]);
}

#[test]
fn what_cannot_be_read_after_a_restart_stays_as_it_was() {
    let mut scene = Scene::new(Duration::ZERO);
    fs::create_dir(scene.path("sub")).unwrap();
    let (a, b) = (scene.path("a"), scene.path("sub/b"));
    write(&a, "one").unwrap();
    write(&b, "two").unwrap();
    scene.files.look_at(&[a.clone(), b], &[], scene.now, &|| false);
    assert_eq!(scene.names().len(), 2);
    let Scene { folder, shelf, .. } = scene;
    let mut scene = Scene::after(shelf, folder, Duration::ZERO);
    // A folder that may not be listed, and a file that may not be read.
    let sub = scene.path("sub");
    let denied = io::Error::from(io::ErrorKind::PermissionDenied);
    let fault = StoreError::Io { action: "open", path: a.clone(), source: denied };
    scene.shelf.faults.lock().unwrap().push(PublishError::Store(fault));
    scene.files.look_at(&[a], &[&sub], scene.now, &|| false);
    assert_eq!(scene.names(), [named("a", "one"), named("sub/b", "two")]);
}

#[test]
fn a_catalog_that_the_store_has_lost_is_made_again() {
    let mut scene = Scene::new(Duration::ZERO);
    write(scene.path("a"), "one").unwrap();
    scene.scan_after(1);
    scene.names();
    *scene.shelf.is_lost.lock().unwrap() = true;
    scene.scan_after(60);
    scene.names();
    assert_eq!(scene.shelf.catalogs.lock().unwrap().len(), 2);
}
