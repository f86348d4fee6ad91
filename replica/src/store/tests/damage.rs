//! Presence is not content: what is wrong in the folder is found, no longer held, and can be repaired.

use std::fs::FileTimes;

use super::*;
use crate::file_version::FileVersion;

type Damaging = fn(&Path);

/// The ways in which a file can be wrong.
const WAYS: [(&str, Damaging); 5] = [
    ("two bytes flipped", flip),
    ("cut", cut),
    ("empty", empty),
    ("removed", remove),
    ("replaced by a folder", put_folder),
];

/// Two bytes change, and no time does that a program can set.
fn flip(path: &Path) {
    let before = fs::metadata(path).unwrap();
    let mut content = fs::read(path).unwrap();
    let middle = content.len() / 2;
    content[middle] ^= 1;
    content[middle + 1] ^= 0x80;
    fs::write(path, content).unwrap();
    let file = fs::File::options().append(true).open(path).unwrap();
    let times = FileTimes::new().set_modified(before.modified().unwrap());
    // The clock of the file system may be a slow one.
    while FileVersion::of(&fs::metadata(path).unwrap()) == FileVersion::of(&before) {
        file.set_times(times).unwrap();
    }
}

fn cut(path: &Path) {
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_len(file.metadata().unwrap().len() - 1).unwrap();
}

fn empty(path: &Path) {
    fs::write(path, b"").unwrap();
}

fn remove(path: &Path) {
    fs::remove_file(path).unwrap();
}

fn put_folder(path: &Path) {
    remove(path);
    fs::create_dir(path).unwrap();
    fs::write(path.join("somebody's"), b"notes").unwrap();
}

fn path_of(store: &Store, id: ArtifactId) -> PathBuf {
    store.folder().join(format!("{id:x}"))
}

/// It is not held, is reported once, and can come back.
fn check_repair(store: &Store, id: ArtifactId, content: &[u8], way: &str) {
    assert!(!store.contains(id), "{way}");
    assert_eq!((store.count(), store.bytes()), (0, 0), "{way}");
    assert_eq!(store.take_lost(), [id], "{way}");
    assert_eq!(store.take_lost(), [], "{way}: reported twice");
    assert!(!path_of(store, id).exists(), "{way}: what is wrong is still under its name");
    let status = store.status();
    assert_eq!((status.damaged, status.repaired), (1, 0), "{way}");
    assert!(status.last_error.unwrap().contains(&format!("{id:x}")), "{way}");

    let partial = store.begin(id, content.len() as u64);
    partial.write_at(0, content).unwrap();
    partial.finish().unwrap();
    assert_eq!(read_all(store, id), content, "{way}");
    let status = store.status();
    assert_eq!((status.repaired, status.last_error), (1, None), "{way}");
}

#[test]
fn what_was_damaged_before_the_opening_is_never_served() {
    let content = vec![7; 20_000];
    for (way, damage) in WAYS {
        let (home, files) = (folder(), folder());
        let store = Store::open_with(home.path(), crash()).unwrap();
        let id = store.import(&write(&files, "f", &content)).unwrap().artifact.id;
        damage(&path_of(&store, id));
        drop(store);
        let store = Store::open_with(home.path(), crash()).unwrap();
        if way == "removed" {
            assert!(!store.contains(id));
            continue;
        }
        // A file that was cut has another length, and is not what its name says either.
        let length = store.get(id).map_or(0, |found| found.size.min(10)) as usize;
        let error = store.read_chunk(id, 0, length).unwrap_err();
        assert!(matches!(error, StoreError::NotHeld(_)), "{way}: {error}");
        check_repair(&store, id, &content, way);
    }
}

#[test]
fn what_is_damaged_while_it_is_held_is_not_served() {
    let content = vec![7; 20_000];
    for (way, damage) in WAYS {
        let (home, files) = (folder(), folder());
        let store = Store::open_with(home.path(), crash()).unwrap();
        let id = store.import(&write(&files, "f", &content)).unwrap().artifact.id;
        assert_eq!(read_all(&store, id), content);
        damage(&path_of(&store, id));
        let error = store.read_chunk(id, 0, 10).unwrap_err();
        assert!(matches!(error, StoreError::NotHeld(_)), "{way}: {error}");
        check_repair(&store, id, &content, way);
    }
}

