//! Space is promised once: to what is held, or to what is in progress, or to nobody.

use gossip_engine::NodeId;

use super::*;

/// A store on a disk whose free space the test chooses.
fn store_on(free: &Arc<AtomicU64>, options: StoreOptions) -> (TempDir, Store) {
    let (home, free) = (folder(), free.clone());
    let free = move |_: &Path| Ok(free.load(Ordering::Relaxed));
    let store = Store::open_on(home.path(), options, Box::new(free)).unwrap();
    (home, store)
}

fn limited(max_store_bytes: Option<u64>) -> StoreOptions {
    StoreOptions { min_free_bytes: 100, max_store_bytes, ..crash() }
}

#[track_caller]
fn assert_no_space<T: std::fmt::Debug>(result: Result<T, StoreError>, space: (u64, u64)) {
    match result {
        Err(StoreError::NoSpace { needed, available }) => assert_eq!((needed, available), space),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_does_not_fit_is_refused_before_a_byte_is_written() {
    let free = Arc::new(AtomicU64::new(1_000));
    let (_home, store) = store_on(&free, limited(None));
    let files = folder();
    store.space_for(900).unwrap();
    assert_no_space(store.space_for(901), (901, 900));
    let content = vec![1; 901];
    assert_no_space(store.import(&write(&files, "f", &content)), (901, 900));
    let partial = store.begin(id_of(&content), 901);
    assert_no_space(partial.write_at(0, &content[..1]), (901, 900));
    assert_no_space(partial.finish(), (901, 900));
    assert_eq!(names(&store), [""; 0]);
    assert_eq!(store.status().last_error, None, "no fault of the store");

    // Freed, the same one goes on.
    free.store(1_001, Ordering::Relaxed);
    partial.write_at(0, &content).unwrap();
    partial.finish().unwrap();
    assert_eq!(read_all(&store, id_of(&content)), content);
}

#[test]
fn artifacts_in_progress_do_not_promise_themselves_the_same_space() {
    let free = Arc::new(AtomicU64::new(1_100));
    let (_home, store) = store_on(&free, limited(None));
    let content = [vec![1; 600], vec![2; 500]];
    let [one, two] = &content;
    let (first, second) = (store.begin(id_of(one), 600), store.begin(id_of(two), 500));
    first.reserve(None).unwrap();
    assert_no_space(second.reserve(None), (500, 400));
    assert_no_space(second.write_at(0, two), (500, 400));
    // What is written the disk counts itself, and only what is not is held back.
    first.write_at(0, &one[..200]).unwrap();
    free.store(900, Ordering::Relaxed);
    assert_no_space(store.space_for(401), (401, 400));
    store.space_for(400).unwrap();
    // Given up, its space is free again.
    drop(first);
    free.store(1_100, Ordering::Relaxed);
    second.write_at(0, two).unwrap();
    free.store(600, Ordering::Relaxed);
    second.finish().unwrap();
    // Although it lives on.
    store.space_for(500).unwrap();
    drop(second);
    store.space_for(500).unwrap();
    assert_no_space(store.space_for(501), (501, 500));
}

#[test]
fn a_store_has_a_limit_of_its_own() {
    let free = Arc::new(AtomicU64::new(u64::MAX));
    let (home, store) = store_on(&free, limited(Some(1_000)));
    let files = folder();
    store.import(&write(&files, "a", &[1; 400])).unwrap();
    let (content, size) = ([2; 500], 500);
    let partial = store.begin(id_of(&content), size);
    partial.write_at(0, &content).unwrap();
    let third = write(&files, "c", &[3; 101]);
    assert_no_space(store.import(&third), (101, 100));
    // Written is as much as unwritten to it, and held as much as both.
    partial.finish().unwrap();
    assert_no_space(store.import(&third), (101, 100));
    store.import(&write(&files, "d", &[4; 100])).unwrap();
    store.space_for(0).unwrap();
    assert!(!store.import(&files.path().join("a")).unwrap().new, "what is held needs no space");

    // What turns out to be damaged takes none either.
    fs::write(store.folder().join(format!("{:x}", id_of(&content))), b"").unwrap();
    assert!(!store.verify(id_of(&content)).unwrap());
    assert!(store.import(&third).unwrap().new);
    let status = store.status();
    assert_eq!((status.artifacts, status.bytes), (3, 601));
    assert_eq!((status.max_store_bytes, status.min_free_bytes), (Some(1_000), 100));

    // One that holds more than it may takes nothing new, and keeps what it has.
    drop((store, partial));
    let options = StoreOptions { max_store_bytes: Some(10), ..crash() };
    let store = Store::open_with(home.path(), options).unwrap();
    assert_eq!(store.count(), 3);
    assert_no_space(store.space_for(1), (1, 0));
}

#[test]
fn a_range_that_is_written_twice_frees_nothing_of_another() {
    let free = Arc::new(AtomicU64::new(1_100));
    let (_home, store) = store_on(&free, limited(None));
    let (one, two) = (store.begin(id_of(b"1"), 300), store.begin(id_of(b"2"), 300));
    two.reserve(None).unwrap();
    for _ in 0..5 {
        one.write_at(0, &[0; 200]).unwrap();
    }
    assert_no_space(store.space_for(701), (701, 700));
    store.space_for(700).unwrap();
}

#[test]
fn a_disk_that_does_not_say_limits_nothing_here() {
    let home = folder();
    let free = |_: &Path| Err(io::Error::from(io::ErrorKind::Unsupported));
    let store = Store::open_on(home.path(), limited(None), Box::new(free)).unwrap();
    store.space_for(u64::MAX).unwrap();
    assert_eq!(store.status().free_bytes, None);
}

#[test]
fn the_free_space_of_a_real_disk_is_asked() {
    let home = folder();
    let everything = StoreOptions { min_free_bytes: u64::MAX, ..crash() };
    let store = Store::open_with(home.path(), everything).unwrap();
    assert_no_space(store.space_for(1), (1, 0));
    assert!(store.status().free_bytes.is_some());
}

#[test]
fn what_a_peer_announces_takes_nobody_elses_space_before_it_delivers() {
    let free = Arc::new(AtomicU64::new(u64::MAX));
    let (_home, store) = store_on(&free, limited(Some(1_000)));
    let files = folder();
    let (liar, honest) = (NodeId::new([1; 32]), NodeId::new([2; 32]));
    let begin = |name: &[u8], size| store.begin(id_of(name), size);

    // It holds back what the same peer announces, and nothing else.
    let (large, more) = (begin(b"large", 1_000), begin(b"more", 1));
    large.reserve(Some(liar)).unwrap();
    assert_no_space(more.reserve(Some(liar)), (1, 0));
    let content = [2; 300];
    let other = begin(&content, 300);
    other.reserve(Some(honest)).unwrap();
    store.import(&write(&files, "a", &[1; 400])).unwrap();

    // With what comes it is earned.
    other.write_at(0, &content[..100]).unwrap();
    large.write_at(0, &[0; 100]).unwrap();
    assert_no_space(store.space_for(201), (201, 200));
    other.write_at(100, &content[100..]).unwrap();
    assert_no_space(store.space_for(101), (101, 100));
    assert_no_space(large.write_at(100, &[0; 51]), (102, 100));
    large.write_at(100, &[0; 50]).unwrap();
    assert_no_space(store.space_for(1), (1, 0));
    other.finish().unwrap();
    drop(large);
    assert_no_space(store.space_for(301), (301, 300));
    more.reserve(Some(liar)).unwrap();
    drop((more, other));
    store.space_for(300).unwrap();
    assert!(store.inner.space.is_unreserved());
}
