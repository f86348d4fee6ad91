//! The processor time of an engine to which nothing comes.

use std::{
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use bytes::Bytes;
use gossip_engine::{
    ArtifactDestination, ArtifactFilter, ArtifactId, AsyncTransportEventHandlerImpl, ChannelConfig,
    Gossip, GossipAdvert, GossipChunk, GossipChunkRequest, GossipMessage, IntegrityHash,
    MetricsRegistry, NodeId, TransportEvent, TransportMessage, wire,
};
use serde_json::{Value, json};
use tower::Service;

use crate::harness::{output, processor, rounds::interleaved, statistics::Quartiles};

/// How long after its last message an engine has to come to rest.
const SETTLING: Duration = Duration::from_millis(200);
const DEADLINE: Duration = Duration::from_secs(60);
/// The most of one core that an idle engine should use.
const TARGET: f64 = 0.01;

/// Says that it was called.
struct Silent(mpsc::Sender<()>);

impl Silent {
    fn called(&self) {
        self.0.send(()).expect("the bench listens");
    }
}

impl Gossip for Silent {
    type GossipAdvert = GossipAdvert;
    type GossipChunkRequest = GossipChunkRequest;
    type GossipChunk = GossipChunk;
    type GossipRetransmissionRequest = ArtifactFilter;

    fn on_gossip_advert(&self, _: GossipAdvert, _: NodeId) {
        self.called();
    }
    fn on_chunk_request(&self, _: GossipChunkRequest, _: NodeId) {
        self.called();
    }
    fn on_gossip_chunk(&self, _: GossipChunk, _: NodeId) {
        self.called();
    }
    fn on_gossip_retransmission_request(&self, _: ArtifactFilter, _: NodeId) {
        self.called();
    }
    fn on_peer_up(&self, _: NodeId) {
        self.called();
    }
    fn on_peer_down(&self, _: NodeId) {}
    fn on_gossip_timer(&self) {}
    fn broadcast_advert(&self, _: GossipAdvert, _: ArtifactDestination) {}
}

/// One event for each flow.
fn events() -> Vec<TransportEvent> {
    let peer_id = NodeId::new([1; 32]);
    let artifact_id = ArtifactId::new([2; 32]);
    let integrity_hash = IntegrityHash::new([3; 32]);
    let advert = GossipAdvert { artifact_id, size: 1, integrity_hash, attributes: Bytes::new() };
    let request = GossipChunkRequest { artifact_id, integrity_hash, chunk_number: 0 };
    let payload = Ok(Bytes::from_static(&[4]));
    let chunk = GossipChunk { artifact_id, integrity_hash, chunk_number: 0, payload };
    let messages = [
        GossipMessage::Advert(advert),
        GossipMessage::ChunkRequest(request),
        GossipMessage::Chunk(chunk),
        GossipMessage::RetransmissionRequest(ArtifactFilter { height: 0 }),
    ];
    let message = |message| {
        let payload = wire::encode(&message);
        TransportEvent::Message(TransportMessage { peer_id, payload })
    };
    std::iter::once(TransportEvent::PeerUp(peer_id))
        .chain(messages.into_iter().map(message))
        .collect()
}

/// The share of one core that it used.
fn run(length: Duration) -> f64 {
    let (sender, calls) = mpsc::channel();
    let mut handler = AsyncTransportEventHandlerImpl::new(
        NodeId::new([0; 32]),
        &MetricsRegistry::new(),
        ChannelConfig::default(),
        Arc::new(Silent(sender)),
    )
    .expect("the system gives threads");
    for event in events() {
        futures_executor::block_on(handler.call(event)).expect("there is capacity");
        calls.recv().expect("the handler is called");
    }
    thread::sleep(SETTLING);
    let before = processor::of_process();
    thread::sleep(length);
    let used = processor::of_process() - before;
    assert!(calls.try_recv().is_err(), "void: a message was handled twice");
    assert!(handler.shutdown(DEADLINE).is_clean(), "void: not all was handled");
    used.as_secs_f64() / length.as_secs_f64()
}

/// The row of the idle engine.
pub(crate) fn measure() -> Value {
    let (length, rounds) = if output::is_quick() {
        (Duration::from_millis(200), 3)
    } else {
        (Duration::from_secs(2), 5)
    };
    let (found, others) = interleaved(&[()], rounds, |(), _| run(length));
    let share = Quartiles::of(found.into_iter().flatten());
    println!(
        "\nidle engine, five flows: {:.5} [{:.5} {:.5}] of a core, {rounds} rounds of {length:?}; at \
         most {TARGET}: {}",
        share.median,
        share.lower,
        share.upper,
        if share.median <= TARGET { "met" } else { "missed" },
    );
    json!({
        "what": "idle",
        "contender": "engine",
        "machine": "quiet",
        "rounds": rounds,
        "seconds": length.as_secs_f64(),
        "share_of_a_core": share.json(),
        "in_target": share.median <= TARGET,
        "others_share": others,
    })
}
