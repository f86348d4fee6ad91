//! The QUIC transport: authenticated connections to the replicas on a list, a stream for each flow.
//!
//! ```text
//! bind -> (connections wait) -> start -> PeerUp, messages, PeerDown ... -> shutdown
//! ```
//!
//! Between two replicas there is one connection, dialled by the one with the smaller id and dialled
//! again whenever it breaks. A connection whose key is proven replaces an older one of the same peer.
//! Each end opens one unidirectional stream per flow and writes [frames](frame) to it. A message that
//! the handler has no room for waits, and holds back its own flow of its own peer and nothing else.
//!
//! All that a peer sends is untrusted. Whoever breaks the protocol is cut off with one line in the log
//! and shut out for a while, longer each time. [`limits`] has every bound, and the memory that they
//! add up to. What may be lost: messages to a peer that is not connected or reads too slowly, and all
//! that is queued or under way when a connection ends. Each loss on our side is counted in
//! [`TransportCounters`]; the protocol's timeouts and retransmission requests repair it.

use std::{
    collections::{HashMap, HashSet},
    fmt, io, mem,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use gossip_engine::{EventError, NodeId, Submitted, TransportEvent};
use quinn::Endpoint;
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};
use tower_service::Service;

use self::{
    accept::Door,
    backoff::Penalty,
    breach::CLOSE_SHUTDOWN,
    connection::PeerContext,
    counters::Counters,
    handover::Handover,
    limits::{FIRST_PENALTY, IDLE_TIMEOUT, LAST_PENALTY, MAX_IDLE_TIMEOUT, MIN_IDLE_TIMEOUT},
    outbound::{Link, Links},
    peer::Route,
    stop::Stop,
};
use crate::{identity::Identity, outbox::Outbox, tls::TlsError};

mod accept;
mod backoff;
mod breach;
mod connection;
mod counters;
mod endpoint;
pub mod frame;
mod handler;
mod handover;
pub mod limits;
mod outbound;
mod peer;
mod reader;
mod stop;
mod writer;

pub use counters::{FlowCounters, TransportCounters};

/// A replica that the transport keeps a connection with.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Peer {
    /// Who it is: the key that it has to prove.
    pub node_id: NodeId,
    /// Where it listens.
    pub address: SocketAddr,
}

/// What may be chosen about a transport; the rest is in [`limits`].
#[derive(Clone, Debug)]
pub struct TransportOptions {
    idle_timeout: Duration,
    first_penalty: Duration,
}

impl Default for TransportOptions {
    /// [`IDLE_TIMEOUT`] and [`FIRST_PENALTY`].
    fn default() -> Self {
        Self { idle_timeout: IDLE_TIMEOUT, first_penalty: FIRST_PENALTY }
    }
}

impl TransportOptions {
    /// How long a peer may be silent before it counts as gone; the shorter one of both ends holds.
    /// What is outside [`MIN_IDLE_TIMEOUT`] and [`MAX_IDLE_TIMEOUT`] counts as the nearer of them.
    #[must_use]
    pub fn with_idle_timeout(mut self, idle_timeout: Duration) -> Self {
        self.idle_timeout = idle_timeout.clamp(MIN_IDLE_TIMEOUT, MAX_IDLE_TIMEOUT);
        self
    }

    /// How long a peer is shut out after its first break of the protocol, at most [`LAST_PENALTY`].
    #[must_use]
    pub fn with_first_penalty(mut self, first_penalty: Duration) -> Self {
        self.first_penalty = first_penalty.min(LAST_PENALTY);
        self
    }
}

/// Why a transport cannot be bound.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// The address is not ours to listen on, or is in use.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where it was to listen.
        address: SocketAddr,
        /// Why it cannot.
        source: io::Error,
    },
    /// The identity is of no use for TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Why a transport cannot be started. It is as it was before.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A replica is no peer of itself.
    #[error("the list of peers names this replica itself ({0})")]
    OwnId(NodeId),
    /// A peer has one address.
    #[error("the list of peers names {0} twice")]
    Duplicate(NodeId),
    /// It has been started before, and its peers are fixed.
    #[error("the transport has been started already")]
    AlreadyStarted,
    /// It has been shut down, or its handler takes no more events.
    #[error("the transport has been shut down")]
    ShutDown,
    /// The identity is of no use for TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// The transport of one replica.
