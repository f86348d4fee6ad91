//! Whose turn it is: queues of peers, claims of an artifact, attempts that begin and end.

use std::{ops::Range, time::Duration};

use gossip_engine::{ArtifactId, NodeId};

use super::{
    Action, AttemptId, Downloads, LOOK, attempt::Attempt, order::Place, peer::PeerKey,
    timers::Timer,
};

/// How many peers an event looks at to begin attempts; the next tick goes on.
const BEGIN_WORK: usize = 512;
/// What an attempt counts that begins, beside those that advertise the artifact.
const BEGIN_COST: usize = 64;
/// Into how many queues an artifact is put at once, whose attempt has ended.
const ENQUEUED_AT_ONCE: usize = 64;
/// For how many artifacts a tick goes on with it.
const ENQUEUE_TURNS: usize = 2;

impl Downloads {
    /// How many attempts may be a peer's turn at the same time. The shares of all connected peers fit
    /// into `max_downloads` together, or each is 1.
    pub(super) fn share(&self) -> usize {
        let all = self.options.max_downloads / self.peers.len().max(1);
        all.clamp(1, self.options.downloads_per_peer)
    }

    /// Puts an artifact into a peer's queue.
    pub(super) fn enqueue(&mut self, key: PeerKey, id: ArtifactId, now: Duration) {
        self.last_place += 1;
        let wanted = self.wanted.get(&id);
        let tries = wanted.map_or(0, |wanted| wanted.tries);
        let place = if wanted.is_some_and(|wanted| wanted.is_first) {
            Place::first(tries, self.last_place)
        } else {
            self.order.place(id, tries, self.last_place, now)
        };
        if let Some(waiting) = self.peers.get_mut(&key) {
            waiting.enqueue(id, place);
        }
        self.list(key);
    }

    /// Puts a peer into the ring if something of its queue may begin.
    pub(super) fn list(&mut self, key: PeerKey) {
        let share = self.share();
        if let Some(waiting) = self.peers.get_mut(&key)
            && !waiting.listed
            && !waiting.queue.is_empty()
            && self.turns.get(&waiting.name).copied().unwrap_or(0) < share
        {
            waiting.listed = true;
            self.ring.push_back(key);
        }
    }

    /// A peer has no turn before this time. The turns of the others go on.
    pub(super) fn rest_turns(&mut self, key: PeerKey, until: Duration) {
        if let Some(resting) = self.peers.get_mut(&key) {
            resting.turns_from = until;
        }
    }

    /// Begins attempts while there is capacity, one peer's turn after the other.
    pub(super) fn begin_attempts(&mut self, now: Duration) {
        if now < self.paused_until {
            return;
        }
        let mut work = 0;
        // How many in a row have no turn yet; they keep their places in the ring.
        let mut resting = 0;
        while self.attempts.len() < self.options.max_downloads
            && work < BEGIN_WORK
            && resting < self.ring.len()
        {
            let Some(key) = self.ring.pop_front() else { return };
            work += 1;
            let share = self.share();
            let Some(next) = self.peers.get_mut(&key) else { continue };
            if now < next.turns_from {
                resting += 1;
                self.ring.push_back(key);
                continue;
            }
            resting = 0;
            next.listed = false;
            let owner = next.name;
            if self.turns.get(&owner).copied().unwrap_or(0) >= share {
                continue;
            }
            if let Some(id) = next.dequeue() {
                work += self.begin(id, owner, now);
            }
            self.list(key);
        }
    }

