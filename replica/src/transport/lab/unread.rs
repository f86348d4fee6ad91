//! A peer that asks and does not read.

use std::{sync::Arc, time::Duration};

use gossip_engine::{FlowType, wire};
use quinn::{Connection, Endpoint, EndpointConfig, TokioRuntime, crypto::rustls::QuicClientConfig};
use tokio::time::timeout;

use super::{
    fetch::{request, source},
    line::Weather,
    network::Network,
};
use crate::{
    identity::Identity,
    tls,
    transport::{
        Peer, Transport, TransportOptions,
        frame::{header, tag_of},
        limits::{ANSWERS_MARK, Windows},
    },
};

const CHUNK_BYTES: usize = 128 << 10;
/// Of 83 bytes each: many more than windows let through.
const REQUESTS: u32 = 100_000;

/// A connection from a host of its own, over QUIC and nothing else.
pub(super) async fn dial(
    network: &Network,
    from: &Identity,
    to: &Identity,
    transport: &Transport,
) -> Connection {
    let (settings, runtime) = (EndpointConfig::default(), Arc::new(TokioRuntime));
    let endpoint =
        Endpoint::new_with_abstract_socket(settings, None, network.host(), runtime).unwrap();
    let config = tls::client_config(from, to.node_id());
    let config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(config).unwrap()));
    let connecting = endpoint.connect_with(config, transport.local_addr(), "any").unwrap();
    connecting.await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn who_reads_no_answers_has_no_requests_read() {
    let [hostile, victim] = [(); 2].map(|()| Identity::generate());
    let weather = Weather { delay_micros: 1000..1000, ..Weather::default() };
    let network = Network::new(weather);
    let options = TransportOptions::default().with_idle_timeout(Duration::from_secs(60));
    let transport = Transport::on(&victim, network.host(), options).unwrap();
    let nowhere = Peer { node_id: hostile.node_id(), address: "10.9.9.9:1".parse().unwrap() };
    transport.start(vec![nowhere], source(transport.outbox(), CHUNK_BYTES)).unwrap();

    let connection = dial(&network, &hostile, &victim, &transport).await;
    let mut stream = connection.open_uni().await.unwrap();
    let flow = FlowType::Request;
    let mut bytes = vec![tag_of(flow)];
    for number in 0..REQUESTS {
        let payload = wire::encode(&request(number));
        bytes.extend(header(flow, payload.len()).unwrap());
        bytes.extend(payload);
    }
    let all = stream.write_all(&bytes);
    // On this clock nothing is merely slow.
    timeout(Duration::from_secs(20), all).await.expect_err("the victim must stop reading");

    let counters = transport.counters();
    assert_eq!(counters.flow(FlowType::Chunk).full, 0, "what was read for it has been sent");
    assert_eq!((counters.cut_offs, counters.held_requests), (0, 1));
    // What the victim's window and the hostile peer's own hold, and the mark.
    let window = Windows::of(1).send.max(1 << 21) as usize / CHUNK_BYTES;
    let answered = counters.flow(flow).frames_in as usize;
    assert!(answered <= window + 2 * ANSWERS_MARK.frames + 1, "{answered} requests read");

    // As soon as it reads it is served again.
    let mut chunks = loop {
        let mut stream = connection.accept_uni().await.unwrap();
        let tag = stream.read_chunk(1, true).await.unwrap().unwrap();
        if tag.bytes[0] == tag_of(FlowType::Chunk) {
            break stream;
        }
    };
    let mut read = 0;
    while read < 64 * CHUNK_BYTES {
        read += chunks.read_chunk(1 << 20, true).await.unwrap().unwrap().bytes.len();
    }
    let more = transport.counters().flow(flow).frames_in as usize;
    assert!(more >= answered + 32, "{answered}, then {more} requests read");
    assert_eq!(transport.counters().flow(FlowType::Chunk).full, 0);
}