///
/// Dropping it aborts all of its tasks and closes its connections without a word to the handler; what
/// a task does at that moment, it ends at its next `await`. QUIC's own task stays for the moment that
/// it takes to tell the peers.
pub struct Transport {
    identity: Identity,
    options: TransportOptions,
    endpoint: Endpoint,
    local_addr: SocketAddr,
    links: Arc<Links>,
    counters: Arc<Counters>,
    stop: Stop,
    /// Locked at start and shutdown only.
    tasks: Mutex<JoinSet<()>>,
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
        let (endpoint, local_addr) = endpoint::bind(identity, listen, options.idle_timeout)?;
        let counters = Arc::new(Counters::default());
        Ok(Self {
            identity: identity.clone(),
            options,
            endpoint,
            local_addr,
            links: Arc::new(Links::new(counters.clone())),
            counters,
            stop: Stop::new(),
            tasks: Mutex::default(),
        })
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
        self.links.clone()
    }

    /// Connects with `peers`, and hands what happens to `handler`.
    ///
    /// For each connection the handler gets `PeerUp`, then the peer's messages, in order within each
    /// flow, then `PeerDown`; the next connection of that peer comes after it. The call of an event is
    /// awaited before the next event of the same stream is read. A handler that answers
    /// [`Malformed`](EventError::Malformed) has the peer cut off. For [`Unknown`](EventError::Unknown) the message is
    /// skipped and counted. One that has no room loses the message, and one that is closed stops the transport.
    ///
    /// # Errors
    ///
    /// [`StartError`]; nothing has been started.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn start<S>(&self, peers: Vec<Peer>, handler: S) -> Result<(), StartError>
    where
        S: Service<TransportEvent, Response = Submitted, Error = EventError>
            + Clone
            + Send
            + 'static,
        S::Future: Send,
    {
        let own = self.identity.node_id();
        let mut seen = HashSet::new();
        for peer in &peers {
            if peer.node_id == own {
                return Err(StartError::OwnId(own));
            }
            if !seen.insert(peer.node_id) {
                return Err(StartError::Duplicate(peer.node_id));
            }
        }
        // The smaller id dials.
        let (diallers, dialled): (Vec<Peer>, Vec<Peer>) =
            peers.iter().partition(|peer| peer.node_id < own);
        let allowed = diallers.iter().map(|peer| peer.node_id).collect();
        let idle_timeout = self.options.idle_timeout;
        let server = endpoint::server_config(&self.identity, allowed, idle_timeout)?;
        let routes = dialled
            .into_iter()
            .map(|Peer { node_id, address }| {
                let config = endpoint::client_config(&self.identity, node_id, idle_timeout)?;
                Ok((node_id, Route { endpoint: self.endpoint.clone(), address, config }))
            })
            .collect::<Result<Vec<_>, TlsError>>()?;

        let mut tasks = self.tasks();
        if self.stop.is_set() {
            return Err(StartError::ShutDown);
        }
        let links: HashMap<_, _> =
            peers.iter().map(|peer| (peer.node_id, Arc::new(Link::default()))).collect();
        if !self.links.fix(links.clone()) {
            return Err(StartError::AlreadyStarted);
        }
        let context = |peer: NodeId| PeerContext {
            peer,
            link: links[&peer].clone(),
            counters: self.counters.clone(),
            handler: handler.clone(),
            stop: self.stop.clone(),
        };
        let penalty = || Penalty::new(self.options.first_penalty);
        let mut handovers = HashMap::new();
        for peer in diallers {
            let handover = Arc::new(Handover::default());
            handovers.insert(peer.node_id, handover.clone());
            tasks.spawn(context(peer.node_id).keep_accepting(handover, penalty()));
        }
        let door = Door {
            endpoint: self.endpoint.clone(),
            config: Arc::new(server),
            handovers,
            counters: self.counters.clone(),
            stop: self.stop.clone(),
        };
        tasks.spawn(door.keep_open());
        for (peer, route) in routes {
            tasks.spawn(context(peer).keep_dialling(route, penalty()));
        }
        Ok(())
    }

    /// What has happened since [`bind`](Self::bind).
    #[must_use]
    pub fn counters(&self) -> TransportCounters {
        self.counters.snapshot()
    }

    /// Stops: no connection is made or taken any more, those that there are are closed, and their
    /// `PeerDown` is handed over. What has not ended by the deadline is aborted. Then the peers are
    /// told, for as long as the deadline leaves.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, it aborts what still runs.
    pub async fn shutdown(&self, deadline: Duration) {
        let began = Instant::now();
        let mut tasks = {
            let mut tasks = self.tasks();
            self.stop.set();
            mem::take(&mut *tasks)
        };
        let ended = timeout(deadline, async { while tasks.join_next().await.is_some() {} }).await;
        if ended.is_err() {
            tracing::warn!(tasks = tasks.len(), "shut down before all peers had departed");
            tasks.shutdown().await;
        }
        self.endpoint.close(CLOSE_SHUTDOWN, b"shut down");
        let left = deadline.saturating_sub(began.elapsed());
        // Whoever has not answered until then finds out by the idle timeout.
        let _ = timeout(left, self.endpoint.wait_idle()).await;
    }

    fn tasks(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Transport {
    fn drop(&mut self) {
        self.tasks().abort_all();
        self.endpoint.close(CLOSE_SHUTDOWN, b"shut down");
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport")
            .field("node_id", &self.identity.node_id())
            .field("local_addr", &self.local_addr)
            .field("counters", &self.counters())
            .finish_non_exhaustive()
    }
}
