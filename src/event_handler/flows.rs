//! The five flows of a handler, and which callback each of them runs.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use strum::EnumCount;

use super::{
    completion::{Completer, Completion, completion},
    connection::Departures,
    panic_table::PanicTable,
};
use crate::{
    BuildError, ChannelConfig, ConfigError, Execute, FlowType, FlowWorker, Gossip, MessageHandler,
    MetricsRegistry, NodeId, RefusalReason, ShutdownReport,
    clock::{Moment, nanos},
    flow_worker::{PeerLane, RememberedLane, Reported},
    panics::contain,
    sync::Mutex,
    watch::Watched,
};

/// How long, over all flows, `on_peer_down` waits for callbacks of the peer's messages to return: long beside what a
/// callback should take, short beside what a stuck one does.
const HANDLER_PATIENCE: Duration = Duration::from_millis(100);

/// What the callbacks of all flows need.
pub(super) struct Replica<G: ?Sized> {
    gossip: Arc<G>,
    panics: Arc<PanicTable>,
}

impl<G: ?Sized> Clone for Replica<G> {
    fn clone(&self) -> Self {
        Self { gossip: Arc::clone(&self.gossip), panics: Arc::clone(&self.panics) }
    }
}

impl<G: Gossip + ?Sized> Replica<G> {
    fn panicked(&self, flow: FlowType, peer: NodeId) {
        if self.panics.record(peer) {
            // The subscriber is the user's code.
            contain(|| tracing::warn!(%flow, %peer, "quarantined"));
        }
        self.gossip.on_panic(flow, peer);
    }
}

/// Names the handler of a flow: the callback of `G` that it runs.
macro_rules! callback {
    ($name:ident, $flow:ident, $message:ident, $callback:ident) => {
        pub(super) struct $name<G: ?Sized>(Replica<G>);

        impl<G: Gossip + ?Sized> MessageHandler<G::$message> for $name<G> {
            fn handle(&self, peer: NodeId, message: G::$message) {
                self.0.gossip.$callback(message, peer);
            }

            fn panicked(&self, peer: NodeId) {
                self.0.panicked(FlowType::$flow, peer);
            }

            fn failed(&self, peer: NodeId) {
                self.0.gossip.on_flow_failed(FlowType::$flow, peer);
            }
        }
    };
}

callback!(OnAdvert, Advert, GossipAdvert, on_gossip_advert);
callback!(OnRequest, Request, GossipChunkRequest, on_chunk_request);
callback!(OnChunk, Chunk, GossipChunk, on_gossip_chunk);
callback!(
    OnRetransmission,
    Retransmission,
    GossipRetransmissionRequest,
    on_gossip_retransmission_request
);

/// What the replica is notified of about a peer.
#[derive(Debug)]
pub(super) enum PeerChange {
    /// It has come.
    Up(Completer),
    /// It has gone; these were its lanes.
    Down(Vec<Arc<PeerLane>>, Completer),
    /// So many of its messages were dropped in this flow.
    Dropped(FlowType, u64),
}

pub(super) struct OnPeerChange<G: ?Sized>(Replica<G>);

impl<G: Gossip + ?Sized> MessageHandler<PeerChange> for OnPeerChange<G> {
    fn handle(&self, peer: NodeId, change: PeerChange) {
        let gossip = &self.0.gossip;
        match change {
            PeerChange::Up(mut completer) => {
                completer.runs();
                gossip.on_peer_up(peer);
            }
            PeerChange::Down(lanes, mut completer) => {
                completer.runs();
                let until = Moment::now().after_nanos(nanos(HANDLER_PATIENCE));
                for lane in lanes {
                    lane.wait_until_left(until.since(Moment::now()));
                }
                gossip.on_peer_down(peer);
            }
            PeerChange::Dropped(flow, count) => gossip.on_messages_dropped(flow, peer, count),
        }
    }

    fn panicked(&self, peer: NodeId) {
        self.0.panicked(FlowType::Transport, peer);
    }

