//! The five flows of a handler, and which callback each of them runs.

use std::sync::{Arc, Weak};

use strum::IntoEnumIterator;

use super::panic_table::PanicTable;
use crate::{
    BuildError, ChannelConfig, ConfigError, Engine, FlowType, FlowWorker, Gossip, GossipMessage,
    MessageHandler, MetricsRegistry, NodeId, Outcome, PeerHandler,
    engine::{OnPeerChange, WatchConfig},
    flow_worker::RememberedLane,
    panics::contain,
    sync::Mutex,
};

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
    ($name:ident, $flow:ident, $message:ident, $variant:ident, $callback:ident $(, $supersedes:ident)?) => {
        pub(super) struct $name<G: ?Sized>(Replica<G>);

        impl<G: Gossip + ?Sized> MessageHandler<G::$message> for $name<G> {
            fn handle(&self, peer: &NodeId, message: G::$message) {
                self.0.gossip.$callback(message, *peer);
            }

            $(fn supersedes(&self, newer: &G::$message, older: &G::$message) -> bool {
                self.0.gossip.$supersedes(newer, older)
            })?

            fn discarded(&self, peer: &NodeId, message: G::$message, outcome: Outcome) {
                if outcome.was_dropped() {
                    let message = GossipMessage::$variant(message);
                    self.0.gossip.on_message_dropped(message, *peer, outcome);
                }
            }

            fn panicked(&self, peer: &NodeId) {
                self.0.panicked(FlowType::$flow, *peer);
            }

            fn failed(&self, peer: &NodeId) {
                self.0.gossip.on_flow_failed(FlowType::$flow, *peer);
            }
        }
    };
}

callback!(OnAdvert, Advert, GossipAdvert, Advert, on_gossip_advert, advert_supersedes);
callback!(OnRequest, Request, GossipChunkRequest, ChunkRequest, on_chunk_request);
callback!(OnChunk, Chunk, GossipChunk, Chunk, on_gossip_chunk);
callback!(
    OnRetransmission,
    Retransmission,
    GossipRetransmissionRequest,
    RetransmissionRequest,
    on_gossip_retransmission_request
);

/// Tells the replica of its peers.
pub(super) struct OnPeer<G: ?Sized>(Replica<G>);

impl<G: Gossip + ?Sized> PeerHandler<NodeId> for OnPeer<G> {
    fn on_peer_up(&self, peer: &NodeId) {
        self.0.gossip.on_peer_up(*peer);
    }

    fn on_peer_down(&self, peer: &NodeId) {
        self.0.gossip.on_peer_down(*peer);
    }

    fn on_messages_dropped(&self, flow: &'static str, peer: &NodeId, count: u64) {
        // The engine has these five flows alone.
        if let Some(flow) = FlowType::iter().find(|of| of.name() == flow) {
            self.0.gossip.on_messages_dropped(flow, *peer, count);
        }
    }

    fn panicked(&self, peer: &NodeId) {
        self.0.panicked(FlowType::Transport, *peer);
    }

    fn failed(&self, peer: &NodeId) {
        self.0.gossip.on_flow_failed(FlowType::Transport, *peer);
    }
}

/// The lanes that one clone of the handler remembers.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    pub(super) advert: RememberedLane<NodeId>,
    pub(super) request: RememberedLane<NodeId>,
    pub(super) chunk: RememberedLane<NodeId>,
    pub(super) retransmission: RememberedLane<NodeId>,
}

/// The flows of a handler, and the engine that they belong to.
pub(super) struct Flows<G: Gossip + ?Sized> {
    pub(super) advert: Arc<FlowWorker<G::GossipAdvert>>,
    pub(super) request: Arc<FlowWorker<G::GossipChunkRequest>>,
    pub(super) chunk: Arc<FlowWorker<G::GossipChunk>>,
    pub(super) retransmission: Arc<FlowWorker<G::GossipRetransmissionRequest>>,
    pub(super) engine: Engine,
    panics: Arc<PanicTable>,
    /// Held by who changes all flows, so that of two changes one stands in all of them. Changes are rare, and no
    /// message comes by here; submitters whom new bounds let in are woken under it.
    changes: Mutex<()>,
}

fn watch_config(config: &ChannelConfig) -> WatchConfig {
    WatchConfig {
        drop_notice_interval: config.drop_notice_interval(),
        stuck_handler_timeout: config.stuck_handler_timeout(),
    }
}

/// Does the same with each flow in which peers send messages.
macro_rules! each_of_peers {
    ($flows:ident, |$flow:ident, $of:ident| $do:expr) => {{
        let ($flow, $of) = (&$flows.advert, FlowType::Advert);
        $do;
        let ($flow, $of) = (&$flows.request, FlowType::Request);
        $do;
        let ($flow, $of) = (&$flows.chunk, FlowType::Chunk);
        $do;
        let ($flow, $of) = (&$flows.retransmission, FlowType::Retransmission);
        $do;
    }};
}

impl<G: Gossip + ?Sized> Flows<G> {
    pub(super) fn new(
        config: ChannelConfig,
        metrics: &MetricsRegistry,
        gossip: Arc<G>,
    ) -> Result<Self, BuildError> {
        config.validate()?;
        let panics = Arc::new(PanicTable::new(config.quarantine()));
        let quarantines: Weak<PanicTable> = Arc::downgrade(&panics);
        metrics.register_quarantines(quarantines);
        let replica = Replica { gossip, panics: Arc::clone(&panics) };
        let transport = config.flow(FlowType::Transport);
        let mut builder = Engine::builder(metrics)
            .with_named_peers_flow(FlowType::Transport.into(), transport)
            .with_drop_notice_interval(config.drop_notice_interval())
            .with_stuck_handler_timeout(config.stuck_handler_timeout());
        macro_rules! flow {
            ($flow:ident, $handler:ident) => {{
                let handler = $handler(replica.clone());
                let flow = FlowType::$flow;
                // The handler counts events before they have a flow.
                builder.add_flow(flow.into(), &config.flow(flow), handler, None)?
            }};
        }
        Ok(Self {
            advert: flow!(Advert, OnAdvert),
            request: flow!(Request, OnRequest),
            chunk: flow!(Chunk, OnChunk),
            retransmission: flow!(Retransmission, OnRetransmission),
            engine: builder.build_with(OnPeer(replica))?,
            panics,
            changes: Mutex::default(),
        })
    }

    /// Whether messages of this peer are refused.
    #[inline]
    pub(super) fn is_quarantined(&self, peer: NodeId) -> bool {
        self.panics.holds(peer)
    }

    pub(super) fn lift_quarantine(&self, peer: NodeId) -> bool {
        self.panics.lift(peer)
    }

    pub(super) fn reconfigure(&self, config: ChannelConfig) -> Result<(), ConfigError> {
        config.validate()?;
        let _changes = self.changes.lock();
        let transport = config.flow(FlowType::Transport);
        each_of_peers!(self, |flow, of| flow.validate_change(&config.flow(of))?);
        self.engine.peers().validate_change(&transport)?;
        each_of_peers!(self, |flow, of| flow.reconfigure(&config.flow(of))?);
        self.engine.peers().reconfigure(&transport)?;
        self.panics.set_policy(config.quarantine());
        self.engine.set_watch(watch_config(&config));
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
            self.engine.peers().exchange_handler(OnPeerChange(OnPeer(replica))),
        );
    }
}
