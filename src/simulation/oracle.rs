//! What must hold of everything that the replica sees, whatever happens.
//!
//! A violation is written down and not thrown: the engine would take it for a handler's panic.

use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::{FlowType, MetricsSnapshot, NodeId, Outcome};

/// How many observations are kept for the report of a failure.
const RECENT: usize = 5_000;

/// A message of the simulation, by its number.
pub(super) type Id = u32;

/// What is known of one message.
#[derive(Debug)]
struct Known {
    peer: NodeId,
    flow: FlowType,
    /// The connection that it was brought on; 0 outside of any.
    connection: u32,
    /// How many connections of the peer had ended by then.
    ended: u32,
    /// It must not run before the replica knows of the connection.
    greeted: bool,
    started: bool,
    gone: bool,
    refused: bool,
}

/// One of which nothing is known yet.
const NEW: Known = Known {
    peer: NodeId::new([0; 32]),
    flow: FlowType::Transport,
    connection: 0,
    ended: 0,
    greeted: false,
    started: false,
    gone: false,
    refused: false,
};

/// What is known of one peer.
#[derive(Debug, Default)]
struct Peer {
    /// Connections so far.
    connection: u32,
    /// How many of them have ended.
    ended: u32,
    is_up: bool,
    /// The last connection of which the replica was told that it has begun, and that it has ended.
    up_told: u32,
    down_told: u32,
}

/// Keeps account and panics when something is wrong.
#[derive(Debug, Default)]
pub(super) struct Oracle {
    messages: HashMap<Id, Known>,
    peers: BTreeMap<NodeId, Peer>,
    /// By flow and peer, the last that has started, where order is kept.
    last: BTreeMap<(FlowType, NodeId), Id>,
    running: BTreeMap<(FlowType, NodeId, u32), usize>,
    handled: BTreeMap<FlowType, u64>,
    panicked: BTreeMap<FlowType, u64>,
    /// Messages that were dropped, as the replica was told.
    told: BTreeMap<FlowType, u64>,
    brought: u64,
    departures: u64,
    broadcasts: u64,
    trace: u64,
    /// What was observed last, for whoever has to find out what was wrong.
    pub(super) recent: VecDeque<String>,
    /// What was wrong.
    pub(super) violations: Vec<String>,
}

