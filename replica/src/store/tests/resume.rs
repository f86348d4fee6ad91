//! A part of an artifact outlives the attempt that fetched it, and the process; and gives way to everything.

#![expect(clippy::single_range_in_vec_init, reason = "a range, not what is in it")]

use std::{ops::Range, time::Duration};

use gossip_engine::NodeId;

use super::{super::kept::MIN_KEPT_BYTES, *};

type Damage = fn(&Path);

const MIB: u64 = 1 << 20;
const SIZE: u64 = 4 * MIB;

fn large(salt: u8) -> Vec<u8> {
    (0..SIZE).map(|at| (at * 31 + at / 251) as u8 ^ salt).collect()
}

/// Writes these megabytes of an artifact.
fn fill(partial: &Partial, content: &[u8], range: Range<u64>) {
    for at in range.start * 4..range.end * 4 {
        let (from, piece) = (at * MIB / 4, MIB / 4);
        partial.write_at(from, &content[from as usize..(from + piece) as usize]).unwrap();
    }
}

/// A store as it is after a kill at this moment.
fn reopened(store: &Store) -> (TempDir, Store) {
    let copy = folder();
    fs::create_dir(copy.path().join("partial")).unwrap();
    for from in ["", "partial"] {
        for entry in fs::read_dir(store.folder().join(from)).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                fs::copy(entry.path(), copy.path().join(from).join(entry.file_name())).unwrap();
            }
        }
    }
    let store = Store::open_with(copy.path(), crash()).unwrap();
    (copy, store)
}

fn kept(store: &Store) -> (usize, u64) {
    store.inner.with_kept(|kept| (kept.len(), kept.bytes()))
}

#[test]
fn a_kill_at_any_step_leaves_what_has_come() {
    let home = folder();
    let store = Store::open_with(home.path(), crash()).unwrap();
    let content = large(0);
    let id = id_of(&content);
    let after_a_kill = || {
        let (_home, store) = reopened(&store);
        let partial = store.begin(id, SIZE);
        let ranges = partial.resume(None).unwrap();
        // The rest, and no more.
        for at in (0..SIZE).step_by(MIB as usize / 4) {
            if !ranges.iter().any(|range| range.contains(&at)) {
                let end = at as usize + MIB as usize / 4;
                partial.write_at(at, &content[at as usize..end]).unwrap();
            }
        }
        partial.finish().unwrap();
        assert_eq!(read_all(&store, id), content);
        drop(partial);
        assert_eq!(names(&store), [format!("{id:x}")]);
        assert!(store.inner.space.is_unreserved());
        ranges
    };
    let partial = store.begin(id, SIZE);
    assert_eq!(after_a_kill(), []);
    partial.reserve(None).unwrap();
    fill(&partial, &content, 3..4);
    assert_eq!(after_a_kill(), [3 * MIB..4 * MIB]);
    fill(&partial, &content, 0..2);
    assert_eq!(after_a_kill(), [0..2 * MIB, 3 * MIB..4 * MIB]);

    // Bytes whose entry was not written yet, or not all of it, do not count.
    let path = partial_path(&store);
    let journal = fs::metadata(&path).unwrap().len();
    assert_eq!(journal, SIZE + 12 * 16);
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_len(journal - 1).unwrap();
    assert_eq!(after_a_kill(), [0..2 * MIB - MIB / 4, 3 * MIB..4 * MIB]);
    fill(&partial, &content, 1..3);
    // Found right and cut, and not renamed yet.
    let whole = after_a_kill();
    assert_eq!(whole, [0..4 * MIB]);
    file.set_len(SIZE).unwrap();
    assert_eq!(after_a_kill(), whole);
    partial.finish().unwrap();
    assert_eq!(kept(&reopened(&store).1), (0, 0));
}

/// The only file in the folder of partials.
fn partial_path(store: &Store) -> PathBuf {
    let mut entries = fs::read_dir(store.folder().join(PARTIAL_FOLDER)).unwrap();
    let path = entries.next().unwrap().unwrap().path();
    assert!(entries.next().is_none());
    path
}