    /// Begins an attempt on `owner`'s turn, unless there is one. Returns what it has cost.
    fn begin(&mut self, id: ArtifactId, owner: NodeId, now: Duration) -> usize {
        let Some(wanted) = self
            .wanted
            .get_mut(&id)
            .filter(|wanted| wanted.attempt.is_none() && wanted.retry_at.is_none())
        else {
            return 0;
        };
        // Who has timed out lately comes last, then who has had its try latest. With each try it is looked
        // at others, if there are many.
        let start = self.order.first(id, self.last_peer + 1) + wanted.tries * LOOK as u64;
        let start = start % (self.last_peer + 1);
        let known = &wanted.advertisers;
        let around = known.range(start..).chain(known.range(..start)).take(2 * LOOK);
        let own = self.names.get(&owner).and_then(|key| known.get_key_value(key));
        let best = own
            .into_iter()
            .chain(around)
            .filter(|(key, _)| self.peers.contains_key(key))
            .min_by_key(|(key, known)| {
                (self.suspects.contains(key), known.place, known.peer != owner)
            });
        let Some((_, best)) = best.map(|(key, known)| (*key, *known)) else { return 1 };
        let (claim, source) = (best.claim, wanted.single.then_some(best.peer));

        self.last_attempt += 1;
        let attempt = self.last_attempt;
        let first = self.order.first(id, claim.chunk_count().into()) as u32;
        let mut running = Attempt::new(claim, owner, source, first, now);
        wanted.attempt = Some(attempt);
        wanted.tries += 1;
        for known in wanted.advertisers.values_mut() {
            if running.admits(known.peer, known.claim) {
                known.place = 2 * wanted.tries + 1;
                running.gave_way = running.gave_way.max(known.gave_way);
                running.members += 1;
            }
        }
        let cost = wanted.advertisers.len() + BEGIN_COST;
        self.wanted_bytes = self.wanted_bytes - wanted.size + claim.size;
        wanted.size = claim.size;
        *self.turns.entry(owner).or_default() += 1;
        if claim.chunk_count() == 0 {
            running.finishing = true;
            self.actions.push(Action::Finish { attempt, claim });
        } else {
            // After a mismatch all is fetched anew, of one peer at a time.
            let resume = !wanted.single;
            self.actions.push(Action::Reserve { attempt, claim, owner, resume });
        }
        self.attempts.insert(attempt, running);
        self.schedule_check(attempt, now);
        cost
    }

    /// The store has space for an attempt's artifact: what is not in these ranges, which an earlier attempt has kept,
    /// is asked for. The ranges are in order and do not overlap.
    pub(crate) fn space_granted(&mut self, attempt: AttemptId, kept: &[Range<u64>], now: Duration) {
        let Some(running) = self.attempts.get_mut(&attempt) else { return };
        running.granted = true;
        running.progressed = now;
        self.counters.bytes_resumed += running.resume(kept);
        if running.is_written() {
            running.finishing = true;
            self.actions.push(Action::Finish { attempt, claim: running.claim });
        }
        let id = running.claim.id;
        let wanted = self.wanted.get_mut(&id).expect("an attempt's artifact is wanted");
        if std::mem::take(&mut wanted.lacks_space) {
            self.lacking_space -= 1;
        }
        self.index_attempt(attempt);
        self.fill_attempt(attempt, now);
    }

    /// Ends an attempt, whatever its outcome. If the artifact is still wanted and not put off, it waits
    /// again. What was asked for is still awaited, since it takes its part of the link. With `keep`, what has come is
    /// kept for the next attempt, unless that has to ask one peer for all of it.
    pub(super) fn end_attempt(&mut self, attempt: AttemptId, keep: bool, now: Duration) {
        let Some(mut ended) = self.attempts.remove(&attempt) else { return };
        self.timers.cancel(Timer::Attempt(attempt), &mut ended.check_at);
        self.index_attempt(attempt);
        // Nor is it asked for what the same event had still decided to ask.
        let mut unsent = Vec::new();
        self.actions.retain(|action| match action {
            Action::Request { peer, attempt: of, id, chunk } if *of == attempt => {
                unsent.push((*peer, *id, *chunk));
                false
            }
            Action::Reserve { attempt: of, .. } => *of != attempt,
            _ => true,
        });
        self.counters.chunks_requested -= unsent.len() as u64;
        for (peer, id, chunk) in unsent {
            let Some(key) = self.names.get(&peer).copied() else { continue };
            let asked = self.peers.get_mut(&key).expect("a name leads to a peer");
            if let Some(number) = asked.asked.get(&(id, chunk)).copied() {
                asked.forget(number);
                self.index_peer(key);
            }
        }
        let id = ended.claim.id;
        let wanted = self.wanted.get_mut(&id).expect("an attempt's artifact is wanted");
        wanted.attempt = None;
        let keep = keep && !wanted.single;
        self.actions.push(Action::Discard { attempt, keep });
        let turns = self.turns.get_mut(&ended.owner).expect("counted when it began");
        *turns -= 1;
        if *turns == 0 {
            self.turns.remove(&ended.owner);
        }

        if wanted.advertisers.is_empty() {
            self.remove_wanted(id);
        } else if wanted.retry_at.is_none() {
            self.enqueue_for_all(id, now);
        }
        if let Some(owner) = self.names.get(&ended.owner).copied() {
            self.list(owner);
        }
        self.begin_attempts(now);
    }

