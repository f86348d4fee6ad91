//! What is written, replaced, removed, adopted and left alone.

use super::*;

#[test]
fn the_folder_is_what_the_catalog_says() {
    let folder = tempfile::tempdir().unwrap();
    let content = Memory::default();
    let files_of = |catalog: &Catalog| {
        let mut export = open(folder.path(), "alice").unwrap();
        let progress = apply(&mut export, catalog, &content);
        assert_eq!(progress.present, catalog.len());
        assert_eq!(progress.refused_files, 0);
        (tree(&folder.path().join("alice")), progress)
    };
    let (tree, progress) = files_of(&content.catalog(&[("a", "1"), ("b/c", ""), ("b/d/e", "2")]));
    assert_eq!(tree, list(&[("a", "1"), ("b", "/"), ("b/c", ""), ("b/d", "/"), ("b/d/e", "2")]));
    assert_eq!((progress.written, progress.removed), (3, 0));
    // A file becomes a folder, a folder becomes a file, one changes, one is renamed.
    let (tree, progress) = files_of(&content.catalog(&[("a/x", "1"), ("b", "3"), ("c", "2")]));
    assert_eq!(tree, list(&[("a", "/"), ("a/x", "1"), ("b", "3"), ("c", "2")]));
    assert_eq!((progress.written, progress.removed), (3, 3));
    let (tree, progress) = files_of(&Catalog::default());
    assert_eq!(tree, list(&[]));
    assert_eq!((progress.written, progress.removed), (0, 3));
    let left: Vec<String> =
        super::tree(&folder.path().join(".gossip-export")).into_keys().collect();
    assert_eq!(left, ["alice.catalog", "alice.lock", "alice.new"]);
}

#[test]
fn a_file_has_the_mode_and_the_time_of_the_catalog() {
    let folder = tempfile::tempdir().unwrap();
    let content = Memory::default();
    content.add(b"run");
    let mut entry = entry_of(b"run");
    let path = folder.path().join("alice/run");
    let mut export = open(folder.path(), "alice").unwrap();
    let modes = [(0o755, 0o755), (0o640, 0o640), (0o027, 0o427), (0o7777, 0o777), (0, 0o400)];
    for (asked, given) in modes {
        entry.mode = asked;
        entry.modified_ns += 1_000_000_000;
        let catalog = Catalog::new([(path_of("run"), entry)]).unwrap();
        assert_eq!(apply(&mut export, &catalog, &content).written, 1);
        assert_eq!((mode(&path), time(&path)), (given, entry.modified_ns));
        assert_eq!(apply(&mut export, &catalog, &content).written, 0);
        // Neither is it written again by the next one.
        export = open(folder.path(), "alice").unwrap();
        assert_eq!(apply(&mut export, &catalog, &content).written, 0);
    }
}

#[test]
fn a_time_that_no_file_system_has_does_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let content = Memory::default();
    content.add(b"old");
    for modified_ns in [i64::MIN, -1, i64::MAX, 0] {
        let entry = FileEntry { modified_ns, ..entry_of(b"old") };
        let catalog = Catalog::new([(path_of("old"), entry)]).unwrap();
        for _ in 0..2 {
            let mut export = open(folder.path(), "alice").unwrap();
            let progress = apply(&mut export, &catalog, &content);
            assert_eq!((progress.present, progress.refused_files), (1, 0));
        }
    }
}

#[test]
fn what_is_not_here_yet_is_missing_and_the_old_file_stays() {
    let folder = tempfile::tempdir().unwrap();
    let content = Memory::default();
    let mut export = open(folder.path(), "alice").unwrap();
    apply(&mut export, &content.catalog(&[("a", "old")]), &content);
    let catalog = content.catalog(&[("a", "new"), ("b", "more"), ("c", "here")]);
    content.forget(b"new");
    content.forget(b"more");
    let progress = apply(&mut export, &catalog, &content);
    assert_eq!((progress.present, progress.written, progress.missing), (1, 1, 2));
    assert_eq!(files(&folder.path().join("alice")), list(&[("a", "old"), ("c", "here")]));
    // The old file is the export's all the same.
    export = open(folder.path(), "alice").unwrap();
    content.add(b"new");
    let progress = apply(&mut export, &catalog, &content);
    assert_eq!((progress.present, progress.written, progress.missing), (2, 1, 1));
    content.add(b"more");
    let progress = apply(&mut export, &catalog, &content);
    assert_eq!((progress.present, progress.written, progress.missing), (3, 1, 0));
}

