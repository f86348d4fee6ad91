//! The face to the transport: decode, choose the flow, admit.
//!
//! [`AsyncTransportEventHandlerImpl`] owns the five flows. It holds no message itself: what it is
//! called with is refused, or waits in the line of its peer's lane, or has been admitted to its flow.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use tower_service::Service;

use crate::{
    BuildError, ChannelConfig, Codec, EventError, Execute, FlowType, FlowWorker, Gossip,
    MessageHandler, MetricsRegistry, NodeId, Refused, ShutdownReport, TransportEvent,
    TransportMessage, WireCodec, flow_worker::instant_after, gossip::DynGossip,
    message::GossipMessage,
};

/// Names the handler of a flow: the callback of `G` that it runs.
macro_rules! callback {
    ($name:ident, $message:ident, $callback:ident) => {
        struct $name<G: ?Sized>(Arc<G>);

        impl<G: Gossip + ?Sized> MessageHandler<G::$message> for $name<G> {
            fn handle(&self, peer: NodeId, message: G::$message) {
                self.0.$callback(message, peer);
            }
        }
    };
}

callback!(OnAdvert, GossipAdvert, on_gossip_advert);
callback!(OnRequest, GossipChunkRequest, on_chunk_request);
callback!(OnChunk, GossipChunk, on_gossip_chunk);
callback!(OnRetransmission, GossipRetransmissionRequest, on_gossip_retransmission_request);

/// A peer has come or gone.
#[derive(Clone, Copy)]
enum PeerChange {
    Up,
    Down,
}

struct OnPeerChange<G: ?Sized>(Arc<G>);

impl<G: Gossip + ?Sized> MessageHandler<PeerChange> for OnPeerChange<G> {
    fn handle(&self, peer: NodeId, change: PeerChange) {
        match change {
            PeerChange::Up => self.0.on_peer_up(peer),
            PeerChange::Down => self.0.on_peer_down(peer),
        }
    }
}

struct Flows<G: Gossip + ?Sized> {
    advert: FlowWorker<G::GossipAdvert, OnAdvert<G>>,
    request: FlowWorker<G::GossipChunkRequest, OnRequest<G>>,
    chunk: FlowWorker<G::GossipChunk, OnChunk<G>>,
    retransmission: FlowWorker<G::GossipRetransmissionRequest, OnRetransmission<G>>,
    transport: FlowWorker<PeerChange, OnPeerChange<G>>,
}

struct Shared<G: Gossip + ?Sized, C> {
    node_id: NodeId,
    metrics: MetricsRegistry,
    codec: C,
    flows: Flows<G>,
}

/// Takes what happens at a transport and runs the callbacks of a [`Gossip`] for it.
///
/// It is a `tower` [`Service`]: the transport awaits the future of each
/// [`call`](Service::call) before it brings the next event of the same stream, so that a flow without
/// room stops that stream and, through the transport's own flow control, the peer. Streams of other
/// flows go on. Within a flow each peer has a lane of its own: it is held back alone when it is over
/// its quota, and served in turn with the others however much it sends. A `PeerDown` gives up the
/// peer's lanes when they are empty; what is in them still runs.
///
/// Clones are the same handler and cost one reference count. When the last clone is dropped, the
/// flows close, what was admitted still runs, and the threads end; [`shutdown`](Self::shutdown)
/// does the same and waits.
///
/// `G` may be a concrete type, whose callbacks are then called directly, or left out, for a
/// [`GossipArc`](crate::GossipArc) that is known at run time. A `G` with message types of its own
/// brings a [`Codec`] and is linked by [`with_codec`](Self::with_codec).
pub struct AsyncTransportEventHandlerImpl<G: Gossip + ?Sized = DynGossip, C = WireCodec> {
    shared: Arc<Shared<G, C>>,
}

