//! One that keeps to the protocol and sends as fast as its transport takes it, in all flows and to everybody.

use std::{
    future::{Ready, pending, ready},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use gossip_engine::{
    ArtifactFilter, ArtifactId, EventError, FlowType, GossipChunk, GossipChunkRequest,
    GossipMessage, IntegrityHash, NodeId, RefusalReason, Submitted, TransportEvent,
};
use gossip_replica::{
    identity::Identity,
    outbox::{Outbox, SendError},
    replica::Replica,
    transport::{Handler, Peer, Transport, TransportOptions, frame::STREAM_FLOWS},
};
use tokio::{runtime, sync::oneshot};
use tower_service::Service;

use crate::{
    advert::{CHUNK_BYTES, advert},
    site::LOOPBACK,
};

/// How many chunks what it asks for has.
pub(crate) const ASKED_CHUNKS: u32 = 2;
/// How many messages of a flow are sent in turn.
const BURST: usize = 32;
/// How many frames of each flow have to get through before it counts as a flood.
const FLOOD: u64 = 100;
/// How long the flooder waits when all its queues are full, so that it leaves something of the processor.
const WHEN_FULL: Duration = Duration::from_millis(1);

/// Takes everything, and does nothing with it.
#[derive(Clone)]
struct Deaf;

impl Service<TransportEvent> for Deaf {
    type Response = Submitted;
    type Error = EventError;
    type Future = Ready<Result<Submitted, EventError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), EventError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: TransportEvent) -> Self::Future {
        ready(Ok(Submitted::Admitted))
    }
}

impl Handler for Deaf {
    type Connection = ();

    async fn connect(&mut self, _: NodeId) -> Result<(), RefusalReason> {
        Ok(())
    }
}

/// One that any peer could send; `asked` is held by whom it is sent to.
fn message(flow: FlowType, number: u64, asked: ArtifactId) -> GossipMessage {
    let mut made_up = [0x77; 32];
    made_up[..8].copy_from_slice(&number.to_be_bytes());
    let hash = |id: ArtifactId| IntegrityHash::new(*id.as_bytes());
    match flow {
        FlowType::Advert => advert(ArtifactId::new(made_up), 1 + number % 100_000),
        FlowType::Request => GossipMessage::ChunkRequest(GossipChunkRequest {
            artifact_id: asked,
            integrity_hash: hash(asked),
            chunk_number: number as u32 % ASKED_CHUNKS,
        }),
        FlowType::Chunk => GossipMessage::Chunk(GossipChunk {
            artifact_id: asked,
            integrity_hash: hash(asked),
            chunk_number: number as u32 % ASKED_CHUNKS,
            payload: Ok(Bytes::from(vec![number as u8; CHUNK_BYTES as usize])),
        }),
        FlowType::Retransmission => {
            GossipMessage::RetransmissionRequest(ArtifactFilter { height: number % 2 })
        }
        FlowType::Transport => panic!("the Transport flow has no messages"),
    }
}

async fn flood(outbox: Arc<dyn Outbox>, victims: Vec<Peer>, asked: ArtifactId) {
    let mut number = 0;
    // Until it is dropped.
    loop {
        let mut sent = false;
        for victim in &victims {
            for flow in STREAM_FLOWS {
                for _ in 0..BURST {
                    number += 1;
                    match outbox.send(victim.node_id, message(flow, number, asked)) {
                        Ok(()) => sent = true,
                        Err(SendError::TooLarge { .. }) => panic!("no peer would take it"),
                        Err(_) => break,
                    }
                }
                tokio::task::yield_now().await;
            }
        }
        if !sent {
            tokio::time::sleep(WHEN_FULL).await;
        }
    }
}

/// Connects with the victims, and floods them until it is stopped; `asked` is held by all of them and
/// has [`ASKED_CHUNKS`] chunks. Without it nothing is sent at all. To be called on a thread of its own, so
/// that it does not wait for the honest.
pub(crate) fn run(
    identity: &Identity,
    victims: Vec<Peer>,
    asked: Option<ArtifactId>,
    stopped: oneshot::Receiver<()>,
) {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let transport = Transport::bind(identity, LOOPBACK, TransportOptions::default()).unwrap();
        transport.start(victims.clone(), Deaf).unwrap();
        let sending = async {
            match asked {
                Some(asked) => flood(transport.outbox(), victims, asked).await,
                None => pending().await,
            }
        };
        tokio::select! {
            _ = stopped => {}
            () = sending => {}
        }
    });
}

/// Whether so much of the flood has got through to a replica, in each flow, that it is one: the honest have
/// moved one small file.
pub(crate) fn has_reached(replica: &Replica) -> bool {
    let counters = replica.transport_counters();
    STREAM_FLOWS.iter().all(|flow| counters.flow(*flow).frames_in >= FLOOD)
}
