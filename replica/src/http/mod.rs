//! A port to look at: what replicas do, for people, for programs that watch, and for Prometheus.
//!
//! ```text
//! replicas ──(a look each second)──> sampler ──> board <── routes <── connections
//! ```
//!
//! [`HttpServer::run`] looks at the replicas and serves what it has seen. Requests read the board and never a
//! replica. The port is read-only. It listens on loopback unless an address says otherwise, and then answers
//! to names of this machine only. Whoever reaches it sees ids and addresses of peers, and no content.
//!
//! Bounded by [`limits`]: connections, listeners, heads, time. Each connection serves one request. What a
//! client does cannot end or hold up the replica; what goes wrong while looking is logged, and `/health`
//! says that nobody has looked.
//!
//! May lose: samples, for a listener that is slower than one a second.

use std::{
    io,
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use axum::{Router, body::Body};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use tower_service::Service as _;

use self::{
    board::{Board, Sample, Seen},
    limits::{
        HEAD_TIMEOUT, MAX_CONNECTIONS, MAX_HEAD_BYTES, MAX_HEADERS, MAX_LISTENING, REQUEST_TIMEOUT,
        SAMPLE_INTERVAL, STALL_TIMEOUT,
    },
    reading::Reading,
    stall::StallGuard,
    track::{Numbers, Track},
};
use crate::replica::Replica;

mod address;
mod board;
pub mod client;
mod history;
pub mod limits;
mod metrics;
mod process;
mod reading;
mod refusals;
mod routes;
mod stall;
pub mod status;
#[cfg(test)]
mod tests_support;
mod track;

pub use address::{AddressError, HttpAddress};
pub use track::{age, bytes};

/// How long to wait after the system has refused to hand over a connection: for want of file descriptors,
/// mostly, which takes no less time to pass.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// The address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot serve the page on {address}: {source}")]
pub struct HttpError {
    address: HttpAddress,
    source: io::Error,
}

/// A port that listens and is served once it [runs](Self::run).
#[derive(Debug)]
pub struct HttpServer {
    listener: TcpListener,
    local_addr: SocketAddr,
    board: Arc<Board>,
    started: f64,
}

impl HttpServer {
    /// Listens.
    ///
    /// # Errors
    ///
    /// If the address is not ours to listen on, or is in use.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with its network enabled.
    pub async fn bind(address: HttpAddress) -> Result<Self, HttpError> {
        let failed = |source| HttpError { address, source };
        let listener = TcpListener::bind(address.socket()).await.map_err(failed)?;
        let local_addr = listener.local_addr().map_err(failed)?;
        if address.is_open() {
            tracing::warn!(%local_addr, "whoever reaches the page's port sees what this replica does");
        }
        Ok(Self { listener, local_addr, board: Arc::new(Board::new()), started: track::now() })
    }

    /// Where it listens, with the port that was chosen.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Looks at these replicas and serves what is seen. Never ends.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it closes all connections.
    pub async fn run<'a>(&self, replicas: impl IntoIterator<Item = &'a Replica>) {
        let replicas: Vec<_> = replicas.into_iter().collect();
        tokio::join!(self.keep_looking(&replicas), self.keep_accepting());
    }

    async fn keep_looking(&self, replicas: &[&Replica]) {
        let mut sampler = Sampler::new(self.started);
        let mut ticks = interval(SAMPLE_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut failed = false;
        loop {
            ticks.tick().await;
            // A fault here must end neither the replica nor the looking. What is half changed are
            // histories.
            let look = || {
                sampler.take(replicas.iter().map(|replica| Reading::of(replica)), Instant::now())
            };
            match catch_unwind(AssertUnwindSafe(look)) {
                Ok(sample) => self.board.put(sample),
                Err(_) if failed => {}
                Err(_) => {
                    failed = true;
                    tracing::error!("looking at the replica has panicked");
                }
            }
        }
    }

    async fn keep_accepting(&self) {
        let router = routes::router(self.board.clone(), self.local_addr.ip().is_loopback());
        let mut connections = JoinSet::new();
        let mut refusal_told = false;
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                Some(_) = connections.join_next() => continue,
            };
            match accepted {
                // Closed at once: one that waited would be served when nobody cares any more.
                Ok(_) if connections.len() >= MAX_CONNECTIONS => self.board.count_refused(),
                Ok((stream, _)) => {
                    connections.spawn(serve(stream, router.clone()));
                }
                // Of a client that was faster gone than come.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    if !refusal_told {
                        refusal_told = true;
                        tracing::warn!(%error, "the system refuses connections to the page");
                    }
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// Serves one request.
async fn serve(stream: TcpStream, router: Router) {
    let listens = Arc::new(AtomicBool::new(false));
    let marked = listens.clone();
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        // Relaxed: read by the same task.
        marked.store(request.uri().path() == "/events", Relaxed);
        router.clone().call(request.map(Body::new))
    });
    let io = TokioIo::new(StallGuard::new(stream, STALL_TIMEOUT));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .keep_alive(false)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS)
        .serve_connection(io, service);
    tokio::pin!(connection);
    // How a client's connection ends is the client's business.
    if timeout(REQUEST_TIMEOUT, &mut connection).await.is_err() && listens.load(Relaxed) {
        let _ = timeout(MAX_LISTENING, connection).await;
    }
}

/// Makes samples of readings.
#[derive(Debug)]
struct Sampler {
    started: f64,
    tracks: Vec<Track>,
}

impl Sampler {
    fn new(started: f64) -> Self {
        Self { started, tracks: Vec::new() }
    }

    fn take(&mut self, readings: impl Iterator<Item = Reading>, at: Instant) -> Sample {
        let readings: Vec<Reading> = readings.collect();
        let ids = readings.iter().map(|reading| reading.node_id);
        let numbers: Numbers = ids.zip(1..).collect();
        self.tracks.resize_with(readings.len(), Track::default);
        let seen = self.tracks.iter_mut().zip(readings).map(|(track, reading)| {
            let view = track.take(&reading, at, &numbers);
            Seen::new(reading, view)
        });
        Sample { at, now: track::now(), started: self.started, replicas: seen.collect() }
    }
}

#[cfg(test)]
mod tests;
