//! The state machine of fetching: what is wanted, who is asked for which chunk, whom to believe.
//!
//! It has no clock, no disk and no network: events and the time go in, [`Action`]s come out, and the same
//! events lead to the same actions. An artifact is in one of three states:
//!
//! ```text
//!          advert                its turn               stored
//! unknown ────────> queued ───────────────> attempt ─────────────> (held, forgotten here)
//!                     ^                        │
//!                     └────────────────────────┘
//!              stalled, mismatch, another's turn, disk error
//! ```
//!
//! It waits in the queue of each peer that advertises it. Turns go round the peers, and each has a share
//! of the attempts, so that what one peer makes up takes no other's place. An attempt tries one *claim*
//! (size and chunk size) and asks all peers that make it, oldest attempt first.
//!
//! Whom to believe: if the content of an attempt is wrong and one peer alone has delivered it, that peer
//! has lied. If there were several, the next attempts ask one peer at a time until the liar is found.
//! Claims are tried in turn; an attempt gives way if it stalls, or if others wait and its lease is over.
//! Lease and patience double with each time, so that a slow peer finishes in the end.
//!
//! Bounded: adverts, outstanding chunks and attempts by [`GossipOptions`], for each peer; peers by
//! whoever lets them in. An event costs the logarithm of what is tracked plus, at worst, one step for
//! each attempt and each peer that advertises the same artifact.
//!
//! May lose: the progress of an attempt that gives way. Adverts beyond the bounds, until asked again.

mod attempt;
mod expire;
#[cfg(any(test, fuzzing))]
mod invariants;
mod outcome;
mod peer;
mod schedule;

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use gossip_engine::{ArtifactId, ChunkError, NodeId};

use self::{
    attempt::{Arrival, Attempt},
    peer::Peer,
};
use super::{claim::Claim, counters::FetchCounters, options::GossipOptions};

/// Numbers the attempts, from 1.
pub(crate) type AttemptId = u64;

/// For how long a peer is asked nothing after it has said that a chunk is unavailable.
const UNAVAILABLE_REST: Duration = Duration::from_secs(1);
/// For how long a peer is asked nothing after a request to it could not be sent.
const UNSENT_REST: Duration = Duration::from_millis(200);

/// What is to be done outside.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Action {
    /// Ask `peer` for a chunk.
    Request { peer: NodeId, attempt: AttemptId, id: ArtifactId, chunk: u32 },
    /// All chunks are written: verify the content and keep it.
    Finish { attempt: AttemptId, claim: Claim },
    /// The attempt is over: remove what is left of it.
    Discard { attempt: AttemptId },
    /// Ask `peer` for all its adverts.
    AskAdverts { peer: NodeId },
}

/// A chunk to be written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Write {
    pub(crate) attempt: AttemptId,
    pub(crate) claim: Claim,
    pub(crate) offset: u64,
}

/// An artifact that this replica lacks.
#[derive(Debug, Default)]
struct Wanted {
    /// Who advertises it, each peer once.
    advertisers: Vec<Advertiser>,
    attempt: Option<AttemptId>,
    /// How many attempts there have been.
    tries: u64,
    /// How many of them gave way; patience grows with it.
    gave_way: u32,
    /// Whether one peer at a time is asked, because several together have delivered something wrong.
    single: bool,
}

#[derive(Clone, Copy, Debug)]
struct Advertiser {
    peer: NodeId,
    claim: Claim,
    /// Its place in the order of tries: the lowest is next. Odd after a try, even if it came since.
    place: u64,
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Downloads {
    options: GossipOptions,
    peers: BTreeMap<NodeId, Peer>,
    wanted: BTreeMap<ArtifactId, Wanted>,
    attempts: BTreeMap<AttemptId, Attempt>,
    /// How many attempts each peer has its turn with. Outlives the peer's connection, or one that comes
    /// and goes would get a new share each time.
    turns: BTreeMap<NodeId, usize>,
    /// The peers whose turn comes, in order.
    ring: VecDeque<NodeId>,
    last_attempt: AttemptId,
    last_place: u64,
    paused_until: Duration,
    actions: Vec<Action>,
    counters: FetchCounters,
}

impl Downloads {
    pub(crate) fn new(options: GossipOptions) -> Self {
        Self {
            options,
            peers: BTreeMap::new(),
            wanted: BTreeMap::new(),
            attempts: BTreeMap::new(),
            turns: BTreeMap::new(),
            ring: VecDeque::new(),
            last_attempt: 0,
            last_place: 0,
            paused_until: Duration::ZERO,
            actions: Vec::new(),
            counters: FetchCounters::default(),
        }
    }

