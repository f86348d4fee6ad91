//! What surrounds a replica under test: artifacts, a network that is an observer, a clock, a disk.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use gossip_engine::{
    ArtifactDestination, ArtifactId, FlowType, GossipAdvert, GossipChunkRequest, GossipMessage,
    NodeId,
};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::{
    catalog::Catalogs,
    gossip::{Full, GossipOptions, ReplicaGossip},
    outbox::{Outbox, SendError},
    store::{Durability, Store, StoreOptions},
};

const SIZES: [usize; 6] = [0, 1, 1023, 1024, 2049, 5000];
/// How many requests for chunks a peer remembers.
const REQUESTS: usize = 64;
/// How many bytes the answer to a request has at most.
pub(super) const MAX_ANSWER_BYTES: u64 = 65_537;

/// Small enough that a short input meets every limit.
pub(super) fn options() -> GossipOptions {
    GossipOptions {
        chunk_bytes: 1024,
        max_artifact_bytes: 8 << 10,
        requests_per_peer: 3,
        max_adverts_per_peer: 4,
        max_downloads: 3,
        downloads_per_peer: 2,
        ..GossipOptions::default()
    }
}

/// The content of every artifact that there is.
pub(super) fn catalogue() -> BTreeMap<ArtifactId, Vec<u8>> {
    let content = |size: &usize| (0..*size).map(|at| (at * 31 + size) as u8).collect::<Vec<u8>>();
    SIZES.iter().map(content).map(|content| (id_of(&content), content)).collect()
}

fn id_of(content: &[u8]) -> ArtifactId {
    ArtifactId::new(Sha256::digest(content).into())
}

/// What the network knows and does.
#[derive(Debug, Default)]
pub(super) struct Network {
    pub(super) connected: BTreeSet<NodeId>,
    /// Whose queues are full.
    pub(super) full: BTreeSet<NodeId>,
    pub(super) requests: BTreeMap<NodeId, VecDeque<GossipChunkRequest>>,
    /// Who has been asked for adverts.
    pub(super) asked: BTreeSet<NodeId>,
    pub(super) announced: VecDeque<(GossipAdvert, ArtifactDestination)>,
    /// How many adverts may wait to be broadcast.
    pub(super) capacity: usize,
    /// Artifacts whose files have been tampered with.
    pub(super) damaged: BTreeSet<ArtifactId>,
    /// Artifacts whose files have been removed.
    pub(super) removed: BTreeSet<ArtifactId>,
    /// How many requests for chunks have been sent.
    requests_sent: u64,
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) gossip: ReplicaGossip,
    pub(super) catalogue: Arc<BTreeMap<ArtifactId, Vec<u8>>>,
    network: Arc<Mutex<Network>>,
    millis: Arc<AtomicU64>,
    /// What the disk has free, in bytes.
    free: Arc<AtomicU64>,
    pub(super) folder: TempDir,
}

/// Looks at what the replica sends.
struct Observer {
    store: Store,
    catalogue: Arc<BTreeMap<ArtifactId, Vec<u8>>>,
    network: Arc<Mutex<Network>>,
}

impl Outbox for Observer {
    fn has_capacity(&self, peer: NodeId, _: FlowType, _: usize) -> bool {
        let network = lock(&self.network);
        network.connected.contains(&peer) && !network.full.contains(&peer)
    }

