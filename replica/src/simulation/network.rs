//! What lies between the replicas: connections, uplinks, downlinks, and who can reach whom.
//!
//! A replica that is gone or cut off takes nothing off its peers' uplinks: what is queued for it stays there until the
//! connection breaks, as it would behind a full congestion window.

use std::collections::{BTreeMap, VecDeque};

use gossip_engine::{FlowType, GossipMessage, NodeId, wire};

use super::{
    events::{Event, Events, Flight},
    link::{Link, latency},
    options::Options,
    random::Random,
};
use crate::{outbox::SendError, transport::frame::HEADER_BYTES};

/// How many times slower a slow replica is.
const SLOWER: u64 = 16;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Network {
    pub(super) events: Events,
    pub(super) random: Random,
    ports: Vec<Port>,
    connections: u64,
    split: bool,
    loss: u64,
    sizes: Sizes,
}

/// Where a replica meets the network.
#[derive(Debug)]
struct Port {
    links: BTreeMap<u32, Link>,
    alive: bool,
    /// On which side of a partition.
    side: bool,
    uplink: u64,
    downlink: u64,
    sending: bool,
    /// Whose turn it is on the uplink.
    turns: VecDeque<u32>,
    /// When the downlink has taken all that has arrived.
    free_at: u64,
    sent: Traffic,
}

/// What a replica has sent, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Traffic {
    pub(super) chunks: u64,
    /// All other messages.
    pub(super) rest: u64,
}

/// Lengths of messages as encoded. Those of chunks are remembered, or each would be copied for it.
#[derive(Debug, Default)]
struct Sizes(BTreeMap<(u32, usize), u64>);

impl Sizes {
    fn of(&mut self, message: &GossipMessage) -> u64 {
        let encode = || (wire::encode(message).len() + HEADER_BYTES) as u64;
        match message {
            GossipMessage::Chunk(chunk) => {
                // No error has 2^32 bytes.
                let length = chunk.payload.as_ref().map_or(usize::MAX, |bytes| bytes.len());
                *self.0.entry((chunk.chunk_number, length)).or_insert_with(encode)
            }
            _ => encode(),
        }
    }
}

impl Network {
    pub(super) fn new(options: &Options, links: &[(u32, u32)], slow: &[bool]) -> Self {
        let port = |(at, slow): (usize, &bool)| {
            let part = if *slow { SLOWER } else { 1 };
            Port {
                links: BTreeMap::new(),
                alive: false,
                side: at % 2 == 1,
                uplink: (options.uplink / part).max(1),
                downlink: (options.downlink / part).max(1),
                sending: false,
                turns: VecDeque::new(),
                free_at: 0,
                sent: Traffic::default(),
            }
        };
        let mut ports: Vec<Port> = slow.iter().enumerate().map(port).collect();
        let (least, most) =
            (options.min_latency.as_nanos() as u64, options.max_latency.as_nanos() as u64);
        for (a, b) in links {
            let latency = latency(options.seed, *a, *b, least, most);
            ports[*a as usize].links.insert(*b, Link::new(latency));
            ports[*b as usize].links.insert(*a, Link::new(latency));
        }
        Self {
            events: Events::default(),
            random: Random::new(options.seed ^ 0x4e57),
            ports,
            connections: 0,
            split: false,
            loss: (options.loss * 2_f64.powi(64)) as u64,
            sizes: Sizes::default(),
        }
    }

    pub(super) fn set_alive(&mut self, node: u32, alive: bool) {
        self.ports[node as usize].alive = alive;
    }

    pub(super) fn set_split(&mut self, split: bool) {
        self.split = split;
    }

    pub(super) fn sent(&self, node: u32) -> Traffic {
        self.ports[node as usize].sent
    }

    /// Nothing has been sent.
    pub(super) fn count_anew(&mut self) {
        self.ports.iter_mut().for_each(|port| port.sent = Traffic::default());
    }

    pub(super) fn neighbours(&self, node: u32) -> impl Iterator<Item = u32> {
        self.ports[node as usize].links.keys().copied()
    }

    pub(super) fn connection(&self, node: u32, peer: u32) -> Option<u64> {
        self.ports[node as usize].links.get(&peer)?.connection
    }

    pub(super) fn can_reach(&self, a: u32, b: u32) -> bool {
        let (a, b) = (&self.ports[a as usize], &self.ports[b as usize]);
        a.alive && b.alive && (!self.split || a.side == b.side)
    }

