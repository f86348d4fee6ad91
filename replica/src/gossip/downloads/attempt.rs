//! One attempt to fetch one artifact by one claim: which chunk is where.
//!
//! ```text
//! fresh ──take──> outstanding ──arrived──> received ──written──> (all) finishing
//!                   │     ^
//!       release/fail v    │ take
//!                   retry ┘
//! ```
//!
//! A chunk is outstanding at one peer at most. Chunks never asked for are a cursor, so that memory grows
//! with what is on its way: a bit a chunk, an entry for each that is outstanding or has failed.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use gossip_engine::NodeId;

use crate::gossip::claim::Claim;

/// How many failed chunks [`Attempt::take`] looks through for one that this peer may be asked for.
const RETRY_LOOKAHEAD: usize = 64;

/// A chunk that has been asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outstanding {
    pub(super) peer: NodeId,
    pub(super) since: Duration,
}

/// What a chunk that has come in means.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Arrival {
    /// It was missing. If it had been asked of another peer meanwhile, that one's answer will be late.
    New { released: Option<NodeId> },
    /// It was there already.
    Duplicate,
    /// This peer has not been asked for it.
    Unsolicited,
}

#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) claim: Claim,
    /// Who has its turn with this, connected or not.
    pub(super) owner: NodeId,
    /// Only this peer is asked, because several together have delivered something wrong.
    pub(super) source: Option<NodeId>,
    /// The connected peers that may be asked.
    pub(super) participants: BTreeSet<NodeId>,
    pub(super) started: Duration,
    pub(super) progressed: Duration,
    pub(super) outstanding: BTreeMap<u32, Outstanding>,
    /// Whose bytes are in it.
    pub(super) contributors: BTreeSet<NodeId>,
    pub(super) finishing: bool,
    fresh: u32,
    retry: BTreeSet<u32>,
    /// Who has been asked in vain for a chunk, the latest only. Its answer is welcome even so.
    failed: BTreeMap<u32, NodeId>,
    received: Vec<u64>,
    missing: u32,
    written: u32,
}

impl Attempt {
    pub(super) fn new(
        claim: Claim,
        owner: NodeId,
        source: Option<NodeId>,
        participants: BTreeSet<NodeId>,
        now: Duration,
    ) -> Self {
        Self {
            claim,
            owner,
            source,
            participants,
            started: now,
            progressed: now,
            outstanding: BTreeMap::new(),
            contributors: BTreeSet::new(),
            finishing: false,
            fresh: 0,
            retry: BTreeSet::new(),
            failed: BTreeMap::new(),
            received: vec![0; claim.chunk_count().div_ceil(64) as usize],
            missing: claim.chunk_count(),
            written: 0,
        }
    }

    /// Whether this peer's claim is the one that is tried, and it may be asked.
    pub(super) fn admits(&self, peer: NodeId, claim: Claim) -> bool {
        claim == self.claim && self.source.is_none_or(|source| source == peer)
    }

    /// Whether failed chunks wait to be asked for again.
    pub(super) fn has_retries(&self) -> bool {
        !self.retry.is_empty()
    }

    /// Chooses a chunk to ask `peer` for. One that this peer has failed to deliver is another's, unless
    /// it is the `only` one to ask.
    pub(super) fn take(&mut self, peer: NodeId, only: bool, now: Duration) -> Option<u32> {
        let again = self
            .retry
            .iter()
            .take(RETRY_LOOKAHEAD)
            .copied()
            .find(|chunk| only || self.failed.get(chunk) != Some(&peer));
        let chunk = if let Some(chunk) = again {
            self.retry.remove(&chunk);
            chunk
        } else if self.fresh < self.claim.chunk_count() {
            self.fresh += 1;
            self.fresh - 1
        } else {
            return None;
        };
        let before = self.outstanding.insert(chunk, Outstanding { peer, since: now });
        debug_assert!(before.is_none() && !self.is_received(chunk));
        Some(chunk)
    }

    /// Whether this chunk is asked of this peer right now.
    pub(super) fn is_outstanding(&self, chunk: u32, peer: NodeId) -> bool {
        self.outstanding.get(&chunk).is_some_and(|request| request.peer == peer)
    }

    /// The chunk is no longer asked of the peer that it was asked of; that peer is to be asked last.
    pub(super) fn fail(&mut self, chunk: u32) {
        if let Some(request) = self.outstanding.remove(&chunk) {
            self.failed.insert(chunk, request.peer);
            self.retry.insert(chunk);
        }
    }

    /// The chunk has not been asked for after all.
    pub(super) fn unsend(&mut self, chunk: u32) {
        if self.outstanding.remove(&chunk).is_some() {
            self.retry.insert(chunk);
        }
    }

    /// A peer may no longer be asked. Returns how many chunks were asked of it.
    pub(super) fn leave(&mut self, peer: NodeId) -> usize {
        self.participants.remove(&peer);
        let chunks: Vec<u32> = self
            .outstanding
            .iter()
            .filter(|(_, request)| request.peer == peer)
            .map(|(chunk, _)| *chunk)
            .collect();
        for chunk in &chunks {
            self.unsend(*chunk);
        }
        self.failed.retain(|_, failed| *failed != peer);
        chunks.len()
    }

    /// Whether chunks have still to come.
    pub(super) fn is_incomplete(&self) -> bool {
        self.missing > 0
    }

    /// What it means that this chunk has come from this peer; changes nothing.
    pub(super) fn expects(&self, chunk: u32, peer: NodeId) -> Arrival {
        if chunk >= self.claim.chunk_count() {
            return Arrival::Unsolicited;
        }
        if self.is_received(chunk) {
            return Arrival::Duplicate;
        }
        let asked_of = self.outstanding.get(&chunk).map(|request| request.peer);
        if asked_of == Some(peer) || self.failed.get(&chunk) == Some(&peer) {
            Arrival::New { released: asked_of }
        } else {
            Arrival::Unsolicited
        }
    }

    /// The chunk has come and has the right length.
    pub(super) fn receive(&mut self, chunk: u32, peer: NodeId, now: Duration) {
        self.outstanding.remove(&chunk);
        self.retry.remove(&chunk);
        self.failed.remove(&chunk);
        self.received[chunk as usize / 64] |= 1 << (chunk % 64);
        self.missing -= 1;
        self.contributors.insert(peer);
        self.progressed = now;
    }

    /// A received chunk is on the disk. Returns whether it was the last.
    pub(super) fn write(&mut self, now: Duration) -> bool {
        self.written += 1;
        self.progressed = now;
        self.written == self.claim.chunk_count()
    }

    fn is_received(&self, chunk: u32) -> bool {
        self.received[chunk as usize / 64] & (1 << (chunk % 64)) != 0
    }
}
