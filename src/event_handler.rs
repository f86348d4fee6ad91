//! The face to the transport: decode, choose the flow, admit.
//!
//! [`AsyncTransportEventHandlerImpl`] owns the five flows. It holds no message itself: an event is refused, waits for
//! capacity in its peer's lane, or is admitted to its flow.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use tower_service::Service;

use self::{
    call::Admission,
    flows::{Flows, Lanes},
};
use crate::{
    BuildError, ChannelConfig, Codec, ConfigError, Connecting, EventError, Gossip, MetricsRegistry,
    NodeId, ShutdownReport, Submitted, TransportEvent, TransportMessage, message::GossipMessage,
    panics::contain,
};
#[cfg(feature = "wire")]
use crate::{gossip::DynGossip, wire::WireCodec};

mod call;
mod flows;
mod panic_table;

pub use call::CallFuture;

struct Shared<G: Gossip + ?Sized, C> {
    node_id: NodeId,
    metrics: MetricsRegistry,
    codec: C,
    flows: Flows<G>,
}

/// The event handler of a transport: takes its events and runs the callbacks of a [`Gossip`] for them.
///
/// It is a `tower` [`Service`]: the transport awaits the future of each [`call`](Service::call) before it calls with
/// the next event of the same stream. So a full flow stops that stream and, through the transport's own flow control,
/// the peer. Streams of other flows go on. Within a flow each peer has a lane of its own: it is held back alone when it
/// is over its quota, and served in turn with the others however much it sends.
///
/// A transport calls `PeerUp` before the first message of a connection and `PeerDown` after the last, and awaits both:
/// their futures resolve when the callback has returned. If it awaits `PeerUp` before it reads, no message of the peer
/// starts before `on_peer_up` has returned. If a `PeerUp` is refused, the transport may close the connection. If a
/// `PeerDown` is refused, the transport calls it again, after a while and before the peer's next `PeerUp`: a later one
/// would end the next connection. If the reason is [`Closed`](crate::RefusalReason::Closed), it does not. A transport
/// that uses [`connect`](Self::connect) instead has a guard of each connection, and repeats nothing.
///
/// A `PeerDown` cancels the messages that the peer has queued: they do not start and are counted as
/// [`Cancelled`](crate::Outcome::Cancelled). In a flow that [drains](crate::Departure::Drain) they run first.
/// Calls that wait on the peer's behalf are refused. [`Gossip`] says what that means for the order of callbacks.
///
/// Clones are the same handler and cost one reference count. Use one for each stream: a clone remembers for each flow
/// the lane of the peer whose messages it submits, and saves the lookup. When the last
/// clone is dropped, the flows close, what was admitted still runs, and the threads end; [`shutdown`](Self::shutdown)
/// does the same and waits.
///
/// `G` may be a concrete type, whose callbacks are then called directly. With the feature `wire` it may be left out,
/// for a [`GossipArc`](crate::GossipArc) that is known at run time. A `G` with message types of its own has a
/// [`Codec`] of its own and is linked by [`with_codec`](Self::with_codec).
pub struct AsyncTransportEventHandlerImpl<
    #[cfg(feature = "wire")] G: Gossip + ?Sized = DynGossip,
    #[cfg(feature = "wire")] C = WireCodec,
    #[cfg(not(feature = "wire"))] G: Gossip + ?Sized,
    #[cfg(not(feature = "wire"))] C,
> {
    shared: Arc<Shared<G, C>>,
    lanes: Lanes,
}

#[cfg(feature = "wire")]
impl<G: Gossip + ?Sized> AsyncTransportEventHandlerImpl<G>
where
    WireCodec: Codec<G>,
{
    /// Like [`with_codec`](Self::with_codec), for the built-in messages. Needs the feature `wire`.
    ///
    /// # Errors
    ///
    /// Those of [`with_codec`](Self::with_codec).
    pub fn new(
        node_id: NodeId,
        metrics_registry: &MetricsRegistry,
        channel_config: ChannelConfig,
        gossip: Arc<G>,
    ) -> Result<Self, BuildError> {
        Self::with_codec(node_id, metrics_registry, channel_config, gossip, WireCodec)
    }
}

