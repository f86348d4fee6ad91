//! The QUIC transport: authenticated connections to the replicas on a list, a stream for each flow.
//!
//! ```text
//! bind -> (connections wait) -> start -> arrival, messages, departure ... -> shutdown
//! ```
//!
//! Between two replicas there is one connection. Both ends dial; `peer.rs` says which connection is kept when
//! there are two. A peer's address is a name that is resolved at each dial. The list of peers may change
//! while the transport runs. Each end opens one unidirectional stream per flow and writes [frames](frame)
//! to it. A message that the handler has no capacity for waits, and holds back its own flow of its own peer and
//! nothing else.
//!
//! Replicas of different versions speak the newest [protocol](crate::tls::PROTOCOLS) of both, in which each says by a
//! stream of its own what it can do. What a later version adds is skipped and counted.
//!
//! All that a peer sends is untrusted. Whoever breaks the protocol is cut off with one line in the log
//! and shut out for a while, longer each time. [`limits`] has every bound, and the memory that they
//! add up to. What may be lost: messages to a peer that is not connected or reads too slowly, and all
//! that is queued or under way when a connection ends. Each loss on our side is counted in
//! [`TransportCounters`]; the protocol's timeouts and retransmission requests repair it.
//! A task that panics is counted and started again, see `supervisor.rs`.

use std::{
    fmt, mem,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use gossip_engine::NodeId;
use quinn::Endpoint;
use tokio::time::{Instant, timeout};

use self::{
    accept::{Acceptor, Strangers},
    address::Resolver,
    backoff::Penalty,
    breach::CLOSE_SHUTDOWN,
    counters::Counters,
    dial::Dialler,
    endpoint::Settings,
    members::{Readers, Tasks},
    outbound::Links,
    places::Places,
    stop::Stop,
    supervisor::supervise,
};
use crate::{
    identity::Identity,
    outbox::Outbox,
    tls::{AllowedKeys, Credentials},
};

mod accept;
mod address;
mod backoff;
mod breach;
mod congestion;
mod connection;
mod counters;
mod departure;
mod dial;
mod endpoint;
pub mod frame;
mod handler;
mod handover;
pub(crate) mod hello;
#[cfg(test)]
mod lab;
pub mod limits;
mod members;
mod notices;
mod observer;
mod options;
mod outbound;
mod outcome;
mod peer;
mod places;
mod reader;
mod seldom;
mod slot;
mod status;
mod stop;
mod supervisor;
mod writer;

pub use address::{AddressError, PeerAddress};
pub use counters::{FlowCounters, TransportCounters};
pub use handler::Handler;
pub use hello::FEATURE_SKIPS_UNKNOWN;
pub use members::PeerChanges;
pub use observer::TransportObserver;
pub use options::TransportOptions;
pub use outcome::{BindError, StartError, TransportReport};
pub use status::{PeerState, PeerStatus};

/// A replica that the transport keeps a connection with.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Peer {
    /// Who it is: the key that it has to prove.
    pub node_id: NodeId,
    /// Where it listens.
    pub address: PeerAddress,
}

/// The transport of one replica.
///
/// Dropping it aborts all of its tasks and closes its connections; nobody waits until their peers have
/// departed. What a task does at that moment, it ends at its next `await`. QUIC's own task stays for the
/// moment that it takes to tell the peers.
pub struct Transport {
    credentials: Credentials,
    options: TransportOptions,
    endpoint: Endpoint,
    local_addr: SocketAddr,
    readers: Readers,
    counters: Arc<Counters>,
    stop: Stop,
    network_lost: Stop,
    /// Locked at start, at shutdown and when the list of peers changes.
    tasks: Mutex<Tasks>,
}

