use std::{fs::create_dir_all, time::Duration};

use gossip_replica::replica::ReplicaOptions;
use tempfile::TempDir;

use super::*;

/// Settings with these paths in the folder.
fn settings(folder: &TempDir, key: &str, store: &str, publish: &str) -> Settings {
    let home = folder.path();
    Settings {
        listen: "127.0.0.1:0".to_owned(),
        key_file: home.join(key),
        store: home.join(store),
        publish: Some(home.join(publish)),
        export: None,
        chunk_size: 1024,
        rescan: Duration::from_secs(1),
        settle: Duration::ZERO,
        keep_removed: Duration::ZERO,
        max_publisher_bytes: None,
        store_limits: Default::default(),
        http: None,
        peers: Vec::new(),
        peers_file: None,
        channels: ReplicaOptions::default().channels,
        places: Default::default(),
    }
}

fn check(folder: &TempDir, key: &str, store: &str, publish: &str) -> Result<(), String> {
    check_apart(&settings(folder, key, store, publish)).map_err(|failure| failure.to_string())
}

#[test]
fn what_lies_apart_is_taken() {
    let folder = TempDir::new().unwrap();
    create_dir_all(folder.path().join("outbox")).unwrap();
    fs::write(folder.path().join("key"), "").unwrap();
    for (store, publish) in [
        ("store", "outbox"),
        ("new/folders/store", "outbox"),
        // A name that begins as another one does.
        ("outbox 2", "outbox"),
        ("outbox/../store", "./outbox"),
    ] {
        assert_eq!(check(&folder, "key", store, publish), Ok(()), "{store} {publish}");
    }
    let mut nothing = settings(&folder, "key", ".", "outbox");
    nothing.publish = None;
    assert!(check_apart(&nothing).is_ok());
}

#[test]
fn what_lies_within_each_other_is_refused() {
    let folder = TempDir::new().unwrap();
    create_dir_all(folder.path().join("outbox/inner")).unwrap();
    create_dir_all(folder.path().join("store/inner")).unwrap();
    for key in ["key", "outbox/key", "outbox/inner/key"] {
        fs::write(folder.path().join(key), "").unwrap();
    }
    for (key, store, publish, words) in [
        ("key", "outbox", "outbox", "which is the store"),
        ("key", "outbox/inner/..", "outbox", "which is the store"),
        ("key", "outbox/inner", "outbox", "contains the store"),
        ("key", "outbox/new/deep", "outbox", "contains the store"),
        ("key", "store", ".", "contains the store"),
        ("key", "store", "store/inner", "lies in the store"),
        ("outbox/key", "store", "outbox", "contains the key file"),
        ("outbox/inner/key", "store", "outbox", "contains the key file"),
        ("key", "/elsewhere", ".", "contains the key file"),
    ] {
        let refused = check(&folder, key, store, publish).unwrap_err();
        assert!(refused.contains(words), "{store} {publish}: {refused}");
    }
}

#[test]
fn what_is_exported_lies_apart_as_well() {
    let folder = TempDir::new().unwrap();
    create_dir_all(folder.path().join("outbox/inner")).unwrap();
    fs::write(folder.path().join("key"), "").unwrap();
    for (export, words) in [
        ("inbox", None),
        ("outbox", Some("export is {home}/outbox, which is what is published")),
        ("outbox/inner/new", Some("which lies in what is published")),
        ("store/new", Some("which lies in the store")),
        (".", Some("which contains the store")),
    ] {
        let mut settings = settings(&folder, "key", "store", "outbox");
        settings.export = Some(folder.path().join(export));
        let refused = check_apart(&settings).map_err(|failure| failure.to_string());
        match words {
            None => assert_eq!(refused, Ok(())),
            Some(words) => {
                let words = words.replace("{home}", &folder.path().display().to_string());
                let refused = refused.unwrap_err();
                assert!(refused.contains(&words), "{refused}");
            }
        }
    }
}

#[cfg(unix)]
#[test]
fn links_do_not_hide_where_a_folder_lies() {
    let folder = TempDir::new().unwrap();
    create_dir_all(folder.path().join("store/inner")).unwrap();
    fs::write(folder.path().join("key"), "").unwrap();
    std::os::unix::fs::symlink(folder.path().join("store"), folder.path().join("outbox")).unwrap();
    let refused = check(&folder, "key", "store", "outbox").unwrap_err();
    assert!(refused.contains("which is the store"), "{refused}");
}
