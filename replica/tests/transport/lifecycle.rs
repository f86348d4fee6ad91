//! Peers come, go, come back, and are who they say they are.

use std::time::Duration;

use gossip_engine::{FlowType, RefusalReason};
use gossip_replica::{
    identity::Identity,
    transport::{BindError, Peer, StartError, Transport, TransportOptions, limits::MAX_HANDSHAKES},
};

use crate::{
    recorder::{LIMIT, Recorder, refusal, until, within},
    replica::{
        LOOPBACK, Replica, assert_they_talk, bare_client, connected, identities, message, nowhere,
        others,
    },
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_restarts_comes_back() {
    for restarted in [0, 1] {
        let mut replicas = Vec::from(connected::<2>().await);
        let gone = replicas.remove(restarted);
        let stays = replicas.remove(0);
        let (identity, address) = (gone.identity.clone(), gone.transport.local_addr());
        gone.transport.shutdown(LIMIT).await;
        stays.until_down(identity.node_id(), 1).await;
        drop(gone.transport);
        for round in 2..5 {
            let again = Replica::bind_again(&identity, address).await;
            again.start(&[stays.as_peer()]);
            stays.until_up(identity.node_id(), round).await;
            assert_they_talk(&again, &stays, round as u64).await;
            stays.recorder.assert_in_order(identity.node_id());
            drop(again);
            stays.until_down(identity.node_id(), round).await;
        }
        assert_eq!(stays.recorder.ups_and_downs(identity.node_id()), (4, 4));
        stays.recorder.assert_in_order(identity.node_id());
    }
}

/// A replica on a runtime of its own, so that it can end as by `kill -9`.
struct Victim {
    kill: tokio::sync::oneshot::Sender<()>,
    thread: std::thread::JoinHandle<()>,
}

impl Victim {
    fn start(identity: Identity, peer: Peer) -> Self {
        let (kill, killed) = tokio::sync::oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            // Dropping the runtime, and the replica never: no last packet leaves it.
            runtime.unwrap().block_on(async {
                let replica = Replica::bind(&identity);
                replica.start(&[peer]);
                killed.await.unwrap();
                std::mem::forget(replica);
            });
        });
        Self { kill, thread }
    }

    fn kill(self) {
        self.kill.send(()).unwrap();
        self.thread.join().unwrap();
    }
}