impl Transport {
    /// Listens on `listen`; port 0 lets the operating system choose one. Connections that arrive
    /// before [`start`](Self::start) wait for it, or are refused if there are too many.
    ///
    /// # Errors
    ///
    /// [`BindError`], if the address cannot be listened on.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with its timers and network enabled.
    pub fn bind(
        identity: &Identity,
        listen: SocketAddr,
        options: TransportOptions,
    ) -> Result<Self, BindError> {
        let credentials = Credentials::new(identity);
        let settings = options.settings(0);
        let bound = endpoint::bind(&credentials, listen, &settings)?;
        Ok(Self::over(credentials, bound, options, settings))
    }

    /// A transport on a socket of the tests' own.
    #[cfg(test)]
    fn on(
        identity: &Identity,
        socket: Arc<dyn quinn::AsyncUdpSocket>,
        options: TransportOptions,
    ) -> Result<Self, BindError> {
        let credentials = Credentials::new(identity);
        let settings = options.settings(0);
        let bound = endpoint::on(&credentials, socket, &settings);
        Ok(Self::over(credentials, bound, options, settings))
    }

    fn over(
        credentials: Credentials,
        (endpoint, local_addr): (Endpoint, SocketAddr),
        options: TransportOptions,
        settings: Settings,
    ) -> Self {
        let counters = Arc::new(Counters::default());
        let readers = Readers {
            slots: Arc::new(ArcSwap::default()),
            keys: Arc::new(AllowedKeys::default()),
            places: Arc::new(Places::default()),
            links: Arc::new(Links::new(counters.clone())),
            settings: Arc::new(ArcSwap::from_pointee(settings)),
        };
        Self {
            credentials,
            options,
            endpoint,
            local_addr,
            readers,
            counters,
            stop: Stop::new(),
            network_lost: Stop::new(),
            tasks: Mutex::new(Tasks::new()),
        }
    }

    /// Where it listens, with the port that was chosen.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// What sends messages to connected peers, from any thread. It may be asked for at any time; until
    /// a peer is connected, and after the transport is gone, it answers that it is not.
    #[must_use]
    pub fn outbox(&self) -> Arc<dyn Outbox> {
        self.readers.links.clone()
    }

