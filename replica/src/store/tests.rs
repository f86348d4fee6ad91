mod damage;
mod removed;
mod resume;
mod space;

use std::{
    fs, io,
    sync::{Arc, Barrier},
};

use proptest::prelude::*;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::*;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder for the test")
}

fn id_of(content: &[u8]) -> ArtifactId {
    ArtifactId::new(Sha256::digest(content).into())
}

fn crash() -> StoreOptions {
    StoreOptions { durability: Durability::Crash, ..StoreOptions::default() }
}

fn write(folder: &TempDir, name: &str, content: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, content).unwrap();
    path
}

fn read_all(store: &Store, id: ArtifactId) -> Vec<u8> {
    let size = store.get(id).expect("held").size;
    store.read_chunk(id, 0, size as usize).unwrap().to_vec()
}

/// All names in the folder and in its folder of partials.
fn names(store: &Store) -> Vec<String> {
    let mut names = Vec::new();
    for folder in [store.folder().to_path_buf(), store.folder().join(PARTIAL_FOLDER)] {
        for entry in fs::read_dir(folder).unwrap() {
            names.push(entry.unwrap().file_name().into_string().unwrap());
        }
    }
    names.retain(|name| name != LOCK_FILE && name != PARTIAL_FOLDER);
    names.sort();
    names
}

#[test]
fn a_private_key_is_not_imported_under_any_name() {
    let (home, files) = (folder(), folder());
    let store = Store::open(home.path()).unwrap();
    let key = files.path().join("holiday.jpg");
    crate::identity::Identity::generate().save(&key).unwrap();
    assert!(matches!(store.import(&key), Err(StoreError::PrivateKey { path }) if path == key));
    assert!(names(&store).is_empty());
}

#[test]
fn an_imported_file_is_held_by_its_hash_and_survives_reopening() {
    let (home, files) = (folder(), folder());
    let content = vec![7; 300_000];
    let path = write(&files, "a file", &content);
    let id = id_of(&content);
    {
        let store = Store::open(home.path()).unwrap();
        let imported = store.import(&path).unwrap();
        assert_eq!(imported.artifact, Artifact { id, size: 300_000, height: 1 });
        assert!(imported.new);
        assert_eq!(names(&store), [format!("{id:x}")]);
    }
    let store = Store::open(home.path()).unwrap();
    assert_eq!((store.count(), store.bytes()), (1, 300_000));
    assert_eq!(read_all(&store, id), content);
    assert!(path.exists());
}

#[test]
fn a_duplicate_changes_nothing() {
    let (home, files) = (folder(), folder());
    let store = Store::open(home.path()).unwrap();
    let first = store.import(&write(&files, "a", b"same")).unwrap();
    let second = store.import(&write(&files, "b", b"same")).unwrap();
    assert_eq!(second, Imported { artifact: first.artifact, new: false });
    // Of the same size only.
    assert!(store.import(&write(&files, "c", b"othr")).unwrap().new);
    assert_eq!((store.count(), store.bytes()), (2, 8));
    assert_eq!(names(&store).len(), 2);
}

#[test]
fn an_empty_file_is_an_artifact() {
    let (home, files) = (folder(), folder());
    let store = Store::open(home.path()).unwrap();
    let id = store.import(&write(&files, "empty", b"")).unwrap().artifact.id;
    assert_eq!(id, id_of(b""));
    assert_eq!(store.read_chunk(id, 0, 0).unwrap().len(), 0);

    let other = folder();
    let store = Store::open(other.path()).unwrap();
    assert_eq!(store.begin(id, 0).finish().unwrap().size, 0);
    assert_eq!(names(&store), [format!("{id:x}")]);
}

#[test]
fn heights_count_what_comes_and_start_anew() {
    let (home, files) = (folder(), folder());
    let contents: [&[u8]; 3] = [b"one", b"two", b"three"];
    let mut ids: Vec<ArtifactId> = contents.iter().map(|content| id_of(content)).collect();
    {
        let store = Store::open(home.path()).unwrap();
        for content in contents {
            store.import(&write(&files, "f", content)).unwrap();
        }
        let all = store.list_from(0, 10);
        assert_eq!(all.iter().map(|artifact| artifact.id).collect::<Vec<_>>(), ids);
        assert_eq!(store.list_from(2, 1), all[1..2]);
        assert_eq!(store.list_from(4, 1), []);
    }
    ids.sort_unstable();
    let store = Store::open(home.path()).unwrap();
    let all = store.list_from(0, 10);
    assert_eq!(all.iter().map(|artifact| artifact.id).collect::<Vec<_>>(), ids);
    assert_eq!(all.iter().map(|artifact| artifact.height).collect::<Vec<_>>(), [1, 2, 3]);
}

