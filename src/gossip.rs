//! What a replica implements: the callbacks that the engine runs.

use crate::{ArtifactDestination, FlowType, GossipMessage, NodeId, Outcome};
#[cfg(feature = "wire")]
use crate::{ArtifactFilter, GossipAdvert, GossipChunk, GossipChunkRequest};

/// A replica's gossip protocol: the callbacks that the engine runs.
///
/// Callbacks are synchronous and may be slow: a slow one holds its flow's permits, which pushes back on the senders of
/// that flow and on nobody else. Several callbacks run at the same time. A callback may use [`rayon::join`] and the
/// like: it runs on its flow's pool, whose idle threads help if the flow is [told
/// so](crate::FlowConfig::with_forking_handlers). It may hold a lock meanwhile: no other callback ever runs on top of
/// one that waits for rayon. A callback that panics is caught, counted and logged; the engine goes on, as far as the
/// flow's [`PanicPolicy`](crate::PanicPolicy) says. (The process's panic hook hears of each panic all the same, and
/// Rust's own writes it to standard error.) [`queue_delay`](crate::queue_delay) tells a callback how long its message
/// was queued.
///
/// # Order
///
/// `on_peer_up`, `on_peer_down` and `on_messages_dropped` of one peer run one at a time, in their order;
/// those of different peers run side by side.
///
/// - The future of a `PeerUp` resolves when `on_peer_up` has returned or panicked. A message that is submitted after
///   that starts after it.
/// - When `on_peer_down` starts, no message of the peer that was submitted before the `PeerDown` starts any
///   more, and its callbacks that ran have returned, but for those that take longer than 0.1 s. What was queued is
///   cancelled, or runs first where the flow [drains](crate::Departure::Drain). The future of the
///   `PeerDown` resolves when `on_peer_down` has returned.
///
/// The messages of one peer in one flow run one at a time, in their order, unless
/// [`with_peer_threads`](crate::FlowConfig::with_peer_threads) says otherwise. One that
/// [supersedes](Self::advert_supersedes) another has its place in that order. Flows have no order between them.
///
/// A callback must not wait for another message of its own flow, which may be queued behind it.
///
/// # Example
///
/// ```
/// use std::sync::{Arc, atomic::{AtomicU64, Ordering}};
/// use std::time::Duration;
/// use gossip_engine::{
///     ArtifactDestination, ArtifactFilter, ArtifactId, AsyncTransportEventHandlerImpl, ChannelConfig, FlowType,
///     Gossip, GossipAdvert, GossipChunk, GossipChunkRequest, GossipMessage, IntegrityHash, MetricsRegistry, NodeId,
///     TransportEvent, TransportMessage, wire,
/// };
/// use tower_service::Service;
///
/// #[derive(Default)]
/// struct Replica {
///     adverts: AtomicU64,
/// }
///
/// impl Gossip for Replica {
///     type GossipAdvert = GossipAdvert;
///     type GossipChunkRequest = GossipChunkRequest;
///     type GossipChunk = GossipChunk;
///     type GossipRetransmissionRequest = ArtifactFilter;
///
///     fn on_gossip_advert(&self, _: GossipAdvert, _: NodeId) {
///         self.adverts.fetch_add(1, Ordering::Relaxed);
///     }
///     fn on_chunk_request(&self, _: GossipChunkRequest, _: NodeId) {}
///     fn on_gossip_chunk(&self, _: GossipChunk, _: NodeId) {}
///     fn on_gossip_retransmission_request(&self, _: ArtifactFilter, _: NodeId) {}
///     fn broadcast_advert(&self, _: GossipAdvert, _: ArtifactDestination) {}
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (replica, registry) = (Arc::new(Replica::default()), MetricsRegistry::new());
/// let own_id = NodeId::new([0; 32]);
/// let mut handler =
///     AsyncTransportEventHandlerImpl::new(own_id, &registry, ChannelConfig::default(), Arc::clone(&replica))?;
///
/// let peer_id = NodeId::new([7; 32]);
/// let payload = wire::encode(&GossipMessage::Advert(GossipAdvert {
///     artifact_id: ArtifactId::new([1; 32]),
///     size: 1_000,
///     integrity_hash: IntegrityHash::new([2; 32]),
///     attributes: Default::default(),
/// }));
/// futures_executor::block_on(async {
///     // Resolves when `on_peer_up` has returned.
///     handler.call(TransportEvent::PeerUp(peer_id)).await?;
///     // Resolves when the message is admitted: that is the back pressure.
///     handler.call(TransportEvent::Message(TransportMessage { peer_id, payload })).await
/// })?;
/// assert!(handler.shutdown(Duration::from_secs(10)).is_clean());
/// assert_eq!(replica.adverts.load(Ordering::Relaxed), 1);
/// assert_eq!(registry.snapshot().flow(FlowType::Advert).handled(), 1);
/// # Ok(())
/// # }
/// ```
pub trait Gossip: Send + Sync + 'static {
    /// What announces an artifact.
    type GossipAdvert: Send + 'static;
    /// What asks for a chunk.
    type GossipChunkRequest: Send + 'static;
    /// What carries a chunk.
    type GossipChunk: Send + 'static;
    /// What asks for adverts to be sent again.
    type GossipRetransmissionRequest: Send + 'static;

    /// `peer` announces an artifact. Runs in [`FlowType::Advert`](crate::FlowType::Advert).
    fn on_gossip_advert(&self, advert: Self::GossipAdvert, peer: NodeId);

    /// `peer` asks for a chunk. Runs in [`FlowType::Request`](crate::FlowType::Request).
    fn on_chunk_request(&self, request: Self::GossipChunkRequest, peer: NodeId);

    /// `peer` sends a chunk. Runs in [`FlowType::Chunk`](crate::FlowType::Chunk).
    fn on_gossip_chunk(&self, chunk: Self::GossipChunk, peer: NodeId);

    /// `peer` asks for adverts to be sent again. Runs in
    /// [`FlowType::Retransmission`](crate::FlowType::Retransmission).
    fn on_gossip_retransmission_request(
        &self,
        request: Self::GossipRetransmissionRequest,
        peer: NodeId,
    );

    /// `peer` is connected. Runs in [`FlowType::Transport`](crate::FlowType::Transport). Does nothing, unless it is
    /// implemented.
    fn on_peer_up(&self, peer: NodeId) {
        let _ = peer;
    }

    /// `peer` is no longer connected. Runs in [`FlowType::Transport`](crate::FlowType::Transport). Does nothing, unless
    /// it is implemented.
    fn on_peer_down(&self, peer: NodeId) {
        let _ = peer;
    }

    /// The engine has dropped `count` messages of `peer`, because there was too much to do: they were too old when
    /// their turn came, or the flow's [`OverloadPolicy`](crate::OverloadPolicy) says so. Which messages those were,
    /// [`on_message_dropped`](Self::on_message_dropped) says. Does nothing, unless it is implemented.
    ///
    /// Called at most once in a [notice interval](crate::ChannelConfig::with_drop_notice_interval) for each connected
    /// peer and flow, with all that were dropped since: as far as is known, for losses are forgotten when the peer
    /// connects anew, or when another needs the place of its lane. A peer that goes at the same moment may be heard of
    /// once more after its `on_peer_down`. Runs in [`FlowType::Transport`](crate::FlowType::Transport).
    fn on_messages_dropped(&self, flow: FlowType, peer: NodeId, count: u64) {
        let _ = (flow, peer, count);
    }

    /// The engine has dropped this message of `peer`, because there was too much to do: `outcome` is one of those that
    /// [`was_dropped`](Outcome::was_dropped) names. So a replica asks again for exactly what it has lost. Does nothing,
    /// unless it is implemented.
    ///
    /// Called once for each message, on the thread that drops it: one of the flow's, or the transport's that submits
    /// this message or a newer one. It may come before `on_peer_up`, after `on_peer_down` and beside any other
    /// callback. So it should be brief and must not block. What it asks for may be dropped as well: it should ask for
    /// less than was lost if that goes on. A replica that needs only counts, in order and seldom, implements
    /// [`on_messages_dropped`](Self::on_messages_dropped) instead.
    fn on_message_dropped(&self, message: MessageOf<Self>, peer: NodeId, outcome: Outcome) {
        let _ = (message, peer, outcome);
    }

    /// A callback of `flow` has panicked on a message of `peer`, which is contained and counted. Called for each, on
    /// the same thread. A replica may count them, or cut the peer off. Does nothing, unless it is implemented.
    fn on_panic(&self, flow: FlowType, peer: NodeId) {
        let _ = (flow, peer);
    }

    /// A callback of `flow` has panicked on a message of `peer`, and the flow admits nothing more, since its
    /// policy is [`PanicPolicy::FailFast`](crate::PanicPolicy::FailFast). Called once for each flow, on one
    /// of its threads. Does nothing, unless it is implemented.
    fn on_flow_failed(&self, flow: FlowType, peer: NodeId) {
        let _ = (flow, peer);
    }

    /// Time has passed: [`P2PThreadJoiner`](crate::P2PThreadJoiner) calls this on its own thread,
    /// every [`P2P_TIMER_DURATION_MS`](crate::P2P_TIMER_DURATION_MS) unless told otherwise. Does nothing, unless it is
    /// implemented.
    fn on_gossip_timer(&self) {}

    /// Whether `newer` says all that `older` says, which the same peer has sent before it, so that `older` need not
    /// run. Asked where the Advert flow has no capacity and its policy is
    /// [`KeepLatest`](crate::OverloadPolicy::KeepLatest), on the transport's thread:
    /// [`MessageHandler::supersedes`](crate::MessageHandler::supersedes) says more. False, unless it is implemented.
    ///
    /// Which adverts those are depends on what artifacts are. Of immutable ones only another advert of the same
    /// artifact says the same; a state, a height or a certified checkpoint supersedes what came before it.
    fn advert_supersedes(&self, newer: &Self::GossipAdvert, older: &Self::GossipAdvert) -> bool {
        let _ = (newer, older);
        false
    }

    /// The replica itself announces an artifact to `dst`.
    /// [`AdvertBroadcaster`](crate::AdvertBroadcaster) calls this on its own thread, in the order in
    /// which the adverts were sent.
    fn broadcast_advert(&self, advert: Self::GossipAdvert, dst: ArtifactDestination);
}

/// The message that a [`Gossip`] implementation `G` understands.
pub type MessageOf<G> = GossipMessage<
    <G as Gossip>::GossipAdvert,
    <G as Gossip>::GossipChunkRequest,
    <G as Gossip>::GossipChunk,
    <G as Gossip>::GossipRetransmissionRequest,
>;

/// Any gossip protocol over the built-in message types. Needs the feature `wire`.
#[cfg(feature = "wire")]
pub type DynGossip = dyn Gossip<
        GossipAdvert = GossipAdvert,
        GossipChunkRequest = GossipChunkRequest,
        GossipChunk = GossipChunk,
        GossipRetransmissionRequest = ArtifactFilter,
    > + Send
    + Sync;

/// A gossip protocol over the built-in message types, known at run time. Needs the feature `wire`.
#[cfg(feature = "wire")]
pub type GossipArc = std::sync::Arc<DynGossip>;
