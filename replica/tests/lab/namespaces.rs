//! A network of network namespaces: hosts with an address each on one switch, which falls into two and is made
//! whole, and whose hosts move.
//!
//! It takes the rights of root. Where they are not to be had, [`Network::new`] says so in a line, and the test
//! is over. A network is gone with its owner, and its processes have to be gone before.

use std::{
    fs::File,
    os::fd::AsFd as _,
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    thread,
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Where the hosts' ports are plugged in, and where those of the other half.
const SWITCHES: [&str; 2] = ["whole", "half"];
/// Where `ip` keeps the namespaces that it makes.
const FOLDER: &str = "/run/netns";
/// The network's own address, when the ways between hosts lead through it.
const OWN: &str = "10.77.0.254";
/// The addresses of all hosts, wherever they move.
const HOSTS: &str = "10.77.0.0/25";
/// The routing table by which the network takes what is meant for hosts.
const TABLE: &str = "100";

#[derive(Debug)]
pub(crate) struct Network {
    /// Of its namespaces: its own, and one for each host.
    names: Vec<String>,
    hosts: usize,
}

impl Network {
    /// Hosts on one switch; `None`, with a line that says why, where it cannot be made.
    #[expect(
        clippy::print_stderr,
        reason = "who reads the tests' output must know what did not run"
    )]
    pub(crate) fn new(test: &str, hosts: usize) -> Option<Self> {
        let mut network = Self { names: Vec::new(), hosts };
        match network.make() {
            Ok(()) => Some(network),
            Err(reason) => {
                eprintln!("{test} does not run: no network namespaces can be had here ({reason})");
                None
            }
        }
    }

    fn make(&mut self) -> Result<(), String> {
        static NETWORKS: AtomicU32 = AtomicU32::new(0);
        let number = NETWORKS.fetch_add(1, Relaxed);
        let own = format!("gossip-lab-{}-{number}", std::process::id());
        self.add(own.clone())?;
        for switch in SWITCHES {
            ip(&["-n", &own, "link", "add", switch, "type", "bridge"])?;
            ip(&["-n", &own, "link", "set", switch, "up"])?;
        }
        for host in 0..self.hosts {
            let name = format!("{own}-{host}");
            let port = port(host);
            self.add(name.clone())?;
            let link = ["link", "add", &port, "netns", &own, "type", "veth"];
            ip(&[&link[..], &["peer", "name", "eth0", "netns", &name]].concat())?;
            ip(&["-n", &own, "link", "set", &port, "master", SWITCHES[0]])?;
            ip(&["-n", &own, "link", "set", &port, "up"])?;
            ip(&["-n", &name, "link", "set", "lo", "up"])?;
            ip(&["-n", &name, "link", "set", "eth0", "up"])?;
            ip(&["-n", &name, "addr", "add", &with_prefix(host as u8), "dev", "eth0"])?;
        }
        Ok(())
    }

    fn add(&mut self, name: String) -> Result<(), String> {
        ip(&["netns", "add", &name])?;
        self.names.push(name);
        Ok(())
    }

    /// The same command on a host.
    pub(crate) fn on(&self, host: usize, command: &Command) -> Command {
        let mut there = Command::new("ip");
        there.args(["netns", "exec", &self.names[1 + host]]);
        there.arg(command.get_program()).args(command.get_args()).env_remove("RUST_LOG");
        there
    }

    /// Nothing passes any more between these hosts and the others.
    pub(crate) fn part(&self, hosts: &[usize]) {
        hosts.iter().for_each(|host| self.plug(*host, SWITCHES[1]));
    }

    /// It is one network again.
    pub(crate) fn heal(&self) {
        (0..self.hosts).for_each(|host| self.plug(host, SWITCHES[0]));
    }

    /// From now on, what one host sends to another comes to the network's own namespace instead: to a socket there
    /// that is bound to the other's address, which takes `IP_TRANSPARENT`. Nothing else passes it on.
    pub(crate) fn lead_through_here(&self) {
        let own = &self.names[0];
        let whole = SWITCHES[0];
        ip(&["-n", own, "link", "set", "lo", "up"]).unwrap();
        ip(&["-n", own, "addr", "add", &format!("{OWN}/24"), "dev", whole]).unwrap();
        ip(&["-n", own, "rule", "add", "iif", whole, "lookup", TABLE]).unwrap();
        ip(&["-n", own, "route", "add", "local", "default", "dev", "lo", "table", TABLE]).unwrap();
        for host in &self.names[1..] {
            ip(&["-n", host, "route", "add", HOSTS, "via", OWN]).unwrap();
        }
    }

    /// Runs this in the network's own namespace. A socket stays in the namespace in which it is made.
    pub(crate) fn within<T: Send>(&self, run: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(Path::new(FOLDER).join(&self.names[0])).unwrap();
        let there = || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            run()
        };
        thread::scope(|scope| scope.spawn(there).join().unwrap())
    }

    fn plug(&self, host: usize, switch: &str) {
        ip(&["-n", &self.names[0], "link", "set", &port(host), "master", switch]).unwrap();
    }

    /// Gives a host the address of another place, and takes its own.
    pub(crate) fn move_to(&self, host: usize, place: u8) {
        let name = &self.names[1 + host];
        ip(&["-n", name, "addr", "flush", "dev", "eth0"]).unwrap();
        ip(&["-n", name, "addr", "add", &with_prefix(place), "dev", "eth0"]).unwrap();
    }
}

/// The address of a place, which is that of the host with its number unless it has moved.
pub(crate) fn address(place: u8) -> String {
    format!("10.77.0.{}", place + 1)
}

fn with_prefix(place: u8) -> String {
    format!("{}/24", address(place))
}

fn port(host: usize) -> String {
    format!("port{host}")
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    let output = Command::new("ip").args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("ip: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for name in &self.names {
            // What is left stays until the machine starts anew.
            let _ = ip(&["netns", "del", name]);
        }
    }
}
