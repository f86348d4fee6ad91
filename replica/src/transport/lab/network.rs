//! A network in memory: hosts with a socket each, and a line from each host to everybody.

use std::{
    collections::{BTreeMap, HashMap},
    fmt, io,
    io::IoSliceMut,
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use quinn::{
    AsyncUdpSocket, UdpPoller,
    udp::{RecvMeta, Transmit},
};
use tokio::time::{Instant, Sleep, sleep_until};

use super::line::{Line, Weather};

/// What no line carries, in bytes: an Ethernet frame without its headers.
const MAX_DATAGRAM_BYTES: usize = 1472;

/// A network whose hosts all have the same weather on their way out.
#[derive(Clone)]
pub(super) struct Network(Arc<Inner>);

struct Inner {
    weather: Weather,
    hosts: Mutex<HashMap<SocketAddr, Arc<Host>>>,
}

struct Host {
    address: SocketAddr,
    state: Mutex<State>,
}

struct State {
    line: Line,
    /// What is under way to this host, by when it arrives.
    under_way: BTreeMap<(Instant, u64), (SocketAddr, Vec<u8>)>,
    count: u64,
    timer: Pin<Box<Sleep>>,
    reader: Option<Waker>,
    /// The system refuses to receive.
    broken: bool,
}

impl Network {
    pub(super) fn new(weather: Weather) -> Self {
        Self(Arc::new(Inner { weather, hosts: Mutex::default() }))
    }

    /// A new host with an address of its own.
    pub(super) fn host(&self) -> Arc<dyn AsyncUdpSocket> {
        let mut hosts = self.0.hosts.lock().unwrap();
        let number = hosts.len() as u8 + 1;
        let address = SocketAddr::from((Ipv4Addr::new(10, 0, 0, number), 4100));
        let seed = self.0.weather.seed << 8 | u64::from(number);
        let state = State {
            line: Line::new(Weather { seed, ..self.0.weather.clone() }),
            under_way: BTreeMap::new(),
            count: 0,
            timer: Box::pin(sleep_until(Instant::now())),
            reader: None,
            broken: false,
        };
        let host = Arc::new(Host { address, state: Mutex::new(state) });
        hosts.insert(address, host.clone());
        Arc::new(Socket { host, network: self.clone() })
    }

    /// Lets the system of all hosts refuse to receive.
    pub(super) fn break_down(&self) {
        for host in self.0.hosts.lock().unwrap().values() {
            let mut state = host.state.lock().unwrap();
            state.broken = true;
            if let Some(reader) = state.reader.take() {
                reader.wake();
            }
        }
    }

    /// How many datagrams have been lost by chance, and how many to full queues.
    pub(super) fn losses(&self) -> (u64, u64) {
        let hosts = self.0.hosts.lock().unwrap();
        let of = |host: &Arc<Host>| {
            let state = host.state.lock().unwrap();
            (state.line.lost(), state.line.overflown())
        };
        hosts.values().map(of).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }
}

struct Socket {
    host: Arc<Host>,
    network: Network,
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket").field("address", &self.host.address).finish_non_exhaustive()
    }
}

/// Datagrams can be sent at any time; those that are too many are lost.
#[derive(Debug)]
struct Always;

impl UdpPoller for Always {
    fn poll_writable(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncUdpSocket for Socket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Always)
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        assert!(transmit.segment_size.is_none(), "one datagram at a time");
        if transmit.contents.len() > MAX_DATAGRAM_BYTES {
            return Ok(());
        }
        let now = Instant::now().into_std();
        let arrives = {
            let mut state = self.host.state.lock().unwrap();
            state.line.carry(transmit.contents.len(), now)
        };
        let Some(arrives) = arrives else { return Ok(()) };
        let target = self.network.0.hosts.lock().unwrap().get(&transmit.destination).cloned();
        let Some(target) = target else { return Ok(()) };
        let mut state = target.state.lock().unwrap();
        state.count += 1;
        let place = (arrives.into(), state.count);
        state.under_way.insert(place, (self.host.address, transmit.contents.to_vec()));
        if let Some(reader) = state.reader.take() {
            reader.wake();
        }
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.host.state.lock().unwrap();
        if state.broken {
            return Poll::Ready(Err(io::Error::other("broken on purpose")));
        }
        let now = Instant::now();
        let mut received = 0;
        while received < bufs.len().min(meta.len()) {
            let Some(first) = state.under_way.first_entry() else { break };
            if first.key().0 > now {
                break;
            }
            let (from, bytes) = first.remove();
            bufs[received][..bytes.len()].copy_from_slice(&bytes);
            meta[received] = RecvMeta {
                addr: from,
                len: bytes.len(),
                stride: bytes.len(),
                ..RecvMeta::default()
            };
            received += 1;
        }
        if received > 0 {
            return Poll::Ready(Ok(received));
        }
        state.reader = Some(cx.waker().clone());
        if let Some((due, _)) = state.under_way.keys().next().copied() {
            state.timer.as_mut().reset(due);
            if state.timer.as_mut().poll(cx).is_ready() {
                // Due by now: the clock counts in milliseconds.
                cx.waker().wake_by_ref();
            }
        }
        Poll::Pending
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.host.address)
    }

    fn may_fragment(&self) -> bool {
        false
    }
}
