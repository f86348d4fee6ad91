//! What there is to see of a replica, for threads that may wait for it.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use gossip_engine::{MetricsRegistry, MetricsSnapshot, NodeId};

use tokio::time::{MissedTickBehavior, interval};

use super::Replica;
use crate::{
    blocking::blocking,
    folders::FolderWatch,
    gossip::ReplicaGossip,
    store::Store,
    transport::{PeerStatus, TransportCounters, TransportObserver},
};

/// How often a replica looks whether what it lacks has changed, to report it to its peers.
const TELL_INTERVAL: Duration = Duration::from_secs(2);

/// Has these replicas report to their peers what they lack of the publishers' folders, whenever that has changed. Never
/// ends.
///
/// # Cancel safety
///
/// Dropped, it ends. A look that has begun still reports, on a thread of its own.
pub async fn keep_reporting_lacks<'a>(replicas: impl IntoIterator<Item = &'a Replica>) {
    let replicas: Vec<Observer> =
        replicas.into_iter().map(|replica| replica.observer().clone()).collect();
    let replicas = Arc::new(replicas);
    let mut ticks = interval(TELL_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let replicas = replicas.clone();
        blocking(move || replicas.iter().for_each(Observer::report_lacks)).await;
    }
}

/// Looks at a replica from any thread. Some looks take a lock or ask the disk, and block for as long as these do.
///
/// It may be kept beyond the replica's end, and keeps the store's folder locked until it is dropped.
#[derive(Clone, Debug)]
pub struct Observer {
    pub(super) node_id: NodeId,
    pub(super) transport: TransportObserver,
    pub(super) gossip: Arc<ReplicaGossip>,
    pub(super) folders: Arc<FolderWatch>,
    pub(super) metrics: MetricsRegistry,
    pub(super) verifier_panics: Arc<AtomicU64>,
}

impl Observer {
    /// Who it is.
    #[must_use]
    pub fn node_id(&self) -> NodeId {
        self.node_id
    }

    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.transport.local_addr()
    }

    /// Its protocol.
    #[must_use]
    pub fn gossip(&self) -> &ReplicaGossip {
        &self.gossip
    }

    pub(crate) fn folders(&self) -> &FolderWatch {
        &self.folders
    }

    /// Reports to the peers what this replica lacks of each publisher's folder, if that has changed. It goes through
    /// the catalogs if something has come or gone, and at most for a hundredth of a core.
    fn report_lacks(&self) {
        let folders = self.folders.look_again(&self.gossip, Instant::now());
        self.gossip
            .report_lacks(folders.counts.iter().map(|count| (count.publisher, count.lack())));
    }

    /// Its store.
    #[must_use]
    pub fn store(&self) -> &Store {
        self.gossip.store()
    }

    /// What the engine has counted since the start.
    #[must_use]
    pub fn metrics(&self) -> MetricsSnapshot {
        self.metrics.snapshot()
    }

    /// What the engine counts with, for a scrape of its own.
    #[must_use]
    pub fn metrics_registry(&self) -> &MetricsRegistry {
        &self.metrics
    }

    /// What the transport has counted since it was bound.
    #[must_use]
    pub fn transport_counters(&self) -> TransportCounters {
        self.transport.counters()
    }

    /// How each listed peer stands, sorted by id.
    #[must_use]
    pub fn peers(&self) -> Vec<PeerStatus> {
        self.transport.peers()
    }

    /// As [`Replica::failed_tasks`](super::Replica::failed_tasks).
    #[must_use]
    pub fn failed_tasks(&self) -> u64 {
        // Relaxed: a figure.
        self.transport.failed_tasks() + self.verifier_panics.load(Ordering::Relaxed)
    }

    /// Looks at each part, and says whether no task has panicked since the start. What hangs, a lock or the disk, holds
    /// up the caller.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        let _ = (self.metrics(), self.peers(), self.gossip.snapshot(), self.store().status());
        self.failed_tasks() == 0
    }
}
