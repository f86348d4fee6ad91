//! What must hold of everything that the replica and the transport see, whatever happens.
//!
//! A violation is written down and not thrown: the engine would take it for a handler's panic.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use crate::{FlowType, NodeId, Outcome, RefusalReason, Submitted};

mod lost;
mod peers;
mod rest;

/// How many observations are kept for the report of a failure.
const RECENT: usize = 5_000;

/// A message of the simulation, by its number.
pub(super) type Id = u32;

/// A peer comes or goes, for the so manyth time.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Change {
    up: bool,
    number: u32,
}

/// What the submitter of a message hears for which there is no capacity, where the newest is dropped.
const DROPPED: Result<Submitted, RefusalReason> = Ok(Submitted::Dropped(Outcome::DroppedNewest));

/// What is known of one message.
#[derive(Clone, Copy, Debug)]
struct Known {
    peer: NodeId,
    flow: FlowType,
    /// How many `PeerDown`s of the peer had been submitted before it.
    downs: u32,
    /// The last `PeerUp` of the peer that had resolved before it was submitted.
    greeted: u32,
    /// It was submitted when all flows were closed.
    is_late: bool,
    started: bool,
    gone: bool,
    /// What its submitter heard: nothing, that it was admitted or dropped, or why it was refused.
    heard: Option<Result<Submitted, RefusalReason>>,
    /// Its payload was refused before it was a message.
    quarantined: bool,
    /// Its submitter has given up waiting, and will hear nothing.
    given_up: bool,
    /// Another has taken its place, or has taken it out.
    is_superseded: bool,
    /// Its place in the order of its peer: that of the message that it has superseded, or its own number.
    place: Id,
}

impl Known {
    /// Nothing was heard of it that keeps it from running.
    fn may_run(&self) -> bool {
        self.heard.is_none_or(|heard| heard == Ok(Submitted::Admitted))
    }
}

/// What is known of one peer.
#[derive(Debug, Default)]
struct Peer {
    /// `PeerUp`s and `PeerDown`s so far.
    ups: u32,
    downs: u32,
    /// Changes whose callbacks have not begun, in order.
    expected: VecDeque<Change>,
    /// The change whose callback runs.
    runs: Option<Change>,
    /// Changes whose callbacks have returned or panicked.
    returned: BTreeSet<Change>,
    /// The last `PeerUp` that has resolved, and the last `PeerDown` whose callback has begun.
    up_resolved: u32,
    down_began: u32,
    /// Callbacks that have panicked on its messages since its quarantine was lifted.
    panics: u32,
}

/// Keeps account of what is seen, and says what is wrong.
#[derive(Debug, Default)]
pub(super) struct Oracle {
    messages: HashMap<Id, Known>,
    peers: BTreeMap<NodeId, Peer>,
    /// By flow, peer and how often it had gone, the last that has started, where order is kept.
    last: BTreeMap<(FlowType, NodeId, u32), Id>,
    running: BTreeMap<(FlowType, NodeId, u32), usize>,
    handled: BTreeMap<FlowType, u64>,
    panicked: BTreeMap<FlowType, u64>,
    /// A callback has panicked, and the replica is to be notified of that next.
    last_panic: Option<(FlowType, NodeId)>,
    /// Messages that were dropped and that the replica got, by outcome.
    dropped: BTreeMap<(FlowType, Outcome), u64>,
    /// Messages that were dropped, as the replica was notified.
    notified: BTreeMap<FlowType, u64>,
    /// Messages that were compared with those that are being submitted, oldest first, and whether they are superseded.
    compared: Vec<(Id, Id, bool)>,
    submitted: u64,
    malformed: u64,
    unknown: u64,
    quarantined: u64,
    departures: u64,
    broadcasts: u64,
    gone: u64,
    /// All flows are closed.
    closed: bool,
    /// A shutdown has returned that waits for handlers.
    over: bool,
    trace: u64,
    /// What was observed last, to find out what was wrong.
    pub(super) recent: VecDeque<String>,
    /// What was wrong.
    pub(super) violations: Vec<String>,
}