    fn failed(&self, peer: NodeId) {
        self.0.gossip.on_flow_failed(FlowType::Transport, peer);
    }
}

/// The lanes that one clone of the handler remembers.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    pub(super) advert: RememberedLane,
    pub(super) request: RememberedLane,
    pub(super) chunk: RememberedLane,
    pub(super) retransmission: RememberedLane,
}

/// What the watch goes by.
#[derive(Clone, Copy, Debug)]
struct WatchConfig {
    drop_notice_interval: Duration,
    stuck_handler_timeout: Duration,
}

impl From<&ChannelConfig> for WatchConfig {
    fn from(config: &ChannelConfig) -> Self {
        Self {
            drop_notice_interval: config.drop_notice_interval(),
            stuck_handler_timeout: config.stuck_handler_timeout(),
        }
    }
}

/// The event of a peer's coming or going, under way, and how to know that its callback has returned.
pub(super) type Change<G> = (Execute<PeerChange, OnPeerChange<G>>, Completion);

/// The flows of a handler.
pub(super) struct Flows<G: Gossip + ?Sized> {
    pub(super) advert: FlowWorker<G::GossipAdvert, OnAdvert<G>>,
    pub(super) request: FlowWorker<G::GossipChunkRequest, OnRequest<G>>,
    pub(super) chunk: FlowWorker<G::GossipChunk, OnChunk<G>>,
    pub(super) retransmission: FlowWorker<G::GossipRetransmissionRequest, OnRetransmission<G>>,
    pub(super) transport: FlowWorker<PeerChange, OnPeerChange<G>>,
    panics: Arc<PanicTable>,
    watch: ArcSwap<WatchConfig>,
    pub(super) departures: Departures<G>,
    pub(super) metrics: MetricsRegistry,
    /// Held by who changes all flows, so that of two changes one stands in all of them. Changes are rare, and no
    /// message comes by here; submitters whom new bounds let in are woken under it.
    changes: Mutex<()>,
}

/// Does the same with each flow in which peers send messages.
macro_rules! each_of_peers {
    ($flows:ident, |$flow:ident| $do:expr) => {{
        let ($flow, _) = (&$flows.advert, ());
        $do;
        let ($flow, _) = (&$flows.request, ());
        $do;
        let ($flow, _) = (&$flows.chunk, ());
        $do;
        let ($flow, _) = (&$flows.retransmission, ());
        $do;
    }};
}

impl<G: Gossip + ?Sized> Flows<G> {
    pub(super) fn new(
        config: ChannelConfig,
        metrics: &MetricsRegistry,
        gossip: Arc<G>,
    ) -> Result<Arc<Self>, BuildError> {
        config.validate()?;
        let panics = Arc::new(PanicTable::new(config.quarantine()));
        let replica = Replica { gossip, panics: Arc::clone(&panics) };
        macro_rules! flow {
            ($flow:ident, $handler:ident) => {
                FlowWorker::of_handler(
                    FlowType::$flow,
                    &config.flow(FlowType::$flow),
                    metrics,
                    $handler(replica.clone()),
                    // The Transport flow drops nothing.
                    FlowType::$flow != FlowType::Transport,
                )?
            };
        }
        Ok(Arc::new(Self {
            advert: flow!(Advert, OnAdvert),
            request: flow!(Request, OnRequest),
            chunk: flow!(Chunk, OnChunk),
            retransmission: flow!(Retransmission, OnRetransmission),
            transport: flow!(Transport, OnPeerChange),
            panics,
            watch: ArcSwap::from_pointee(WatchConfig::from(&config)),
            departures: Departures::default(),
            metrics: metrics.clone(),
            changes: Mutex::default(),
        }))
    }

    /// A peer has connected.
    pub(super) fn peer_up(&self, peer: NodeId) -> Change<G> {
        let (completer, completion) = completion();
        (self.transport.execute(peer, PeerChange::Up(completer)), completion)
    }

