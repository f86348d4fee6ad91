//! How much is kept, and for how long.

use tempfile::TempDir;

use super::*;

fn key(n: u8, size: u64) -> Key {
    Key { id: ArtifactId::new([n; 32]), size }
}

struct Folder {
    folder: TempDir,
    kept: Kept,
    next: u64,
}

impl Folder {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), kept: Kept::default(), next: 0 }
    }

    fn keep(&mut self, key: Key, bytes: u64) -> PathBuf {
        self.next += 1;
        let path = self.folder.path().join(key.file_name(self.next));
        fs::write(&path, b"").unwrap();
        self.kept.insert(KeptFile::new(key, path.clone(), bytes));
        path
    }

    /// How many files are there, and what they count.
    fn left(&self) -> (usize, u64) {
        let files = fs::read_dir(self.folder.path()).unwrap().count();
        assert_eq!(files, self.kept.len(), "files of nobody, or files that are gone");
        (files, self.kept.bytes())
    }
}

#[test]
fn only_names_of_ours_are_read() {
    let key = Key { id: ArtifactId::new([0xab; 32]), size: 5 };
    let own = key.file_name(7);
    assert_eq!(own, format!("{}.5.7", "ab".repeat(32)));
    assert_eq!(Key::parse(&own), Some((key, 7)));
    let id = "ab".repeat(32);
    for other in [
        "7".to_owned(),
        id.clone(),
        format!("{id}.5"),
        format!("{id}.5.7.1"),
        format!("{id}.05.7"),
        format!("{id}.5.+7"),
        format!("{id}.99999999999999999999.7"),
        format!("{}.5.7", id.to_uppercase()),
        format!("{}.5.7", &id[1..]),
    ] {
        assert_eq!(Key::parse(&other), None, "{other}");
    }
}

#[test]
fn a_newer_part_takes_the_place_of_an_older_one_of_the_same_size() {
    let mut folder = Folder::new();
    let old = folder.keep(key(1, 100), 10);
    let other = folder.keep(key(1, 200), 20);
    let new = folder.keep(key(1, 100), 5);
    assert_eq!(folder.left(), (2, 25));
    assert_eq!(folder.kept.find(key(1, 100)), Some(&*new));
    assert_eq!(folder.kept.find(key(1, 200)), Some(&*other));
    assert!(folder.kept.take(&old).is_none() && folder.kept.take(&other).is_some());
    assert!(other.exists(), "it is its taker's");
    fs::remove_file(other).unwrap();
    assert_eq!(folder.left(), (1, 5));
}

#[test]
fn the_oldest_go_first() {
    let mut folder = Folder::new();
    for n in 0..=MAX_KEPT as u8 {
        folder.keep(key(n, 100), 10);
    }
    assert_eq!(folder.left(), (MAX_KEPT, 10 * MAX_KEPT as u64));
    assert_eq!(folder.kept.find(key(0, 100)), None);
    folder.kept.give_way(0);
    assert_eq!(folder.left().0, MAX_KEPT);
    folder.kept.give_way(11);
    assert_eq!(folder.left().0, MAX_KEPT - 2);
    assert_eq!(folder.kept.find(key(2, 100)), None);
    assert!(folder.kept.find(key(3, 100)).is_some());
    // Too many bytes.
    folder.keep(key(200, 1), MAX_KEPT_BYTES - 15);
    assert_eq!(folder.left(), (2, MAX_KEPT_BYTES - 5));
    folder.kept.give_way(u64::MAX);
    assert_eq!(folder.left(), (0, 0));
}

#[test]
fn of_too_many_the_one_with_the_fewest_bytes_goes() {
    let mut folder = Folder::new();
    folder.keep(key(0, 100), 60);
    for n in 1..=MAX_KEPT as u8 {
        folder.keep(key(n, 100), 10);
    }
    assert_eq!(folder.left(), (MAX_KEPT, 60 + 10 * (MAX_KEPT as u64 - 1)));
    assert!(folder.kept.find(key(0, 100)).is_some());
    assert_eq!(folder.kept.find(key(1, 100)), None, "the oldest of equal ones");
    // It may be the new one.
    folder.keep(key(200, 100), 9);
    assert_eq!(folder.kept.find(key(200, 100)), None);
    folder.keep(key(201, 100), 11);
    assert_eq!(folder.kept.find(key(2, 100)), None);
    assert_eq!(folder.left(), (MAX_KEPT, 61 + 10 * (MAX_KEPT as u64 - 1)));
}

#[test]
fn what_is_not_taken_goes_in_time() {
    let mut folder = Folder::new();
    folder.keep(key(1, 100), 10);
    folder.kept.expire(KEPT_FOR * 5);
    folder.keep(key(2, 100), 10);
    folder.kept.expire(KEPT_FOR * 6 - Duration::from_nanos(1));
    assert_eq!(folder.left().0, 2);
    folder.kept.expire(KEPT_FOR * 6);
    assert_eq!(folder.kept.ids(), [key(2, 100).id]);
    folder.kept.remove_of(&[key(2, 100).id]);
    assert_eq!(folder.left(), (0, 0));
}
