//! Which chunk is asked of whom.
//!
//! A peer with capacity meets an attempt with chunks that nobody is asked for, whichever of the two came to be so
//! last. Each search looks at [`LOOK`] of the other side, or at all of them if they are fewer.

use std::time::Duration;

use gossip_engine::{ArtifactId, NodeId};

use super::{
    Action, AttemptId, Claim, Downloads, Fault, LOOK,
    peer::{PeerKey, Request},
    timers::Timer,
};

/// For how long a peer is asked nothing after it has said that a chunk is unavailable.
pub(super) const UNAVAILABLE_REST: Duration = Duration::from_secs(1);
/// For how long a peer is asked nothing after a request to it could not be sent.
pub(super) const UNSENT_REST: Duration = Duration::from_millis(200);
/// How many idle peers a tick looks at.
const IDLE_LOOKED_AT: usize = 4;

impl Downloads {
    /// Asks a peer for as many chunks as it may be asked for, of the oldest attempt first; if there is
    /// nothing else, for what others are late with.
    pub(super) fn fill_peer(&mut self, key: PeerKey, now: Duration) {
        if let Some(end) = self.search(key, 0, now) {
            // There are more: this search goes on where the one before has ended.
            let from = self.peers.get(&key).map_or(end, |peer| peer.cursor.max(end));
            let end = self.search(key, from, now).unwrap_or(0);
            if let Some(peer) = self.peers.get_mut(&key) {
                peer.cursor = end;
            }
        }
        let late: Vec<AttemptId> = self.late.iter().take(LOOK).copied().collect();
        for attempt in late {
            self.fill_late(key, attempt, now);
        }
    }

    /// Asks a peer for chunks of attempts from this one on. Returns where the search has ended, if neither
    /// the peer's capacity nor the attempts have.
    fn search(&mut self, key: PeerKey, from: AttemptId, now: Duration) -> Option<AttemptId> {
        let mut from = from;
        for _ in 0..LOOK {
            if !self.has_room(key, now) {
                return None;
            }
            let attempt = self.open.range(from..).next().copied()?;
            self.fill_fresh(key, attempt, now);
            from = attempt + 1;
        }
        Some(from)
    }

    /// Asks all that may be asked in an attempt; those of whom least is asked first.
    pub(super) fn fill_attempt(&mut self, attempt: AttemptId, now: Duration) {
        for key in self.candidates(attempt, now) {
            if !self.open.contains(&attempt) && !self.late.contains(&attempt) {
                return;
            }
            self.fill_peer_from(key, attempt, now);
        }
    }

    /// Asks a peer for chunks of this attempt.
    pub(super) fn fill_peer_from(&mut self, key: PeerKey, attempt: AttemptId, now: Duration) {
        self.fill_fresh(key, attempt, now);
        self.fill_late(key, attempt, now);
    }

    fn candidates(&mut self, attempt: AttemptId, now: Duration) -> Vec<PeerKey> {
        let Some(running) = self.attempts.get(&attempt) else { return Vec::new() };
        if !self.open.contains(&attempt) && !self.late.contains(&attempt) {
            return Vec::new();
        }
        let id = running.claim.id;
        let advertisers = &self.wanted[&id].advertisers;
        // Not the same ones first for each artifact, nor those that other replicas ask first.
        let mut start = self.order.first(id, self.last_peer + 1);
        let few = self.idle.len().min(advertisers.len());
        if few > LOOK {
            // Nor the same ones again.
            start = (start + self.last_request) % (self.last_peer + 1);
        }
        let admitted = |key: &PeerKey| {
            self.peers.get(key).is_some_and(|peer| peer.has_room(now))
                && advertisers.get(key).is_some_and(|known| running.admits(known.peer, known.claim))
        };
        let mut found: Vec<PeerKey> = if self.idle.len() <= advertisers.len() {
            let around = self.idle.range(start..).chain(self.idle.range(..start));
            around.take(LOOK).copied().filter(admitted).collect()
        } else {
            let around = advertisers.range(start..).chain(advertisers.range(..start));
            around.take(LOOK).map(|(key, _)| *key).filter(admitted).collect()
        };
        found.sort_by_key(|key| (self.suspects.contains(key), self.peers[key].requests.len()));
        self.work += few.min(LOOK) / 4 + 1;
        found
    }

