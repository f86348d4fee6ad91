//! An engine of any flows: their names, messages and peers are the program's own.
//!
//! ```text
//!  FlowWorker "blocks"   FlowWorker "votes"   …       messages, each flow with lanes and threads of its own
//!          ▲                    ▲
//!          └──── AnyFlow ───────┘                     what is done with all flows alike
//!                   ▲
//!                 Inner ──▶ FlowWorker of the peers   who comes and goes, and what was dropped: PeerHandler
//!                   ▲
//!       Engine, Connection, Watch
//! ```
//!
//! | file | its subject |
//! |---|---|
//! | `builder` | how an engine is made |
//! | `any_flow` | a flow whose messages are of no matter |
//! | `peers` | what the program hears of its peers, and in which order |
//! | `connection`, `departures` | a peer's connection as a guard, and departures that find no capacity |
//! | `completion` | how a submitter learns that a callback has returned |

use std::{
    borrow::Borrow,
    fmt,
    sync::{Arc, OnceLock, Weak},
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;

use self::{
    any_flow::AnyFlow,
    completion::{Completion, completion},
    departures::Departures,
};
use crate::{
    Execute, FlowWorker, MetricsRegistry, NodeId, PeerKey, RefusalReason, ShutdownReport,
    clock::instant_after,
    flow_worker::{LaneLeft, Reported},
    panics::contain,
    watch::{Watch, Watched},
};

mod any_flow;
mod builder;
mod completion;
mod connection;
mod departures;
mod peers;

pub use self::{
    builder::{EngineBuilder, MAX_FLOWS},
    connection::{Closing, Connecting, Connection},
    peers::PeerHandler,
};
pub(crate) use self::{
    completion::Completion as PeerCompletion,
    peers::{OnPeerChange, PeerChange},
};

/// Flows of a program's own, and the peers whose messages they run.
///
/// Each flow is a [`FlowWorker`] with a name, a bound, threads and a message type of its own. The engine adds what
/// takes more than one flow: peers that come and go in order, notices of what was dropped, a watch for handlers that
/// are stuck. [`AsyncTransportEventHandlerImpl`](crate::AsyncTransportEventHandlerImpl) is an engine of five flows with
/// a codec in front.
///
/// ```
/// use std::{sync::mpsc, time::Duration};
/// use gossip_engine::{Engine, FlowConfig, MetricsRegistry};
///
/// struct Vote(u32);
/// let (sender, receiver) = mpsc::channel();
///
/// let registry = MetricsRegistry::new();
/// let mut builder = Engine::<String>::builder(&registry);
/// let blocks = builder.flow("blocks", FlowConfig::new(1_000), |from: &String, block: Vec<u8>| {
///     println!("{} bytes from {from}", block.len());
/// })?;
/// let votes = builder.flow("votes", FlowConfig::new(10_000), move |_: &String, Vote(vote)| {
///     sender.send(vote).unwrap();
/// })?;
/// let engine = builder.build()?;
/// # futures_executor::block_on(async {
/// let peer = engine.connect("bern".to_owned()).await.expect("the engine is open");
/// blocks.execute(peer.id(), vec![1, 2, 3]).await.expect("it is open");
/// votes.execute(peer.id(), Vote(7)).await.expect("it is open");
/// # assert_eq!(receiver.recv(), Ok(7));
/// peer.close().await;
/// # });
/// assert!(engine.shutdown(Duration::from_secs(10)).is_clean());
/// registry.snapshot().verify()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Peers
///
/// A program connects a peer before it submits the peer's first message, and closes the [`Connection`] after the last.
/// The engine calls its [`PeerHandler`] for both. It does not look whether a message is from a peer that is connected.
///
/// # Dropping
///
/// Clones are the same engine, and so is a connection. When the last of them is dropped, the flows close, what was
/// admitted still runs, and the threads end. [`shutdown`](Self::shutdown) does the same and waits.
pub struct Engine<K: PeerKey = NodeId> {
    owner: Arc<Owner<K>>,
}

/// Of these there is one for each engine: its end ends the engine.
struct Owner<K: PeerKey> {
    inner: Arc<Inner<K>>,
    _watch: Watch,
}

/// What the watch looks at.
struct Inner<K: PeerKey> {
    flows: Flows<K>,
    /// Those who come and go, in order.
    peers: FlowWorker<PeerChange<K>, K>,
    departures: Departures<K>,
    watch: ArcSwap<WatchConfig>,
    registry: MetricsRegistry,
}

/// Notifies the engine when a lane of a departed peer is left. The engine is made after its flows.
struct LeftBell<K: PeerKey>(OnceLock<Weak<Inner<K>>>);

impl<K: PeerKey> LaneLeft for LeftBell<K> {
    fn lane_left(&self) {
        if let Some(inner) = self.0.get().and_then(Weak::upgrade) {
            inner.look_at_departures();
        }
    }
}

/// All flows but that of the peers. They close when this is dropped, also if others have them.
struct Flows<K: PeerKey>(Vec<Box<dyn AnyFlow<K>>>);

impl<K: PeerKey> Drop for Flows<K> {
    fn drop(&mut self) {
        // It wakes submitters, whose wakers are the user's code.
        self.0.iter().for_each(|flow| contain(|| flow.close()));
    }
}

/// What the watch goes by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WatchConfig {
    pub(crate) drop_notice_interval: Duration,
    pub(crate) stuck_handler_timeout: Duration,
}

