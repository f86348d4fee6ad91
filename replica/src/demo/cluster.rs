//! The replicas of a demo: each knows all others, and each has a folder of its own.

use std::{net::Ipv4Addr, path::Path, time::Duration};

use gossip_engine::{MetricsSnapshot, NodeId};
use gossip_replica::{
    identity::Identity,
    names::PeerName,
    replica::{BoundReplica, Replica, ReplicaOptions},
};

use crate::failure::Failure;

/// How long the replicas may take to end in order.
const FAREWELL: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) replicas: Vec<Replica>,
    /// In the same order.
    pub(super) identities: Vec<Identity>,
}

impl Cluster {
    /// Starts `count` replicas on ports that the operating system chooses.
    pub(super) async fn start(
        count: usize,
        folder: &Path,
        options: &ReplicaOptions,
    ) -> Result<Self, Failure> {
        let mut bound = Vec::with_capacity(count);
        let identities: Vec<Identity> = (0..count).map(|_| Identity::generate()).collect();
        for (index, identity) in identities.iter().enumerate() {
            let number = index + 1;
            let listen = (Ipv4Addr::LOCALHOST, 0).into();
            let store = folder.join(format!("replica-{number}"));
            let replica = BoundReplica::bind(identity, listen, &store, options.clone()).await;
            bound.push(replica.map_err(Failure::runtime)?);
        }
        let peers: Vec<_> = bound.iter().map(BoundReplica::as_peer).collect();
        let start = |replica: BoundReplica| replica.start(peers.clone());
        let replicas = bound.into_iter().map(start).collect::<Result<_, _>>();
        Ok(Self { replicas: replicas.map_err(Failure::runtime)?, identities })
    }

    /// What each is called on the page.
    pub(super) fn names(&self) -> Vec<(NodeId, Option<PeerName>)> {
        let name = |number: usize| format!("replica-{number}").parse().ok();
        let names = self.replicas.iter().zip(1..);
        names.map(|(replica, number)| (replica.node_id(), name(number))).collect()
    }

    /// What all of them have counted.
    pub(super) fn metrics(&self) -> MetricsSnapshot {
        self.replicas.iter().fold(MetricsSnapshot::default(), |mut sum, replica| {
            sum.merge(&replica.metrics());
            sum
        })
    }

    /// Ends all of them side by side.
    pub(super) async fn shut_down(self) {
        let mut farewells = tokio::task::JoinSet::new();
        for replica in self.replicas {
            farewells.spawn(replica.shutdown(FAREWELL));
        }
        while let Some(report) = farewells.join_next().await {
            if !report.is_ok_and(|report| report.is_clean()) {
                tracing::warn!("a replica has not ended in {} seconds", FAREWELL.as_secs());
            }
        }
    }
}
