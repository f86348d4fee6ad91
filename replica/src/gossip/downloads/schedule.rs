//! Who is asked for what next: turns of peers, claims of an artifact, chunks of an attempt.

use std::{collections::BTreeSet, time::Duration};

use gossip_engine::{ArtifactId, NodeId};

use super::{Action, AttemptId, Downloads, attempt::Attempt};

impl Downloads {
    /// How many attempts may be a peer's turn at the same time. The shares of all connected peers fit
    /// into `max_downloads` together, or each is 1.
    pub(super) fn share(&self) -> usize {
        let all = self.options.max_downloads / self.peers.len().max(1);
        all.clamp(1, self.options.downloads_per_peer)
    }

    /// Puts an artifact into a peer's queue.
    pub(super) fn enqueue(&mut self, peer: NodeId, id: ArtifactId) {
        self.last_place += 1;
        if let Some(waiting) = self.peers.get_mut(&peer) {
            waiting.enqueue(id, self.last_place);
        }
        self.list(peer);
    }

    /// Puts a peer into the ring if something of its queue may begin.
    pub(super) fn list(&mut self, peer: NodeId) {
        let share = self.share();
        let turns = self.turns.get(&peer).copied().unwrap_or(0);
        if let Some(waiting) = self.peers.get_mut(&peer)
            && !waiting.listed
            && !waiting.queue.is_empty()
            && turns < share
        {
            waiting.listed = true;
            self.ring.push_back(peer);
        }
    }

    /// Begins attempts while there is capacity, one peer's turn after the other.
    pub(super) fn begin_attempts(&mut self, now: Duration) {
        if now < self.paused_until {
            return;
        }
        while self.attempts.len() < self.options.max_downloads {
            let Some(peer) = self.ring.pop_front() else { return };
            let share = self.share();
            let turns = self.turns.get(&peer).copied().unwrap_or(0);
            let Some(next) = self.peers.get_mut(&peer) else { continue };
            next.listed = false;
            if turns >= share {
                continue;
            }
            if let Some(id) = next.dequeue() {
                self.begin(id, peer, now);
            }
            self.list(peer);
        }
    }

    /// Begins an attempt on `owner`'s turn, unless there is one.
    fn begin(&mut self, id: ArtifactId, owner: NodeId, now: Duration) {
        let Some(wanted) = self.wanted.get_mut(&id).filter(|wanted| wanted.attempt.is_none())
        else {
            return;
        };
        let peers = &self.peers;
        let suspect = |peer| peers.get(&peer).is_none_or(|peer| peer.is_suspect(now));
        // Who has timed out lately comes last, then who has had its try latest.
        let best = wanted.advertisers.iter().min_by_key(|advertiser| {
            (suspect(advertiser.peer), advertiser.place, advertiser.peer != owner)
        });
        let Some(best) = best.copied() else { return };
        let source = wanted.single.then_some(best.peer);

        self.last_attempt += 1;
        let attempt = self.last_attempt;
        wanted.attempt = Some(attempt);
        wanted.tries += 1;
        let mut participants = BTreeSet::new();
        for advertiser in &mut wanted.advertisers {
            let joins = advertiser.claim == best.claim
                && source.is_none_or(|source| source == advertiser.peer);
            if joins {
                advertiser.place = 2 * wanted.tries + 1;
                participants.insert(advertiser.peer);
            }
        }
        for peer in &participants {
            self.peers.get_mut(peer).expect("an advertiser is connected").serving.insert(attempt);
        }
        *self.turns.entry(owner).or_default() += 1;
        let mut running = Attempt::new(best.claim, owner, source, participants, now);
        if best.claim.chunk_count() == 0 {
            running.finishing = true;
            self.actions.push(Action::Finish { attempt, claim: best.claim });
        }
        self.attempts.insert(attempt, running);
        self.fill_attempt(attempt, now);
    }

    /// Ends an attempt, whatever its outcome. If the artifact is still wanted, it waits again.
    pub(super) fn end_attempt(&mut self, attempt: AttemptId, now: Duration) {
        let Some(ended) = self.attempts.remove(&attempt) else { return };
        // Nor is it asked for what the same event had still decided to ask.
        self.actions.retain(
            |action| !matches!(action, Action::Request { attempt: of, .. } if *of == attempt),
        );
        self.actions.push(Action::Discard { attempt });
        for request in ended.outstanding.values() {
            self.release(request.peer);
        }
        for peer in &ended.participants {
            if let Some(peer) = self.peers.get_mut(peer) {
                peer.serving.remove(&attempt);
            }
        }
        let turns = self.turns.get_mut(&ended.owner).expect("counted when it began");
        *turns -= 1;
        if *turns == 0 {
            self.turns.remove(&ended.owner);
        }

        let id = ended.claim.id;
        let wanted = self.wanted.get_mut(&id).expect("an attempt's artifact is wanted");
        wanted.attempt = None;
        let advertisers: Vec<NodeId> =
            wanted.advertisers.iter().map(|advertiser| advertiser.peer).collect();
        if advertisers.is_empty() {
            self.wanted.remove(&id);
        }
        for peer in advertisers {
            self.enqueue(peer, id);
        }
        self.list(ended.owner);
        self.begin_attempts(now);
        for peer in ended.participants {
            self.fill_peer(peer, now);
        }
    }

