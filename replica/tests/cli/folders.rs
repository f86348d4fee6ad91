//! A folder that is the same on all machines: what its publisher adds, renames and removes, and what crashes change.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt as _, fs::PermissionsExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;

use crate::{
    node::{Node, content},
    program::{Running, command, output, until},
};

/// What a folder holds: the content, mode and time of each file, by its path.
pub(crate) fn files(folder: &Path) -> BTreeMap<PathBuf, (Vec<u8>, u32, std::time::SystemTime)> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        // What is being changed may be gone.
        for entry in fs::read_dir(next).into_iter().flatten().flatten() {
            let (path, Ok(metadata)) = (entry.path(), entry.metadata()) else { continue };
            if metadata.is_dir() {
                folders.push(path);
            } else if let (Ok(content), Ok(modified)) = (fs::read(&path), metadata.modified()) {
                let name = path.strip_prefix(folder).expect("below it").to_owned();
                files.insert(name, (content, metadata.permissions().mode() & 0o777, modified));
            }
        }
    }
    files
}

/// As somebody would look whether they are. An emptied folder goes after its files.
#[track_caller]
pub(crate) fn until_same(one: &Path, other: &Path) {
    until("diff -r finds no difference", || {
        let diff =
            Command::new("diff").arg("-r").args([one, other]).output().expect("there is diff");
        diff.status.success() && diff.stdout.is_empty()
    });
}

/// A publisher and two that export, running. The first is the publisher.
struct Three {
    _folder: TempDir,
    nodes: Vec<Node>,
    running: Vec<Running>,
    peers: Vec<(String, String)>,
}

impl Three {
    fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let mut nodes: Vec<Node> =
            (0..3).map(|index| Node::new(folder.path().join(format!("node{index}")))).collect();
        for node in &mut nodes {
            node.more = "settle_seconds = 0\nexport = 'inbox'\n".to_owned();
            fs::create_dir(node.folder.join("inbox")).unwrap();
        }
        let nowhere =
            |(index, node): (usize, &Node)| (node.id.clone(), format!("127.0.0.1:{}", index + 1));
        let mut peers: Vec<_> = nodes.iter().enumerate().map(nowhere).collect();
        // Whose id is smaller is dialled by those that start later.
        let mut running = Vec::new();
        for index in 0..3 {
            running.push(nodes[index].start(&peers));
            peers[index].1 = nodes[index].address.clone();
        }
        // Each knows where each is.
        for node in &nodes {
            node.write_config(&peers);
        }
        Self { _folder: folder, nodes, running, peers }
    }

    fn outbox(&self) -> PathBuf {
        self.nodes[0].folder.join("outbox")
    }

    fn is_everywhere(&self) -> bool {
        let expected = files(&self.outbox());
        self.nodes[1..].iter().all(|node| files(&node.inbox(&self.nodes[0])) == expected)
    }

    #[track_caller]
    fn until_everywhere(&self) {
        until("the folder is the same everywhere", || self.is_everywhere());
        for node in &self.nodes[1..] {
            until_same(&self.outbox(), &node.inbox(&self.nodes[0]));
        }
    }

    fn write(&self, name: impl AsRef<OsStr>, content: &[u8]) {
        let path = self.outbox().join(name.as_ref());
        fs::create_dir_all(path.parent().expect("below the folder")).unwrap();
        fs::write(path, content).unwrap();
    }

    fn kill(&mut self, index: usize) {
        self.running.remove(index).kill();
    }

    fn start_again(&mut self, index: usize) {
        let running = self.nodes[index].start(&self.peers);
        self.running.insert(index, running);
    }

    /// Starts it with a log, and says where that is.
    fn start_logging(&mut self, index: usize) -> PathBuf {
        let log = self.nodes[index].folder.join("log");
        let run = command(["run", "--config"]);
        let to = Stdio::from(fs::File::create(&log).unwrap());
        let running = self.nodes[index].start_as(run, to, &self.peers);
        self.running.insert(index, running);
        log
    }
}

