//! What is left free, what a call ends after, and what it does not write twice.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::*;
use crate::export::steps;

/// An export to a disk of so many bytes, of which 30 stay free.
fn on_a_disk(top: &Path, bytes: u64) -> (Export, Arc<AtomicU64>) {
    let mut export = open(top, "alice").unwrap().with_min_free_bytes(30);
    let capacity = Arc::new(AtomicU64::new(bytes));
    let of_disk = capacity.clone();
    export.space.free = Box::new(move |folder| {
        let used: usize = files(folder).values().map(String::len).sum();
        Ok(of_disk.load(Ordering::Relaxed).saturating_sub(used as u64))
    });
    (export, capacity)
}

#[test]
fn one_content_under_many_names_does_not_fill_the_disk() {
    let top = tempfile::tempdir().unwrap();
    let content = Memory::default();
    let names: Vec<String> = (0..20).map(|number| format!("{number:02}")).collect();
    let mut listed: Vec<(&str, &str)> =
        names.iter().map(|name| (name.as_str(), "0123456789")).collect();
    listed.push(("small", "01234"));
    let catalog = content.catalog(&listed);
    let (mut export, capacity) = on_a_disk(top.path(), 107);
    let progress = apply(&mut export, &catalog, &content);
    assert_eq!((progress.written, progress.refused_files), (8, 13));
    assert!(progress.refused.iter().all(|(_, why)| *why == Refusal::NoSpace), "{progress:?}");
    assert_eq!(files(&top.path().join("alice"))["small"], "01234");
    // Nothing is done for those that do not fit, and nothing said again.
    steps::heal();
    let progress = apply(&mut export, &catalog, &content);
    assert_eq!((progress.written, progress.refused_files, progress.refused.len()), (0, 13, 0));
    assert_eq!(steps::heal(), 0);
    // What replaces needs space as well, and a removal makes some for the next call.
    let other = content.catalog(&[("00", "ABCDEFGHIJ"), ("01", "0123456789")]);
    let progress = apply(&mut export, &other, &content);
    assert_eq!((progress.removed, progress.written, progress.refused_files), (6, 1, 0));
    capacity.store(1_000, Ordering::Relaxed);
    let progress = apply(&mut export, &catalog, &content);
    assert_eq!((progress.present, progress.refused_files), (21, 0));
    // A system that does not say limits nothing.
    export.space.free = Box::new(|_| Err(io::ErrorKind::Unsupported.into()));
    assert_eq!(apply(&mut export, &other, &content).present, 2);
}

#[test]
fn what_others_write_meanwhile_counts() {
    let top = tempfile::tempdir().unwrap();
    let content = Memory::default();
    let catalog = content.catalog(&[("a", "0123456789"), ("b", "0123456789"), ("c", "")]);
    let (mut export, capacity) = on_a_disk(top.path(), 100);
    let disk = capacity.clone();
    content.meanwhile.replace(Some(Box::new(move || disk.store(45, Ordering::Relaxed))));
    let progress = apply(&mut export, &catalog, &content);
    assert_eq!(progress.written, 2);
    assert_eq!(refusals(&progress), [("b".into(), Refusal::NoSpace)]);
    capacity.store(50, Ordering::Relaxed);
    assert_eq!(apply(&mut export, &catalog, &content).written, 1);
}

#[test]
fn a_call_ends_early_and_the_next_one_goes_on_there() {
    let ways: [fn(&mut Export); 3] = [
        |export| export.limits.bytes = 1,
        |export| export.limits.looking = Duration::ZERO,
        |export| export.limits.writing = Duration::ZERO,
    ];
    for way in ways {
        let top = tempfile::tempdir().unwrap();
        let content = Memory::default();
        let listed =
            [("a", "1"), ("b", "2"), ("c", "3"), ("d", "4"), ("e", "5"), ("f", "6"), ("g", "7")];
        let catalog = content.catalog(&listed);
        content.forget(b"1");
        content.forget(b"4");
        content.forget(b"7");
        put(&top.path().join("alice/b"), "mine");
        let mut export = open(top.path(), "alice").unwrap();
        way(&mut export);
        // In any two rounds, as the first one may have its calls.
        for _ in 0..2 {
            let mut calls = 0;
            let progress = loop {
                let progress = apply(&mut export, &catalog, &content);
                assert!(progress.written <= 1);
                calls += 1;
                assert!(calls <= listed.len(), "it does not come to the end");
                if !progress.more {
                    break progress;
                }
            };
            assert_eq!((progress.present, progress.missing, progress.refused_files), (3, 3, 1));
            let next = top.path().join(".gossip-export/alice.next");
            assert!(!next.exists());
        }
        let expected = list(&[("b", "mine"), ("c", "3"), ("e", "5"), ("f", "6")]);
        assert_eq!(files(&top.path().join("alice")), expected);
        // Opened anew it knows what it has written.
        let mut export = open(top.path(), "alice").unwrap();
        let progress = apply(&mut export, &catalog, &content);
        assert_eq!((progress.present, progress.written, progress.more), (3, 0, false));
    }
}

