//! Two replicas meet, whichever of them can dial, and keep one connection.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use gossip_engine::FlowType;
use gossip_replica::transport::{Peer, PeerState, TransportOptions, limits::HEAD_START};
use tokio::task::JoinSet;

use crate::{
    recorder::{LIMIT, until},
    replica::{
        LOOPBACK, Replica, assert_they_talk, identities, message, nowhere, patient, until_said,
    },
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_cannot_be_dialled_is_met_because_it_dials() {
    for hidden in [0, 1] {
        let mut identities = Vec::from(identities::<2>());
        let hidden = identities.remove(hidden);
        let (open, hidden) = (Replica::bind(&identities[0]), Replica::bind(&hidden));
        // Nobody answers there, as behind a router that lets nothing in.
        let silent = std::net::UdpSocket::bind(LOOPBACK).unwrap();
        let address = silent.local_addr().unwrap().into();
        open.start(&[Peer { node_id: hidden.id(), address }]);
        until("the open one dials in vain", || {
            open.transport.peers()[0].state == PeerState::Connecting
        })
        .await;
        hidden.start(&[open.as_peer()]);
        assert_they_talk(&open, &hidden, 1).await;
        assert_eq!(open.recorder.ups_and_downs(hidden.id()), (1, 0));
        assert_eq!(hidden.recorder.ups_and_downs(open.id()), (1, 0));
        let remote = open.transport.peers()[0].remote;
        assert_eq!(remote, Some(hidden.transport.local_addr()));
    }
}

/// Whenever one of them starts, the dials of both cross or not, and one connection is there in the end that
/// was never broken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dials_that_cross_leave_one_connection() {
    const PAIRS: u32 = 24;
    let mut pairs = JoinSet::new();
    for pair in 0..PAIRS {
        pairs.spawn(async move {
            let [small, large] = identities().map(|identity| Replica::bind(&identity));
            let head_start = HEAD_START * 2 * pair / PAIRS;
            large.start(&[small.as_peer()]);
            tokio::time::sleep(head_start).await;
            small.start(&[large.as_peer()]);
            assert_they_talk(&small, &large, 1).await;
            (small, large)
        });
    }
    let pairs = pairs.join_all().await;
    // What would be replaced or closed is so by then.
    tokio::time::sleep(HEAD_START * 4).await;
    for (small, large) in &pairs {
        assert_they_talk(small, large, 2).await;
        assert_eq!(small.recorder.ups_and_downs(large.id()), (1, 0));
        assert_eq!(large.recorder.ups_and_downs(small.id()), (1, 0));
        let [ours, theirs] = [small, large].map(|replica| replica.transport.peers()[0].clone());
        assert_eq!((ours.connections, theirs.connections), (1, 1));
        for replica in [small, large] {
            assert_eq!(replica.transport.counters().rejected_handshakes, 0);
        }
    }
}