    /// Connects with `peers`, and hands what happens to `handler`. Our own entry is skipped, so that one
    /// list serves a whole cluster.
    ///
    /// For each connection the [`Handler`] sees the peer arrive, then the peer's messages, in order within each
    /// flow, then the peer depart; the next connection of that peer comes after it. The call of a message is
    /// awaited before the next message of the same stream is read. A handler that answers
    /// [`Malformed`](gossip_engine::EventError::Malformed) has the peer cut off. For
    /// [`Unknown`](gossip_engine::EventError::Unknown) the message is skipped and counted. One that is full loses the
    /// message, and one that is closed stops the transport.
    ///
    /// # Errors
    ///
    /// [`StartError`]; nothing has been started.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn start(&self, peers: Vec<Peer>, handler: impl Handler) -> Result<(), StartError> {
        let peers = members::by_id(self.credentials.node_id(), peers)?;
        let mut tasks = self.tasks();
        if self.stop.is_set() {
            return Err(StartError::ShutDown);
        }
        if tasks.spawn.is_some() {
            return Err(StartError::AlreadyStarted);
        }
        let acceptor = Arc::new(Acceptor {
            endpoint: self.endpoint.clone(),
            config: endpoint::server_config(&self.credentials, &self.readers.settings.load()),
            credentials: self.credentials.clone(),
            settings: self.readers.settings.clone(),
            keys: self.readers.keys.clone(),
            places: self.readers.places.clone(),
            slots: self.readers.slots.clone(),
            counters: self.counters.clone(),
            stop: self.stop.clone(),
            network_lost: self.network_lost.clone(),
            strangers: Strangers::default(),
        });
        let dialler = Dialler {
            endpoint: self.endpoint.clone(),
            local: self.local_addr,
            credentials: self.credentials.clone(),
            settings: self.readers.settings.clone(),
            places: self.readers.places.clone(),
            resolver: Resolver::new(),
        };
        let (counters, stop) = (self.counters.clone(), self.stop.clone());
        tasks.spawn = Some(members::spawner(dialler, counters, stop, handler));
        tasks.change(peers, &self.readers, &self.counters, || {
            Penalty::new(self.options.first_penalty)
        });
        let accept = move || acceptor.clone().keep_accepting();
        let (counters, stop) = (self.counters.clone(), self.stop.clone());
        tasks.set.spawn(async move { supervise("the acceptor", counters, &[stop], accept).await });
        Ok(())
    }

    /// Makes `peers` the list: connects with those that are new, dials those that have moved at their new
    /// address, and cuts off at once those that are listed no longer. Our own entry is skipped. A peer that
    /// has moved keeps a connection that it made itself. Connections that are kept get no wider windows, see
    /// [`limits`]. Concurrent calls follow each other.
    ///
    /// # Errors
    ///
    /// [`StartError`]; nothing has changed.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn set_peers(&self, peers: Vec<Peer>) -> Result<PeerChanges, StartError> {
        let peers = members::by_id(self.credentials.node_id(), peers)?;
        let mut tasks = self.tasks();
        if self.stop.is_set() {
            return Err(StartError::ShutDown);
        }
        if tasks.spawn.is_none() {
            return Err(StartError::NotStarted);
        }
        Ok(tasks.change(peers, &self.readers, &self.counters, || {
            Penalty::new(self.options.first_penalty)
        }))
    }

    /// How each listed peer stands, sorted by id.
    #[must_use]
    pub fn peers(&self) -> Vec<PeerStatus> {
        self.observer().peers()
    }

    /// What looks at it from any thread.
    #[must_use]
    pub fn observer(&self) -> TransportObserver {
        TransportObserver {
            local_addr: self.local_addr,
            slots: self.readers.slots.clone(),
            counters: self.counters.clone(),
        }
    }

    /// How many tasks have panicked since [`bind`](Self::bind). Those of peers and of the acceptor were started again.
    #[must_use]
    pub fn failed_tasks(&self) -> u64 {
        self.counters.failed_tasks.get()
    }

    /// Waits until nothing can be received or sent any more, which only another transport can mend. It counts as a
    /// [failed task](Self::failed_tasks).
    ///
    /// # Cancel safety
    ///
    /// It may be dropped and called again at any time.
    pub async fn network_lost(&self) {
        self.network_lost.wait().await;
    }

    /// What has happened since [`bind`](Self::bind).
    #[must_use]
    pub fn counters(&self) -> TransportCounters {
        self.counters.snapshot()
    }

    /// Stops: no connection is made or taken any more, those that there are are closed, and their
    /// peers depart. What has not ended by the deadline is aborted, and its peer departs when the handler comes to
    /// it. Then the peers are told, for as long as the deadline leaves.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, it aborts what still runs.
    pub async fn shutdown(&self, deadline: Duration) -> TransportReport {
        let began = Instant::now();
        let mut tasks = {
            let mut tasks = self.tasks();
            self.stop.set();
            mem::take(&mut tasks.set)
        };
        let joined = async {
            while let Some(ended) = tasks.join_next().await {
                members::count_panic(&ended, &self.counters);
            }
        };
        let ended = timeout(deadline, joined).await;
        let aborted_tasks = tasks.len();
        if ended.is_err() {
            tracing::warn!(tasks = aborted_tasks, "shut down before all peers had departed");
            tasks.shutdown().await;
        }
        self.endpoint.close(CLOSE_SHUTDOWN, b"shut down");
        let left = deadline.saturating_sub(began.elapsed());
        // Whoever has not answered until then finds out by the idle timeout.
        let _ = timeout(left, self.endpoint.wait_idle()).await;
        TransportReport { failed_tasks: self.failed_tasks(), aborted_tasks }
    }

    fn tasks(&self) -> MutexGuard<'_, Tasks> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Transport {
    fn drop(&mut self) {
        self.tasks().set.abort_all();
        self.endpoint.close(CLOSE_SHUTDOWN, b"shut down");
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport")
            .field("node_id", &self.credentials.node_id())
            .field("local_addr", &self.local_addr)
            .field("counters", &self.counters())
            .finish_non_exhaustive()
    }
}
