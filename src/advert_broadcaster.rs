//! Adverts on their way out: the startup gate and the queue behind it.
//!
//! The gate is an [`ArcSwapOption`] of the gossip and a flow of one thread that runs nothing
//! until the gate opens. So there is no state in which an advert could be passed by another,
//! and none in which `send` would have to wait: before the gate opens adverts queue, afterwards the
//! same queue is drained.

use std::{fmt, sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;

#[cfg(feature = "wire")]
use crate::gossip::DynGossip;
use crate::{
    ArtifactDestination, BuildError, FlowConfig, FlowReport, Gossip, MessageHandler,
    MetricsRegistry, NodeId, Outcome, RefusalReason, Refused,
    clock::instant_after,
    flow::FlowName,
    flow_worker::{FlowHandle, FlowSpec},
    ledger::DestinationKind,
    panics::contain,
    sync::{AtomicBool, Ordering},
};

/// How many adverts may be sent and not yet broadcast, unless configured otherwise. From the
/// Internet Computer's P2P advert broadcaster.
pub const MAX_ADVERT_BUFFER: usize = 100_000;

/// All adverts take one lane, so that they go out in order.
const OWN_LANE: NodeId = NodeId::new([0; 32]);

/// An advert that is not broadcast, and why. The drop has been counted.
#[derive(Clone, Eq, PartialEq, thiserror::Error)]
#[error("advert dropped: {reason}")]
#[non_exhaustive]
pub struct AdvertDropped<A> {
    /// The advert, as it was sent.
    pub advert: A,
    /// Where it was to go.
    pub destination: ArtifactDestination,
    /// Why.
    pub reason: DropReason,
}

impl<A> fmt::Debug for AdvertDropped<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdvertDropped").field("reason", &self.reason).finish_non_exhaustive()
    }
}

/// Why an advert is not broadcast.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, strum::IntoStaticStr, thiserror::Error)]
#[non_exhaustive]
pub enum DropReason {
    /// As many adverts are queued or being broadcast as may be.
    #[error("full")]
    Full,
    /// The broadcaster has been shut down.
    #[error("shut down")]
    Closed,
}

struct Broadcast<G: Gossip + ?Sized> {
    /// Twice counted, because arc-swap swaps only pointers of one word.
    gossip: ArcSwapOption<Arc<G>>,
    metrics: MetricsRegistry,
}

/// An advert, and where it is to go.
type Outgoing<G> = (<G as Gossip>::GossipAdvert, ArtifactDestination);

/// The queue's reference to what the broadcaster has as well.
struct Broadcasts<G: Gossip + ?Sized>(Arc<Broadcast<G>>);

impl<G: Gossip + ?Sized> MessageHandler<Outgoing<G>> for Broadcasts<G> {
    fn handle(&self, _: &NodeId, (advert, destination): Outgoing<G>) {
        // A full load, so that no guard is held while the callback runs.
        let gossip = self.0.gossip.load_full().expect("nothing runs before the gate opens");
        gossip.broadcast_advert(advert, destination);
    }

    fn discarded(&self, _: &NodeId, (_, destination): Outgoing<G>, _: Outcome) {
        self.0.metrics.dropped_advert(DestinationKind::from(&destination));
    }
}

/// Broadcasts the adverts by which the replica itself announces artifacts.
///
/// [`send`](Self::send) never blocks. Before the gossip has [started](Self::start), adverts are queued. From then on
/// they are broadcast on the broadcaster's own thread, in the order in which they were sent. An advert that finds no
/// capacity is dropped and counted by its destination
/// ([`dropped_adverts`](crate::MetricsSnapshot::dropped_adverts)).
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use gossip_engine::{AdvertBroadcaster, ArtifactDestination, MetricsRegistry};
/// # use gossip_engine::{ArtifactFilter, ArtifactId, Gossip, GossipAdvert, GossipArc};
/// # use gossip_engine::{GossipChunk, GossipChunkRequest, IntegrityHash, NodeId};
/// # struct Replica;
/// # impl Gossip for Replica {
/// #     type GossipAdvert = GossipAdvert;
/// #     type GossipChunkRequest = GossipChunkRequest;
/// #     type GossipChunk = GossipChunk;
/// #     type GossipRetransmissionRequest = ArtifactFilter;
/// #     fn on_gossip_advert(&self, _: GossipAdvert, _: NodeId) {}
/// #     fn on_chunk_request(&self, _: GossipChunkRequest, _: NodeId) {}
/// #     fn on_gossip_chunk(&self, _: GossipChunk, _: NodeId) {}
/// #     fn on_gossip_retransmission_request(&self, _: ArtifactFilter, _: NodeId) {}
/// #     fn broadcast_advert(&self, _: GossipAdvert, _: ArtifactDestination) {}
/// # }
/// # let replica: GossipArc = Arc::new(Replica);
/// # let advert = GossipAdvert {
/// #     artifact_id: ArtifactId::new([0; 32]),
/// #     size: 0,
/// #     integrity_hash: IntegrityHash::new([0; 32]),
/// #     attributes: Default::default(),
/// # };
/// let registry = MetricsRegistry::new();
/// let broadcaster: AdvertBroadcaster = AdvertBroadcaster::new(&registry)?;
/// broadcaster.send(advert, ArtifactDestination::AllReplicas).expect("there is capacity");
/// broadcaster.start(replica);
/// assert!(broadcaster.shutdown(Duration::from_secs(60)).is_clean());
/// assert_eq!(registry.snapshot().broadcast.handled(), 1);
/// # Ok::<(), gossip_engine::BuildError>(())
/// ```
///
/// # Dropping
///
/// Dropping the broadcaster does not wait. If the gate is open, what was sent still goes out. If it never opened, what
/// was sent is dropped and counted. Then the thread ends.
pub struct AdvertBroadcaster<
    #[cfg(feature = "wire")] G: Gossip + ?Sized = DynGossip,
    #[cfg(not(feature = "wire"))] G: Gossip + ?Sized,
