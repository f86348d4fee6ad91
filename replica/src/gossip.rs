//! The gossip protocol of the replica: adverts, requests and chunks of files.
//!
//! [`ReplicaGossip`] is what the engine calls, on many threads. What to do is decided by two state machines
//! behind one lock, `downloads` (what to fetch from whom) and `answers` (whom to tell what); files are
//! read, written and hashed, and messages sent, outside of it.
//!
//! Nothing that a peer says is believed further than it can be checked: adverts are checked for what is
//! possible, chunks for having been asked for and for their length, content for its hash. A replica asks
//! always for the adverts of all heights: a height counts what one replica holds, begins anew when that
//! one restarts, and the highest seen says nothing about gaps below it.
//!
//! May lose: messages that the transport loses. Chunks are asked for again after a time-out, adverts with
//! the next retransmission request. What the engine drops is asked for again at once, or with the next tick.
//! An advert that the broadcaster has no capacity for is not lost: its recipients get it with the next tick.

mod answers;
mod callbacks;
mod catalogs;
mod claim;
mod counters;
mod downloads;
#[cfg(any(test, fuzzing))]
mod invariants;
mod lacks;
mod options;
mod serve;
mod shares;
mod throttle;
mod work;

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use gossip_engine::{ArtifactDestination, ArtifactId, GossipAdvert};

pub use self::{
    catalogs::CatalogPublishError,
    counters::{DownloadStatus, FetchCounters, GossipSnapshot, ServeCounters},
    lacks::{Lack, SaidLack},
    options::{GossipOptions, MAX_CHUNKS, MIN_CHUNK_BYTES, OptionsError},
};

pub(crate) use self::claim::Claim;
#[cfg(any(test, fuzzing))]
pub(crate) use self::claim::advert_of;

use self::{
    answers::Answers,
    downloads::{AttemptId, Downloads, Order},
    lacks::Lacks,
    shares::Unknown,
    throttle::Throttle,
};
use crate::{
    catalog::Catalogs,
    changes::Changes,
    outbox::Outbox,
    store::{Artifact, Imported, Partial, Store, StoreError},
};

/// How much time lies at least between two times that all peers are asked because something was lost.
const LOSSES_INTERVAL: Duration = Duration::from_secs(5);

/// Tells everybody about an artifact: see [`ReplicaGossip::new`].
type Announce = Box<dyn Fn(GossipAdvert, ArtifactDestination) -> Result<(), Full> + Send + Sync>;
type Clock = Box<dyn Fn() -> Duration + Send + Sync>;

/// The broadcaster has no capacity for an advert at the moment.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("no capacity for an advert")]
pub struct Full {
    /// Where the advert was to go.
    pub destination: ArtifactDestination,
}

/// Why a file has not been published.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The file cannot be read, or the store cannot take it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Peers would not fetch it.
    #[error("{} has {size} bytes, over the limit of {limit}", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes: [`GossipOptions::max_published_bytes`].
        limit: u64,
    },
}

/// The protocol of one replica, over its store and its outbox. See the [module](self).
pub struct ReplicaGossip {
    options: GossipOptions,
    store: Store,
    catalogs: Catalogs,
    outbox: Arc<dyn Outbox>,
    announce: Announce,
    clock: Clock,
    state: Mutex<State>,
    changes: Changes,
    lacks: Mutex<Lacks>,
    throttle: Option<Throttle>,
}

#[derive(Debug)]
struct State {
    downloads: Downloads,
    answers: Answers,
    served: ServeCounters,
    /// When losses are looked at next.
    losses_at: Duration,
    /// How often the store's folder had been found again when this was looked at last.
    restorations: u64,
    /// When the retired artifacts are looked through next.
    retention_at: Duration,
    /// How many more bytes something would have needed to fit since then; the least of these.
    short_of: Option<u64>,
    /// Whether something is named again whose adverts were passed over.
    has_returned: bool,
    unknown: Unknown,
    /// The files of the attempts, from the reservation of their space on.
    partials: BTreeMap<AttemptId, Arc<Partial>>,
}

impl fmt::Debug for ReplicaGossip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplicaGossip")
            .field("options", &self.options)
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

impl ReplicaGossip {
    /// A replica that gossips what is in `store`, by the names in `catalogs`, which lie in
    /// [its folder](Store::catalogs_folder).
    ///
    /// `announce` is called for each artifact that has been published or fetched, on the thread that did
    /// it. It passes the advert on to the engine's [`AdvertBroadcaster`](gossip_engine::AdvertBroadcaster), which calls
    /// [`broadcast_advert`](gossip_engine::Gossip::broadcast_advert) in its turn. What it returns as [`Full`] is sent
    /// with the next tick of the clock, past the broadcaster. It must not hold this `ReplicaGossip` alive,
    /// or neither is ever freed.
    ///
    /// # Errors
    ///
    /// [`OptionsError`] names the option that cannot be.
    pub fn new(
        options: GossipOptions,
        store: Store,
        catalogs: Catalogs,
        outbox: Arc<dyn Outbox>,
        announce: impl Fn(GossipAdvert, ArtifactDestination) -> Result<(), Full> + Send + Sync + 'static,
    ) -> Result<Self, OptionsError> {
        let started = Instant::now();
        let salt = rand::random();
        Self::with_clock(
            options,
            store,
            catalogs,
            outbox,
            announce,
            move || started.elapsed(),
            salt,
        )
    }

