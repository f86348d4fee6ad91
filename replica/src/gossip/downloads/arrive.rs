//! Answers: chunks that come in, the errors in their place, and requests that were never sent.

use std::time::Duration;

use gossip_engine::{ArtifactId, ChunkError, NodeId};

use super::{
    ALLOWED_PART, AttemptId, Downloads, Fault, MAX_ALLOWANCE, Write,
    ask::{UNAVAILABLE_REST, UNSENT_REST},
    attempt::Asked,
    peer::PeerKey,
};

impl Downloads {
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
        let asked_for = self.answered(peer, id, chunk, now);
        let running = self.wanted.get(&id).and_then(|wanted| wanted.attempt);
        let state = running.map(|attempt| (attempt, &self.attempts[&attempt]));
        let there = state.is_some_and(|(_, attempt)| {
            chunk < attempt.claim.chunk_count() && attempt.is_received(chunk)
        });
        let Some((key, attempt)) = asked_for else {
            if there {
                self.counters.chunks_duplicate += 1;
            } else {
                self.counters.chunks_unsolicited += 1;
            }
            return None;
        };
        // The artifact may be here meanwhile, or another attempt's: a late true answer is no breach.
        if there || running != Some(attempt) {
            self.counters.chunks_duplicate += 1;
            self.counters.bytes_duplicate += length as u64;
            self.deliver(key, now);
            return None;
        }
        let claim = self.attempts[&attempt].claim;
        let (offset, expected) =
            claim.chunk(chunk).expect("a chunk that was asked for is one of the claim's");
        if length != expected {
            self.counters.chunks_invalid += 1;
            let running = self.attempts.get_mut(&attempt).expect("it is running");
            running.release(chunk, key, true);
            self.blame(key, id, Fault::WrongLength, now);
            self.settle(id, now);
            self.index_attempt(attempt);
            self.fill_attempt(attempt, now);
            return None;
        }
        let running = self.attempts.get_mut(&attempt).expect("it is running");
        let others = running.receive(chunk, peer, now);
        self.index_attempt(attempt);
        self.counters.chunks_received += 1;
        self.counters.bytes_received += length as u64;
        self.allow(length as u64 / ALLOWED_PART);
        // Its answer may still come; the second peer may not have had its time yet.
        for slower in others.into_iter().flat_map(Asked::peers).filter(|other| *other != key) {
            if let Some(slow) = self.peers.get_mut(&slower)
                && slow.is_late_with(id, chunk)
            {
                slow.miss(now);
                self.judge(slower, now);
            }
        }
        self.deliver(key, now);
        Some(Write { attempt, claim, offset })
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
        let Some((key, attempt)) = self.answered(peer, id, chunk, now) else {
            self.counters.chunks_unsolicited += 1;
            return;
        };
        self.counters.chunk_errors += 1;
        let current = self.wanted.get(&id).is_some_and(|wanted| wanted.attempt == Some(attempt));
        if !current {
            self.fill_peer(key, now);
            return;
        }
        let running = self.attempts.get_mut(&attempt).expect("a wanted artifact's attempt exists");
        running.release(chunk, key, true);
        self.index_attempt(attempt);
        if error == ChunkError::NotFound {
            if self.peers.get(&key).is_some_and(|peer| peer.adverts.contains_key(&id)) {
                self.report(key, id, Fault::NotHeld);
            }
            self.remove_advertiser(key, id);
            self.settle(id, now);
        } else {
            // Unavailable, and whatever a later version may say: somebody else may have it, or this
            // peer later.
            self.rest(key, now + UNAVAILABLE_REST);
        }
        self.fill_attempt(attempt, now);
        self.fill_peer(key, now);
    }

    /// An answer of a peer was dropped here, for there was too much to do: the chunk is asked for again at once, of
    /// another peer before the same one. Less is asked of this peer at a time, since what comes is more than can be
    /// taken; and if that is one chunk already, after a pause.
    pub(crate) fn chunk_lost(&mut self, peer: NodeId, id: ArtifactId, chunk: u32, now: Duration) {
        let Some((key, attempt)) = self.answered(peer, id, chunk, now) else {
            self.counters.chunks_unsolicited += 1;
            return;
        };
        self.counters.chunks_lost += 1;
        if self.peers.get_mut(&key).is_some_and(|sender| !sender.shrink_window()) {
            self.rest(key, now + UNSENT_REST);
        }
        self.index_peer(key);
        if let Some(running) = self.attempts.get_mut(&attempt) {
            running.release(chunk, key, true);
            self.index_attempt(attempt);
            self.fill_attempt(attempt, now);
        }
        self.fill_peer(key, now);
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
        let Some(key) = self.names.get(&peer).copied() else { return };
        if let Some(running) = self.attempts.get_mut(&attempt) {
            let id = running.claim.id;
            let sender = self.peers.get_mut(&key).expect("a name leads to a peer");
            let number = sender.asked.get(&(id, chunk)).copied();
            let number = number.filter(|number| sender.requests[number].attempt == attempt);
            if let Some(request) = number.and_then(|number| sender.forget(number)) {
                running.release(chunk, key, false);
                self.allow(request.doubled);
                self.index_attempt(attempt);
            }
        }
        self.rest(key, now + UNSENT_REST);
    }

    /// A peer has answered. Returns for which attempt it had been asked, also if that was long ago.
    fn answered(
        &mut self,
        peer: NodeId,
        id: ArtifactId,
        chunk: u32,
        now: Duration,
    ) -> Option<(PeerKey, AttemptId)> {
        let key = self.names.get(&peer).copied()?;
        let sender = self.peers.get_mut(&key).expect("a name leads to a peer");
        let attempt = match sender.asked.get(&(id, chunk)).copied() {
            Some(number) => sender.answer(number, now)?.attempt,
            None => sender.take_late(id, chunk)?,
        };
        self.index_peer(key);
        Some((key, attempt))
    }

    /// A peer has delivered what it was asked for.
    fn deliver(&mut self, key: PeerKey, now: Duration) {
        let max_window = self.options.requests_per_peer;
        if let Some(sender) = self.peers.get_mut(&key) {
            sender.hit(max_window);
        }
        self.index_peer(key);
        self.judge(key, now);
        self.fill_peer(key, now);
    }

    /// So many bytes more may be asked for a second time.
    pub(super) fn allow(&mut self, bytes: u64) {
        self.allowance = (self.allowance + bytes).min(MAX_ALLOWANCE);
    }
}
