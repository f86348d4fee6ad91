//! How much is fetched that no catalog names: so many bytes for each peer that advertises it.
//!
//! ```text
//!          take                              a catalog names it
//! unknown ──────> taken: counts for a peer ───────────────────────> counts for no peer any more
//!    ^                 │        │
//!    └── swept: gone ──┘        └── the replica ends: left over, counts for all peers together
//! ```
//!
//! Such artifacts come from replicas of an earlier version, from a peer that makes them up, and for a moment from
//! everybody: adverts of files come before that of the catalog that names them. What does not fit is refused, and
//! asked for again with all adverts: after the next catalog, or after a minute.
//!
//! - A peer has `limit` bytes, all together have as many times that as there are members. What an earlier run has left
//!   counts for all together only, since nobody remembers whose it is.
//! - An artifact counts with its claimed size, and with [`LEAST_BYTES`] at least: it costs memory as well.
//! - It counts for the peer on whose turn it was begun, until a catalog names it or it is neither held nor wanted. The
//!   latter is looked at every 10 s.
//!
//! Bounded: an entry for each artifact that counts for a peer, so by `limit / LEAST_BYTES` for each. It has no
//! lock: that of the catalogs' state orders it with what is named.

use std::{
    cmp::Reverse,
    collections::{HashMap, hash_map::Entry},
    time::Duration,
};

use gossip_engine::{ArtifactId, NodeId};

/// With how many bytes an artifact counts at least; 64 KiB.
pub(crate) const LEAST_BYTES: u64 = 64 << 10;

/// An artifact as a peer advertises it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer {
    pub(crate) id: ArtifactId,
    pub(crate) size: u64,
    pub(crate) peer: NodeId,
}

/// An artifact that counts for a peer.
#[derive(Clone, Copy, Debug)]
struct Taken {
    peer: NodeId,
    size: u64,
    /// When it was begun last.
    at: Duration,
}

impl Taken {
    fn bytes(self) -> u64 {
        self.size.max(LEAST_BYTES)
    }
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Unnamed {
    limit: u64,
    taken: HashMap<ArtifactId, Taken>,
    /// What counts for each peer. One for which nothing does has no entry.
    peers: HashMap<NodeId, u64>,
    /// What counts for all of them.
    total: u64,
    /// What an earlier run has left.
    left_over: u64,
    /// Until when nothing is taken.
    closed_until: Duration,
}

impl Default for Unnamed {
    fn default() -> Self {
        Self {
            limit: u64::MAX,
            taken: HashMap::new(),
            peers: HashMap::new(),
            total: 0,
            left_over: 0,
            closed_until: Duration::ZERO,
        }
    }
}

impl Unnamed {
    pub(super) fn with_limit(limit: u64) -> Self {
        Self { limit, ..Self::default() }
    }

    /// Whether it may be fetched, where there are so many members.
    pub(super) fn fits(&self, offer: Offer, members: usize, now: Duration) -> bool {
        let Offer { id, size, peer } = offer;
        if self.taken.get(&id).is_some_and(|taken| taken.size == size) {
            return true;
        }
        let bytes = size.max(LEAST_BYTES);
        let of_peer = self.peers.get(&peer).copied().unwrap_or(0);
        let all = self.total.saturating_add(self.left_over);
        now >= self.closed_until
            && of_peer.saturating_add(bytes) <= self.limit
            && all.saturating_add(bytes) <= self.limit.saturating_mul(members.max(1) as u64)
    }

    /// It is about to be fetched. Returns whether it [fits](Self::fits); if so it counts.
    pub(super) fn take(&mut self, offer: Offer, members: usize, now: Duration) -> bool {
        let Offer { id, size, peer } = offer;
        if let Some(taken) = self.taken.get_mut(&id).filter(|taken| taken.size == size) {
            taken.at = now;
            return true;
        }
        if !self.fits(offer, members, now) {
            return false;
        }
        self.release(id);
        let taken = Taken { peer, size, at: now };
        *self.peers.entry(peer).or_default() += taken.bytes();
        self.total += taken.bytes();
        self.taken.insert(id, taken);
        true
    }

    /// It counts for no peer.
    pub(super) fn release(&mut self, id: ArtifactId) {
        let Some(taken) = self.taken.remove(&id) else { return };
        self.total -= taken.bytes();
        if let Entry::Occupied(mut of_peer) = self.peers.entry(taken.peer) {
            *of_peer.get_mut() -= taken.bytes();
            if *of_peer.get() == 0 {
                of_peer.remove();
            }
        }
        if self.taken.is_empty() {
            // Most replicas need it only until the first catalog is here.
            self.taken = HashMap::new();
        }
    }

    /// The same if a catalog names it with this size.
    pub(super) fn name(&mut self, id: ArtifactId, size: u64) {
        if self.taken.get(&id).is_some_and(|taken| taken.size == size) {
            self.release(id);
        }
    }

    pub(super) fn contains(&self, id: ArtifactId) -> bool {
        self.taken.contains_key(&id)
    }

    /// What counts for peers, and when each was begun.
    pub(super) fn taken(&self) -> Vec<(ArtifactId, Duration)> {
        self.taken.iter().map(|(id, taken)| (*id, taken.at)).collect()
    }

    /// What counts for peers, in the order in which it gives way: that of the peer with the most first.
    pub(super) fn by_peer(&self) -> Vec<ArtifactId> {
        let mut taken: Vec<_> = self.taken.iter().collect();
        taken.sort_by_key(|(id, taken)| (Reverse(self.peers.get(&taken.peer)), taken.peer, **id));
        taken.into_iter().map(|(id, _)| *id).collect()
    }

    /// It is gone, unless it has been begun again since `at`.
    pub(super) fn sweep(&mut self, id: ArtifactId, at: Duration) {
        if self.taken.get(&id).is_some_and(|taken| taken.at == at) {
            self.release(id);
        }
    }

    pub(super) fn set_left_over(&mut self, bytes: u64) {
        self.left_over = bytes;
    }

    /// Takes nothing until then.
    pub(super) fn close_until(&mut self, until: Duration) {
        self.closed_until = until;
    }
}

#[cfg(test)]
mod tests;
