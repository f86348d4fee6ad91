//! The state machine of fetching: what is wanted, who is asked for which chunk, whom to believe.
//!
//! It has no clock, no disk and no network: events and the time go in, [`Action`]s come out, and the same
//! events lead to the same actions. An artifact is in one of four states:
//!
//! ```text
//!          advert                its turn               stored
//! unknown ────────> queued ───────────────> attempt ─────────────> (held, forgotten here)
//!                    ^  ^                      │ │
//!                    │  └──────────────────────┘ │ no space, disk error
//!                    │  stalled, mismatch,       v
//!                    │  another's turn       put off
//!                    └───────────────────────────┘
//! ```
//!
//! It waits in the queue of each peer that advertises it, in an [order](order) of this replica's own. A catalog comes
//! first. Turns go round the peers, and each has a share of the attempts, so that what one peer makes up takes no
//! other's place. After an attempt that was refused only the peer whose turn it was rests. An attempt tries one
//! *claim* (size and chunk size) and asks all peers that make it, oldest attempt first. Before its first request the
//! store is asked for space.
//!
//! A chunk that is [late](pace) is asked of a second peer, and the first answer counts. What may so come
//! twice is bounded by an allowance that grows with what comes once.
//!
//! Whom to believe: if the content of an attempt is wrong and one peer alone has delivered it, that peer
//! has lied. If there were several, the next attempts ask one peer at a time until the liar is found.
//!
//! What an attempt that ends has fetched is kept for the next, unless its content was wrong or the disk at fault.
//! Nobody is blamed for what was resumed. If it was wrong, the next attempts begin with nothing, so it is used once at
//! most:
//!
//! ```text
//! nothing ──attempt gives way──> kept ──next attempt──> resumed ──right──> held
//!                                 ^                      │   │
//!                                 └──────gives way───────┘   └──wrong──> nothing, from one peer at a time
//! ```
//!
//! Claims are tried in turn; an attempt gives way if it stalls, or if others wait and its lease is over.
//! Lease and patience double with each time, so that a slow peer finishes in the end. Each claim has its own, or false
//! claims would make each other's tries longer.
//!
//! Bounded: adverts, outstanding chunks and attempts by [`GossipOptions`], for each peer; peers by
//! the transport. What is due is [in order](timers), and no search looks at more than [`LOOK`] peers
//! or attempts: what it has not found is found by one of the next ticks. What a departed peer has advertised
//! is forgotten by and by. So an event costs the logarithm of what is tracked, times a constant; the end
//! of an attempt costs a step for each peer that advertises the same artifact.
//!
//! May lose: the progress of an attempt, where the store does not keep it. Adverts beyond the bounds, until asked
//! again.

mod action;
mod arrive;
mod ask;
mod attempt;
mod expire;
#[cfg(any(test, fuzzing))]
mod invariants;
mod order;
mod outcome;
mod pace;
mod peer;
mod schedule;
mod status;
mod timers;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use gossip_engine::{ArtifactId, NodeId};

pub(crate) use self::{
    action::{Action, Fault, Refused, Write},
    order::Order,
};
use self::{
    attempt::Attempt,
    peer::{Peer, PeerKey},
    timers::{Timer, Timers},
};
use super::{claim::Claim, counters::FetchCounters, options::GossipOptions};

/// Numbers the attempts, from 1.
pub(crate) type AttemptId = u64;

/// How many peers, or attempts, one search looks at.
const LOOK: usize = 32;
/// How many adverts of departed peers are forgotten with a departure, and with each tick, at least.
const FORGET: usize = 96;
/// Which part of them is, if there are many: what is left is bounded by what comes within a few seconds.
const FORGOTTEN_PART: usize = 256;
/// How many catalogs a peer may advertise beyond its other adverts.
const FIRST_ADVERTS: usize = 1024;
/// How many bytes may be asked for a second time before anything has come.
const FIRST_ALLOWANCE: u64 = 1 << 20;
/// How many bytes may be asked for a second time at once, if much has come.
const MAX_ALLOWANCE: u64 = 8 << 20;
/// Which part of what has come may be asked for a second time.
const ALLOWED_PART: u64 = 64;

