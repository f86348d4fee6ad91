//! In which order a replica fetches: an order of its own, so that replicas can help each other.
//!
//! If all fetched in the same order, nobody would ever hold what another lacks. So artifacts that came to be
//! known at about the same time are ranked by a hash with a salt that only this replica knows, and the chunks
//! of an artifact are asked for from a place of its own on. What has waited for longer than [`EPOCH`] comes
//! before what has come since, so nothing waits for ever. A catalog comes before all else: it says what the rest is.

use std::time::Duration;

use gossip_engine::ArtifactId;

/// Artifacts that came to be known within such a time are ranked by their hashes.
const EPOCH: Duration = Duration::from_secs(10);

/// A place in the queue of a peer: the lowest is next.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Place {
    /// From 1; 0 for what comes before everything else.
    epoch: u64,
    /// Behind those that have been tried less often.
    tries: u64,
    rank: u64,
    /// In the order of arrival, if all else is equal.
    number: u64,
}

impl Place {
    /// Before everything else.
    pub(super) fn first(tries: u64, number: u64) -> Self {
        Self { epoch: 0, tries, rank: 0, number }
    }
}

/// See the [module](self).
#[derive(Clone, Copy, Debug)]
pub(crate) enum Order {
    /// By hash, with this salt.
    Salted(u64),
    /// As they arrive; for tests of single rules.
    #[cfg(test)]
    Arrival,
}

impl Order {
    pub(super) fn place(self, id: ArtifactId, tries: u64, number: u64, now: Duration) -> Place {
        match self {
            Self::Salted(salt) => {
                let epoch = 1 + now.as_secs() / EPOCH.as_secs();
                Place { epoch, tries, rank: hash(salt, id), number }
            }
            #[cfg(test)]
            Self::Arrival => Place { epoch: 1, tries: 0, rank: 0, number },
        }
    }

    /// With which of `count` things of this artifact to begin: chunks, or peers.
    pub(super) fn first(self, id: ArtifactId, count: u64) -> u64 {
        match self {
            // Another hash than that of the place, of which those that come first are all low.
            Self::Salted(salt) => hash(salt.rotate_left(32) ^ 1, id) % count.max(1),
            #[cfg(test)]
            Self::Arrival => 0,
        }
    }
}

/// Nobody who does not know the salt can choose ids that come first: they are SHA-256 of content, and all of
/// their bytes go in.
fn hash(salt: u64, id: ArtifactId) -> u64 {
    id.as_bytes().chunks_exact(8).fold(mix(salt), |hash, bytes| {
        let word = u64::from_le_bytes(bytes.try_into().expect("pieces of 8 bytes"));
        mix(hash ^ word)
    })
}

/// The finalizer of SplitMix64.
fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
