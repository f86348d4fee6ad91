//! What is published of a folder, what is not, and what is said of it.

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{
    node::Node,
    program::{Running, command, output, until},
};

/// A replica by itself, with these lines more in its configuration, and where it logs to.
struct Alone {
    folder: TempDir,
    node: Node,
}

impl Alone {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let node = Node::new(folder.path().join("node"));
        Self { folder, node }
    }

    fn start(&self, more: &str) -> Running {
        let path = self.node.write_config(&[]);
        let config = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{config}{more}\n")).unwrap();
        let log = File::create(self.log_path()).unwrap();
        let mut run = command(["run", "--config"]);
        let running = Running::start_logging(run.arg(path), Stdio::from(log));
        assert!(running.line().starts_with("ready: "));
        running
    }

    fn log_path(&self) -> std::path::PathBuf {
        self.folder.path().join("log")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap()
    }

    fn outbox(&self, name: &str) -> std::path::PathBuf {
        self.node.folder.join("outbox").join(name)
    }
}

#[track_caller]
fn said(log: &str, words: &[&str]) -> usize {
    log.lines().filter(|line| words.iter().all(|words| line.contains(words))).count()
}

/// Writes to a file all the time, until it is stopped.
struct Growing {
    stop: Arc<AtomicBool>,
    /// The longest time without a writing.
    thread: JoinHandle<Duration>,
}

impl Growing {
    fn new(mut file: File) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
            while !stopped.load(Ordering::Relaxed) {
                file.write_all(b"a piece ").unwrap();
                longest = longest.max(last.elapsed());
                last = Instant::now();
                // Time enough to be read as a whole in between.
                thread::sleep(Duration::from_millis(300));
            }
            longest
        });
        Self { stop, thread }
    }

    fn stop(self) -> Duration {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

#[test]
fn a_growing_file_is_one_artifact() {
    const SETTLE: Duration = Duration::from_secs(3);
    let alone = Alone::new();
    let running = alone.start("settle_seconds = 3");
    let growing = Growing::new(File::create(alone.outbox("growing")).unwrap());
    // Others that have come later and settled have been seen in several scans.
    for other in ["later", "latest"] {
        fs::write(alone.outbox(other), other).unwrap();
        until("the other one is published", || alone.node.held().contains(other.as_bytes()));
    }
    let longest = growing.stop();
    let whole = fs::read(alone.outbox("growing")).unwrap();
    until("it is published as a whole", || alone.node.held().contains(&whole));
    // A machine that stops for so long makes a file that has settled.
    assert!(alone.node.count() == 3 || longest >= SETTLE, "{} artifacts", alone.node.count());
    drop(running);
}

#[test]
fn a_file_that_another_one_of_equal_length_and_time_replaces_is_published() {
    let alone = Alone::new();
    let running = alone.start("settle_seconds = 0");
    fs::write(alone.outbox("file"), "one").unwrap();
    until("it is published", || alone.node.count() == 1);
    let modified = fs::metadata(alone.outbox("file")).unwrap().modified().unwrap();
    let draft = alone.folder.path().join("draft");
    fs::write(&draft, "two").unwrap();
    OpenOptions::new().write(true).open(&draft).unwrap().set_modified(modified).unwrap();
    fs::rename(draft, alone.outbox("file")).unwrap();
    until("the other one is published", || alone.node.count() == 2);
    drop(running);
}

#[test]
fn what_is_not_published_is_said_once_with_the_reason() {
    let alone = Alone::new();
    for folder in [".git", "sub/target"] {
        fs::create_dir_all(alone.outbox(folder)).unwrap();
        fs::write(alone.outbox(folder).join("file"), "").unwrap();
    }
    fs::write(alone.outbox(".gitignore"), "target/\n").unwrap();
    std::os::unix::fs::symlink("/etc/hostname", alone.outbox("link")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(alone.outbox("socket")).unwrap();
    assert!(output(["keygen", alone.outbox("photo.jpg").to_str().unwrap()]).status.success());
    let running = alone.start("settle_seconds = 0");
    fs::write(alone.outbox("file"), "one").unwrap();
    until("it is published", || alone.node.count() == 2);
    // The reason changes.
    fs::remove_file(alone.outbox("link")).unwrap();
    let _other = std::os::unix::net::UnixListener::bind(alone.outbox("link")).unwrap();
    until("the new reason is said", || said(&alone.log(), &["outbox/link", "regular"]) > 0);
    // A scan more.
    fs::write(alone.outbox("file 2"), "two").unwrap();
    until("it is published", || alone.node.count() == 3);
    let log = alone.log();
    for words in [
        &["outbox/.git", "a folder of this name is not published"][..],
        &["outbox/sub/target", "excluded by", "outbox/.gitignore"],
        &["outbox/link", "a symbolic link"],
        &["outbox/link", "not a regular file"],
        &["outbox/socket", "not a regular file"],
        &["outbox/photo.jpg", "is a private key"],
    ] {
        assert_eq!(said(&log, words), 1, "{words:?}: {log}");
    }
    drop(running);
}

#[test]
fn what_cannot_be_read_is_said_once_with_its_path_and_the_reason() {
    use std::os::unix::fs::PermissionsExt as _;

    let alone = Alone::new();
    let locked = alone.outbox("locked");
    fs::create_dir(&locked).unwrap();
    fs::write(locked.join("file"), "hidden").unwrap();
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o000)).unwrap();
    // Root reads everything.
    let is_locked = fs::read_dir(&locked).is_err();
    make_overlong(&alone.node.folder.join("outbox"));
    let running = alone.start("settle_seconds = 0");
    // Scans later.
    for number in 1..=2 {
        fs::write(alone.outbox(&format!("file {number}")), number.to_string()).unwrap();
        let whole = number.to_string();
        until("it is published", || alone.node.held().contains(whole.as_bytes()));
    }
    let log = alone.log();
    assert_eq!(said(&log, &["outbox/deep", "not published", "File name too long"]), 1, "{log}");
    if is_locked {
        assert_eq!(said(&log, &["outbox/locked", "not published", "denied"]), 1, "{log}");
    }
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o700)).unwrap();
    drop(running);
}