impl<G: Gossip + ?Sized, C: Codec<G>> AsyncTransportEventHandlerImpl<G, C> {
    /// Builds the five flows and starts their threads; `node_id` is the replica's own id, for logs. `codec` decodes
    /// the messages of `gossip`.
    ///
    /// # Errors
    ///
    /// [`BuildError::Config`] if `channel_config` is out of range, [`BuildError::Threads`] or
    /// [`BuildError::WatchThread`] if the system gives no threads.
    pub fn with_codec(
        node_id: NodeId,
        metrics_registry: &MetricsRegistry,
        channel_config: ChannelConfig,
        gossip: Arc<G>,
        codec: C,
    ) -> Result<Self, BuildError> {
        let flows = Flows::new(channel_config, metrics_registry, gossip)?;
        // The subscriber is the user's code, here and below.
        contain(|| tracing::info!(node = %node_id, "event handler started"));
        let metrics = metrics_registry.clone();
        let shared = Shared { node_id, metrics, codec, flows };
        Ok(Self { shared: Arc::new(shared), lanes: Lanes::default() })
    }

    /// A peer has connected: calls `on_peer_up`, and resolves to a guard of the connection, whose end calls
    /// `on_peer_down`. This is `PeerUp` and `PeerDown` for a transport that prefers a guard to events.
    ///
    /// The event is submitted before this returns. No message of the peer that is submitted after the future has
    /// resolved starts before `on_peer_up` has returned.
    ///
    /// # Errors
    ///
    /// The future resolves to a [`RefusalReason`](crate::RefusalReason) if the Transport flow does not admit the event.
    /// The transport may close the connection then: `on_peer_down` will not be called. The future resolves a moment
    /// before the event's capacity is free, so a flow that [refuses](crate::OverloadPolicy::Refuse) may be full then.
    /// [`Engine::connect`](crate::Engine::connect) says when departures bar an arrival.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped at any time. If `on_peer_up` has been called by then, or will be, `on_peer_down`
    /// follows.
    pub fn connect(&self, peer: NodeId) -> Connecting {
        self.shared.flows.engine.connect(peer)
    }

    /// Changes the configuration while messages flow: that of all flows, or of none if a figure is out of range or
    /// cannot change. [`FlowWorker::reconfigure`](crate::FlowWorker::reconfigure) says what can change, and from when
    /// on the change holds. Concerns all clones.
    ///
    /// One change runs at a time, and this one wakes the submitters that it lets in. A waker must not change the
    /// configuration or the replica itself: it would deadlock.
    ///
    /// # Errors
    ///
    /// [`ConfigError`]; nothing has changed.
    pub fn reconfigure(&self, channel_config: ChannelConfig) -> Result<(), ConfigError> {
        self.shared.flows.reconfigure(channel_config)?;
        contain(|| tracing::info!(node = %self.shared.node_id, "event handler reconfigured"));
        Ok(())
    }

    /// Swaps the replica while messages flow: `gossip` is called for everything that no worker has taken up. Callbacks
    /// of the old replica that run go on to their end; then the handler lets go of it. Concerns all clones. It does not
    /// concern the timer and the broadcaster: build a new timer, and [start](crate::AdvertBroadcaster::start) the
    /// broadcaster with the new replica.
    pub fn replace_gossip(&self, gossip: &Arc<G>) {
        self.shared.flows.replace_gossip(gossip);
        contain(|| tracing::info!(node = %self.shared.node_id, "gossip replaced"));
    }

    /// Gives a peer's messages a larger share of the time of each flow but Transport: see
    /// [`FlowWorker::set_peer_weight`](crate::FlowWorker::set_peer_weight). False if it could not be set in all flows.
    #[must_use = "the weight may not have been set"]
    pub fn set_peer_weight(&self, peer: NodeId, weight: u32) -> bool {
        self.shared.flows.engine.set_peer_weight(peer, weight)
    }

    /// Forgets the panics that this peer's messages have caused, and ends its quarantine; true if it was in one.
    pub fn lift_quarantine(&self, peer: NodeId) -> bool {
        self.shared.flows.lift_quarantine(peer)
    }

    /// Admits nothing more, lets what was admitted run until the deadline, drops and counts what has
    /// not started by then, ends the threads of all flows and says what was left.
    ///
    /// Calls that wait for capacity resolve with an error at once. Concerns all clones. Blocks the caller
    /// for `deadline` at the most, and up to a second more for each flow whose threads have nothing
    /// left to run and do not end; an asynchronous program calls it where blocking is allowed.
    /// [`FlowWorker::shutdown`](crate::FlowWorker::shutdown) says what happens to a handler that is stuck.
    ///
    /// Called from inside a callback it closes all flows and returns at once, with a report that is not clean.
    pub fn shutdown(&self, deadline: Duration) -> ShutdownReport {
        let report = self.shared.flows.engine.shutdown(deadline);
        contain(|| {
            let clean = report.is_clean();
            tracing::info!(node = %self.shared.node_id, clean, "event handler shut down");
        });
        report
    }

    /// The engine of its flows.
    #[cfg(all(any(test, fuzzing), not(any(loom, shuttle))))]
    pub(crate) fn engine(&self) -> &crate::Engine {
        &self.shared.flows.engine
    }