    /// Forgets that a peer advertises an artifact, and what it was asked for of it.
    pub(super) fn remove_advertiser(&mut self, peer: NodeId, id: ArtifactId) {
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.retract(id);
        }
        let Some(wanted) = self.wanted.get_mut(&id) else { return };
        wanted.advertisers.retain(|advertiser| advertiser.peer != peer);
        let Some(attempt) = wanted.attempt else {
            if wanted.advertisers.is_empty() {
                self.wanted.remove(&id);
            }
            return;
        };
        let running = self.attempts.get_mut(&attempt).expect("a wanted artifact's attempt exists");
        let released = running.leave(peer);
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.outstanding -= released;
            peer.serving.remove(&attempt);
        }
    }

    /// Ends the artifact's attempt if nobody is left to ask and chunks are missing.
    pub(super) fn settle(&mut self, id: ArtifactId, now: Duration) {
        let Some(attempt) = self.wanted.get(&id).and_then(|wanted| wanted.attempt) else { return };
        let running = &self.attempts[&attempt];
        if running.participants.is_empty() && running.is_incomplete() {
            self.end_attempt(attempt, now);
        }
    }

    /// Asks a peer for as many chunks as it may be asked for.
    pub(super) fn fill_peer(&mut self, peer: NodeId, now: Duration) {
        let mut next = 0;
        while let Some(asked) = self.peers.get(&peer)
            && asked.room(now) > 0
            && let Some(attempt) = asked.serving.range(next..).next().copied()
        {
            match self.take(attempt, peer, now) {
                Some(chunk) => {
                    let asked = self.peers.get_mut(&peer).expect("found above");
                    asked.outstanding += 1;
                    self.counters.chunks_requested += 1;
                    let id = self.attempts[&attempt].claim.id;
                    self.actions.push(Action::Request { peer, attempt, id, chunk });
                }
                None => next = attempt + 1,
            }
        }
    }

    /// Asks all that may be asked in an attempt.
    pub(super) fn fill_attempt(&mut self, attempt: AttemptId, now: Duration) {
        let Some(running) = self.attempts.get(&attempt) else { return };
        let participants: Vec<NodeId> = running.participants.iter().copied().collect();
        for peer in participants {
            self.fill_peer(peer, now);
        }
    }

    /// Chooses a chunk of an attempt to ask a peer for. A peer that has timed out lately is asked only
    /// if all have; a chunk that it has failed to deliver only if no other of its standing is there.
    fn take(&mut self, attempt: AttemptId, peer: NodeId, now: Duration) -> Option<u32> {
        let peers = &self.peers;
        let suspect = |peer: &NodeId| peers.get(peer).is_none_or(|peer| peer.is_suspect(now));
        let running = self.attempts.get_mut(&attempt).expect("a peer serves attempts that exist");
        let mut only = false;
        if suspect(&peer) {
            if running.participants.iter().any(|other| !suspect(other)) {
                return None;
            }
            only = running.participants.len() == 1;
        } else if running.has_retries() {
            only = !running.participants.iter().any(|other| *other != peer && !suspect(other));
        }
        running.take(peer, only, now)
    }

    /// A chunk is no longer outstanding at a peer.
    pub(super) fn release(&mut self, peer: NodeId) {
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.outstanding -= 1;
        }
    }

    /// A peer has not delivered a chunk that it was asked for.
    pub(super) fn fail(&mut self, attempt: AttemptId, chunk: u32) {
        let Some(running) = self.attempts.get_mut(&attempt) else { return };
        if let Some(request) = running.outstanding.get(&chunk).copied() {
            running.fail(chunk);
            self.release(request.peer);
        }
    }

    /// Adverts of this peer were lost: it is asked for them with the next tick.
    pub(crate) fn ask_soon(&mut self, peer: NodeId, now: Duration) {
        if let Some(asked) = self.peers.get_mut(&peer) {
            asked.ask_at = asked.ask_at.min(now);
        }
    }

    pub(super) fn ask_adverts(&mut self, peer: NodeId, now: Duration) {
        let interval = self.options.retransmission_interval;
        if let Some(asked) = self.peers.get_mut(&peer) {
            asked.refused = false;
            asked.asked_at = now;
            asked.ask_at = now + interval;
            self.counters.retransmissions_asked += 1;
            self.actions.push(Action::AskAdverts { peer });
        }
    }
}
