//! How far a peer gets ahead of a reader that stands still.

use std::{
    future::{pending, ready},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use gossip_engine::{
    ArtifactId, EventError, FlowType, GossipChunk, GossipMessage, IntegrityHash, NodeId,
    RefusalReason, Submitted, TransportEvent, wire,
};
use tokio::time::{sleep, timeout};
use tower_service::Service;

use super::{fetch::request, line::Weather, network::Network, unread::dial};
use crate::{
    identity::Identity,
    transport::{
        Handler, Peer, Transport, TransportOptions,
        frame::{header, tag_of},
        limits::{MAX_STREAM_WINDOW, READ_BYTES, Windows},
    },
};

/// More than any window, in bytes.
const MOST_BYTES: usize = 2 * MAX_STREAM_WINDOW as usize;

/// Takes no message unless it is told to.
#[derive(Clone, Default)]
struct Stuck(Arc<AtomicBool>);

impl Service<TransportEvent> for Stuck {
    type Response = Submitted;
    type Error = EventError;
    type Future = Pin<Box<dyn Future<Output = Result<Submitted, EventError>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), EventError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: TransportEvent) -> Self::Future {
        if self.0.load(Relaxed) {
            return Box::pin(ready(Ok(Submitted::Admitted)));
        }
        Box::pin(pending())
    }
}

impl Handler for Stuck {
    type Connection = ();

    async fn connect(&mut self, _: NodeId) -> Result<(), RefusalReason> {
        Ok(())
    }
}

fn peer(node: &Identity) -> Peer {
    Peer { node_id: node.node_id(), address: "10.9.9.9:1".parse().unwrap() }
}

/// How much a peer of the stuck one can write.
async fn written(
    network: &Network,
    from: &Identity,
    to: &Identity,
    transport: &Transport,
) -> usize {
    let connection = dial(network, from, to, transport).await;
    // It is served.
    connection.accept_uni().await.unwrap();
    let mut stream = connection.open_uni().await.unwrap();
    let payload = wire::encode(&request(1));
    let frame = [&header(FlowType::Request, payload.len()).unwrap()[..], &payload].concat();
    let frames = frame.repeat(MOST_BYTES / frame.len());
    let bytes = [&[tag_of(FlowType::Request)][..], &frames].concat();
    let mut written = 0;
    // On this clock nothing is merely slow.
    while let Ok(wrote) = timeout(Duration::from_secs(5), stream.write(&bytes[written..])).await {
        written += wrote.unwrap();
    }
    written
}

#[tokio::test(start_paused = true)]
async fn a_list_that_has_grown_leaves_new_connections_less() {
    let [one, victim] = [(); 2].map(|()| Identity::generate());
    let weather = Weather { delay_micros: 1000..1000, ..Weather::default() };
    let network = Network::new(weather);
    let options = TransportOptions::default().with_idle_timeout(Duration::from_secs(60));
    let transport = Transport::on(&victim, network.host(), options).unwrap();
    transport.start(vec![peer(&one)], Stuck::default()).unwrap();
    for count in [1, 200, 20] {
        let strangers = (1..count).map(|_| peer(&Identity::generate()));
        let list = strangers.chain([peer(&one)]).collect();
        transport.set_peers(list).unwrap();
        let window = Windows::of(count).stream as usize;
        let written = written(&network, &one, &victim, &transport).await;
        assert!((window..window + 3 * READ_BYTES).contains(&written), "{count}: {written}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_that_grows_narrows_the_connections_that_are_there() {
    let [one, victim] = [(); 2].map(|()| Identity::generate());
    let weather = Weather { delay_micros: 1000..1000, ..Weather::default() };
    let network = Network::new(weather);
    let options = TransportOptions::default().with_idle_timeout(Duration::from_secs(60));
    let transport = Transport::on(&victim, network.host(), options).unwrap();
    let takes = Arc::new(AtomicBool::new(true));
    transport.start(vec![peer(&one)], Stuck(takes.clone())).unwrap();
    let connection = dial(&network, &one, &victim, &transport).await;
    connection.accept_uni().await.unwrap();
    let mut stream = connection.open_uni().await.unwrap();
    let payload = wire::encode(&GossipMessage::Chunk(GossipChunk {
        artifact_id: ArtifactId::new([1; 32]),
        integrity_hash: IntegrityHash::new([1; 32]),
        chunk_number: 1,
        payload: Ok(vec![7; READ_BYTES].into()),
    }));
    let frame = [&header(FlowType::Chunk, payload.len()).unwrap()[..], &payload].concat();
    stream.write_all(&[tag_of(FlowType::Chunk)]).await.unwrap();
    stream.write_all(&frame).await.unwrap();

    const PEERS: usize = 200;
    let strangers = (1..PEERS).map(|_| peer(&Identity::generate()));
    transport.set_peers(strangers.chain([peer(&one)]).collect()).unwrap();
    // What it was allowed before it may still send.
    let allowed = Windows::of(1).receive as usize;
    let count = 1 + allowed / frame.len();
    for _ in 0..count {
        stream.write_all(&frame).await.unwrap();
    }
    while transport.counters().flow(FlowType::Chunk).frames_in < 1 + count as u64 {
        sleep(Duration::from_millis(1)).await;
    }
    takes.store(false, Relaxed);
    let frames = frame.repeat(MOST_BYTES / frame.len());
    let mut written = 0;
    while let Ok(wrote) = timeout(Duration::from_secs(5), stream.write(&frames[written..])).await {
        written += wrote.unwrap();
    }
    let window = Windows::of(PEERS).receive as usize;
    assert!(written < window + 4 * READ_BYTES, "{written}, the window is {window}");
}
