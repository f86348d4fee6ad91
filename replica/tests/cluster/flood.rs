//! A peer that keeps to the protocol and sends as fast as it can, in all flows and to everybody.

use std::{thread, time::Duration};

use gossip_engine::FlowType;
use gossip_replica::{replica::Replica, transport::TransportCounters};
use tokio::sync::oneshot;

use crate::{
    content::{content, id_of},
    flooder,
    site::{ids, options, others, sites, standing, until, until_all_hold},
};

const FILES: u64 = 20;
/// What everybody holds before the flood begins, and the flooder asks for: the first that has as many chunks
/// as it asks for.
const OLD_FILE: u64 = FILES + 2;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_never_stops_does_not_stop_the_others() {
    let (sites, bound) = sites::<4>(options()).await;
    let mut bound = bound.into_iter();
    // Its own replica never starts: its identity is used by other means.
    drop(bound.next());
    let honest: Vec<Replica> = bound
        .enumerate()
        .map(|(index, bound)| bound.start(others(&sites, index + 1)).unwrap())
        .collect();
    let all: Vec<&Replica> = honest.iter().collect();
    sites[1].publish(all[0], OLD_FILE..OLD_FILE + 1).await;
    until_all_hold(&all, &ids(OLD_FILE..OLD_FILE + 1)).await;

    let (identity, victims) = (sites[0].identity.clone(), others(&sites, 0));
    let asked = id_of(&content(OLD_FILE));
    let (stop, stopped) = oneshot::channel();
    let flooder = thread::spawn(move || {
        flooder::run(&identity, victims, Some(asked), stopped);
    });
    until(
        "the flood has reached all",
        || standing(&all),
        || all.iter().all(|replica| flooder::has_reached(replica)),
    )
    .await;

    let before: Vec<_> = all.iter().map(|replica| replica.transport_counters()).collect();
    sites[1].publish(all[0], 0..FILES / 2).await;
    sites[2].publish(all[1], FILES / 2..FILES).await;
    let everything = ids(0..FILES).union(&ids(OLD_FILE..OLD_FILE + 1)).copied().collect();
    until_all_hold(&all, &everything).await;
    let honest_requests: u64 =
        all.iter().map(|replica| replica.gossip().snapshot().fetched.retransmissions_asked).sum();
    for (replica, before) in all.iter().zip(before) {
        let requests =
            |counters: &TransportCounters| counters.flow(FlowType::Retransmission).frames_in;
        let counters = replica.transport_counters();
        assert!(requests(&counters) - requests(&before) > honest_requests, "the flood had ended");
        assert_eq!(counters.cut_offs, 0, "nothing of it breaks the protocol");
        assert_eq!(replica.gossip().snapshot().peers, 3);
    }
    stop.send(()).unwrap();
    flooder.join().unwrap();
    for replica in honest {
        assert!(replica.shutdown(Duration::from_secs(60)).await.is_clean());
    }
}