/// It dials where it was dialled before: the old connection is not dead yet for the one that stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_was_dialled_and_killed_comes_back_by_dialling() {
    let [one, two] = identities();
    for (stays, gone) in [(&one, &two), (&two, &one)] {
        let stays = Replica::bind(stays);
        let (kill, killed) = tokio::sync::oneshot::channel::<()>();
        let (tell, told) = tokio::sync::oneshot::channel();
        let (identity, peer) = (gone.clone(), nowhere(&stays.identity));
        // On a runtime of its own, so that no last packet leaves it.
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let replica = Replica::bind(&identity);
                replica.start(&[peer]);
                tell.send(replica.as_peer()).unwrap();
                killed.await.unwrap();
                std::mem::forget(replica);
            });
        });
        stays.start(&[told.await.unwrap()]);
        stays.until_up(gone.node_id(), 1).await;
        kill.send(()).unwrap();
        thread.join().unwrap();
        let again = Replica::bind(gone);
        again.start(&[stays.as_peer()]);
        // Nothing is heard of the first one's end for a minute.
        assert_they_talk(&again, &stays, 1).await;
        stays.recorder.assert_in_order(gone.node_id());
        assert_eq!(stays.recorder.ups_and_downs(gone.node_id()), (2, 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_is_resolved_at_each_dial_and_one_that_means_nothing_stops_nobody() {
    let [one, two, lost] = identities();
    let (one, two) = (Replica::bind(&one), Replica::bind(&two));
    let port = two.transport.local_addr().port();
    let named = |text: &str, node_id| Peer { node_id, address: text.parse().unwrap() };
    one.start(&[
        named(&format!("localhost:{port}"), two.id()),
        named("no.such.invalid:4100", lost.node_id()),
    ]);
    two.start(&[nowhere(&one.identity)]);
    assert_they_talk(&one, &two, 1).await;
    until_said(lost.node_id(), "no.such.invalid:4100 does not resolve").await;
    // Again and again, and said once.
    until("it is tried again", || one.transport.counters().failed_dials > 2).await;
    let status = one.transport.peers().into_iter().find(|peer| peer.node_id == lost.node_id());
    let status = status.unwrap();
    assert_ne!(status.state, PeerState::Connected);
    let error = status.last_error.unwrap();
    assert_eq!(error, "no.such.invalid:4100 does not resolve");
    assert_eq!(crate::replica::lines_about(lost.node_id()).len(), 1);
}

#[expect(clippy::print_stdout, reason = "readers of CI's log see what was not tested")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_of_both_families_meets_both() {
    let any = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0);
    let [first, both, last] = identities();
    let Ok(both) = Replica::try_bind(&both, any, patient()) else {
        println!("skipped: this machine has no IPv6");
        return;
    };
    let first = Replica::bind(&first);
    let v6 = SocketAddr::new(Ipv6Addr::LOCALHOST.into(), 0);
    let Ok(last) = Replica::try_bind(&last, v6, patient()) else {
        println!("skipped: this machine has no IPv6 loopback");
        return;
    };
    let port = both.transport.local_addr().port();
    // By dialling and by being dialled.
    both.start(&[first.as_peer(), last.as_peer()]);
    first.start(&[nowhere(&both.identity)]);
    let address = SocketAddr::new(Ipv6Addr::LOCALHOST.into(), port).into();
    last.start(&[Peer { node_id: both.id(), address }]);
    assert_they_talk(&both, &first, 1).await;
    assert_they_talk(&both, &last, 1).await;
    let shown: Vec<_> = both.transport.peers().iter().map(|peer| peer.remote.unwrap()).collect();
    assert_eq!(shown[0], first.transport.local_addr(), "an IPv4 address is shown as one");

    let [early, late] = identities();
    let dialled = Replica::try_bind(&early, any, patient()).unwrap();
    let dials = Replica::bind(&late);
    let port = dialled.transport.local_addr().port();
    let address = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port).into();
    dialled.start(&[nowhere(&late)]);
    dials.start(&[Peer { node_id: dialled.id(), address }]);
    assert_they_talk(&dialled, &dials, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_status_of_a_peer_says_what_it_does() {
    let options = TransportOptions::default().with_idle_timeout(Duration::from_secs(1));
    let [one, two] = identities();
    let one = Replica::try_bind(&one, LOOPBACK, options.clone()).unwrap();
    let two = Replica::try_bind(&two, LOOPBACK, options).unwrap();
    one.start(&[two.as_peer()]);
    let status = || one.transport.peers()[0].clone();
    assert_ne!(status().state, PeerState::Connected);
    assert_eq!((status().connections, status().bytes_in, status().remote), (0, 0, None));
    two.start(&[one.as_peer()]);
    assert_they_talk(&one, &two, 1).await;
    let up = status();
    assert_eq!((up.node_id, up.state, up.connections), (two.id(), PeerState::Connected, 1));
    assert_eq!(up.address, two.transport.local_addr().to_string());
    assert_eq!((up.remote, up.last_error), (Some(two.transport.local_addr()), None));
    assert!(up.round_trip.is_some());
    one.outbox().send(two.id(), message(FlowType::Chunk, 3)).unwrap();
    until("the bytes are counted", || status().bytes_out > up.bytes_out + 100_000).await;

    assert!(two.transport.shutdown(LIMIT).await.is_clean());
    until("it is gone", || status().state != PeerState::Connected).await;
    let gone = status();
    assert_eq!((gone.connections, gone.remote, gone.round_trip), (1, None, None));
    assert!(gone.bytes_out > up.bytes_out && gone.bytes_in > 0 && gone.since >= up.since);
    until("it says why", || status().last_error.is_some()).await;
    until_said(two.id(), "it has shut down").await;
}
