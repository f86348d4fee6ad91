//! A peer that holds a listed key and does its worst, built from bare QUIC.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use gossip_engine::{FlowType, NodeId, wire};
use gossip_replica::{
    identity::Identity,
    tls,
    transport::{
        Peer, PeerState, TransportOptions,
        frame::{HELLO_TAG, STREAM_FLOWS, header, tag_of},
        limits::{MAX_STREAMS, MAX_UNKNOWN_STREAMS, UNSERVED_RECEIVE_WINDOW},
    },
};
use quinn::{
    ApplicationClose, Connection, ConnectionError, Endpoint, SendStream, VarInt,
    crypto::rustls::QuicServerConfig,
};

use crate::{
    recorder::{until, within},
    replica::{
        LOOPBACK, Replica, assert_they_talk, bare_client, identities, message, nowhere, patient,
        warnings_about,
    },
};

const BREACH: u32 = 1;
const REPLACED: u32 = 2;
const SHUT_OUT: u32 = 3;
const UNLISTED: u32 = 5;
const STOP_UNKNOWN: u32 = 6;

/// A breach: a stream of adverts that begins with a frame of no length.
const EMPTY_FRAME: &[u8] = &[1, 0, 0, 0, 0];

/// An honest replica, an honest peer of it, and a hostile one that dials.
struct Scene {
    victim: Replica,
    honest: Replica,
    hostile: Hostile,
}

struct Hostile {
    identity: Identity,
    endpoint: Endpoint,
    victim: Peer,
    address: SocketAddr,
}

impl Scene {
    async fn new() -> Self {
        Self::with(patient()).await
    }

    async fn with(options: TransportOptions) -> Self {
        let [hostile, honest, victim] = identities();
        let honest = Replica::bind(&honest);
        let victim = Replica::try_bind(&victim, LOOPBACK, options).unwrap();
        let nowhere = nowhere(&hostile);
        victim.start(&[honest.as_peer(), nowhere]);
        honest.start(&[victim.as_peer()]);
        assert_they_talk(&honest, &victim, 1).await;
        let endpoint = Endpoint::client(LOOPBACK).unwrap();
        let hostile = Hostile {
            identity: hostile,
            endpoint,
            victim: victim.as_peer(),
            address: victim.transport.local_addr(),
        };
        Self { victim, honest, hostile }
    }

    /// The attack ends the connection with this reason, in one line of the log, and nobody else
    /// notices; for a while the attacker is not let in again.
    async fn assert_cut_off(&self, connection: Connection, reason: &str) {
        assert_closed(&connection, BREACH, reason).await;
        let id = self.hostile.identity.node_id();
        self.victim.until_down(id, 1).await;
        self.victim.recorder.assert_in_order(id);
        for _ in 0..3 {
            assert_closed(&self.hostile.dial().await, SHUT_OUT, "shut out for a while").await;
        }
        until("it is counted", || self.victim.transport.counters().shut_out == 3).await;
        // Nor is it dialled.
        let status = self.victim.transport.peers().into_iter().find(|peer| peer.node_id == id);
        assert_eq!(status.unwrap().state, PeerState::ShutOut);
        let warnings = warnings_about(id);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].contains(reason), "{warnings:?}");
        assert_eq!(self.victim.transport.counters().cut_offs, 1);
        assert_eq!(self.victim.recorder.ups_and_downs(id), (1, 1));
        self.assert_unharmed().await;
    }

    async fn assert_unharmed(&self) {
        assert_they_talk(&self.honest, &self.victim, 2).await;
        assert_eq!(self.victim.recorder.ups_and_downs(self.honest.id()), (1, 0));
        assert_eq!(self.honest.recorder.ups_and_downs(self.victim.id()), (1, 0));
    }
}

impl Hostile {
    async fn dial(&self) -> Connection {
        let config = bare_client(&self.identity, self.victim.node_id);
        let connecting = self.endpoint.connect_with(config, self.address, "any").unwrap();
        within("the connection is made", connecting).await.unwrap()
    }
}

