//! A peer's connection as a guard: when it is closed or dropped, the replica hears that the peer has gone.
//!
//! ```text
//!  connect ──▶ waits ──▶ on_peer_up ──▶ Connection ── close, or Drop ──▶ Departing ──▶ on_peer_down
//!                │ refused, or its future dropped                         │      ▲
//!                ▼                                                        ▼      │
//!           no connection                                               refused: again, by the watch
//! ```
//!
//! The handler keeps what is **departing**. So nobody need wait for a departure. It is lost only with the handler, or
//! by its shutdown. There is at most one for each connection.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use super::{
    Shared,
    completion::Completion,
    flows::{Flows, OnPeerChange, PeerChange},
};
use crate::{
    Codec, EventError, Execute, FlowType, Gossip, NodeId, RefusalReason, Refused, WireCodec,
    blocking, gossip::DynGossip, panics::contain, sync::Mutex,
};

/// A peer that is connected, from the return of its `on_peer_up` on.
///
/// Returned by [`connect`](super::AsyncTransportEventHandlerImpl::connect). When it is [closed](Self::close) or
/// dropped, what the peer has queued is cancelled, and `on_peer_down` is called, whatever the load: there is nothing to
/// repeat. If the Transport flow is full, the departure waits inside the handler. It is lost with the handler: when
/// that is shut down, or when its last clone is dropped, which may be this connection.
///
/// # Whose code runs here
///
/// Closing or dropping it runs, on the caller's thread, the `Drop` of the peer's queued messages, and the wakers of up
/// to 64 submitters that are let in. So it is dropped under no lock that they may take.
///
/// It counts as a clone of its handler. Messages are submitted by [`call`](tower_service::Service::call), on clones of
/// the handler, one for each stream. A peer has one connection at a time: a transport closes the old one, and waits
/// until that is done, before it connects the peer anew.
///
/// ```
/// use std::sync::Arc;
/// use gossip_engine::{AsyncTransportEventHandlerImpl, ChannelConfig, MetricsRegistry, NodeId};
/// # use gossip_engine::{ArtifactDestination, ArtifactFilter, Gossip, GossipAdvert, GossipArc};
/// # use gossip_engine::{GossipChunk, GossipChunkRequest};
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
/// #     fn on_peer_up(&self, _: NodeId) {}
/// #     fn on_peer_down(&self, _: NodeId) {}
/// #     fn on_gossip_timer(&self) {}
/// #     fn broadcast_advert(&self, _: GossipAdvert, _: ArtifactDestination) {}
/// # }
/// # let replica: GossipArc = Arc::new(Replica);
/// let (own, peer) = (NodeId::new([1; 32]), NodeId::new([2; 32]));
/// let (registry, config) = (MetricsRegistry::new(), ChannelConfig::default());
/// let handler = AsyncTransportEventHandlerImpl::new(own, &registry, config, replica)?;
/// # futures_executor::block_on(async {
/// let connection = handler.connect(peer).await.expect("the handler is open");
/// // `on_peer_up` has returned; messages are read and submitted …
/// connection.close().await;
/// // `on_peer_down` has returned.
/// # });
/// # Ok::<(), gossip_engine::BuildError>(())
/// ```
#[must_use = "the peer departs when its connection is dropped"]
pub struct Connection<G: Gossip + ?Sized = DynGossip, C = WireCodec> {
    shared: Arc<Shared<G, C>>,
    peer: NodeId,
    is_open: bool,
}

impl<G: Gossip + ?Sized, C> Connection<G, C> {
    /// Whose connection it is.
    #[must_use]
    pub fn peer(&self) -> NodeId {
        self.peer
    }

    /// Ends the connection, before this returns. The future resolves when `on_peer_down` has returned, or when the
    /// handler has been shut down.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped at any time; `on_peer_down` is called all the same.
    pub fn close(mut self) -> Closing {
        self.is_open = false;
        Closing(self.shared.flows.depart(self.peer))
    }
}

impl<G: Gossip + ?Sized, C> Drop for Connection<G, C> {
    fn drop(&mut self) {
        if self.is_open {
            let _ = self.shared.flows.depart(self.peer);
        }
    }
}

