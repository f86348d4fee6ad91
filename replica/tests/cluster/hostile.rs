//! A peer that holds a listed key and lies, one that breaks the protocol, and one that nobody knows.

use std::{
    collections::BTreeMap,
    future::{Ready, ready},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use gossip_engine::{
    ArtifactId, EventError, FlowType, GossipChunk, GossipMessage, NodeId, RefusalReason, Submitted,
    TransportEvent, wire,
};
use gossip_replica::{
    identity::Identity,
    outbox::Outbox,
    replica::Replica,
    tls,
    transport::{Handler, Peer, Transport, TransportOptions, frame::tag_of},
};
use quinn::{ClientConfig, Connection, Endpoint, crypto::rustls::QuicClientConfig};
use tower_service::Service;

use crate::{
    advert::{CHUNK_BYTES, advert},
    content::{content, id_of},
    site::{LOOPBACK, ids, options, sites, until, until_all_hold},
};

const FILES: u64 = 60;
/// What the liar advertises before anybody holds it.
const LIES: std::ops::Range<u64> = 1..9;

/// Advertises what it does not have, and answers each request for a chunk with as many bytes as were asked
/// for, none of them right.
#[derive(Clone)]
struct Liar {
    outbox: Arc<dyn Outbox>,
    sizes: Arc<BTreeMap<ArtifactId, u64>>,
    lies: Arc<AtomicUsize>,
}

impl Service<TransportEvent> for Liar {
    type Response = Submitted;
    type Error = EventError;
    type Future = Ready<Result<Submitted, EventError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), EventError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, event: TransportEvent) -> Self::Future {
        let TransportEvent::Message(message) = event else { return ready(Ok(Submitted::Admitted)) };
        let decoded = wire::decode(message.payload);
        if let Ok(GossipMessage::RetransmissionRequest(_)) = decoded {
            for (id, size) in self.sizes.iter() {
                let _ = self.outbox.send(message.peer_id, advert(*id, *size));
            }
        } else if let Ok(GossipMessage::ChunkRequest(request)) = decoded {
            let offset = u64::from(request.chunk_number) * u64::from(CHUNK_BYTES);
            let left = self.sizes[&request.artifact_id] - offset;
            let length = left.min(u64::from(CHUNK_BYTES)) as usize;
            let chunk = GossipChunk {
                artifact_id: request.artifact_id,
                integrity_hash: request.integrity_hash,
                chunk_number: request.chunk_number,
                payload: Ok(Bytes::from(vec![0x66; length])),
            };
            let _ = self.outbox.send(message.peer_id, GossipMessage::Chunk(chunk));
            self.lies.fetch_add(1, Relaxed);
        }
        ready(Ok(Submitted::Admitted))
    }
}

impl Handler for Liar {
    type Connection = ();

    async fn connect(&mut self, _: NodeId) -> Result<(), RefusalReason> {
        Ok(())
    }
}

/// Dials from a socket of its own; the result says whether the peer serves the connection.
async fn dial(identity: &Identity, peer: Peer) -> Option<(Endpoint, Connection)> {
    let endpoint = Endpoint::client(LOOPBACK).unwrap();
    let tls = tls::client_config(identity, peer.node_id);
    let config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    let connecting =
        endpoint.connect_with(config, peer.address.as_str().parse().unwrap(), "any").unwrap();
    let connection = connecting.await.ok()?;
    // Only one that is served gets a stream.
    connection.accept_uni().await.ok()?;
    Some((endpoint, connection))
}

