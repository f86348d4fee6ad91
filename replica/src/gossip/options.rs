//! The numbers of the protocol: what may be chosen, with its defaults, and what may not.

use std::{num::NonZeroU64, time::Duration};

use gossip_engine::wire::MAX_CHUNK_DATA_BYTES;

/// The smallest chunk size that an advert may name, in bytes; smaller ones cost more in messages than
/// in content.
pub const MIN_CHUNK_BYTES: u32 = 1 << 10;
/// The most chunks that an artifact may be cut into. One bit and, while a chunk is on its way, one map
/// entry each: 8 KiB for an artifact being fetched.
pub const MAX_CHUNKS: u64 = 1 << 16;

/// How a replica gossips. [`Default`] gives the numbers of the model.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GossipOptions {
    /// Into chunks of how many bytes this replica cuts what it serves; 128 KiB. At least
    /// [`MIN_CHUNK_BYTES`], at most what a message carries. Replicas with different sizes understand each
    /// other, but an artifact is fetched in parallel only from those with the same one.
    pub chunk_bytes: u32,
    /// The largest artifact that is fetched or published, in bytes; 8 GiB, which is [`MAX_CHUNKS`] of the default size.
    /// Times [`max_downloads`](Self::max_downloads), it is the worst case of disk for artifacts in progress. Space is
    /// held for no more than twice what has come.
    pub max_artifact_bytes: u64,
    /// How many chunks may be asked of one peer and not yet answered; 20. A transport's queue of chunks
    /// to a peer should hold as many.
    pub requests_per_peer: usize,
    /// For how long a peer may be silent that has never answered, before what it was asked for is no longer
    /// expected; 15 s. Of one that was measured it is a few times what it usually takes, between a third and
    /// four times of this. A second peer is asked much sooner.
    pub chunk_timeout: Duration,
    /// How often each peer is asked for all its adverts; 60 s.
    pub retransmission_interval: Duration,
    /// How many artifacts that this replica lacks may be remembered for one peer; 32 768, or some 10 MB.
    /// Adverts beyond it are refused, and asked for again when half of them are done.
    pub max_adverts_per_peer: usize,
    /// How many artifacts are fetched at the same time; 128. Some 10 KiB each.
    pub max_downloads: usize,
    /// How many of them may be fetched on the turn of one peer; 20. With many peers it is less, so
    /// that one that advertises what it does not have takes no other's place.
    pub downloads_per_peer: usize,
    /// For how long an artifact is held that a catalog named and none names any more; a day. Longer gives more time to
    /// restore what was removed by mistake, and takes more space. Where something does not fit, it is dropped earlier,
    /// the oldest first. [`max_publisher_bytes`](Self::max_publisher_bytes) bounds how much of it there is.
    pub removed_retention: Duration,
    /// At most how many bytes of chunks are served in a second, to all peers together; no limit unless set. Set it to
    /// watch a spread: a request waits on the flow's thread for its turn.
    pub serve_bytes_per_second: Option<NonZeroU64>,
    /// How many bytes are held of what one publisher's catalog names; no limit unless set. What is here already counts
    /// first, then each file that still fits, in the order of the paths. The replica's own files have no limit. Set it
    /// where a publisher may have less of the disk than there is, so that the others find space.
    ///
    /// Of what a publisher has removed in this run, as much again is held for
    /// [`removed_retention`](Self::removed_retention); beyond that the oldest is dropped, within some 10 s. A restart
    /// forgets whose it was. So one publisher has twice as many bytes at most, and what it sends in 10 s.
    pub max_publisher_bytes: Option<u64>,
    /// How many bytes are fetched of one peer that no catalog names, and so many times that of all together as there
    /// are members; 4 GiB, and no more than [`max_publisher_bytes`](Self::max_publisher_bytes). It is asked for again
    /// when a catalog names it. Each artifact counts with 64 KiB at least; with 0 none is fetched. Raise it among
    /// replicas of a version without catalogs, or that publish without one.
    pub max_unnamed_bytes: u64,
}

impl Default for GossipOptions {
    fn default() -> Self {
        Self {
            chunk_bytes: 128 << 10,
            max_artifact_bytes: 8 << 30,
            requests_per_peer: 20,
            chunk_timeout: Duration::from_secs(15),
            retransmission_interval: Duration::from_secs(60),
            max_adverts_per_peer: 32_768,
            max_downloads: 128,
            downloads_per_peer: 20,
            removed_retention: Duration::from_secs(24 * 60 * 60),
            serve_bytes_per_second: None,
            max_publisher_bytes: None,
            max_unnamed_bytes: 4 << 30,
        }
    }
}

/// An option that cannot be.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum OptionsError {
    /// The chunk size is out of range.
    #[error("chunks of {0} bytes: at least {MIN_CHUNK_BYTES} and at most {MAX_CHUNK_DATA_BYTES}")]
    ChunkBytes(u32),
    /// A number is 0 that has to be at least 1.
    #[error("{0} must not be 0")]
    Zero(&'static str),
}

impl GossipOptions {
    /// Checks each number.
    ///
    /// # Errors
    ///
    /// The first one that cannot be.
    pub fn validate(&self) -> Result<(), OptionsError> {
        if !chunk_bytes_allowed(self.chunk_bytes) {
            return Err(OptionsError::ChunkBytes(self.chunk_bytes));
        }
        let zeros = [
            ("requests_per_peer", self.requests_per_peer == 0),
            ("chunk_timeout", self.chunk_timeout.is_zero()),
            ("retransmission_interval", self.retransmission_interval.is_zero()),
            ("max_adverts_per_peer", self.max_adverts_per_peer == 0),
            ("max_downloads", self.max_downloads == 0),
            ("downloads_per_peer", self.downloads_per_peer == 0),
        ];
        match zeros.iter().find(|(_, zero)| *zero) {
            Some((name, _)) => Err(OptionsError::Zero(name)),
            None => Ok(()),
        }
    }

    /// The largest artifact that this replica serves, in bytes: peers accept no more chunks than
    /// [`MAX_CHUNKS`].
    #[must_use]
    pub fn max_published_bytes(&self) -> u64 {
        self.max_artifact_bytes.min(u64::from(self.chunk_bytes) * MAX_CHUNKS)
    }
}

pub(super) fn chunk_bytes_allowed(chunk_bytes: u32) -> bool {
    chunk_bytes >= MIN_CHUNK_BYTES && chunk_bytes as usize <= MAX_CHUNK_DATA_BYTES
}
