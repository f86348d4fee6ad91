//! What a folder without a record may be.

use super::*;
use crate::export::begin;

#[test]
fn a_folder_that_was_exported_to_is_not_begun_again() {
    let top = tempfile::tempdir().unwrap();
    let (folder, away) = (top.path().join("mount"), top.path().join("away"));
    let memory = top.path().join("store/catalogs/exported");
    let error = begin(&folder, &memory).unwrap_err();
    assert!(matches!(&error, ExportError::Gone { path } if *path == folder), "{error:?}");
    assert!(!folder.exists() && !memory.exists());
    fs::create_dir(&folder).unwrap();
    assert!(begin(&folder, &memory).unwrap());
    assert!(!begin(&folder, &memory).unwrap());
    let content = Memory::default();
    let catalog = content.catalog(&[("a", "1")]);
    apply(&mut Export::open(&folder, "alice").unwrap(), &catalog, &content);

    // As in a later run, before the disk is there. What lies below it makes no difference.
    fs::rename(&folder, &away).unwrap();
    put(&folder.join("lost"), "something");
    for _ in 0..2 {
        let error = begin(&folder, &memory).unwrap_err();
        assert!(matches!(error, ExportError::NotMounted { .. }), "{error:?}");
        assert!(error.to_string().contains(memory.to_str().unwrap()), "{error}");
        let error = Export::open(&folder, "alice").unwrap_err();
        assert!(matches!(error, ExportError::Gone { .. }), "{error:?}");
        assert_eq!(tree(&folder), list(&[("lost", "something")]));
    }

    // It is back, by another way to it.
    let below = top.path().join("below");
    fs::rename(&folder, &below).unwrap();
    fs::rename(&away, &folder).unwrap();
    assert!(!begin(&folder.join("../mount"), &memory).unwrap());
    assert_eq!(files(&folder.join("alice")), list(&[("a", "1")]));

    // Somebody means what is there.
    fs::rename(&folder, &away).unwrap();
    fs::rename(&below, &folder).unwrap();
    fs::remove_file(&memory).unwrap();
    assert!(begin(&folder, &memory).unwrap());
    assert!(begin(&folder, &memory).is_ok_and(|is_new| !is_new));
}

#[test]
fn another_folder_is_begun_as_the_first_one_was() {
    let top = tempfile::tempdir().unwrap();
    let (one, two) = (top.path().join("one"), top.path().join("two"));
    let memory = top.path().join("memory");
    for folder in [&one, &two] {
        fs::create_dir(folder).unwrap();
        assert!(begin(folder, &memory).unwrap());
    }
    // One that was exported to before anything remembered it.
    assert!(!begin(&one, &memory).unwrap());
    fs::remove_dir(one.join(".gossip-export")).unwrap();
    begin(&one, &memory).unwrap_err();
    assert_eq!(tree(&one), list(&[]));
}
