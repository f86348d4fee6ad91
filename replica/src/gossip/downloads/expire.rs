//! What time alone brings about: chunks time out, attempts give way, adverts are asked for again.
//!
//! A tick looks at the attempts, at what is outstanding in them, and at the peers: none of these grows
//! with the number of artifacts.

use std::{collections::BTreeSet, time::Duration};

use gossip_engine::NodeId;

use super::{AttemptId, Downloads};

/// After how many chunk time-outs without progress an attempt has stalled, at first.
const STALL_TIMEOUTS: u32 = 2;
/// How long an attempt may take, at first, if other claims or other peers wait for their try.
const LEASE: Duration = Duration::from_secs(120);
/// How often stall and lease double.
const MAX_DOUBLINGS: u32 = 8;
/// How soon after asking for adverts a peer may be asked again because there is capacity for more.
const EARLIEST_ASK: Duration = Duration::from_secs(5);

impl Downloads {
    /// Time has passed.
    pub(crate) fn tick(&mut self, now: Duration) {
        self.time_out_chunks(now);
        self.give_way(now);
        let peers: Vec<NodeId> = self.peers.keys().copied().collect();
        for peer in peers {
            self.ask_when_due(peer, now);
            self.fill_peer(peer, now);
        }
        // After a pause the ring is still full.
        self.begin_attempts(now);
    }

    fn time_out_chunks(&mut self, now: Duration) {
        let timeout = self.options.chunk_timeout;
        let mut late: Vec<(AttemptId, u32, NodeId)> = Vec::new();
        for (attempt, running) in &self.attempts {
            for (chunk, request) in &running.outstanding {
                if now.saturating_sub(request.since) >= timeout {
                    late.push((*attempt, *chunk, request.peer));
                }
            }
        }
        // Many chunks that time out together say no more about a peer than one.
        let peers: BTreeSet<NodeId> = late.iter().map(|(_, _, peer)| *peer).collect();
        for peer in peers {
            if let Some(peer) = self.peers.get_mut(&peer) {
                peer.time_out(now);
            }
        }
        self.counters.chunks_timed_out += late.len() as u64;
        for (attempt, chunk, _) in late {
            self.fail(attempt, chunk);
        }
    }

    fn give_way(&mut self, now: Duration) {
        let due: Vec<AttemptId> = self
            .attempts
            .keys()
            .copied()
            .filter(|attempt| self.must_give_way(*attempt, now))
            .collect();
        for attempt in due {
            let Some(running) = self.attempts.get(&attempt) else { continue };
            let id = running.claim.id;
            if let Some(wanted) = self.wanted.get_mut(&id) {
                wanted.gave_way += 1;
            }
            self.counters.given_up += 1;
            self.end_attempt(attempt, now);
        }
    }

    fn must_give_way(&self, attempt: AttemptId, now: Duration) -> bool {
        let running = &self.attempts[&attempt];
        if running.finishing {
            return false;
        }
        let wanted = &self.wanted[&running.claim.id];
        let patience = 1 << wanted.gave_way.min(MAX_DOUBLINGS);
        let quiet = now.saturating_sub(running.progressed);
        if quiet >= self.options.chunk_timeout * STALL_TIMEOUTS * patience {
            return true;
        }
        if !running.is_incomplete() {
            return false;
        }
        let suspect = |peer: &NodeId| self.peers.get(peer).is_none_or(|peer| peer.is_suspect(now));
        let mut others = wanted
            .advertisers
            .iter()
            .map(|advertiser| &advertiser.peer)
            .filter(|peer| !running.participants.contains(peer))
            .peekable();
        if others.peek().is_none() {
            return false;
        }
        let lease_over = now.saturating_sub(running.started) >= LEASE * patience;
        // Nobody answers here, and somebody else might.
        let silent = quiet >= self.options.chunk_timeout * patience
            && running.participants.iter().all(suspect);
        lease_over || silent && others.any(|peer| !suspect(peer))
    }

    fn ask_when_due(&mut self, peer: NodeId, now: Duration) {
        let Some(asked) = self.peers.get(&peer) else { return };
        let room_again = asked.refused
            && asked.adverts.len() <= self.options.max_adverts_per_peer / 2
            && now.saturating_sub(asked.asked_at) >= EARLIEST_ASK;
        if room_again || now >= asked.ask_at {
            self.ask_adverts(peer, now);
        }
    }
}