impl<G: Gossip + ?Sized, C> fmt::Debug for Connection<G, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("peer", &self.peer).finish_non_exhaustive()
    }
}

/// Resolves when a peer's `on_peer_up` has returned: see
/// [`connect`](super::AsyncTransportEventHandlerImpl::connect).
///
/// # Panics
///
/// If it is polled again after it has resolved.
#[must_use = "a peer is connected when this has resolved"]
pub struct Connecting<G: Gossip + ?Sized = DynGossip, C = WireCodec> {
    arrival: Arrival<G>,
    /// It closes itself if this is dropped and the replica has heard, or will hear, of the peer.
    connection: Option<Connection<G, C>>,
}

enum Arrival<G: Gossip + ?Sized> {
    /// `None` once it is admitted.
    Submitted(Option<Execute<PeerChange, OnPeerChange<G>>>, Completion),
    /// Not submitted: it would overtake the departure of the peer's last connection.
    Refused,
}

impl<G: Gossip + ?Sized, C> Connecting<G, C> {
    pub(super) fn new(shared: &Arc<Shared<G, C>>, peer: NodeId) -> Self {
        let is_refused = shared.flows.departures.are_to_repeat(peer);
        let connection = Connection { shared: Arc::clone(shared), peer, is_open: !is_refused };
        let arrival = if is_refused {
            Arrival::Refused
        } else {
            shared.metrics.received();
            let (execute, completion) = shared.flows.peer_up(peer);
            Arrival::Submitted(Some(execute), completion)
        };
        Self { arrival, connection: Some(connection) }
    }

    /// Nothing of the peer will run, so there is nothing to end.
    fn forget_connection(&mut self) {
        if let Some(mut connection) = self.connection.take() {
            connection.is_open = false;
        }
    }

    /// Parks the calling thread until this resolves, for a thread that has no executor. Not in a callback of the
    /// Transport flow, which may have to return first.
    ///
    /// # Errors
    ///
    /// As for the future.
    pub fn wait(self) -> Result<Connection<G, C>, EventError<C::Error>>
    where
        C: Codec<G>,
    {
        blocking::wait(self)
    }
}

// Nothing in it is ever pinned.
impl<G: Gossip + ?Sized, C> Unpin for Connecting<G, C> {}

impl<G: Gossip + ?Sized, C: Codec<G>> Future for Connecting<G, C> {
    type Output = Result<Connection<G, C>, EventError<C::Error>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let peer = self.connection.as_ref().expect("polled after it had resolved").peer;
        let refused = |reason| EventError::Refused { peer, flow: FlowType::Transport, reason };
        let why_not = match &mut self.arrival {
            Arrival::Refused => Some(RefusalReason::TooManyWaiters),
            Arrival::Submitted(execute, completion) => {
                let admitted = match execute {
                    Some(waits) => ready!(Pin::new(waits).poll(context)).map(|_| ()),
                    None => Ok(()),
                };
                *execute = None;
                match admitted {
                    Ok(()) => (!ready!(completion.poll(context))).then_some(RefusalReason::Closed),
                    Err(Refused { reason, .. }) => Some(reason),
                }
            }
        };
        let Some(reason) = why_not else {
            return Poll::Ready(Ok(self.connection.take().expect("it is taken once")));
        };
        self.forget_connection();
        Poll::Ready(Err(refused(reason)))
    }
}

impl<G: Gossip + ?Sized, C> Drop for Connecting<G, C> {
    fn drop(&mut self) {
        if let Arrival::Submitted(execute, completion) = &mut self.arrival {
            // First: an event that still waits ends here, and one that was admitted will run.
            drop(execute.take());
            if completion.never_ran() {
                self.forget_connection();
            }
        }
    }
}

impl<G: Gossip + ?Sized, C> fmt::Debug for Connecting<G, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connecting").finish_non_exhaustive()
    }
}

/// Resolves when a peer's `on_peer_down` has returned, or when the handler has been shut down: see
/// [`Connection::close`].
#[derive(Debug)]
#[must_use = "the callback has returned when this has resolved"]
pub struct Closing(Completion);

impl Closing {
    /// Parks the calling thread until this resolves, for a thread that has no executor. Not in a callback of the
    /// Transport flow, which may have to return first.
    pub fn wait(self) {
        blocking::wait(self);
    }
}

