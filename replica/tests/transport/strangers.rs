//! Many connections that are never proven, from an address that is not listed.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use gossip_replica::{
    identity::Identity,
    transport::{Peer, PeerState, limits::HANDSHAKE_TIMEOUT},
};
use quinn::Endpoint;
use tokio::{net::UdpSocket, task::JoinSet, time::timeout};

use crate::{
    recorder::{until, within},
    replica::{LOOPBACK, Replica, assert_they_talk, bare_client, identities},
};

/// Not where anybody listed listens.
const ELSEWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)), 0);

/// Where only a listed replica listens.
const NOBODY_ELSES: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3)), 0);

/// The first packets of so many clients.
async fn first_packets(count: usize, victim: &Replica) -> Vec<Vec<u8>> {
    let catcher = UdpSocket::bind(LOOPBACK).await.unwrap();
    let endpoint = Endpoint::client(LOOPBACK).unwrap();
    let stranger = Identity::generate();
    let mut packets = Vec::new();
    let mut buffer = [0; 2048];
    for _ in 0..count {
        let config = bare_client(&stranger, victim.id());
        let dialled = endpoint.connect_with(config, catcher.local_addr().unwrap(), "any").unwrap();
        let received = within("a first packet comes", catcher.recv(&mut buffer)).await.unwrap();
        packets.push(buffer[..received].to_vec());
        drop(dialled);
    }
    packets
}

/// A client that shows its address when it is asked to, and then never hears of its server.
async fn half_open(victim: SocketAddr, node_id: gossip_engine::NodeId) {
    let front = UdpSocket::bind(LOOPBACK).await.unwrap();
    let back = UdpSocket::bind(ELSEWHERE).await.unwrap();
    let endpoint = Endpoint::client(LOOPBACK).unwrap();
    let config = bare_client(&Identity::generate(), node_id);
    let _dialled = endpoint.connect_with(config, front.local_addr().unwrap(), "any").unwrap();
    let (mut there, mut here) = ([0; 2048], [0; 2048]);
    let mut client = None;
    loop {
        tokio::select! {
            received = front.recv_from(&mut there) => if let Ok((length, from)) = received {
                client = Some(from);
                let _ = back.send_to(&there[..length], victim).await;
            },
            received = back.recv(&mut here) => {
                // A long header of the type that asks for the address: all else is lost.
                if let (Ok(length), Some(client)) = (received, client) && here[0] & 0xf0 == 0xf0 {
                    let _ = front.send_to(&here[..length], client).await;
                }
            }
        }
    }
}

