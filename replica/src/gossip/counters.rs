//! What the protocol counts, as plain numbers.

use std::time::Duration;

use gossip_engine::ArtifactId;

/// Where a replica stands: counters since its start, and what it holds and lacks now.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct GossipSnapshot {
    /// Artifacts held.
    pub artifacts: u64,
    /// Bytes of content held.
    pub bytes: u64,
    /// Artifacts that peers advertise and this replica lacks, those being fetched included.
    pub wanted: u64,
    /// How many bytes of them have still to come, as far as the peers' adverts can be believed.
    pub missing_bytes: u64,
    /// How many of them wait until the store has space for them.
    pub waiting_for_space: u64,
    /// Artifacts being fetched.
    pub active: u64,
    /// Connected peers.
    pub peers: u64,
    /// What has happened while fetching.
    pub fetched: FetchCounters,
    /// What has happened while serving.
    pub served: ServeCounters,
}

/// An artifact that is being fetched.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct DownloadStatus {
    /// Its id.
    pub id: ArtifactId,
    /// Its size in bytes, as those that are asked claim.
    pub size: u64,
    /// How many of these bytes have come.
    pub received: u64,
    /// How long ago this attempt to fetch it began.
    pub since: Duration,
    /// How many connected peers can be asked for it.
    pub peers: usize,
    /// Bytes a second, over the last seconds.
    pub rate: f64,
}

/// What has happened while fetching artifacts, since the start.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct FetchCounters {
    /// Artifacts fetched and verified.
    pub artifacts: u64,
    /// Attempts given up for want of an answer, or for another peer's claim.
    pub given_up: u64,
    /// Chunks asked for, once for each time.
    pub chunks_requested: u64,
    /// Chunk requests that the transport did not take.
    pub requests_unsent: u64,
    /// Chunks that came and were missing.
    pub chunks_received: u64,
    /// Their bytes.
    pub bytes_received: u64,
    /// Bytes that had come to an earlier attempt, in this run or one before, and were not asked for again.
    pub bytes_resumed: u64,
    /// Chunks asked of a second peer because the first was late.
    pub chunks_hedged: u64,
    /// Chunks that came and were there already, as the slower answer of two.
    pub chunks_duplicate: u64,
    /// Bytes of those of them that had been asked for.
    pub bytes_duplicate: u64,
    /// Chunks that came, or errors in their place, without having been asked for.
    pub chunks_unsolicited: u64,
    /// Chunks, or errors in their place, that the engine has dropped, and that were asked for again.
    pub chunks_lost: u64,
    /// Chunks of a wrong length or with two different ids.
    pub chunks_invalid: u64,
    /// Chunk requests answered by an error.
    pub chunk_errors: u64,
    /// Chunk requests not answered in time.
    pub chunks_timed_out: u64,
    /// Artifacts whose content did not hash to their id.
    pub hash_mismatches: u64,
    /// Peers found to have lied about an artifact, once for each.
    pub blamed: u64,
    /// Artifacts that the disk refused.
    pub disk_errors: u64,
    /// How often there was no space for an artifact, and nothing of it was asked for.
    pub no_space: u64,
    /// Adverts of artifacts that cannot be.
    pub adverts_invalid: u64,
    /// Adverts for which there was no capacity or no belief.
    pub adverts_refused: u64,
    /// Adverts and attempts of what no catalog names, beyond the share of the peer that advertises it.
    pub unnamed_refused: u64,
    /// Retransmission requests sent.
    pub retransmissions_asked: u64,
}

/// What has happened while serving artifacts, since the start.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct ServeCounters {
    /// Chunks handed to the transport.
    pub chunks: u64,
    /// Chunk requests answered by an error.
    pub chunk_errors: u64,
    /// Answers to chunk requests that the transport did not take; the peer asks again.
    pub chunks_unsent: u64,
    /// Chunk requests of peers whose queue had no capacity for the answer. Nothing was read for them.
    pub requests_dropped: u64,
    /// Adverts handed to the transport.
    pub adverts: u64,
    /// Adverts that the transport did not take; they are sent again.
    pub adverts_unsent: u64,
    /// Retransmission requests that have begun to be answered.
    pub retransmissions_answered: u64,
    /// Retransmission requests that came too soon after the one before, or that the engine dropped; answered later, as
    /// one.
    pub retransmissions_deferred: u64,
}
