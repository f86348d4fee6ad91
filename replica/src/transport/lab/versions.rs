//! Two versions of the program in one cluster: whole replicas on the loopback interface, in real time.

use std::time::{Duration, Instant};

use crate::{
    identity::Identity,
    replica::{BoundReplica, Replica, ReplicaOptions},
    tls::PROTOCOLS,
    transport::{Peer, TransportOptions},
};

const PATIENCE: Duration = Duration::from_secs(60);

async fn until(what: &str, happened: impl Fn() -> bool) {
    let began = Instant::now();
    while !happened() {
        assert!(began.elapsed() < PATIENCE, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn speaking(protocols: &'static [&'static [u8]]) -> ReplicaOptions {
    let transport = TransportOptions::default().with_protocols(protocols);
    ReplicaOptions { transport, ..ReplicaOptions::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_versions_exchange_files() {
    let [newest, oldest] = PROTOCOLS;
    const OLDER: &[&[u8]] = &[PROTOCOLS[1]];
    assert_ne!(newest, oldest);
    let folder = tempfile::tempdir().unwrap();
    let mut bound: Vec<(BoundReplica, Peer)> = Vec::new();
    // Each dials in either direction: each version has two, in any order of their ids.
    for (number, protocols) in [OLDER, &PROTOCOLS, OLDER, &PROTOCOLS].into_iter().enumerate() {
        let store = folder.path().join(format!("store{number}"));
        let listen = "127.0.0.1:0".parse().unwrap();
        let identity = Identity::generate();
        let replica =
            BoundReplica::bind(&identity, listen, &store, speaking(protocols)).await.unwrap();
        let peer = replica.as_peer();
        bound.push((replica, peer));
    }
    let peers: Vec<Peer> = bound.iter().map(|(replica, _)| replica.as_peer()).collect();
    let replicas: Vec<Replica> = bound
        .into_iter()
        .map(|(replica, own)| {
            let others = peers.iter().filter(|peer| peer.node_id != own.node_id);
            replica.start(others.cloned().collect()).unwrap()
        })
        .collect();
    let mut ids = Vec::new();
    for (number, replica) in replicas.iter().enumerate() {
        let path = folder.path().join(format!("file{number}"));
        std::fs::write(&path, vec![number as u8; 300_000]).unwrap();
        ids.push(replica.publish(path).await.unwrap().artifact.id);
    }
    until("all hold everything", || {
        replicas.iter().all(|replica| ids.iter().all(|id| replica.store().contains(*id)))
    })
    .await;
    until("the newer ones have said hello", || {
        let counters = [&replicas[1], &replicas[3]].map(Replica::transport_counters);
        counters.iter().all(|counters| counters.hellos >= 1 && counters.older_connections >= 2)
    })
    .await;
    for replica in &replicas {
        let counters = replica.transport_counters();
        assert_eq!((counters.cut_offs, counters.unknown_streams), (0, 0));
    }
    for replica in [&replicas[0], &replicas[2]] {
        assert_eq!(replica.transport_counters().hellos, 0, "an older version knows no hello");
    }
}
