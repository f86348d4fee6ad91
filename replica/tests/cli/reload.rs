//! A replica whose configuration changes while it runs, and signals that do not end it.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    sync::mpsc,
    thread,
};

use tempfile::TempDir;

use crate::{
    node::{Node, until_all_hold},
    program::{PATIENCE, Running, command, until},
};

/// A replica by itself that logs to a file.
struct Logged {
    node: Node,
    running: Running,
    log: PathBuf,
    config: PathBuf,
    folder: TempDir,
}

impl Logged {
    fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let mut node = Node::new(folder.path().join("node"));
        let log = folder.path().join("log");
        let file = File::create(&log).unwrap();
        let running = node.start_as(command(["run", "--config"]), file.into(), &[]);
        let config = node.folder.join("config.toml");
        Self { node, running, log, config, folder }
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Waits until a line of the log has all these words.
    fn until_said(&self, words: &[&str]) {
        until(&format!("{words:?} is said"), || {
            let log = self.log();
            log.lines().any(|line| words.iter().all(|words| line.contains(words)))
        });
    }

    /// Adds to the configuration, in one step.
    fn add(&self, more: &str) {
        let text = fs::read_to_string(&self.config).unwrap();
        let draft = self.config.with_extension("draft");
        fs::write(&draft, text + more).unwrap();
        fs::rename(draft, &self.config).unwrap();
    }

    fn end(mut self) {
        self.running.signal("TERM");
        assert_eq!(self.running.end().code(), Some(0), "{}", self.log());
        let summary = self.running.line();
        assert!(summary.ends_with(" clean=true"), "{summary}");
    }
}

const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

#[test]
fn signals_that_are_not_about_the_end_do_not_end_it() {
    let logged = Logged::start();
    for signal in ["USR1", "USR2", "HUP", "XFSZ"] {
        logged.running.signal(signal);
    }
    logged.until_said(&["the configuration has been read anew"]);
    logged.node.publish(0..1);
    until("it is published", || logged.node.count() == 1);
    logged.end();
}

#[test]
fn a_changed_file_is_read_anew() {
    let logged = Logged::start();
    logged.add(&format!("[[peers]]\nkey = {KEY:?}\naddress = '127.0.0.1:9'\n"));
    logged.until_said(&["read anew", "added=1", "moved=0", "removed=0"]);
    let text = fs::read_to_string(&logged.config).unwrap();
    fs::write(&logged.config, text.replace(":9'", ":7'")).unwrap();
    logged.until_said(&["read anew", "added=0", "moved=1", "removed=0"]);
    logged.add("[flows.chunk]\nmax_inflight = 200\n");
    logged.until_said(&["the flows have changed"]);
    logged.end();
}

#[test]
fn a_changed_file_of_peers_is_read_anew_and_the_own_entry_is_skipped() {
    let logged = Logged::start();
    let peers = logged.node.folder.join("peers.toml");
    let own = format!("[[peers]]\nkey = {:?}\naddress = '127.0.0.1:5'\n", logged.node.id);
    fs::write(&peers, &own).unwrap();
    logged.add("peers_file = 'peers.toml'\n");
    logged.until_said(&["read anew", "added=0"]);
    fs::write(&peers, format!("{own}[[peers]]\nkey = {KEY:?}\naddress = '127.0.0.1:9'\n")).unwrap();
    logged.until_said(&["read anew", "added=1"]);
    fs::write(&peers, own).unwrap();
    logged.until_said(&["read anew", "removed=1"]);
    logged.end();
}

/// It is the one that the faulty configuration names, which is not what it was before.
#[test]
fn a_faulty_file_of_peers_that_is_mended_is_read_anew() {
    let logged = Logged::start();
    let peers = logged.node.folder.join("peers.toml");
    fs::write(&peers, "colour = 1\n").unwrap();
    logged.add("peers_file = 'peers.toml'\n");
    logged.until_said(&["at fault", "peers.toml, line 1"]);
    fs::write(&peers, format!("[[peers]]\nkey = {KEY:?}\naddress = '127.0.0.1:9'\n")).unwrap();
    logged.until_said(&["read anew", "added=1"]);
    logged.end();
}

