//! Replicas that die, come back and come late.

use std::time::Duration;

use gossip_replica::replica::Replica;

use crate::site::{ids, options, others, sites, start, until, until_all_hold};

const FILES: u64 = 80;
const DEADLINE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_artifact_gets_to_every_replica() {
    let (sites, replicas) = start::<4>(options()).await;
    for (index, (site, replica)) in sites.iter().zip(&replicas).enumerate() {
        // Neighbours have a part in common.
        let first = index as u64 * 20;
        site.publish(replica, first..first + 25).await;
    }
    until_all_hold(&replicas.each_ref(), &ids(0..85)).await;
    for replica in replicas {
        let metrics = replica.metrics();
        assert_eq!(metrics.malformed, 0);
        assert!(metrics.broadcast.handled() > 0, "what is published goes through the broadcaster");
        let report = replica.shutdown(DEADLINE).await;
        assert!(report.is_clean(), "{report:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_killed_catches_up_on_the_same_store() {
    let (sites, replicas) = start::<4>(options()).await;
    let [first, second, victim, last] = replicas;
    sites[0].publish(&first, 0..FILES / 2).await;
    until("the victim is in the middle", String::new, || victim.store().count() > 0).await;
    drop(victim);

    sites[3].publish(&last, FILES / 2..FILES).await;
    until_all_hold(&[&first, &second, &last], &ids(0..FILES)).await;

    let bound = sites[2].bind_again().await;
    let victim = bound.start(others(&sites, 2)).unwrap();
    assert!(victim.store().count() > 0, "what it held it still holds");
    until_all_hold(&[&victim], &ids(0..FILES)).await;
    // It is a full member again.
    sites[2].publish(&victim, FILES..FILES + 5).await;
    until_all_hold(&[&first, &second, &victim, &last], &ids(0..FILES + 5)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_comes_late_gets_everything() {
    let (sites, mut bound) = sites::<4>(options()).await;
    let late = bound.pop().unwrap();
    let starting = bound.into_iter().enumerate();
    let early: Vec<Replica> =
        starting.map(|(index, bound)| bound.start(others(&sites, index)).unwrap()).collect();
    sites[1].publish(&early[1], 0..FILES).await;
    until_all_hold(&early.iter().collect::<Vec<_>>(), &ids(0..FILES)).await;

    let late = late.start(others(&sites, 3)).unwrap();
    until_all_hold(&[&late], &ids(0..FILES)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_published_before_anybody_listened_is_heard_of_later() {
    let (sites, mut bound) = sites::<2>(options()).await;
    let second = bound.pop().unwrap();
    let first = bound.pop().unwrap().start(others(&sites, 0)).unwrap();
    sites[0].publish(&first, 0..10).await;
    let published = ids(0..10);
    assert!(first.shutdown(DEADLINE).await.is_clean());

    let second = second.start(others(&sites, 1)).unwrap();
    let first = sites[0].bind_again().await.start(others(&sites, 0)).unwrap();
    until_all_hold(&[&first, &second], &published).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_listed_while_the_others_run_gets_everything() {
    let (sites, mut bound) = sites::<3>(options()).await;
    let newcomer = bound.pop().unwrap();
    let everybody: Vec<_> = sites.iter().map(|site| site.as_peer()).collect();
    // One list for all, each one's own entry in it.
    let replicas: Vec<Replica> =
        bound.into_iter().map(|bound| bound.start(everybody[..2].to_vec()).unwrap()).collect();
    sites[0].publish(&replicas[0], 0..FILES / 2).await;
    until_all_hold(&[&replicas[0], &replicas[1]], &ids(0..FILES / 2)).await;

    let newcomer = newcomer.start(everybody.clone()).unwrap();
    for replica in &replicas {
        assert_eq!(replica.set_peers(everybody.clone()).unwrap().added, 1);
    }
    until_all_hold(&[&newcomer], &ids(0..FILES / 2)).await;
    assert_eq!(newcomer.peers().len(), 2);

    // And nothing more once it is listed no longer.
    for replica in &replicas {
        assert_eq!(replica.set_peers(everybody[..2].to_vec()).unwrap().removed, 1);
    }
    sites[0].publish(&replicas[0], FILES / 2..FILES).await;
    until_all_hold(&[&replicas[0], &replicas[1]], &ids(0..FILES)).await;
    assert_eq!(newcomer.store().count(), ids(0..FILES / 2).len() as u64);
    for replica in replicas {
        assert_eq!(replica.failed_tasks(), 0);
        let report = replica.shutdown(DEADLINE).await;
        assert!(report.is_clean(), "{report:?}");
    }
}
