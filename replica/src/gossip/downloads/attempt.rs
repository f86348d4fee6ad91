//! One attempt to fetch one artifact by one claim: which chunk is where.
//!
//! ```text
//!          granted                 arrived            written
//! reserving ──> fresh ──take──> outstanding ──> received ──> (all) finishing
//!           │                     │     ^          ^
//!           │         release     v     │ take     │
//!           │                   retry ──┘          │
//!           └── kept by an earlier attempt ────────┘
//! ```
//!
//! What an earlier attempt has kept is ranges of bytes, since that one may have had other chunks. A chunk all of
//! which is there is received; one of which a part is there is fetched whole. Whose bytes these are nobody knows any
//! more, so nobody is to blame for the content of an attempt that has resumed.
//!
//! A chunk is outstanding at one peer, and if that one is late, at a second one. Chunks never asked for are a
//! cursor, so that memory grows with what is on its way: a bit a chunk, an entry for each that is outstanding
//! or has failed. Nothing is asked for before the store has granted the space.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    time::Duration,
};

use gossip_engine::NodeId;

use super::peer::PeerKey;
use crate::gossip::claim::Claim;

/// How many failed or late chunks are looked through for one that a peer may be asked for.
const LOOKAHEAD: usize = 64;
/// Over how long the rate of an attempt is taken.
const RATE_SPAN: Duration = Duration::from_secs(2);

/// Of whom a chunk has been asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Asked {
    pub(super) first: PeerKey,
    pub(super) second: Option<PeerKey>,
}

impl Asked {
    pub(super) fn peers(self) -> impl Iterator<Item = PeerKey> {
        [Some(self.first), self.second].into_iter().flatten()
    }
}

#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) claim: Claim,
    /// Who has its turn with this, connected or not.
    pub(super) owner: NodeId,
    /// Only this peer is asked, because several together have delivered something wrong.
    pub(super) source: Option<NodeId>,
    /// How many connected peers may be asked.
    pub(super) members: usize,
    /// Whether the store has space for it.
    pub(super) granted: bool,
    pub(super) started: Duration,
    pub(super) progressed: Duration,
    pub(super) outstanding: BTreeMap<u32, Asked>,
    /// Outstanding at one peer, which is late.
    late: BTreeSet<u32>,
    /// Whose bytes are in it, beside those of earlier attempts.
    pub(super) contributors: BTreeSet<NodeId>,
    /// Whether bytes of earlier attempts are in it.
    pub(super) resumed: bool,
    pub(super) finishing: bool,
    /// How many attempts at this claim gave way before.
    pub(super) gave_way: u32,
    /// When it is looked at.
    pub(super) check_at: Option<Duration>,
    /// Which chunk is asked for first, and how many have been taken from there on.
    first: u32,
    fresh: u32,
    retry: BTreeSet<u32>,
    /// Who has been asked in vain for a chunk, the latest only.
    failed: BTreeMap<u32, PeerKey>,
    received: Vec<u64>,
    missing: u32,
    written: u32,
    pub(super) received_bytes: u64,
    rate: Rate,
}

impl Attempt {
    pub(super) fn new(
        claim: Claim,
        owner: NodeId,
        source: Option<NodeId>,
        first: u32,
        now: Duration,
    ) -> Self {
        Self {
            claim,
            owner,
            source,
            members: 0,
            granted: false,
            started: now,
            progressed: now,
            outstanding: BTreeMap::new(),
            late: BTreeSet::new(),
            contributors: BTreeSet::new(),
            resumed: false,
            finishing: false,
            gave_way: 0,
            check_at: None,
            first,
            fresh: 0,
            retry: BTreeSet::new(),
            failed: BTreeMap::new(),
            received: vec![0; claim.chunk_count().div_ceil(64) as usize],
            missing: claim.chunk_count(),
            written: 0,
            received_bytes: 0,
            rate: Rate { began: now, ..Rate::default() },
        }
    }

    /// Whether this peer's claim is the one that is tried, and it may be asked.
    pub(super) fn admits(&self, peer: NodeId, claim: Claim) -> bool {
        claim == self.claim && self.source.is_none_or(|source| source == peer)
    }

    /// Whether there are chunks that nobody is asked for.
    pub(super) fn is_open(&self) -> bool {
        self.granted && (!self.retry.is_empty() || self.fresh < self.claim.chunk_count())
    }

    /// Whether there are chunks to ask a second peer for.
    pub(super) fn has_late(&self) -> bool {
        !self.late.is_empty()
    }

    /// Whether failed chunks wait to be asked for again.
    pub(super) fn has_retries(&self) -> bool {
        !self.retry.is_empty()
    }

    /// Chooses a chunk to ask `peer` for. One that this peer has failed to deliver is another's, unless
    /// it is the `only` one to ask.
    pub(super) fn take(&mut self, peer: PeerKey, only: bool) -> Option<u32> {
        let again = self
            .retry
            .iter()
            .take(LOOKAHEAD)
            .copied()
            .find(|chunk| only || self.failed.get(chunk) != Some(&peer));
        let chunk = if let Some(chunk) = again {
            self.retry.remove(&chunk);
            chunk
        } else {
            let chunk = self.next_fresh()?;
            self.fresh += 1;
            self.skip_received();
            chunk
        };
        let before = self.outstanding.insert(chunk, Asked { first: peer, second: None });
        debug_assert!(before.is_none() && !self.is_received(chunk));
        Some(chunk)
    }

    /// The chunk at the cursor.
    fn next_fresh(&self) -> Option<u32> {
        let count = self.claim.chunk_count();
        let ahead = u64::from(self.first) + u64::from(self.fresh);
        (self.fresh < count).then(|| (ahead % u64::from(count)) as u32)
    }

