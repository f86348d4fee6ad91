//! A replica under test, and the log of all tests.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use gossip_engine::{
    ArtifactFilter, ArtifactId, ChunkError, FlowType, GossipAdvert, GossipChunk,
    GossipChunkRequest, GossipMessage, IntegrityHash, NodeId,
};
use gossip_replica::{
    identity::Identity,
    outbox::Outbox,
    tls,
    transport::{BindError, Peer, Transport, TransportOptions},
};
use quinn::crypto::rustls::QuicClientConfig;

use crate::recorder::{Recorder, until, within};

pub(crate) const LOOPBACK: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// Nothing times out because the machine is busy, and nobody comes back before the test is over.
pub(crate) fn patient() -> TransportOptions {
    TransportOptions::default()
        .with_idle_timeout(Duration::from_secs(60))
        .with_first_penalty(Duration::from_secs(60))
}

/// How bare QUIC dials a replica. It sends now and then, so that it finds out that a connection is
/// closed when the packet that said so is lost.
pub(crate) fn bare_client(identity: &Identity, peer: NodeId) -> quinn::ClientConfig {
    let tls = tls::client_config(identity, peer);
    let mut transport = quinn::TransportConfig::default();
    transport
        .keep_alive_interval(Some(Duration::from_millis(100)))
        .max_idle_timeout(Some(Duration::from_secs(10).try_into().unwrap()));
    let mut config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    config.transport_config(Arc::new(transport));
    config
}

/// This many identities, the smallest id first: each dials those after it.
pub(crate) fn identities<const N: usize>() -> [Identity; N] {
    let mut identities = [(); N].map(|()| Identity::generate());
    identities.sort_by_key(Identity::node_id);
    identities
}

#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) identity: Identity,
    pub(crate) transport: Transport,
    pub(crate) recorder: Recorder,
}

impl Replica {
    pub(crate) fn bind(identity: &Identity) -> Self {
        Self::try_bind(identity, LOOPBACK, patient()).unwrap()
    }

    pub(crate) fn try_bind(
        identity: &Identity,
        address: SocketAddr,
        options: TransportOptions,
    ) -> Result<Self, BindError> {
        listen_to_the_log();
        let transport = Transport::bind(identity, address, options)?;
        Ok(Self { identity: identity.clone(), transport, recorder: Recorder::default() })
    }

    /// Waits until the address is free: a socket is closed some time after its owner is gone.
    pub(crate) async fn bind_again(identity: &Identity, address: SocketAddr) -> Self {
        within("the address is free", async {
            loop {
                match Self::try_bind(identity, address, patient()) {
                    Ok(replica) => break replica,
                    Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            }
        })
        .await
    }

    pub(crate) fn id(&self) -> NodeId {
        self.identity.node_id()
    }

    pub(crate) fn as_peer(&self) -> Peer {
        Peer { node_id: self.id(), address: self.transport.local_addr().into() }
    }

    pub(crate) fn start(&self, peers: &[Peer]) {
        self.transport.start(peers.to_vec(), self.recorder.clone()).unwrap();
    }

    pub(crate) fn outbox(&self) -> Arc<dyn Outbox> {
        self.transport.outbox()
    }

    pub(crate) async fn until_up(&self, peer: NodeId, times: usize) {
        self.recorder
            .until("the peer is up", |recorder| recorder.ups_and_downs(peer).0 >= times)
            .await;
    }

    pub(crate) async fn until_down(&self, peer: NodeId, times: usize) {
        self.recorder
            .until("the peer is down", |recorder| recorder.ups_and_downs(peer).1 >= times)
            .await;
    }
}

/// Replicas that know each other, all connected.
pub(crate) async fn connected<const N: usize>() -> [Replica; N] {
    let replicas = identities::<N>().map(|identity| Replica::bind(&identity));
    let peers = replicas.each_ref().map(Replica::as_peer);
    for replica in &replicas {
        replica.start(&others(&peers, replica.id()));
    }
    for replica in &replicas {
        for peer in others(&peers, replica.id()) {
            replica.until_up(peer.node_id, 1).await;
        }
    }
    replicas
}

pub(crate) fn others(peers: &[Peer], id: NodeId) -> Vec<Peer> {
    peers.iter().filter(|peer| peer.node_id != id).cloned().collect()
}

/// A peer that cannot be dialled; it may dial us.
pub(crate) fn nowhere(identity: &Identity) -> Peer {
    Peer { node_id: identity.node_id(), address: LOOPBACK.into() }
}

/// Both hear each other.
pub(crate) async fn assert_they_talk(one: &Replica, two: &Replica, number: u64) {
    for (from, to) in [(one, two), (two, one)] {
        let message = message(FlowType::Retransmission, number);
        until("the message is queued", || from.outbox().send(to.id(), message.clone()).is_ok())
            .await;
        to.recorder
            .until("the message arrives", |recorder| {
                recorder.messages(from.id(), FlowType::Retransmission).contains(&message)
            })
            .await;
    }
}

/// A message of a flow; those of different numbers differ.
pub(crate) fn message(flow: FlowType, number: u64) -> GossipMessage {
    let mut id = [flow as u8; 32];
    id[..8].copy_from_slice(&number.to_be_bytes());
    let (artifact_id, integrity_hash) = (ArtifactId::new(id), IntegrityHash::new(id));
    match flow {
        FlowType::Advert => GossipMessage::Advert(GossipAdvert {
            artifact_id,
            size: number,
            integrity_hash,
            attributes: Bytes::from(vec![number as u8; number as usize % 1000]),
        }),
        FlowType::Request => GossipMessage::ChunkRequest(GossipChunkRequest {
            artifact_id,
            integrity_hash,
            chunk_number: number as u32,
        }),
        FlowType::Chunk => GossipMessage::Chunk(GossipChunk {
            artifact_id,
            integrity_hash,
            chunk_number: number as u32,
            payload: match number % 5 {
                4 => Err(ChunkError::NotFound),
                _ => Ok(Bytes::from(vec![number as u8; 40_000 * (number as usize % 5)])),
            },
        }),
        FlowType::Retransmission => {
            GossipMessage::RetransmissionRequest(ArtifactFilter { height: number })
        }
        FlowType::Transport => panic!("the Transport flow has no messages"),
    }
}

static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Log;

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn listen_to_the_log() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| {
        tracing_subscriber::fmt()
            .with_max_level(tracing::Level::INFO)
            .with_ansi(false)
            .with_writer(|| Log)
            .init();
    });
}

/// The lines of the log that name a peer.
pub(crate) fn lines_about(peer: NodeId) -> Vec<String> {
    let log = LOG.lock().unwrap();
    let log = str::from_utf8(&log).unwrap();
    // Some lines have it in short.
    let (long, short) = (format!("{peer:x}"), peer.to_string());
    let names = |line: &&str| line.contains(&long) || line.contains(&short);
    log.lines().filter(names).map(str::to_owned).collect()
}

/// The warnings that name a peer.
pub(crate) fn warnings_about(peer: NodeId) -> Vec<String> {
    let mut lines = lines_about(peer);
    lines.retain(|line| line.contains(" WARN ") || line.contains("ERROR "));
    lines
}

/// Waits for a line of the log that names a peer and has this text.
pub(crate) async fn until_said(peer: NodeId, text: &str) {
    until(&format!("it is said: {text}"), || {
        lines_about(peer).iter().any(|line| line.contains(text))
    })
    .await;
}