#[test]
fn a_pipe_in_place_of_the_configuration_is_refused_and_later_files_are_read() {
    let logged = Logged::start();
    let good = fs::read_to_string(&logged.config).unwrap();
    fs::remove_file(&logged.config).unwrap();
    make_pipe(&logged.config);
    logged.running.signal("HUP");
    logged.until_said(&["at fault", "config.toml", "not a regular file"]);
    fs::remove_file(&logged.config).unwrap();
    fs::write(&logged.config, good).unwrap();
    logged.until_said(&["read anew", "added=0"]);
    logged.end();
}

fn make_pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// As one whose disk does not answer.
#[test]
fn one_that_hangs_at_its_start_ends_when_it_is_asked_to() {
    let folder = TempDir::new().unwrap();
    let node = Node::new(folder.path().join("node"));
    let config = node.write_config(&[]);
    let key = node.folder.join("key");
    fs::remove_file(&key).unwrap();
    make_pipe(&key);
    let mut running = Running::start(command(["run", "--config"]).arg(config));
    let (sender, opened) = mpsc::channel();
    // Opened once the program reads from it.
    thread::spawn(move || sender.send(File::create(key)));
    let _writer = opened.recv_timeout(PATIENCE).expect("the program reads its key").unwrap();
    running.signal("TERM");
    assert_eq!(running.end().code(), Some(0));
}

#[test]
fn a_faulty_file_changes_nothing_and_is_named_with_its_line() {
    let logged = Logged::start();
    let good = fs::read_to_string(&logged.config).unwrap();
    let line = good.lines().count() + 1;
    logged.add("colour = 1\n");
    logged.until_said(&["at fault", &format!("config.toml, line {line}"), "`colour`"]);
    fs::remove_file(&logged.config).unwrap();
    logged.until_said(&["at fault", "cannot read the configuration"]);
    fs::write(&logged.config, &good).unwrap();
    logged.until_said(&["read anew", "added=0", "moved=0", "removed=0"]);
    // What takes a restart.
    fs::write(&logged.config, good.replace("'outbox'", "'other'") + "settle_seconds = 7\n")
        .unwrap();
    logged.running.signal("HUP");
    logged.until_said(&["restart", "publish, settle_seconds"]);
    logged.node.publish(0..1);
    until("it is published from where it was", || logged.node.count() == 1);
    logged.end();
}

#[test]
fn a_peer_that_is_removed_is_cut_off_and_says_why() {
    let folder = TempDir::new().unwrap();
    let one = Logged::start();
    let mut other = Node::new(folder.path().join("other"));
    let log = folder.path().join("log");
    let peers = [(one.node.id.clone(), one.node.address.clone())];
    let mut running =
        other.start_as(command(["run", "--config"]), File::create(&log).unwrap().into(), &peers);
    let alone = fs::read_to_string(&one.config).unwrap();
    one.add(&format!("[[peers]]\nkey = {:?}\naddress = {:?}\n", other.id, other.address));
    one.running.signal("HUP");
    one.node.publish(0..1);
    until_all_hold(&[&one.node, &other], 0..1);

    fs::write(&one.config, alone).unwrap();
    one.running.signal("HUP");
    one.until_said(&["read anew", "added=0", "removed=1"]);
    until("the other says why it is cut off", || {
        let said = fs::read_to_string(&log).unwrap();
        said.lines().any(|line| line.contains("it does not list our key any more"))
    });
    // It dials again, and is not let in.
    until("the other is not let in", || {
        let said = fs::read_to_string(&log).unwrap();
        said.lines()
            .any(|line| line.contains("does not list our key") && !line.contains("any more"))
    });
    one.node.publish(1..2);
    until("it is published", || one.node.count() == 2);
    assert_eq!(other.count(), 1, "nothing comes any more");
    running.signal("TERM");
    assert_eq!(running.end().code(), Some(0));
    one.end();
}

/// Both replicas learn of each other while they run.
#[test]
fn peers_that_are_added_exchange_what_they_have() {
    let folder = TempDir::new().unwrap();
    let mut one = Logged::start();
    let mut other = Node::new(folder.path().join("other"));
    let mut running = other.start(&[]);
    one.add(&format!("[[peers]]\nkey = {:?}\naddress = {:?}\n", other.id, other.address));
    other.write_config(&[(one.node.id.clone(), one.node.address.clone())]);
    one.node.publish(0..3);
    other.publish(3..6);
    until_all_hold(&[&one.node, &other], 0..6);
    running.signal("TERM");
    assert_eq!(running.end().code(), Some(0));
    one.running.signal("TERM");
    assert_eq!(one.running.end().code(), Some(0));
    drop(one.folder);
}