    /// Puts an artifact into the queues of those that advertise it: of some now, of the others by and by.
    pub(super) fn enqueue_for_all(&mut self, id: ArtifactId, now: Duration) {
        self.enqueue_from(id, 0, now);
    }

    /// Goes on with what has been left for later.
    pub(super) fn enqueue_rest(&mut self, now: Duration) {
        for _ in 0..ENQUEUE_TURNS {
            let Some((id, from)) = self.enqueueing.pop_first() else { return };
            self.enqueue_from(id, from, now);
        }
    }

    fn enqueue_from(&mut self, id: ArtifactId, from: PeerKey, now: Duration) {
        let Some(wanted) = self.wanted.get(&id) else { return };
        // After an attempt that has begun meanwhile, it is put into all queues again.
        if wanted.attempt.is_some() || wanted.retry_at.is_some() {
            return;
        }
        let mut rest = wanted.advertisers.range(from..).map(|(key, _)| *key);
        let keys: Vec<PeerKey> = rest.by_ref().take(ENQUEUED_AT_ONCE).collect();
        if let Some(next) = rest.next() {
            self.enqueueing.insert(id, next);
        }
        self.work += keys.len();
        for key in keys {
            self.enqueue(key, id, now);
        }
    }

    /// Forgets that a peer advertises an artifact. What it was asked for of it is another's to deliver.
    pub(super) fn remove_advertiser(&mut self, key: PeerKey, id: ArtifactId) {
        let Some(wanted) = self.wanted.get_mut(&id) else { return };
        let Some(known) = wanted.advertisers.remove(&key) else { return };
        let nobody = wanted.advertisers.is_empty();
        let attempt = wanted.attempt;
        self.retract(key, id);
        let Some(attempt) = attempt else {
            if nobody {
                self.remove_wanted(id);
            }
            return;
        };
        let running = self.attempts.get_mut(&attempt).expect("a wanted artifact's attempt exists");
        if running.admits(known.peer, known.claim) {
            running.members -= 1;
        }
        if let Some(peer) = self.peers.get(&key) {
            for ((_, chunk), _) in peer.asked.range((id, 0)..=(id, u32::MAX)) {
                running.release(*chunk, key, false);
            }
            self.index_attempt(attempt);
        }
    }

    /// Forgets an artifact that nobody advertises any more, or that is held.
    pub(super) fn remove_wanted(&mut self, id: ArtifactId) {
        if let Some(mut wanted) = self.wanted.remove(&id) {
            self.timers.cancel(Timer::Retry(id), &mut wanted.retry_at);
            self.wanted_bytes -= wanted.size;
            self.lacking_space -= usize::from(wanted.lacks_space);
        }
    }

    /// Ends the artifact's attempt if nobody is left to ask and chunks are missing.
    pub(super) fn settle(&mut self, id: ArtifactId, now: Duration) {
        let Some(attempt) = self.wanted.get(&id).and_then(|wanted| wanted.attempt) else { return };
        let running = &self.attempts[&attempt];
        if running.members == 0 && running.is_incomplete() {
            self.end_attempt(attempt, true, now);
        }
    }
}