    /// Both have a new connection.
    pub(super) fn connect(&mut self, a: u32, b: u32) {
        self.connections += 1;
        let connection = Some(self.connections);
        for (from, to) in [(a, b), (b, a)] {
            self.link(from, to).reset(connection);
        }
    }

    /// One has no connection any more.
    pub(super) fn disconnect(&mut self, node: u32, peer: u32) {
        self.link(node, peer).reset(None);
    }

    fn link(&mut self, from: u32, to: u32) -> &mut Link {
        self.ports[from as usize].links.get_mut(&to).expect("neighbours have a link")
    }

    pub(super) fn has_capacity(&self, from: u32, to: u32, flow: FlowType, bytes: usize) -> bool {
        let link = self.ports[from as usize].links.get(&to);
        link.is_some_and(|link| link.connection.is_some() && link.has_capacity(flow, bytes as u64))
    }

    /// Queues a message, and sends it if the uplink is free.
    pub(super) fn send(
        &mut self,
        from: u32,
        to: u32,
        message: GossipMessage,
    ) -> Result<(), SendError> {
        let bytes = self.sizes.of(&message);
        let (peer, flow) = (id_of(to), message.flow());
        let port = &mut self.ports[from as usize];
        let link = port.links.get_mut(&to).filter(|link| link.connection.is_some());
        let link = link.ok_or(SendError::NotConnected(peer))?;
        if !link.has_capacity(flow, bytes) {
            return Err(SendError::Full { peer, flow });
        }
        link.push(bytes, message);
        if !std::mem::replace(&mut link.listed, true) {
            port.turns.push_back(to);
        }
        self.transmit(from);
        Ok(())
    }

    /// The uplink is free.
    pub(super) fn uplink_free(&mut self, node: u32) {
        self.ports[node as usize].sending = false;
        self.transmit(node);
    }

    fn transmit(&mut self, from: u32) {
        while !self.ports[from as usize].sending
            && let Some(to) = self.ports[from as usize].turns.pop_front()
        {
            let reached = self.can_reach(from, to);
            let port = &mut self.ports[from as usize];
            let link = port.links.get_mut(&to).expect("whose turn it is has a link");
            link.listed = false;
            let Some(connection) = link.connection.filter(|_| reached) else { continue };
            let Some((bytes, message)) = link.pop() else { continue };
            let flow = message.flow();
            let cost = link.cost(bytes, self.loss, &mut self.random);
            let takes = nanos(cost.bytes, port.uplink);
            let gone = self.events.now + takes;
            let at = link.in_order(flow, gone + link.latency + cost.delay);
            link.listed = !link.is_empty();
            if link.listed {
                port.turns.push_back(to);
            }
            port.sending = true;
            match flow {
                FlowType::Chunk => port.sent.chunks += cost.bytes,
                _ => port.sent.rest += cost.bytes,
            }
            let flight = Flight { from, to, connection, bytes, takes, message };
            self.events.at(gone, Event::Sent { node: from });
            self.events.at(at, Event::Reached(Box::new(flight)));
        }
    }

    /// The last byte of a message has come to the downlink. Returns it if the downlink has taken all bytes before it.
    pub(super) fn reached(&mut self, flight: Box<Flight>) -> Option<Box<Flight>> {
        let now = self.events.now;
        let port = &mut self.ports[flight.to as usize];
        let first = now.saturating_sub(flight.takes);
        port.free_at = port.free_at.max(first) + nanos(flight.bytes, port.downlink);
        if port.free_at <= now {
            return Some(flight);
        }
        self.events.at(port.free_at, Event::Delivered(flight));
        None
    }

    /// Whether the receiver still has the connection that a message came on.
    pub(super) fn is_current(&self, flight: &Flight) -> bool {
        self.can_reach(flight.from, flight.to)
            && self.connection(flight.to, flight.from) == Some(flight.connection)
    }
}

fn nanos(bytes: u64, bytes_per_second: u64) -> u64 {
    (u128::from(bytes) * 1_000_000_000 / u128::from(bytes_per_second)) as u64
}

/// What the replica with this number is called.
pub(super) fn id_of(node: u32) -> NodeId {
    let mut id = [0; 32];
    id[..4].copy_from_slice(&node.to_be_bytes());
    NodeId::new(id)
}

/// Which replica is called so.
pub(super) fn node_of(id: NodeId) -> u32 {
    u32::from_be_bytes(id.as_bytes()[..4].try_into().expect("four of 32 bytes"))
}