/// A peer's coming or going, under way, and how to know that its callback has returned.
/// There is nothing to submit yet if what a departed peer has queued runs first.
pub(crate) type Change<K> = (Option<Execute<PeerChange<K>, K>>, Completion);

impl<K: PeerKey> Engine<K> {
    /// Begins an engine that counts in this registry.
    pub fn builder(registry: &MetricsRegistry) -> EngineBuilder<K> {
        EngineBuilder::new(registry)
    }

    /// A peer has connected: calls [`on_peer_up`](PeerHandler::on_peer_up), and resolves to a guard of the connection,
    /// whose end calls [`on_peer_down`](PeerHandler::on_peer_down).
    ///
    /// The event is submitted before this returns. No message of the peer that is submitted after the future has
    /// resolved starts before `on_peer_up` has returned.
    ///
    /// # Errors
    ///
    /// The future resolves to a [`RefusalReason`] if the flow of the peers does not admit the event. The transport may
    /// close the connection then: `on_peer_down` will not be called. The reason is
    /// [`TooManyWaiters`](RefusalReason::TooManyWaiters), too, if a departure of the peer is yet to be submitted, or 64
    /// departures were refused and are to be submitted again. A future that resolves says so a moment before its
    /// capacity is free, so a flow that [refuses](crate::OverloadPolicy::Refuse) may be full then.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped at any time. If `on_peer_up` has been called by then, or will be, `on_peer_down`
    /// follows.
    pub fn connect(&self, peer: K) -> Connecting<K> {
        Connecting::new(self, peer)
    }

    /// Gives a peer's messages a larger share of the time of each flow: see
    /// [`FlowWorker::set_peer_weight`]. False if it could not be set in all flows.
    #[must_use = "the weight may not have been set"]
    pub fn set_peer_weight(&self, peer: impl Borrow<K>, weight: u32) -> bool {
        let flows = self.inner().flows.0.iter();
        flows.fold(true, |is_set, flow| is_set & flow.set_peer_weight(peer.borrow(), weight))
    }

    /// Admits nothing more, lets what was admitted run until the deadline, drops and counts what has
    /// not started by then, ends the threads of all flows and says what was left.
    ///
    /// Calls that wait for capacity resolve with an error at once. Peers that are still connected are not reported as
    /// [down](PeerHandler::on_peer_down). Concerns all clones. Blocks the caller
    /// for `deadline` at the most, and up to a second more for each flow whose threads have nothing
    /// left to run and do not end; an asynchronous program calls it where blocking is allowed.
    /// [`FlowWorker::shutdown`] says what happens to a handler that is stuck.
    ///
    /// Called on a thread of a flow, or by a waker or the `Drop` of a message that a flow calls, it closes all flows
    /// and returns at once, with a report that is not clean.
    pub fn shutdown(&self, deadline: Duration) -> ShutdownReport {
        self.shut_down_by(instant_after(deadline))
    }

