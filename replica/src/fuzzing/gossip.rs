//! The protocol among peers of whom nothing is to be expected, and one honest one at the end.
//!
//! An input is a sequence of events, each a byte for its kind and some for what it is about. Messages may
//! come from peers that are not connected, before their arrival and after their departure, as the engine
//! allows. After each event everything has to fit together. In the end all peers leave, the disk works
//! again and an honest peer comes, who has to be enough: everything arrives, and nothing is left over.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use bytes::Bytes;
use gossip_engine::{
    ArtifactFilter, ArtifactId, ChunkError, Gossip as _, GossipChunk, GossipChunkRequest,
    IntegrityHash, NodeId,
};

use super::{
    input::Input,
    world::{MAX_ANSWER_BYTES, World, options},
};
use crate::{
    gossip::{GossipOptions, GossipSnapshot, advert_of},
    store::Artifact,
};

mod disk;
mod rest;

/// The most events of an input.
const MAX_EVENTS: usize = 400;
const PEERS: usize = 4;
/// How many artifacts are advertised that nobody has.
const MADE_UP: usize = 3;
const STEPS: [u64; 8] = [0, 100, 200, 1_000, 5_000, 15_000, 60_000, 600_000];
/// What the disk may have free: for nothing, for some, for all.
const FREE: [u64; 8] = [0, 1, 1_023, 1_024, 2_500, 5_000, 8_500, u64::MAX];

/// Runs the events of an input. Returns where the replica stood before the honest peer came.
///
/// # Panics
///
/// If anything is not as it has to be.
pub fn gossip_with_anybody(bytes: &[u8]) -> GossipSnapshot {
    let mut input = Input::new(bytes);
    let mut game = Game { world: World::new(), claims: BTreeMap::new(), disturbed: false };
    for _ in 0..MAX_EVENTS {
        if input.is_empty() {
            break;
        }
        game.event(&mut input);
        game.world.check();
    }
    let snapshot = game.world.gossip.snapshot();
    game.end();
    snapshot
}

struct Game {
    world: World,
    /// What each peer has claimed last: size and chunk size.
    claims: BTreeMap<(NodeId, ArtifactId), (u64, u32)>,
    /// Whether the disk has ever been out of order.
    disturbed: bool,
}

impl Game {
    fn event(&mut self, input: &mut Input<'_>) {
        let kind = input.below(20);
        let peer = NodeId::new([1 + input.below(PEERS) as u8; 32]);
        let gossip = &self.world.gossip;
        match kind {
            0 => {
                self.world.network().connected.insert(peer);
                gossip.on_peer_up(peer);
            }
            1 => {
                self.world.network().connected.remove(&peer);
                // Its departure may be known only later.
                if input.byte() < 200 {
                    gossip.on_peer_down(peer);
                }
            }
            2 | 3 => self.advertise(peer, input),
            4 | 5 => self.answer(peer, input),
            6 => {
                let (id, chunk_number) = (self.artifact(input), u32::from(input.byte() % 8));
                let payload = Ok(vec![input.byte(); 8 * usize::from(input.byte())].into());
                gossip.on_gossip_chunk(chunk(id, chunk_number, payload), peer);
            }
            7 => {
                let (artifact_id, chunk_number) = (self.artifact(input), u32::from(input.byte()));
                let integrity_hash = IntegrityHash::new(*self.artifact(input).as_bytes());
                let request = GossipChunkRequest { artifact_id, integrity_hash, chunk_number };
                gossip.on_chunk_request(request, peer);
            }
            8 => {
                let height = if input.byte() < 200 { input.byte().into() } else { input.number() };
                gossip.on_gossip_retransmission_request(ArtifactFilter { height }, peer);
            }
            9 | 10 => {
                self.world.pass(Duration::from_millis(STEPS[input.below(STEPS.len())]));
                gossip.on_gossip_timer();
            }
            11 => self.world.publish(self.real(input)),
            12 => {
                let mut network = self.world.network();
                if !network.full.remove(&peer) {
                    network.full.insert(peer);
                }
                network.capacity = input.below(4);
            }
            13 => {
                for _ in 0..input.below(8) {
                    let next = self.world.network().announced.pop_front();
                    let Some((advert, destination)) = next else { break };
                    gossip.broadcast_advert(advert, destination);
                }
            }
            14 => self.damage(input),
            15 => self.disturb(),
            16 => self.world.set_free(FREE[input.below(FREE.len())]),
            17 => self.spoil(input),
            18 => self.lose(input),
            _ => self.answer_late(peer, input),
        }
    }

    /// One of those that there are.
    fn real(&self, input: &mut Input<'_>) -> ArtifactId {
        let at = input.below(self.world.catalogue.len());
        *self.world.catalogue.keys().nth(at).expect("chosen among them")
    }

