use std::{fs, path::PathBuf};

use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::*;
use crate::store::{Durability, StoreError, StoreOptions};

const RATE: u64 = 1 << 20;
const SECOND: Duration = Duration::from_secs(1);

/// A store in which these contents were found when it was opened.
fn opened(contents: &[Vec<u8>], rate: u64) -> (TempDir, Store, Vec<ArtifactId>) {
    let home = tempfile::tempdir().unwrap();
    let mut ids = Vec::new();
    for content in contents {
        let id = ArtifactId::new(Sha256::digest(content).into());
        fs::write(home.path().join(format!("{id:x}")), content).unwrap();
        ids.push(id);
    }
    let options = StoreOptions {
        durability: Durability::Crash,
        verify_bytes_per_second: rate,
        ..StoreOptions::default()
    };
    let store = Store::open_with(home.path(), options).unwrap();
    (home, store, ids)
}

fn path_of(store: &Store, id: ArtifactId) -> PathBuf {
    store.folder().join(format!("{id:x}"))
}

/// Steps from `from` on for so long. Returns how many steps it took.
fn run(verifier: &mut Verifier, from: Duration, time: Duration) -> usize {
    let (mut now, mut steps) = (from, 0);
    while now < from + time {
        now += verifier.step(now);
        steps += 1;
    }
    steps
}

#[test]
fn everything_is_read_back_at_the_rate_and_not_faster() {
    let contents: Vec<Vec<u8>> = (0..10).map(|number| vec![number; 1 << 20]).collect();
    let (_home, store, _) = opened(&contents, RATE);
    let mut verifier = Verifier::new(store.clone());
    let steps = run(&mut verifier, Duration::ZERO, 5 * SECOND);
    let verified = store.status().verified_bytes;
    assert!((4 * RATE..=5 * RATE).contains(&verified), "{verified} bytes in five seconds");
    assert!(steps < 200, "{steps} steps");
    run(&mut verifier, 5 * SECOND, 10 * SECOND);
    assert_eq!(store.status().verified_bytes, 10 << 20);

    // Once in an hour.
    run(&mut verifier, 15 * SECOND, 3_500 * SECOND);
    assert_eq!(store.status().verified_bytes, 10 << 20);
    run(&mut verifier, 3_600 * SECOND, 30 * SECOND);
    assert_eq!(store.status().verified_bytes, 20 << 20);
}

#[test]
fn rotten_bytes_are_found_although_nothing_shows() {
    let contents = [vec![1; 300_000], vec![2; 10], vec![3; 5]];
    let (_home, store, ids) = opened(&contents, RATE);
    // What was found at the opening: its times say nothing.
    let mut rotten = contents[0].clone();
    rotten[200_000] ^= 4;
    fs::write(path_of(&store, ids[0]), rotten).unwrap();
    let mut verifier = Verifier::new(store.clone());
    run(&mut verifier, Duration::ZERO, 2 * SECOND);
    assert_eq!(store.take_lost(), [ids[0]]);
    assert!(store.contains(ids[1]) && store.contains(ids[2]));
    assert!(!path_of(&store, ids[0]).exists());
}

#[test]
fn what_was_removed_or_changed_is_found_soon_without_reading_everything() {
    let contents: Vec<Vec<u8>> = (0..=255).map(|number| vec![number; 1_000]).collect();
    // So slow that the pass does not come to anything.
    let (_home, store, ids) = opened(&contents, 1);
    for id in &ids {
        store.read_chunk(*id, 0, 1).unwrap();
    }
    let verified = store.status().verified_bytes;
    let mut verifier = Verifier::new(store.clone());
    fs::remove_file(path_of(&store, ids[250])).unwrap();
    fs::write(path_of(&store, ids[3]), b"").unwrap();
    fs::write(path_of(&store, ids[77]), vec![7; 1_000]).unwrap();
    let rotten = fs::File::options().append(true).open(path_of(&store, ids[77])).unwrap();
    rotten.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    run(&mut verifier, Duration::ZERO, 6 * SECOND);
    let mut lost = store.take_lost();
    lost.sort_unstable();
    let mut expected = vec![ids[250], ids[3], ids[77]];
    expected.sort_unstable();
    assert_eq!(lost, expected);
    assert_eq!(store.status().verified_bytes, verified);
}

#[test]
fn a_large_one_is_served_when_it_was_verified_which_is_next() {
    let contents = [vec![1; 5 << 20], vec![2; 5 << 20]];
    let (_home, store, ids) = opened(&contents, 1);
    let mut verifier = Verifier::new(store.clone());
    let first_pass = store.list_from(0, 1)[0].id;
    let wanted = if first_pass == ids[0] { ids[1] } else { ids[0] };
    for _ in 0..3 {
        let error = store.read_chunk(wanted, 17, 5).unwrap_err();
        assert!(matches!(error, StoreError::Unverified(id) if id == wanted), "{error}");
    }
    // At once: no time passes.
    let mut steps = 0;
    while verifier.step(Duration::ZERO).is_zero() {
        steps += 1;
    }
    assert!((5..=8).contains(&steps), "{steps} steps of a megabyte");
    assert_eq!(store.read_chunk(wanted, 17, 5).unwrap().len(), 5);
    assert_eq!(store.status().verified_bytes, 5 << 20);

    // Without a verifier there is nobody else to do it.
    drop(verifier);
    assert_eq!(store.read_chunk(first_pass, 0, 5).unwrap().len(), 5);
}

