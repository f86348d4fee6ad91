//! One look at a replica: everything that is shown of it, as plain data.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use gossip_engine::{FlowSnapshot, FlowType, MetricsRegistry, MetricsSnapshot, NodeId};

use super::limits::RECENT_ARTIFACTS;
use crate::{
    catalog::Head,
    folders::Folders,
    gossip::{DownloadStatus, GossipSnapshot, SaidLack},
    names::Names,
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
    pub(super) folders: Arc<Folders>,
    /// What peers say that they lack.
    pub(super) said: Vec<SaidLack>,
    /// Whose newer catalog is known and not here, in order.
    pub(super) awaited: Vec<NodeId>,
    pub(super) names: Names,
    pub(super) failed_tasks: u64,
}

impl Reading {
    pub(super) fn of(replica: &Observer, names: &Names) -> Self {
        let registry = replica.metrics_registry().clone();
        let downloads = replica.gossip().downloads();
        let recent = replica.store().recent(RECENT_ARTIFACTS);
        let shown = downloads.iter().map(|download| download.id);
        let shown = shown.chain(recent.iter().map(|(artifact, _)| artifact.id)).collect();
        Self {
            node_id: replica.node_id(),
            listen: replica.local_addr(),
            metrics: registry.snapshot(),
            registry,
            transport: replica.transport_counters(),
            gossip: replica.gossip().snapshot(),
            store: replica.store().status(),
            peers: replica.peers(),
            downloads,
            recent,
            folders: replica.folders().look(replica.gossip(), shown, Instant::now()),
            said: replica.gossip().said_lacks(),
            awaited: replica.gossip().catalogs().awaited().iter().map(Head::publisher).collect(),
            names: names.clone(),
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
