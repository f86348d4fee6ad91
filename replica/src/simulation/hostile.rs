//! Replicas that do harm.
//!
//! All of them pass on each advert that they hear as if they held the artifact, at once, so that they are asked before
//! those that do.

use std::collections::BTreeMap;

use bytes::Bytes;
use gossip_engine::{
    ArtifactFilter, ArtifactId, GossipAdvert, GossipChunk, GossipChunkRequest, GossipMessage,
    IntegrityHash, NodeId, wire::MAX_CHUNK_DATA_BYTES,
};

use super::port::Port;
use crate::{
    gossip::{Claim, GossipOptions},
    outbox::Outbox as _,
};

/// How many adverts of what there is not a flooder sends to each peer with each tick.
const MADE_UP: u64 = 16;
/// How many chunks it asks for.
const REQUESTS: u32 = 8;
/// How many artifacts are passed on.
const MAX_HEARD: usize = 4_096;

/// How the id of what there is not ends. No SHA-256 does.
const MADE_UP_ID: [u8; 32] = [0xff; 32];

/// What it does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// Takes requests for chunks and never answers.
    Stalling,
    /// Answers by bytes of the right length that are wrong.
    Lying,
    /// As stalling, and sends with each tick adverts of what there is not, and requests for chunks.
    Flooding,
}

impl Kind {
    /// Each kind is a third.
    pub(super) fn nth(n: usize) -> Self {
        [Self::Stalling, Self::Lying, Self::Flooding][n % 3]
    }
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Hostile {
    kind: Kind,
    port: Port,
    peers: Vec<NodeId>,
    heard: BTreeMap<ArtifactId, GossipAdvert>,
    made_up: u64,
    wrong: Bytes,
}

impl Hostile {
    /// `wrong` is what one that lies delivers.
    pub(super) fn new(kind: Kind, port: Port, wrong: Bytes) -> Self {
        Self { kind, port, peers: Vec::new(), heard: BTreeMap::new(), made_up: 0, wrong }
    }

    /// As many bytes as a chunk has at the most, which are no content.
    pub(super) fn wrong_bytes() -> Bytes {
        Bytes::from(vec![0; MAX_CHUNK_DATA_BYTES])
    }

    pub(super) fn peer_up(&mut self, peer: NodeId) {
        self.peers.push(peer);
        for advert in self.heard.values() {
            self.send(peer, GossipMessage::Advert(advert.clone()));
        }
    }

    pub(super) fn peer_down(&mut self, peer: NodeId) {
        self.peers.retain(|known| *known != peer);
    }

    pub(super) fn receive(&mut self, message: GossipMessage, from: NodeId) {
        match message {
            GossipMessage::Advert(advert) => {
                let new = !self.heard.contains_key(&advert.artifact_id);
                if new && !is_made_up(advert.artifact_id) && self.heard.len() < MAX_HEARD {
                    self.heard.insert(advert.artifact_id, advert.clone());
                    for peer in &self.peers {
                        self.send(*peer, GossipMessage::Advert(advert.clone()));
                    }
                }
            }
            GossipMessage::ChunkRequest(request) if self.kind == Kind::Lying => {
                self.lie(&request, from);
            }
            GossipMessage::RetransmissionRequest(_) => {
                for advert in self.heard.values() {
                    self.send(from, GossipMessage::Advert(advert.clone()));
                }
            }
            GossipMessage::ChunkRequest(_) | GossipMessage::Chunk(_) => {}
        }
    }

    fn lie(&self, request: &GossipChunkRequest, from: NodeId) {
        let advert = self.heard.get(&request.artifact_id);
        let claim = advert.and_then(|advert| Claim::read(advert, &GossipOptions::default()).ok());
        let chunk = claim.and_then(|claim| claim.chunk(request.chunk_number));
        let Some((_, length)) = chunk else { return };
        let GossipChunkRequest { artifact_id, integrity_hash, chunk_number } = *request;
        let payload = Ok(self.wrong.slice(..length));
        let chunk = GossipChunk { artifact_id, integrity_hash, chunk_number, payload };
        self.send(from, GossipMessage::Chunk(chunk));
    }

    pub(super) fn tick(&mut self) {
        let Some(like) = self.heard.values().next().filter(|_| self.kind == Kind::Flooding) else {
            return;
        };
        let like = like.clone();
        let ask = GossipMessage::RetransmissionRequest(ArtifactFilter { height: 0 });
        for peer in self.peers.clone() {
            self.send(peer, ask.clone());
            for _ in 0..MADE_UP {
                self.made_up += 1;
                let id = made_up(self.port.node, self.made_up);
                let (artifact_id, integrity_hash) = (ArtifactId::new(id), IntegrityHash::new(id));
                let advert = GossipAdvert { artifact_id, integrity_hash, ..like.clone() };
                self.send(peer, GossipMessage::Advert(advert));
            }
            let (artifact_id, integrity_hash) = (like.artifact_id, like.integrity_hash);
            for chunk_number in 0..REQUESTS {
                let request = GossipChunkRequest { artifact_id, integrity_hash, chunk_number };
                self.send(peer, GossipMessage::ChunkRequest(request));
            }
        }
    }

    /// What its own queues do not take is not sent.
    fn send(&self, peer: NodeId, message: GossipMessage) {
        let _ = self.port.send(peer, message);
    }
}

/// The id of what there is not.
fn made_up(node: u32, number: u64) -> [u8; 32] {
    let mut id = MADE_UP_ID;
    id[..8].copy_from_slice(&number.to_be_bytes());
    id[8..12].copy_from_slice(&node.to_be_bytes());
    id
}

/// Hostile replicas know what others of them have made up. It is not passed on, or it would grow with each of them.
fn is_made_up(id: ArtifactId) -> bool {
    id.as_bytes()[12..] == MADE_UP_ID[12..]
}
