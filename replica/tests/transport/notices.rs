//! What the log says of peers: each change once, in words, and little of those who make much of it.

use gossip_replica::{
    identity::Identity,
    transport::{Peer, limits::FLAPS},
};
use quinn::{Endpoint, VarInt};

use crate::{
    recorder::{until, within},
    replica::{
        LOOPBACK, Replica, assert_they_talk, bare_client, connected, identities, lines_about,
        nowhere, until_said, warnings_about,
    },
};

fn said(peer: &Replica, text: &str) -> usize {
    lines_about(peer.id()).iter().filter(|line| line.contains(text)).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_are_up_and_down_once_each() {
    let [one, two] = connected().await;
    until_said(two.id(), "a peer is up").await;
    let remote = one.transport.local_addr().to_string();
    until_said(one.id(), &remote).await;
    let id = two.id();
    drop(two.transport);
    one.until_down(id, 1).await;
    until_said(id, "it has shut down").await;
    assert_eq!(lines_about(id).iter().filter(|line| line.contains("is up")).count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn why_a_peer_is_not_reached_is_said_in_words_on_both_sides() {
    let [first, impostor, last] = identities().map(|identity| Replica::bind(&identity));
    let expected = Identity::generate();
    let address = impostor.transport.local_addr();
    impostor.start(&[]);
    first.start(&[impostor.as_peer()]);
    last.start(&[Peer { node_id: expected.node_id(), address: address.into() }]);

    until_said(impostor.id(), &format!("{address} does not list our key")).await;
    until_said(
        expected.node_id(),
        &format!("{address} answers with another key, {:x}", impostor.id()),
    )
    .await;
    // At the other end a stranger's key is said, or that of another one who came first.
    until("it has dialled often", || first.transport.counters().failed_dials > 3).await;
    assert_eq!(said(&impostor, "does not list our key"), 1, "once, until it changes");
    let refused = warnings_about(first.id());
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert!(refused[0].contains("refused a key that is not listed"), "{refused:?}");
    assert!(refused[0].contains(&first.transport.local_addr().to_string()), "{refused:?}");
    assert!(!refused[0].contains("error 49"), "{refused:?}");

    // It changes: nobody is there any more.
    drop(impostor.transport);
    until_said(expected.node_id(), &format!("{address} gives no answer")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_own_address_under_another_name_is_said() {
    let [one, other] = identities();
    let one = Replica::bind(&one);
    let address = one.transport.local_addr().into();
    one.start(&[Peer { node_id: other.node_id(), address }]);
    until_said(other.node_id(), "answers with our own key").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_machines_with_one_key_are_said_by_all_three() {
    let [first, last] = identities();
    for (key, other) in [(&first, &last), (&last, &first)] {
        let peer = Replica::bind(other);
        peer.start(&[nowhere(key)]);
        let machines = [(); 2].map(|()| Replica::bind(key));
        for machine in &machines {
            machine.start(&[peer.as_peer()]);
        }
        until_said(key.node_id(), "another replica uses the key of a peer").await;
        until_said(peer.id(), "another replica uses this key").await;
        peer.recorder.assert_in_order(key.node_id());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_comes_and_goes_is_said_to_and_no_more() {
    let [hasty, honest, stays] = identities();
    let (stays, honest) = (Replica::bind(&stays), Replica::bind(&honest));
    stays.start(&[nowhere(&hasty), honest.as_peer()]);
    honest.start(&[stays.as_peer()]);
    let endpoint = Endpoint::client(LOOPBACK).unwrap();
    for round in 1..4 * FLAPS as usize {
        let config = bare_client(&hasty, stays.id());
        let address = stays.transport.local_addr();
        let dialled = endpoint.connect_with(config, address, "any").unwrap();
        let connection = within("it is let in", dialled).await.unwrap();
        stays.until_up(hasty.node_id(), round).await;
        connection.close(VarInt::from_u32(0), b"");
        stays.until_down(hasty.node_id(), round).await;
    }
    until_said(hasty.node_id(), "a peer comes and goes").await;
    let lines = lines_about(hasty.node_id());
    assert!(lines.len() <= 2 * FLAPS as usize + 2, "{lines:#?}");
    assert_they_talk(&stays, &honest, 1).await;
}