/// Names as people have them, and worse.
pub(crate) fn odd_names() -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = [
        "a b",
        " lead",
        "trail ",
        "-rf",
        "--help",
        ".hidden",
        "...",
        "~",
        "$HOME",
        "*",
        "a'b",
        "a\"b",
        "a\\b",
        "ü/ö/ä",
        "日本/語",
        "CON",
        "aux.h",
        "a:b",
        "#",
        "%41",
        "deep/er/and/deep/er/still",
        "emoji 🦀",
        "a;b|c&d",
        "\u{202e}rtl",
    ]
    .iter()
    .map(|name| name.as_bytes().to_vec())
    .collect();
    names.push(vec![b'n'; 255]);
    names.push(b"no utf-8 \xff\xfe".to_vec());
    names
}

#[test]
fn what_is_added_renamed_and_removed_follows() {
    let three = Three::start();
    for name in odd_names() {
        three.write(OsStr::from_bytes(&name), &name);
    }
    for number in 0..100 {
        three.write(format!("many/{number}"), &content(number));
    }
    three.write("empty", b"");
    fs::set_permissions(three.outbox().join("a b"), fs::Permissions::from_mode(0o755)).unwrap();
    three.until_everywhere();

    // What is no publisher's stays, and is nobody's business.
    let foreign = three.nodes[1].inbox(&three.nodes[0]).join("many/mine");
    fs::write(&foreign, "mine").unwrap();
    fs::rename(three.outbox().join("many/1"), three.outbox().join("renamed")).unwrap();
    fs::rename(three.outbox().join("deep"), three.outbox().join("moved")).unwrap();
    fs::remove_file(three.outbox().join("many/2")).unwrap();
    fs::remove_dir_all(three.outbox().join("ü")).unwrap();
    until("the folder follows", || {
        files(&three.nodes[2].inbox(&three.nodes[0])) == files(&three.outbox())
    });
    until("the other follows", || !three.nodes[1].inbox(&three.nodes[0]).join("many/2").exists());
    assert_eq!(fs::read(&foreign).unwrap(), b"mine");
    fs::remove_file(foreign).unwrap();
    three.until_everywhere();

    // A file becomes a folder, and a folder a file.
    fs::remove_file(three.outbox().join("empty")).unwrap();
    three.write("empty/no longer", b"1");
    fs::remove_dir_all(three.outbox().join("moved")).unwrap();
    three.write("moved", b"2");
    three.until_everywhere();
}

#[test]
fn crashes_at_any_moment_change_nothing() {
    let mut three = Three::start();
    for round in 0..6 {
        for number in 0..20 {
            three.write(format!("{round}/{number}"), &content(number * 7 + round));
        }
        if round > 0 {
            fs::rename(
                three.outbox().join(format!("{}/3", round - 1)),
                three.outbox().join(format!("{round}/was")),
            )
            .unwrap();
            fs::remove_file(three.outbox().join(format!("{}/4", round - 1))).unwrap();
        }
        let victim = round as usize % 3;
        // At whatever it is about by then.
        std::thread::sleep(Duration::from_millis(u64::from(round) * 90));
        three.kill(victim);
        three.write(format!("{round}/while it was away"), b"more");
        three.start_again(victim);
    }
    three.until_everywhere();
}

#[test]
fn an_empty_disk_in_the_place_of_the_folder_removes_nothing() {
    let mut three = Three::start();
    three.write("kept", b"content");
    three.until_everywhere();
    // As after a restart of the machine on which the disk was not mounted.
    three.kill(0);
    let aside = three.nodes[0].folder.join("aside");
    fs::rename(three.outbox(), &aside).unwrap();
    fs::create_dir(three.outbox()).unwrap();
    let log = three.start_logging(0);
    until("it says so", || {
        fs::read_to_string(&log).unwrap().contains("as if its disk were not there")
    });
    assert!(three.nodes[1..].iter().all(|node| node.inbox(&three.nodes[0]).join("kept").exists()));
    fs::remove_dir(three.outbox()).unwrap();
    fs::rename(aside, three.outbox()).unwrap();
    three.write("new", b"it is back");
    three.until_everywhere();
}

