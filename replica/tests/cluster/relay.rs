//! A bad network between a replica that dials and one that listens: it loses and delays datagrams, lets
//! through only so much, and can be cut and healed.
//!
//! What is lost is a matter of the seed and of the order in which datagrams come; the same seed does not
//! make two runs the same.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    net::UdpSocket,
    task::JoinSet,
    time::{Instant, sleep_until},
};

const MAX_DATAGRAM_BYTES: usize = 1 << 16;

/// What the network does to a datagram that it lets through.
#[derive(Clone, Debug, Default)]
pub(crate) struct Weather {
    /// How many of a hundred are lost.
    pub(crate) loss_percent: u64,
    /// How many microseconds one takes; those of unequal delay overtake each other.
    pub(crate) delay_micros: Range<u64>,
    pub(crate) seed: u64,
}

#[derive(Debug)]
struct Shared {
    weather: Weather,
    /// How many more bytes get through, both ways together; 0 while the network is cut.
    budget: AtomicU64,
    lost: AtomicU64,
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
        let shared = Arc::new(Shared {
            weather,
            budget: AtomicU64::new(u64::MAX),
            lost: AtomicU64::new(0),
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

    /// How many datagrams have been lost that were not cut off.
    pub(crate) fn lost(&self) -> u64 {
        self.shared.lost.load(Relaxed)
    }
}

impl Shared {
    async fn pass_on(self: Arc<Self>, from: Arc<UdpSocket>, to: Arc<UdpSocket>, way: Direction) {
        let mut dice = self.weather.seed << 1 | way as u64;
        let mut under_way: BTreeMap<(Instant, u64), Vec<u8>> = BTreeMap::new();
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
                    let Some((_, datagram)) = under_way.pop_first() else { continue };
                    let address = match way {
                        Direction::There => Some(self.target),
                        Direction::Back => *self.dialler.lock().unwrap(),
                    };
                    if let Some(address) = address {
                        // Like one that is lost, if the system does not take it.
                        let _ = to.send_to(&datagram, address).await;
                    }
                }
                received = from.recv_from(&mut buffer) => {
                    // The error of an earlier datagram, whose target was not there.
                    let Ok((length, source)) = received else { continue };
                    if let Direction::There = way {
                        *self.dialler.lock().unwrap() = Some(source);
                    }
                    if self.gets_through(length as u64, &mut dice) {
                        let micros = draw(&mut dice, self.weather.delay_micros.clone());
                        let due = Instant::now() + Duration::from_micros(micros);
                        count += 1;
                        under_way.insert((due, count), buffer[..length].to_vec());
                    }
                }
            }
        }
    }

    fn gets_through(&self, length: u64, dice: &mut u64) -> bool {
        let spent = self.budget.fetch_update(Relaxed, Relaxed, |budget| match budget {
            u64::MAX => Some(budget),
            _ => budget.checked_sub(length),
        });
        if spent.is_err() {
            // What is too much for the rest ends it, or small ones would trickle through.
            self.budget.store(0, Relaxed);
            return false;
        }
        let lost = draw(dice, 0..100) < self.weather.loss_percent;
        self.lost.fetch_add(lost.into(), Relaxed);
        !lost
    }
}

/// SplitMix64. An empty range gives its start.
fn draw(state: &mut u64, range: Range<u64>) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ *state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    range.start + (mixed ^ mixed >> 31).checked_rem(range.end - range.start).unwrap_or(0)
}