    fn send(&self, peer: NodeId, message: GossipMessage) -> Result<(), SendError> {
        let mut network = lock(&self.network);
        if !network.connected.contains(&peer) {
            return Err(SendError::NotConnected(peer));
        }
        if network.full.contains(&peer) {
            return Err(SendError::Full { peer, flow: message.flow() });
        }
        match message {
            GossipMessage::Advert(advert) => {
                let content = &self.catalogue[&advert.artifact_id];
                assert_eq!(advert.size, content.len() as u64, "advertises another size");
            }
            GossipMessage::ChunkRequest(request) => {
                assert!(!self.store.contains(request.artifact_id), "asks for what is held");
                assert!(self.store.reserved_bytes() > 0, "asks without space");
                network.requests_sent += 1;
                let requests = network.requests.entry(peer).or_default();
                requests.truncate(REQUESTS - 1);
                requests.push_front(request);
            }
            GossipMessage::Chunk(chunk) => {
                if let Ok(bytes) = chunk.payload
                    && !network.damaged.contains(&chunk.artifact_id)
                {
                    let content = &self.catalogue[&chunk.artifact_id];
                    let mut chunks = content.chunks(options().chunk_bytes as usize);
                    let right = chunks.nth(chunk.chunk_number as usize);
                    assert_eq!(Some(&bytes[..]), right, "serves wrong bytes");
                }
            }
            GossipMessage::RetransmissionRequest(_) => _ = network.asked.insert(peer),
        }
        Ok(())
    }
}

impl World {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let free = Arc::new(AtomicU64::new(u64::MAX));
        let left = free.clone();
        let store = Store::open_on(
            &folder.path().join("store"),
            StoreOptions {
                durability: Durability::Crash,
                min_free_bytes: 0,
                ..StoreOptions::default()
            },
            Box::new(move |_| Ok(left.load(Relaxed))),
        )
        .expect("a store in a new folder");
        let catalogue = Arc::new(catalogue());
        let network = Arc::new(Mutex::new(Network { capacity: 4, ..Network::default() }));
        let millis = Arc::new(AtomicU64::new(0));
        let observer = Observer {
            store: store.clone(),
            catalogue: catalogue.clone(),
            network: network.clone(),
        };
        let (announced, clock) = (network.clone(), millis.clone());
        let gossip = ReplicaGossip::with_clock(
            options(),
            store.clone(),
            Catalogs::open(&store.catalogs_folder()).expect("a new folder"),
            Arc::new(observer),
            move |advert, destination| {
                let mut network = lock(&announced);
                if network.announced.len() >= network.capacity {
                    return Err(Full { destination });
                }
                network.announced.push_back((advert, destination));
                Ok(())
            },
            move || Duration::from_millis(clock.load(Relaxed)),
            0,
        );
        let gossip = gossip.expect("the options can be");
        Self { gossip, catalogue, network, millis, free, folder }
    }

    pub(super) fn network(&self) -> MutexGuard<'_, Network> {
        lock(&self.network)
    }

    pub(super) fn pass(&self, time: Duration) {
        self.millis.fetch_add(time.as_millis() as u64, Relaxed);
    }

    pub(super) fn set_free(&self, bytes: u64) {
        self.free.store(bytes, Relaxed);
    }

    /// Publishes an artifact.
    pub(super) fn publish(&self, id: ArtifactId) {
        let path = self.folder.path().join("file");
        fs::write(&path, &self.catalogue[&id]).expect("a file can be written");
        // The disk may be out of order.
        if let Ok(imported) = self.gossip.publish(&path) {
            assert_eq!(imported.artifact.id, id);
        }
    }

    /// Panics if something is not as it always is.
    pub(super) fn check(&self) {
        self.gossip.check();
        let fetched = self.gossip.snapshot().fetched;
        let sent = self.network().requests_sent;
        assert_eq!(fetched.chunks_requested, sent + fetched.requests_unsent, "requests get lost");
        let taken = fetched.chunks_received + fetched.chunk_errors;
        assert!(taken <= sent, "{taken} answers to {sent} requests");
        let twice = (sent - taken) * MAX_ANSWER_BYTES;
        assert!(fetched.bytes_duplicate <= twice, "what was not asked for counts as asked twice");
        for artifact in self.gossip.store().list_from(0, usize::MAX) {
            let content = self.catalogue.get(&artifact.id).expect("holds what nobody has made");
            assert_eq!(artifact.size, content.len() as u64, "holds something of another size");
        }
    }
}

fn lock(network: &Mutex<Network>) -> MutexGuard<'_, Network> {
    network.lock().unwrap_or_else(PoisonError::into_inner)
}