/// What is counted of one flow.
fn of(counts: &BTreeMap<FlowType, u64>, flow: FlowType) -> u64 {
    counts.get(&flow).copied().unwrap_or_default()
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

    pub(super) fn check(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds {
            self.violations.push(otherwise());
        }
    }

    pub(super) fn trace(&self) -> u64 {
        self.trace
    }

    // ---- what is submitted ----

    /// A message is about to be submitted.
    pub(super) fn submits(&mut self, id: Id, flow: FlowType, peer: NodeId) {
        let Peer { downs, up_resolved: greeted, .. } = *self.peers.entry(peer).or_default();
        self.insert(id, flow, peer, downs, greeted);
        self.submits_event();
    }

    /// An own advert is about to be sent.
    pub(super) fn sends(&mut self, id: Id, peer: NodeId) {
        self.insert(id, FlowType::Transport, peer, 0, 0);
    }

    fn insert(&mut self, id: Id, flow: FlowType, peer: NodeId, downs: u32, greeted: u32) {
        let known = Known {
            peer,
            flow,
            downs,
            greeted,
            is_late: self.closed,
            started: false,
            gone: false,
            heard: None,
            quarantined: false,
            given_up: false,
            is_superseded: false,
            place: id,
        };
        let before = self.messages.insert(id, known);
        self.check(before.is_none(), || format!("{id} is submitted twice"));
        self.observe("submitted", &[id.into()]);
    }

    /// An event is about to be submitted.
    pub(super) fn submits_event(&mut self) {
        self.submitted += 1;
    }

    pub(super) fn counts_malformed(&mut self) {
        self.malformed += 1;
    }

    pub(super) fn counts_unknown(&mut self) {
        self.unknown += 1;
    }

    /// A payload was refused because its peer is in quarantine; it may have been that of a message.
    pub(super) fn is_quarantined(&mut self, peer: NodeId, id: Option<Id>) {
        self.quarantined += 1;
        let panics = self.peers.entry(peer).or_default().panics;
        self.check(panics >= 2, || format!("{peer} is in quarantine for {panics} panics"));
        if let Some(id) = id {
            let known = self.messages.get_mut(&id).expect("it was submitted");
            let is_first = !known.started && !std::mem::replace(&mut known.gone, true);
            known.quarantined = true;
            self.check(is_first, || format!("{id} was decoded and is quarantined"));
        }
        self.observe("quarantined", &[]);
    }

    /// A peer's quarantine is lifted, if it was in one.
    pub(super) fn lifts(&mut self, peer: NodeId, was_in_one: bool) {
        let panics = std::mem::take(&mut self.peers.entry(peer).or_default().panics);
        self.check(!was_in_one || panics >= 2, || format!("{peer} was quarantined for {panics}"));
    }

    /// A submitter hears what became of its message: that it was admitted or dropped, or why it is refused.
    pub(super) fn hears(&mut self, id: Id, heard: Result<Submitted, RefusalReason>) {
        let known = self.messages.get_mut(&id).expect("it was submitted");
        known.heard = Some(heard);
        let Known { started, gone, is_late, .. } = *known;
        let is_admitted = heard == Ok(Submitted::Admitted);
        self.check(is_admitted || !started, || format!("{id} has run, and hears {heard:?}"));
        self.check(heard != DROPPED || gone, || format!("{id} is dropped, and still there"));
        let is_closed = heard == Err(RefusalReason::Closed);
        self.check(!is_late || is_closed, || format!("{id} is taken by a flow that is closed"));
        self.observe("hears", &[id.into(), heard.is_err().into()]);
    }

    /// A submitter drops its future.
    pub(super) fn gives_up(&mut self, id: Id) {
        self.messages.get_mut(&id).expect("it was submitted").given_up = true;
        self.observe("gives up", &[id.into()]);
    }

    // ---- what runs ----

    fn check_not_over(&mut self) {
        self.check(!self.over, || "something starts after a shutdown has returned".into());
    }

    /// A handler begins.
    pub(super) fn starts(&mut self, id: Id, flow: FlowType, peer: NodeId, in_order: bool) {
        let known = self.messages.get_mut(&id).expect("it was submitted");
        let was = std::mem::replace(&mut known.started, true);
        let Known { downs, greeted, place, .. } = *known;
        let is_first = !was && !known.gone && !known.quarantined;
        let may_run = known.may_run();
        let in_place = (known.flow, known.peer) == (flow, peer);
        let of_peer = &self.peers[&peer];
        let is_stale = downs < of_peer.down_began;
        let up = Change { up: true, number: greeted };
        let is_early = greeted > 0 && !of_peer.returned.contains(&up);
        self.check(is_first, || format!("{id} runs twice, or after its end"));
        self.check(may_run, || format!("{id} was refused or dropped, and runs"));
        self.check(in_place, || format!("{id} runs in the wrong place"));
        self.check(!is_stale, || format!("{id} starts after on_peer_down of its peer"));
        self.check(!is_early, || format!("{id} starts before on_peer_up has returned"));
        self.check_not_over();
        if in_order {
            // What it had queued when it went may run beside what comes after.
            let last = self.last.insert((flow, peer, downs), place);
            self.check(last.is_none_or(|last| last < place), || format!("{id} passes {last:?}"));
            // A handler that runs when its peer goes may run beside those of the next connection.
            let running = self.running.entry((flow, peer, downs)).or_default();
            *running += 1;
            let running = *running;
            self.check(running == 1, || format!("{id} is one of {running} of a peer at a time"));
        }
        self.observe("starts", &[id.into()]);
    }

    /// A handler ends whose message is held by its slot.
    pub(super) fn holds(&mut self, id: Id, in_order: bool) {
        let Known { flow, peer, downs, .. } = self.messages[&id];
        if in_order {
            *self.running.entry((flow, peer, downs)).or_default() -= 1;
        }
        self.observe("holds", &[id.into()]);
    }

    /// The slot of a message is about to be dropped.
    pub(super) fn finishes(&mut self, id: Id) {
        let flow = self.messages[&id].flow;
        *self.handled.entry(flow).or_default() += 1;
        self.observe("finishes", &[id.into()]);
    }

    /// A handler ends.
    pub(super) fn ends(&mut self, id: Id, panicked: bool, in_order: bool) {
        let Known { flow, peer, downs, .. } = self.messages[&id];
        self.counts(flow, peer, panicked);
        if in_order {
            *self.running.entry((flow, peer, downs)).or_default() -= 1;
        }
        self.observe("ends", &[id.into()]);
    }

    /// A callback has returned or panicked.
    fn counts(&mut self, flow: FlowType, peer: NodeId, panicked: bool) {
        let counts = if panicked { &mut self.panicked } else { &mut self.handled };
        *counts.entry(flow).or_default() += 1;
        let before = self.last_panic;
        self.check(before.is_none(), || format!("nobody was notified of {before:?}"));
        if panicked {
            self.last_panic = Some((flow, peer));
            self.peers.entry(peer).or_default().panics += 1;
        }
    }

    /// The replica is notified of a panic, right after it.
    pub(super) fn notified_of_panic(&mut self, flow: FlowType, peer: NodeId) {
        let last = self.last_panic.take();
        self.check(last == Some((flow, peer)), || {
            format!("notified of a panic in {flow} on {peer}, not of {last:?}")
        });
        self.observe("panic", &[flow as u64]);
    }

    /// The replica is notified of messages that were dropped.
    pub(super) fn notified_of_drops(&mut self, flow: FlowType, peer: NodeId, count: u64) {
        let is_known = self.peers.contains_key(&peer);
        self.check(count > 0 && is_known, || format!("a notice of {count} of {peer}"));
        self.check_not_over();
        *self.notified.entry(flow).or_default() += count;
        self.counts(FlowType::Transport, peer, false);
        self.observe("dropped", &[flow as u64, count]);
    }

    /// An own advert is broadcast.
    pub(super) fn broadcasts(&mut self, id: Id) {
        let known = self.messages.get_mut(&id).expect("it was sent");
        let was = std::mem::replace(&mut known.started, true);
        let is_first = !was && !known.gone && known.may_run();
        let last = self.last.insert((FlowType::Transport, NodeId::new([0; 32]), 0), id);
        self.check(is_first, || format!("{id} is broadcast twice, or after its end"));
        self.check(last.is_none_or(|last| last < id), || format!("{id} passes {last:?}"));
        self.check_not_over();
        self.broadcasts += 1;
        self.observe("broadcast", &[id.into()]);
    }

    /// A message is dropped, by its holder.
    pub(super) fn drops(&mut self, id: Id) {
        let known = self.messages.get_mut(&id).expect("it was submitted");
        let is_first = !std::mem::replace(&mut known.gone, true);
        self.gone += 1;
        self.check(is_first, || format!("{id} is dropped twice"));
        self.observe("gone", &[id.into()]);
    }

    /// How many messages have been dropped so far, after their handlers or without.
    pub(super) fn gone(&self) -> u64 {
        self.gone
    }

    // ---- the end ----

    /// All flows are closed.
    pub(super) fn closes(&mut self) {
        self.closed = true;
    }

    /// A shutdown has returned from which on nothing starts.
    pub(super) fn is_over(&mut self) {
        self.over = true;
    }
}