#[test]
fn a_second_call_does_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let content = Memory::default();
    let catalog = content.catalog(&[("a", "1"), ("b/c", "2")]);
    let mut export = open(folder.path(), "alice").unwrap();
    apply(&mut export, &catalog, &content);
    let record = folder.path().join(".gossip-export/alice.catalog");
    let before = (content.copies.get(), inode(&record), inode(&folder.path().join("alice/b/c")));
    let progress = apply(&mut export, &catalog, &content);
    assert_eq!(progress, Progress { present: 2, ..Progress::default() });
    let after = (content.copies.get(), inode(&record), inode(&folder.path().join("alice/b/c")));
    assert_eq!(before, after);
}

#[test]
fn two_publishers_do_not_meet() {
    let folder = tempfile::tempdir().unwrap();
    let content = Memory::default();
    let mut alice = open(folder.path(), "alice").unwrap();
    let mut bob = open(folder.path(), "bob").unwrap();
    apply(&mut alice, &content.catalog(&[("a", "hers")]), &content);
    apply(&mut bob, &content.catalog(&[("a", "his")]), &content);
    apply(&mut alice, &Catalog::default(), &content);
    assert_eq!(files(&folder.path().join("alice")), list(&[]));
    assert_eq!(files(&folder.path().join("bob")), list(&[("a", "his")]));
}

#[test]
fn what_somebody_has_changed_is_left_alone_and_said_once() {
    let folder = tempfile::tempdir().unwrap();
    let content = Memory::default();
    let path = folder.path().join("alice/a");
    let mut export = open(folder.path(), "alice").unwrap();
    apply(&mut export, &content.catalog(&[("a", "old")]), &content);
    put(&path, "mine");
    // Found when it is to be replaced, and remembered from then on.
    let newer = content.catalog(&[("a", "more")]);
    let progress = apply(&mut export, &newer, &content);
    assert_eq!(refusals(&progress), [("a".into(), Refusal::Changed)]);
    for _ in 0..2 {
        let progress = apply(&mut export, &newer, &content);
        assert_eq!((progress.refused_files, progress.refused.len()), (1, 0));
    }
    // Also by the next export, with other words of the catalog.
    let mut export = open(folder.path(), "alice").unwrap();
    let progress = apply(&mut export, &content.catalog(&[("a", "even more")]), &content);
    assert_eq!(refusals(&progress), [("a".into(), Refusal::Changed)]);
    // When the catalog no longer has it, it is somebody's.
    let progress = apply(&mut export, &Catalog::default(), &content);
    assert_eq!((refusals(&progress), progress.removed), (vec![("a".into(), Refusal::Changed)], 0));
    let progress = apply(&mut export, &content.catalog(&[("a", "old")]), &content);
    assert_eq!(refusals(&progress), [("a".into(), Refusal::Foreign)]);
    assert_eq!(files(&folder.path().join("alice")), list(&[("a", "mine")]));
}

#[test]
fn the_time_alone_tells_a_change_of_the_same_size() {
    let folder = tempfile::tempdir().unwrap();
    let content = Memory::default();
    let mut export = open(folder.path(), "alice").unwrap();
    apply(&mut export, &content.catalog(&[("a", "old"), ("b", "old")]), &content);
    put(&folder.path().join("alice/a"), "oLd");
    put(&folder.path().join("alice/b"), "bLd");
    let progress = apply(&mut export, &content.catalog(&[("b", "new")]), &content);
    let both = [("a".into(), Refusal::Changed), ("b".into(), Refusal::Changed)];
    assert_eq!(refusals(&progress), both);
    assert_eq!(files(&folder.path().join("alice")), list(&[("a", "oLd"), ("b", "bLd")]));
}

