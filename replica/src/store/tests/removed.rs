//! Folders that are removed while the store is open.

use super::*;

fn content(number: u8) -> Vec<u8> {
    vec![number; 1_000]
}

/// An open store with three artifacts.
fn store_with_three() -> (TempDir, TempDir, Store, Vec<ArtifactId>) {
    let (home, files) = (folder(), folder());
    let store = Store::open_with(&home.path().join("store"), crash()).unwrap();
    let publish = |number: u8| {
        let file = write(&files, &number.to_string(), &content(number));
        store.import(&file).unwrap().artifact.id
    };
    let ids = (0..3).map(publish).collect();
    (home, files, store, ids)
}

#[test]
fn the_folder_of_partials_is_made_again() {
    let (_home, files, store, _) = store_with_three();
    let partials = store.folder().join(PARTIAL_FOLDER);
    fs::remove_dir(&partials).unwrap();
    assert!(store.import(&write(&files, "f", &content(7))).unwrap().new);
    fs::remove_dir(&partials).unwrap();
    let partial = store.begin(id_of(&content(8)), 1_000);
    partial.write_at(0, &content(8)).unwrap();
    partial.finish().unwrap();
    assert_eq!(store.count(), 5);
}

#[test]
fn what_was_written_and_removed_is_not_taken_for_a_peers_lie() {
    let (_home, _files, store, _) = store_with_three();
    let partial = store.begin(id_of(&content(7)), 1_000);
    partial.write_at(0, &content(7)[..500]).unwrap();
    fs::remove_dir_all(store.folder().join(PARTIAL_FOLDER)).unwrap();
    let error = partial.write_at(500, &content(7)[500..]).unwrap_err();
    assert!(matches!(error, StoreError::Removed { .. }) && error.is_disk(), "{error}");
    assert!(matches!(partial.finish(), Err(StoreError::Removed { .. })));
    drop(partial);
    let partial = store.begin(id_of(&content(7)), 1_000);
    partial.write_at(0, &content(7)).unwrap();
    partial.finish().unwrap();
}

#[test]
fn a_store_that_is_removed_is_made_again_and_locked_and_lacks_everything() {
    let (_home, files, store, ids) = store_with_three();
    fs::remove_dir_all(store.folder()).unwrap();
    assert!(matches!(store.read_chunk(ids[1], 0, 1), Err(StoreError::NotHeld(_))));
    assert_eq!((store.count(), store.bytes()), (0, 0));
    let mut lost = store.take_lost();
    lost.sort_unstable();
    let mut expected = ids.clone();
    expected.sort_unstable();
    assert_eq!(lost, expected);
    let status = store.status();
    assert_eq!(status.damaged, 3);
    assert!(status.last_error.unwrap().contains(store.folder().to_str().unwrap()));

    let again = Store::open_with(store.folder(), crash());
    assert!(matches!(again, Err(StoreError::Locked { .. })), "the new folder is locked");
    for number in 0..3 {
        assert!(store.import(&files.path().join(number.to_string())).unwrap().new);
    }
    let status = store.status();
    assert_eq!((status.repaired, status.last_error), (3, None));
}

#[test]
fn a_store_that_is_replaced_holds_what_is_there_now() {
    let (home, _files, store, ids) = store_with_three();
    let name = |id: &ArtifactId| format!("{id:x}");
    let backup = home.path().join("backup");
    fs::create_dir(&backup).unwrap();
    fs::copy(store.folder().join(name(&ids[0])), backup.join(name(&ids[0]))).unwrap();
    fs::write(backup.join(name(&ids[1])), b"something else").unwrap();
    fs::write(backup.join(name(&id_of(b"older"))), b"older").unwrap();
    fs::rename(store.folder(), home.path().join("old")).unwrap();
    fs::rename(&backup, store.folder()).unwrap();

    assert!(!store.verify(ids[2]).unwrap());
    assert_eq!(read_all(&store, ids[0]), content(0));
    assert_eq!(read_all(&store, id_of(b"older")), b"older");
    assert!(matches!(store.read_chunk(ids[1], 0, 1), Err(StoreError::NotHeld(_))));
    assert_eq!(store.count(), 2);
}

#[test]
fn two_stores_never_write_into_one_folder() {
    let (_home, files, store, ids) = store_with_three();
    fs::remove_dir_all(store.folder()).unwrap();
    let other = Store::open_with(store.folder(), crash()).unwrap();
    other.import(&files.path().join("0")).unwrap();

    // The first one finds another's lock in its folder: it holds nothing and takes nothing.
    let refused = store.import(&files.path().join("1")).unwrap_err();
    assert!(matches!(&refused, StoreError::Locked { .. }) && refused.is_disk(), "{refused}");
    let partial = store.begin(ids[2], 1_000);
    assert!(matches!(partial.write_at(0, &content(2)), Err(StoreError::Locked { .. })));
    assert!(matches!(store.read_chunk(ids[0], 0, 1), Err(StoreError::NotHeld(_))));
    assert_eq!(store.count(), 0);
    assert!(store.status().last_error.unwrap().contains("is in use by another replica"));
    assert_eq!(names(&other).len(), 1);

    // Until the other ends.
    drop(other);
    assert!(store.import(&files.path().join("1")).unwrap().new);
    assert_eq!(store.count(), 2, "with what the other has left");
    partial.write_at(0, &content(2)).unwrap();
    partial.finish().unwrap();
    assert_eq!(read_all(&store, ids[0]), content(0));
    assert_eq!(store.status().last_error, None, "all three are held again");
}

#[test]
fn a_lock_that_is_removed_is_taken_again_and_nothing_is_lost() {
    let (_home, files, store, _) = store_with_three();
    fs::remove_file(store.folder().join(LOCK_FILE)).unwrap();
    assert!(store.import(&write(&files, "f", &content(7))).unwrap().new);
    assert!(matches!(Store::open(store.folder()), Err(StoreError::Locked { .. })));
    assert_eq!((store.count(), store.status().damaged), (4, 0));
}

#[test]
fn those_that_came_last_are_listed() {
    let (_home, files, store, ids) = store_with_three();
    let listed = |store: &Store, count| -> Vec<ArtifactId> {
        store.recent(count).iter().map(|(artifact, _)| artifact.id).collect()
    };
    assert_eq!(listed(&store, 2), [ids[2], ids[1]]);
    fs::remove_file(store.folder().join(format!("{:x}", ids[2]))).unwrap();
    assert!(!store.verify(ids[2]).unwrap());
    assert_eq!(listed(&store, 9), [ids[1], ids[0]]);
    for number in 0..100 {
        store.import(&write(&files, "f", &[number; 10])).unwrap();
    }
    assert_eq!(listed(&store, 100).len(), 64);
    let (path, last) = (store.folder().to_path_buf(), ids[0]);
    drop(store);
    let file = fs::File::options().append(true).open(path.join(format!("{last:x}"))).unwrap();
    let later = SystemTime::now() + std::time::Duration::from_secs(60);
    file.set_modified(later).unwrap();
    let store = Store::open_with(&path, crash()).unwrap();
    let recent = store.recent(1);
    assert_eq!((recent[0].0.id, recent[0].1), (last, later));
}