    /// What is to be done since this was last called.
    pub(crate) fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    pub(crate) fn counters(&mut self) -> &mut FetchCounters {
        &mut self.counters
    }

    pub(crate) fn wanted_count(&self) -> usize {
        self.wanted.len()
    }

    pub(crate) fn missing_bytes(&self) -> u64 {
        0
    }

    pub(crate) fn waiting_for_space(&self) -> usize {
        0
    }

    pub(crate) fn status(&self, _now: Duration) -> Vec<crate::gossip::DownloadStatus> {
        Vec::new()
    }

    pub(crate) fn active_count(&self) -> usize {
        self.attempts.len()
    }

    pub(crate) fn is_running(&self, attempt: AttemptId) -> bool {
        self.attempts.contains_key(&attempt)
    }

    pub(crate) fn peer_up(&mut self, peer: NodeId, now: Duration) {
        if self.peers.contains_key(&peer) {
            self.peer_down(peer, now);
        }
        self.peers.insert(peer, Peer::new(self.options.requests_per_peer, now));
        self.ask_adverts(peer, now);
    }

    /// Everything of the peer is forgotten, but not who else can deliver what it was asked for. An
    /// attempt without anybody left to ask stays until it stalls, in case the peer comes back.
    pub(crate) fn peer_down(&mut self, peer: NodeId, now: Duration) {
        let Some(gone) = self.peers.get(&peer) else { return };
        let ids: Vec<ArtifactId> = gone.adverts.keys().copied().collect();
        let serving = gone.serving.clone();
        for id in ids {
            self.remove_advertiser(peer, id);
        }
        self.peers.remove(&peer);
        self.ring.retain(|listed| *listed != peer);
        for attempt in serving {
            self.fill_attempt(attempt, now);
        }
        // With one peer less, the shares of the others may have grown.
        let others: Vec<NodeId> = self.peers.keys().copied().collect();
        for other in others {
            self.list(other);
        }
        self.begin_attempts(now);
    }

    /// A peer advertises something that this replica does not hold.
    pub(crate) fn advert(&mut self, peer: NodeId, claim: Claim, now: Duration) {
        let id = claim.id;
        let max_adverts = self.options.max_adverts_per_peer;
        let Some(sender) = self.peers.get_mut(&peer) else {
            // It is asked for all its adverts when it comes up.
            self.counters.adverts_refused += 1;
            return;
        };
        if !sender.is_believed(id, now) {
            self.counters.adverts_refused += 1;
            return;
        }
        if sender.adverts.contains_key(&id) {
            let known = self.wanted.get(&id).into_iter().flat_map(|wanted| &wanted.advertisers);
            if known.into_iter().any(|known| known.peer == peer && known.claim == claim) {
                return;
            }
            self.remove_advertiser(peer, id);
            self.settle(id, now);
        } else if sender.adverts.len() >= max_adverts {
            sender.refused = true;
            self.counters.adverts_refused += 1;
            return;
        }

        let wanted = self.wanted.entry(id).or_default();
        // Behind all that have waited for longer: to advertise again gains no place.
        wanted.advertisers.push(Advertiser { peer, claim, place: 2 * wanted.tries });
        let sender = self.peers.get_mut(&peer).expect("found above");
        sender.adverts.insert(id, None);
        let Some(attempt) = wanted.attempt else {
            self.enqueue(peer, id);
            self.begin_attempts(now);
            return;
        };
        let running = self.attempts.get_mut(&attempt).expect("a wanted artifact's attempt exists");
        if running.admits(peer, claim) {
            running.participants.insert(peer);
            sender.serving.insert(attempt);
            self.fill_peer(peer, now);
        }
    }