#[test]
fn a_foreign_file_with_the_right_content_is_adopted() {
    let folder = tempfile::tempdir().unwrap();
    let content = Memory::default();
    let (a, b) = (folder.path().join("alice/a"), folder.path().join("alice/b"));
    put(&a, "same");
    put(&b, "same");
    put(&folder.path().join("alice/c"), "else");
    // One that is as it should be stays; one with another time is replaced.
    fs::set_permissions(&a, fs::Permissions::from_mode(0o644)).unwrap();
    set_time(&a, entry_of(b"same").modified_ns);
    let before = (inode(&a), inode(&b));
    let catalog = content.catalog(&[("a", "same"), ("b", "same"), ("c", "same")]);
    let mut export = open(folder.path(), "alice").unwrap();
    let progress = apply(&mut export, &catalog, &content);
    assert_eq!((progress.present, progress.written, progress.refused_files), (2, 1, 1));
    assert_eq!(refusals(&progress), [("c".into(), Refusal::Foreign)]);
    assert_eq!(inode(&a), before.0);
    assert_ne!(inode(&b), before.1);
    assert_eq!(time(&b), entry_of(b"same").modified_ns);
    // Both are the export's now.
    let mut export = open(folder.path(), "alice").unwrap();
    assert_eq!(apply(&mut export, &Catalog::default(), &content).removed, 2);
    assert_eq!(files(&folder.path().join("alice")), list(&[("c", "else")]));
}

#[test]
fn adopting_does_not_change_the_file_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let content = Memory::default();
    let precious = folder.path().join("precious");
    put(&precious, "same");
    fs::set_permissions(&precious, fs::Permissions::from_mode(0o600)).unwrap();
    fs::create_dir(folder.path().join("alice")).unwrap();
    fs::hard_link(&precious, folder.path().join("alice/a")).unwrap();
    let before = time(&precious);
    let mut export = open(folder.path(), "alice").unwrap();
    let progress = apply(&mut export, &content.catalog(&[("a", "same")]), &content);
    assert_eq!(progress.present, 1);
    assert_eq!((mode(&precious), time(&precious)), (0o600, before));
}

#[test]
fn what_was_read_is_not_read_again_but_compared_again() {
    let folder = tempfile::tempdir().unwrap();
    let content = Memory::default();
    put(&folder.path().join("alice/a"), "mine");
    let mut export = open(folder.path(), "alice").unwrap();
    let progress = apply(&mut export, &content.catalog(&[("a", "hers")]), &content);
    assert_eq!(refusals(&progress), [("a".into(), Refusal::Foreign)]);
    let progress = apply(&mut export, &content.catalog(&[("a", "mine")]), &content);
    assert_eq!((progress.present, progress.refused_files), (1, 0));
}

#[test]
fn what_somebody_has_removed_is_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let content = Memory::default();
    let catalog = content.catalog(&[("a", "1"), ("b/c", "2")]);
    let mut export = open(folder.path(), "alice").unwrap();
    apply(&mut export, &catalog, &content);
    fs::remove_dir_all(folder.path().join("alice/b")).unwrap();
    let mut export = open(folder.path(), "alice").unwrap();
    assert_eq!(apply(&mut export, &catalog, &content).written, 1);
    // If all is gone it is noticed at once.
    fs::remove_dir_all(folder.path().join("alice")).unwrap();
    assert_eq!(apply(&mut export, &catalog, &content).written, 2);
    assert_eq!(files(&folder.path().join("alice")), list(&[("a", "1"), ("b/c", "2")]));
}

#[test]
fn a_file_that_a_power_cut_has_cut_short_is_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let content = Memory::default();
    let catalog = content.catalog(&[("a", "content"), ("b", "content"), ("c", "content")]);
    let mut export = open(folder.path(), "alice").unwrap();
    apply(&mut export, &catalog, &content);
    let at = |name| folder.path().join("alice").join(name);
    for (name, left) in [("a", ""), ("b", "con")] {
        put(&at(name), left);
        set_time(&at(name), entry_of(b"content").modified_ns);
    }
    // Somebody's change has a time of its own.
    put(&at("c"), "");
    let mut export = open(folder.path(), "alice").unwrap();
    let progress = apply(&mut export, &catalog, &content);
    assert_eq!((progress.present, progress.written), (2, 2));
    assert_eq!(refusals(&progress), [("c".into(), Refusal::Changed)]);
}

