//! `gossip-replica run`: four processes.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::program::{Running, command, output, until};

/// One replica of the cluster: its folder has its key, its configuration, its store and what it publishes.
struct Node {
    folder: PathBuf,
    id: String,
    address: String,
}

impl Node {
    fn new(folder: PathBuf) -> Self {
        fs::create_dir_all(folder.join("outbox")).unwrap();
        let made = output(["keygen", folder.join("key").to_str().unwrap()]);
        let id = String::from_utf8(made.stdout).unwrap().trim_end().to_owned();
        Self { folder, id, address: "127.0.0.1:0".to_owned() }
    }

    /// Starts it, and learns where it listens.
    fn start(&mut self, peers: &[(String, String)]) -> Running {
        let mut config = format!(
            "listen = {:?}\nkey_file = 'key'\nstore = 'store'\npublish = 'outbox'\n\
             rescan_seconds = 1\nchunk_size = 16384\n",
            self.address
        );
        for (key, address) in peers.iter().filter(|(key, _)| *key != self.id) {
            write!(config, "[[peers]]\nkey = {key:?}\naddress = {address:?}\n").unwrap();
        }
        let path = self.folder.join("config.toml");
        fs::write(&path, config).unwrap();
        // From somewhere else: paths are relative to the file.
        let running = Running::start(command(["run", "--config"]).arg(path).current_dir("/"));
        let ready = running.line();
        let (id, address) = ready
            .strip_prefix("ready: id=")
            .and_then(|ready| ready.split_once(" listen="))
            .unwrap();
        assert_eq!(id, self.id);
        self.address = address.to_owned();
        running
    }

    /// Publishes these contents: a file is moved in when it is complete.
    fn publish(&self, numbers: std::ops::Range<u32>) {
        for number in numbers {
            let draft = self.folder.join("draft");
            fs::write(&draft, content(number)).unwrap();
            fs::rename(draft, self.folder.join("outbox").join(format!("file {number}"))).unwrap();
        }
    }

    /// The contents that it holds.
    fn held(&self) -> BTreeSet<Vec<u8>> {
        let entries = fs::read_dir(self.folder.join("store")).unwrap().map(|entry| entry.unwrap());
        let artifacts = entries.filter(|entry| entry.file_name().len() == 64);
        artifacts.map(|artifact| fs::read(artifact.path()).unwrap()).collect()
    }

    fn count(&self) -> usize {
        let entries = fs::read_dir(self.folder.join("store")).unwrap().map(|entry| entry.unwrap());
        entries.filter(|entry| entry.file_name().len() == 64).count()
    }
}

fn content(number: u32) -> Vec<u8> {
    let bytes = number.to_be_bytes();
    bytes.iter().copied().cycle().take(4 + number as usize % 7 * 20_000).collect()
}

fn contents(numbers: std::ops::Range<u32>) -> BTreeSet<Vec<u8>> {
    numbers.map(content).collect()
}

#[track_caller]
fn until_all_hold(nodes: &[&Node], numbers: std::ops::Range<u32>) {
    let expected = contents(numbers);
    until("all hold everything", || nodes.iter().all(|node| node.count() >= expected.len()));
    for node in nodes {
        assert!(node.held() == expected, "{} holds something else", node.folder.display());
    }
}

/// Nodes of a cluster, running. The peers that a replica dials are those with greater ids, so the
/// greatest is started first; where the smaller ones listen it need not know.
fn start(folder: &Path) -> (Vec<Node>, Vec<Running>, Vec<(String, String)>) {
    let mut nodes: Vec<Node> =
        (0..4).map(|index| Node::new(folder.join(format!("node {index}")))).collect();
    nodes.sort_by(|one, two| one.id.cmp(&two.id));
    let mut peers: Vec<_> =
        nodes.iter().map(|node| (node.id.clone(), "127.0.0.1:9".to_owned())).collect();
    let mut running = Vec::new();
    for index in (0..nodes.len()).rev() {
        running.insert(0, nodes[index].start(&peers));
        peers[index].1 = nodes[index].address.clone();
    }
    (nodes, running, peers)
}

#[test]
fn four_processes_and_one_that_is_killed_and_comes_back() {
    let folder = TempDir::new().unwrap();
    let (mut nodes, mut running, peers) = start(folder.path());
    nodes[0].publish(0..40);
    nodes[3].publish(40..60);
    let victim = 2;
    until("the victim is in the middle", || nodes[victim].count() > 0);
    running.remove(victim).kill();

    nodes[1].publish(60..80);
    until_all_hold(&[&nodes[0], &nodes[1], &nodes[3]], 0..80);
    let restarted = nodes[victim].start(&peers);
    let all: Vec<&Node> = nodes.iter().collect();
    until_all_hold(&all, 0..80);
    // A full member again.
    nodes[victim].publish(80..90);
    until_all_hold(&all, 0..90);
    running.push(restarted);

    #[cfg(unix)]
    for (index, mut running) in running.into_iter().enumerate() {
        running.signal(if index % 2 == 0 { "TERM" } else { "INT" });
        assert_eq!(running.end().code(), Some(0));
        let summary = running.line();
        assert!(summary.starts_with("stopped: artifacts=90 bytes="), "{summary}");
        assert!(summary.ends_with(" clean=true"), "{summary}");
    }
}