impl<G: Gossip + ?Sized> AsyncTransportEventHandlerImpl<G>
where
    WireCodec: Codec<G>,
{
    /// Builds the five flows and starts their threads; `node_id` is the replica's own id, for logs.
    ///
    /// # Errors
    ///
    /// [`BuildError::Config`] if `channel_config` is out of range, [`BuildError::Threads`] if the
    /// system gives no threads.
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
    /// Like [`new`](AsyncTransportEventHandlerImpl::new), for a replica with message types of its
    /// own.
    ///
    /// # Errors
    ///
    /// Those of [`new`](AsyncTransportEventHandlerImpl::new).
    pub fn with_codec(
        node_id: NodeId,
        metrics_registry: &MetricsRegistry,
        channel_config: ChannelConfig,
        gossip: Arc<G>,
        codec: C,
    ) -> Result<Self, BuildError> {
        channel_config.validate()?;
        macro_rules! flow {
            ($flow:ident, $handler:ident) => {
                FlowWorker::new(
                    FlowType::$flow,
                    &channel_config.flow(FlowType::$flow),
                    metrics_registry,
                    $handler(Arc::clone(&gossip)),
                )?
            };
        }
        let flows = Flows {
            advert: flow!(Advert, OnAdvert),
            request: flow!(Request, OnRequest),
            chunk: flow!(Chunk, OnChunk),
            retransmission: flow!(Retransmission, OnRetransmission),
            transport: flow!(Transport, OnPeerChange),
        };
        tracing::info!(node = %node_id, "event handler started");
        let metrics = metrics_registry.clone();
        Ok(Self { shared: Arc::new(Shared { node_id, metrics, codec, flows }) })
    }

    /// Admits nothing more, lets what was admitted run until the deadline, drops and counts what has
    /// not started by then, ends the threads of all flows and says what was left.
    ///
    /// Calls that wait for room resolve with an error at once. Concerns all clones. Blocks the caller
    /// for `deadline` at the most, and up to a second more for each flow whose threads have nothing
    /// left to run and do not end; an asynchronous program calls it where blocking is allowed.
    /// [`FlowWorker::shutdown`] says what happens to a handler that is stuck, and when called from
    /// inside a handler; two callbacks that call this at the same time wait for each other until the
    /// deadline.
    pub fn shutdown(&self, deadline: Duration) -> ShutdownReport {
        let until = instant_after(deadline);
        let flows = &self.shared.flows;
        // All first, so that the flows run out side by side.
        flows.advert.close();
        flows.request.close();
        flows.chunk.close();
        flows.retransmission.close();
        flows.transport.close();
        let report = ShutdownReport::new(|flow| match flow {
            FlowType::Advert => flows.advert.shut_down_by(until),
            FlowType::Request => flows.request.shut_down_by(until),
            FlowType::Chunk => flows.chunk.shut_down_by(until),
            FlowType::Retransmission => flows.retransmission.shut_down_by(until),
            FlowType::Transport => flows.transport.shut_down_by(until),
        });
        tracing::info!(node = %self.shared.node_id, clean = report.is_clean(), "event handler shut down");
        report
    }

    fn message(&self, peer: NodeId, payload: Bytes) -> Admission<G, C::Error> {
        let flows = &self.shared.flows;
        match self.shared.codec.decode(payload) {
            Ok(GossipMessage::Advert(advert)) => {
                Admission::Advert(flows.advert.execute(peer, advert))
            }
            Ok(GossipMessage::ChunkRequest(request)) => {
                Admission::Request(flows.request.execute(peer, request))
            }
            Ok(GossipMessage::Chunk(chunk)) => Admission::Chunk(flows.chunk.execute(peer, chunk)),
            Ok(GossipMessage::RetransmissionRequest(request)) => {
                Admission::Retransmission(flows.retransmission.execute(peer, request))
            }
            Err(source) => {
                self.shared.metrics.malformed();
                Admission::Malformed(Some(source))
            }
        }
    }

    fn peer_change(&self, peer: NodeId, change: PeerChange) -> Admission<G, C::Error> {
        let flows = &self.shared.flows;
        let admission = Admission::Transport(flows.transport.execute(peer, change));
        if let PeerChange::Down = change {
            flows.advert.forget_peer(peer);
            flows.request.forget_peer(peer);
            flows.chunk.forget_peer(peer);
            flows.retransmission.forget_peer(peer);
            flows.transport.forget_peer(peer);
        }
        admission
    }
}