    /// One of those that there are, or one that somebody has made up.
    fn artifact(&self, input: &mut Input<'_>) -> ArtifactId {
        let count = self.world.catalogue.len();
        let at = input.below(count + MADE_UP);
        match self.world.catalogue.keys().nth(at) {
            Some(id) => *id,
            None => ArtifactId::new([at as u8; 32]),
        }
    }

    fn advertise(&mut self, peer: NodeId, input: &mut Input<'_>) {
        let id = self.artifact(input);
        let size = self.world.catalogue.get(&id).map_or(3000, Vec::len) as u64;
        let mut advert = advert_of(Artifact { id, size, height: 1 }, None, &options());
        let mut chunk_bytes = options().chunk_bytes;
        match input.below(12) {
            0 => advert.size += 1,
            1 => advert.size = input.byte().into(),
            2 => advert.size = input.number(),
            3 => advert.integrity_hash = IntegrityHash::new([input.byte(); 32]),
            4 => {
                let length = input.below(16);
                advert.attributes = Bytes::copy_from_slice(input.bytes(length));
            }
            form @ (5 | 6) => {
                chunk_bytes = if form == 5 { 2048 } else { input.number() as u32 };
                let cut = GossipOptions { chunk_bytes, ..options() };
                advert = advert_of(Artifact { id, size, height: 1 }, None, &cut);
            }
            _ => {}
        }
        self.claims.insert((peer, id), (advert.size, chunk_bytes));
        self.world.gossip.on_gossip_advert(advert, peer);
    }

    /// A peer answers a request, rightly or not.
    fn answer(&mut self, peer: NodeId, input: &mut Input<'_>) {
        let (which, form) = (input.byte(), input.below(10));
        let request = {
            let mut network = self.world.network();
            let Some(requests) = network.requests.get_mut(&peer) else { return };
            let Some(at) = usize::from(which).checked_rem(requests.len()) else { return };
            // Some answers come twice.
            if form == 0 { Some(requests[at].clone()) } else { requests.remove(at) }
        };
        let Some(request) = request else { return };
        let mut bytes = self.content(peer, &request);
        let payload = match form {
            1 => Err(ChunkError::NotFound),
            2 => Err(ChunkError::Unavailable),
            3 => {
                bytes.push(0);
                Ok(bytes)
            }
            4 => Ok(Vec::new()),
            5 => Ok(bytes.iter().map(|byte| !byte).collect()),
            _ => Ok(bytes),
        };
        let number = request.chunk_number;
        let chunk = chunk(request.artifact_id, number, payload.map(Bytes::from));
        self.world.gossip.on_gossip_chunk(chunk, peer);
    }

    /// A peer answers what it was asked first, after some time: rightly, damaged, twice.
    fn answer_late(&mut self, peer: NodeId, input: &mut Input<'_>) {
        self.world.pass(Duration::from_millis(STEPS[input.below(STEPS.len())]));
        let form = input.below(10);
        if form < 5 {
            self.world.gossip.on_gossip_timer();
        }
        let asked = self.world.network().requests.get_mut(&peer).and_then(VecDeque::pop_back);
        let Some(request) = asked else { return };
        let right = self.content(peer, &request);
        let mut damaged = right.clone();
        if let Some(byte) = damaged.get_mut(usize::from(input.byte()) * 4) {
            *byte ^= 0x10;
        }
        let answers = match form % 5 {
            0 => vec![right],
            1 => vec![right.clone(), right],
            2 => vec![damaged],
            3 => vec![damaged, right],
            _ => vec![right, damaged],
        };
        for answer in answers {
            let payload = Ok(Bytes::from(answer));
            let chunk = chunk(request.artifact_id, request.chunk_number, payload);
            self.world.gossip.on_gossip_chunk(chunk, peer);
            self.world.check();
        }
    }

    /// What belongs into a chunk by the peer's own account: zeros where there is nothing.
    fn content(&self, peer: NodeId, request: &GossipChunkRequest) -> Vec<u8> {
        let id = request.artifact_id;
        let Some((size, chunk_bytes)) = self.claims.get(&(peer, id)).copied() else {
            return Vec::new();
        };
        let begin = u64::from(request.chunk_number) * u64::from(chunk_bytes);
        let end = size.min(begin + u64::from(chunk_bytes)).min(begin + MAX_ANSWER_BYTES - 1);
        let content = self.world.catalogue.get(&id);
        let byte = |at: u64| content.and_then(|content| content.get(at as usize)).copied();
        (begin..end).map(|at| byte(at).unwrap_or(0)).collect()
    }
}

fn chunk(id: ArtifactId, chunk_number: u32, payload: Result<Bytes, ChunkError>) -> GossipChunk {
    let integrity_hash = IntegrityHash::new(*id.as_bytes());
    GossipChunk { artifact_id: id, integrity_hash, chunk_number, payload }
}