    /// A chunk of `length` bytes has come. If it was missing, it is to be written, and then
    /// [`written`](Self::written) or [`disk_failed`](Self::disk_failed) is due.
    pub(crate) fn chunk(
        &mut self,
        peer: NodeId,
        id: ArtifactId,
        chunk: u32,
        length: usize,
        now: Duration,
    ) -> Option<Write> {
        let Some(attempt_id) = self.wanted.get(&id).and_then(|wanted| wanted.attempt) else {
            self.counters.chunks_unsolicited += 1;
            return None;
        };
        let attempt =
            self.attempts.get_mut(&attempt_id).expect("a wanted artifact's attempt exists");
        let released = match attempt.expects(chunk, peer) {
            Arrival::New { released } => released,
            Arrival::Duplicate => {
                self.counters.chunks_duplicate += 1;
                return None;
            }
            Arrival::Unsolicited => {
                self.counters.chunks_unsolicited += 1;
                return None;
            }
        };
        let claim = attempt.claim;
        let (offset, expected) =
            claim.chunk(chunk).expect("an expected chunk is one of the claim's");
        if length != expected {
            self.counters.chunks_invalid += 1;
            self.blame(peer, id, now);
            self.settle(id, now);
            self.fill_attempt(attempt_id, now);
            return None;
        }
        attempt.receive(chunk, peer, now);
        self.counters.chunks_received += 1;
        if let Some(released) = released {
            self.release(released);
        }
        let max_window = self.options.requests_per_peer;
        if let Some(sender) = self.peers.get_mut(&peer) {
            sender.deliver(max_window);
        }
        self.fill_peer(peer, now);
        if let Some(other) = released.filter(|other| *other != peer) {
            self.fill_peer(other, now);
        }
        Some(Write { attempt: attempt_id, claim, offset })
    }

    /// A peer has answered a chunk request by an error.
    pub(crate) fn chunk_error(
        &mut self,
        peer: NodeId,
        id: ArtifactId,
        chunk: u32,
        error: ChunkError,
        now: Duration,
    ) {
        let asked = self.wanted.get(&id).and_then(|wanted| wanted.attempt).filter(|attempt| {
            self.attempts.get(attempt).is_some_and(|running| running.is_outstanding(chunk, peer))
        });
        let Some(attempt) = asked else {
            self.counters.chunks_unsolicited += 1;
            return;
        };
        self.counters.chunk_errors += 1;
        if error == ChunkError::NotFound {
            self.remove_advertiser(peer, id);
            self.settle(id, now);
            self.fill_peer(peer, now);
        } else {
            // Unavailable, and whatever a later version may say: somebody else may have it, or this
            // peer later.
            self.fail(attempt, chunk);
            if let Some(sender) = self.peers.get_mut(&peer) {
                sender.rest_until = now + UNAVAILABLE_REST;
            }
        }
        self.fill_attempt(attempt, now);
    }

    /// A request could not be sent; the timer tries again.
    pub(crate) fn request_unsent(
        &mut self,
        peer: NodeId,
        attempt: AttemptId,
        chunk: u32,
        now: Duration,
    ) {
        self.counters.requests_unsent += 1;
        let Some(running) = self.attempts.get_mut(&attempt) else { return };
        if running.is_outstanding(chunk, peer) {
            running.unsend(chunk);
            self.release(peer);
        }
        if let Some(sender) = self.peers.get_mut(&peer) {
            sender.rest_until = now + UNSENT_REST;
        }
    }

    /// The request for adverts could not be sent; the timer tries again.
    pub(crate) fn ask_unsent(&mut self, peer: NodeId, now: Duration) {
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.ask_at = now + UNSENT_REST;
        }
    }
}

#[cfg(test)]
mod tests;
