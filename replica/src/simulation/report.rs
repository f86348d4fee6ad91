//! What came of a simulation, and what could at best.

use std::time::Duration;

use super::options::{Options, Topology};
use crate::gossip::FetchCounters;

/// What came of a simulation. Times are virtual, from the publication on; bytes are those sent from then on, as encoded
/// and framed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// How many replicas can hold everything: they are honest, do not die, and are connected by such.
    pub expected: usize,
    /// How many of them do.
    pub complete: usize,
    /// When half of them did, if they did.
    pub half: Option<Duration>,
    /// When 99 of 100 of them did, if they did.
    pub most: Option<Duration>,
    /// When the last of them did, if it did.
    pub last: Option<Duration>,
    /// What an honest replica sent, in the mean.
    pub mean_bytes: u64,
    /// What of that was not chunks.
    pub mean_rest_bytes: u64,
    /// What the publisher sent.
    pub publisher_bytes: u64,
    /// What the honest replica sent that sent most.
    pub most_bytes: u64,
    /// What fetching cost all replicas that are honest.
    pub fetched: Fetched,
    /// How many events there were.
    pub events: u64,
    /// A hash over all of them and their times.
    pub trace: u64,
}

/// What fetching costs beside what it brings.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Fetched {
    /// How many chunks were asked for a second time because they were late.
    pub chunks_hedged: u64,
    /// How many chunks were waited for in vain.
    pub chunks_timed_out: u64,
    /// How many bytes of content came twice.
    pub duplicate_bytes: u64,
}

impl Fetched {
    pub(super) fn add(&mut self, of_one: &FetchCounters) {
        self.chunks_hedged += of_one.chunks_hedged;
        self.chunks_timed_out += of_one.chunks_timed_out;
        self.duplicate_bytes += of_one.bytes_duplicate;
    }
}

/// What theory says, in times that all content takes on an uplink.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Theory {
    /// Who has all of it sends it to all its neighbours at the same time, and these do as well once they have all of
    /// it: neighbours * log(n) / log(neighbours - 1), or n - 1 in a mesh.
    pub at_once: f64,
    /// Who has all of it sends it to one after the other, and these do as well: log2(n).
    pub doubling: f64,
    /// Who has a chunk passes it on: 1 + log2(n) / chunks. Nothing is faster than 1.
    pub swarm: f64,
}

impl Theory {
    /// That of these replicas, artifacts and chunks.
    #[must_use]
    pub fn of(options: &Options) -> Self {
        let n = options.replicas as f64;
        let each = options.artifact_bytes.div_ceil(options.gossip.chunk_bytes as usize);
        let chunks = (options.artifacts * each) as f64;
        let at_once = match options.topology {
            // A ring goes round both ways, and each sends in one direction only.
            Topology::Neighbours(2) => n / 2.0,
            Topology::Neighbours(neighbours) if neighbours + 1 < options.replicas => {
                let neighbours = neighbours as f64;
                neighbours * n.ln() / (neighbours - 1.0).ln()
            }
            _ => n - 1.0,
        };
        Self { at_once, doubling: n.log2(), swarm: 1.0 + n.log2() / chunks }
    }
}

impl Options {
    /// How long all content takes on an uplink.
    #[must_use]
    pub fn uplink_time(&self) -> Duration {
        let bytes = self.artifacts as f64 * self.artifact_bytes as f64;
        Duration::from_secs_f64(bytes / self.uplink as f64)
    }
}
