//! What is in the way of one file, and what stops an export.

use std::os::unix::net::UnixListener;

use super::*;
use crate::export::steps;

#[test]
fn each_obstacle_has_its_reason_and_the_rest_goes_on() {
    let top = tempfile::tempdir().unwrap();
    let content = Memory::default();
    let alice = top.path().join("alice");
    fs::create_dir_all(alice.join("folder")).unwrap();
    put(&alice.join("file"), "mine");
    put(&alice.join("foreign"), "not hers");
    let _socket = UnixListener::bind(alice.join("socket")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(alice.join("pipe")).status().unwrap();
    assert!(made.success());
    let catalog = content.catalog(&[
        ("file/below", "1"),
        ("folder", "2"),
        ("foreign", "3"),
        ("pipe", ""),
        ("rest", "4"),
        ("socket", "5"),
        ("socket-folder/rest", "6"),
    ]);
    let before = files(&alice);
    let mut export = open(top.path(), "alice").unwrap();
    let progress = apply(&mut export, &catalog, &content);
    let expected = [
        ("file/below".into(), Refusal::FileInTheWay),
        ("folder".into(), Refusal::FolderInTheWay),
        ("foreign".into(), Refusal::Foreign),
        ("pipe".into(), Refusal::Special),
        ("socket".into(), Refusal::Special),
    ];
    assert_eq!(refusals(&progress), expected);
    assert_eq!((progress.present, progress.refused_files), (2, 5));
    let mut after = before;
    after.extend(list(&[("rest", "4"), ("socket-folder/rest", "6")]));
    assert_eq!(files(&alice), after);
    // A pipe on the way is not waited for.
    let progress = apply(&mut export, &content.catalog(&[("pipe/below", "1")]), &content);
    assert_eq!(refusals(&progress), [("pipe/below".into(), Refusal::Special)]);
}

#[test]
fn what_the_system_says_of_one_name_concerns_one_file() {
    use crate::export::error::Trouble;
    let refused = [
        (libc::ENAMETOOLONG, Refusal::NameTooLong),
        (libc::EILSEQ, Refusal::Name),
        (libc::EINVAL, Refusal::Name),
        (libc::ELOOP, Refusal::Symlink),
        (libc::EACCES, Refusal::Denied),
        (libc::EPERM, Refusal::Denied),
        (libc::EXDEV, Refusal::OtherFileSystem),
        (libc::EFBIG, Refusal::TooLarge),
        (libc::ENOTDIR, Refusal::FileInTheWay),
        (libc::EISDIR, Refusal::FolderInTheWay),
        (libc::EEXIST, Refusal::Foreign),
        (libc::EBUSY, Refusal::Busy),
    ];
    for (code, expected) in refused {
        let trouble = Trouble::of("write")(io::Error::from_raw_os_error(code));
        assert!(matches!(&trouble, Trouble::Refused(why) if *why == expected), "{trouble:?}");
    }
    for code in [libc::ENOSPC, libc::EDQUOT, libc::EROFS, libc::EIO, libc::EMFILE, libc::ENOENT] {
        let trouble = Trouble::of("write")(io::Error::from_raw_os_error(code));
        assert!(matches!(trouble, Trouble::Fatal("write", _)), "{trouble:?}");
    }
}

#[test]
fn a_name_that_is_too_long_here_is_refused_alone() {
    // The longest path that the system takes in one call is no bound: folders are opened one by one.
    let top = tempfile::tempdir().unwrap();
    let content = Memory::default();
    let deep = format!("{}/end", ["x".repeat(250).as_str(); 16].join("/"));
    let catalog = content.catalog(&[(&deep, "deep"), ("rest", "1")]);
    let mut export = open(top.path(), "alice").unwrap();
    let progress = apply(&mut export, &catalog, &content);
    assert_eq!((progress.present, progress.refused_files), (2, 0));
    let progress = apply(&mut export, &Catalog::default(), &content);
    assert_eq!(progress.removed, 2);
    assert_eq!(tree(&top.path().join("alice")), list(&[]));
}

#[test]
fn a_lie_about_the_size_is_refused() {
    let top = tempfile::tempdir().unwrap();
    let content = Memory::default();
    content.add(b"content");
    let entry = FileEntry { size: 1 << 40, ..entry_of(b"content") };
    let catalog = Catalog::new([(path_of("a"), entry)]).unwrap();
    let mut export = open(top.path(), "alice").unwrap();
    let progress = apply(&mut export, &catalog, &content);
    assert_eq!(refusals(&progress), [("a".into(), Refusal::WrongSize)]);
    assert_eq!(files(&top.path().join("alice")), list(&[]));
    assert_eq!(files(&top.path().join(".gossip-export/alice.new")), list(&[]));
}

#[test]
fn of_many_refused_some_are_listed_and_all_are_counted() {
    let top = tempfile::tempdir().unwrap();
    let content = Memory::default();
    let names: Vec<String> = (0..100).map(|number| format!("{number:03}")).collect();
    for name in &names {
        put(&top.path().join("alice").join(name), "mine");
    }
    let catalog: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "hers")).collect();
    let catalog = content.catalog(&catalog);
    let mut export = open(top.path(), "alice").unwrap();
    let progress = apply(&mut export, &catalog, &content);
    assert_eq!((progress.refused_files, progress.refused.len()), (100, super::super::MAX_LISTED));
    let progress = apply(&mut export, &catalog, &content);
    assert_eq!((progress.refused_files, progress.refused.len()), (100, 0));
}

