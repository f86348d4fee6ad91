//! `gossip-replica run` under a service manager: a datagram socket in place of systemd's, and the unit file.

use std::{
    fs,
    io::{self, Write as _},
    net::UdpSocket,
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixDatagram},
    },
    path::Path,
    process::{Command, Stdio},
};

use tempfile::TempDir;

use crate::{
    node::Node,
    program::{PATIENCE, Running, command},
};

/// What systemd is to a service.
struct Manager {
    socket: UnixDatagram,
    /// What `NOTIFY_SOCKET` says.
    name: String,
}

impl Manager {
    fn new(folder: &Path) -> Self {
        let name = folder.join("notify").to_str().unwrap().to_owned();
        Self::over(UnixDatagram::bind(&name).unwrap(), name)
    }

    fn over(socket: UnixDatagram, name: String) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, name }
    }

    /// Starts a replica that is to say within each half of `watchdog` that it is alive.
    fn start(&self, node: &mut Node, watchdog: &str) -> Running {
        let mut command = command(["run", "--config"]);
        command.env("NOTIFY_SOCKET", &self.name).env("WATCHDOG_USEC", watchdog);
        node.start_as(command, Stdio::null(), &[])
    }

    /// The next word.
    #[track_caller]
    fn word(&self) -> String {
        let mut word = [0; 512];
        let length = self.socket.recv(&mut word).expect("a word comes in time");
        String::from_utf8(word[..length].to_vec()).unwrap()
    }

    /// The next word that is not about being alive.
    #[track_caller]
    fn news(&self) -> String {
        loop {
            let word = self.word();
            if word != "WATCHDOG=1" {
                return word;
            }
        }
    }
}

fn end(mut running: Running) {
    assert_eq!(running.end().code(), Some(0));
    let summary = running.line();
    assert!(summary.ends_with(" clean=true"), "{summary}");
}

#[test]
fn the_service_manager_is_told() {
    let folder = TempDir::new().unwrap();
    let manager = Manager::new(folder.path());
    let mut node = Node::new(folder.path().join("node"));
    let running = manager.start(&mut node, "20000");
    assert_eq!(manager.word(), "READY=1");
    assert!(UdpSocket::bind(&node.address).is_err(), "it listens");
    assert_eq!(node.count(), 0, "its store is open");
    for _ in 0..5 {
        assert_eq!(manager.word(), "WATCHDOG=1");
    }

    // A configuration at fault changes nothing, and is read all the same.
    let config = node.folder.join("config.toml");
    let good = fs::read_to_string(&config).unwrap();
    for text in [format!("{good}colour = 1\n"), good] {
        fs::write(&config, text).unwrap();
        running.signal("HUP");
        let reloading = manager.news();
        let since = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=");
        assert!(since.is_some_and(|since| since.parse::<u64>().is_ok()), "{reloading}");
        assert_eq!(manager.news(), "READY=1");
    }
    assert_eq!(manager.word(), "WATCHDOG=1", "it goes on");

    running.signal("TERM");
    assert_eq!(manager.news(), "STOPPING=1");
    end(running);
}

/// A name that is no file's, as `NOTIFY_SOCKET` may say too, and no watchdog.
#[test]
fn a_manager_without_a_watchdog_is_told_what_it_asks_for() {
    let folder = TempDir::new().unwrap();
    let name = format!("gossip-replica-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let socket = UnixDatagram::bind_addr(&address).unwrap();
    let manager = Manager::over(socket, format!("@{name}"));
    let mut node = Node::new(folder.path().join("node"));
    let running = manager.start(&mut node, "");
    assert_eq!(manager.word(), "READY=1");
    running.signal("TERM");
    assert_eq!(manager.word(), "STOPPING=1");
    end(running);
}

/// One whose socket is full, and one that is not there.
#[test]
fn a_manager_that_takes_nothing_takes_nothing_from_the_replica() {
    let folder = TempDir::new().unwrap();
    let full = Manager::new(folder.path());
    let filler = UnixDatagram::unbound().unwrap();
    filler.set_nonblocking(true).unwrap();
    while filler.send_to(b"full", &full.name).is_ok() {}
    let socket = UnixDatagram::unbound().unwrap();
    let nowhere = Manager::over(socket, "/no/such".to_owned());
    for manager in [full, nowhere] {
        let mut node = Node::new(folder.path().join("node").join(manager.name.len().to_string()));
        let running = manager.start(&mut node, "20000");
        running.signal("TERM");
        end(running);
    }
}

#[test]
fn the_unit_file_is_one() {
    let folder = TempDir::new().unwrap();
    let unit = include_str!("../../../packaging/gossip-replica.service");
    let path = folder.path().join("gossip-replica.service");
    // What it starts has to be there.
    let here = unit.replace("/usr/bin/gossip-replica", env!("CARGO_BIN_EXE_gossip-replica"));
    assert_ne!(here, unit);
    fs::write(&path, here).unwrap();
    let verified = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&path).output();
    let Ok(verified) = verified else {
        let _ = writeln!(io::stderr(), "skipped: no systemd-analyze here");
        return;
    };
    // A word that it does not know is said and no failure.
    let said = [verified.stdout, verified.stderr].concat();
    assert_eq!(String::from_utf8_lossy(&said), "");
    assert!(verified.status.success());
}
