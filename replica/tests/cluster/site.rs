//! A replica's place: who it is, where it listens and where it keeps what it holds, whether it runs or not.

use std::{
    collections::BTreeSet,
    fmt::Debug,
    net::SocketAddr,
    ops::Range,
    path::PathBuf,
    time::{Duration, Instant},
};

use gossip_engine::ArtifactId;
use gossip_replica::{
    gossip::GossipOptions,
    identity::Identity,
    replica::{BoundReplica, Replica, ReplicaError, ReplicaOptions},
    store::{Durability, StoreError, StoreOptions},
    transport::Peer,
};
use tempfile::TempDir;

use crate::content::{content, id_of, write};

pub(crate) const LOOPBACK: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);
/// How long a test waits for what has to happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// Small chunks, so that there are many, and repairs that do not take a minute.
pub(crate) fn options() -> ReplicaOptions {
    ReplicaOptions {
        gossip: GossipOptions {
            chunk_bytes: 16 << 10,
            chunk_timeout: Duration::from_secs(3),
            retransmission_interval: Duration::from_secs(5),
            ..GossipOptions::default()
        },
        store: StoreOptions { durability: Durability::Crash, ..StoreOptions::default() },
        ..ReplicaOptions::default()
    }
}

#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) identity: Identity,
    pub(crate) address: SocketAddr,
    options: ReplicaOptions,
    folder: TempDir,
}

impl Site {
    /// A new place on a port that the operating system chooses, and the replica that has taken it.
    pub(crate) async fn found(identity: Identity, options: ReplicaOptions) -> (Self, BoundReplica) {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("store");
        let bound = BoundReplica::bind(&identity, LOOPBACK, &store, options.clone()).await.unwrap();
        (Self { identity, address: bound.local_addr(), options, folder }, bound)
    }

    pub(crate) fn as_peer(&self) -> Peer {
        Peer { node_id: self.identity.node_id(), address: self.address.into() }
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    /// Starts a replica here once more. The one before may still be on its way out.
    pub(crate) async fn bind_again(&self) -> BoundReplica {
        let began = Instant::now();
        loop {
            let options = self.options.clone();
            match BoundReplica::bind(&self.identity, self.address, &self.store(), options).await {
                Ok(bound) => return bound,
                Err(ReplicaError::Bind(_) | ReplicaError::Store(StoreError::Locked { .. }))
                    if began.elapsed() < PATIENCE =>
                {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Publishes the contents with these numbers on a replica, one after the other.
    pub(crate) async fn publish(&self, replica: &Replica, numbers: Range<u64>) {
        for number in numbers {
            let path = write(self.folder.path(), number);
            let imported = replica.publish(path).await.unwrap();
            assert_eq!(imported.artifact.id, id_of(&content(number)));
        }
    }
}

/// `N` places whose replicas are bound and not started, the smallest id first.
pub(crate) async fn sites<const N: usize>(
    options: ReplicaOptions,
) -> ([Site; N], Vec<BoundReplica>) {
    let mut identities = [(); N].map(|()| Identity::generate());
    identities.sort_by_key(Identity::node_id);
    let (mut sites, mut bound) = (Vec::new(), Vec::new());
    for identity in identities {
        let (site, replica) = Site::found(identity, options.clone()).await;
        sites.push(site);
        bound.push(replica);
    }
    (sites.try_into().unwrap(), bound)
}

/// All replicas of a cluster, started.
pub(crate) async fn start<const N: usize>(options: ReplicaOptions) -> ([Site; N], [Replica; N]) {
    let (sites, bound) = sites::<N>(options).await;
    let replicas = bound.into_iter().enumerate();
    let replicas: Vec<Replica> =
        replicas.map(|(index, bound)| bound.start(others(&sites, index)).unwrap()).collect();
    (sites, replicas.try_into().unwrap())
}

/// The peers of a replica: everybody else.
pub(crate) fn others(sites: &[Site], own: usize) -> Vec<Peer> {
    let others = sites.iter().enumerate().filter(|(index, _)| *index != own);
    others.map(|(_, site)| site.as_peer()).collect()
}

/// The ids of the contents with these numbers; some are the same.
pub(crate) fn ids(numbers: Range<u64>) -> BTreeSet<ArtifactId> {
    numbers.map(|number| id_of(&content(number))).collect()
}

/// Waits for it.
pub(crate) async fn until(what: &str, state: impl Fn() -> String, happened: impl Fn() -> bool) {
    let began = Instant::now();
    while !happened() {
        assert!(began.elapsed() < PATIENCE, "waited in vain until {what}: {}", state());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// How the replicas stand, for whoever waits in vain.
pub(crate) fn standing(replicas: &[&Replica]) -> String {
    let standing = |replica: &&Replica| format!("{:?}\n", replica.gossip().snapshot());
    replicas.iter().map(standing).collect()
}

/// Waits until each replica holds these artifacts, and checks that it holds nothing else and that every
/// byte is right.
pub(crate) async fn until_all_hold(replicas: &[&Replica], ids: &BTreeSet<ArtifactId>) {
    let holds = |replica: &Replica| ids.iter().all(|id| replica.store().contains(*id));
    until(
        "all replicas hold everything",
        || standing(replicas),
        || replicas.iter().all(|replica| holds(replica)),
    )
    .await;
    for replica in replicas {
        assert_eq!(replica.store().count(), ids.len() as u64, "nothing but what was published");
        for id in ids {
            assert!(replica.store().verify(*id).unwrap(), "an artifact is what its id says");
        }
    }
}
