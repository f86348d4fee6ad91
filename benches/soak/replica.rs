//! The replica: handlers that work for a while, or sleep, or panic, and report to the record.

use std::{
    panic::{panic_any, resume_unwind, set_hook, take_hook},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use gossip_engine::{
    ArtifactDestination, ArtifactFilter, ArtifactId, FlowType, Gossip, GossipAdvert, GossipChunk,
    GossipChunkRequest, NodeId,
};

use super::record::{Record, Tag};
use crate::harness::clock::{spin_until, split_mix};

/// One handler in so many panics.
const PANICS: u64 = 100;
/// One in so many sleeps for a millisecond, one in so many works for up to 20 µs.
const SLEEPS: u64 = 2_000;
const WORKS: u64 = 4;

/// What handlers panic with.
pub(crate) struct Deliberate;

/// Panics that handlers were told to are silent; all others are not.
pub(crate) fn silence_deliberate_panics() {
    let before = take_hook();
    set_hook(Box::new(move |info| {
        if !info.payload().is::<Deliberate>() {
            before(info);
        }
    }));
}

#[derive(Debug)]
pub(crate) struct Replica(Arc<Record>);

impl Replica {
    pub(crate) fn new(record: &Arc<Record>) -> Arc<Self> {
        Arc::new(Self(Arc::clone(record)))
    }

    fn run(&self, flow: FlowType, peer: NodeId, packed: u64) {
        let tag = Tag::unpack(packed);
        self.0.runs[flow as usize].add();
        self.0.start(peer, tag);
        self.behave(flow, tag.sequence);
    }

    fn behave(&self, flow: FlowType, mut seed: u64) {
        let dice = split_mix(&mut seed);
        if dice.is_multiple_of(SLEEPS) {
            thread::sleep(Duration::from_millis(1));
        } else if dice.is_multiple_of(WORKS) {
            spin_until(Instant::now(), Duration::from_micros(dice / WORKS % 20));
        }
        if (dice >> 32).is_multiple_of(PANICS) {
            self.0.panics[flow as usize].add();
            // One way passes the panic hook, the other does not.
            if dice >> 63 == 0 {
                resume_unwind(Box::new(Deliberate))
            } else {
                panic_any(Deliberate)
            }
        }
    }

    /// A random number for what has no number of its own.
    fn seed(&self) -> u64 {
        self.0.calls.get()
    }
}

pub(crate) fn number_in(artifact: &ArtifactId) -> u64 {
    let (number, _) = artifact.as_bytes().split_first_chunk().expect("an id has 32 bytes");
    u64::from_le_bytes(*number)
}

impl Gossip for Replica {
    type GossipAdvert = GossipAdvert;
    type GossipChunkRequest = GossipChunkRequest;
    type GossipChunk = GossipChunk;
    type GossipRetransmissionRequest = ArtifactFilter;

    fn on_gossip_advert(&self, advert: GossipAdvert, peer: NodeId) {
        self.run(FlowType::Advert, peer, number_in(&advert.artifact_id));
    }

    fn on_chunk_request(&self, request: GossipChunkRequest, peer: NodeId) {
        self.run(FlowType::Request, peer, number_in(&request.artifact_id));
    }

    fn on_gossip_chunk(&self, chunk: GossipChunk, peer: NodeId) {
        self.run(FlowType::Chunk, peer, number_in(&chunk.artifact_id));
    }

    fn on_gossip_retransmission_request(&self, request: ArtifactFilter, peer: NodeId) {
        self.run(FlowType::Retransmission, peer, request.height);
    }

    fn on_peer_up(&self, peer: NodeId) {
        self.0.runs[FlowType::Transport as usize].add();
        self.0.greeted(peer);
        self.behave(FlowType::Transport, self.seed());
    }

    fn on_peer_down(&self, peer: NodeId) {
        self.0.runs[FlowType::Transport as usize].add();
        self.0.ended(peer);
        self.behave(FlowType::Transport, self.seed());
    }

    fn on_messages_dropped(&self, _: FlowType, _: NodeId, count: u64) {
        self.0.runs[FlowType::Transport as usize].add();
        self.0.told_losses.add_all(count);
    }

    fn on_gossip_timer(&self) {
        if self.seed().is_multiple_of(PANICS) {
            panic_any(Deliberate);
        }
    }

    fn broadcast_advert(&self, advert: GossipAdvert, _: ArtifactDestination) {
        self.0.broadcast(advert.size);
        if advert.size.is_multiple_of(PANICS) {
            panic_any(Deliberate);
        }
    }
}