#[test]
fn a_large_one_that_is_damaged_is_never_served() {
    let (_home, store, ids) = opened(&[vec![1; 5 << 20]], 0);
    let mut damaged = vec![1; 5 << 20];
    damaged[4 << 20] = 2;
    fs::write(path_of(&store, ids[0]), damaged).unwrap();
    let mut verifier = Verifier::new(store.clone());
    assert!(matches!(store.read_chunk(ids[0], 0, 5), Err(StoreError::Unverified(_))));
    while verifier.step(Duration::ZERO).is_zero() {}
    assert!(matches!(store.read_chunk(ids[0], 0, 5), Err(StoreError::NotHeld(_))));
    assert_eq!(store.take_lost(), ids);
}

#[test]
fn it_can_be_turned_off() {
    let (_home, store, ids) = opened(&[vec![1; 1_000]], 0);
    let mut verifier = Verifier::new(store.clone());
    run(&mut verifier, Duration::ZERO, 8_000 * SECOND);
    assert_eq!(store.status().verified_bytes, 0);
    // What is served is verified even so.
    store.read_chunk(ids[0], 0, 1).unwrap();
    assert_eq!(store.status().verified_bytes, 1_000);
}

#[test]
fn a_removed_store_is_noticed_although_nobody_reads() {
    let (_home, store, ids) = opened(&[vec![1; 1_000], vec![2; 1_000]], RATE);
    let mut verifier = Verifier::new(store.clone());
    run(&mut verifier, Duration::ZERO, 2 * SECOND);
    assert_eq!(store.status().verified_bytes, 2_000);
    let kept = fs::read(path_of(&store, ids[0])).unwrap();
    fs::remove_dir_all(store.folder()).unwrap();
    run(&mut verifier, 2 * SECOND, 2 * SECOND);
    assert_eq!((store.count(), store.take_lost().len()), (0, 2));
    assert!(store.folder().join("lock").exists() && store.folder().join("partial").is_dir());

    // What is found in the folder that is there then is read back at once, not after an hour.
    fs::remove_dir_all(store.folder()).unwrap();
    fs::create_dir(store.folder()).unwrap();
    fs::write(path_of(&store, ids[0]), kept).unwrap();
    fs::write(path_of(&store, ids[1]), vec![9; 1_000]).unwrap();
    run(&mut verifier, 4 * SECOND, 3 * SECOND);
    assert!(store.contains(ids[0]) && !store.contains(ids[1]));
}

#[test]
fn what_waits_is_bounded() {
    let asked = Asked::default();
    let id = |number: u32| ArtifactId::new(Sha256::digest(number.to_be_bytes()).into());
    assert!(!asked.ask(id(0)), "there is nobody to ask");
    asked.attach();
    for _ in 0..2 {
        (0..2_000).for_each(|number| assert!(asked.ask(id(number))));
    }
    let waiting: Vec<ArtifactId> = std::iter::from_fn(|| asked.next()).collect();
    assert_eq!(waiting, (0..1024).map(id).collect::<Vec<_>>());
}

#[test]
fn the_thread_verifies_and_ends_with_its_handle() {
    let (home, store, ids) = opened(&[vec![1; 3 << 20]], 1);
    let verifying = store.start_verifying().unwrap();
    let began = std::time::Instant::now();
    while store.read_chunk(ids[0], 0, 1).is_err() {
        assert!(began.elapsed() < 60 * SECOND, "not verified in time");
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(verifying.stop(60 * SECOND));
    drop(store);
    Store::open(home.path()).expect("the thread has left the store");
}

#[test]
fn what_is_asked_for_while_it_is_read_is_read_once() {
    let contents = [vec![1; 5 << 20]];
    let (_home, store, ids) = opened(&contents, 1);
    let mut verifier = Verifier::new(store.clone());
    for _ in 0..2 {
        let error = store.read_chunk(ids[0], 17, 5).unwrap_err();
        assert!(matches!(error, StoreError::Unverified(_)), "{error}");
        assert!(verifier.step(Duration::ZERO).is_zero(), "there is more to read");
    }
    while verifier.step(Duration::ZERO).is_zero() {}
    assert_eq!(store.read_chunk(ids[0], 17, 5).unwrap().len(), 5);
    assert_eq!(store.status().verified_bytes, 5 << 20);
}