    /// Moves the cursor past what an earlier attempt has kept.
    fn skip_received(&mut self) {
        while self.next_fresh().is_some_and(|chunk| self.is_received(chunk)) {
            self.fresh += 1;
        }
    }

    /// These bytes are there, in ranges that are in order and do not overlap. Returns how many bytes the chunks have
    /// that are so received. To be called before anything is asked for.
    pub(super) fn resume(&mut self, ranges: &[Range<u64>]) -> u64 {
        let chunk_bytes = u64::from(self.claim.chunk_bytes);
        for range in ranges {
            let end = range.end.min(self.claim.size);
            let Ok(mut chunk) = u32::try_from(range.start.div_ceil(chunk_bytes)) else { break };
            while let Some((offset, length)) = self.claim.chunk(chunk)
                && offset + length as u64 <= end
            {
                self.received[chunk as usize / 64] |= 1 << (chunk % 64);
                self.received_bytes += length as u64;
                self.missing -= 1;
                self.written += 1;
                chunk += 1;
            }
        }
        // Bytes that make no chunk are written over.
        self.resumed = self.received_bytes > 0;
        self.skip_received();
        self.received_bytes
    }

    /// Chooses a late chunk to ask `peer` for as the second, of at most so many bytes.
    pub(super) fn take_late(&mut self, peer: PeerKey, max_bytes: u64) -> Option<(u32, PeerKey)> {
        let chunk = self.late.iter().take(LOOKAHEAD).copied().find(|chunk| {
            self.outstanding[chunk].first != peer
                && self.failed.get(chunk) != Some(&peer)
                && self.claim.chunk(*chunk).is_some_and(|(_, length)| length as u64 <= max_bytes)
        })?;
        self.late.remove(&chunk);
        let asked = self.outstanding.get_mut(&chunk).expect("a late chunk is outstanding");
        asked.second = Some(peer);
        Some((chunk, asked.first))
    }

    /// The peer that is asked for this chunk is late with it. Returns whether a second may be asked.
    pub(super) fn be_late(&mut self, chunk: u32, peer: PeerKey) -> bool {
        let alone = Asked { first: peer, second: None };
        self.outstanding.get(&chunk) == Some(&alone) && self.late.insert(chunk)
    }

    /// The chunk is no longer asked of this peer, because it has `failed` or otherwise.
    pub(super) fn release(&mut self, chunk: u32, peer: PeerKey, failed: bool) {
        let Some(asked) = self.outstanding.get_mut(&chunk) else { return };
        if asked.second == Some(peer) {
            // The first is late, or there would be no second.
            asked.second = None;
            self.late.insert(chunk);
        } else if asked.first == peer {
            match asked.second.take() {
                Some(second) => asked.first = second,
                None => {
                    self.outstanding.remove(&chunk);
                    self.late.remove(&chunk);
                    self.retry.insert(chunk);
                }
            }
        } else {
            return;
        }
        if failed {
            self.failed.insert(chunk, peer);
        }
    }

    /// Whether chunks have still to come.
    pub(super) fn is_incomplete(&self) -> bool {
        self.missing > 0
    }

    /// The chunk has come and has the right length. Returns of whom it had been asked.
    pub(super) fn receive(&mut self, chunk: u32, peer: NodeId, now: Duration) -> Option<Asked> {
        let asked = self.outstanding.remove(&chunk);
        self.late.remove(&chunk);
        self.retry.remove(&chunk);
        self.failed.remove(&chunk);
        self.received[chunk as usize / 64] |= 1 << (chunk % 64);
        self.missing -= 1;
        self.contributors.insert(peer);
        self.progressed = now;
        let length = self.claim.chunk(chunk).map_or(0, |(_, length)| length as u64);
        self.received_bytes += length;
        self.rate.add(length, now);
        asked
    }

    /// A received chunk is on the disk. Returns whether it was the last.
    pub(super) fn write(&mut self, now: Duration) -> bool {
        self.written += 1;
        self.progressed = now;
        self.is_written()
    }

    /// Whether all chunks are on the disk.
    pub(super) fn is_written(&self) -> bool {
        self.written == self.claim.chunk_count()
    }

    pub(super) fn is_received(&self, chunk: u32) -> bool {
        self.received[chunk as usize / 64] & (1 << (chunk % 64)) != 0
    }

    /// Bytes a second, lately.
    pub(super) fn rate(&self, now: Duration) -> f64 {
        self.rate.get(now)
    }
}

/// Bytes a second, over the last whole span and what has passed of the one after it.
#[derive(Debug, Default)]
struct Rate {
    began: Duration,
    bytes: u64,
    before: u64,
}

impl Rate {
    fn add(&mut self, bytes: u64, now: Duration) {
        let passed = now.saturating_sub(self.began);
        if passed >= RATE_SPAN {
            self.before = if passed < RATE_SPAN * 2 { self.bytes } else { 0 };
            self.bytes = 0;
            self.began = if passed < RATE_SPAN * 2 { self.began + RATE_SPAN } else { now };
        }
        self.bytes += bytes;
    }

    fn get(&self, now: Duration) -> f64 {
        let (span, passed) = (RATE_SPAN.as_secs_f64(), now.saturating_sub(self.began));
        let passed = passed.as_secs_f64();
        if passed >= 2.0 * span {
            return 0.0;
        }
        // What of the last span's is not older than a span.
        let rest = self.before as f64 * (1.0 - passed / span).max(0.0);
        (rest + self.bytes as f64) / span.max(passed)
    }
}