/// An artifact that this replica lacks.
#[derive(Debug, Default)]
struct Wanted {
    /// Who advertises it. Some may have departed, and not be forgotten yet.
    advertisers: BTreeMap<PeerKey, Advertiser>,
    /// Its size, as the attempt has it, or the peer that advertised it first.
    size: u64,
    attempt: Option<AttemptId>,
    /// How many attempts there have been.
    tries: u64,
    /// How often in a row it was put off because the disk would not take it.
    put_off: u32,
    /// Until when it is put off.
    retry_at: Option<Duration>,
    /// Whether it is put off for want of space.
    lacks_space: bool,
    /// Whether it comes before everything else.
    is_first: bool,
    /// Whether one peer at a time is asked, because several together have delivered something wrong.
    single: bool,
}

#[derive(Clone, Copy, Debug)]
struct Advertiser {
    peer: NodeId,
    claim: Claim,
    /// Its place in the order of tries: the lowest is next. Odd after a try, even if it came since.
    place: u64,
    /// How many attempts at its claim gave way; patience grows with it.
    gave_way: u32,
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Downloads {
    options: GossipOptions,
    order: Order,
    /// The connection of each peer.
    names: BTreeMap<NodeId, PeerKey>,
    peers: BTreeMap<PeerKey, Peer>,
    /// What departed peers have advertised and is still to be forgotten.
    departed: VecDeque<(PeerKey, VecDeque<ArtifactId>)>,
    /// Those that are asked last.
    suspects: BTreeSet<PeerKey>,
    /// Those that may be asked for more, once their rest is over.
    idle: BTreeSet<PeerKey>,
    wanted: BTreeMap<ArtifactId, Wanted>,
    wanted_bytes: u64,
    lacking_space: usize,
    attempts: BTreeMap<AttemptId, Attempt>,
    /// Those with chunks that nobody is asked for.
    open: BTreeSet<AttemptId>,
    /// Those with chunks to ask a second peer for.
    late: BTreeSet<AttemptId>,
    timers: Timers,
    /// How many attempts each peer has its turn with. Outlives the peer's connection, or one that comes
    /// and goes would get a new share each time.
    turns: BTreeMap<NodeId, usize>,
    /// The peers whose turn comes, in order.
    ring: VecDeque<PeerKey>,
    last_peer: PeerKey,
    last_attempt: AttemptId,
    last_place: u64,
    last_request: u64,
    /// What is still to be put into queues of peers, from which on.
    enqueueing: BTreeMap<ArtifactId, PeerKey>,
    /// Up to which peer the last tick has looked for something to ask idle ones.
    looked_at: PeerKey,
    /// How many bytes may be asked for a second time.
    allowance: u64,
    paused_until: Duration,
    /// How many peers and attempts have been looked at since the tick began.
    work: usize,
    actions: Vec<Action>,
    counters: FetchCounters,
}

impl Downloads {
    pub(crate) fn new(options: GossipOptions, order: Order) -> Self {
        Self {
            options,
            order,
            names: BTreeMap::new(),
            peers: BTreeMap::new(),
            departed: VecDeque::new(),
            suspects: BTreeSet::new(),
            idle: BTreeSet::new(),
            wanted: BTreeMap::new(),
            wanted_bytes: 0,
            lacking_space: 0,
            attempts: BTreeMap::new(),
            open: BTreeSet::new(),
            late: BTreeSet::new(),
            timers: Timers::default(),
            turns: BTreeMap::new(),
            ring: VecDeque::new(),
            last_peer: 0,
            last_attempt: 0,
            last_place: 0,
            last_request: 0,
            enqueueing: BTreeMap::new(),
            looked_at: 0,
            allowance: FIRST_ALLOWANCE,
            paused_until: Duration::ZERO,
            work: 0,
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

    pub(crate) fn is_running(&self, attempt: AttemptId) -> bool {
        self.attempts.contains_key(&attempt)
    }

    pub(crate) fn peer_up(&mut self, peer: NodeId, now: Duration) {
        self.peer_down(peer, now);
        self.last_peer += 1;
        let key = self.last_peer;
        self.names.insert(peer, key);
        self.peers.insert(key, Peer::new(peer, self.options.requests_per_peer, now));
        self.index_peer(key);
        self.ask_adverts(key, now);
    }

    /// Everything of the peer is forgotten, but not who else can deliver what it was asked for. An
    /// attempt without anybody left to ask stays until it stalls, in case the peer comes back.
    pub(crate) fn peer_down(&mut self, peer: NodeId, now: Duration) {
        let Some(key) = self.names.remove(&peer) else { return };
        let share = self.share();
        let mut gone = self.peers.remove(&key).expect("a name leads to a peer");
        self.timers.cancel(Timer::Peer(key), &mut gone.wake_at);
        self.suspects.remove(&key);
        self.idle.remove(&key);
        self.ring.retain(|listed| *listed != key);
        let mut released = BTreeSet::new();
        for request in gone.requests.values() {
            self.allow(request.doubled);
            if let Some(running) = self.attempts.get_mut(&request.attempt) {
                running.release(request.chunk, key, false);
                released.insert(request.attempt);
            }
        }
        self.departed.push_back((key, gone.adverts.into_keys().collect()));
        self.forget_departed();
        for attempt in released {
            self.index_attempt(attempt);
            self.fill_attempt(attempt, now);
        }
        if self.share() > share {
            let others: Vec<PeerKey> = self.peers.keys().copied().collect();
            others.into_iter().for_each(|other| self.list(other));
        }
        self.begin_attempts(now);
    }

    /// Forgets a part of what departed peers have advertised.
    fn forget_departed(&mut self) {
        let left: usize = self.departed.iter().map(|(_, adverts)| adverts.len()).sum();
        for _ in 0..FORGET.max(left / FORGOTTEN_PART) {
            let Some((key, adverts)) = self.departed.front_mut() else { return };
            let key = *key;
            match adverts.pop_front() {
                Some(id) => self.remove_advertiser(key, id),
                None => _ = self.departed.pop_front(),
            }
        }
    }

    /// A peer advertises something that this replica does not hold.
    pub(crate) fn advert(&mut self, peer: NodeId, claim: Claim, now: Duration) {
        self.advertised(peer, claim, false, now);
    }

    /// The same for what comes before everything else: a catalog, since it says what the rest is.
    pub(crate) fn advert_first(&mut self, peer: NodeId, claim: Claim, now: Duration) {
        self.advertised(peer, claim, true, now);
    }

    fn advertised(&mut self, peer: NodeId, claim: Claim, is_first: bool, now: Duration) {
        let id = claim.id;
        let beyond = if is_first { FIRST_ADVERTS } else { 0 };
        let max_adverts = self.options.max_adverts_per_peer + beyond;
        let Some(key) = self.names.get(&peer).copied() else {
            // It is asked for all its adverts when it comes up.
            self.counters.adverts_refused += 1;
            return;
        };
        let sender = self.peers.get_mut(&key).expect("a name leads to a peer");
        if !sender.is_believed(id, now) {
            self.counters.adverts_refused += 1;
            return;
        }
        if sender.adverts.contains_key(&id) {
            let known = self.wanted.get(&id).and_then(|wanted| wanted.advertisers.get(&key));
            if known.is_some_and(|known| known.claim == claim) {
                return;
            }
            self.remove_advertiser(key, id);
            self.settle(id, now);
        } else if sender.adverts.len() >= max_adverts {
            sender.refused = true;
            self.counters.adverts_refused += 1;
            return;
        }

        let wanted_bytes = &mut self.wanted_bytes;
        let wanted = self.wanted.entry(id).or_insert_with(|| {
            *wanted_bytes += claim.size;
            Wanted { size: claim.size, ..Wanted::default() }
        });
        wanted.is_first |= is_first;
        // Behind all that have waited for longer: to advertise again gains no place.
        wanted
            .advertisers
            .insert(key, Advertiser { peer, claim, place: 2 * wanted.tries, gave_way: 0 });
        let put_off = wanted.retry_at.is_some();
        let attempt = wanted.attempt;
        self.peers.get_mut(&key).expect("found above").adverts.insert(id, None);
        let Some(attempt) = attempt else {
            if !put_off {
                self.enqueue(key, id, now);
                self.begin_attempts(now);
            }
            return;
        };
        let running = self.attempts.get_mut(&attempt).expect("a wanted artifact's attempt exists");
        if running.admits(peer, claim) {
            running.members += 1;
            self.fill_peer_from(key, attempt, now);
        }
    }

    /// The request for adverts could not be sent; the timer tries again.
    pub(crate) fn ask_unsent(&mut self, peer: NodeId, now: Duration) {
        if let Some(key) = self.names.get(&peer).copied() {
            self.ask_adverts_at(key, now + ask::UNSENT_REST);
        }
    }
}

#[cfg(test)]
mod tests;