#[test]
fn a_folder_is_opened_once_at_a_time() {
    let home = folder();
    let store = Store::open(home.path()).unwrap();
    assert!(
        matches!(Store::open(home.path()), Err(StoreError::Locked { path }) if path == home.path())
    );
    // What is still being written keeps it open.
    let partial = store.begin(id_of(b""), 0);
    drop(store);
    assert!(matches!(Store::open(home.path()), Err(StoreError::Locked { .. })));
    drop(partial);
    Store::open(home.path()).unwrap();
}

#[test]
fn opening_removes_partials_and_leaves_what_is_not_ours() {
    let home = folder();
    let content = b"whole";
    let name = format!("{:x}", id_of(content));
    fs::create_dir(home.path().join("partial")).unwrap();
    write(&home, "partial/0", b"half");
    write(&home, "partial/17", b"");
    write(&home, "partial/mine", b"kept");
    write(&home, &name, content);
    write(&home, "notes.txt", b"kept");
    write(&home, &name.to_uppercase(), b"kept");
    write(&home, &name[1..], b"kept");
    fs::create_dir(home.path().join("0".repeat(64))).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink("/dev/zero", home.path().join("1".repeat(64))).unwrap();

    let store = Store::open(home.path()).unwrap();
    assert_eq!(store.count(), 1);
    assert!(store.contains(id_of(content)));
    let names = names(&store);
    assert!(!names.contains(&"0".into()) && !names.contains(&"17".into()));
    for kept in ["mine", "notes.txt"] {
        assert!(names.contains(&kept.into()), "{kept} is gone");
    }
}

#[test]
fn a_crash_at_any_moment_leaves_no_half_artifact() {
    let home = folder();
    let content = vec![3; 10_000];
    let id = id_of(&content);
    // Between any two steps of writing, the folder is as a crash there would leave it.
    let crashed_here = |store: &Store| {
        let copy = folder();
        fs::create_dir(copy.path().join("partial")).unwrap();
        for (from, to) in [("", ""), ("partial", "partial")] {
            for entry in fs::read_dir(store.folder().join(from)).unwrap() {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_file() {
                    fs::copy(entry.path(), copy.path().join(to).join(entry.file_name())).unwrap();
                }
            }
        }
        let store = Store::open(copy.path()).unwrap();
        for artifact in store.list_from(0, 10) {
            assert!(store.verify(artifact.id).unwrap());
        }
        assert!(names(&store).len() as u64 == store.count());
        store.count()
    };
    let store = Store::open(home.path()).unwrap();
    let partial = store.begin(id, content.len() as u64);
    assert_eq!(crashed_here(&store), 0);
    partial.write_at(5_000, &content[5_000..]).unwrap();
    assert_eq!(names(&store).len(), 1);
    assert_eq!(crashed_here(&store), 0);
    partial.write_at(0, &content[..5_000]).unwrap();
    assert_eq!(crashed_here(&store), 0);
    partial.finish().unwrap();
    assert_eq!(crashed_here(&store), 1);
    drop(partial);
    assert_eq!(crashed_here(&store), 1);
    assert_eq!(read_all(&store, id), content);
}

#[test]
fn wrong_content_is_refused_and_removed() {
    let home = folder();
    let store = Store::open(home.path()).unwrap();
    let partial = store.begin(id_of(b"right"), 5);
    partial.write_at(0, b"wrong").unwrap();
    let error = partial.finish().unwrap_err();
    assert!(matches!(error, StoreError::Mismatch { found, .. } if found == id_of(b"wrong")));
    assert!(!error.is_disk());
    drop(partial);
    assert_eq!(names(&store), [""; 0]);
    assert_eq!(store.count(), 0);
}

#[test]
fn a_dropped_partial_leaves_nothing() {
    let home = folder();
    let store = Store::open(home.path()).unwrap();
    let (a, b) = (store.begin(id_of(b"ab"), 2), store.begin(id_of(b"ab"), 2));
    a.write_at(0, b"a").unwrap();
    b.write_at(0, b"b").unwrap();
    assert_eq!(names(&store).len(), 2);
    drop((a, b));
    assert_eq!(names(&store), [""; 0]);
}

#[test]
fn a_partial_takes_no_more_than_its_size() {
    let home = folder();
    let store = Store::open(home.path()).unwrap();
    let partial = store.begin(id_of(b"ab"), 2);
    for (offset, bytes) in [(0, &b"abc"[..]), (2, b"a"), (u64::MAX, b"ab")] {
        let error = partial.write_at(offset, bytes).unwrap_err();
        assert!(matches!(error, StoreError::OutOfRange { .. }));
    }
    assert_eq!(names(&store), [""; 0]);
}