#[test]
fn a_folder_that_was_unmounted_is_not_made_again() {
    let top = tempfile::tempdir().unwrap();
    let content = Memory::default();
    let (folder, away) = (top.path().join("mount"), top.path().join("away"));
    let one = content.catalog(&[("a", "1")]);
    let two = content.catalog(&[("a", "2"), ("b", "1")]);
    let mut export = open(&folder, "alice").unwrap();
    apply(&mut export, &one, &content);
    fs::rename(&folder, &away).unwrap();
    // Nothing, a file, an empty folder as of a mount point: nothing is written there.
    let gone = |export: &mut Export| {
        let error = export.apply(&two, &content, &|| false).unwrap_err();
        assert!(matches!(error, ExportError::Gone { .. }), "{error:?}");
        error.to_string()
    };
    let message = gone(&mut export);
    assert!(message.contains(folder.to_str().unwrap()), "{message}");
    assert!(!folder.exists());
    put(&folder, "a file");
    gone(&mut export);
    fs::remove_file(&folder).unwrap();
    fs::create_dir(&folder).unwrap();
    for _ in 0..2 {
        gone(&mut export);
        assert_eq!(tree(&folder), list(&[]));
    }
    // A state folder without a record is no better.
    fs::create_dir(folder.join(".gossip-export")).unwrap();
    gone(&mut export);
    assert_eq!(files(&folder.join("alice")), list(&[]));
    fs::remove_dir_all(&folder).unwrap();
    fs::rename(&away, &folder).unwrap();
    let progress = apply(&mut export, &two, &content);
    assert_eq!((progress.present, progress.written), (2, 2));
}

#[test]
fn another_folder_with_a_record_is_looked_at_anew() {
    let top = tempfile::tempdir().unwrap();
    let content = Memory::default();
    let catalog = content.catalog(&[("a", "1"), ("b", "2")]);
    let (one, two) = (top.path().join("one"), top.path().join("two"));
    let mut export = open(&one, "alice").unwrap();
    apply(&mut export, &catalog, &content);
    let mut other = open(&two, "alice").unwrap();
    apply(&mut other, &content.catalog(&[("b", "2"), ("c", "3")]), &content);
    put(&two.join("alice/mine"), "mine");
    fs::rename(&one, top.path().join("away")).unwrap();
    fs::rename(&two, &one).unwrap();
    let progress = apply(&mut export, &catalog, &content);
    assert_eq!((progress.present, progress.written, progress.removed), (2, 1, 1));
    assert_eq!(files(&one.join("alice")), list(&[("a", "1"), ("b", "2"), ("mine", "mine")]));
}

