//! A replica whose store is damaged in all ways, while it runs and while it is stopped, and one whose store
//! has no space.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::{
    node::{Node, content},
    program::{Running, command, until},
};

/// Contents that the damaged replica has fetched, and those that it has published.
const FETCHED: std::ops::Range<u32> = 1..7;
const PUBLISHED: std::ops::Range<u32> = 8..14;

/// Every content by its name in a store.
fn artifacts(numbers: impl IntoIterator<Item = u32>) -> BTreeMap<String, Vec<u8>> {
    let named = |number| {
        let content = content(number);
        let digits = Sha256::digest(&content).iter().map(|byte| format!("{byte:02x}")).collect();
        (digits, content)
    };
    numbers.into_iter().map(named).collect()
}

fn holds(node: &Node, artifacts: &BTreeMap<String, Vec<u8>>) -> bool {
    let intact = |(name, content): (&String, &Vec<u8>)| {
        fs::read(node.folder.join("store").join(name)).is_ok_and(|found| found == *content)
    };
    artifacts.iter().all(intact)
}

/// A run of a node, and what it logs.
struct Run {
    running: Running,
    log: PathBuf,
}

impl Run {
    fn start(node: &mut Node, peers: &[(String, String)], number: usize) -> Self {
        let log = node.folder.join(format!("log {number}"));
        let stderr: Stdio = File::create(&log).unwrap().into();
        let running = node.start_as(command(["run", "--config"]), stderr, peers);
        Self { running, log }
    }

    /// Whether a line of the log has all of these words.
    fn said(&self, words: &[&str]) -> bool {
        let log = fs::read_to_string(&self.log).unwrap();
        log.lines().any(|line| words.iter().all(|word| line.contains(word)))
    }

    fn end(mut self) {
        self.running.signal("TERM");
        assert_eq!(self.running.end().code(), Some(0));
        let summary = self.running.line();
        assert!(summary.ends_with(" clean=true"), "{summary}");
    }
}

fn flip(path: &Path) {
    let mut content = fs::read(path).unwrap();
    let middle = content.len() / 2;
    content[middle] ^= 1;
    content[middle + 1] ^= 0x80;
    fs::write(path, content).unwrap();
}

fn cut(path: &Path) {
    fs::File::options().write(true).open(path).unwrap().set_len(3).unwrap();
}

fn empty(path: &Path) {
    fs::write(path, b"").unwrap();
}

fn remove(path: &Path) {
    fs::remove_file(path).unwrap();
}

fn put_folder(path: &Path) {
    remove(path);
    fs::create_dir(path).unwrap();
    fs::write(path.join("in the way"), b"").unwrap();
}

fn put_link(path: &Path) {
    let elsewhere = path.parent().unwrap().join("elsewhere");
    fs::rename(path, &elsewhere).unwrap();
    std::os::unix::fs::symlink(elsewhere, path).unwrap();
}

/// Damages an artifact of these in each way. Returns which.
fn damage(node: &Node, artifacts: &BTreeMap<String, Vec<u8>>) -> Vec<String> {
    let ways = [flip, cut, empty, remove, put_folder, put_link];
    let damaged: Vec<String> = artifacts.keys().take(ways.len()).cloned().collect();
    for (name, way) in damaged.iter().zip(ways) {
        way(&node.folder.join("store").join(name));
    }
    damaged
}

