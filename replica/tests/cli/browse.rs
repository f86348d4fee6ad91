//! `gossip-replica ls` and `gossip-replica get`, beside a replica that runs and without one.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File, OpenOptions},
    io,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{FileExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::{Duration, SystemTime},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    node::Node,
    program::{Running, command, output, until},
};

/// The name of a file, and what is in it.
const FILES: [(&[u8], &[u8]); 6] = [
    (b"plain", b"plain content"),
    (b"with spaces/and 'quotes' \"x\"", b"spaces"),
    ("grün/日本.txt".as_bytes(), b"UTF-8"),
    (b"-rf", b"an option?"),
    (b"no utf-8 \xff\xfe", b"bytes"),
    (b"empty", b""),
];

/// A replica that publishes, is on its own list as `alice`, and has a folder to copy to.
struct Site {
    folder: TempDir,
    node: Node,
}

impl Site {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let mut node = Node::new(folder.path().join("node"));
        node.more = format!(
            "settle_seconds = 0\n[[peers]]\nkey = {:?}\naddress = '127.0.0.1:1'\nname = 'alice'\n",
            node.id
        );
        Self { folder, node }
    }

    fn start(&mut self) -> Running {
        let log = File::create(self.log()).unwrap();
        self.node.start_as(command(["run", "--config"]), Stdio::from(log), &[])
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn outbox(&self, name: &[u8]) -> PathBuf {
        self.node.folder.join("outbox").join(OsStr::from_bytes(name))
    }

    fn run(&self, command: &str, arguments: &[&OsStr]) -> Output {
        let config = self.node.folder.join("config.toml");
        let own = [OsStr::new(command), OsStr::new("--config"), config.as_os_str()];
        output(own.iter().chain(arguments))
    }

    fn ls(&self, arguments: &[&str]) -> Output {
        let arguments: Vec<&OsStr> = arguments.iter().map(OsStr::new).collect();
        self.run("ls", &arguments)
    }

    /// A line of JSON a file.
    fn files(&self) -> Vec<Value> {
        let listed = self.ls(&["--json"]);
        let text = String::from_utf8(listed.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Gets a file of this publisher's, and says what is in it.
    fn get(&self, publisher: &str, name: &[u8]) -> Vec<u8> {
        let got = self.folder.path().join("got");
        let place = place(publisher, name);
        let done = self.run("get", &[&place, "--force".as_ref(), "-o".as_ref(), got.as_ref()]);
        assert!(done.status.success(), "{place:?}: {done:?}");
        fs::read(got).unwrap()
    }

    fn refusal(&self, status: i32, arguments: &[&OsStr]) -> String {
        let refused = self.run("get", arguments);
        let error = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(status), "{arguments:?}: {error}");
        assert!(refused.stdout.is_empty() && error.starts_with("error: "), "{error}");
        error
    }

    /// Reads all, by the name and by the beginning of the id.
    #[track_caller]
    fn check(&self) {
        let files = self.files();
        assert_eq!(files.len(), FILES.len(), "{files:?}");
        for (name, content) in FILES {
            let hex: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
            let file = match str::from_utf8(name) {
                Ok(name) => files.iter().find(|file| file["path"] == name),
                Err(_) => files.iter().find(|file| file["path_bytes"] == *hex),
            };
            let file = file.unwrap_or_else(|| panic!("{name:?} is missing: {files:?}"));
            assert_eq!((&file["here"], &file["name"]), (&true.into(), &"alice".into()));
            assert_eq!(file["publisher"], self.node.id);
            assert_eq!(file["size"], content.len());
            assert_eq!(self.get("alice", name), content, "{name:?}");
            assert_eq!(self.get(&self.node.id[..4], name), content, "{name:?}");
        }
        let listed = self.ls(&[]);
        let text = String::from_utf8(listed.stdout).unwrap();
        assert!(listed.status.success() && listed.stderr.is_empty(), "{text}");
        assert!(text.lines().nth(1).unwrap().starts_with("alice "), "{text}");
        assert!(text.contains("  here     alice/no utf-8 \\xff\\xfe\n"), "{text}");
        let text = String::from_utf8(self.ls(&["alice/with spaces"]).stdout).unwrap();
        assert_eq!(text.lines().count(), 2, "{text}");
    }
}

fn place(publisher: &str, name: &[u8]) -> OsString {
    OsStr::from_bytes(&[publisher.as_bytes(), b"/", name].concat()).to_owned()
}

#[test]
fn a_folder_of_odd_names_is_read_beside_a_running_replica_and_after_its_end() {
    let mut site = Site::new();
    for (name, content) in FILES {
        let path = site.outbox(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    // What would speak to a terminal is not published.
    fs::write(site.outbox(b"\x1b[2J"), b"escape").unwrap();
    let plain = File::options().write(true).open(site.outbox(b"plain")).unwrap();
    let modified = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789);
    plain.set_modified(modified).unwrap();
    plain.set_permissions(fs::Permissions::from_mode(0o640)).unwrap();
    let mut running = site.start();
    until("all are published", || site.files().len() == FILES.len());
    let log = fs::read_to_string(site.log()).unwrap();
    assert!(log.contains("control character"), "{log}");

    site.check();
    assert_eq!(site.get("alice", b"plain"), b"plain content");
    let got = fs::metadata(site.folder.path().join("got")).unwrap();
    assert_eq!((got.modified().unwrap(), got.permissions().mode() & 0o7777), (modified, 0o640));

    running.signal("TERM");
    assert_eq!(running.end().code(), Some(0));
    site.check();
}

#[test]
fn nobody_has_to_read_what_is_printed() {
    let mut site = Site::new();
    fs::write(site.outbox(b"file"), b"content").unwrap();
    let running = site.start();
    until("it is published", || site.files().len() == 1);
    let config = site.node.folder.join("config.toml");
    for arguments in [&["ls", "--config"][..], &["run", "--check", "--config"]] {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let mut command = command(arguments);
        let printed = command.arg(&config).stdout(writer).output().unwrap();
        assert_eq!((printed.status.code(), printed.stderr), (Some(0), Vec::new()));
    }
    running.kill();
}

#[test]
fn what_get_does_not_do() {
    let mut site = Site::new();
    fs::write(site.outbox(b"file"), b"the content").unwrap();
    fs::create_dir(site.outbox(b"sub")).unwrap();
    fs::write(site.outbox(b"sub/other"), b"other").unwrap();
    let running = site.start();
    until("both are published", || site.files().len() == 2);
    running.kill();
    let target = site.folder.path().join("target");
    let get = |place: &str, more: &[&str]| -> Vec<OsString> {
        let more = more.iter().map(OsString::from);
        [place.into(), "-o".into(), target.clone().into()].into_iter().chain(more).collect()
    };
    let refusal = |status, place: &str| {
        let arguments = get(place, &[]);
        site.refusal(status, &arguments.iter().map(OsString::as_os_str).collect::<Vec<_>>())
    };

    // What is there stays, unless it is said.
    fs::write(&target, "mine").unwrap();
    assert!(refusal(2, "alice/file").contains("--force"));
    assert_eq!(fs::read(&target).unwrap(), b"mine");
    let arguments = get("alice/file", &["--force"]);
    let arguments: Vec<&OsStr> = arguments.iter().map(OsString::as_os_str).collect();
    assert!(site.run("get", &arguments).status.success());
    assert_eq!(fs::read(&target).unwrap(), b"the content");
    fs::remove_file(&target).unwrap();
    let refused = site.refusal(2, &["alice/file", "--force", "-o", "/dev/null"].map(OsStr::new));
    assert!(refused.contains("no regular file"), "{refused}");

    // Standard output, and nothing else on it.
    let printed = site.run("get", &["alice/file", "-o", "-"].map(OsStr::new));
    assert!(printed.status.success() && printed.stdout == b"the content", "{printed:?}");

    for (status, place, names) in [
        (2, "alice", "say which file"),
        (2, "alice/sub", "is a folder of 1 file"),
        (1, "alice/nothing", "alice has no file nothing"),
        (2, "bob/file", "called \"bob\""),
        (2, "al/file", "called \"al\""),
        (2, "alice/../key", "\"..\""),
    ] {
        let refused = refusal(status, place);
        assert!(refused.contains(names), "{place}: {refused}");
    }
    let listed = site.ls(&["alice/nothing"]);
    assert_eq!((listed.status.code(), listed.stdout.len()), (Some(1), 0));

    // A damaged artifact is refused, however it is asked for; so is one that is not here.
    let files = site.files();
    let id = files.iter().find(|file| file["path"] == "file").unwrap()["id"].as_str().unwrap();
    let artifact = site.node.folder.join("store").join(id);
    let damaged = OpenOptions::new().write(true).open(&artifact).unwrap();
    damaged.write_all_at(b"x", 3).unwrap();
    assert!(refusal(1, "alice/file").contains("damaged"));
    let refused = site.refusal(1, &["alice/file", "-o", "-"].map(OsStr::new));
    assert!(refused.contains("damaged"), "{refused}");
    fs::remove_file(&artifact).unwrap();
    assert!(refusal(1, "alice/file").contains("not here yet"));
    assert!(!target.exists());
    let left = fs::read_dir(site.folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<OsString> = left.collect();
    assert_eq!(left.len(), 2, "nothing is left aside: {left:?}");
    let text = String::from_utf8(site.ls(&["alice"]).stdout).unwrap();
    assert!(text.contains("missing  alice/file") && text.contains("here     alice/sub"), "{text}");

    // Of a damaged catalog it is said that it is, and the others are shown.
    let head = fs::read_dir(site.node.folder.join("store/catalogs")).unwrap();
    let heads = head.map(|entry| entry.unwrap().path()).filter(|path| is_head(path));
    for head in heads {
        fs::write(head, "damaged").unwrap();
    }
    let listed = site.ls(&[]);
    let said = String::from_utf8(listed.stderr).unwrap();
    assert!(listed.status.success() && said.starts_with("warning: the folder of alice"), "{said}");
    assert_eq!(site.ls(&["alice"]).status.code(), Some(1));
}

fn is_head(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.len() == 64)
}