    /// Some idle peers for which no event has found anything to ask.
    pub(super) fn look_at_idle(&mut self, now: Duration) {
        if self.open.is_empty() && self.late.is_empty() {
            return;
        }
        let next = self.looked_at + 1;
        let around = self.idle.range(next..).chain(self.idle.range(..next));
        let keys: Vec<PeerKey> = around.take(IDLE_LOOKED_AT).copied().collect();
        for key in keys {
            self.fill_peer(key, now);
            self.looked_at = key;
        }
    }

    fn has_room(&self, key: PeerKey, now: Duration) -> bool {
        self.peers.get(&key).is_some_and(|peer| peer.has_room(now))
    }

    fn is_member(&self, attempt: AttemptId, key: PeerKey) -> bool {
        self.attempts.get(&attempt).is_some_and(|running| {
            let known = self.wanted[&running.claim.id].advertisers.get(&key);
            known.is_some_and(|known| running.admits(known.peer, known.claim))
        })
    }

    /// Whether somebody may be asked in an attempt who is not suspect, apart from `except`, who may.
    pub(super) fn has_trusted(&self, attempt: AttemptId, except: Option<PeerKey>) -> bool {
        let running = &self.attempts[&attempt];
        if self.suspects.is_empty() && self.departed.is_empty() {
            return running.members > usize::from(except.is_some());
        }
        // More than those that are suspect or may have departed.
        if self.departed.is_empty()
            && running.members > self.suspects.len() + usize::from(except.is_some())
        {
            return true;
        }
        let advertisers = self.wanted[&running.claim.id].advertisers.iter();
        advertisers.take(LOOK).any(|(key, known)| {
            Some(*key) != except
                && running.admits(known.peer, known.claim)
                && !self.suspects.contains(key)
                && self.peers.contains_key(key)
        })
    }

    fn fill_fresh(&mut self, key: PeerKey, attempt: AttemptId, now: Duration) {
        self.work += 1;
        if !self.open.contains(&attempt) || !self.is_member(attempt, key) {
            return;
        }
        while self.has_room(key, now)
            && let Some(chunk) = self.take(attempt, key)
        {
            self.ask(key, attempt, chunk, now);
        }
        self.index_attempt(attempt);
    }

    /// Chooses a chunk of an attempt to ask a peer for. A peer that is suspect is asked only if all are; a
    /// chunk that it has failed to deliver only if no other of its standing is there.
    fn take(&mut self, attempt: AttemptId, key: PeerKey) -> Option<u32> {
        let running = &self.attempts[&attempt];
        let mut only = false;
        if self.suspects.contains(&key) {
            if self.has_trusted(attempt, None) {
                return None;
            }
            only = running.members == 1;
        } else if running.has_retries() {
            only = !self.has_trusted(attempt, Some(key));
        }
        self.attempts.get_mut(&attempt)?.take(key, only)
    }

    /// Asks a peer for what others are late with, as far as what may come twice allows.
    fn fill_late(&mut self, key: PeerKey, attempt: AttemptId, now: Duration) {
        self.work += 1;
        if !self.late.contains(&attempt)
            || self.suspects.contains(&key)
            || !self.is_member(attempt, key)
        {
            return;
        }
        while self.has_room(key, now)
            && let Some(running) = self.attempts.get_mut(&attempt)
            && let Some((chunk, first)) = running.take_late(key, self.allowance)
        {
            let id = running.claim.id;
            let length = running.claim.chunk(chunk).map_or(0, |(_, length)| length as u64);
            self.allowance -= length;
            self.counters.chunks_hedged += 1;
            if let Some(slow) = self.peers.get_mut(&first)
                && let Some(number) = slow.asked.get(&(id, chunk))
                && let Some(request) = slow.requests.get_mut(number)
            {
                request.doubled = length;
            }
            self.ask(key, attempt, chunk, now);
        }
        self.index_attempt(attempt);
    }