#[test]
fn another_process_is_noticed() {
    let top = tempfile::tempdir().unwrap();
    let content = Memory::default();
    let catalog = content.catalog(&[("a", "1")]);
    let mut export = open(top.path(), "alice").unwrap();
    let lock = fs::File::open(top.path().join(".gossip-export/alice.lock")).unwrap();
    fs4::FileExt::lock(&lock).unwrap();
    let refused = open(top.path(), "alice").unwrap_err();
    assert!(matches!(refused, ExportError::Locked { .. }), "{refused:?}");
    let refused = export.apply(&catalog, &content, &|| false).unwrap_err();
    assert!(matches!(refused, ExportError::Locked { .. }), "{refused:?}");
    fs4::FileExt::unlock(&lock).unwrap();
    assert_eq!(apply(&mut export, &catalog, &content).written, 1);
    // What it has done between two calls is seen.
    let mut other = open(top.path(), "alice").unwrap();
    apply(&mut other, &content.catalog(&[("b", "2")]), &content);
    let progress = apply(&mut export, &catalog, &content);
    assert_eq!((progress.written, progress.removed), (1, 1));
}

#[test]
fn a_damaged_record_stops_the_export_and_says_so() {
    let top = tempfile::tempdir().unwrap();
    let content = Memory::default();
    let catalog = content.catalog(&[("a", "1"), ("b", "2")]);
    let mut export = open(top.path(), "alice").unwrap();
    apply(&mut export, &catalog, &content);
    let record = top.path().join(".gossip-export/alice.catalog");
    put(&record, "gossip-cat");
    for _ in 0..2 {
        let error = export.apply(&catalog, &content, &|| false).unwrap_err();
        assert!(matches!(&error, ExportError::Record { path, .. } if *path == record), "{error:?}");
    }
    open(top.path(), "alice").unwrap_err();
    fs::remove_file(&record).unwrap();
    let mut export = open(top.path(), "alice").unwrap();
    let progress = apply(&mut export, &catalog, &content);
    assert_eq!((progress.present, progress.written), (2, 0));
}

#[test]
fn it_stops_where_it_is_and_goes_on_later() {
    let top = tempfile::tempdir().unwrap();
    let content = Memory::default();
    let long = "0123456789".repeat(10);
    let catalog = content.catalog(&[("a", &long), ("b", "2"), ("c", &long)]);
    let mut last = 0;
    for limit in 0.. {
        let mut export = open(top.path(), "alice").unwrap();
        let asked = Cell::new(0);
        let is_stopped = || asked.replace(asked.get() + 1) >= limit;
        match export.apply(&catalog, &content, &is_stopped) {
            Ok(progress) => {
                assert_eq!(progress.present, 3);
                break;
            }
            Err(error) => assert!(matches!(error, ExportError::Stopped), "{error:?}"),
        }
        let now = files(&top.path().join("alice")).len();
        assert!(now >= last && limit < 100);
        last = now;
    }
    assert!(last > 0);
}

#[test]
fn after_each_failure_it_goes_on_when_that_is_mended() {
    let kinds = [io::ErrorKind::StorageFull, io::ErrorKind::ReadOnlyFilesystem];
    for kind in kinds {
        for at in 0.. {
            let top = tempfile::tempdir().unwrap();
            let content = Memory::default();
            let mut export = open(top.path(), "alice").unwrap();
            apply(&mut export, &content.catalog(&[("a/b", "1"), ("c", "2")]), &content);
            let catalog = content.catalog(&[("a", "3"), ("c", "changed"), ("d/e", "4")]);
            steps::fail_at(at, kind);
            let result = export.apply(&catalog, &content, &|| false);
            let steps = steps::heal();
            match result {
                Err(error) => {
                    assert!(
                        matches!(&error, ExportError::Io { source, .. } if source.kind() == kind)
                    );
                    assert!(error.to_string().contains(top.path().to_str().unwrap()), "{error}");
                }
                // A folder that cannot be removed is no trouble; and at the end nothing is left to fail.
                Ok(_) => assert!(steps <= at, "step {at} of {steps} failed unseen"),
            }
            let progress = apply(&mut export, &catalog, &content);
            assert_eq!((progress.present, progress.refused_files), (3, 0), "{kind}, step {at}");
            let expected = list(&[("a", "3"), ("c", "changed"), ("d/e", "4")]);
            assert_eq!(files(&top.path().join("alice")), expected);
            assert_eq!(files(&top.path().join(".gossip-export/alice.new")), list(&[]));
            if steps <= at {
                assert!(at > 20, "only {at} steps");
                break;
            }
        }
    }
}
