//! Five replicas as `init` makes them, with its defaults: one keeps a folder, and four keep it as well.

use std::{
    fs,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::{
    folders::{files, odd_names, until_same},
    node::content,
    program::{Running, command, output, until},
};

const FILES: u32 = 500;
/// Which of them publishes, from 0. In the middle, so that it reads of some others when it starts, and some of it.
const PUBLISHER: usize = 2;

struct Five {
    home: TempDir,
    ids: Vec<String>,
    running: Vec<Option<Running>>,
}

impl Five {
    /// Each is made and started, then the next. Loopback addresses of this process alone, so that no other test takes
    /// the ports before the replicas do.
    fn start(net: u8) -> Self {
        let process = std::process::id();
        let host = format!("127.{}.{}", net + (process >> 8) as u8 % 32, process & 0xff);
        let mut five = Self { home: TempDir::new().unwrap(), ids: Vec::new(), running: Vec::new() };
        for index in 0..5 {
            let listen = format!("{host}.{}:4100", index + 1);
            let folder = five.folder(index);
            let mut init = command(["init", folder.to_str().unwrap(), "--listen", &listen]);
            init.arg("--peers").arg(five.home.path().join("peers.toml"));
            if index == PUBLISHER {
                init.args(["--publish", "--http", "0"]);
            }
            let said = init.output().unwrap();
            assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
            let said = String::from_utf8(said.stdout).unwrap();
            let id = said.lines().find_map(|line| line.strip_prefix("id: ")).unwrap();
            five.ids.push(id.to_owned());
            five.running.push(None);
            let ready = five.run(index);
            let expected = format!("ready: id={id} listen={listen}");
            assert!(ready.starts_with(&expected), "{ready}");
            assert_eq!(ready.contains(" http=127.0.0.1:"), index == PUBLISHER, "{ready}");
        }
        five
    }

    fn folder(&self, index: usize) -> PathBuf {
        self.home.path().join(format!("r{}", index + 1))
    }

    fn run(&mut self, index: usize) -> String {
        let config = self.folder(index).join("replica.toml");
        let running = Running::start(command(["run", "--config"]).arg(config).current_dir("/"));
        let ready = running.line();
        self.running[index] = Some(running);
        ready
    }

    fn kill(&mut self, index: usize) {
        self.running[index].take().expect("it runs").kill();
    }

    fn outbox(&self) -> PathBuf {
        self.folder(PUBLISHER).join("outbox")
    }

    /// Where the others have it.
    fn inboxes(&self) -> impl Iterator<Item = PathBuf> {
        let name = &self.ids[PUBLISHER][..16];
        let others = (0..5).filter(|index| *index != PUBLISHER);
        others.map(move |index| self.folder(index).join("inbox").join(name))
    }

    #[track_caller]
    fn until_everywhere(&self) {
        until("the folder is the same everywhere", || {
            let expected = files(&self.outbox());
            self.inboxes().all(|inbox| files(&inbox) == expected)
        });
        self.inboxes().for_each(|inbox| until_same(&self.outbox(), &inbox));
    }

    fn write(&self, name: impl AsRef<Path>, content: &[u8]) {
        let path = self.outbox().join(name);
        fs::create_dir_all(path.parent().expect("below the folder")).unwrap();
        fs::write(path, content).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.outbox().join(from), self.outbox().join(to)).unwrap();
    }

    /// Each ends in order.
    fn end(self) {
        for mut replica in self.running.into_iter().flatten() {
            replica.signal("TERM");
            assert_eq!(replica.end().code(), Some(0));
            let summary = replica.line();
            assert!(summary.starts_with("stopped: artifacts="), "{summary}");
            assert!(summary.ends_with(" clean=true"), "{summary}");
        }
    }
}

/// The odd names again and again, each time in a folder that is called by one of them.
fn many(five: &Five) {
    let odd = odd_names();
    // As a name in a folder as well as that of one.
    let names: Vec<&Path> = odd
        .iter()
        .map(|name| Path::new(std::ffi::OsStr::from_bytes(name)))
        .filter(|name| name.components().count() == 1)
        .collect();
    for number in 0..FILES {
        let at = number as usize;
        let folder = names[at / names.len() % names.len()];
        let path = Path::new("all").join(folder).join(names[at % names.len()]);
        // Their contents differ, but for two in a hundred.
        five.write(path, &content(number % (FILES * 49 / 50)));
    }
}

#[test]
fn a_folder_of_many_odd_names_is_the_same_on_all_and_follows() {
    let five = Five::start(64);
    many(&five);
    assert_eq!(files(&five.outbox()).len(), FILES as usize);
    five.until_everywhere();
    five.rename("all/a b", "all/renamed");
    fs::remove_dir_all(five.outbox().join("all/-rf")).unwrap();
    five.write("all/new", b"new");
    five.until_everywhere();
    let config = five.folder(0).join("replica.toml");
    let listed = output(["ls", "--json", "--config", config.to_str().unwrap()]).stdout;
    let listed = String::from_utf8(listed).unwrap();
    assert_eq!(listed.lines().count(), files(&five.outbox()).len());
    five.end();
}

/// Before, while and after its folder spreads, one after the other, and all of them at the end.
#[test]
fn a_crash_of_each_changes_nothing_of_that() {
    let mut five = Five::start(96);
    many(&five);
    let mut moving = "all/a b".to_owned();
    for victim in 0..5 {
        // What it is about by then depends on the machine.
        let some = five.inboxes().nth(victim % 4).expect("there are four");
        until("some of it is there", || files(&some).len() >= victim * 50);
        five.kill(victim);
        let moved = format!("all/moved {victim}");
        five.rename(&moving, &moved);
        moving = moved;
        five.write(format!("all/while {victim} was away"), b"more");
        five.run(victim);
    }
    fs::remove_dir_all(five.outbox().join("all/-rf")).unwrap();
    (0..5).for_each(|index| five.kill(index));
    (0..5).for_each(|index| drop(five.run(index)));
    five.until_everywhere();
    five.end();
}
