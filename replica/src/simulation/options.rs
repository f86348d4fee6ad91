//! What is simulated.

use std::time::Duration;

use crate::{catalog::LEAST_UNNAMED_BYTES, gossip::GossipOptions, transport::limits::IDLE_TIMEOUT};

/// The most replicas.
pub const MAX_REPLICAS: usize = 100_000;
/// The most connections: a mesh of 1 448 replicas.
pub const MAX_LINKS: usize = 1 << 20;

/// Who is connected to whom.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Topology {
    /// Each to all others.
    Mesh,
    /// Each to about so many, at random: rings through all of them, so an even number. Where there are no more, a mesh.
    Neighbours(usize),
}

/// Which parts of the replicas have which fault; 0 to 1 each, 1 together. The publisher has none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Faults {
    /// Hostile: a third each takes requests and never answers, delivers wrong bytes, and floods with adverts of what
    /// there is not and with requests.
    pub hostile: f64,
    /// Dies within a second of the publication, for good and unseen.
    pub dead: f64,
    /// Dies as well, and comes again up to ten seconds later with the artifacts that its store held.
    pub restarting: f64,
    /// Comes up to five seconds after the publication.
    pub joining: f64,
    /// Has a sixteenth of the rates.
    pub slow: f64,
    /// For how long every other replica is cut off from the publisher's half, from the publication on. At least the
    /// transport's idle timeout, so that the connections break; 0 for no partition.
    pub partition: Duration,
}

/// A simulation. [`Default`] is a quiet one of a thousand replicas.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Decides all that is random.
    pub seed: u64,
    /// How many replicas; the first is the publisher.
    pub replicas: usize,
    /// Who is connected to whom.
    pub topology: Topology,
    /// How many artifacts the publisher publishes at once. No catalog names them, so all together are no more than
    /// [`GossipOptions::max_unnamed_bytes`], each with 64 KiB at least.
    pub artifacts: usize,
    /// The size of each, in bytes.
    pub artifact_bytes: usize,
    /// What a replica sends, in bytes a second.
    pub uplink: u64,
    /// What a replica receives, in bytes a second.
    pub downlink: u64,
    /// The least time that a message takes from one replica to another when nothing else is sent.
    pub min_latency: Duration,
    /// The most. Each connection has its own between the two, the same in both directions.
    pub max_latency: Duration,
    /// Which part of the packets is lost, 0 to 0.5.
    pub loss: f64,
    /// What goes wrong.
    pub faults: Faults,
    /// Whether each replica fetches in an order of its own, as replicas do; if not, to measure what that gains.
    pub own_order: bool,
    /// How the replicas gossip, without a limit of their own to what they serve in a second.
    pub gossip: GossipOptions,
    /// When the simulation ends in any case, in virtual time after the publication.
    pub limit: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 1,
            replicas: 1_000,
            topology: Topology::Neighbours(8),
            artifacts: 1,
            artifact_bytes: 2 << 20,
            uplink: 125_000_000,
            downlink: 125_000_000,
            min_latency: Duration::from_millis(1),
            max_latency: Duration::from_millis(50),
            loss: 0.0,
            faults: Faults::default(),
            own_order: true,
            gossip: GossipOptions::default(),
            limit: Duration::from_secs(3_600),
        }
    }
}

/// A number that cannot be.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{name} {reason}")]
pub struct InvalidOptions {
    name: &'static str,
    reason: &'static str,
}

impl Options {
    pub(super) fn validate(&self) -> Result<(), InvalidOptions> {
        let links = match self.topology {
            Topology::Mesh => self.replicas.saturating_sub(1),
            Topology::Neighbours(neighbours) => neighbours.min(self.replicas.saturating_sub(1)),
        };
        let faults = &self.faults;
        let parts = [faults.hostile, faults.dead, faults.restarting, faults.joining, faults.slow];
        let even = match self.topology {
            Topology::Mesh => true,
            Topology::Neighbours(neighbours) => neighbours > 0 && neighbours % 2 == 0,
        };
        let short = !faults.partition.is_zero() && faults.partition < IDLE_TIMEOUT;
        let bytes = self.artifacts.checked_mul(self.artifact_bytes);
        let published = self.gossip.max_published_bytes();
        let each = (self.artifact_bytes as u64).max(LEAST_UNNAMED_BYTES);
        let unnamed = (self.artifacts as u64).saturating_mul(each);
        let publisher = self.gossip.max_publisher_bytes.unwrap_or(u64::MAX);
        let fetched = self.gossip.max_unnamed_bytes.min(publisher);
        let checks = [
            ((2..=MAX_REPLICAS).contains(&self.replicas), "replicas", "are from 2 to 100 000"),
            (self.replicas * links / 2 <= MAX_LINKS, "replicas", "have too many connections"),
            (even, "neighbours", "are an even number"),
            (self.artifacts > 0, "artifacts", "must not be 0"),
            (self.artifact_bytes > 0, "artifact_bytes", "must not be 0"),
            (
                self.artifact_bytes as u64 <= published,
                "artifact_bytes",
                "are more than a replica publishes",
            ),
            (
                bytes.is_some_and(|bytes| bytes <= 1 << 30),
                "artifacts",
                "are more than 1 GiB together",
            ),
            (unnamed <= fetched, "max_unnamed_bytes", "is less than all artifacts"),
            (
                self.gossip.serve_bytes_per_second.is_none(),
                "serve_bytes_per_second",
                "is kept in real time; uplink is in virtual time",
            ),
            (self.uplink > 0 && self.downlink > 0, "rates", "must not be 0"),
            (self.min_latency <= self.max_latency, "max_latency", "is less than min_latency"),
            ((0.0..=0.5).contains(&self.loss), "loss", "is from 0 to 0.5"),
            (parts.iter().all(|part| *part >= 0.0), "faults", "must not be negative"),
            (parts.iter().sum::<f64>() <= 1.0, "faults", "are more than all"),
            (!short, "partition", "is shorter than the transport's idle timeout"),
            (self.gossip.validate().is_ok(), "gossip", "cannot be"),
        ];
        match checks.into_iter().find(|(right, ..)| !right) {
            Some((_, name, reason)) => Err(InvalidOptions { name, reason }),
            None => Ok(()),
        }
    }
}