    fn ask(&mut self, key: PeerKey, attempt: AttemptId, chunk: u32, now: Duration) {
        let id = self.attempts[&attempt].claim.id;
        self.last_request += 1;
        let asked = self.peers.get_mut(&key).expect("has capacity, so it is there");
        let request = Request { id, chunk, attempt, silent_since: now, late: false, doubled: 0 };
        asked.ask(self.last_request, request);
        let (peer, late_at) = (asked.name, now + asked.pace.late_after());
        self.counters.chunks_requested += 1;
        self.actions.push(Action::Request { peer, attempt, id, chunk });
        self.index_peer(key);
        self.wake_by(key, late_at);
    }

    /// What may be asked of a peer has changed.
    pub(super) fn index_peer(&mut self, key: PeerKey) {
        if self.peers.get(&key).is_some_and(super::peer::Peer::is_idle) {
            self.idle.insert(key);
        } else {
            self.idle.remove(&key);
        }
    }

    /// What is to be asked for in an attempt has changed.
    pub(super) fn index_attempt(&mut self, attempt: AttemptId) {
        let running = self.attempts.get(&attempt);
        for (index, belongs) in [
            (&mut self.open, running.is_some_and(super::Attempt::is_open)),
            (&mut self.late, running.is_some_and(super::Attempt::has_late)),
        ] {
            if belongs {
                index.insert(attempt);
            } else {
                index.remove(&attempt);
            }
        }
    }

    /// How far a peer is to be trusted has changed.
    pub(super) fn judge(&mut self, key: PeerKey, now: Duration) {
        let Some(peer) = self.peers.get(&key) else { return };
        let until = peer.suspect_until();
        if until > now {
            self.suspects.insert(key);
            self.wake_by(key, until);
        } else {
            self.suspects.remove(&key);
        }
    }

    pub(super) fn rest(&mut self, key: PeerKey, until: Duration) {
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.rest_until = until;
            self.index_peer(key);
            self.wake_by(key, until);
        }
    }

    /// Has a peer looked at by then.
    pub(super) fn wake_by(&mut self, key: PeerKey, at: Duration) {
        if let Some(peer) = self.peers.get_mut(&key)
            && peer.wake_at.is_none_or(|before| before > at)
        {
            self.timers.set(Timer::Peer(key), &mut peer.wake_at, at);
        }
    }

    /// Has it reported to the operator, once for each peer and artifact.
    pub(super) fn report(&mut self, key: PeerKey, id: ArtifactId, fault: Fault) {
        if let Some(peer) = self.peers.get_mut(&key)
            && peer.is_news(id)
        {
            self.actions.push(Action::Report { peer: peer.name, id, fault });
        }
    }

    /// An advert of this peer was lost: it is asked for all of them with the next tick, unless it has said the same
    /// before.
    pub(crate) fn advert_lost(&mut self, peer: NodeId, claim: Claim, now: Duration) {
        let Some(key) = self.names.get(&peer) else { return };
        let known = self.wanted.get(&claim.id).and_then(|wanted| wanted.advertisers.get(key));
        if known.is_none_or(|known| known.claim != claim) {
            self.ask_soon(peer, now);
        }
    }

    /// This peer is asked for its adverts with the next tick.
    pub(crate) fn ask_soon(&mut self, peer: NodeId, now: Duration) {
        if let Some(key) = self.names.get(&peer).copied()
            && self.peers[&key].ask_at > now
        {
            self.ask_adverts_at(key, now);
        }
    }

    pub(super) fn ask_adverts_at(&mut self, key: PeerKey, at: Duration) {
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.ask_at = at;
            self.wake_by(key, at);
        }
    }

    pub(super) fn ask_adverts(&mut self, key: PeerKey, now: Duration) {
        let interval = self.options.retransmission_interval;
        if let Some(asked) = self.peers.get_mut(&key) {
            asked.refused = false;
            asked.asked_at = now;
            self.counters.retransmissions_asked += 1;
            self.actions.push(Action::AskAdverts { peer: asked.name });
            self.ask_adverts_at(key, now + interval);
        }
    }
}