#[test]
fn a_publisher_that_gets_a_name_has_a_folder_of_that_name() {
    let three = Three::start();
    three.write("first", b"content");
    three.until_everywhere();
    let (publisher, node) = (&three.nodes[0], &three.nodes[1]);
    let config = node.folder.join("config.toml");
    let key = format!("key = {:?}\n", publisher.id);
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace(&key, &format!("{key}name = 'alice'\n"))).unwrap();
    three.running[1].signal("HUP");
    let named = node.folder.join("inbox/alice");
    until("it is there under its name", || files(&named) == files(&three.outbox()));
    three.write("second", b"more");
    until("it is kept up", || files(&named) == files(&three.outbox()));
    // What was written under the old name stays as it is.
    let before: Vec<PathBuf> = files(&node.inbox(publisher)).into_keys().collect();
    assert_eq!(before, [Path::new("first")]);
}

#[test]
fn what_cannot_be_exported_is_shown_until_it_can() {
    let mut three = Three::start();
    three.kill(1);
    three.nodes[1].more.push_str("http = '0'\n");
    three.start_again(1);
    let http = three.nodes[1].http.clone();
    let shows = |words: &str| {
        let said = output(["status", "--http", &http]).stdout;
        String::from_utf8(said).unwrap().lines().any(|line| line.contains(words))
    };
    let inbox = three.nodes[1].inbox(&three.nodes[0]);
    let in_the_way = inbox.join("file/mine");
    fs::create_dir_all(in_the_way.parent().unwrap()).unwrap();
    fs::write(&in_the_way, "mine").unwrap();
    three.write("file", b"content");
    until("it is shown", || shows("a file is not exported: "));
    fs::remove_file(&in_the_way).unwrap();
    fs::remove_dir(in_the_way.parent().unwrap()).unwrap();
    three.write("another", b"so that it is tried again at once");
    three.until_everywhere();
    until("nothing is left to know", || !shows("not exported"));
}

#[test]
fn nothing_is_exported_to_the_place_of_a_disk_that_is_not_there() {
    let mut three = Three::start();
    three.write("kept", b"content");
    three.until_everywhere();
    three.kill(1);
    let inbox = three.nodes[1].folder.join("inbox");
    let (aside, below) = (inbox.with_file_name("aside"), inbox.with_file_name("below"));
    fs::rename(&inbox, &aside).unwrap();
    let config = three.nodes[1].write_config(&three.peers);
    let check = command(["run", "--check", "--config"]).arg(config).output().unwrap();
    let stderr = String::from_utf8(check.stderr).unwrap();
    assert_eq!(check.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("inbox, which cannot be read: "), "{stderr}");

    fs::create_dir(&inbox).unwrap();
    three.write("new", b"while it was away");
    let log = three.start_logging(1);
    let memory = three.nodes[1].folder.join("store/catalogs/exported");
    until("it says so", || {
        let log = fs::read_to_string(&log).unwrap();
        log.contains("is its disk mounted?") && log.contains(memory.to_str().unwrap())
    });
    until("it holds the new file", || three.nodes[1].held().contains(&b"while it was away"[..]));
    assert_eq!(fs::read_dir(&inbox).unwrap().count(), 0);

    // It is back, and the next change that comes is exported with all the others.
    fs::rename(&inbox, &below).unwrap();
    fs::rename(&aside, &inbox).unwrap();
    three.write("newer", b"it is back");
    three.until_everywhere();
    assert_eq!(fs::read_dir(&below).unwrap().count(), 0);
}
