//! A port to look at: what replicas do, for people, for programs that watch, and for Prometheus.
//!
//! ```text
//! replicas ──(a look each second, on a thread that may block)──> sampler ──> board <── routes <── connections
//! ```
//!
//! [`HttpServer::run`] looks at the replicas and serves what it has seen. Requests read the board and never a
//! replica. The port is read-only. It listens on loopback unless an address says otherwise, and then answers
//! to names of this machine only. Those who reach it see ids, addresses and paths of files, and no content.
//!
//! Bounded by [`limits`]: connections, listeners, heads, time. Each connection serves one request. What a
//! client does cannot end or hold up the replica. A look that does not come back holds up nothing but the looks
//! after it, and `/health` says that nobody has looked. One that panics is counted, logged and said by `/health`,
//! and the next one is made.
//!
//! May lose: samples, for a listener that is slower than one a second; the histories, when a look panics.

use std::{
    future::pending,
    io,
    net::SocketAddr,
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
    task::{JoinError, JoinSet, spawn_blocking},
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use tower_service::Service as _;

use self::{
    board::{Board, Sample, Seen},
    limits::{
        HEAD_TIMEOUT, MAX_CONNECTIONS, MAX_HEAD_BYTES, MAX_HEADERS, MAX_LISTENING, REQUEST_TIMEOUT,
        SAMPLE_INTERVAL, STALL_TIMEOUT,
    },
    notices::Noted,
    reading::Reading,
    stall::StallGuard,
    track::{Numbers, Track},
};
use crate::{
    names::Names,
    replica::{Observer, Replica},
};

mod address;
mod board;
pub mod client;
mod history;
mod hour;
pub mod limits;
mod metrics;
mod notices;
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
pub use notices::Notices;
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
    notices: Notices,
    names: Names,
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
            tracing::warn!(%local_addr, "all who reach the page's port see what this replica does");
        }
        Ok(Self {
            listener,
            local_addr,
            board: Arc::new(Board::new()),
            notices: Notices::default(),
            names: Names::default(),
            started: track::now(),
        })
    }

    /// Shows these notices.
    #[must_use]
    pub fn with_notices(mut self, notices: Notices) -> Self {
        self.notices = notices;
        self
    }

    /// Calls publishers and peers by these names.
    #[must_use]
    pub fn with_names(mut self, names: Names) -> Self {
        self.names = names;
        self
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
        let replicas: Vec<Observer> =
            replicas.into_iter().map(|replica| replica.observer().clone()).collect();
        let names = self.names.clone();
        let look = move |replica: &Observer| Reading::of(replica, &names);
        self.serve(move || replicas.iter().map(&look).collect()).await;
    }

    /// How many tasks have panicked: looks, and connections. Other looks were made, and other connections served.
    #[must_use]
    pub fn failed_tasks(&self) -> u64 {
        self.board.panics()
    }

    async fn serve(&self, look: impl Fn() -> Vec<Reading> + Send + Sync + 'static) {
        tokio::join!(self.keep_looking(Arc::new(look)), self.keep_accepting());
    }

    async fn keep_looking(&self, look: Arc<impl Fn() -> Vec<Reading> + Send + Sync + 'static>) {
        let mut sampler = Sampler::new(self.started);
        let mut ticks = interval(SAMPLE_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            // It asks the disk and takes locks, which may hang. One at a time, however long it takes.
            let (look, notices) = (look.clone(), self.notices.clone());
            let looking = spawn_blocking(move || {
                let sample = sampler.take(look().into_iter(), notices.read(), Instant::now());
                (sampler, sample)
            });
            match looking.await {
                Ok((kept, sample)) => {
                    sampler = kept;
                    self.board.put(sample);
                }
                Err(error) => {
                    self.note_panic(&error, "looking at the replica has panicked");
                    if !error.is_panic() {
                        // The runtime ends, and this with it.
                        pending::<()>().await;
                    }
                    sampler = Sampler::new(self.started);
                }
            }
        }
    }

    /// Counts a panic; the first is logged.
    fn note_panic(&self, error: &JoinError, what: &str) {
        if error.is_panic() {
            if self.board.panics() == 0 {
                tracing::error!("{what}");
            }
            self.board.count_panic();
        }
    }

    async fn keep_accepting(&self) {
        let router = routes::router(self.board.clone(), self.local_addr.ip().is_loopback());
        let mut connections = JoinSet::new();
        let mut refusal_told = false;
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                Some(ended) = connections.join_next() => {
                    if let Err(error) = ended {
                        self.note_panic(&error, "a connection to the page has panicked");
                    }
                    continue;
                }
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

    fn take(
        &mut self,
        readings: impl Iterator<Item = Reading>,
        noted: Noted,
        at: Instant,
    ) -> Sample {
        let readings: Vec<Reading> = readings.collect();
        let ids = readings.iter().map(|reading| reading.node_id);
        let numbers: Numbers = ids.zip(1..).collect();
        self.tracks.resize_with(readings.len(), Track::default);
        let seen = self.tracks.iter_mut().zip(readings).map(|(track, reading)| {
            let view = track.take(&reading, at, &numbers);
            Seen::new(reading, view)
        });
        Sample { at, now: track::now(), started: self.started, noted, replicas: seen.collect() }
    }
}

#[cfg(test)]
mod tests;
