//! WebSocket peers on axum, each through tower layers of its own.
//!
//! A message's slot goes along with its answer and is dropped when that is written. So a peer that does not read its
//! answers is held back, and their queue needs no bound of its own. One that waits too long is sent away.
//!
//! `cargo run --manifest-path examples/linked/Cargo.toml --bin axum_websocket`

use std::sync::{Arc, OnceLock};
use std::{future::IntoFuture as _, net::Ipv4Addr, time::Duration};

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use axum::extract::{Path, State, WebSocketUpgrade};
use axum::{Router, response::Response, routing};
use futures_util::{SinkExt as _, StreamExt as _};
use gossip_engine::{Engine, FlowConfig, FlowWorker, MetricsRegistry, Slot};
use tokio::{net::TcpListener, sync::mpsc, time::timeout};
use tokio_tungstenite::{connect_async, tungstenite};
use tower::{BoxError, Service as _, ServiceBuilder, ServiceExt as _};

const LINES: u32 = 100;
/// The longest line that is read, in bytes.
const MAX_LINE: usize = 1 << 10;
/// How long a line may wait for capacity.
const MAX_WAIT: Duration = Duration::from_millis(200);

/// Until then lines that say `wait` are stuck.
static IS_OPEN: OnceLock<()> = OnceLock::new();

/// What is written to a peer's socket, and the slot of the message that it answers.
type Answer = (Message, Option<Slot>);

/// What a peer has sent, and where its answer goes.
type Line = (String, mpsc::UnboundedSender<Answer>);
type Server = (Engine<String>, Arc<FlowWorker<Line, String>>);

async fn serve((engine, lines): Server, peer: String, socket: WebSocket) {
    let Ok(peer) = engine.connect(peer).await else { return };
    let (mut sink, mut stream) = socket.split();
    let (answers, mut to_write) = mpsc::unbounded_channel::<Answer>();
    let writer = tokio::spawn(async move {
        // Waits for a peer that does not read, and keeps the slot meanwhile.
        while let Some((message, _slot)) = to_write.recv().await
            && sink.send(message).await.is_ok()
        {}
    });
    let to_flow = answers.clone();
    // Here go the layers: all of them see one peer. It is ready when the flow has capacity for the peer's next line.
    let mut service = ServiceBuilder::new()
        .map_request(move |text| (text, to_flow.clone()))
        .service(lines.service(peer.id()).with_size(|(line, _)| line.len()));
    while let Some(Ok(message)) = stream.next().await {
        let Message::Text(text) = message else { continue };
        let submitted = async {
            let ready = timeout(MAX_WAIT, service.ready()).await??;
            Ok(ready.call(text.to_string()).await?)
        };
        if let Err::<_, BoxError>(error) = submitted.await {
            let frame = CloseFrame { code: close_code::AGAIN, reason: error.to_string().into() };
            let _ = answers.send((Message::Close(Some(frame)), None));
            break;
        }
    }
    peer.close().await;
    drop((answers, service));
    let _ = writer.await;
}

async fn ask(url: String) -> Result<(), BoxError> {
    let (mut socket, _) = connect_async(url).await?;
    for line in 0..LINES {
        socket.send(format!("line {line}").into()).await?;
        let answer = socket.next().await.ok_or("the server has gone")??;
        assert_eq!(answer.to_text()?, format!("LINE {line}"));
    }
    Ok(())
}

/// Sends lines and reads no answer, until the server closes the connection; why it has.
async fn flood(url: String) -> Result<String, BoxError> {
    let (mut socket, _) = connect_async(url).await?;
    for _ in 0..LINES {
        socket.send("wait".into()).await?;
    }
    while let Some(message) = socket.next().await {
        if let tungstenite::Message::Close(Some(frame)) = message? {
            return Ok(frame.to_string());
        }
    }
    Err("no reason was given".into())
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let registry = MetricsRegistry::new();
    let mut builder = Engine::builder(&registry);
    // A peer may have four lines under way, all peers 8 KiB, and a peer keeps one thread busy at the most.
    let config = FlowConfig::new(16).with_peer_quota(4).with_threads(2).with_max_bytes(Some(8_192));
    let lines = builder.flow("lines", config, |_: &String, (line, answers): Line| {
        if line == "wait" {
            IS_OPEN.wait();
        }
        let _ = answers.send((line.to_uppercase().into(), Slot::take()));
    })?;
    let engine = builder.build()?;
    let upgrade = async |State(server), Path(peer), socket: WebSocketUpgrade| -> Response {
        socket.max_message_size(MAX_LINE).on_upgrade(|socket| serve(server, peer, socket))
    };
    let server: Server = (engine.clone(), Arc::clone(&lines));
    let app = Router::new().route("/{peer}", routing::get(upgrade)).with_state(server);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(axum::serve(listener, app).into_future());
    let flooded = flood(format!("ws://{address}/flooder")).await?;
    println!("a flooder is sent away, {flooded}");
    ask(format!("ws://{address}/honest")).await?;
    println!("an honest peer has {LINES} answers, beside a handler that is stuck");
    IS_OPEN.set(()).expect("it is opened once");
    assert!(tokio::task::spawn_blocking(move || engine.shutdown(MAX_WAIT * 50)).await?.is_clean());
    Ok(registry.snapshot().verify()?)
}
