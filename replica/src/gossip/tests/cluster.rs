//! Replicas and the network between them, driven by one thread.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs,
    sync::atomic::{AtomicU64, Ordering},
};

use gossip_engine::{FlowType, GossipMessage, Outcome, wire};
use tempfile::TempDir;

use super::*;
use crate::{
    outbox::SendError,
    store::{Durability, StoreOptions},
};

/// What lies between the replicas: messages on their way, as bytes.
#[derive(Debug, Default)]
struct Network {
    connected: BTreeSet<(NodeId, NodeId)>,
    queued: VecDeque<(NodeId, NodeId, GossipMessage)>,
    announced: VecDeque<(NodeId, GossipAdvert, ArtifactDestination)>,
    announcements: usize,
    announcement_limit: Option<usize>,
    queue_limit: Option<usize>,
    spoilt: Option<NodeId>,
    /// Whose chunks get lost.
    mute: Option<NodeId>,
}

pub(super) fn crash() -> StoreOptions {
    StoreOptions { durability: Durability::Crash, ..StoreOptions::default() }
}

/// One replica's side of the network.
struct Port {
    own: NodeId,
    network: Arc<Mutex<Network>>,
}

impl Outbox for Port {
    fn has_capacity(&self, peer: NodeId, flow: FlowType, _: usize) -> bool {
        let network = self.network.lock().unwrap();
        let same = |queued: &&(NodeId, NodeId, GossipMessage)| {
            queued.0 == self.own && queued.1 == peer && queued.2.flow() == flow
        };
        network.connected.contains(&(self.own, peer))
            && network
                .queue_limit
                .is_none_or(|limit| network.queued.iter().filter(same).count() < limit)
    }

    fn send(&self, peer: NodeId, message: GossipMessage) -> Result<(), SendError> {
        let mut network = self.network.lock().unwrap();
        if !network.connected.contains(&(self.own, peer)) {
            return Err(SendError::NotConnected(peer));
        }
        let flow = message.flow();
        let same = |queued: &&(NodeId, NodeId, GossipMessage)| {
            queued.0 == self.own && queued.1 == peer && queued.2.flow() == flow
        };
        if network
            .queue_limit
            .is_some_and(|limit| network.queued.iter().filter(same).count() >= limit)
        {
            return Err(SendError::Full { peer, flow });
        }
        // By way of the wire, so that every message is one that a peer can read.
        let mut message =
            wire::decode(wire::encode(&message)).expect("a message of ours is readable");
        if network.spoilt == Some(self.own)
            && let GossipMessage::Chunk(chunk) = &mut message
            && let Ok(bytes) = &mut chunk.payload
        {
            *bytes = bytes.iter().map(|byte| !byte).collect();
        }
        if network.mute != Some(self.own) || flow != FlowType::Chunk {
            network.queued.push_back((self.own, peer, message));
        }
        Ok(())
    }
}

/// An outbox without a network.
pub(super) fn nowhere() -> Arc<dyn Outbox> {
    Arc::new(Port { own: NodeId::new([0; 32]), network: Arc::default() })
}

fn start(
    at: usize,
    options: &GossipOptions,
    store: StoreOptions,
    folders: &[TempDir],
    network: &Arc<Mutex<Network>>,
    millis: &Arc<AtomicU64>,
) -> ReplicaGossip {
    let own = node(at);
    let (announced, millis) = (network.clone(), millis.clone());
    ReplicaGossip::with_clock(
        options.clone(),
        Store::open_with(folders[at].path(), store).unwrap(),
        Catalogs::open(&folders[at].path().join("catalogs")).unwrap(),
        Arc::new(Port { own, network: network.clone() }),
        move |advert, destination| {
            let mut network = announced.lock().unwrap();
            let queued = network.announced.iter().filter(|queued| queued.0 == own).count();
            if network.announcement_limit.is_some_and(|limit| queued >= limit) {
                return Err(Full { destination });
            }
            network.announcements += 1;
            network.announced.push_back((own, advert, destination));
            Ok(())
        },
        move || Duration::from_millis(millis.load(Ordering::Relaxed)),
        at as u64,
    )
    .unwrap()
}

