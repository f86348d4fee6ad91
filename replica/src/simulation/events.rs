//! What happens when: one heap for all, and a hash over what was taken from it.

use std::{cmp::Reverse, collections::BinaryHeap};

use gossip_engine::{ArtifactDestination, GossipAdvert, GossipMessage};

use super::random::mix;

/// A message between two replicas.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) from: u32,
    pub(super) to: u32,
    /// On which of their connections.
    pub(super) connection: u64,
    pub(super) bytes: u64,
    /// How long its bytes take to arrive, from the first to the last, in nanoseconds.
    pub(super) takes: u64,
    pub(super) message: GossipMessage,
}

#[derive(Debug)]
pub(super) enum Event {
    /// The clock of a replica, in this life of its.
    Tick {
        node: u32,
        life: u32,
    },
    /// An uplink is free again.
    Sent {
        node: u32,
    },
    /// The last byte has come to the downlink.
    Reached(Box<Flight>),
    /// It is through the downlink.
    Delivered(Box<Flight>),
    /// A replica's broadcaster comes to this.
    Broadcast {
        node: u32,
        life: u32,
        advert: Box<(GossipAdvert, ArtifactDestination)>,
    },
    /// The first replica publishes.
    Publish,
    Start {
        node: u32,
    },
    Stop {
        node: u32,
    },
    /// Two replicas connect, if they can.
    Connect {
        a: u32,
        b: u32,
    },
    /// One has heard nothing of another for as long as the idle timeout, on this connection.
    Unseen {
        node: u32,
        peer: u32,
        connection: u64,
    },
    Split,
    Heal,
}

/// An event in the heap: ordered by time, then as they were added.
#[derive(Debug)]
struct Entry {
    at: u64,
    sequence: u64,
    event: Event,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.sequence == other.sequence
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

/// See the [module](self). Times are nanoseconds since the beginning.
#[derive(Debug, Default)]
pub(super) struct Events {
    heap: BinaryHeap<Reverse<Entry>>,
    sequence: u64,
    pub(super) now: u64,
    pub(super) taken: u64,
    pub(super) trace: u64,
}

impl Events {
    pub(super) fn at(&mut self, at: u64, event: Event) {
        self.sequence += 1;
        self.heap.push(Reverse(Entry { at: at.max(self.now), sequence: self.sequence, event }));
    }

    /// The next event; its time is now.
    pub(super) fn pop(&mut self) -> Option<Event> {
        let Reverse(entry) = self.heap.pop()?;
        self.now = entry.at;
        self.taken += 1;
        self.trace =
            entry.event.words().into_iter().fold(mix(self.trace ^ entry.at), |trace, word| {
                mix(trace.wrapping_add(word).wrapping_add(0x9e37_79b9_7f4a_7c15))
            });
        Some(entry.event)
    }
}

impl Event {
    /// What the trace has of it.
    fn words(&self) -> [u64; 4] {
        let pair = |a: u32, b: u32| u64::from(a) << 32 | u64::from(b);
        match self {
            Self::Tick { node, life } => [1, pair(*node, *life), 0, 0],
            Self::Sent { node } => [2, u64::from(*node), 0, 0],
            Self::Reached(flight) => {
                [3, pair(flight.from, flight.to), flight.bytes, content(&flight.message)]
            }
            Self::Delivered(flight) => {
                [4, pair(flight.from, flight.to), flight.bytes, content(&flight.message)]
            }
            Self::Broadcast { node, life, advert } => {
                [5, pair(*node, *life), first(advert.0.artifact_id.as_bytes()), 0]
            }
            Self::Publish => [6, 0, 0, 0],
            Self::Start { node } => [7, u64::from(*node), 0, 0],
            Self::Stop { node } => [8, u64::from(*node), 0, 0],
            Self::Connect { a, b } => [9, pair(*a, *b), 0, 0],
            Self::Unseen { node, peer, connection } => [10, pair(*node, *peer), *connection, 0],
            Self::Split => [11, 0, 0, 0],
            Self::Heal => [12, 0, 0, 0],
        }
    }
}

/// What a message is about.
fn content(message: &GossipMessage) -> u64 {
    match message {
        GossipMessage::Advert(advert) => mix(first(advert.artifact_id.as_bytes()) ^ 1),
        GossipMessage::ChunkRequest(request) => {
            mix(first(request.artifact_id.as_bytes()) ^ u64::from(request.chunk_number) << 8 ^ 2)
        }
        GossipMessage::Chunk(chunk) => {
            mix(first(chunk.artifact_id.as_bytes()) ^ u64::from(chunk.chunk_number) << 8 ^ 3)
        }
        GossipMessage::RetransmissionRequest(filter) => mix(filter.height ^ 4),
    }
}

fn first(id: &[u8; 32]) -> u64 {
    u64::from_le_bytes(id[..8].try_into().expect("eight of 32 bytes"))
}
