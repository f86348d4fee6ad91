//! Typed messages over QUIC: one stream for each flow of a peer.
//!
//! The reader of a stream awaits each message before it reads on, so a full flow stops its own streams and no other.
//! Here the handler of blocks is stuck until all votes of the same connection are counted.
//!
//! `cargo run --manifest-path examples/linked/Cargo.toml --bin quinn_streams`

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};

use gossip_engine::{Departure, Engine, FlowConfig, FlowWorker, MetricsRegistry, Submitter};
use quinn::{ClientConfig, Connection, Endpoint, RecvStream, SendStream, ServerConfig};
use tokio::{sync::mpsc, task::JoinSet};

type Failure = Box<dyn std::error::Error + Send + Sync>;
/// A peer is known by its address here. One that has to prove who it is would be known by its key.
type Flow<M> = Arc<FlowWorker<M, SocketAddr>>;

/// Until then the handler of blocks is stuck.
static IS_OPEN: OnceLock<()> = OnceLock::new();
struct Block(Vec<u8>);
struct Vote(Vec<u8>);
type Server = (Engine<SocketAddr>, Flow<Block>, Flow<Vote>);
/// More than QUIC takes ahead of a reader.
const BLOCKS: usize = 500;
const VOTES: u32 = 1_000;

/// Serves one connection. The first byte of a stream says which flow it is of.
async fn serve(by: Connection, (engine, blocks, votes): Server) -> Result<(), Failure> {
    let peer = engine.connect(by.remote_address()).await?;
    let mut readers = JoinSet::new();
    while let Ok(mut streams) = by.accept_bi().await {
        let (id, mut kind) = (peer.id(), [0]);
        streams.1.read_exact(&mut kind).await?;
        match kind[0] {
            b'b' => readers.spawn(read(blocks.clone().submitter_owned(id), streams, Block)),
            b'v' => readers.spawn(read(votes.clone().submitter_owned(id), streams, Vote)),
            _ => return Err("an unknown flow".into()),
        };
    }
    readers.join_all().await.into_iter().collect::<Result<(), Failure>>()?;
    peer.close().await;
    Ok(())
}

/// Submits what comes on a stream: a length of two bytes, and so many bytes.
async fn read<M: Send + 'static>(
    mut submitter: Submitter<'static, M, SocketAddr>,
    (mut reply, mut stream): (SendStream, RecvStream),
    decode: fn(Vec<u8>) -> M,
) -> Result<(), Failure> {
    let mut length = [0; 2];
    while stream.read_exact(&mut length).await.is_ok() {
        let mut frame = vec![0; u16::from_be_bytes(length).into()];
        stream.read_exact(&mut frame).await?;
        let bytes = frame.len();
        // The back pressure: while the flow is full, nothing is read from this stream.
        submitter.execute_sized(decode(frame), bytes).await.map_err(|refused| refused.reason)?;
    }
    Ok(reply.finish()?)
}

async fn send(to: Connection, kind: u8, frames: Vec<Vec<u8>>) -> Result<(), Failure> {
    let (mut stream, mut reply) = to.open_bi().await?;
    stream.write_all(&[kind]).await?;
    for frame in frames {
        stream.write_all(&u16::try_from(frame.len())?.to_be_bytes()).await?;
        stream.write_all(&frame).await?;
    }
    stream.finish()?;
    reply.read_to_end(0).await?; // Comes when the last frame is admitted.
    Ok(())
}

/// Both ends of a connection, with a certificate that only they know.
async fn connected() -> Result<(Connection, Connection), Failure> {
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(own.cert.der().clone())?;
    let server = ServerConfig::with_single_cert(vec![own.cert.der().clone()], key.into())?;
    let mut endpoint = Endpoint::server(server, (Ipv4Addr::LOCALHOST, 0).into())?;
    endpoint.set_default_client_config(ClientConfig::with_root_certificates(Arc::new(roots))?);
    let dialled = endpoint.connect(endpoint.local_addr()?, "localhost")?;
    let accepted = endpoint.accept().await.ok_or("closed")?;
    Ok(tokio::try_join!(dialled, accepted.into_future())?)
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let registry = MetricsRegistry::new();
    let mut builder = Engine::builder(&registry);
    // What a peer has sent before it hangs up is handled.
    let config = FlowConfig::new(16).with_threads(1).with_departure(Departure::Drain);
    let blocks = builder.flow("blocks", config, |_: &SocketAddr, Block(_block)| {
        IS_OPEN.wait();
    })?;
    let (counts, mut counted) = mpsc::unbounded_channel();
    let votes = builder.flow("votes", config, move |_: &SocketAddr, Vote(vote)| {
        let _ = counts.send(vote); // Nobody counts at the end.
    })?;
    let engine = builder.build()?;
    let (dialled, accepted) = connected().await?;
    let served = tokio::spawn(serve(accepted, (engine.clone(), Arc::clone(&blocks), votes)));
    let sent = tokio::spawn(send(dialled.clone(), b'b', vec![vec![0; 8 << 10]; BLOCKS]));
    let frames = (0..VOTES).map(|vote| vote.to_be_bytes().into()).collect();
    send(dialled.clone(), b'v', frames).await?;
    for vote in 0..VOTES {
        assert_eq!(counted.recv().await, Some(vote.to_be_bytes().into()), "in their order");
    }
    assert!(blocks.snapshot().handled() == 0 && !sent.is_finished(), "the blocks are held back");
    println!("{VOTES} votes are counted, beside a stuck stream of blocks");
    IS_OPEN.set(()).expect("it is opened once");
    sent.await??;
    dialled.close(0_u8.into(), b"done");
    served.await??;
    assert_eq!(blocks.snapshot().handled(), BLOCKS as u64, "it departs when they are handled");
    println!("then {BLOCKS} blocks are handled");
    Ok(registry.snapshot().verify()?)
}