impl<G: Gossip + ?Sized, C: Codec<G>> Service<TransportEvent>
    for AsyncTransportEventHandlerImpl<G, C>
{
    type Response = ();
    type Error = EventError<C::Error>;
    type Future = CallFuture<G, C::Error>;

    /// Always ready: which flow an event needs, and whose it is, is known only in `call`. The
    /// back pressure is in the future that `call` returns.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    /// Decodes the event and brings it to its flow before this returns: it is admitted if there is room
    /// and nobody waits, otherwise it has its place in the line of its peer's lane, whether the future is polled
    /// or not.
    ///
    /// # Errors
    ///
    /// The future resolves to [`EventError::Malformed`] if the payload is no message, and to
    /// [`EventError::Refused`] if the flow is closed, too many events of the peer wait for it, or too
    /// many other peers have messages in it.
    ///
    /// # Panics
    ///
    /// If the codec panics; the event is then not counted.
    ///
    /// # Cancel safety
    ///
    /// As for [`FlowWorker::execute`]: the future may be dropped at any time; an event that waits
    /// is dropped with it.
    fn call(&mut self, event: TransportEvent) -> Self::Future {
        let (peer, admission) = match event {
            TransportEvent::Message(TransportMessage { peer_id, payload }) => {
                (peer_id, self.message(peer_id, payload))
            }
            TransportEvent::PeerUp(peer) => (peer, self.peer_change(peer, PeerChange::Up)),
            TransportEvent::PeerDown(peer) => (peer, self.peer_change(peer, PeerChange::Down)),
        };
        // After the codec, so that one that panics leaves no event without an end.
        self.shared.metrics.received();
        CallFuture { peer, admission }
    }
}

impl<G: Gossip + ?Sized, C> Clone for AsyncTransportEventHandlerImpl<G, C> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
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
            .field("transport", &flows.transport)
            .finish_non_exhaustive()
    }
}

/// Resolves when an event is admitted or refused.
///
/// Returned by the `call` of [`AsyncTransportEventHandlerImpl`]. It works under any executor.
///
/// # Panics
///
/// If it is polled again after it has resolved.
#[must_use = "an event that finds no room is dropped with its future"]
pub struct CallFuture<G: Gossip + ?Sized, E> {
    peer: NodeId,
    admission: Admission<G, E>,
}

enum Admission<G: Gossip + ?Sized, E> {
    Advert(Execute<G::GossipAdvert, OnAdvert<G>>),
    Request(Execute<G::GossipChunkRequest, OnRequest<G>>),
    Chunk(Execute<G::GossipChunk, OnChunk<G>>),
    Retransmission(Execute<G::GossipRetransmissionRequest, OnRetransmission<G>>),
    Transport(Execute<PeerChange, OnPeerChange<G>>),
    Malformed(Option<E>),
}

// Nothing in it is ever pinned.
impl<G: Gossip + ?Sized, E> Unpin for CallFuture<G, E> {}

impl<G: Gossip + ?Sized, E> Future for CallFuture<G, E> {
    type Output = Result<(), EventError<E>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        fn poll<M: Send + 'static, H: MessageHandler<M>, E>(
            execute: &mut Execute<M, H>,
            peer: NodeId,
            flow: FlowType,
            context: &mut Context<'_>,
        ) -> Poll<Result<(), EventError<E>>> {
            let refused = |Refused { reason, .. }| EventError::Refused { peer, flow, reason };
            Pin::new(execute).poll(context).map_err(refused)
        }
        let peer = self.peer;
        match &mut self.admission {
            Admission::Advert(execute) => poll(execute, peer, FlowType::Advert, context),
            Admission::Request(execute) => poll(execute, peer, FlowType::Request, context),
            Admission::Chunk(execute) => poll(execute, peer, FlowType::Chunk, context),
            Admission::Retransmission(execute) => {
                poll(execute, peer, FlowType::Retransmission, context)
            }
            Admission::Transport(execute) => poll(execute, peer, FlowType::Transport, context),
            Admission::Malformed(source) => {
                let source = source.take().expect("polled after it had resolved");
                Poll::Ready(Err(EventError::Malformed { peer, source }))
            }
        }
    }
}

impl<G: Gossip + ?Sized, E> fmt::Debug for CallFuture<G, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallFuture").field("peer", &self.peer).finish_non_exhaustive()
    }
}
