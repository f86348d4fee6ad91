//! How far each peer has been told what this replica holds.
//!
//! A peer that asks for adverts gets them in the order of heights, a batch at a time, as its connection
//! takes them; where its turn ends is remembered as one number:
//!
//! ```text
//! idle ──asked──> at height h ──sent to the end──> idle
//!   │                ^    │ full: go on from here at the next tick
//!   └──advert missed─┘    └──asked again: remembered, begins after the end
//! ```
//!
//! To answer costs far more than to ask, so there is one answer at a time for each peer, and one begins at
//! most every [`MIN_INTERVAL`]; a request that comes sooner is put off, never refused. The first after a
//! peer has come up is answered at once. An advert to everybody that a full connection did not take puts
//! the height back, so it is sent again without anybody asking; so does one that was not broadcast, with
//! the next tick. Since heights only grow, what is sent twice then is what has come since that advert.
//!
//! Bounded: a few numbers for each connected peer, and [`MAX_EARLY`] requests of peers that are not yet
//! known to be connected. Loses nothing but what goes with a connection.

use std::{collections::BTreeMap, time::Duration};

use gossip_engine::{ArtifactDestination, NodeId};

/// How much time lies at least between the beginnings of two answers to a peer.
pub(super) const MIN_INTERVAL: Duration = Duration::from_secs(5);
/// How many requests are kept that have overtaken the news that their peer is up.
const MAX_EARLY: usize = 256;

#[derive(Debug, Default)]
struct Answer {
    /// From which height on the peer is still to be told.
    next: Option<u64>,
    /// Whether a thread is sending right now.
    sending: bool,
    began: Option<Duration>,
    /// From which height on the peer has asked meanwhile.
    put_off: Option<u64>,
    /// From which height on adverts for it have not been broadcast.
    unannounced: Option<u64>,
}

/// What a request for adverts has led to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Asked {
    Begun,
    PutOff,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Answers {
    peers: BTreeMap<NodeId, Answer>,
    early: BTreeMap<NodeId, u64>,
}

impl Answers {
    /// A peer is connected. What it has asked for before this was known begins now. Returns whether that
    /// is so.
    pub(super) fn peer_up(&mut self, peer: NodeId, now: Duration) -> bool {
        self.peers.insert(peer, Answer::default());
        let early = self.early.remove(&peer);
        early.is_some_and(|height| self.ask(peer, height, now) == Asked::Begun)
    }

    pub(super) fn peer_down(&mut self, peer: NodeId) {
        self.peers.remove(&peer);
    }

    pub(super) fn peers(&self) -> impl Iterator<Item = NodeId> {
        self.peers.keys().copied()
    }

    pub(super) fn peer_count(&self) -> usize {
        self.peers.len()
    }

    /// A peer asks for the adverts of all artifacts of at least this height.
    pub(super) fn ask(&mut self, peer: NodeId, height: u64, now: Duration) -> Asked {
        self.ask_later(peer, height);
        let begins = self.peers.get_mut(&peer).is_some_and(|answer| answer.begin(now));
        if begins { Asked::Begun } else { Asked::PutOff }
    }

    /// The same, for the next tick to begin.
    pub(super) fn ask_later(&mut self, peer: NodeId, height: u64) {
        if let Some(answer) = self.peers.get_mut(&peer) {
            answer.put_off = lower(answer.put_off, height);
        } else if self.early.len() < MAX_EARLY || self.early.contains_key(&peer) {
            let asked = self.early.entry(peer).or_insert(height);
            *asked = height.min(*asked);
        }
    }

    /// An advert of this height could not be sent to a peer.
    pub(super) fn missed(&mut self, peer: NodeId, height: u64) {
        if let Some(answer) = self.peers.get_mut(&peer) {
            answer.next = lower(answer.next, height);
        }
    }

    /// An advert of this height was not broadcast. Peers that come up later ask for it themselves.
    pub(super) fn unannounced(&mut self, height: u64, destination: &ArtifactDestination) {
        for (peer, answer) in &mut self.peers {
            let told = match destination {
                ArtifactDestination::AllReplicas => true,
                ArtifactDestination::Replicas(peers) => peers.contains(peer),
            };
            if told {
                answer.unannounced = lower(answer.unannounced, height);
            }
        }
    }

    /// Begins what has been put off and is due, and what was not broadcast. Returns how many answers the
    /// former are.
    pub(super) fn tick(&mut self, now: Duration) -> u64 {
        let mut begun = 0;
        for answer in self.peers.values_mut() {
            // First, or a replica that drops adverts with every tick would never answer.
            begun += u64::from(answer.begin(now));
            if let Some(height) = answer.unannounced.take() {
                answer.next = lower(answer.next, height);
            }
        }
        begun
    }

    /// The peers that are to be told something.
    pub(super) fn due(&self) -> Vec<NodeId> {
        self.peers
            .iter()
            .filter(|(_, answer)| answer.next.is_some() && !answer.sending)
            .map(|(peer, _)| *peer)
            .collect()
    }

    /// Takes the turn to send to a peer: from which height on. [`end_turn`](Self::end_turn) is due.
    pub(super) fn take_turn(&mut self, peer: NodeId) -> Option<u64> {
        let answer = self.peers.get_mut(&peer).filter(|answer| !answer.sending)?;
        let next = answer.next.take()?;
        answer.sending = true;
        Some(next)
    }

    /// The turn is over, with everything from `rest` on still to be sent.
    pub(super) fn end_turn(&mut self, peer: NodeId, rest: Option<u64>) {
        if let Some(answer) = self.peers.get_mut(&peer) {
            answer.sending = false;
            if let Some(rest) = rest {
                self.missed(peer, rest);
            }
        }
    }
}

impl Answer {
    fn begin(&mut self, now: Duration) -> bool {
        let due = self.began.is_none_or(|began| now.saturating_sub(began) >= MIN_INTERVAL);
        // An answer under way goes to its end first, or a slow peer would never hear of the last ones.
        if !due || self.next.is_some() || self.sending || self.put_off.is_none() {
            return false;
        }
        self.next = self.put_off.take();
        self.began = Some(now);
        true
    }
}

#[cfg(any(test, fuzzing))]
impl Answers {
    /// Panics if more is remembered than may be, or a turn is not over.
    pub(super) fn check(&self) {
        assert!(self.early.len() <= MAX_EARLY, "too many requests of strangers");
        let early = self.early.keys();
        assert!(early.into_iter().all(|peer| !self.peers.contains_key(peer)), "no stranger");
        assert!(self.peers.values().all(|answer| !answer.sending), "a turn without an end");
    }
}

fn lower(before: Option<u64>, height: u64) -> Option<u64> {
    Some(before.map_or(height, |before| before.min(height)))
}

#[cfg(test)]
mod tests;
