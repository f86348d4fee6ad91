//! The five flows of a handler, and which callback each of them runs.

use std::{
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use strum::EnumCount;

use crate::{
    BuildError, ChannelConfig, ConfigError, Execute, FlowType, FlowWorker, Gossip, MessageHandler,
    MetricsRegistry, NodeId, RefusalReason, ShutdownReport,
    flow_worker::{Greeting, Remembered, Reported, Welcomes},
    watch::Watched,
};

/// Names the handler of a flow: the callback of `G` that it runs.
macro_rules! callback {
    ($name:ident, $flow:ident, $message:ident, $callback:ident) => {
        pub(super) struct $name<G: ?Sized>(Arc<G>);

        impl<G: Gossip + ?Sized> MessageHandler<G::$message> for $name<G> {
            fn handle(&self, peer: NodeId, message: G::$message) {
                self.0.$callback(message, peer);
            }

            fn failed(&self, peer: NodeId) {
                self.0.on_flow_failed(FlowType::$flow, peer);
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

/// What the replica is told about a peer.
pub(super) enum PeerChange {
    /// It has come. Its messages are withheld as long as the greeting lives.
    Up(Greeting),
    /// It has gone.
    Down,
    /// So many of its messages were dropped in this flow.
    Dropped(FlowType, u64),
}

pub(super) struct OnPeerChange<G: ?Sized> {
    gossip: Arc<G>,
    welcomes: Arc<Welcomes>,
}

impl<G: Gossip + ?Sized> MessageHandler<PeerChange> for OnPeerChange<G> {
    fn handle(&self, peer: NodeId, change: PeerChange) {
        match change {
            PeerChange::Up(greeting) => {
                self.gossip.on_peer_up(peer);
                drop(greeting);
            }
            PeerChange::Down => {
                self.welcomes.outlast(peer);
                self.gossip.on_peer_down(peer);
            }
            PeerChange::Dropped(flow, count) => {
                self.gossip.on_messages_dropped(flow, peer, count);
            }
        }
    }

    fn failed(&self, peer: NodeId) {
        self.gossip.on_flow_failed(FlowType::Transport, peer);
    }
}

/// The lanes that one clone of the handler remembers.
pub(super) struct Lanes<G: Gossip + ?Sized> {
    pub(super) advert: Remembered<G::GossipAdvert>,
    pub(super) request: Remembered<G::GossipChunkRequest>,
    pub(super) chunk: Remembered<G::GossipChunk>,
    pub(super) retransmission: Remembered<G::GossipRetransmissionRequest>,
}

impl<G: Gossip + ?Sized> Default for Lanes<G> {
    fn default() -> Self {
        Self {
            advert: Remembered::nothing(),
            request: Remembered::nothing(),
            chunk: Remembered::nothing(),
            retransmission: Remembered::nothing(),
        }
    }
}

/// How the watch goes about it.
#[derive(Clone, Copy, Debug)]
struct Care {
    drop_notice_interval: Duration,
    stuck_handler_timeout: Duration,
}

impl From<&ChannelConfig> for Care {
    fn from(config: &ChannelConfig) -> Self {
        Self {
            drop_notice_interval: config.drop_notice_interval(),
            stuck_handler_timeout: config.stuck_handler_timeout(),
        }
    }
}

/// The flows of a handler.
pub(super) struct Flows<G: Gossip + ?Sized> {
    pub(super) advert: FlowWorker<G::GossipAdvert, OnAdvert<G>>,
    pub(super) request: FlowWorker<G::GossipChunkRequest, OnRequest<G>>,
    pub(super) chunk: FlowWorker<G::GossipChunk, OnChunk<G>>,
    pub(super) retransmission: FlowWorker<G::GossipRetransmissionRequest, OnRetransmission<G>>,
    pub(super) transport: FlowWorker<PeerChange, OnPeerChange<G>>,
    welcomes: Arc<Welcomes>,
    care: ArcSwap<Care>,
    metrics: MetricsRegistry,
    /// Held by whoever changes all flows, so that of two changes one stands in all of them. Under it submitters
    /// are woken whom new bounds let in, and should a shutdown come in between, a late message is let go.
    #[expect(clippy::disallowed_types, reason = "changes are rare, and no message comes by here")]
    changes: std::sync::Mutex<()>,
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
        let welcomes: Arc<Welcomes> = Arc::default();
        macro_rules! flow {
            ($flow:ident, $handler:expr, $welcomes:expr) => {
                FlowWorker::of_handler(
                    FlowType::$flow,
                    &config.flow(FlowType::$flow),
                    metrics,
                    $handler,
                    $welcomes,
                )?
            };
        }
        let same = || Some(Arc::clone(&welcomes));
        let flows = Self {
            advert: flow!(Advert, OnAdvert(Arc::clone(&gossip)), same()),
            request: flow!(Request, OnRequest(Arc::clone(&gossip)), same()),
            chunk: flow!(Chunk, OnChunk(Arc::clone(&gossip)), same()),
            retransmission: flow!(Retransmission, OnRetransmission(Arc::clone(&gossip)), same()),
            // What it says of peers is never withheld.
            transport: flow!(
                Transport,
                OnPeerChange { gossip, welcomes: Arc::clone(&welcomes) },
                None
            ),
            care: ArcSwap::from_pointee(Care::from(&config)),
            metrics: metrics.clone(),
            changes: Default::default(),
            welcomes,
        };
        flows.welcomes.hold(vec![
            flows.advert.connected(),
            flows.request.connected(),
            flows.chunk.connected(),
            flows.retransmission.connected(),
        ]);
        Ok(Arc::new(flows))
    }

    /// A peer has connected: what it sends from now on is withheld until the replica knows.
    pub(super) fn peer_up(&self, peer: NodeId) -> Execute<PeerChange, OnPeerChange<G>> {
        let greeting = self.welcomes.greet(peer);
        // A lane of before gives way to one that is withheld, as soon as it is unused.
        each_of_peers!(self, |flow| flow.forget_peer(peer));
        self.transport.execute(peer, PeerChange::Up(greeting))
    }

    /// A peer has gone: what it has queued ends, and then the replica is told.
    pub(super) fn peer_down(&self, peer: NodeId) -> Execute<PeerChange, OnPeerChange<G>> {
        each_of_peers!(self, |flow| flow.cancel_peer(peer));
        let execute = self.transport.execute(peer, PeerChange::Down);
        self.transport.forget_peer(peer);
        execute
    }

    pub(super) fn reconfigure(&self, config: ChannelConfig) -> Result<(), ConfigError> {
        config.validate()?;
        // Whoever has panicked here has left nothing that another could not overwrite.
        let _changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        each_of_peers!(self, |flow| flow.validate_change(&config.flow(flow.flow()))?);
        self.transport.validate_change(&config.flow(FlowType::Transport))?;
        each_of_peers!(self, |flow| flow.reconfigure(&config.flow(flow.flow()))?);
        self.transport.reconfigure(&config.flow(FlowType::Transport))?;
        self.care.store(Arc::new(Care::from(&config)));
        Ok(())
    }

    pub(super) fn replace_gossip(&self, gossip: &Arc<G>) {
        // Dropped after the lock is free: the old replica may go with them, and its `Drop` may change something.
        let _before;
        let _changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let (for_peers, welcomes) = (Arc::clone(gossip), Arc::clone(&self.welcomes));
        _before = (
            self.advert.exchange_handler(OnAdvert(Arc::clone(gossip))),
            self.request.exchange_handler(OnRequest(Arc::clone(gossip))),
            self.chunk.exchange_handler(OnChunk(Arc::clone(gossip))),
            self.retransmission.exchange_handler(OnRetransmission(Arc::clone(gossip))),
            self.transport.exchange_handler(OnPeerChange { gossip: for_peers, welcomes }),
        );
    }

    pub(super) fn lift_quarantine(&self, peer: NodeId) -> bool {
        let mut lifted = self.transport.lift_quarantine(peer);
        each_of_peers!(self, |flow| lifted |= flow.lift_quarantine(peer));
        lifted
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
        let care = **self.care.load();
        each_of_peers!(self, |flow| {
            flow.tell_losses(care.drop_notice_interval, |peer, count| {
                self.metrics.notice();
                let told =
                    self.transport.try_execute(peer, PeerChange::Dropped(flow.flow(), count));
                // Nobody will ever hear of it, and to offer it again and again would only count.
                matches!(told, Ok(()) | Err(RefusalReason::Closed))
            });
            flow.report_stuck(care.stuck_handler_timeout, &mut known[flow.flow() as usize]);
        });
        let known = &mut known[FlowType::Transport as usize];
        self.transport.report_stuck(care.stuck_handler_timeout, known);
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;
