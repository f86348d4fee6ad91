//! What is retired, over a restart and with a file that is damaged.

use std::{fs, time::Duration};

use gossip_engine::ArtifactId;

use super::{MAX_USELESS, Retired};

fn id(number: usize) -> ArtifactId {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    ArtifactId::new(bytes)
}

const fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn sorted(mut ids: Vec<ArtifactId>) -> Vec<ArtifactId> {
    ids.sort_unstable();
    ids
}

#[test]
fn what_is_written_is_there_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("made/retired");
    let mut retired = Retired::open(&path).expect("none");
    assert!(retired.take_change().is_none());
    retired.retire(id(1), at(10));
    retired.retire(id(2), at(20));
    retired.take_change().expect("two lines").write(&path).expect("written");
    retired.keep(id(1));
    retired.keep(id(3));
    retired.retire(id(4), at(30));
    retired.take_change().expect("two lines").write(&path).expect("written");

    let mut retired = Retired::open(&path).expect("read");
    assert!(retired.take_change().is_none(), "nothing has changed");
    assert_eq!([1, 2, 3, 4].map(|number| retired.contains(id(number))), [false, true, false, true]);
    assert_eq!(retired.since(at(20)), [id(2)]);
    assert_eq!(retired.since(at(19)), []);
    retired.forget(at(20));
    assert_eq!(retired.since(at(u64::MAX)), [id(4)]);
}

#[test]
fn half_a_line_costs_that_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("retired");
    let good = format!("{:x} 10\n", id(1));
    let half = format!("{:x} 20", id(2));
    fs::write(&path, [good.as_bytes(), b"\xff\n", b"no id 5\n", half.as_bytes()].concat())
        .expect("written");
    let mut retired = Retired::open(&path).expect("read");
    assert_eq!(retired.since(at(u64::MAX)), [id(1)]);
    // Appended to it, the next line would be lost.
    retired.retire(id(3), at(30));
    retired.take_change().expect("all").write(&path).expect("written");
    let again = Retired::open(&path).expect("read");
    assert_eq!(sorted(again.since(at(u64::MAX))), sorted(vec![id(1), id(3)]));
}

#[test]
fn what_could_not_be_written_is_written_with_the_next_change() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("retired");
    let mut retired = Retired::open(&path).expect("none");
    retired.retire(id(1), at(10));
    fs::create_dir(&path).expect("a folder in the way");
    retired.take_change().expect("a line").write(&path).expect_err("no file");
    retired.not_written();
    fs::remove_dir(&path).expect("mended");
    retired.retire(id(2), at(10));
    retired.take_change().expect("all").write(&path).expect("written");
    let again = Retired::open(&path).expect("read");
    assert_eq!(sorted(again.since(at(10))), sorted(vec![id(1), id(2)]));
}

#[test]
fn the_file_does_not_grow_for_ever() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("retired");
    let mut retired = Retired::open(&path).expect("none");
    let mut longest = 0;
    for round in 0..MAX_USELESS as u64 {
        retired.retire(id(1), at(round));
        retired.keep(id(1));
        if round % 4096 == 0 {
            retired.take_change().expect("lines").write(&path).expect("written");
            longest = longest.max(fs::metadata(&path).expect("there").len());
        }
    }
    assert!(longest > 0 && longest < 2 * 70 * MAX_USELESS as u64, "{longest}");
}