#[test]
fn what_an_attempt_has_left_the_next_goes_on_with() {
    let home = folder();
    let store = Store::open_with(home.path(), crash()).unwrap();
    let content = large(0);
    let id = id_of(&content);
    let first = store.begin(id, SIZE);
    fill(&first, &content, 0..2);
    first.keep();
    // One that comes late changes nothing.
    first.write_at(0, &[0; 1000]).unwrap();
    assert_eq!(kept(&store), (1, 2 * MIB));
    drop(first);
    assert!(store.inner.space.is_unreserved());

    // Of a size that another peer claims there is nothing.
    let other = store.begin(id, SIZE + 1);
    assert_eq!(other.resume(None).unwrap(), []);
    let second = store.begin(id, SIZE);
    assert_eq!(second.resume(None).unwrap(), [0..2 * MIB]);
    assert_eq!(second.resume(None).unwrap(), [], "once");
    assert_eq!(kept(&store), (0, 0));
    fill(&second, &content, 2..3);
    second.keep();
    drop(second);
    let third = store.begin(id, SIZE);
    assert_eq!(third.resume(None).unwrap(), [0..3 * MIB]);
    // Thrown away, as after a mismatch.
    drop((third, other));
    assert_eq!((names(&store), kept(&store)), (vec![], (0, 0)));
    assert!(store.inner.space.is_unreserved());
    // One that is over reserves nothing any more.
    let late = store.begin(id, SIZE);
    late.keep();
    assert_eq!(late.resume(None).unwrap(), []);
    assert!(store.inner.space.is_unreserved());
}

#[test]
fn little_is_not_kept() {
    let home = folder();
    let store = Store::open_with(home.path(), crash()).unwrap();
    let content = large(0);
    let (small, few) =
        (store.begin(id_of(b"small"), MIN_KEPT_BYTES - 1), store.begin(id_of(&content), SIZE));
    small.write_at(0, &content[..MIN_KEPT_BYTES as usize - 1]).unwrap();
    few.write_at(0, &content[..MIN_KEPT_BYTES as usize - 1]).unwrap();
    assert_eq!(names(&reopened(&store).1), [""; 0]);
    small.keep();
    few.keep();
    drop((small, few));
    assert_eq!((names(&store), kept(&store)), (vec![], (0, 0)));
}

#[test]
fn what_is_said_twice_counts_once() {
    let home = folder();
    let store = Store::open_with(home.path(), crash()).unwrap();
    let content = large(0);
    let id = id_of(&content);
    let partial = store.begin(id, SIZE);
    fill(&partial, &content, 0..2);
    partial.keep();
    partial.keep();
    drop(partial);
    let again = store.begin(id, SIZE);
    assert_eq!(again.resume(None).unwrap(), [0..2 * MIB]);
    assert_eq!(again.resume(None).unwrap(), []);
    assert_eq!(store.reserved_bytes(), SIZE);
    fill(&again, &content, 2..4);
    again.finish().unwrap();
    assert_eq!(read_all(&store, id), content);
    assert!(store.inner.space.is_unreserved());
}

#[test]
fn a_part_of_what_is_held_is_removed_when_the_store_is_opened() {
    let home = folder();
    let store = Store::open_with(home.path(), crash()).unwrap();
    let content = large(0);
    let partial = store.begin(id_of(&content), SIZE);
    fill(&partial, &content, 0..2);
    let part = partial_path(&store);
    let copy = home.path().join("copy");
    fs::copy(&part, &copy).unwrap();
    fill(&partial, &content, 2..4);
    partial.finish().unwrap();
    // As a kill leaves it between two attempts, the faster of which has finished.
    fs::rename(copy, &part).unwrap();
    let (_home, store) = reopened(&store);
    assert_eq!(kept(&store), (0, 0));
    assert_eq!(fs::read_dir(store.folder().join(PARTIAL_FOLDER)).unwrap().count(), 0);
}