> {
    queue: FlowHandle<Outgoing<G>, NodeId>,
    broadcast: Arc<Broadcast<G>>,
    started: AtomicBool,
}

impl<G: Gossip + ?Sized> AdvertBroadcaster<G> {
    /// A broadcaster whose gate is closed, with capacity for [`MAX_ADVERT_BUFFER`] adverts.
    ///
    /// # Errors
    ///
    /// [`BuildError::Threads`] if the system gives no thread.
    pub fn new(metrics_registry: &MetricsRegistry) -> Result<Self, BuildError> {
        Self::with_max_inflight(metrics_registry, MAX_ADVERT_BUFFER)
    }

    /// Like [`new`](Self::new), with capacity for `max_inflight` adverts, 1 to
    /// [`MAX_INFLIGHT_REQUESTS`](crate::FlowConfig::MAX_INFLIGHT_REQUESTS); 0 counts as 1.
    ///
    /// Worst case: this many times the largest advert and about 256 bytes. The peers of an
    /// [`ArtifactDestination::Replicas`] come on top.
    ///
    /// # Errors
    ///
    /// [`BuildError::Config`] if `max_inflight` is over its maximum, [`BuildError::Threads`] if the
    /// system gives no thread.
    pub fn with_max_inflight(
        metrics_registry: &MetricsRegistry,
        max_inflight: usize,
    ) -> Result<Self, BuildError> {
        // One thread, so that adverts go out in order; nobody waits, so that `send` never blocks.
        let config = FlowConfig::new(max_inflight)
            .with_peer_quota(max_inflight)
            .with_max_peers(1)
            .with_max_waiters(0)
            .with_threads(1);
        let broadcast = Arc::new(Broadcast {
            gossip: ArcSwapOption::empty(),
            metrics: metrics_registry.clone(),
        });
        let spec = FlowSpec::new(FlowName::BROADCAST, &config, metrics_registry);
        let spec = FlowSpec { broadcasts: true, ..spec };
        let queue = FlowHandle::new(spec, Broadcasts(Arc::clone(&broadcast)))?;
        // No advert waits for its lane to be made.
        queue.add_lane(&OWN_LANE);
        Ok(Self { queue, broadcast, started: AtomicBool::new(false) })
    }

    /// Opens the gate: from now on `gossip` broadcasts, beginning with what was sent before.
    ///
    /// Called again, it swaps the gossip while adverts flow: those that have not been handed to the
    /// old one go to the new one. An advert that the old one is broadcasting at the moment is not
    /// interrupted.
    ///
    /// After a [shutdown](Self::shutdown) nothing is broadcast any more, and `gossip` is kept until the
    /// broadcaster is dropped.
    pub fn start(&self, gossip: Arc<G>) {
        let before = self.broadcast.gossip.swap(Some(Arc::new(gossip)));
        // Its `Drop` is the user's code.
        contain(|| drop(before));
        // AcqRel: the gossip is stored before the claims are handed out, by whoever comes first.
        if !self.started.swap(true, Ordering::AcqRel) {
            self.queue.open();
            // The subscriber is the user's code.
            contain(|| tracing::info!("advert broadcaster started"));
        }
    }

    /// Hands an advert over to be broadcast. Never blocks.
    ///
    /// `Ok` means that the advert will be handed to the gossip, unless the broadcaster is shut down
    /// before its turn comes; it does not mean that a peer has received it.
    ///
    /// # Errors
    ///
    /// [`AdvertDropped`], with the advert, if there is no capacity or the broadcaster was shut down.
    pub fn send(
        &self,
        advert: G::GossipAdvert,
        dst: ArtifactDestination,
    ) -> Result<(), AdvertDropped<G::GossipAdvert>> {
        let bytes = size_of::<(G::GossipAdvert, ArtifactDestination)>();
        self.queue.try_submit(&OWN_LANE, (advert, dst), bytes).map_err(|refused| {
            let Refused { message: (advert, destination), reason } = refused;
            self.broadcast.metrics.dropped_advert(DestinationKind::from(&destination));
            let reason = match reason {
                RefusalReason::Closed => DropReason::Closed,
                _ => DropReason::Full,
            };
            AdvertDropped { advert, destination, reason }
        })
    }

    /// Takes no more adverts, lets those that were sent go out until the deadline, drops and counts
    /// what has not by then, ends the thread and says what was left. If the gate has never opened,
    /// all are dropped at once.
    ///
    /// Blocks the caller; see [`FlowWorker::shutdown`](crate::FlowWorker::shutdown) for how long,
    /// and for what happens when the callback is stuck or calls this itself. In these two cases the report is not
    /// clean, and the broadcaster keeps the gossip. If the gossip owns this broadcaster, both stay until `shutdown` is
    /// called again, from elsewhere.
    pub fn shutdown(&self, deadline: Duration) -> FlowReport {
        let report = self.queue.shut_down(instant_after(deadline));
        if report.joined {
            // Nothing runs any more, and the gossip may own what owns this broadcaster.
            let gossip = self.broadcast.gossip.swap(None);
            contain(|| drop(gossip));
        }
        report
    }
}

impl<G: Gossip + ?Sized> fmt::Debug for AdvertBroadcaster<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdvertBroadcaster")
            // Relaxed: statistics only.
            .field("started", &self.started.load(Ordering::Relaxed))
            .finish_non_exhaustive()
    }
}