    fn message(&mut self, peer: NodeId, payload: Bytes) -> Admission<G, C::Error> {
        let (flows, lanes) = (&self.shared.flows, &mut self.lanes);
        if flows.is_quarantined(peer) {
            self.shared.metrics.quarantined();
            return Admission::Quarantined;
        }
        let bytes = payload.len();
        match self.shared.codec.decode(payload) {
            Ok(GossipMessage::Advert(advert)) => Admission::Advert(flows.advert.execute_from(
                &peer,
                advert,
                bytes,
                &mut lanes.advert,
            )),
            Ok(GossipMessage::ChunkRequest(request)) => Admission::Request(
                flows.request.execute_from(&peer, request, bytes, &mut lanes.request),
            ),
            Ok(GossipMessage::Chunk(chunk)) => {
                Admission::Chunk(flows.chunk.execute_from(&peer, chunk, bytes, &mut lanes.chunk))
            }
            Ok(GossipMessage::RetransmissionRequest(request)) => Admission::Retransmission(
                flows.retransmission.execute_from(&peer, request, bytes, &mut lanes.retransmission),
            ),
            Err(source) if C::is_unknown(&source) => {
                self.shared.metrics.unknown();
                Admission::Unknown(Some(source))
            }
            Err(source) => {
                self.shared.metrics.malformed();
                Admission::Malformed(Some(source))
            }
        }
    }
}

impl<G: Gossip + ?Sized, C: Codec<G>> Service<TransportEvent>
    for AsyncTransportEventHandlerImpl<G, C>
{
    type Response = Submitted;
    type Error = EventError<C::Error>;
    type Future = CallFuture<G, C::Error>;

    /// Always ready, since only `call` knows the flow and the peer of an event. The back pressure is in the future that
    /// `call` returns, so a layer that waits for `poll_ready` alone is never held back.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    /// Decodes the event and submits it to its flow before this returns. It is admitted if there is capacity and nobody
    /// waits. Otherwise the flow's [`OverloadPolicy`](crate::OverloadPolicy) decides: by default the event waits in its
    /// peer's lane, whether the future is polled or not. The future resolves to what was done with the event. `PeerUp`
    /// and `PeerDown` are never dropped.
    ///
    /// A `PeerDown` drops what the peer has queued: the `Drop` of these messages runs on the caller's thread.
    ///
    /// # Errors
    ///
    /// The future resolves to [`EventError::Malformed`] if the payload is no message, to
    /// [`EventError::Unknown`] if it is one of a later version, to [`EventError::Quarantined`] if the peer is in
    /// quarantine, and to [`EventError::Refused`] for any of the [`RefusalReason`](crate::RefusalReason)s.
    ///
    /// # Panics
    ///
    /// If the codec panics; the event is then not counted.
    ///
    /// # Cancel safety
    ///
    /// As for [`FlowWorker::execute`](crate::FlowWorker::execute): the future may be dropped at any time; an event that
    /// waits is dropped with it. One that was admitted runs.
    fn call(&mut self, event: TransportEvent) -> Self::Future {
        let (peer, admission) = match event {
            TransportEvent::Message(TransportMessage { peer_id, payload }) => {
                (peer_id, self.message(peer_id, payload))
            }
            // It would overtake the departure. No event: nothing has happened to it that a flow would count.
            TransportEvent::PeerUp(peer) if self.shared.flows.engine.departs(&peer) => {
                return CallFuture { peer, admission: Admission::Departs };
            }
            TransportEvent::PeerUp(peer) => {
                (peer, Admission::transport(self.shared.flows.engine.peer_up(&peer)))
            }
            TransportEvent::PeerDown(peer) => {
                (peer, Admission::transport(self.shared.flows.engine.peer_down(&peer)))
            }
        };
        // After the codec, so that one that panics leaves no event without an end.
        self.shared.metrics.received(1);
        CallFuture { peer, admission }
    }
}

impl<G: Gossip + ?Sized, C> Clone for AsyncTransportEventHandlerImpl<G, C> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), lanes: Lanes::default() }
    }
}

impl<G: Gossip + ?Sized, C> fmt::Debug for AsyncTransportEventHandlerImpl<G, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flows = &self.shared.flows;
        f.debug_struct("AsyncTransportEventHandlerImpl")
            .field("node_id", &self.shared.node_id)
            .field("advert", &flows.advert)
            .field("request", &flows.request)
            .field("chunk", &flows.chunk)
            .field("retransmission", &flows.retransmission)
            .field("transport", flows.engine.peers())
            .finish_non_exhaustive()
    }
}