/// As published again from the outbox.
#[test]
fn what_is_lost_is_imported_again() {
    let (home, files) = (folder(), folder());
    let store = Store::open_with(home.path(), crash()).unwrap();
    let file = write(&files, "f", b"content");
    let id = store.import(&file).unwrap().artifact.id;
    remove(&path_of(&store, id));
    assert!(!store.verify(id).unwrap());
    assert!(store.import(&file).unwrap().new);
    assert_eq!((store.status().damaged, store.status().repaired), (1, 1));
}

#[test]
fn a_folder_under_an_artifacts_name_is_kept_aside() {
    let (home, files) = (folder(), folder());
    let store = Store::open_with(home.path(), crash()).unwrap();
    let id = store.import(&write(&files, "f", b"content")).unwrap().artifact.id;
    for name in [format!("{id:x}"), format!("{id:x}.1")] {
        put_folder(&path_of(&store, id));
        assert!(!store.verify(id).unwrap());
        let aside = home.path().join(DAMAGED_FOLDER).join(name);
        assert_eq!(fs::read(aside.join("somebody's")).unwrap(), b"notes");
        store.import(&files.path().join("f")).unwrap();
    }
}

#[cfg(unix)]
#[test]
fn a_link_or_a_pipe_is_not_opened() {
    let (home, files) = (folder(), folder());
    let store = Store::open_with(home.path(), crash()).unwrap();
    let file = write(&files, "f", b"content");
    let id = store.import(&file).unwrap().artifact.id;
    let path = path_of(&store, id);
    for put in [&|| std::os::unix::fs::symlink(&file, &path).unwrap(), &|| {
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success())
    }] as [&dyn Fn(); 2]
    {
        remove(&path);
        put();
        assert!(matches!(store.read_chunk(id, 0, 7), Err(StoreError::NotHeld(_))));
        assert!(fs::symlink_metadata(&path).is_err());
        assert!(store.import(&file).unwrap().new);
    }
    assert_eq!(fs::read(&file).unwrap(), b"content", "what a link led to is untouched");
}

#[test]
fn an_empty_file_is_right_under_one_name_only() {
    let (home, files) = (folder(), folder());
    let store = Store::open_with(home.path(), crash()).unwrap();
    let nothing = store.import(&write(&files, "f", b"")).unwrap().artifact.id;
    drop(store);
    write(&home, &format!("{:x}", id_of(b"content")), b"");
    let store = Store::open_with(home.path(), crash()).unwrap();
    assert!(store.contains(nothing) && store.count() == 1);
    assert_eq!(store.read_chunk(nothing, 0, 0).unwrap().len(), 0);
    assert_eq!(store.take_lost(), [id_of(b"content")]);
    assert!(!path_of(&store, id_of(b"content")).exists());
}

#[test]
fn a_file_that_was_touched_is_verified_again_and_kept() {
    let (home, files) = (folder(), folder());
    let store = Store::open_with(home.path(), crash()).unwrap();
    let id = store.import(&write(&files, "f", b"content")).unwrap().artifact.id;
    assert_eq!(read_all(&store, id), b"content");
    assert_eq!(store.status().verified_bytes, 0, "it was hashed on its way in");
    fs::write(path_of(&store, id), b"content").unwrap();
    let file = fs::File::options().append(true).open(path_of(&store, id)).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(read_all(&store, id), b"content");
    assert_eq!(store.status().verified_bytes, 7);
    assert_eq!(read_all(&store, id), b"content");
    assert_eq!(store.status().verified_bytes, 7, "once is enough");
    assert_eq!(store.status().damaged, 0);
}

#[test]
fn losses_that_nobody_takes_are_bounded() {
    let mut losses = Losses::default();
    let id = |number: u32| id_of(&number.to_be_bytes());
    (0..70_000).for_each(|number| losses.lose(id(number), true));
    assert_eq!((losses.damaged, losses.take().len()), (70_000, 1024));
    let repaired = (0..70_000).filter(|number| losses.keep(id(*number)).is_some()).count();
    assert_eq!((repaired, losses.repaired), (65_536, 65_536));
}

/// The content of the file that is published has one length only.
#[test]
fn what_was_cut_before_the_opening_is_published_again() {
    let (home, files) = (folder(), folder());
    let content = vec![7; 20_000];
    let file = write(&files, "f", &content);
    let id = id_of(&content);
    write(&home, &format!("{id:x}"), &content[..10_000]);
    let store = Store::open_with(home.path(), crash()).unwrap();
    let imported = store.import(&file).unwrap();
    assert!(imported.new);
    assert_eq!(imported.artifact.size, 20_000);
    assert_eq!((store.count(), store.bytes()), (1, 20_000));
    assert_eq!(read_all(&store, id), content);
}