    /// A replica whose time is whatever `clock` says, for tests on virtual time. It begins at 0 or later
    /// and never goes back. The order in which it fetches is that of hashes with `salt`.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new).
    pub fn with_clock(
        options: GossipOptions,
        store: Store,
        catalogs: Catalogs,
        outbox: Arc<dyn Outbox>,
        announce: impl Fn(GossipAdvert, ArtifactDestination) -> Result<(), Full> + Send + Sync + 'static,
        clock: impl Fn() -> Duration + Send + Sync + 'static,
        salt: u64,
    ) -> Result<Self, OptionsError> {
        Self::with_order(options, store, catalogs, outbox, announce, clock, Order::Salted(salt))
    }

    fn with_order(
        options: GossipOptions,
        store: Store,
        catalogs: Catalogs,
        outbox: Arc<dyn Outbox>,
        announce: impl Fn(GossipAdvert, ArtifactDestination) -> Result<(), Full> + Send + Sync + 'static,
        clock: impl Fn() -> Duration + Send + Sync + 'static,
        order: Order,
    ) -> Result<Self, OptionsError> {
        options.validate()?;
        let catalogs = catalogs.with_limits(options.max_publisher_bytes, options.max_unnamed_bytes);
        let state = State {
            downloads: Downloads::new(options.clone(), order),
            answers: Answers::default(),
            served: ServeCounters::default(),
            losses_at: Duration::ZERO,
            restorations: 0,
            retention_at: Duration::ZERO,
            short_of: None,
            has_returned: false,
            unknown: Unknown::found_until(store.last_height()),
            partials: BTreeMap::new(),
        };
        Ok(Self {
            throttle: options.serve_bytes_per_second.map(Throttle::new),
            options,
            store,
            catalogs,
            outbox,
            announce: Box::new(announce),
            clock: Box::new(clock),
            state: Mutex::new(state),
            changes: Changes::default(),
            lacks: Mutex::default(),
        })
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The options.
    #[must_use]
    pub fn options(&self) -> &GossipOptions {
        &self.options
    }

    /// How many artifacts are held. One atomic reading.
    #[must_use]
    pub fn artifact_count(&self) -> u64 {
        self.store.count()
    }

    /// Where the replica stands. Takes the protocol's lock for a moment.
    #[must_use]
    pub fn snapshot(&self) -> GossipSnapshot {
        let mut state = self.state();
        GossipSnapshot {
            artifacts: self.store.count(),
            bytes: self.store.bytes(),
            wanted: state.downloads.wanted_count() as u64,
            missing_bytes: state.downloads.missing_bytes(),
            waiting_for_space: state.downloads.waiting_for_space() as u64,
            active: state.downloads.active_count() as u64,
            peers: state.answers.peer_count() as u64,
            fetched: *state.downloads.counters(),
            served: state.served,
        }
    }

    /// What is being fetched, oldest first: at most [`GossipOptions::max_downloads`]. Takes the protocol's
    /// lock for a moment.
    #[must_use]
    pub fn downloads(&self) -> Vec<DownloadStatus> {
        let now = (self.clock)();
        self.state().downloads.status(now)
    }

    /// Takes a file into the store and, if its content is new there, announces it to all replicas. The
    /// file itself stays as it is.
    ///
    /// # Errors
    ///
    /// [`PublishError`]; nothing is stored or announced.
    pub fn publish(&self, path: &Path) -> Result<Imported, PublishError> {
        let limit = self.options.max_published_bytes();
        // A length that cannot be read is the import's to report.
        let size = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
        if size > limit {
            return Err(PublishError::TooLarge { path: path.into(), size, limit });
        }
        let imported = self.store.import(path).inspect_err(|error| self.note_space(error))?;
        self.catalogs.note_own(imported.artifact.id);
        if imported.new {
            self.enter(imported.artifact);
        }
        Ok(imported)
    }

    /// An artifact of this replica's own has come into the store.
    pub(crate) fn enter(&self, artifact: Artifact) {
        self.changes.note();
        let now = (self.clock)();
        self.act(|state| state.downloads.held(artifact.id, now));
        self.announce(artifact, ArtifactDestination::AllReplicas);
    }

    /// Serves as fast as it can from now on, whatever
    /// [`serve_bytes_per_second`](GossipOptions::serve_bytes_per_second) says: before a shutdown, which waits for
    /// what was admitted.
    pub(crate) fn lift_throttle(&self) {
        if let Some(throttle) = &self.throttle {
            throttle.lift();
        }
    }

    /// Has all peers asked for their adverts if the store has lost something, or something is wanted again. Its holders
    /// advertised it when this replica did not want it. If it was refused of some peers only, these are asked.
    fn ask_for_losses(&self, state: &mut State, now: Duration) {
        if now < state.losses_at {
            return;
        }
        let asks_all = state.has_returned || !self.store.take_lost().is_empty();
        let refused = state.take_refused();
        if !asks_all && refused.is_empty() {
            return;
        }
        state.has_returned = false;
        state.losses_at = now + LOSSES_INTERVAL;
        for peer in state.answers.peers().filter(|peer| asks_all || refused.contains(peer)) {
            state.downloads.ask_soon(peer, now);
        }
    }

    /// Wants no longer what lies in a folder that was moved away and is back.
    fn notice_found(&self, state: &mut State, now: Duration) {
        let restorations = self.store.restorations();
        if restorations == state.restorations {
            return;
        }
        state.restorations = restorations;
        state.unknown = Unknown::found_until(self.store.last_height());
        let wanted = state.downloads.wanted();
        let found: Vec<ArtifactId> = wanted.filter(|id| self.store.contains(*id)).collect();
        for id in found {
            state.downloads.held(id, now);
        }
    }

    fn lacks(&self) -> MutexGuard<'_, Lacks> {
        // Figures to look at.
        self.lacks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic in the state machine is a bug that the engine reports; the other peers go on.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ReplicaGossip {
    /// What is on its way is kept for the next run.
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        state.partials.values().for_each(|partial| partial.keep());
    }
}

#[cfg(test)]
mod tests;