/// Sends these bytes as the first of a flow's stream.
async fn send(connection: &Connection, flow: FlowType, bytes: &[u8]) {
    // It may be cut off in the middle.
    if let Ok(mut stream) = connection.open_uni().await {
        let _ = stream.write_all(&[tag_of(flow)]).await;
        let _ = stream.write_all(bytes).await;
        let _ = connection.closed().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn liars_and_vandals_stop_nobody_and_nothing_wrong_is_stored() {
    // The liar has the smallest id, so it dials, and whatever comes from its key gets in.
    let (sites, bound) = sites::<4>(options()).await;
    let mut bound = bound.into_iter();
    // Its own replica never starts: its identity is used by other means.
    drop(bound.next());
    let peers: Vec<Peer> = sites.iter().map(|site| site.as_peer()).collect();
    let but = |own: usize| {
        peers
            .iter()
            .cloned()
            .enumerate()
            .filter(move |(index, _)| *index != own)
            .map(|(_, peer)| peer)
    };
    let honest: Vec<Replica> = bound
        .enumerate()
        .map(|(index, bound)| bound.start(but(index + 1).collect()).unwrap())
        .collect();
    let victims: Vec<Peer> = but(0).collect();

    // It advertises what exists, but only later, and what never will.
    let mut sizes: BTreeMap<ArtifactId, u64> = LIES
        .map(content)
        .filter(|content| !content.is_empty())
        .map(|content| (id_of(&content), content.len() as u64))
        .collect();
    sizes.insert(ArtifactId::new([0x13; 32]), 100_000);
    let transport =
        Transport::bind(&sites[0].identity, LOOPBACK, TransportOptions::default()).unwrap();
    let lies = Arc::new(AtomicUsize::new(0));
    let outbox = transport.outbox();
    let liar = Liar { outbox, sizes: Arc::new(sizes), lies: lies.clone() };
    transport.start(victims.clone(), liar).unwrap();
    until(
        "everybody has believed the liar once",
        || honest.iter().map(|replica| format!("{:?}\n", replica.gossip().snapshot())).collect(),
        || honest.iter().all(|replica| replica.gossip().snapshot().fetched.hash_mismatches > 0),
    )
    .await;
    assert!(lies.load(Relaxed) > 0);

    // Meanwhile the honest publish, what was lied about included.
    let half = FILES / 2;
    sites[1].publish(&honest[0], 0..half).await;
    sites[2].publish(&honest[1], half..FILES).await;
    until_all_hold(&honest.iter().collect::<Vec<_>>(), &ids(0..FILES)).await;
    transport.shutdown(Duration::from_secs(10)).await;

    // The same key once more, now without any manners.
    let attacks: [(FlowType, &[u8]); 3] = [
        (FlowType::Chunk, b"\xff\xff\xff\xff"),
        (FlowType::Advert, b"\0\0\0\x04\0\x1b[m"),
        (FlowType::Request, b"\0\0\0\0"),
    ];
    for (index, (peer, (flow, bytes))) in victims.iter().zip(attacks).enumerate() {
        let attacked = async {
            // The liar's last connection may have to be given up first.
            loop {
                if let Some((_endpoint, connection)) = dial(&sites[0].identity, peer.clone()).await
                {
                    send(&connection, flow, bytes).await;
                    if honest[index].transport_counters().cut_offs > 0 {
                        break;
                    }
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(60), attacked).await.expect("it is cut off");
    }

    // Somebody whom nobody knows.
    let stranger = Identity::generate();
    for (replica, peer) in honest.iter().zip(&victims) {
        assert!(dial(&stranger, peer.clone()).await.is_none(), "a stranger is not let in");
        until("it is counted", String::new, || {
            replica.transport_counters().rejected_handshakes > 0
        })
        .await;
    }

    // All of this has left the honest as they were.
    sites[3].publish(&honest[2], FILES..FILES + 10).await;
    until_all_hold(&honest.iter().collect::<Vec<_>>(), &ids(0..FILES + 10)).await;
    for replica in &honest {
        until(
            "nobody but the honest ones is connected",
            || format!("{:?} {:?}", replica.gossip().snapshot(), replica.transport_counters()),
            || replica.gossip().snapshot().peers == 2,
        )
        .await;
    }
    for replica in honest {
        assert!(replica.shutdown(Duration::from_secs(60)).await.is_clean());
    }
}
