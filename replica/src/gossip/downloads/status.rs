//! What the downloads show of themselves.

use std::time::Duration;

use gossip_engine::ArtifactId;

use super::Downloads;
use crate::gossip::counters::DownloadStatus;

impl Downloads {
    /// What this replica lacks.
    pub(crate) fn wanted(&self) -> impl Iterator<Item = ArtifactId> {
        self.wanted.keys().copied()
    }

    /// The size of something that peers advertise and this replica lacks, as they claim.
    pub(crate) fn wanted_size(&self, id: ArtifactId) -> Option<u64> {
        self.wanted.get(&id).map(|wanted| wanted.size)
    }

    pub(crate) fn wanted_count(&self) -> usize {
        self.wanted.len()
    }

    pub(crate) fn active_count(&self) -> usize {
        self.attempts.len()
    }

    /// How many bytes of what is wanted have still to come.
    pub(crate) fn missing_bytes(&self) -> u64 {
        let received: u64 = self.attempts.values().map(|attempt| attempt.received_bytes).sum();
        self.wanted_bytes - received
    }

    /// How many artifacts are put off for want of space.
    pub(crate) fn waiting_for_space(&self) -> usize {
        self.lacking_space
    }

    pub(crate) fn status(&self, now: Duration) -> Vec<DownloadStatus> {
        let status = |attempt: &super::Attempt| DownloadStatus {
            id: attempt.claim.id,
            size: attempt.claim.size,
            received: attempt.received_bytes,
            since: now.saturating_sub(attempt.started),
            peers: attempt.members,
            rate: attempt.rate(now),
        };
        self.attempts.values().map(status).collect()
    }
}