#[test]
fn only_bytes_that_are_there_are_read() {
    let (home, files) = (folder(), folder());
    let store = Store::open(home.path()).unwrap();
    let id = store.import(&write(&files, "f", b"0123456789")).unwrap().artifact.id;
    assert_eq!(store.read_chunk(id, 3, 4).unwrap(), &b"3456"[..]);
    for (offset, length) in [(8, 3), (11, 0), (u64::MAX, 1)] {
        let error = store.read_chunk(id, offset, length).unwrap_err();
        assert!(matches!(error, StoreError::OutOfRange { .. }));
    }
    let error = store.read_chunk(id_of(b""), 0, 0).unwrap_err();
    assert!(matches!(error, StoreError::NotHeld(_)));
}

#[test]
fn what_is_no_regular_file_is_not_imported() {
    let (home, files) = (folder(), folder());
    let store = Store::open(home.path()).unwrap();
    let error = store.import(files.path()).unwrap_err();
    assert!(matches!(&error, StoreError::NotAFile { path } if path == files.path()));
    #[cfg(unix)]
    {
        let (file, link) = (write(&files, "file", b"content"), files.path().join("link"));
        std::os::unix::fs::symlink(file, &link).unwrap();
        let error = store.import(&link).unwrap_err();
        assert!(matches!(&error, StoreError::NotAFile { path } if *path == link));
    }
    let missing = files.path().join("missing");
    let error = store.import(&missing).unwrap_err();
    assert!(matches!(&error, StoreError::Io { path, .. } if *path == missing));
    assert!(error.is_disk());
    assert_eq!(names(&store), [""; 0]);
}

/// Whatever moment it is at which a file becomes a link.
#[cfg(unix)]
#[test]
fn a_link_that_takes_the_place_of_a_file_is_not_followed() {
    const SWAPS: usize = 2_000;
    let (home, files) = (folder(), folder());
    let store = Store::open_with(home.path(), crash()).unwrap();
    let file = write(&files, "file", b"content");
    let secret = write(&files, "secret", b"a secret");
    let draft = files.path().join("draft");
    std::thread::scope(|scope| {
        let swapping = scope.spawn(|| {
            for _ in 0..SWAPS {
                std::os::unix::fs::symlink(&secret, &draft).unwrap();
                fs::rename(&draft, &file).unwrap();
                fs::write(&draft, b"content").unwrap();
                fs::rename(&draft, &file).unwrap();
            }
        });
        while !swapping.is_finished() {
            // Whether it is taken in or refused is a matter of the moment.
            let _ = store.import(&file);
        }
    });
    assert!(!store.contains(id_of(b"a secret")));
}

#[test]
fn a_disk_that_refuses_is_an_error_with_its_path() {
    let (home, files) = (folder(), folder());
    let store = Store::open(home.path()).unwrap();
    let file = write(&files, "f", b"content");
    let partials = home.path().join(PARTIAL_FOLDER);

    // No place for temporaries.
    fs::remove_dir(&partials).unwrap();
    fs::write(&partials, b"in the way").unwrap();
    let error = store.import(&file).unwrap_err();
    assert!(
        matches!(&error, StoreError::Io { path, .. } if path.starts_with(&partials)),
        "{error}"
    );
    let partial = store.begin(id_of(b"content"), 7);
    assert!(partial.write_at(0, b"content").unwrap_err().is_disk());
    assert!(partial.finish().unwrap_err().is_disk());
    drop(partial);
    assert_eq!(store.count(), 0);

    // No place for the final name.
    fs::remove_file(&partials).unwrap();
    fs::create_dir(&partials).unwrap();
    let taken = home.path().join(format!("{:x}", id_of(b"content")));
    fs::create_dir(&taken).unwrap();
    let aside = home.path().join(DAMAGED_FOLDER);
    fs::write(&aside, b"in the way").unwrap();
    let error = store.import(&file).unwrap_err();
    assert!(matches!(&error, StoreError::Io { action: "move away", .. }), "{error}");
    let partial = store.begin(id_of(b"content"), 7);
    partial.write_at(0, b"content").unwrap();
    assert!(partial.finish().unwrap_err().is_disk());
    drop(partial);
    assert_eq!(fs::read_dir(&partials).unwrap().count(), 0);
    assert_eq!(store.count(), 0);

    // And once there is, it goes well.
    fs::remove_file(&aside).unwrap();
    assert!(store.import(&file).unwrap().new);
    assert!(aside.join(taken.file_name().unwrap()).is_dir());
}

#[test]
fn a_folder_that_cannot_be_made_is_an_error() {
    let home = folder();
    let file = write(&home, "file", b"");
    assert!(Store::open(&file).unwrap_err().is_disk());
    assert!(Store::open(&file.join("below")).unwrap_err().is_disk());
}