    pub(crate) fn shut_down_by(&self, deadline: Instant) -> ShutdownReport {
        let Inner { flows: Flows(flows), peers, .. } = self.inner();
        // All first, so that the flows run out side by side.
        flows.iter().for_each(|flow| flow.close());
        peers.close();
        let reports = flows.iter().map(|flow| (flow.name(), flow.shut_down_by(deadline)));
        let of_peers = std::iter::once_with(|| (peers.name(), peers.shut_down_by(deadline)));
        ShutdownReport::new(reports.chain(of_peers))
    }

    fn inner(&self) -> &Inner<K> {
        &self.owner.inner
    }

    /// The flow of the peers.
    pub(crate) fn peers(&self) -> &FlowWorker<PeerChange<K>, K> {
        &self.inner().peers
    }

    pub(crate) fn set_watch(&self, config: WatchConfig) {
        self.inner().watch.store(Arc::new(config));
    }

    /// A peer has connected.
    pub(crate) fn peer_up(&self, peer: &K) -> Change<K> {
        let (completer, completion) = completion();
        (Some(self.peers().execute(peer, PeerChange::Up(completer))), completion)
    }

    /// A peer has gone: what it has queued is cancelled, or runs, and then the program is notified.
    pub(crate) fn peer_down(&self, peer: &K) -> Change<K> {
        self.inner().peer_down(peer)
    }

    /// Whether the peer's last departure is yet to be submitted, so that an arrival would overtake it.
    pub(crate) fn departs(&self, peer: &K) -> bool {
        self.inner().departures.hold(peer)
    }
}

impl<K: PeerKey> Inner<K> {
    fn peer_down(&self, peer: &K) -> Change<K> {
        let lanes: Vec<_> = self.flows.0.iter().flat_map(|flow| flow.depart(peer)).collect();
        let (completer, completion) = completion();
        let change = PeerChange::Down(lanes, completer);
        // Not before an earlier one, of the same connection or of one that ended without it.
        if change.is_due() && !self.departures.hold_one_of(peer) {
            return (Some(self.peers.execute(peer, change)), completion);
        }
        let is_due = self.departures.drain(peer, change);
        // A lane that was left before has notified in vain; the watch may have found none, and ended.
        if is_due || self.peers.is_closed() {
            self.look_at_departures();
        }
        (None, completion)
    }
}

impl<K: PeerKey> Drop for Inner<K> {
    fn drop(&mut self) {
        // What is kept is refused, and counted so. It wakes submitters, whose wakers are the user's code.
        contain(|| self.peers.close());
        self.look_at_departures();
    }
}

impl<K: PeerKey> Watched for Inner<K> {
    /// For each flow, that of the peers last.
    type Known = Vec<Reported>;

    fn look(&self, known: &mut Self::Known) {
        known.resize_with(self.flows.0.len() + 1, Reported::default);
        self.look_at_departures();
        let config = **self.watch.load();
        for (flow, known) in self.flows.0.iter().zip(known.iter_mut()) {
            flow.notify_drops(config.drop_notice_interval, &|peer, count| {
                self.registry.notice();
                let change = PeerChange::Dropped(flow.name(), count);
                let refused = self.peers.try_execute(peer, change).err();
                // Nobody will ever hear of it, and to offer it again and again would only count.
                refused.is_none_or(|refused| refused.reason == RefusalReason::Closed)
            });
            flow.look(config.stuck_handler_timeout, known);
        }
        if let Some(known) = known.last_mut() {
            self.peers.look(config.stuck_handler_timeout, known);
        }
    }

    fn is_over(&self) -> bool {
        self.peers.is_over()
            && self.flows.0.iter().all(|flow| flow.is_over())
            // Last, see `depart`. The next look ends the wait for one that the shutdown has refused.
            && self.departures.are_none()
    }
}

impl<K: PeerKey> Clone for Engine<K> {
    fn clone(&self) -> Self {
        Self { owner: Arc::clone(&self.owner) }
    }
}

impl<K: PeerKey> fmt::Debug for Engine<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flows = self.inner().flows.0.iter().map(|flow| flow.name());
        f.debug_struct("Engine").field("flows", &flows.collect::<Vec<_>>()).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;
