//! The replica of a simulation, and its messages: they say themselves what their handlers do.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    driver::{self, Driver},
    oracle::Id,
};
use crate::{
    ArtifactDestination, Codec, FlowType, Gossip, GossipMessage, MessageOf, NodeId, Outcome, Slot,
    queue_delay,
};

/// What a handler does with a message. It panics without the panic hook, which is the fuzzer's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Conduct {
    Returns,
    Panics,
    /// Other things happen meanwhile.
    IsSlow,
    /// Other things happen, and then it panics.
    IsSlowAndPanics,
    /// The message panics when it is dropped.
    DropPanics,
    /// Its slot is held beyond the call.
    Holds,
}

impl Conduct {
    pub(super) fn of(byte: u8) -> Self {
        match byte % 16 {
            0..8 => Self::Returns,
            8 => Self::Panics,
            9..13 => Self::IsSlow,
            13 => Self::IsSlowAndPanics,
            14 => Self::DropPanics,
            _ => Self::Holds,
        }
    }
}

/// A message of the simulation.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) id: Id,
    pub(super) conduct: Conduct,
}

impl Drop for Message {
    fn drop(&mut self) {
        driver::with(|driver| driver.oracle().drops(self.id));
        // A panic while another unwinds would end the process, no matter whose it is.
        if self.conduct == Conduct::DropPanics && !std::thread::panicking() {
            std::panic::resume_unwind(Box::new("a message panics when it is dropped"));
        }
    }
}

/// Reads a message: six bytes, the flow, the conduct and the number.
#[derive(Debug)]
pub(super) struct SimulationCodec;

/// Bytes that are no message, or one of a later version.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub(super) enum NoMessage {
    #[error("malformed")]
    Malformed,
    #[error("unknown")]
    Unknown,
}

pub(super) const MALFORMED: &[u8] = b"?";
pub(super) const UNKNOWN: &[u8] = b"later";

pub(super) fn encode(flow: FlowType, id: Id, conduct: u8) -> Bytes {
    let mut payload = vec![flow as u8, conduct];
    payload.extend(id.to_be_bytes());
    payload.into()
}

impl Codec<Replica> for SimulationCodec {
    type Error = NoMessage;

    fn decode(&self, payload: Bytes) -> Result<MessageOf<Replica>, NoMessage> {
        if payload == UNKNOWN {
            return Err(NoMessage::Unknown);
        }
        let (flow, rest) = payload.split_first().ok_or(NoMessage::Malformed)?;
        let (conduct, rest) = rest.split_first().ok_or(NoMessage::Malformed)?;
        let id = Id::from_be_bytes(rest.try_into().map_err(|_| NoMessage::Malformed)?);
        let message = Message { id, conduct: Conduct::of(*conduct) };
        match *flow {
            0 => Ok(GossipMessage::Advert(message)),
            1 => Ok(GossipMessage::ChunkRequest(message)),
            2 => Ok(GossipMessage::Chunk(message)),
            _ => Ok(GossipMessage::RetransmissionRequest(message)),
        }
    }

    fn is_unknown(error: &NoMessage) -> bool {
        *error == NoMessage::Unknown
    }
}

/// The replica: it does what its messages say, and has the oracle look.
#[derive(Debug)]
pub(super) struct Replica;

fn panics_if(panics: bool) {
    if panics {
        std::panic::resume_unwind(Box::new("a callback panics"));
    }
}

impl Replica {
    fn run(&self, flow: FlowType, message: Message, peer: NodeId) {
        driver::with(|driver| {
            let in_order = driver.keeps_order(flow);
            let waited = queue_delay().is_some();
            driver.oracle().check(waited, || "a handler does not know how long it waited".into());
            driver.oracle().starts(message.id, flow, peer, in_order);
            let conduct = message.conduct;
            if matches!(conduct, Conduct::IsSlow | Conduct::IsSlowAndPanics) {
                driver.meanwhile();
            }
            if conduct == Conduct::Holds {
                let slot = Slot::take();
                driver.oracle().check(slot.is_some(), || "a handler has no slot".into());
                driver.oracle().holds(message.id, in_order);
                driver.slots.borrow_mut().extend(slot.map(|slot| (message.id, slot)));
                return;
            }
            let panics = !matches!(conduct, Conduct::Returns | Conduct::IsSlow);
            driver.oracle().ends(message.id, panics, in_order);
            panics_if(matches!(conduct, Conduct::Panics | Conduct::IsSlowAndPanics));
            drop(message);
        });
    }