/// A full disk, without filling one.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error() {
    let home = folder();
    let store = Store::open(home.path()).unwrap();
    let partial = store.begin(id_of(b"content"), 7);
    std::os::unix::fs::symlink("/dev/full", home.path().join(PARTIAL_FOLDER).join("0")).unwrap();
    let error = partial.write_at(0, b"content").unwrap_err();
    assert!(
        matches!(&error, StoreError::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull),
        "{error}"
    );
    drop(partial);
    assert_eq!(names(&store), [""; 0]);
}

#[test]
fn a_file_that_has_grown_since_it_was_looked_at_is_not_imported() {
    // Files of the system's own have no length to go by: 0, although there is content.
    let path = Path::new("/proc/version");
    if !path.exists() {
        return;
    }
    let home = folder();
    let store = Store::open(home.path()).unwrap();
    assert!(matches!(store.import(path), Err(StoreError::Changed { .. })));
    assert_eq!(names(&store), [""; 0]);
}

#[test]
fn damage_is_found_and_forgotten() {
    let (home, files) = (folder(), folder());
    let store = Store::open(home.path()).unwrap();
    let mut ids = Vec::new();
    for content in ["intact", "rotten", "shorter", "gone"] {
        ids.push(store.import(&write(&files, "f", content.as_bytes())).unwrap().artifact.id);
    }
    fs::write(home.path().join(format!("{:x}", ids[1])), b"rOtten").unwrap();
    fs::write(home.path().join(format!("{:x}", ids[2])), b"short").unwrap();
    fs::remove_file(home.path().join(format!("{:x}", ids[3]))).unwrap();

    assert!(store.verify(ids[0]).unwrap());
    assert!(!store.verify(ids[1]).unwrap());
    for (id, length) in [(ids[2], 7), (ids[3], 4)] {
        assert!(matches!(store.read_chunk(id, 0, length), Err(StoreError::NotHeld(_))));
    }
    assert_eq!((store.count(), store.bytes()), (1, 6));
    assert!(!home.path().join(format!("{:x}", ids[1])).exists());
    // And can be fetched again.
    let partial = store.begin(ids[2], 7);
    partial.write_at(0, b"shorter").unwrap();
    partial.finish().unwrap();
    assert_eq!(read_all(&store, ids[2]), b"shorter");
}

#[test]
fn two_that_write_the_same_artifact_do_not_disturb_each_other() {
    let home = folder();
    let store = Store::open(home.path()).unwrap();
    let content = Arc::new((0..100_000_u32).flat_map(u32::to_le_bytes).collect::<Vec<u8>>());
    let id = id_of(&content);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let partial = store.begin(id, content.len() as u64);
                for (number, chunk) in content.chunks(4_096).enumerate() {
                    partial.write_at(number as u64 * 4_096, chunk).unwrap();
                }
                assert_eq!(partial.finish().unwrap().id, id);
            });
        }
    });
    assert_eq!((store.count(), store.bytes()), (1, 400_000));
    assert_eq!(names(&store).len(), 1);
}

#[test]
fn of_imports_of_the_same_content_one_is_new() {
    const IMPORTS: usize = 4;
    let (home, files) = (folder(), folder());
    // It syncs, so that all have read the file before the first is done.
    let store = Store::open(home.path()).unwrap();
    for round in 0..10_u32 {
        let file = write(&files, "file", &round.to_le_bytes().repeat(50_000));
        let together = Barrier::new(IMPORTS);
        let import = || {
            together.wait();
            store.import(&file).unwrap().new
        };
        let new = std::thread::scope(|scope| {
            let imports: Vec<_> = (0..IMPORTS).map(|_| scope.spawn(import)).collect();
            let new = imports.into_iter().map(|import| import.join().unwrap());
            new.filter(|new| *new).count()
        });
        assert_eq!(new, 1, "round {round}");
    }
    assert_eq!(store.count(), 10);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    /// Chunks in any order, some twice, make the artifact.
    #[test]
    fn the_order_of_writing_does_not_matter(
        content in proptest::collection::vec(any::<u8>(), 1..5_000),
        order in proptest::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let home = folder();
        let store = Store::open_with(home.path(), crash()).unwrap();
        let id = id_of(&content);
        let partial = store.begin(id, content.len() as u64);
        let chunks: Vec<(usize, &[u8])> = content.chunks(512).enumerate().collect();
        for (number, chunk) in order.iter().map(|at| at.get(&chunks)).chain(chunks.iter().rev()) {
            partial.write_at(*number as u64 * 512, chunk).unwrap();
        }
        partial.finish().unwrap();
        prop_assert_eq!(read_all(&store, id), content);
    }
}
