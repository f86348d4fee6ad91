//! A transport's side: some peers that connect, send messages of all flows, flood, talk nonsense and go.
//!
//! A peer belongs to one producer, so that its events are submitted in their order. A producer does not
//! wait for a message before it submits the next, but has a bounded number of calls pending; for a peer's
//! coming and going it waits, and offers it again if it was refused, as a transport must.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use bytes::Bytes;
use gossip_engine::{
    ArtifactFilter, ArtifactId, AsyncTransportEventHandlerImpl, FlowType, GossipAdvert,
    GossipChunk, GossipChunkRequest, GossipMessage, IntegrityHash, NodeId, TransportEvent,
    TransportMessage, wire,
};
use tower::Service;

use super::{
    calls::Calls,
    record::{Record, Tag, peer_id},
    replica::Replica,
};
use crate::harness::changes::Dice;

/// How many calls a producer has pending at the most.
const PENDING: usize = 64;
/// How many messages a flood has.
const FLOOD: u64 = 2_000;
/// The largest chunk, so that the calls that are pending hold no more than a few megabytes.
const CHUNK_BYTES: u64 = 16 << 10;

struct Peer {
    id: NodeId,
    /// How many connections it had before.
    connection: u64,
    connected: bool,
}

pub(crate) struct Producer {
    handler: AsyncTransportEventHandlerImpl<Replica>,
    record: Arc<Record>,
    calls: Calls,
    dice: Dice,
    peers: Vec<Peer>,
}

impl Producer {
    pub(crate) fn new(
        handler: &AsyncTransportEventHandlerImpl<Replica>,
        record: &Arc<Record>,
        peers: impl Iterator<Item = usize>,
        seed: u64,
    ) -> Self {
        let peer = |number| Peer { id: peer_id(number), connection: 0, connected: false };
        Self {
            handler: handler.clone(),
            record: Arc::clone(record),
            calls: Calls::new(Arc::clone(record)),
            dice: Dice::new(seed),
            peers: peers.map(peer).collect(),
        }
    }

    /// Brings events until it is stopped, and returns when all its calls have resolved.
    pub(crate) fn run(mut self, stop: &AtomicBool) {
        // Relaxed: it says nothing about any other memory.
        while !stop.load(Ordering::Relaxed) {
            let peer = self.dice.roll(self.peers.len() as u64) as usize;
            if !self.peers[peer].connected {
                self.connect(peer);
                continue;
            }
            match self.dice.roll(10_000) {
                0..=4 => self.disconnect(peer),
                5 => self.flood(peer),
                6..=15 => self.send(peer, |_, _| Bytes::from_static(b"nonsense")),
                // So that flows idle from time to time.
                16..=20 => thread::sleep(Duration::from_millis(self.dice.roll(5))),
                _ => {
                    let flow = self.flow();
                    self.send(peer, |tag, dice| encode(flow, tag, dice));
                }
            }
        }
        self.calls.settle(0, &mut self.dice);
    }

    /// Mostly adverts, as in a real replica.
    fn flow(&mut self) -> FlowType {
        match self.dice.roll(100) {
            0..=59 => FlowType::Advert,
            60..=74 => FlowType::Request,
            75..=89 => FlowType::Chunk,
            _ => FlowType::Retransmission,
        }
    }

    fn flood(&mut self, peer: usize) {
        self.record.floods.add();
        let flow = self.flow();
        for _ in 0..FLOOD {
            self.send(peer, |tag, dice| encode(flow, tag, dice));
        }
    }

    fn send(&mut self, peer: usize, payload: impl FnOnce(Tag, &mut Dice) -> Bytes) {
        let Peer { id: peer_id, connection, .. } = self.peers[peer];
        let payload = payload(self.record.tag(connection), &mut self.dice);
        let event = TransportEvent::Message(TransportMessage { peer_id, payload });
        self.calls.push(self.handler.call(event), &mut self.dice);
        self.calls.settle(PENDING, &mut self.dice);
    }

    fn connect(&mut self, peer: usize) {
        // One that was dropped may have been admitted or not; the replica hears of the peer once more.
        self.tell(TransportEvent::PeerUp(self.peers[peer].id), true);
        self.peers[peer].connected = true;
    }

    fn disconnect(&mut self, peer: usize) {
        let id = self.peers[peer].id;
        self.record.part(id);
        self.tell(TransportEvent::PeerDown(id), false);
        self.peers[peer].connected = false;
        self.peers[peer].connection += 1;
        self.record.reconnects.add();
    }

    /// Offers it until it has been admitted.
    fn tell(&mut self, event: TransportEvent, may_drop: bool) {
        loop {
            let call = self.handler.call(event.clone());
            if let Some(Ok(_)) = self.calls.wait(call, may_drop, &mut self.dice) {
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

fn encode(flow: FlowType, tag: Tag, dice: &mut Dice) -> Bytes {
    let mut id = [0; 32];
    id[..8].copy_from_slice(&tag.pack().to_le_bytes());
    let artifact_id = ArtifactId::new(id);
    let integrity_hash = IntegrityHash::new([2; 32]);
    let chunk_number = 0;
    wire::encode(&match flow {
        FlowType::Advert => GossipMessage::Advert(GossipAdvert {
            artifact_id,
            size: tag.sequence,
            integrity_hash,
            attributes: Bytes::from_static(&[3; 64]),
        }),
        FlowType::Request => GossipMessage::ChunkRequest(GossipChunkRequest {
            artifact_id,
            integrity_hash,
            chunk_number,
        }),
        FlowType::Chunk => {
            let payload = Ok(vec![4; dice.roll(CHUNK_BYTES) as usize].into());
            GossipMessage::Chunk(GossipChunk { artifact_id, integrity_hash, chunk_number, payload })
        }
        FlowType::Retransmission => {
            GossipMessage::RetransmissionRequest(ArtifactFilter { height: tag.pack() })
        }
        FlowType::Transport => unreachable!("it carries no payloads"),
    })
}
