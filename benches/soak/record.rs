//! What the replica has seen, and what it should not have seen.
//!
//! A message carries the number of its peer's connection and a number of its own. Its handler looks
//! whether it has run before: in a ring of the last numbers that ran, as large as many seconds of load,
//! so that the record itself does not grow. And it looks whether its connection is known to the replica
//! and not yet over.

use std::{
    array,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use gossip_engine::{FlowType, NodeId};
use strum::EnumCount;

/// How many messages are remembered by their numbers.
const REMEMBERED: usize = 1 << 21;
const SEQUENCE_BITS: u32 = 40;
/// How long `on_peer_down` is held back by handlers of the peer at the most, and a little less: one that
/// began so late after its event may run beside a handler that the system had put aside.
const PATIENCE: Duration = Duration::from_millis(90);

/// Which message, of which connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tag {
    pub(crate) connection: u64,
    pub(crate) sequence: u64,
}

impl Tag {
    pub(crate) fn pack(self) -> u64 {
        self.connection << SEQUENCE_BITS | self.sequence
    }

    pub(crate) fn unpack(packed: u64) -> Self {
        let sequence = packed & ((1 << SEQUENCE_BITS) - 1);
        Self { connection: packed >> SEQUENCE_BITS, sequence }
    }
}

pub(crate) fn peer_id(number: usize) -> NodeId {
    NodeId::new([number as u8; 32])
}

fn number_of(peer: NodeId) -> usize {
    peer.as_bytes()[0].into()
}

/// What the replica knows of one peer.
#[derive(Debug, Default)]
struct Peer {
    /// How many of its connections the replica has been told the end of.
    ended: AtomicU64,
    /// One more than the last connection whose `on_peer_up` has returned.
    greeted: AtomicU64,
    /// One more than the last connection whose `on_peer_down` began after [`PATIENCE`].
    overdue: AtomicU64,
    /// When the last end was submitted: nanoseconds since the start.
    parted: AtomicU64,
}

/// How often something was seen.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self) {
        self.add_all(1);
    }

    pub(crate) fn add_all(&self, count: u64) {
        // Relaxed: read for the eye, or after the threads that write it have been joined.
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug)]
pub(crate) struct Record {
    started: Instant,
    peers: Vec<Peer>,
    ran: Vec<AtomicU64>,
    next: AtomicU64,
    /// Handlers that were started, and those among them that panicked, by flow.
    pub(crate) runs: [Count; FlowType::COUNT],
    pub(crate) panics: [Count; FlowType::COUNT],
    pub(crate) broadcasts: Count,
    last_broadcast: AtomicU64,
    /// Calls of the handler.
    pub(crate) calls: Count,
    pub(crate) resolved: Count,
    pub(crate) refused: Count,
    /// Futures that were dropped before they had resolved.
    pub(crate) given_up: Count,
    pub(crate) reconnects: Count,
    pub(crate) floods: Count,
    pub(crate) changes: Count,
    pub(crate) replacements: Count,
    pub(crate) told_losses: Count,
    /// Violations.
    pub(crate) ran_twice: Count,
    pub(crate) ran_after_down: Count,
    pub(crate) ran_before_up: Count,
    pub(crate) broadcast_out_of_order: Count,
    pub(crate) never_woken: Count,
    /// Too old to say whether they have run before.
    pub(crate) unjudged: Count,
    /// Ran after `on_peer_down` had begun, which had waited for as long as it does.
    pub(crate) ran_late: Count,
}

impl Record {
    pub(crate) fn new(peers: usize) -> Arc<Self> {
        let zero: [Count; FlowType::COUNT] = array::from_fn(|_| Count::default());
        // Written once, so that it lies in memory from the beginning.
        let ran = (0..REMEMBERED).map(|_| AtomicU64::new(u64::MAX)).collect();
        Arc::new(Self {
            started: Instant::now(),
            peers: (0..peers).map(|_| Peer::default()).collect(),
            ran,
            next: AtomicU64::new(0),
            runs: zero,
            panics: array::from_fn(|_| Count::default()),
            broadcasts: Count::default(),
            last_broadcast: AtomicU64::new(0),
            calls: Count::default(),
            resolved: Count::default(),
            refused: Count::default(),
            given_up: Count::default(),
            reconnects: Count::default(),
            floods: Count::default(),
            changes: Count::default(),
            replacements: Count::default(),
            told_losses: Count::default(),
            ran_twice: Count::default(),
            ran_after_down: Count::default(),
            ran_before_up: Count::default(),
            broadcast_out_of_order: Count::default(),
            never_woken: Count::default(),
            unjudged: Count::default(),
            ran_late: Count::default(),
        })
    }

    pub(crate) fn tag(&self, connection: u64) -> Tag {
        Tag { connection, sequence: self.next.fetch_add(1, Ordering::Relaxed) }
    }

    /// A message's handler has been started.
    pub(crate) fn start(&self, peer: NodeId, tag: Tag) {
        let place = &self.ran[tag.sequence as usize % REMEMBERED];
        match place.swap(tag.sequence, Ordering::Relaxed) {
            u64::MAX => (),
            before if before == tag.sequence => self.ran_twice.add(),
            before if before > tag.sequence => self.unjudged.add(),
            _ => (),
        }
        let peer = &self.peers[number_of(peer)];
        // Acquire, both: pair with what the callbacks about the peer store.
        if peer.ended.load(Ordering::Acquire) > tag.connection {
            if peer.overdue.load(Ordering::Acquire) > tag.connection {
                self.ran_late.add();
            } else {
                self.ran_after_down.add();
            }
        }
        if peer.greeted.load(Ordering::Acquire) <= tag.connection {
            self.ran_before_up.add();
        }
    }

    /// The end of a connection is about to be submitted.
    pub(crate) fn part(&self, peer: NodeId) {
        let now = self.started.elapsed().as_nanos() as u64;
        self.peers[number_of(peer)].parted.store(now, Ordering::Relaxed);
    }

    pub(crate) fn greeted(&self, peer: NodeId) {
        let peer = &self.peers[number_of(peer)];
        // The Transport flow is in order for each peer, so that nothing else changes these meanwhile.
        let connection = peer.ended.load(Ordering::Relaxed);
        peer.greeted.store(connection + 1, Ordering::Release);
    }

    pub(crate) fn ended(&self, peer: NodeId) {
        let peer = &self.peers[number_of(peer)];
        let connection = peer.ended.load(Ordering::Relaxed);
        let parted = Duration::from_nanos(peer.parted.load(Ordering::Relaxed));
        if self.started.elapsed().saturating_sub(parted) > PATIENCE {
            peer.overdue.store(connection + 1, Ordering::Release);
        }
        peer.ended.store(connection + 1, Ordering::Release);
    }

    /// An own advert goes out; they are numbered from 1.
    pub(crate) fn broadcast(&self, number: u64) {
        self.broadcasts.add();
        if self.last_broadcast.swap(number, Ordering::Relaxed) >= number {
            self.broadcast_out_of_order.add();
        }
    }

    /// What must not have happened, by name.
    pub(crate) fn violations(&self) -> [(&'static str, u64); 5] {
        [
            ("messages that ran twice", self.ran_twice.get()),
            ("messages that ran after on_peer_down had begun", self.ran_after_down.get()),
            ("messages that ran before on_peer_up had returned", self.ran_before_up.get()),
            ("own adverts out of order", self.broadcast_out_of_order.get()),
            ("calls that were never woken", self.never_woken.get()),
        ]
    }
}
