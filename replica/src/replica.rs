//! One running replica: transport, engine, protocol, clock and store, put together.
//!
//! ```text
//!            arrivals, frames, departures             callbacks on the flows' threads
//! Transport ───────────────────────────> event handler ──────────────> ReplicaGossip ── Store <── verifier
//!   ^ ^                                    ^                            ^   │   │
//!   │ │                                    │   clock (every 100 ms) ────┘   │   │ announce
//!   │ └──────────── Outbox ────────────────┼────────────────────────────────┘   v
//!   │                  ^─────────── broadcast_advert ────────────────── AdvertBroadcaster
//!   │                                      │
//!   └─ set_peers                           └─ reconfigure              Observer: reads all of them
//! ```
//!
//! It starts in two steps, since peers have to know each other's ports before any of them is chosen:
//! [`BoundReplica::bind`] opens the store and listens, [`BoundReplica::start`] takes the list of peers.
//!
//! [`Replica::shutdown`] ends the parts in the order in which they feed each other: clock, transport,
//! handler, broadcaster, and at last the thread that verifies the store. A replica that is dropped instead ends at
//! once: what was queued is lost as if the process had died, and nothing in the store is. Its threads end when the
//! callbacks that are running return, and only then is the store's folder free for another replica.

use std::{
    collections::BTreeSet,
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use gossip_engine::{
    AdvertBroadcaster, AsyncTransportEventHandlerImpl, BuildError, ChannelConfig, ConfigError,
    FlowReport, MetricsRegistry, MetricsSnapshot, NodeId, P2PThreadJoiner, ShutdownReport,
};

use crate::{
    blocking::blocking,
    catalog::Catalogs,
    gossip::{Full, PublishError, ReplicaGossip},
    identity::Identity,
    store::{Imported, Store, Verifying},
    transport::{
        Peer, PeerChanges, PeerStatus, StartError, Transport, TransportCounters, TransportReport,
    },
};

mod observer;
mod options;

pub use self::{
    observer::{Observer, keep_reporting_lacks},
    options::{ReplicaError, ReplicaOptions},
};

/// A replica that listens and holds its store, and lets nobody in yet.
#[derive(Debug)]
pub struct BoundReplica {
    node_id: NodeId,
    options: ReplicaOptions,
    store: Store,
    catalogs: Catalogs,
    transport: Transport,
}

impl BoundReplica {
    /// Opens the store in `folder` and listens on `listen`, where port 0 lets the operating system choose.
    ///
    /// # Errors
    ///
    /// If an option is out of range, the folder cannot be used, or the address cannot be listened on.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with its timers and network enabled.
    pub async fn bind(
        identity: &Identity,
        listen: SocketAddr,
        folder: &Path,
        options: ReplicaOptions,
    ) -> Result<Self, ReplicaError> {
        options.gossip.validate()?;
        options.channels.validate().map_err(BuildError::from)?;
        // First what costs least to find out.
        let transport = Transport::bind(identity, listen, options.transport.clone())?;
        let node_id = identity.node_id();
        let folder = folder.to_owned();
        let store_options = options.store;
        let (store, catalogs) = blocking(move || {
            let store = Store::open_with(&folder, store_options)?;
            let folder = store.catalogs_folder();
            let catalogs = Catalogs::open(&folder);
            let catalogs = catalogs.map_err(|error| ReplicaError::Catalogs { folder, error })?;
            let catalogs = catalogs.with_own(node_id);
            Ok::<_, ReplicaError>((store, catalogs))
        })
        .await?;
        Ok(Self { node_id, options, store, catalogs, transport })
    }

    /// Who it is and where it listens, for the lists of its peers.
    #[must_use]
    pub fn as_peer(&self) -> Peer {
        Peer { node_id: self.node_id, address: self.transport.local_addr().into() }
    }

    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.transport.local_addr()
    }

    /// Builds the engine around the protocol and connects with `peers`. The replica's own entry is skipped.
    ///
    /// # Errors
    ///
    /// If the list of peers cannot be, or the system gives no threads.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn start(self, peers: Vec<Peer>) -> Result<Replica, ReplicaError> {
        let Self { node_id, options, store, catalogs, transport } = self;
        let members = members(node_id, &peers);

        let metrics = MetricsRegistry::new();
        let broadcaster =
            Arc::new(AdvertBroadcaster::with_max_inflight(&metrics, options.advert_buffer)?);
        // Weak: the broadcaster holds the protocol, which must not hold it in turn.
        let announcer: Weak<AdvertBroadcaster<ReplicaGossip>> = Arc::downgrade(&broadcaster);
        let gossip = Arc::new(ReplicaGossip::new(
            options.gossip,
            store,
            catalogs,
            transport.outbox(),
            move |advert, destination| {
                // Without a broadcaster the replica is on its way out.
                let Some(broadcaster) = announcer.upgrade() else { return Ok(()) };
                let sent = broadcaster.send(advert, destination);
                sent.map_err(|dropped| Full { destination: dropped.destination })
            },
        )?);
        let handler = AsyncTransportEventHandlerImpl::new(
            node_id,
            &metrics,
            options.channels,
            gossip.clone(),
        )?;
        broadcaster.start(gossip.clone());
        // What is published from now on is compared with what was published last.
        gossip.set_members(members);
        gossip.complete_awaited();
        let verifying = gossip.store().start_verifying()?;
        let timer = P2PThreadJoiner::new(&metrics, gossip.clone())?;
        transport.start(peers, handler.clone())?;
        let observer = Observer {
            node_id,
            transport: transport.observer(),
            gossip: gossip.clone(),
            folders: Arc::default(),
            metrics,
            verifier_panics: verifying.panic_counter(),
        };
        Ok(Replica { verifying, timer, transport, handler, broadcaster, gossip, observer })
    }
}