#[test]
fn what_somebody_does_while_a_file_is_written_survives() {
    for (is_new, why) in [(true, Refusal::Foreign), (false, Refusal::Changed)] {
        let folder = tempfile::tempdir().unwrap();
        let content = Memory::default();
        let path = folder.path().join("alice/a/b");
        let mut export = open(folder.path(), "alice").unwrap();
        if !is_new {
            apply(&mut export, &content.catalog(&[("a/b", "old")]), &content);
        }
        let at = path.clone();
        content.meanwhile.replace(Some(Box::new(move || put(&at, "mine"))));
        let progress = apply(&mut export, &content.catalog(&[("a/b", "newer")]), &content);
        assert_eq!(refusals(&progress), [("a/b".into(), why)]);
        assert_eq!(fs::read(&path).unwrap(), b"mine");
        let mut export = open(folder.path(), "alice").unwrap();
        apply(&mut export, &Catalog::default(), &content);
        assert_eq!(fs::read(&path).unwrap(), b"mine");
    }
}

#[test]
fn a_folder_with_something_of_somebody_in_it_stays() {
    let folder = tempfile::tempdir().unwrap();
    let content = Memory::default();
    let mut export = open(folder.path(), "alice").unwrap();
    apply(&mut export, &content.catalog(&[("a/b/c", "1"), ("a/d/e", "2")]), &content);
    put(&folder.path().join("alice/a/b/mine"), "mine");
    let progress = apply(&mut export, &content.catalog(&[("a", "3")]), &content);
    assert_eq!(refusals(&progress), [("a".into(), Refusal::FolderInTheWay)]);
    let left = list(&[("a", "/"), ("a/b", "/"), ("a/b/mine", "mine")]);
    assert_eq!(tree(&folder.path().join("alice")), left);
    // Once that is gone, and the folders, the file is written.
    fs::remove_dir_all(folder.path().join("alice/a")).unwrap();
    assert_eq!(apply(&mut export, &content.catalog(&[("a", "3")]), &content).written, 1);
}

#[test]
fn another_name_of_an_exported_file_is_not_taken_for_a_foreign_one() {
    // As where case is folded: the name is there, and it is the file with the other name.
    let folder = tempfile::tempdir().unwrap();
    let content = Memory::default();
    let mut export = open(folder.path(), "alice").unwrap();
    apply(&mut export, &content.catalog(&[("README", "same")]), &content);
    let at = |name| folder.path().join("alice").join(name);
    fs::hard_link(at("README"), at("readme")).unwrap();
    let both = content.catalog(&[("README", "same"), ("readme", "same")]);
    for _ in 0..2 {
        let progress = apply(&mut export, &both, &content);
        assert_eq!((progress.present, progress.refused_files), (1, 1));
        assert_eq!(refusals(&progress), [("readme".into(), Refusal::SameFile)]);
        export = open(folder.path(), "alice").unwrap();
    }
}

#[test]
fn one_file_under_two_recorded_names_has_one_owner() {
    let folder = tempfile::tempdir().unwrap();
    let content = Memory::default();
    let mut export = open(folder.path(), "alice").unwrap();
    let both = content.catalog(&[("README", "same"), ("readme", "same")]);
    apply(&mut export, &both, &content);
    let at = |name| folder.path().join("alice").join(name);
    fs::remove_file(at("readme")).unwrap();
    fs::hard_link(at("README"), at("readme")).unwrap();
    let mut export = open(folder.path(), "alice").unwrap();
    let progress = apply(&mut export, &both, &content);
    assert_eq!(refusals(&progress), [("readme".into(), Refusal::SameFile)]);
}

#[test]
fn the_store_gives_verified_content() {
    let folder = tempfile::tempdir().unwrap();
    let store = crate::store::Store::open(&folder.path().join("store")).unwrap();
    let source = folder.path().join("source");
    let long = "0123456789abcdef".repeat(150_000);
    put(&source, &long);
    store.import(&source).unwrap();
    put(&source, "");
    store.import(&source).unwrap();
    let files = [("empty", entry_of(b"")), ("long", entry_of(long.as_bytes()))];
    let files = files.map(|(path, entry)| (path_of(path), entry));
    let wrong = FileEntry { size: 7, ..entry_of(long.as_bytes()) };
    let catalog = Catalog::new(files.into_iter().chain([(path_of("wrong"), wrong)])).unwrap();
    let mut export = open(&folder.path().join("out"), "alice").unwrap();
    let progress = export.apply(&catalog, &store, &|| false).unwrap();
    assert_eq!(refusals(&progress), [("wrong".into(), Refusal::WrongSize)]);
    assert_eq!(progress.present, 2);
    assert!(fs::read(folder.path().join("out/alice/long")).unwrap() == long.as_bytes());
}
