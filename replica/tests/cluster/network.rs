//! Networks that lose and delay, and networks that fall apart.

use std::{collections::BTreeMap, time::Duration};

use gossip_replica::{
    replica::{Replica, ReplicaOptions},
    store::{Durability, StoreOptions},
    transport::{Peer, TransportOptions},
};

use crate::{
    line::{Rate, Weather},
    relay::Relay,
    site::{Site, ids, options, sites, standing, until, until_all_hold},
};

/// The way from one replica to another, by their places.
type Relays = BTreeMap<(usize, usize), Relay>;

/// Replicas that reach each other only through relays.
async fn start_behind_relays<const N: usize>(
    options: ReplicaOptions,
    weather: &Weather,
) -> ([Site; N], [Replica; N], Relays) {
    let (sites, bound) = sites::<N>(options).await;
    let mut relays = Relays::new();
    for (to, site) in sites.iter().enumerate() {
        // Both dial.
        for from in (0..N).filter(|from| *from != to) {
            let weather = Weather { seed: weather.seed + relays.len() as u64, ..weather.clone() };
            relays.insert((from, to), Relay::to(site.address, weather).await);
        }
    }
    let mut replicas = Vec::new();
    for (own, bound) in bound.into_iter().enumerate() {
        let peer = |other: usize| Peer {
            address: relays[&(own, other)].address().into(),
            ..sites[other].as_peer()
        };
        let peers = (0..N).filter(|other| *other != own).map(peer).collect();
        replicas.push(bound.start(peers).unwrap());
    }
    (sites, replicas.try_into().unwrap(), relays)
}

async fn until_connected(replicas: &[&Replica], peers: u64) {
    until(
        &format!("each is connected with {peers}"),
        || standing(replicas),
        || replicas.iter().all(|replica| replica.gossip().snapshot().peers == peers),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_lost_and_late_on_the_way_arrives_in_the_end() {
    let weather =
        Weather { loss_permille: 50, delay_micros: 1_000..6_000, seed: 5, ..Weather::default() };
    let (sites, replicas, relays) = start_behind_relays::<4>(options(), &weather).await;
    let all = replicas.each_ref();
    for (index, (site, replica)) in sites.iter().zip(all).enumerate() {
        let first = index as u64 * 8;
        site.publish(replica, first..first + 10).await;
    }
    until_all_hold(&all, &ids(0..34)).await;
    for ((from, to), relay) in &relays {
        // One of the two ways between them is used.
        let lost = relay.lost() + relays[&(*to, *from)].lost();
        assert!(lost > 0, "nothing is lost between {from} and {to}");
    }
    for replica in all {
        assert_eq!(replica.transport_counters().cut_offs, 0, "nobody has broken the protocol");
        assert_eq!(replica.gossip().snapshot().fetched.hash_mismatches, 0);
    }
}

/// 100 Mbit/s, a round trip of 50 ms, one datagram in a hundred lost, a queue of 50 ms. How long it takes is tested
/// where the clock is, in the transport's own tests.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_file_gets_over_a_long_line_that_loses() {
    let rate = Rate { bits_per_second: 100_000_000, queue_bytes: 625_000 };
    let delay_micros = 25_000..25_000;
    let weather =
        Weather { loss_permille: 10, delay_micros, rate: Some(rate), ..Weather::default() };
    let store = StoreOptions { durability: Durability::Crash, ..StoreOptions::default() };
    let ordinary = ReplicaOptions { store, ..ReplicaOptions::default() };
    let (sites, replicas, relays) = start_behind_relays::<2>(ordinary, &weather).await;
    until_connected(&replicas.each_ref(), 1).await;
    let content: Vec<u8> = (0..2_u32 << 20).flat_map(u32::to_be_bytes).collect();
    let path = sites[0].store().with_file_name("large");
    std::fs::write(&path, &content).unwrap();
    let artifact = replicas[0].publish(path).await.unwrap().artifact;
    until_all_hold(&replicas.each_ref(), &[artifact.id].into()).await;
    // One of the two ways is used.
    assert!(relays.values().map(Relay::lost).sum::<u64>() > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_halves_of_a_network_have_everything_when_it_is_whole_again() {
    let quick_to_notice = ReplicaOptions {
        transport: TransportOptions::default().with_idle_timeout(Duration::from_secs(1)),
        ..options()
    };
    let (sites, replicas, relays) =
        start_behind_relays::<4>(quick_to_notice, &Weather::default()).await;
    let all = replicas.each_ref();
    until_connected(&all, 3).await;
    sites[0].publish(all[0], 0..10).await;
    until_all_hold(&all, &ids(0..10)).await;

    let between = || relays.iter().filter(|((from, to), _)| (*from < 2) != (*to < 2));
    between().for_each(|(_, relay)| relay.limit(0));
    until_connected(&all, 1).await;
    sites[1].publish(all[1], 10..30).await;
    sites[2].publish(all[2], 30..50).await;
    // Both have this, each from its own.
    sites[0].publish(all[0], 50..55).await;
    sites[3].publish(all[3], 50..55).await;
    until_all_hold(&all[..2], &ids(0..30).union(&ids(50..55)).copied().collect()).await;
    let other_half = ids(0..10).union(&ids(30..55)).copied().collect();
    until_all_hold(&all[2..], &other_half).await;

    between().for_each(|(_, relay)| relay.heal());
    until_connected(&all, 3).await;
    until_all_hold(&all, &ids(0..55)).await;
    // It is one cluster again.
    sites[3].publish(all[3], 55..60).await;
    until_all_hold(&all, &ids(0..60)).await;
}
