//! The future of an event: what its flow has done with it, or that its callback has returned.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use crate::{
    EventError, Execute, FlowType, Gossip, NodeId, RefusalReason, Refused, Submitted, blocking,
    engine::{Change, PeerChange, PeerCompletion},
    panics::contain,
};

/// Resolves when a message is admitted, dropped or refused, and when the callback of a `PeerUp` or `PeerDown` has
/// returned.
///
/// Returned by the `call` of
/// [`AsyncTransportEventHandlerImpl`](super::AsyncTransportEventHandlerImpl). It works under any executor, and
/// [without](Self::wait) one.
///
/// # Cancel safety
///
/// It may be dropped at any time. An event that still waits is dropped with it and counted as
/// [`WaitCancelled`](crate::Outcome::WaitCancelled), so a `PeerUp` or `PeerDown` belongs in no `select` and under no
/// timeout.
///
/// # Panics
///
/// It may panic if it is polled again after it has resolved.
#[must_use = "an event that finds no capacity is dropped with its future"]
pub struct CallFuture<G: Gossip + ?Sized, E> {
    pub(super) peer: NodeId,
    pub(super) admission: Admission<G, E>,
}

pub(super) enum Admission<G: Gossip + ?Sized, E> {
    Advert(Execute<G::GossipAdvert>),
    Request(Execute<G::GossipChunkRequest>),
    Chunk(Execute<G::GossipChunk>),
    Retransmission(Execute<G::GossipRetransmissionRequest>),
    Transport {
        execute: Option<Execute<PeerChange<NodeId>>>,
        completion: PeerCompletion,
    },
    /// An arrival of a peer of whose departure the replica is yet to be notified.
    Departs,
    Malformed(Option<E>),
    Unknown(Option<E>),
    Quarantined,
}

impl<G: Gossip + ?Sized, E> Admission<G, E> {
    pub(super) fn transport((execute, completion): Change<NodeId>) -> Self {
        Self::Transport { execute, completion }
    }
}

impl<G: Gossip + ?Sized, E> CallFuture<G, E> {
    /// Parks the calling thread until this resolves, as [`Execute::wait`] does. Not in a callback: the flow may have to
    /// wait for that one to return.
    ///
    /// # Errors
    ///
    /// As for the future.
    pub fn wait(self) -> Result<Submitted, EventError<E>> {
        blocking::wait(self)
    }
}

// Nothing in it is ever pinned.
impl<G: Gossip + ?Sized, E> Unpin for CallFuture<G, E> {}

impl<G: Gossip + ?Sized, E> Future for CallFuture<G, E> {
    type Output = Result<Submitted, EventError<E>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        fn poll<M: Send + 'static, E>(
            execute: &mut Execute<M>,
            peer: NodeId,
            flow: FlowType,
            context: &mut Context<'_>,
        ) -> Poll<Result<Submitted, EventError<E>>> {
            let refused = |Refused { reason, message }| {
                // Nobody gets it back, so its panic is nobody else's to bear.
                contain(|| drop(message));
                EventError::Refused { peer, flow, reason }
            };
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
            Admission::Transport { execute, completion } => {
                if let Some(admission) = execute {
                    match poll(admission, peer, FlowType::Transport, context) {
                        Poll::Ready(Ok(_)) => *execute = None,
                        other => return other,
                    }
                }
                completion.poll(context).map(|ran| {
                    let reason = RefusalReason::Closed;
                    let refused = EventError::Refused { peer, flow: FlowType::Transport, reason };
                    if ran { Ok(Submitted::Admitted) } else { Err(refused) }
                })
            }
            Admission::Departs => {
                let (flow, reason) = (FlowType::Transport, RefusalReason::TooManyWaiters);
                Poll::Ready(Err(EventError::Refused { peer, flow, reason }))
            }
            Admission::Quarantined => Poll::Ready(Err(EventError::Quarantined { peer })),
            Admission::Malformed(source) => {
                let source = source.take().expect("polled after it had resolved");
                Poll::Ready(Err(EventError::Malformed { peer, source }))
            }
            Admission::Unknown(source) => {
                let source = source.take().expect("polled after it had resolved");
                Poll::Ready(Err(EventError::Unknown { peer, source }))
            }
        }
    }
}

impl<G: Gossip + ?Sized, E> fmt::Debug for CallFuture<G, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallFuture").field("peer", &self.peer).finish_non_exhaustive()
    }
}
