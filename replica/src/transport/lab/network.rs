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

/// A line that several hosts may share on their way out.
pub(super) type SharedLine = Arc<Mutex<Line>>;

/// A network whose hosts all have the same weather on their way out, unless they share a line.
#[derive(Clone)]
pub(super) struct Network(Arc<Inner>);

struct Inner {
    weather: Weather,
    hosts: Mutex<HashMap<SocketAddr, Arc<Host>>>,
}

struct Host {
    address: SocketAddr,
    before: Mutex<Line>,
    line: SharedLine,
    state: Mutex<State>,
}

struct State {
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

    /// A new host with an address and a line of its own.
    pub(super) fn host(&self) -> Arc<dyn AsyncUdpSocket> {
        let number = self.0.hosts.lock().unwrap().len() as u64 + 1;
        let seed = self.0.weather.seed << 8 | number;
        let line = Line::new(Weather { seed, ..self.0.weather.clone() });
        self.host_on(Arc::new(Mutex::new(line)), Weather::default())
    }

    /// A new host on a line that it may share, and what its datagrams meet before. That takes no time.
    pub(super) fn host_on(&self, line: SharedLine, own: Weather) -> Arc<dyn AsyncUdpSocket> {
        let mut hosts = self.0.hosts.lock().unwrap();
        let number = hosts.len() as u8 + 1;
        let address = SocketAddr::from((Ipv4Addr::new(10, 0, 0, number), 4100));
        let state = State {
            under_way: BTreeMap::new(),
            count: 0,
            timer: Box::pin(sleep_until(Instant::now())),
            reader: None,
            broken: false,
        };
        let host = Arc::new(Host {
            address,
            before: Mutex::new(Line::new(own)),
            line,
            state: Mutex::new(state),
        });
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
            let line = host.line.lock().unwrap();
            (line.lost(), line.overflown())
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
        if self.host.before.lock().unwrap().carry(transmit.contents.len(), now).is_none() {
            return Ok(());
        }
        let arrives = self.host.line.lock().unwrap().carry(transmit.contents.len(), now);
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