#[test]
fn what_stands_in_the_way_of_all_others_is_not_tried_for_ever() {
    let top = tempfile::tempdir().unwrap();
    let content = Memory::default();
    let catalog = content.catalog(&[("a", "1"), ("b", "2")]);
    let mut export = open(top.path(), "alice").unwrap();
    export.limits.bytes = 1;
    content.copy_fault.set(Some(|| ContentError::Read("a bad block".into())));
    let progress = apply(&mut export, &catalog, &content);
    assert_eq!((progress.refused_files, progress.more), (1, true));
    content.copy_fault.set(None);
    let progress = apply(&mut export, &catalog, &content);
    assert_eq!((progress.written, progress.refused_files, progress.more), (1, 1, false));
    assert_eq!(files(&top.path().join("alice")), list(&[("b", "2")]));
    assert_eq!(apply(&mut export, &catalog, &content).written, 1);
}

#[test]
fn what_stands_refused_leaves_the_record_alone() {
    let read_error = || ContentError::Read("a bad block".into());
    let faults: [(Fault, Option<Refusal>); 3] = [
        (|| ContentError::NotYet, None),
        (|| ContentError::WrongSize, Some(Refusal::WrongSize)),
        (read_error, Some(Refusal::Unreadable("a bad block".into()))),
    ];
    for (fault, expected) in faults {
        for when_copied in [false, true] {
            let top = tempfile::tempdir().unwrap();
            let content = Memory::default();
            let mut export = open(top.path(), "alice").unwrap();
            apply(&mut export, &content.catalog(&[("a", "1")]), &content);
            let record = top.path().join(".gossip-export/alice.catalog");
            let before = inode(&record);
            let catalog = content.catalog(&[("a", "1"), ("folder/b", "2")]);
            let at = if when_copied { &content.copy_fault } else { &content.fault };
            at.set(Some(fault));
            for _ in 0..3 {
                steps::heal();
                let progress = apply(&mut export, &catalog, &content);
                let refused = usize::from(expected.is_some());
                assert_eq!((progress.refused_files, progress.missing), (refused, 1 - refused));
                // What is about to be written is noted and taken back; nothing of that where a look is enough.
                assert_eq!(steps::heal() > 0, when_copied);
                assert_eq!(inode(&record), before, "the record was written");
            }
            assert_eq!(files(&top.path().join(".gossip-export/alice.new")), list(&[]));
            assert!(!record.with_extension("next").exists());
            at.set(None);
            assert_eq!(apply(&mut export, &catalog, &content).present, 2);
        }
    }
}

#[test]
fn what_is_too_large_for_the_file_system_is_tried_once() {
    let top = tempfile::tempdir().unwrap();
    let content = Memory::default();
    let mut export = open(top.path(), "alice").unwrap();
    let large = content.catalog(&[("large", "0123")]);
    // The steps before: the record of what is about to be written has four, the file is made.
    steps::fail_at(5, io::ErrorKind::FileTooLarge);
    let progress = apply(&mut export, &large, &content);
    steps::heal();
    assert_eq!(refusals(&progress), [("large".into(), Refusal::TooLarge)]);
    let catalog = content.catalog(&[("large", "0123"), ("larger", "01234"), ("less", "012")]);
    let progress = apply(&mut export, &catalog, &content);
    assert_eq!((progress.written, progress.refused_files), (1, 2));
    steps::heal();
    apply(&mut export, &catalog, &content);
    assert_eq!((steps::heal(), content.copies.get()), (0, 2));
    // Opened anew, perhaps on another disk, it is tried again.
    let mut export = open(top.path(), "alice").unwrap();
    assert_eq!(apply(&mut export, &catalog, &content).present, 3);
}
