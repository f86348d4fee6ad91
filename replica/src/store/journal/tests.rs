//! What a journal says, and what becomes of one that is damaged.

#![expect(clippy::single_range_in_vec_init, reason = "a range, not what is in it")]

use std::fs;

use proptest::prelude::*;
use tempfile::NamedTempFile;

use super::*;

const SIZE: u64 = 10_000;

fn key(n: u8, size: u64) -> Key {
    Key { id: ArtifactId::new([n; 32]), size }
}

/// A file with entries of these bytes.
fn file(key: Key, entries: &[(u64, u32)]) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    begin(file.as_file(), key).unwrap();
    for (number, (offset, length)) in entries.iter().enumerate() {
        write(file.as_file_mut(), key, number as u64, *offset, *length).unwrap();
    }
    file
}

fn ranges(file: &NamedTempFile, key: Key) -> Vec<Range<u64>> {
    read(file.as_file(), key).unwrap().ranges
}

#[test]
fn what_was_written_is_there_whatever_came_first_or_twice() {
    let key = key(1, SIZE);
    let entries = [(4_000, 1_000), (0, 500), (5_000, 10), (300, 200), (9_999, 1), (400, 600)];
    let journal = read(file(key, &entries).as_file(), key).unwrap();
    assert_eq!(journal.ranges, [0..1_000, 4_000..5_010, 9_999..10_000]);
    assert_eq!((journal.bytes(), journal.entries), (2_011, 6));
    let new = read(file(key, &[]).as_file(), key).unwrap();
    assert_eq!((new.ranges, new.entries), (vec![], 1));
}

#[test]
fn a_file_without_a_journal_is_whole_and_a_shorter_one_is_nothing() {
    let key = key(1, SIZE);
    let file = file(key, &[(0, 100)]);
    file.as_file().set_len(SIZE).unwrap();
    assert_eq!(read(file.as_file(), key).unwrap(), Journal { ranges: vec![0..SIZE], entries: 0 });
    file.as_file().set_len(SIZE - 1).unwrap();
    assert_eq!(ranges(&file, key), []);
}

#[test]
fn entries_count_for_their_artifact_and_their_size_alone() {
    let written = file(key(1, SIZE), &[(0, 100)]);
    assert_eq!(ranges(&written, key(1, SIZE)), [0..100]);
    assert_eq!(ranges(&written, key(2, SIZE)), []);
    // The bytes before the journal would be one.
    assert_eq!(ranges(&written, key(1, SIZE - 16)), []);
    assert_eq!(ranges(&written, key(1, 0)), []);
}

#[test]
fn entries_beyond_the_content_and_empty_ones_count_for_nothing() {
    let key = key(1, SIZE);
    let entries = [(SIZE - 1, 2), (u64::MAX, 1), (SIZE, 1), (5, 0), (SIZE - 1, 1)];
    assert_eq!(ranges(&file(key, &entries), key), [SIZE - 1..SIZE]);
}

#[test]
fn a_journal_is_read_up_to_its_limit() {
    let key = key(1, 1 << 20);
    let mut file = file(key, &[(0, 8)]);
    write(file.as_file_mut(), key, MAX_ENTRIES - 1, 8, 8).unwrap();
    write(file.as_file_mut(), key, MAX_ENTRIES, 16, 8).unwrap();
    let journal = read(file.as_file(), key).unwrap();
    assert_eq!((journal.ranges, journal.entries), (vec![0..16], MAX_ENTRIES));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Cut anywhere, with any byte changed: what is left was there.
    #[test]
    fn a_damaged_journal_says_nothing_that_is_not_so(
        cut in 0..200_u64, at in 0..128_usize, change in 0..=255_u8
    ) {
        let key = key(1, SIZE);
        let entries: Vec<(u64, u32)> = (0..8).map(|n| (n * 1_000, 500)).collect();
        let file = file(key, &entries);
        let mut content = fs::read(file.path()).unwrap();
        content[SIZE as usize + at] ^= change;
        content.truncate((SIZE + 1 + cut) as usize);
        fs::write(file.path(), &content).unwrap();
        let damaged = (change != 0).then_some(at as u64 / 16);
        let expected: Vec<Range<u64>> = (0..8)
            .filter(|n| Some(*n) != damaged && n * 16 + 16 < cut + 2)
            .map(|n| n * 1_000..n * 1_000 + 500)
            .collect();
        prop_assert_eq!(read(&fs::File::open(file.path()).unwrap(), key).unwrap().ranges, expected);
    }
}