impl Future for Closing {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.0.poll(context).map(|_| ())
    }
}

/// How many departures that were refused are submitted again at a time, at the most.
const REPEATS: usize = 64;

/// A departure that the Transport flow has not admitted yet.
enum Departing<G: Gossip + ?Sized> {
    /// It waits in its peer's lane.
    Waits(Execute<PeerChange, OnPeerChange<G>>),
    /// It was refused, and is to be submitted again.
    Refused(PeerChange),
    /// The watch is submitting it again at the moment.
    Repeated,
}

/// Those of all peers. Locked at departures that find no capacity, and by the watch.
pub(super) struct Departures<G: Gossip + ?Sized>(Mutex<Vec<(NodeId, Departing<G>)>>);

impl<G: Gossip + ?Sized> Default for Departures<G> {
    fn default() -> Self {
        Self(Mutex::new(Vec::new()))
    }
}

impl<G: Gossip + ?Sized> Departures<G> {
    /// Looks at a departure that was submitted, and keeps it if it has not been admitted; whether it is kept.
    fn keep(&self, peer: NodeId, mut execute: Execute<PeerChange, OnPeerChange<G>>) -> bool {
        // Nobody need be woken: it is admitted without being polled, and the watch finds it so.
        let departing = match Pin::new(&mut execute).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(_)) => return false,
            Poll::Ready(Err(Refused { reason: RefusalReason::Closed, message })) => {
                // Wakes who waits for it.
                contain(|| drop(message));
                return false;
            }
            Poll::Ready(Err(Refused { message, .. })) => Departing::Refused(message),
            Poll::Pending => Departing::Waits(execute),
        };
        self.0.lock().push((peer, departing));
        true
    }

    /// Whether none is kept.
    pub(super) fn are_none(&self) -> bool {
        self.0.lock().is_empty()
    }

    /// Whether a departure of this peer is yet to be submitted again.
    fn are_to_repeat(&self, peer: NodeId) -> bool {
        let is_to_repeat = |(of, departing): &(NodeId, Departing<G>)| {
            *of == peer && !matches!(departing, Departing::Waits(_))
        };
        self.0.lock().iter().any(is_to_repeat)
    }
}

impl<G: Gossip + ?Sized> Flows<G> {
    /// A peer has gone: as [`peer_down`](Self::peer_down), and nobody need wait for it or submit it again.
    pub(super) fn depart(&self, peer: NodeId) -> Completion {
        self.metrics.received();
        let (execute, completion) = self.peer_down(peer);
        // The watch ends when it has found the flows over and no departure: one that is kept later is refused here.
        if self.departures.keep(peer, execute) && self.transport.is_over() {
            self.look_at_departures();
        }
        completion
    }

    /// Submits again what was refused, and forgets what was admitted.
    pub(super) fn look_at_departures(&self) {
        // Where there is nothing to wait for, all are told.
        let mut repeats = if self.transport.is_over() { usize::MAX } else { REPEATS };
        let mut looked_at = Vec::new();
        {
            let mut all = self.departures.0.lock();
            for (peer, departing) in std::mem::take(&mut *all) {
                match departing {
                    Departing::Refused(_) if repeats > 0 => {
                        repeats -= 1;
                        all.push((peer, Departing::Repeated));
                        looked_at.push((peer, departing));
                    }
                    // It keeps its place before what comes later.
                    Departing::Waits(_) => looked_at.push((peer, departing)),
                    Departing::Refused(_) | Departing::Repeated => all.push((peer, departing)),
                }
            }
        }
        if looked_at.is_empty() {
            return;
        }
        // Not under the lock: submitters that are let in are woken here. Those that are refused again go to the end.
        for (peer, departing) in looked_at {
            let execute = match departing {
                Departing::Waits(execute) => execute,
                Departing::Refused(change) => {
                    // The refusal was counted, and so will be what becomes of this.
                    self.metrics.notice();
                    self.transport.execute(peer, change)
                }
                Departing::Repeated => continue,
            };
            self.departures.keep(peer, execute);
        }
        self.departures.0.lock().retain(|(_, left)| !matches!(left, Departing::Repeated));
    }
}