#[test]
fn what_somebody_has_been_at_costs_nothing_but_itself() {
    let content = large(0);
    let id = id_of(&content);
    let ways: [(&str, Damage); 5] = [
        ("cut", |path| fs::File::options().write(true).open(path).unwrap().set_len(5).unwrap()),
        ("journal gone", |path| {
            let file = fs::File::options().write(true).open(path).unwrap();
            file.set_len(SIZE + 1).unwrap();
        }),
        ("oversize", |path| fs::write(path, vec![1; 2 * SIZE as usize]).unwrap()),
        ("removed", |path| fs::remove_file(path).unwrap()),
        ("a folder", |path| {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
        }),
    ];
    for (what, damage) in ways {
        let home = folder();
        let store = Store::open_with(home.path(), crash()).unwrap();
        let partial = store.begin(id, SIZE);
        fill(&partial, &content, 0..2);
        // Before it is opened again.
        let (copy, _) = reopened(&store);
        partial.keep();
        // And after it was kept.
        damage(&partial_path(&store));
        let again = store.begin(id, SIZE);
        assert_eq!(again.resume(None).unwrap(), [], "{what}");
        assert_eq!(kept(&store), (0, 0), "{what}");
        fill(&again, &content, 0..4);
        again.finish().unwrap();
        assert_eq!(read_all(&store, id), content);
        assert_eq!(kept(&store), (0, 0));

        let parts: Vec<_> = fs::read_dir(copy.path().join(PARTIAL_FOLDER)).unwrap().collect();
        parts.into_iter().for_each(|part| damage(&part.unwrap().path()));
        let store = Store::open_with(copy.path(), crash()).unwrap();
        assert_eq!(kept(&store), (0, 0), "{what}");
    }
}

#[test]
fn wrong_bytes_are_found_by_the_hash_of_the_whole() {
    let home = folder();
    let store = Store::open_with(home.path(), crash()).unwrap();
    let content = large(0);
    let id = id_of(&content);
    let partial = store.begin(id, SIZE);
    fill(&partial, &content, 0..3);
    let (_copy, store) = reopened(&store);
    let path = partial_path(&store);
    let mut spoilt = fs::read(&path).unwrap();
    spoilt[0] ^= 1;
    fs::write(&path, spoilt).unwrap();
    let partial = store.begin(id, SIZE);
    assert_eq!(partial.resume(None).unwrap(), [0..3 * MIB]);
    fill(&partial, &content, 3..4);
    assert!(matches!(partial.finish(), Err(StoreError::Mismatch { .. })));
    drop(partial);
    assert_eq!((names(&store), kept(&store)), (vec![], (0, 0)));
}

#[test]
fn what_is_kept_gives_way_to_what_needs_its_space_and_to_nothing_less() {
    let free = Arc::new(AtomicU64::new(u64::MAX));
    let (home, disk) = (folder(), free.clone());
    let options = StoreOptions { min_free_bytes: 100, max_store_bytes: Some(10 * MIB), ..crash() };
    let free_now = move |_: &Path| Ok(disk.load(Ordering::Relaxed));
    let store = Store::open_on(home.path(), options, Box::new(free_now)).unwrap();
    let contents = [large(1), large(2)];
    for content in &contents {
        let partial = store.begin(id_of(content), SIZE);
        fill(&partial, content, 0..3);
        partial.keep();
    }
    assert_eq!(kept(&store), (2, 6 * MIB));
    // It counts as free, and what a peer announces alone removes nothing.
    store.space_for(10 * MIB).unwrap();
    let peer = NodeId::new([1; 32]);
    let announced = store.begin(id_of(b"announced"), 10 * MIB);
    announced.reserve(Some(peer)).unwrap();
    assert_eq!(kept(&store), (2, 6 * MIB));
    let piece = vec![0; MIB as usize];
    announced.write_at(0, &piece).unwrap();
    announced.write_at(MIB, &piece).unwrap();
    assert_eq!(kept(&store), (2, 6 * MIB));
    announced.write_at(2 * MIB, &piece).unwrap();
    assert_eq!(kept(&store), (1, 3 * MIB), "twice what was written is earned");
    drop(announced);

    // The one that goes on is held back as it was, and gives way no more.
    let resumed = store.begin(id_of(&contents[1]), SIZE);
    assert_eq!(resumed.resume(Some(peer)).unwrap(), [0..3 * MIB]);
    assert_eq!(store.reserved_bytes(), SIZE);
    store.space_for(6 * MIB).unwrap();
    assert!(store.space_for(6 * MIB + 1).is_err());
    let import = store.begin(id_of(b"import"), 6 * MIB);
    import.reserve(None).unwrap();
    resumed.keep();
    assert_eq!(kept(&store), (1, 3 * MIB));
    drop(import);

    // So does the disk count: it has the kept bytes in use.
    free.store(100 + MIB, Ordering::Relaxed);
    store.space_for(4 * MIB).unwrap();
    assert!(store.space_for(4 * MIB + 1).is_err());
    let again = store.begin(id_of(&contents[1]), SIZE);
    assert_eq!(again.resume(Some(peer)).unwrap(), [0..3 * MIB]);
    assert!(store.space_for(1).is_err());
    again.keep();
    // And where another program has taken what was to stay free.
    free.store(100, Ordering::Relaxed);
    store.drop_stale_parts(Duration::ZERO, |_| false);
    assert_eq!(kept(&store), (1, 3 * MIB));
    free.store(99, Ordering::Relaxed);
    store.drop_stale_parts(Duration::ZERO, |_| false);
    assert_eq!(kept(&store), (0, 0));
    assert_eq!(names(&store), [""; 0]);
    assert!(store.inner.space.is_unreserved());
}