/// Whose catalogs count.
fn members(own: NodeId, peers: &[Peer]) -> BTreeSet<NodeId> {
    peers.iter().map(|peer| peer.node_id).chain([own]).collect()
}

/// A running replica. See the [module](self) for what dropping it does.
pub struct Replica {
    verifying: Verifying,
    // In the order in which they feed each other, which is the order in which they are dropped.
    timer: P2PThreadJoiner,
    transport: Transport,
    handler: AsyncTransportEventHandlerImpl<ReplicaGossip>,
    broadcaster: Arc<AdvertBroadcaster<ReplicaGossip>>,
    gossip: Arc<ReplicaGossip>,
    observer: Observer,
}

impl Replica {
    /// Who it is.
    #[must_use]
    pub fn node_id(&self) -> NodeId {
        self.observer.node_id()
    }

    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.transport.local_addr()
    }

    /// What looks at it from any thread.
    #[must_use]
    pub fn observer(&self) -> &Observer {
        &self.observer
    }

    /// Its protocol. Whoever keeps it keeps the store's folder locked.
    #[must_use]
    pub fn gossip(&self) -> &Arc<ReplicaGossip> {
        &self.gossip
    }

    /// Its store.
    #[must_use]
    pub fn store(&self) -> &Store {
        self.gossip.store()
    }

    /// What the engine has counted since the start.
    #[must_use]
    pub fn metrics(&self) -> MetricsSnapshot {
        self.observer.metrics()
    }

    /// What the transport has counted since it was bound.
    #[must_use]
    pub fn transport_counters(&self) -> TransportCounters {
        self.transport.counters()
    }

    /// How each listed peer stands, sorted by id.
    #[must_use]
    pub fn peers(&self) -> Vec<PeerStatus> {
        self.transport.peers()
    }

    /// Makes `peers` the list of peers, as [`Transport::set_peers`] does. Catalogs count of those on it and of this
    /// replica.
    ///
    /// # Errors
    ///
    /// If the list cannot be, or the replica stops; nothing has changed.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn set_peers(&self, peers: Vec<Peer>) -> Result<PeerChanges, StartError> {
        let members = members(self.node_id(), &peers);
        let changes = self.transport.set_peers(peers)?;
        self.gossip.set_members(members);
        Ok(changes)
    }

    /// How often a task of the transport, or the thread that verifies the store, has panicked since the start.
    #[must_use]
    pub fn failed_tasks(&self) -> u64 {
        self.observer.failed_tasks()
    }

    /// Waits until the replica can reach nobody any more, as [`Transport::network_lost`] does. It can only be shut down
    /// then.
    ///
    /// # Cancel safety
    ///
    /// It may be dropped and called again at any time.
    pub async fn network_lost(&self) {
        self.transport.network_lost().await;
    }

    /// Changes the bounds, policies and ages of the flows while messages flow.
    ///
    /// # Errors
    ///
    /// As for [`AsyncTransportEventHandlerImpl::reconfigure`]; nothing has changed.
    pub fn reconfigure(&self, channels: ChannelConfig) -> Result<(), ConfigError> {
        self.handler.reconfigure(channels)
    }

    /// Takes a file into the store and announces it, on a thread where that may take its time.
    ///
    /// # Errors
    ///
    /// As for [`ReplicaGossip::publish`].
    ///
    /// # Cancel safety
    ///
    /// Dropped early, it may still publish the file.
    pub async fn publish(&self, path: PathBuf) -> Result<Imported, PublishError> {
        let gossip = self.gossip.clone();
        blocking(move || gossip.publish(&path)).await
    }

    /// Stops the clock, says goodbye to the peers, lets what was admitted run until the deadline, and
    /// says what was left. The store's folder is free afterwards, if the report
    /// [is clean](ReplicaReport::is_clean) and nobody else holds [`gossip`](Self::gossip).
    ///
    /// Takes about `deadline` at the most, and longer only if a callback of the clock is stuck.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, it has the effect of dropping the replica.
    pub async fn shutdown(self, deadline: Duration) -> ReplicaReport {
        let Self { verifying, timer, transport, handler, broadcaster, gossip, .. } = self;
        gossip.lift_throttle();
        drop(gossip);
        let began = Instant::now();
        let left = move || deadline.saturating_sub(began.elapsed());
        blocking(move || drop(timer)).await;
        let transported = transport.shutdown(left()).await;
        drop(transport);
        blocking(move || {
            let (flows, broadcast) = (handler.shutdown(left()), broadcaster.shutdown(left()));
            let verifier = verifying.stop(left());
            ReplicaReport { transport: transported, flows, broadcast, verifier }
        })
        .await
    }
}

impl fmt::Debug for Replica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replica")
            .field("node_id", &self.node_id())
            .field("transport", &self.transport)
            .field("gossip", &self.gossip)
            .finish_non_exhaustive()
    }
}

/// What a shutdown left.
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use]
#[non_exhaustive]
pub struct ReplicaReport {
    /// Of the connections.
    pub transport: TransportReport,
    /// Of the flows of messages.
    pub flows: ShutdownReport,
    /// Of the adverts on their way out.
    pub broadcast: FlowReport,
    /// Whether the verifier of the store has ended, and has never panicked.
    pub verifier: bool,
}

impl ReplicaReport {
    /// Everything that was admitted has run, all threads have ended, and no task of the transport has panicked.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.transport.is_clean()
            && self.flows.is_clean()
            && self.broadcast.is_clean()
            && self.verifier
    }
}
