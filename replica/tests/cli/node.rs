//! A replica that is run by the program: its folder, how it starts, what it holds.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use crate::{
    page::get,
    program::{Running, command, output, until},
};

/// One replica of the cluster: its folder has its key, its configuration, its store and what it publishes.
pub(crate) struct Node {
    pub(crate) folder: PathBuf,
    pub(crate) id: String,
    pub(crate) address: String,
    /// Of the chunks of what it publishes.
    pub(crate) chunk_bytes: u32,
    /// Further lines of its configuration.
    pub(crate) more: String,
    /// Where its page is, if it has one.
    pub(crate) http: String,
}

impl Node {
    pub(crate) fn new(folder: PathBuf) -> Self {
        fs::create_dir_all(folder.join("outbox")).unwrap();
        let made = output(["keygen", folder.join("key").to_str().unwrap()]);
        let id = String::from_utf8(made.stdout).unwrap().trim_end().to_owned();
        let (address, more, http) = ("127.0.0.1:0".to_owned(), String::new(), String::new());
        Self { folder, id, address, chunk_bytes: 16_384, more, http }
    }

    /// Starts it, and learns where it listens.
    pub(crate) fn start(&mut self, peers: &[(String, String)]) -> Running {
        self.start_as(command(["run", "--config"]), Stdio::null(), peers)
    }

    /// Starts it by a command of one's own, which ends where the path of the configuration follows, and
    /// with a place for what it logs.
    pub(crate) fn start_as(
        &mut self,
        mut command: Command,
        log: Stdio,
        peers: &[(String, String)],
    ) -> Running {
        let path = self.write_config(peers);
        // From somewhere else: paths are relative to the file.
        let running = Running::start_logging(command.arg(path).current_dir("/"), log);
        let ready = running.line();
        let (id, address) = ready
            .strip_prefix("ready: id=")
            .and_then(|ready| ready.split_once(" listen="))
            .unwrap();
        assert_eq!(id, self.id);
        let (address, http) = address.split_once(" http=").unwrap_or((address, ""));
        (self.address, self.http) = (address.to_owned(), http.to_owned());
        running
    }

    /// Writes its configuration, and says where it is.
    pub(crate) fn write_config(&self, peers: &[(String, String)]) -> PathBuf {
        let mut config = format!(
            "listen = {:?}\nkey_file = 'key'\nstore = 'store'\npublish = 'outbox'\n\
             rescan_seconds = 1\nchunk_size = {}\n{}",
            self.address, self.chunk_bytes, self.more
        );
        for (key, address) in peers.iter().filter(|(key, _)| *key != self.id) {
            write!(config, "[[peers]]\nkey = {key:?}\naddress = {address:?}\n").unwrap();
        }
        let path = self.folder.join("config.toml");
        fs::write(&path, config).unwrap();
        path
    }

    /// Publishes these contents.
    pub(crate) fn publish(&self, numbers: std::ops::Range<u32>) {
        for number in numbers {
            self.publish_as(&format!("file {number}"), &content(number));
        }
    }

    /// Publishes a file: it is moved in when it is complete.
    pub(crate) fn publish_as(&self, name: &str, content: &[u8]) {
        let draft = self.folder.join("draft");
        fs::write(&draft, content).unwrap();
        fs::rename(draft, self.folder.join("outbox").join(name)).unwrap();
    }

    /// How many bytes the files have that it is fetching or importing.
    pub(crate) fn partial_bytes(&self) -> u64 {
        let entries = fs::read_dir(self.folder.join("store/partial")).unwrap();
        // One may be gone again.
        entries.filter_map(|entry| entry.unwrap().metadata().ok()).map(|entry| entry.len()).sum()
    }

    /// One of its metrics, while it runs with a page. They are those of the last second; 0 before there are any.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let metrics = get(&self.http, "/metrics");
        let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map_or(0, |value| value.parse().unwrap())
    }

    /// The contents of files that it holds.
    pub(crate) fn held(&self) -> BTreeSet<Vec<u8>> {
        let entries = fs::read_dir(self.folder.join("store")).unwrap().map(|entry| entry.unwrap());
        let artifacts = entries.filter(|entry| entry.file_name().len() == 64);
        // A catalog that is no longer the newest may go at any time.
        let contents = artifacts.filter_map(|artifact| fs::read(artifact.path()).ok());
        contents.filter(|content| !content.starts_with(b"gossip-catalog/")).collect()
    }

    /// How many of them.
    pub(crate) fn count(&self) -> usize {
        self.held().len()
    }

    /// Where it exports to, if its configuration says so.
    pub(crate) fn inbox(&self, publisher: &Self) -> PathBuf {
        self.folder.join("inbox").join(&publisher.id[..16])
    }
}

pub(crate) fn content(number: u32) -> Vec<u8> {
    let bytes = number.to_be_bytes();
    bytes.iter().copied().cycle().take(4 + number as usize % 7 * 20_000).collect()
}

pub(crate) fn contents(numbers: std::ops::Range<u32>) -> BTreeSet<Vec<u8>> {
    numbers.map(content).collect()
}

#[track_caller]
pub(crate) fn until_all_hold(nodes: &[&Node], numbers: std::ops::Range<u32>) {
    let expected = contents(numbers);
    until("all hold everything", || nodes.iter().all(|node| node.count() >= expected.len()));
    for node in nodes {
        assert!(node.held() == expected, "{} holds something else", node.folder.display());
    }
}