pub(super) struct Cluster {
    replicas: Vec<ReplicaGossip>,
    stores: Vec<StoreOptions>,
    network: Arc<Mutex<Network>>,
    millis: Arc<AtomicU64>,
    files: TempDir,
    next_file: AtomicU64,
    /// How many messages of a flow are still to be dropped where they arrive.
    dropped: BTreeMap<FlowType, usize>,
    folders: Vec<TempDir>,
}

impl Cluster {
    pub(super) fn new(options: &[GossipOptions]) -> Self {
        Self::with_stores(options, &vec![crash(); options.len()])
    }

    pub(super) fn with_stores(options: &[GossipOptions], stores: &[StoreOptions]) -> Self {
        let network: Arc<Mutex<Network>> = Arc::default();
        let millis = Arc::new(AtomicU64::new(0));
        let folders: Vec<TempDir> = options.iter().map(|_| tempfile::tempdir().unwrap()).collect();
        let start = |at| start(at, &options[at], stores[at], &folders, &network, &millis);
        let replicas = (0..options.len()).map(start).collect();
        Self {
            replicas,
            stores: stores.to_vec(),
            network,
            millis,
            files: tempfile::tempdir().unwrap(),
            next_file: AtomicU64::new(0),
            dropped: BTreeMap::new(),
            folders,
        }
    }

    pub(super) fn id(&self, at: usize) -> NodeId {
        node(at)
    }

    pub(super) fn replica(&self, at: usize) -> &ReplicaGossip {
        &self.replicas[at]
    }

    pub(super) fn limit_queues(&self, limit: usize) {
        self.network.lock().unwrap().queue_limit = Some(limit);
    }

    /// How many adverts each replica may have on their way to be broadcast.
    pub(super) fn limit_announcements(&self, limit: usize) {
        self.network.lock().unwrap().announcement_limit = Some(limit);
    }

    /// So many messages of this flow will be dropped where they arrive, and their replicas told.
    pub(super) fn drop_arriving(&mut self, flow: FlowType, count: usize) {
        self.dropped.insert(flow, count);
    }

    pub(super) fn spoil_chunks_of(&self, at: usize) {
        self.network.lock().unwrap().spoilt = Some(node(at));
    }

    pub(super) fn lose_chunks_of(&self, at: usize) {
        self.network.lock().unwrap().mute = Some(node(at));
    }

    pub(super) fn announced(&self) -> usize {
        self.network.lock().unwrap().announcements
    }

    /// Takes the message sent last, which is a chunk.
    pub(super) fn last_chunk(&self) -> GossipChunk {
        match self.network.lock().unwrap().queued.pop_back() {
            Some((_, _, GossipMessage::Chunk(chunk))) => chunk,
            other => panic!("no chunk: {other:?}"),
        }
    }

    /// A new file with this content.
    pub(super) fn file(&self, content: &[u8]) -> PathBuf {
        let number = self.next_file.fetch_add(1, Ordering::Relaxed);
        let path = self.files.path().join(format!("file {number}"));
        fs::write(&path, content).unwrap();
        path
    }

    pub(super) fn publish(&self, at: usize, content: &[u8]) -> ArtifactId {
        self.replicas[at].publish(&self.file(content)).unwrap().artifact.id
    }

    pub(super) fn connect(&self, a: usize, b: usize) {
        self.network.lock().unwrap().connected.extend([(node(a), node(b)), (node(b), node(a))]);
        self.replicas[a].on_peer_up(node(b));
        self.replicas[b].on_peer_up(node(a));
    }

    pub(super) fn connect_all(&self) {
        for a in 0..self.replicas.len() {
            for b in 0..a {
                self.connect(a, b);
            }
        }
    }

    /// Ends a replica and starts it again over its store. Its connections are gone.
    pub(super) fn restart(&mut self, at: usize) {
        for other in (0..self.replicas.len()).filter(|other| *other != at) {
            self.disconnect(at, other);
        }
        // It has its store until it is dropped.
        let options = self.replicas.remove(at).options().clone();
        let Self { stores, folders, network, millis, .. } = &*self;
        let again = start(at, &options, stores[at], folders, network, millis);
        self.replicas.insert(at, again);
    }

