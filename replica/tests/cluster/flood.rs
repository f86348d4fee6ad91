//! A peer that keeps to the protocol and sends as fast as it can, in all flows and to everybody.

use std::{
    future::{Ready, ready},
    sync::Arc,
    task::{Context, Poll},
    thread,
    time::Duration,
};

use bytes::Bytes;
use gossip_engine::{
    ArtifactFilter, ArtifactId, EventError, FlowType, GossipChunk, GossipChunkRequest,
    GossipMessage, IntegrityHash, TransportEvent,
};
use gossip_replica::{
    outbox::{Outbox, SendError},
    replica::Replica,
    transport::{Peer, Transport, TransportCounters, TransportOptions, frame::STREAM_FLOWS},
};
use tokio::{runtime, sync::oneshot};
use tower_service::Service;

use crate::{
    content::{content, id_of},
    hostile::{CHUNK_BYTES, advert},
    site::{LOOPBACK, ids, options, others, sites, standing, until, until_all_hold},
};

const FILES: u64 = 20;
/// What everybody holds before the flood begins, and the flooder asks for.
const OLD_FILE: u64 = FILES + 1;
const ASKED_CHUNKS: u32 = 2;
/// How many messages of a flow are sent in turn.
const BURST: usize = 32;
/// How long the flooder waits when all its queues are full, so that it leaves something of the processor.
const WHEN_FULL: Duration = Duration::from_millis(1);
/// How many frames of each flow have to get through before the others begin.
const FLOOD: u64 = 100;

/// Takes everything, and does nothing with it.
#[derive(Clone)]
struct Deaf;

impl Service<TransportEvent> for Deaf {
    type Response = ();
    type Error = EventError;
    type Future = Ready<Result<(), EventError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), EventError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: TransportEvent) -> Self::Future {
        ready(Ok(()))
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

async fn flood(outbox: Arc<dyn Outbox>, victims: Vec<Peer>) {
    let asked = id_of(&content(OLD_FILE));
    let mut number = 0;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_never_stops_does_not_stop_the_others() {
    let (sites, bound) = sites::<4>(options()).await;
    let mut bound = bound.into_iter();
    // Its own replica never starts: its identity is used by other means.
    drop(bound.next());
    let honest: Vec<Replica> = bound
        .enumerate()
        .map(|(index, bound)| bound.start(others(&sites, index + 1)).unwrap())
        .collect();
    let all: Vec<&Replica> = honest.iter().collect();
    sites[1].publish(all[0], OLD_FILE..OLD_FILE + 1).await;
    until_all_hold(&all, &ids(OLD_FILE..OLD_FILE + 1)).await;

    // A thread of its own, so that it does not wait for the honest.
    let (identity, victims) = (sites[0].identity.clone(), others(&sites, 0));
    let (stop, stopped) = oneshot::channel::<()>();
    let flooder = thread::spawn(move || {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let options = TransportOptions::default();
            let transport = Transport::bind(&identity, LOOPBACK, options).unwrap();
            transport.start(victims.clone(), Deaf).unwrap();
            tokio::select! {
                _ = stopped => {}
                () = flood(transport.outbox(), victims) => {}
            }
        });
    });
    // Nearly all of it is the flooder's: the honest have moved one small file.
    let flooded = |replica: &Replica, more: u64| {
        let counters = replica.transport_counters();
        STREAM_FLOWS.iter().all(|flow| counters.flow(*flow).frames_in >= more)
    };
    until(
        "the flood has reached all",
        || standing(&all),
        || all.iter().all(|replica| flooded(replica, FLOOD)),
    )
    .await;

    let before: Vec<_> = all.iter().map(|replica| replica.transport_counters()).collect();
    sites[1].publish(all[0], 0..FILES / 2).await;
    sites[2].publish(all[1], FILES / 2..FILES).await;
    let everything = ids(0..FILES).union(&ids(OLD_FILE..OLD_FILE + 1)).copied().collect();
    until_all_hold(&all, &everything).await;
    let honest_requests: u64 =
        all.iter().map(|replica| replica.gossip().snapshot().fetched.retransmissions_asked).sum();
    for (replica, before) in all.iter().zip(before) {
        let requests =
            |counters: &TransportCounters| counters.flow(FlowType::Retransmission).frames_in;
        let counters = replica.transport_counters();
        assert!(requests(&counters) - requests(&before) > honest_requests, "the flood had ended");
        assert_eq!(counters.cut_offs, 0, "nothing of it breaks the protocol");
        assert_eq!(replica.gossip().snapshot().peers, 3);
    }
    stop.send(()).unwrap();
    flooder.join().unwrap();
    for replica in honest {
        assert!(replica.shutdown(Duration::from_secs(60)).await.is_clean());
    }
}