/// Folders in folders, until the system takes their path no more.
fn make_overlong(outbox: &Path) {
    let shell = "i=0; while [ $i -lt 50 ]; do mkdir deep && cd -P deep 2>/dev/null || exit 1; i=$((i+1)); done";
    let name = format!("deep{}", "x".repeat(200));
    let shell = shell.replace("deep", &name);
    let made = Command::new("sh").args(["-c", &shell]).current_dir(outbox).status().unwrap();
    assert!(made.success());
}

#[test]
fn the_replicas_own_files_are_left_out() {
    let folder = TempDir::new().unwrap();
    let home = folder.path();
    let outbox = home.join("outbox");
    fs::create_dir(&outbox).unwrap();
    assert!(output(["keygen", home.join("key").to_str().unwrap()]).status.success());
    let config = outbox.join("replica.toml");
    let text = "listen = '127.0.0.1:0'\nkey_file = '../key'\nstore = '../store'\npublish = '.'\n\
                rescan_seconds = 1\nsettle_seconds = 0\npeers_file = 'peers.toml'\n";
    fs::write(&config, text).unwrap();
    fs::write(outbox.join("peers.toml"), "").unwrap();
    // The key again, under another name.
    fs::hard_link(home.join("key"), outbox.join("notes")).unwrap();
    let log = outbox.join("replica.log");
    let running = Running::start_logging(
        command(["run", "--config"]).arg(&config),
        File::create(&log).unwrap().into(),
    );
    assert!(running.line().starts_with("ready: "));
    fs::write(outbox.join("file"), "the only one").unwrap();
    let held = || {
        let entries = fs::read_dir(home.join("store")).unwrap().map(Result::unwrap);
        let artifacts = entries.filter(|entry| entry.file_name().len() == 64);
        let contents = artifacts.filter_map(|artifact| fs::read(artifact.path()).ok());
        contents.filter(|content| !content.starts_with(b"gossip-catalog/")).collect::<Vec<_>>()
    };
    until("it is published", || !held().is_empty());
    fs::write(outbox.join("file 2"), "and this").unwrap();
    until("it is published", || held().len() > 1);
    let mut held = held();
    held.sort();
    assert_eq!(held, [&b"and this"[..], b"the only one"]);
    let log = fs::read_to_string(&log).unwrap();
    for name in ["replica.toml", "peers.toml", "replica.log", "notes"] {
        assert_eq!(said(&log, &[name, "not published"]), 1, "{name}: {log}");
    }
    drop(running);
}

#[test]
fn a_folder_that_contains_the_key_or_meets_the_store_is_refused() {
    let folder = TempDir::new().unwrap();
    let home = folder.path();
    fs::create_dir_all(home.join("box/inner")).unwrap();
    fs::create_dir(home.join("outbox")).unwrap();
    for key in ["key", "box/key"] {
        assert!(output(["keygen", home.join(key).to_str().unwrap()]).status.success());
    }
    let refusal = |key: &str, store: &str, publish: &str| {
        let text = format!(
            "listen = '127.0.0.1:0'\nkey_file = {key:?}\nstore = {store:?}\npublish = {publish:?}\n"
        );
        let config = home.join("replica.toml");
        fs::write(&config, text).unwrap();
        let out = output(["run", "--log", "off", "--config", config.to_str().unwrap()]);
        let stderr = String::from_utf8(out.stderr).unwrap();
        assert_eq!(out.status.code(), Some(2), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        stderr
    };
    for (key, store, publish, words) in [
        ("key", "store", ".", "contains the store"),
        ("box/key", "store", "box", "contains the key file"),
        ("key", "outbox", "outbox", "is the store"),
        ("key", "outbox/new/store", "outbox", "contains the store"),
        ("key", "box", "box/inner", "lies in the store"),
    ] {
        let refusal = refusal(key, store, publish);
        assert!(refusal.contains(words), "{refusal}");
    }
    assert!(!Path::new(&home.join("store")).exists(), "nothing is made");
}