    pub(super) fn disconnect(&self, a: usize, b: usize) {
        {
            let mut network = self.network.lock().unwrap();
            for pair in [(node(a), node(b)), (node(b), node(a))] {
                network.connected.remove(&pair);
                network.queued.retain(|(from, to, _)| (*from, *to) != pair);
            }
        }
        self.replicas[a].on_peer_down(node(b));
        self.replicas[b].on_peer_down(node(a));
    }

    pub(super) fn now(&self) -> Duration {
        Duration::from_millis(self.millis.load(Ordering::Relaxed))
    }

    pub(super) fn pass(&self, seconds: u64) {
        self.millis.fetch_add(seconds * 1_000, Ordering::Relaxed);
    }

    /// Delivers so many messages, or lets a tick of time pass where there is none.
    pub(super) fn step(&mut self, steps: usize) {
        for _ in 0..steps {
            let announced = self.network.lock().unwrap().announced.pop_front();
            if let Some((own, advert, destination)) = announced {
                self.replicas[own.as_bytes()[0] as usize].broadcast_advert(advert, destination);
                continue;
            }
            let next = self.network.lock().unwrap().queued.pop_front();
            let Some((from, to, message)) = next else {
                self.millis.fetch_add(100, Ordering::Relaxed);
                self.replicas.iter().for_each(Gossip::on_gossip_timer);
                continue;
            };
            let to = &self.replicas[to.as_bytes()[0] as usize];
            let flow = message.flow();
            if let Some(left) = self.dropped.get_mut(&flow).filter(|left| **left > 0) {
                *left -= 1;
                to.on_message_dropped(message, from, Outcome::DroppedOldest);
                continue;
            }
            match message {
                GossipMessage::Advert(advert) => to.on_gossip_advert(advert, from),
                GossipMessage::ChunkRequest(request) => to.on_chunk_request(request, from),
                GossipMessage::Chunk(chunk) => to.on_gossip_chunk(chunk, from),
                GossipMessage::RetransmissionRequest(filter) => {
                    to.on_gossip_retransmission_request(filter, from);
                }
            }
        }
    }

    /// Runs until something is so. Panics if it is not within these seconds of virtual time.
    pub(super) fn run_until(&mut self, seconds: u64, done: impl Fn(&Self) -> bool) {
        let end = self.millis.load(Ordering::Relaxed) + seconds * 1_000;
        while !done(self) {
            let all: Vec<_> = self.replicas.iter().map(ReplicaGossip::snapshot).collect();
            assert!(self.millis.load(Ordering::Relaxed) < end, "not within {seconds} s: {all:#?}");
            self.step(1);
        }
    }

    pub(super) fn run_for(&mut self, seconds: u64) {
        let end = self.millis.load(Ordering::Relaxed) + seconds * 1_000;
        while self.millis.load(Ordering::Relaxed) < end {
            self.step(1);
        }
    }

    pub(super) fn holds(&self, at: usize, ids: &[ArtifactId]) -> bool {
        ids.iter().all(|id| self.replicas[at].store().contains(*id))
    }

    pub(super) fn run_until_all_hold(&mut self, ids: &[ArtifactId], seconds: u64) {
        self.run_until(seconds, |cluster| {
            (0..cluster.replicas.len()).all(|at| cluster.holds(at, ids))
        });
    }

    /// Panics if anything is left over, or if an artifact is not what its name says.
    pub(super) fn check_at_rest(&self) {
        for replica in &self.replicas {
            let snapshot = replica.snapshot();
            assert_eq!((snapshot.wanted, snapshot.active), (0, 0));
            assert!(replica.state().partials.is_empty());
            let partials = replica.store().folder().join("partial");
            assert_eq!(fs::read_dir(partials).unwrap().count(), 0);
            for artifact in replica.store().list_from(0, usize::MAX) {
                assert!(replica.store().verify(artifact.id).unwrap());
            }
        }
    }
}

pub(super) fn node(at: usize) -> NodeId {
    NodeId::new([at as u8; 32])
}