#[test]
fn a_store_that_is_damaged_in_all_ways_is_repaired_and_the_log_says_so() {
    let folder = TempDir::new().unwrap();
    let mut nodes = ["one", "two"].map(|name| Node::new(folder.path().join(name)));
    nodes.sort_by(|one, two| one.id.cmp(&two.id));
    let [mut victim, mut other] = nodes;
    let other_running = Run::start(&mut other, &[(victim.id.clone(), "127.0.0.1:9".into())], 1);
    let peers = [(other.id.clone(), other.address.clone())];
    let running = Run::start(&mut victim, &peers, 1);
    other.publish(FETCHED);
    victim.publish(PUBLISHED);
    let all = artifacts(FETCHED.chain(PUBLISHED));
    let both_hold_all = |victim: &Node| holds(victim, &all) && holds(&other, &all);
    until("both hold everything", || both_hold_all(&victim));

    // While it runs, and somebody removes the folder of what is on its way.
    fs::remove_dir_all(victim.folder.join("store/partial")).unwrap();
    for numbers in [FETCHED, PUBLISHED] {
        for name in damage(&victim, &artifacts(numbers)) {
            until("the damage is reported", || {
                running.said(&[&name, "damaged and no longer held"])
            });
            until("the repair is reported", || running.said(&[&name, "artifact is held again"]));
        }
        until("both hold everything again", || both_hold_all(&victim));
        until("that is reported", || running.said(&["everything that was damaged is held again"]));
    }

    // All of it.
    fs::remove_dir_all(victim.folder.join("store")).unwrap();
    let store = victim.folder.join("store").display().to_string();
    until("the loss is reported", || running.said(&["ERROR", &store, "removed or replaced"]));
    until("both hold everything once more", || both_hold_all(&victim));
    running.end();

    // While it is stopped. What was removed then nobody can know of.
    let damaged = damage(&victim, &artifacts(FETCHED));
    let running = Run::start(&mut victim, &peers, 2);
    for name in damaged.iter().filter(|name| **name != damaged[3]) {
        until("the damage is reported", || running.said(&[name, "damaged and no longer held"]));
        until("the repair is reported", || running.said(&[name, "artifact is held again"]));
    }
    until("both hold everything at the end", || both_hold_all(&victim));
    assert_eq!(fs::read_dir(victim.folder.join("store/partial")).unwrap().count(), 0);
    assert!(!other_running.said(&["damaged"]), "the other was served nothing wrong");
    running.end();
    other_running.end();
}

/// Runs the program with its store on a disk of its own, which has 6 MiB above what is to stay free.
const ON_A_SMALL_DISK: &str =
    "mount -t tmpfs -o size=70m none \"${1%/*}/store\" && exec \"$0\" run --config \"$1\"";
const BIG_BYTES: usize = 8 << 20;

/// Whether a test may mount something where only it sees it.
fn may_mount(folder: &Path) -> bool {
    let script = "mount -t tmpfs -o size=1m none \"$0\"";
    let tried = Command::new("unshare").args(["-m", "sh", "-c", script]).arg(folder).output();
    tried.is_ok_and(|output| output.status.success())
}

#[test]
fn a_disk_without_space_is_told_and_smaller_ones_are_taken() {
    let folder = TempDir::new().unwrap();
    if !may_mount(folder.path()) {
        let _ = writeln!(io::stderr(), "skipped: nothing can be mounted here");
        return;
    }
    let mut nodes = ["one", "two"].map(|name| Node::new(folder.path().join(name)));
    nodes.sort_by(|one, two| one.id.cmp(&two.id));
    let [mut limited, mut other] = nodes;
    let other_running = Run::start(&mut other, &[(limited.id.clone(), "127.0.0.1:9".into())], 1);
    let peers = [(other.id.clone(), other.address.clone())];
    other.publish(FETCHED);
    other.publish_as("big", &vec![7; BIG_BYTES]);
    until("all is published", || other.count() == FETCHED.len() + 1);

    fs::create_dir(limited.folder.join("store")).unwrap();
    let log = limited.folder.join("log 1");
    let mut command = Command::new("unshare");
    command
        .args(["-m", "sh", "-c", ON_A_SMALL_DISK, env!("CARGO_BIN_EXE_gossip-replica")])
        .env_remove("RUST_LOG");
    let stderr = File::create(&log).unwrap().into();
    let running = Run { running: limited.start_as(command, stderr, &peers), log };
    until("it says what is wrong", || running.said(&["WARN", "no space for"]));
    // The files and a catalog, and for some seconds the catalogs before it.
    let enough = |number: usize| running.said(&["behind", &format!("artifacts={number} ")]);
    until("it takes what it can", || (FETCHED.len() + 1..30).any(enough));
    running.end();

    // With space it takes the rest. The disk is gone, so that is everything.
    let running = Run::start(&mut limited, &peers, 2);
    until("all has come", || limited.count() == FETCHED.len() + 1);
    assert!(limited.held() == other.held());
    running.end();
    other_running.end();
}