impl Oracle {
    /// Something was observed. FNV-1a (Fowler, Noll, Vo), which is enough to tell two runs apart.
    pub(super) fn observe(&mut self, what: &str, numbers: &[u64]) {
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(format!("{what} {numbers:?}"));
        let numbers = numbers.iter().flat_map(|number| number.to_le_bytes());
        for byte in what.bytes().chain(numbers) {
            self.trace = (self.trace ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn check(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds {
            self.violations.push(otherwise());
        }
    }

    pub(super) fn trace(&self) -> u64 {
        self.trace
    }

    /// A message is about to be brought.
    pub(super) fn brings(&mut self, id: Id, flow: FlowType, peer: NodeId) {
        let now = self.peers.entry(peer).or_default();
        let (ended, connection) = (now.ended, if now.is_up { now.connection } else { 0 });
        // Older ones of no connection, or of one that has not ended, keep their lane open.
        let in_open_lane = self.messages.values().any(|known| {
            (known.peer, known.flow, known.ended) == (peer, flow, ended)
                && !known.gone
                && (known.connection != connection || !known.greeted)
        });
        let greeted = connection > 0 && !in_open_lane;
        self.insert(id, Known { peer, flow, connection, ended, greeted, ..NEW });
        self.brought += 1;
    }

    /// An own advert is about to be sent.
    pub(super) fn sends(&mut self, id: Id, peer: NodeId) {
        self.insert(id, Known { peer, ..NEW });
    }

    fn insert(&mut self, id: Id, known: Known) {
        let before = self.messages.insert(id, known);
        self.check(before.is_none(), || format!("{id} is brought twice"));
        self.observe("brought", &[id.into()]);
    }

    /// An own advert is broadcast.
    pub(super) fn broadcasts(&mut self, id: Id) {
        let known = self.messages.get_mut(&id).expect("it was sent");
        let is_first = !known.started && !known.gone && !known.refused;
        known.started = true;
        let last = self.last.insert((FlowType::Transport, NodeId::new([0; 32])), id);
        self.check(is_first, || format!("{id} is broadcast twice, or after its end"));
        self.check(last.is_none_or(|last| last < id), || format!("{id} passes {last:?}"));
        self.broadcasts += 1;
        self.observe("broadcast", &[id.into()]);
    }

    /// An event without a message is brought.
    pub(super) fn brings_event(&mut self) {
        self.brought += 1;
    }

    pub(super) fn peer_up(&mut self, peer: NodeId) {
        // Of what it has lost before, on a connection or on none, nobody is told any more.
        let was_heard_of = self.messages.values().any(|known| known.peer == peer);
        self.departures += u64::from(was_heard_of);
        let peer = self.peers.entry(peer).or_default();
        peer.connection += 1;
        peer.is_up = true;
        self.brings_event();
    }

    pub(super) fn peer_down(&mut self, peer: NodeId) {
        let known = self.peers.entry(peer).or_default();
        known.is_up = false;
        known.ended += 1;
        self.departures += 1;
        self.brings_event();
    }

    /// The number of the peer's last connection.
    pub(super) fn connection(&self, peer: NodeId) -> u32 {
        self.peers.get(&peer).map_or(0, |peer| peer.connection)
    }

    /// The replica knows of a connection of this peer, or will not hear of it.
    pub(super) fn told_up(&mut self, peer: NodeId, connection: u32) {
        let known = self.peers.entry(peer).or_default();
        known.up_told = known.up_told.max(connection);
        self.observe("up", &[connection.into()]);
    }

    /// The replica is told that a connection of this peer has ended.
    pub(super) fn told_down(&mut self, peer: NodeId, connection: u32) {
        let known = self.peers.entry(peer).or_default();
        known.down_told = known.down_told.max(connection);
        self.observe("down", &[connection.into()]);
    }

    pub(super) fn told_dropped(&mut self, flow: FlowType, peer: NodeId, count: u64) {
        let is_known = self.peers.contains_key(&peer);
        self.check(count > 0 && is_known, || format!("a notice of {count} of {peer}"));
        *self.told.entry(flow).or_default() += count;
        self.observe("dropped", &[flow as u64, count]);
    }

    /// A handler begins.
    pub(super) fn starts(&mut self, id: Id, flow: FlowType, peer: NodeId, in_order: bool) {
        let known = self.messages.get_mut(&id).expect("it was brought");
        let is_first = !known.started && !known.gone && !known.refused;
        known.started = true;
        let in_place = (known.flow, known.peer) == (flow, peer);
        let Known { connection, ended, greeted, .. } = *known;
        let told = &self.peers[&peer];
        let is_stale = connection > 0 && connection <= told.down_told;
        let is_early = greeted && told.up_told < connection;
        self.check(is_first, || format!("{id} runs twice, or after its end"));
        self.check(in_place, || format!("{id} runs in the wrong place"));
        self.check(!is_stale, || format!("{id} starts after its peer has gone"));
        self.check(!is_early, || format!("{id} starts before its peer has come"));
        if in_order {
            let last = self.last.insert((flow, peer), id);
            self.check(last.is_none_or(|last| last < id), || format!("{id} passes {last:?}"));
            // One that was brought before the peer's last departure may still run.
            let running = self.running.entry((flow, peer, ended)).or_default();
            *running += 1;
            let running = *running;
            self.check(running == 1, || format!("{id} is one of {running} of a peer at a time"));
        }
        self.observe("starts", &[id.into()]);
    }

    /// A handler ends.
    pub(super) fn ends(&mut self, id: Id, panicked: bool, in_order: bool) {
        let Known { flow, peer, ended, .. } = self.messages[&id];
        let counts = if panicked { &mut self.panicked } else { &mut self.handled };
        *counts.entry(flow).or_default() += 1;
        if in_order {
            *self.running.entry((flow, peer, ended)).or_default() -= 1;
        }
        self.observe("ends", &[id.into()]);
    }

    /// A message is dropped, by whoever had it.
    pub(super) fn drops(&mut self, id: Id) {
        let known = self.messages.get_mut(&id).expect("it was brought");
        let is_first = !std::mem::replace(&mut known.gone, true);
        self.check(is_first, || format!("{id} is dropped twice"));
        self.observe("gone", &[id.into()]);
    }

    /// A submitter hears what became of its message.
    pub(super) fn hears(&mut self, id: Id, refused: bool) {
        let known = self.messages.get_mut(&id).expect("it was brought");
        known.refused = refused;
        let has_run = known.started;
        self.check(!refused || !has_run, || format!("{id} has run and is refused"));
        self.observe("hears", &[id.into(), refused.into()]);
    }

    /// Everything is at rest; `all_seated` if there was a lane for each peer.
    pub(super) fn at_rest(&self, counts: &MetricsSnapshot, flows: &[FlowType], all_seated: bool) {
        counts.verify().unwrap();
        assert_eq!(counts.received, self.brought, "events that were brought");
        let left = self.messages.iter().find(|(_, known)| !known.gone);
        assert!(left.is_none(), "a message is left: {left:?}");
        assert_eq!(counts.broadcast.handled(), self.broadcasts, "own adverts");
        for &flow in flows {
            let counted = counts.flow(flow);
            let of = |counts: &BTreeMap<_, _>| counts.get(&flow).copied().unwrap_or_default();
            assert_eq!((counted.in_flight, counted.waiting), (0, 0), "{flow}");
            assert_eq!(counted.bytes_in_flight, 0, "{flow}");
            assert_eq!(counted.oldest_age.as_nanos(), 0, "{flow}");
            assert_eq!(counted.handled(), of(&self.handled), "{flow}: handled");
            assert_eq!(counted.panicked(), of(&self.panicked), "{flow}: panicked");
            let (told, dropped) = (of(&self.told), counted.dropped());
            assert!(told <= dropped, "{flow}: told of {told}, dropped {dropped}");
            // Nobody is told of what a peer that has gone has lost, nor one that gave up its seat.
            let is_open = counts.flow(FlowType::Transport).count(Outcome::Closed) == 0;
            if self.departures == 0 && is_open && all_seated {
                assert_eq!(told, dropped, "{flow}: the replica was not told of all");
            }
        }
    }
}
