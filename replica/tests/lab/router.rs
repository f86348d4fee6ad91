//! Bad lines between the hosts of a network of namespaces: all that a host sends passes a line of its own.
//!
//! ```text
//! host 0 ── switch ──> socket as host 1 ── line of host 0 ──> socket as host 0 ── switch ──> host 1
//! ```
//!
//! The router has a socket for each host, bound to the host's address. What host 0 sends to host 1 arrives at the
//! socket of host 1, and leaves by that of host 0, so host 1 sees where it comes from. Hosts send from one port, to
//! one port. The kernel cuts what a host has handed over in large pieces, so each datagram is decided for alone.
//!
//! The clock of the timers counts in milliseconds, so a datagram arrives up to one later than its line says.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::{net::UdpSocket, task::JoinSet, time::Instant};

use super::{
    line::{Line, Weather},
    namespaces::{Network, address},
    relay::{Hop, forward},
};

/// What waits in a socket until the router reads it, in bytes; the system may grant less.
const SOCKET_BYTES: usize = 4 << 20;

/// Lives as long as its owner.
#[derive(Debug)]
pub(crate) struct Router {
    /// By host.
    lines: Arc<[Mutex<Line>]>,
    _sockets: JoinSet<()>,
}

impl Router {
    /// Leads the ways between so many hosts through lines of this weather. It has to be called in a runtime.
    pub(crate) fn between(network: &Network, hosts: usize, port: u16, weather: &Weather) -> Self {
        network.lead_through_here();
        let line = |host: usize| {
            let seed = weather.seed << 8 | (host as u64 + 1);
            Mutex::new(Line::new(Weather { seed, ..weather.clone() }))
        };
        let lines: Arc<[_]> = (0..hosts).map(line).collect();
        let addresses: Arc<[IpAddr]> =
            (0..hosts).map(|host| address(host as u8).parse().unwrap()).collect();
        let bound = network
            .within(|| addresses.iter().map(|ip| bind((*ip, port).into())).collect::<Vec<_>>());
        let sockets: Arc<[_]> = bound
            .into_iter()
            .map(|socket| Arc::new(UdpSocket::from_std(socket).unwrap()))
            .collect();
        let mut tasks = JoinSet::new();
        for target in 0..hosts {
            let (lines, addresses, sockets) = (lines.clone(), addresses.clone(), sockets.clone());
            let from = sockets[target].clone();
            let target = SocketAddr::from((addresses[target], port));
            tasks.spawn(forward(from, move |length, source| {
                let host = addresses.iter().position(|address| *address == source.ip())?;
                let now = Instant::now().into_std();
                let due = lines[host].lock().unwrap().carry(length, now)?.into();
                Some(Hop { due, socket: sockets[host].clone(), target })
            }));
        }
        Self { lines, _sockets: tasks }
    }

    /// How many datagrams were lost because the router did not read in time, which no line had decided.
    pub(crate) fn missed(network: &Network) -> u64 {
        let counts = network.within(|| fs::read_to_string("/proc/thread-self/net/snmp").unwrap());
        let mut rows = counts.lines().filter_map(|row| row.strip_prefix("Udp: "));
        let (names, values) = (rows.next().unwrap(), rows.next().unwrap());
        let mut counts = names.split(' ').zip(values.split(' '));
        let (_, missed) = counts.find(|(name, _)| *name == "RcvbufErrors").unwrap();
        missed.parse().unwrap()
    }

    /// How many datagrams have been lost by chance, and how many to full queues.
    pub(crate) fn losses(&self) -> (u64, u64) {
        self.lines.iter().fold((0, 0), |(lost, overflown), line| {
            let line = line.lock().unwrap();
            (lost + line.lost(), overflown + line.overflown())
        })
    }
}

/// A socket with the address of another host.
fn bind(address: SocketAddr) -> std::net::UdpSocket {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)).unwrap();
    socket.set_ip_transparent_v4(true).unwrap();
    socket.set_recv_buffer_size(SOCKET_BYTES).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket.bind(&address.into()).unwrap();
    socket.into()
}
