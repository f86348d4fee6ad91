//! More to announce than the broadcaster takes.

use std::{collections::BTreeSet, time::Duration};

use gossip_engine::{ArtifactId, DestinationKind};
use gossip_replica::{
    gossip::GossipOptions,
    replica::{Replica, ReplicaOptions},
    transport::TransportOptions,
};
use tempfile::TempDir;

use crate::{
    content::id_of,
    site::{options, standing, start, until, until_all_hold},
};

const FILES: u32 = 300;
/// How many files are published at the same time.
const PUBLISHERS: usize = 8;
/// After how many files that were all announced the test gives up.
const MOST_FILES: u32 = 100 * FILES;

/// A broadcaster with capacity for one advert, and nobody who asks for adverts while the test waits, nor
/// because a busy machine has lost it a connection.
fn tiny_broadcaster() -> ReplicaOptions {
    let options = options();
    ReplicaOptions {
        advert_buffer: 1,
        transport: TransportOptions::default().with_idle_timeout(Duration::from_secs(60)),
        gossip: GossipOptions {
            retransmission_interval: Duration::from_secs(3600),
            ..options.gossip
        },
        ..options
    }
}

/// Publishes files of a few bytes, many at a time.
async fn publish(
    replica: &Replica,
    folder: &TempDir,
    numbers: std::ops::Range<u32>,
) -> BTreeSet<ArtifactId> {
    let contents: Vec<[u8; 4]> = numbers.map(u32::to_be_bytes).collect();
    std::thread::scope(|scope| {
        for share in contents.chunks(contents.len().div_ceil(PUBLISHERS)) {
            scope.spawn(move || {
                for content in share {
                    let path = folder.path().join(u32::from_be_bytes(*content).to_string());
                    std::fs::write(&path, content).unwrap();
                    assert!(replica.gossip().publish(&path).unwrap().new);
                }
            });
        }
    });
    contents.iter().map(|content| id_of(content)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_broadcaster_drops_is_announced_all_the_same() {
    let (_sites, replicas) = start::<4>(tiny_broadcaster()).await;
    let all = replicas.each_ref();
    // What the replicas ask of each other at the beginning must not be what tells them.
    until(
        "all have been told that there is nothing yet",
        || standing(&all),
        || {
            all.iter().all(|replica| {
                let snapshot = replica.gossip().snapshot();
                (snapshot.peers, snapshot.served.retransmissions_answered) == (3, 3)
            })
        },
    )
    .await;

    let folder = TempDir::new().unwrap();
    let mut published = publish(all[0], &folder, 0..FILES).await;
    let dropped = || all[0].metrics().dropped_adverts(DestinationKind::AllReplicas);
    while dropped() == 0 {
        let next = published.len() as u32;
        assert!(next < MOST_FILES, "a broadcaster with capacity for one advert drops none");
        published.extend(publish(all[0], &folder, next..next + FILES).await);
    }
    until_all_hold(&all, &published).await;
    for replica in all {
        let snapshot = replica.gossip().snapshot();
        assert_eq!(snapshot.fetched.retransmissions_asked, 3, "nobody has asked for it");
        assert_eq!(snapshot.served.retransmissions_answered, 3);
    }
}
