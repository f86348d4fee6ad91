use std::fs::{create_dir, create_dir_all, write};

use super::*;

/// The listed files, below the folder.
fn listed(folder: &Path, listing: &Listing) -> Vec<PathBuf> {
    listing.files.iter().map(|file| file.strip_prefix(folder).unwrap().to_path_buf()).collect()
}

fn reason<'a>(listing: &'a Listing, path: &Path) -> &'a SkipReason {
    &listing.skipped.iter().find(|skipped| skipped.path == path).expect("skipped").reason
}

#[test]
fn files_are_listed_in_order_at_any_depth() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path();
    create_dir_all(folder.join("b/deep/er")).unwrap();
    create_dir(folder.join("nothing in here")).unwrap();
    for file in ["z", "b/deep/er/a file with spaces", "b/deep/x", "empty", "a.txt", ".hidden"] {
        write(folder.join(file), file).unwrap();
    }
    write(folder.join("empty"), "").unwrap();
    let listing = list_files(folder, &[]).unwrap();
    let expected = [".hidden", "a.txt", "b/deep/er/a file with spaces", "b/deep/x", "empty", "z"];
    assert_eq!(listed(folder, &listing), expected.map(PathBuf::from));
    assert!(listing.skipped.is_empty());
}

#[test]
fn what_is_not_published_is_reported() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path();
    for skipped in [".git/objects", "sub/target/debug", "store/partial"] {
        create_dir_all(folder.join(skipped)).unwrap();
        write(folder.join(skipped).join("file"), "").unwrap();
    }
    // A file of such a name is a file.
    create_dir(folder.join("other")).unwrap();
    write(folder.join("other/.git"), "").unwrap();
    // The same folder by another spelling.
    let store = folder.join("sub/../store");
    let listing = list_files(folder, &[&store, Path::new("not there")]).unwrap();
    // Only a rule excludes a folder that tools make: somebody may call a folder of photos so.
    assert_eq!(
        listed(folder, &listing),
        ["other/.git", "sub/target/debug/file"].map(PathBuf::from)
    );
    assert!(matches!(reason(&listing, &folder.join(".git")), SkipReason::Folder));
    assert!(matches!(reason(&listing, &folder.join("store")), SkipReason::Excluded));
    assert_eq!(listing.skipped.len(), 2);
}

#[cfg(unix)]
#[test]
fn an_excluded_file_is_left_out_under_any_name() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path();
    for file in ["key", "other"] {
        write(folder.join(file), file).unwrap();
    }
    fs::hard_link(folder.join("key"), folder.join("copy")).unwrap();
    let listing = list_files(folder, &[&folder.join("./key")]).unwrap();
    assert_eq!(listed(folder, &listing), [PathBuf::from("other")]);
    for name in ["key", "copy"] {
        assert!(matches!(reason(&listing, &folder.join(name)), SkipReason::Excluded));
    }
}

#[test]
fn a_folder_that_cannot_be_read_is_an_error() {
    let home = tempfile::tempdir().unwrap();
    let missing = home.path().join("missing");
    assert_eq!(list_files(&missing, &[]).unwrap_err().kind(), io::ErrorKind::NotFound);
}

#[cfg(unix)]
#[test]
fn links_are_not_followed_and_names_need_be_no_unicode() {
    use std::{
        ffi::OsStr,
        os::unix::{ffi::OsStrExt as _, fs::symlink, net::UnixListener},
    };

    let home = tempfile::tempdir().unwrap();
    let folder = home.path();
    symlink(folder, folder.join("circle")).unwrap();
    symlink("/etc/hostname", folder.join("outside")).unwrap();
    let _socket = UnixListener::bind(folder.join("socket")).unwrap();
    let odd = folder.join(OsStr::from_bytes(b"odd \xff name\n"));
    write(&odd, "").unwrap();
    let listing = list_files(folder, &[]).unwrap();
    assert_eq!(listing.files, [odd]);
    assert!(matches!(reason(&listing, &folder.join("circle")), SkipReason::Link));
    assert!(matches!(reason(&listing, &folder.join("outside")), SkipReason::Link));
    assert!(matches!(reason(&listing, &folder.join("socket")), SkipReason::Special));
}