/// With which code and reason the other side has closed it; `None` if the only packet that says so
/// was lost, as may happen on a busy machine.
async fn closed(connection: &Connection) -> Option<(u32, String)> {
    match within("the connection is closed", connection.closed()).await {
        ConnectionError::ApplicationClosed(ApplicationClose { error_code, reason }) => Some((
            error_code.into_inner().try_into().unwrap(),
            String::from_utf8(reason.to_vec()).unwrap(),
        )),
        ConnectionError::Reset | ConnectionError::TimedOut => None,
        other => panic!("closed otherwise: {other}"),
    }
}

async fn assert_closed(connection: &Connection, code: u32, reason: &str) {
    if let Some(closed) = closed(connection).await {
        assert_eq!(closed, (code, reason.to_owned()));
    }
}

async fn stream(connection: &Connection, tag: u8) -> SendStream {
    let mut stream = within("a stream is opened", connection.open_uni()).await.unwrap();
    stream.write_all(&[tag]).await.unwrap();
    stream
}

async fn frame(stream: &mut SendStream, flow: FlowType, payload: &[u8]) {
    stream.write_all(&header(flow, payload.len()).unwrap()).await.unwrap();
    stream.write_all(payload).await.unwrap();
}

async fn assert_bytes_cut_off(flow: FlowType, bytes: &[u8], reason: &str) {
    let scene = Scene::new().await;
    let connection = scene.hostile.dial().await;
    let mut stream = stream(&connection, tag_of(flow)).await;
    stream.write_all(bytes).await.unwrap();
    scene.assert_cut_off(connection, reason).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_oversized_frame() {
    let reason = "a frame of 4294967295 bytes in the Chunk flow, over the limit of 2098432";
    assert_bytes_cut_off(FlowType::Chunk, &[0xff; 4], reason).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_frame() {
    assert_bytes_cut_off(FlowType::Advert, &[0; 4], "an empty frame").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_of_garbage() {
    let reason = "a malformed payload: malformed envelope at byte 0: a field with the number 0";
    assert_bytes_cut_off(FlowType::Request, b"\0\0\0\x04\0\x1b[m", reason).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_of_garbage() {
    // The envelope is right, so only the handler can tell.
    let reason = "a malformed payload: Advert body: field artifact_id: 0 bytes instead of 32";
    assert_bytes_cut_off(FlowType::Advert, b"\0\0\0\x02\x0a\0", reason).await;
}

/// A peer of a later version is no hostile one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_later_version_sends_is_skipped_and_the_connection_lives_on() {
    let scene = Scene::new().await;
    let id = scene.hostile.identity.node_id();
    let connection = scene.hostile.dial().await;
    let mut stream = stream(&connection, tag_of(FlowType::Chunk)).await;
    // A body with the number 5, of which the envelope tells.
    frame(&mut stream, FlowType::Chunk, b"\x2a\x03new").await;
    // A chunk with the error 3, of which only the handler can tell.
    let ids = [[&[0x0a, 32][..], &[0; 32]].concat(), [&[0x12, 32][..], &[0; 32]].concat()].concat();
    let body = [&ids, &[0x28, 3][..]].concat();
    let later = [&[0x1a, body.len() as u8], &body[..]].concat();
    frame(&mut stream, FlowType::Chunk, &later).await;
    frame(&mut stream, FlowType::Chunk, &wire::encode(&message(FlowType::Chunk, 1))).await;
    scene
        .victim
        .recorder
        .until("the next message is handled", |recorder| {
            recorder.messages(id, FlowType::Chunk) == [message(FlowType::Chunk, 1)]
        })
        .await;
    until("all is counted", || {
        let counters = scene.victim.transport.counters();
        let chunk = counters.flow(FlowType::Chunk);
        (chunk.frames_in, chunk.unknown_in, counters.cut_offs) == (1, 2, 0)
    })
    .await;
    assert_eq!(connection.close_reason(), None);
    assert_eq!(scene.victim.recorder.ups_and_downs(id), (1, 0));
    assert_eq!(warnings_about(id), Vec::<String>::new());
    scene.assert_unharmed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_of_another_flow() {
    let scene = Scene::new().await;
    let connection = scene.hostile.dial().await;
    let mut stream = stream(&connection, tag_of(FlowType::Chunk)).await;
    let advert = wire::encode(&message(FlowType::Advert, 1));
    frame(&mut stream, FlowType::Chunk, &advert).await;
    let reason = "a message of the Advert flow in the stream of the Chunk flow";
    scene.assert_cut_off(connection, reason).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_stream_of_a_flow() {
    let scene = Scene::new().await;
    let connection = scene.hostile.dial().await;
    let _one = stream(&connection, tag_of(FlowType::Advert)).await;
    let _two = stream(&connection, tag_of(FlowType::Advert)).await;
    scene.assert_cut_off(connection, "a second stream of the Advert flow").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_stream_after_the_first_has_ended() {
    let scene = Scene::new().await;
    let connection = scene.hostile.dial().await;
    for flow in STREAM_FLOWS {
        stream(&connection, tag_of(flow)).await.finish().unwrap();
    }
    let _fifth = stream(&connection, tag_of(FlowType::Chunk)).await;
    scene.assert_cut_off(connection, "a second stream of the Chunk flow").await;
}

/// A peer of a later version is no hostile one: streams, features and bytes that we do not know.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_of_a_later_version_are_stopped_and_the_peer_is_served() {
    let scene = Scene::new().await;
    let id = scene.hostile.identity.node_id();
    let connection = scene.hostile.dial().await;
    for tag in [5, 6, 200] {
        let mut unknown = stream(&connection, tag).await;
        let _ = unknown.write_all(&[0xff; 5000]).await;
        let stopped = within("it is stopped", unknown.stopped()).await.unwrap();
        assert_eq!(stopped, Some(VarInt::from_u32(STOP_UNKNOWN)));
    }
    let mut hello = stream(&connection, HELLO_TAG).await;
    hello.write_all(&20_u32.to_be_bytes()).await.unwrap();
    hello.write_all(&[0xff; 20]).await.unwrap();
    hello.write_all(b"and more").await.unwrap();
    let mut known = stream(&connection, tag_of(FlowType::Advert)).await;
    frame(&mut known, FlowType::Advert, b"\x2a\x03new").await;
    frame(&mut known, FlowType::Advert, &wire::encode(&message(FlowType::Advert, 1))).await;
    scene
        .victim
        .recorder
        .until("its message is handled", |recorder| {
            recorder.messages(id, FlowType::Advert) == [message(FlowType::Advert, 1)]
        })
        .await;
    until("all is counted", || {
        let counters = scene.victim.transport.counters();
        let unknown = counters.flow(FlowType::Advert).unknown_in;
        // One hello is that of the honest peer.
        (counters.unknown_streams, counters.hellos, unknown, counters.cut_offs) == (3, 2, 1, 0)
    })
    .await;
    assert_eq!(connection.close_reason(), None);
    assert_eq!(scene.victim.recorder.ups_and_downs(id), (1, 0));
    assert_eq!(warnings_about(id), Vec::<String>::new());
    scene.assert_unharmed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_unknown_streams() {
    let scene = Scene::new().await;
    let connection = scene.hostile.dial().await;
    for _ in 0..MAX_UNKNOWN_STREAMS {
        let mut unknown = stream(&connection, 200).await;
        let _ = within("it is stopped", unknown.stopped()).await;
        let _ = unknown.reset(VarInt::from_u32(0));
    }
    let _last = stream(&connection, 201).await;
    let reason = "more than 64 streams with an unknown tag, the last with 201";
    scene.assert_cut_off(connection, reason).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_hello() {
    let scene = Scene::new().await;
    let connection = scene.hostile.dial().await;
    let _one = stream(&connection, HELLO_TAG).await;
    let _two = stream(&connection, HELLO_TAG).await;
    scene.assert_cut_off(connection, "a second hello").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_oversized_hello() {
    let scene = Scene::new().await;
    let connection = scene.hostile.dial().await;
    let mut hello = stream(&connection, HELLO_TAG).await;
    hello.write_all(&[0xff; 4]).await.unwrap();
    scene.assert_cut_off(connection, "a hello of 4294967295 bytes, not 8 to 1024").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_without_a_tag() {
    let scene = Scene::new().await;
    let connection = scene.hostile.dial().await;
    connection.open_uni().await.unwrap().finish().unwrap();
    scene.assert_cut_off(connection, "a stream that ended before its tag").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_ends_inside_a_frame() {
    let scene = Scene::new().await;
    let connection = scene.hostile.dial().await;
    let mut stream = stream(&connection, tag_of(FlowType::Advert)).await;
    stream.write_all(&[0, 0, 1, 0, 9]).await.unwrap();
    stream.finish().unwrap();
    scene.assert_cut_off(connection, "a stream that ended inside a frame").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_reset() {
    let scene = Scene::new().await;
    let connection = scene.hostile.dial().await;
    let mut stream = stream(&connection, tag_of(FlowType::Advert)).await;
    stream.reset(VarInt::from_u32(9)).unwrap();
    scene.assert_cut_off(connection, "a stream that was reset").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_own_stream_stopped() {
    let scene = Scene::new().await;
    let connection = scene.hostile.dial().await;
    let mut stream = within("the victim opens a stream", connection.accept_uni()).await.unwrap();
    let tag = within("it has a tag", stream.read_chunk(1, true)).await.unwrap().unwrap();
    let flow = STREAM_FLOWS.into_iter().find(|flow| tag_of(*flow) == tag.bytes[0]).unwrap();
    stream.stop(VarInt::from_u32(9)).unwrap();
    // The victim notices when it writes.
    let id = scene.hostile.identity.node_id();
    let outbox = scene.victim.outbox();
    until("the victim is cut off from its stream", || {
        let _ = outbox.send(id, message(flow, 1));
        connection.close_reason().is_some()
    })
    .await;
    scene.assert_cut_off(connection, &format!("our stream of the {flow} flow was stopped")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bidirectional_streams_and_datagrams_are_not_to_be_had() {
    let scene = Scene::new().await;
    let connection = scene.hostile.dial().await;
    scene.victim.until_up(scene.hostile.identity.node_id(), 1).await;
    // The victim allows none, so QUIC does not even open one.
    let opened = tokio::time::timeout(Duration::from_millis(50), connection.open_bi());
    assert!(opened.await.is_err());
    assert_eq!(connection.max_datagram_size(), None);
    // Nor more than its flows' streams, a hello, and some that a later version may have.
    for _ in 0..MAX_STREAMS {
        // Without a tag, so that it is not stopped.
        std::mem::forget(within("a stream is opened", connection.open_uni()).await.unwrap());
    }
    let another = tokio::time::timeout(Duration::from_millis(50), connection.open_uni());
    assert!(another.await.is_err());
    scene.assert_unharmed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_that_never_ends_holds_up_nobody() {
    let scene = Scene::new().await;
    let connection = scene.hostile.dial().await;
    let mut slow = stream(&connection, tag_of(FlowType::Chunk)).await;
    slow.write_all(&header(FlowType::Chunk, 2 << 20).unwrap()).await.unwrap();
    slow.write_all(b"and then").await.unwrap();
    let mut advert = stream(&connection, tag_of(FlowType::Advert)).await;
    frame(&mut advert, FlowType::Advert, &wire::encode(&message(FlowType::Advert, 1))).await;
    let id = scene.hostile.identity.node_id();
    scene
        .victim
        .recorder
        .until("its other flow goes on", |recorder| {
            recorder.messages(id, FlowType::Advert).len() == 1
        })
        .await;
    slow.write_all(b"nothing").await.unwrap();
    scene.assert_unharmed().await;
    assert_eq!(connection.close_reason(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_not_served_takes_little() {
    let scene = Scene::new().await;
    let id = scene.hostile.identity.node_id();
    scene.victim.recorder.hold(FlowType::Transport);
    let connection = scene.hostile.dial().await;
    let mut chunks = stream(&connection, tag_of(FlowType::Chunk)).await;
    let chunk = wire::encode(&message(FlowType::Chunk, 3));
    let mut frames = [&header(FlowType::Chunk, chunk.len()).unwrap()[..], &chunk].concat();
    frames = frames.repeat(4);
    let mut written = 1;
    // However long this is, the victim lets no more come in.
    let stuck = tokio::time::timeout(Duration::from_millis(500), async {
        while written <= frames.len() {
            written += chunks.write(&frames[written - 1..]).await.unwrap();
        }
    });
    stuck.await.unwrap_err();
    assert!(written <= UNSERVED_RECEIVE_WINDOW as usize, "{written}");
    scene.victim.recorder.until_one_waits().await;
    scene.victim.recorder.release(FlowType::Transport);
    chunks.write_all(&frames[written - 1..]).await.unwrap();
    scene
        .victim
        .recorder
        .until("served, it gets through", |recorder| {
            recorder.messages(id, FlowType::Chunk).len() == 4
        })
        .await;
    scene.assert_unharmed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_waits_is_cut_off_with_its_peer() {
    let scene = Scene::new().await;
    scene.victim.recorder.hold(FlowType::Transport);
    let served = scene.hostile.dial().await;
    scene.victim.recorder.until_one_waits().await;
    // One that waits is replaced by the next, which waits in its stead.
    let before = scene.hostile.dial().await;
    let waits = scene.hostile.dial().await;
    assert_closed(&before, REPLACED, "replaced").await;
    scene.victim.transport.set_peers(vec![scene.honest.as_peer()]).unwrap();
    assert_closed(&waits, UNLISTED, "not listed any more").await;
    // Its arrival still waits, and is given up.
    assert_closed(&served, UNLISTED, "not listed any more").await;
    scene.victim.recorder.release(FlowType::Transport);
    let id = scene.hostile.identity.node_id();
    assert_eq!(scene.victim.recorder.events_of(id), []);
    scene.assert_unharmed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_penalty_ends() {
    let scene = Scene::with(patient().with_first_penalty(Duration::from_millis(1))).await;
    let id = scene.hostile.identity.node_id();
    for round in 1..4 {
        // It dials until it is let in, and then breaks the protocol again.
        within("the penalty ends", async {
            loop {
                let connection = scene.hostile.dial().await;
                if let Ok(mut stream) = connection.open_uni().await {
                    let _ = stream.write_all(EMPTY_FRAME).await;
                }
                closed(&connection).await;
                if scene.victim.transport.counters().cut_offs == round {
                    break;
                }
            }
        })
        .await;
        scene.victim.until_down(id, round as usize).await;
    }
    assert_eq!(warnings_about(id).len(), 3);
    assert_eq!(scene.victim.transport.counters().cut_offs, 3);
    scene.victim.recorder.assert_in_order(id);
    scene.assert_unharmed().await;
}

/// A hostile accepter: it is dialled again, but not before its penalty.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dialled_peer_is_cut_off_too() {
    let [honest, victim, hostile] = identities();
    let tls = tls::server_config(&hostile, [victim.node_id()].into());
    let tls = QuicServerConfig::try_from(tls).unwrap();
    let config = quinn::ServerConfig::with_crypto(Arc::new(tls));
    let endpoint = Endpoint::server(config, LOOPBACK).unwrap();
    let address: SocketAddr = endpoint.local_addr().unwrap();
    let (honest, victim) = (Replica::bind(&honest), Replica::bind(&victim));
    let id: NodeId = hostile.node_id();
    victim.start(&[honest.as_peer(), Peer { node_id: id, address: address.into() }]);
    honest.start(&[victim.as_peer()]);

    let connection =
        within("it is dialled", async { endpoint.accept().await.unwrap().await.unwrap() }).await;
    // Whoever opens no stream is not up.
    assert_they_talk(&honest, &victim, 1).await;
    assert_eq!(victim.recorder.ups_and_downs(id), (0, 0));
    let mut stream = stream(&connection, EMPTY_FRAME[0]).await;
    stream.write_all(&EMPTY_FRAME[1..]).await.unwrap();
    assert_closed(&connection, BREACH, "an empty frame").await;
    victim.until_down(id, 1).await;
    assert_they_talk(&honest, &victim, 2).await;
    // Without the penalty it would be dialled again at once.
    let again = tokio::time::timeout(Duration::from_millis(500), endpoint.accept()).await;
    assert!(again.is_err());
    assert_eq!(victim.recorder.ups_and_downs(id), (1, 1));
    assert_eq!(warnings_about(id).len(), 1);
}