/// A listed peer comes in at the first dial, whatever strangers do.
async fn assert_let_in(victim: &Replica, listed: &Identity, address: SocketAddr) {
    for _ in 0..3 {
        let endpoint = within("the address is free", async {
            loop {
                match Endpoint::client(address) {
                    Ok(endpoint) => break endpoint,
                    Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            }
        })
        .await;
        let config = bare_client(listed, victim.id());
        let dialled = endpoint.connect_with(config, victim.transport.local_addr(), "any").unwrap();
        let served = async { dialled.await.unwrap().accept_uni().await.unwrap() };
        let served = timeout(HANDSHAKE_TIMEOUT, served).await;
        assert!(served.is_ok(), "{:?}", victim.transport.counters());
        endpoint.close(0u32.into(), b"");
        endpoint.wait_idle().await;
    }
}

/// An address that is free, and stays so: the crowd's own sockets, and those of other tests, are bound elsewhere.
fn free_address() -> SocketAddr {
    std::net::UdpSocket::bind(NOBODY_ELSES).unwrap().local_addr().unwrap()
}

async fn scene() -> (Replica, Replica, Identity, SocketAddr) {
    let [listed, honest, victim] = identities();
    let (honest, victim) = (Replica::bind(&honest), Replica::bind(&victim));
    let address = free_address();
    let peer = Peer { node_id: listed.node_id(), address: address.into() };
    victim.start(&[honest.as_peer(), peer]);
    honest.start(&[victim.as_peer()]);
    assert_they_talk(&honest, &victim, 1).await;
    (victim, honest, listed, address)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_first_packets_delays_no_listed_replica() {
    let (victim, honest, listed, address) = scene().await;
    let packets = first_packets(200, &victim).await;
    let (target, over) = (victim.transport.local_addr(), Arc::new(AtomicBool::new(false)));
    let ended = over.clone();
    let flood = tokio::spawn(async move {
        let socket = UdpSocket::bind(ELSEWHERE).await.unwrap();
        let mut tick = tokio::time::interval(Duration::from_millis(10));
        for packets in packets.chunks(10).cycle() {
            tick.tick().await;
            if ended.load(Relaxed) {
                break;
            }
            for packet in packets {
                let _ = socket.send_to(packet, target).await;
            }
        }
    });
    assert_let_in(&victim, &listed, address).await;
    over.store(true, Relaxed);
    flood.await.unwrap();
    assert_they_talk(&honest, &victim, 2).await;
    assert_eq!(victim.recorder.ups_and_downs(honest.id()), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_show_their_address_and_stay_take_few_places() {
    let (victim, honest, listed, address) = scene().await;
    let mut crowd = JoinSet::new();
    for _ in 0..100 {
        crowd.spawn(half_open(victim.transport.local_addr(), victim.id()));
    }
    until("some of them wait outside", || victim.transport.counters().deferred_handshakes > 20)
        .await;
    assert_let_in(&victim, &listed, address).await;
    drop(crowd);
    assert_they_talk(&honest, &victim, 2).await;
}

/// A dial that is given up before its key is proven, as that of one of two ends whose dials cross.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dial_that_is_given_up_is_no_refusal() {
    let [listed, victim] = identities();
    let victim = Replica::bind(&victim);
    let relay = UdpSocket::bind(LOOPBACK).await.unwrap();
    let (here, there) = (relay.local_addr().unwrap(), victim.transport.local_addr());
    victim.start(&[Peer { node_id: listed.node_id(), address: here.into() }]);
    let endpoint = Endpoint::client(LOOPBACK).unwrap();
    let config = bare_client(&listed, victim.id());
    let mut dialled = Some(endpoint.connect_with(config, here, "any").unwrap());
    // It leaves before it can know of an answer. Those that come are passed on as well: its farewell may get lost,
    // and it repeats that when it is spoken to.
    let passing_on = async {
        let (mut dialler, mut buffer) = (None, [0; 2048]);
        loop {
            let (length, from) = relay.recv_from(&mut buffer).await.unwrap();
            let to = if from == there { dialler } else { Some(there) };
            if from != there {
                dialler = Some(from);
                dialled.take();
            }
            relay.send_to(&buffer[..length], to.unwrap()).await.unwrap();
        }
    };
    let counted = until("it is counted", || {
        let counters = victim.transport.counters();
        counters.abandoned_handshakes + counters.rejected_handshakes > 0
    });
    tokio::select! {
        () = passing_on => {}
        () = counted => {}
    }
    let counters = victim.transport.counters();
    assert_eq!(counters.rejected_handshakes, 0, "{counters:?}");
}

/// The id by which the sender of a first packet is answered: behind the form, the version and the receiver's id.
fn sender_of(packet: &[u8]) -> &[u8] {
    let rest = &packet[6 + usize::from(packet[5])..];
    &rest[1..=usize::from(rest[0])]
}

/// Whether a first packet from this socket, of a key that is not listed, is let in at once. A stranger's is answered
/// by the question to show that somebody receives there.
async fn is_let_in_at_once(socket: &UdpSocket, victim: &Replica) -> bool {
    let first = first_packets(1, victim).await.remove(0);
    socket.send_to(&first, victim.transport.local_addr()).await.unwrap();
    let mut answer = [0; 2048];
    within("the first packet is answered", async {
        loop {
            let length = socket.recv(&mut answer).await.unwrap();
            // The victim dials this address as well.
            if answer[..length][6..].starts_with(sender_of(&first)) {
                return answer[0] & 0xf0 != 0xf0;
            }
        }
    })
    .await
}

/// Its address is forgotten when its old task ends, which may be after it was listed again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_listed_again_has_its_place_again() {
    let [listed, victim] = identities();
    let victim = Replica::bind(&victim);
    victim.start(&[]);
    let until_dialled =
        || until("it is dialled", || victim.transport.peers()[0].state == PeerState::Connecting);
    for _ in 0..4 {
        // Another address in each round: one that has shown nothing has one place at a time.
        let socket = UdpSocket::bind(LOOPBACK).await.unwrap();
        let address = socket.local_addr().unwrap().into();
        let peers = vec![Peer { node_id: listed.node_id(), address }];
        victim.transport.set_peers(peers.clone()).unwrap();
        until_dialled().await;
        victim.transport.set_peers(Vec::new()).unwrap();
        victim.transport.set_peers(peers).unwrap();
        // Its new task has begun, so the old one has ended.
        until_dialled().await;
        assert!(is_let_in_at_once(&socket, &victim).await);
        let stranger = UdpSocket::bind(LOOPBACK).await.unwrap();
        assert!(!is_let_in_at_once(&stranger, &victim).await);
        victim.transport.set_peers(Vec::new()).unwrap();
    }
}