/// A dialler that is killed and comes back before the accepter notices that it was gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_connection_replaces_the_old_one() {
    let [small, large] = identities();
    let stays = Replica::bind(&large);
    stays.start(&[nowhere(&small)]);
    for round in 1..4 {
        let victim = Victim::start(small.clone(), stays.as_peer());
        stays.until_up(small.node_id(), round).await;
        victim.kill();
    }
    assert_eq!(stays.recorder.ups_and_downs(small.node_id()), (3, 2));
    stays.recorder.assert_in_order(small.node_id());
    assert_eq!(stays.transport.counters().replaced, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_peer_is_gone_after_the_idle_timeout() {
    let [small, large] = identities();
    let options = TransportOptions::default().with_idle_timeout(Duration::from_secs(1));
    let stays = Replica::try_bind(&large, LOOPBACK, options).unwrap();
    stays.start(&[nowhere(&small)]);
    let victim = Victim::start(small.clone(), stays.as_peer());
    stays.until_up(small.node_id(), 1).await;
    victim.kill();
    let (ups, _) = stays.recorder.ups_and_downs(small.node_id());
    stays.until_down(small.node_id(), ups).await;
    stays.recorder.assert_in_order(small.node_id());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_not_listed_gets_in_neither_way() {
    let [first, one, two, last] = identities().map(|identity| Replica::bind(&identity));
    // `first` and `last` know `one` and `two`, who do not know them.
    let peers = [one.as_peer(), two.as_peer()];
    first.start(&peers);
    last.start(&peers);
    one.start(&[two.as_peer()]);
    // An impostor: `last` answers where `two` expects another replica.
    let expected = identities_above(two.id());
    let address = last.transport.local_addr();
    two.start(&[one.as_peer(), Peer { node_id: expected.node_id(), address: address.into() }]);
    assert_they_talk(&one, &two, 1).await;
    until("the stranger is rejected as a dialler", || {
        one.transport.counters().rejected_handshakes > 0
            && two.transport.counters().rejected_handshakes > 0
            && first.transport.counters().failed_dials > 1
    })
    .await;
    until("the impostor is rejected", || two.transport.counters().failed_dials > 1).await;
    assert_they_talk(&one, &two, 2).await;
    for replica in [&one, &two] {
        assert_eq!(replica.transport.counters().connections, 1);
    }
    for stranger in [&first, &last] {
        assert_eq!(stranger.recorder.events(), []);
        assert_eq!(stranger.transport.counters().connections, 0);
    }
}

fn identities_above(id: gossip_engine::NodeId) -> Identity {
    std::iter::repeat_with(Identity::generate)
        .take(1_000_000)
        .find(|identity| identity.node_id() > id)
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_wait_for_the_start() {
    let [small, large] = identities();
    let waits = Replica::bind(&large);
    let endpoint = quinn::Endpoint::client(LOOPBACK).unwrap();
    let dialled = dial(&endpoint, &small, waits.as_peer());
    tokio::pin!(dialled);
    // However long this is, nobody answers.
    tokio::time::timeout(Duration::from_millis(100), &mut dialled).await.unwrap_err();
    waits.start(&[nowhere(&small)]);
    let _connection = within("it is let in", dialled).await.unwrap();
    waits.until_up(small.node_id(), 1).await;
}

/// More than may be unproven at a time, none of whom has a listed key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_at_the_door_keeps_nobody_out() {
    let [one, two] = connected().await;
    let stranger = Identity::generate();
    let endpoint = quinn::Endpoint::client(LOOPBACK).unwrap();
    let mut crowd = tokio::task::JoinSet::new();
    for _ in 0..2 * MAX_HANDSHAKES {
        let (endpoint, stranger, peer) = (endpoint.clone(), stranger.clone(), two.as_peer());
        crowd.spawn(async move {
            // TLS 1.3 lets a client believe that it is in until the server says no.
            if let Ok(connection) = dial(&endpoint, &stranger, peer).await {
                connection.accept_uni().await.unwrap_err();
            }
        });
    }
    assert_they_talk(&one, &two, 1).await;
    within("all are turned away", async { while crowd.join_next().await.is_some() {} }).await;
    assert_they_talk(&one, &two, 2).await;
    let counters = two.transport.counters();
    assert!(counters.rejected_handshakes > 0);
    assert_eq!(counters.connections, 1);
}

async fn dial(
    endpoint: &quinn::Endpoint,
    identity: &Identity,
    peer: Peer,
) -> Result<quinn::Connection, quinn::ConnectionError> {
    let config = bare_client(identity, peer.node_id);
    let address = peer.address.as_str().parse().unwrap();
    endpoint.connect_with(config, address, "any").unwrap().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seven_replicas_all_talk() {
    let replicas = connected::<7>().await;
    let peers = replicas.each_ref().map(Replica::as_peer);
    for replica in &replicas {
        for peer in others(&peers, replica.id()) {
            replica.outbox().send(peer.node_id, message(FlowType::Advert, 5)).unwrap();
        }
    }
    for replica in &replicas {
        until("all adverts arrive", || {
            replica.transport.counters().flow(FlowType::Advert).frames_in == 6
        })
        .await;
        assert_eq!(replica.transport.counters().connections, 6);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_handler_stops_the_transport() {
    let [one, two] = connected().await;
    let flow = FlowType::Advert;
    two.recorder.refuse_next([refusal(one.id(), flow, RefusalReason::Closed)]);
    one.outbox().send(two.id(), message(flow, 1)).unwrap();
    one.until_down(two.id(), 1).await;
    two.until_down(one.id(), 1).await;
    let error = two.transport.start(Vec::new(), Recorder::default()).unwrap_err();
    assert!(matches!(error, StartError::ShutDown), "{error}");
    within("nothing is left to wait for", two.transport.shutdown(LIMIT * 2)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutdown_does_not_wait_longer_than_it_may() {
    let [one, two] = connected().await;
    two.recorder.hold(FlowType::Transport);
    within("the deadline holds", two.transport.shutdown(Duration::from_millis(50))).await;
    // Its task is gone, and with it the guard, by which the peer departs all the same.
    assert_eq!(two.recorder.waiting(), 0);
    assert_eq!(two.recorder.ups_and_downs(one.id()), (1, 1));
    one.until_down(two.id(), 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_ends_everything() {
    let [one, two] = connected().await;
    let (outbox, recorder, id) = (two.outbox(), two.recorder.clone(), one.id());
    drop(two.transport);
    until("the queues are gone", || outbox.send(id, message(FlowType::Advert, 1)).is_err()).await;
    one.until_down(two.identity.node_id(), 1).await;
    until("the peer has departed", || recorder.ups_and_downs(id) == (1, 1)).await;
}

/// A connection that ends, and a transport that stops, while an arrival waits for the handler.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_arrival_that_waits_is_given_up_with_its_connection() {
    let [one, two] = identities().map(|identity| Replica::bind(&identity));
    one.recorder.hold(FlowType::Transport);
    one.start(&[two.as_peer()]);
    two.start(&[one.as_peer()]);
    one.recorder.until_one_waits().await;
    let (identity, address) = (two.identity.clone(), two.transport.local_addr());
    two.transport.shutdown(LIMIT).await;
    drop(two);
    until("nobody waits", || one.recorder.waiting() == 0).await;
    assert_eq!(one.transport.counters().connections, 0);
    // The next one waits again, and arrives alone.
    let two = Replica::bind_again(&identity, address).await;
    two.start(&[one.as_peer()]);
    one.recorder.until_one_waits().await;
    one.recorder.release(FlowType::Transport);
    assert_they_talk(&one, &two, 1).await;
    assert_eq!(one.recorder.ups_and_downs(two.id()), (1, 0));

    two.transport.shutdown(LIMIT).await;
    drop(two);
    one.until_down(identity.node_id(), 1).await;
    one.recorder.hold(FlowType::Transport);
    let two = Replica::bind_again(&identity, address).await;
    two.start(&[one.as_peer()]);
    one.recorder.until_one_waits().await;
    assert!(one.transport.shutdown(LIMIT).await.is_clean());
    assert_eq!(one.recorder.ups_and_downs(two.id()), (1, 1));
}

#[tokio::test]
async fn a_port_in_use_is_one_clear_line() {
    let [one, two] = identities();
    let first = Replica::bind(&one);
    let address = first.transport.local_addr();
    let error = Transport::bind(&two, address, TransportOptions::default()).unwrap_err();
    assert!(matches!(error, BindError::Listen { .. }), "{error}");
    let line = error.to_string();
    assert!(line.starts_with(&format!("cannot listen on {address}: ")), "{line}");
    assert!(!line.contains('\n'), "{line}");
}

#[tokio::test]
async fn a_list_of_peers_has_to_make_sense() {
    let [one, two] = identities().map(|identity| Replica::bind(&identity));
    let start = |peers: Vec<Peer>| one.transport.start(peers, Recorder::default());
    let error = start(vec![two.as_peer(), two.as_peer()]).unwrap_err();
    assert!(matches!(error, StartError::Duplicate(_)), "{error}");
    // One list serves all: our own entry is skipped.
    start(vec![two.as_peer(), one.as_peer()]).unwrap();
    assert_eq!(one.transport.peers().len(), 1);
    let error = start(vec![two.as_peer()]).unwrap_err();
    assert!(matches!(error, StartError::AlreadyStarted), "{error}");
}