    /// Something that the replica is notified of: the oracle looks first, and then other things happen.
    fn notified(&self, of: impl FnOnce(&Driver)) {
        driver::with(|driver| {
            of(driver);
            driver.meanwhile();
        });
    }

    /// A peer comes or goes: other things happen meanwhile, and sometimes the callback panics.
    fn peer_changes(&self, peer: NodeId, up: bool) {
        driver::with(|driver| {
            driver.oracle().callback_begins(peer, up);
            driver.meanwhile();
            let panics = driver.callback_panics();
            driver.oracle().callback_ends(peer, panics);
            panics_if(panics);
        });
    }
}

impl Gossip for Replica {
    type GossipAdvert = Message;
    type GossipChunkRequest = Message;
    type GossipChunk = Message;
    type GossipRetransmissionRequest = Message;

    fn on_gossip_advert(&self, advert: Message, peer: NodeId) {
        self.run(FlowType::Advert, advert, peer);
    }

    fn on_chunk_request(&self, request: Message, peer: NodeId) {
        self.run(FlowType::Request, request, peer);
    }

    fn on_gossip_chunk(&self, chunk: Message, peer: NodeId) {
        self.run(FlowType::Chunk, chunk, peer);
    }

    fn on_gossip_retransmission_request(&self, request: Message, peer: NodeId) {
        self.run(FlowType::Retransmission, request, peer);
    }

    fn on_peer_up(&self, peer: NodeId) {
        self.peer_changes(peer, true);
    }

    fn on_peer_down(&self, peer: NodeId) {
        self.peer_changes(peer, false);
    }

    fn on_messages_dropped(&self, flow: FlowType, peer: NodeId, count: u64) {
        self.notified(|driver| driver.oracle().notified_of_drops(flow, peer, count));
    }

    fn on_message_dropped(&self, message: MessageOf<Self>, peer: NodeId, outcome: Outcome) {
        let flow = message.flow();
        let (GossipMessage::Advert(message)
        | GossipMessage::ChunkRequest(message)
        | GossipMessage::Chunk(message)
        | GossipMessage::RetransmissionRequest(message)) = message;
        driver::with(|driver| {
            driver.oracle().gets_dropped(message.id, flow, peer, outcome);
            // Sometimes it panics with the message in its hands.
            panics_if(driver.callback_panics());
        });
    }

    fn on_panic(&self, flow: FlowType, peer: NodeId) {
        self.notified(|driver| driver.oracle().notified_of_panic(flow, peer));
        // A panic of the hook itself harms nobody.
        driver::with(|driver| panics_if(driver.callback_panics()));
    }

    fn on_flow_failed(&self, flow: FlowType, _: NodeId) {
        self.notified(|driver| driver.failed(flow));
    }

    /// Some things happen meanwhile, and sometimes the callback panics.
    fn advert_supersedes(&self, newer: &Message, older: &Message) -> bool {
        driver::with(|driver| {
            let supersedes = newer.id % 3 == older.id % 3;
            let panics = driver.callback_panics();
            driver.oracle().compares(newer.id, older.id, supersedes && !panics);
            panics_if(panics);
            driver.meanwhile();
            supersedes
        })
    }

    fn on_gossip_timer(&self) {}

    fn broadcast_advert(&self, advert: Message, _: ArtifactDestination) {
        driver::with(|driver| {
            driver.oracle().broadcasts(advert.id);
            if advert.conduct != Conduct::Returns {
                driver.meanwhile();
            }
            drop(advert);
        });
    }
}

/// The replica, as a handler wants it.
pub(super) fn replica() -> Arc<Replica> {
    Arc::new(Replica)
}
