//! One look at a replica: everything that is shown of it, as plain data.

use std::{
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use gossip_engine::{FlowSnapshot, FlowType, MetricsRegistry, MetricsSnapshot, NodeId};

use super::limits::RECENT_ARTIFACTS;
use crate::{
    gossip::{DownloadStatus, GossipSnapshot},
    replica::Observer,
    store::{Artifact, StoreStatus},
    transport::{PeerStatus, TransportCounters},
};

#[derive(Clone, Debug)]
pub(super) struct Reading {
    pub(super) node_id: NodeId,
    pub(super) listen: SocketAddr,
    /// What a scrape takes its own snapshot of.
    pub(super) registry: MetricsRegistry,
    pub(super) metrics: MetricsSnapshot,
    pub(super) transport: TransportCounters,
    pub(super) gossip: GossipSnapshot,
    pub(super) store: StoreStatus,
    pub(super) peers: Vec<PeerStatus>,
    pub(super) downloads: Vec<DownloadStatus>,
    pub(super) recent: Vec<(Artifact, SystemTime)>,
    pub(super) failed_tasks: u64,
}

impl Reading {
    pub(super) fn of(replica: &Observer) -> Self {
        let registry = replica.metrics_registry().clone();
        Self {
            node_id: replica.node_id(),
            listen: replica.local_addr(),
            metrics: registry.snapshot(),
            registry,
            transport: replica.transport_counters(),
            gossip: replica.gossip().snapshot(),
            store: replica.store().status(),
            peers: replica.peers(),
            downloads: replica.gossip().downloads(),
            recent: replica.store().recent(RECENT_ARTIFACTS),
            failed_tasks: replica.failed_tasks(),
        }
    }

    /// All flows with their names, and the replica's own adverts.
    pub(super) fn flows(&self) -> impl Iterator<Item = (&'static str, &FlowSnapshot)> {
        let flows = FlowType::ALL.into_iter().map(|flow| (flow.name(), self.metrics.flow(flow)));
        flows.chain([("Broadcast", &self.metrics.broadcast)])
    }
}

/// Seconds since 1970; 0 for what lies before.
pub(super) fn unix_seconds(time: SystemTime) -> f64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    // To the millisecond: more digits say nothing and cost bytes.
    since.as_millis() as f64 / 1e3
}