    /// A peer has gone: what it has queued is cancelled, and then the replica is notified.
    pub(super) fn peer_down(&self, peer: NodeId) -> Change<G> {
        let mut lanes = Vec::new();
        each_of_peers!(self, |flow| lanes.extend(flow.cancel(peer)));
        let (completer, completion) = completion();
        (self.transport.execute(peer, PeerChange::Down(lanes, completer)), completion)
    }

    /// Whether messages of this peer are refused.
    #[inline]
    pub(super) fn is_quarantined(&self, peer: NodeId) -> bool {
        self.panics.holds(peer)
    }

    pub(super) fn lift_quarantine(&self, peer: NodeId) -> bool {
        self.panics.lift(peer)
    }

    pub(super) fn set_peer_weight(&self, peer: NodeId, weight: u32) -> bool {
        let mut is_set = true;
        each_of_peers!(self, |flow| is_set &= flow.set_peer_weight(peer, weight));
        is_set
    }

    pub(super) fn reconfigure(&self, config: ChannelConfig) -> Result<(), ConfigError> {
        config.validate()?;
        let _changes = self.changes.lock();
        each_of_peers!(self, |flow| flow.validate_change(&config.flow(flow.flow()))?);
        self.transport.validate_change(&config.flow(FlowType::Transport))?;
        each_of_peers!(self, |flow| flow.reconfigure(&config.flow(flow.flow()))?);
        self.transport.reconfigure(&config.flow(FlowType::Transport))?;
        self.panics.set_policy(config.quarantine());
        self.watch.store(Arc::new(WatchConfig::from(&config)));
        Ok(())
    }

    pub(super) fn replace_gossip(&self, gossip: &Arc<G>) {
        let replica = Replica { gossip: Arc::clone(gossip), panics: Arc::clone(&self.panics) };
        // Dropped after the lock is free: the old replica may go with them, and its `Drop` may change something.
        let _before;
        let _changes = self.changes.lock();
        _before = (
            self.advert.exchange_handler(OnAdvert(replica.clone())),
            self.request.exchange_handler(OnRequest(replica.clone())),
            self.chunk.exchange_handler(OnChunk(replica.clone())),
            self.retransmission.exchange_handler(OnRetransmission(replica.clone())),
            self.transport.exchange_handler(OnPeerChange(replica)),
        );
    }

    pub(super) fn shut_down(&self, deadline: Instant) -> ShutdownReport {
        // All first, so that the flows run out side by side.
        each_of_peers!(self, |flow| flow.close());
        self.transport.close();
        ShutdownReport::new(|flow| match flow {
            FlowType::Advert => self.advert.shut_down_by(deadline),
            FlowType::Request => self.request.shut_down_by(deadline),
            FlowType::Chunk => self.chunk.shut_down_by(deadline),
            FlowType::Retransmission => self.retransmission.shut_down_by(deadline),
            FlowType::Transport => self.transport.shut_down_by(deadline),
        })
    }
}

impl<G: Gossip + ?Sized> Watched for Flows<G> {
    type Known = [Reported; FlowType::COUNT];

    fn look(&self, known: &mut Self::Known) {
        self.look_at_departures();
        let config = **self.watch.load();
        each_of_peers!(self, |flow| {
            flow.notify_drops(config.drop_notice_interval, |peer, count| {
                self.metrics.notice();
                let told =
                    self.transport.try_execute(peer, PeerChange::Dropped(flow.flow(), count)).err();
                // Nobody will ever hear of it, and to offer it again and again would only count.
                told.is_none_or(|refused| refused.reason == RefusalReason::Closed)
            });
            flow.look(config.stuck_handler_timeout, &mut known[flow.flow() as usize]);
        });
        let known = &mut known[FlowType::Transport as usize];
        self.transport.look(config.stuck_handler_timeout, known);
    }

    fn is_over(&self) -> bool {
        let mut is_over = self.transport.is_over();
        each_of_peers!(self, |flow| is_over &= flow.is_over());
        // Last, see `depart`. The next look ends the wait for one that the shutdown has refused.
        is_over && self.departures.are_none()
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;