#[test]
fn what_is_held_or_not_wanted_is_not_kept() {
    let (home, files) = (folder(), folder());
    let store = Store::open_with(home.path(), crash()).unwrap();
    let (first, second) = (large(1), large(2));
    for content in [&first, &second] {
        let partial = store.begin(id_of(content), SIZE);
        fill(&partial, content, 0..2);
        partial.keep();
    }
    let (_copy, after_a_kill) = reopened(&store);
    assert_eq!(kept(&after_a_kill), (2, 4 * MIB));
    store.import(&write(&files, "f", &first)).unwrap();
    assert_eq!(kept(&store), (1, 2 * MIB));
    store.drop_stale_parts(Duration::ZERO, |id| id == id_of(&second));
    assert_eq!(kept(&store), (0, 0));
    assert_eq!(names(&store), [format!("{:x}", id_of(&first))]);
}

#[test]
fn an_attempt_that_ends_after_a_faster_one_leaves_nothing() {
    let home = folder();
    let store = Store::open_with(home.path(), crash()).unwrap();
    let content = large(1);
    let slow = store.begin(id_of(&content), SIZE);
    fill(&slow, &content, 0..2);
    let fast = store.begin(id_of(&content), SIZE);
    fill(&fast, &content, 0..4);
    fast.finish().unwrap();
    slow.keep();
    drop((slow, fast));
    assert_eq!(kept(&store), (0, 0));
    assert_eq!(names(&store), [format!("{:x}", id_of(&content))]);
    assert!(store.inner.space.is_unreserved());
}

#[test]
fn what_is_kept_waits_for_those_who_still_write() {
    let home = folder();
    let store = Store::open_with(home.path(), crash()).unwrap();
    let content = large(0);
    let id = id_of(&content);
    for _ in 0..20 {
        let partial = store.begin(id, SIZE);
        partial.resume(None).unwrap();
        std::thread::scope(|scope| {
            for from in 0..4 {
                let (partial, content) = (&partial, &content);
                scope.spawn(move || fill(partial, content, from..from + 1));
            }
            scope.spawn(|| partial.keep());
        });
        drop(partial);
        // Nothing is there that was not written.
        let next = store.begin(id, SIZE);
        let ranges = next.resume(None).unwrap();
        let found = fs::read(partial_path_of(&store)).unwrap_or_default();
        for range in ranges {
            let range = range.start as usize..range.end as usize;
            assert!(found[range.clone()] == content[range], "it says more than there is");
        }
    }
}

/// The file in the folder of partials, if there is one.
fn partial_path_of(store: &Store) -> PathBuf {
    let mut entries = fs::read_dir(store.folder().join(PARTIAL_FOLDER)).unwrap();
    entries.next().map(|entry| entry.unwrap().path()).unwrap_or_default()
}
