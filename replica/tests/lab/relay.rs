//! A bad network between a replica that dials and one that listens: it carries datagrams as its lines do,
//! lets through only so much, and can be cut and healed.
//!
//! On the loopback interface and in real time, so the same seed does not make two runs the same.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use tokio::{
    net::UdpSocket,
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::line::{Line, Weather};

const MAX_DATAGRAM_BYTES: usize = 1 << 16;

#[derive(Debug)]
struct Shared {
    /// How many more bytes get through, both ways together; 0 while the network is cut.
    budget: AtomicU64,
    /// By their direction.
    lines: [Mutex<Line>; 2],
    dialler: Mutex<Option<SocketAddr>>,
    target: SocketAddr,
}

/// Lives as long as its owner.
#[derive(Debug)]
pub(crate) struct Relay {
    shared: Arc<Shared>,
    address: SocketAddr,
    _directions: JoinSet<()>,
}

#[derive(Clone, Copy, Debug)]
enum Direction {
    There,
    Back,
}

impl Relay {
    /// A way to `target`, for one that dials [`address`](Self::address).
    pub(crate) async fn to(target: SocketAddr, weather: Weather) -> Self {
        let front = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap());
        let back = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap());
        let address = front.local_addr().unwrap();
        let line = |way| {
            let seed = weather.seed << 1 | way as u64;
            Mutex::new(Line::new(Weather { seed, ..weather.clone() }))
        };
        let shared = Arc::new(Shared {
            budget: AtomicU64::new(u64::MAX),
            lines: [line(Direction::There), line(Direction::Back)],
            dialler: Mutex::new(None),
            target,
        });
        let mut directions = JoinSet::new();
        let there = shared.clone().pass_on(front.clone(), back.clone(), Direction::There);
        directions.spawn(there);
        directions.spawn(shared.clone().pass_on(back, front, Direction::Back));
        Self { shared, address, _directions: directions }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets through so many bytes more, and then nothing; 0 cuts it.
    pub(crate) fn limit(&self, bytes: u64) {
        self.shared.budget.store(bytes, Relaxed);
    }

    pub(crate) fn heal(&self) {
        self.limit(u64::MAX);
    }

    /// How many datagrams have been lost by chance.
    pub(crate) fn lost(&self) -> u64 {
        self.shared.lines.iter().map(|line| line.lock().unwrap().lost()).sum()
    }
}

impl Shared {
    /// What comes to `from` in this direction is sent by `to`.
    async fn pass_on(self: Arc<Self>, from: Arc<UdpSocket>, to: Arc<UdpSocket>, way: Direction) {
        let route = |length: usize, source| {
            if let Direction::There = way {
                *self.dialler.lock().unwrap() = Some(source);
            }
            if !self.is_within_budget(length as u64) {
                return None;
            }
            let now = Instant::now().into_std();
            let due = self.lines[way as usize].lock().unwrap().carry(length, now)?.into();
            let target = match way {
                Direction::There => self.target,
                Direction::Back => (*self.dialler.lock().unwrap())?,
            };
            Some(Hop { due, socket: to.clone(), target })
        };
        forward(from, route).await;
    }

    fn is_within_budget(&self, length: u64) -> bool {
        let spent = self.budget.fetch_update(Relaxed, Relaxed, |budget| match budget {
            u64::MAX => Some(budget),
            _ => budget.checked_sub(length),
        });
        if spent.is_err() {
            // What is too much for the rest ends it, or small ones would trickle through.
            self.budget.store(0, Relaxed);
        }
        spent.is_ok()
    }
}

/// When, by which socket and to whom a datagram is sent on.
#[derive(Debug)]
pub(crate) struct Hop {
    pub(crate) due: Instant,
    pub(crate) socket: Arc<UdpSocket>,
    pub(crate) target: SocketAddr,
}

/// Sends on what comes to a socket. `route` gets a datagram's length and source; without a hop, the datagram is lost.
///
/// What is under way is bounded by the lines that decide the hops: their delay, and their queue or the socket's rate.
pub(crate) async fn forward(
    from: Arc<UdpSocket>,
    mut route: impl FnMut(usize, SocketAddr) -> Option<Hop>,
) {
    let mut under_way: BTreeMap<(Instant, u64), (Hop, Vec<u8>)> = BTreeMap::new();
    let mut buffer = vec![0; MAX_DATAGRAM_BYTES];
    let mut count = 0;
    loop {
        let due = under_way.keys().next().map(|(due, _)| *due);
        let next_due = async {
            match due {
                Some(due) => sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = next_due => {
                let Some((_, (hop, datagram))) = under_way.pop_first() else { continue };
                // Like one that is lost, if the system does not take it.
                let _ = hop.socket.send_to(&datagram, hop.target).await;
            }
            received = from.recv_from(&mut buffer) => {
                // The error of an earlier datagram, whose target was not there.
                let Ok((length, source)) = received else { continue };
                if let Some(hop) = route(length, source) {
                    count += 1;
                    under_way.insert((hop.due, count), (hop, buffer[..length].to_vec()));
                }
            }
        }
    }
}
