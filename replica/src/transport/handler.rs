//! How a message reaches the handler, how a peer arrives and departs, and what may come back.

use std::future::{Future, poll_fn};

use gossip_engine::{
    AsyncTransportEventHandlerImpl, Codec, Connection, EventError, Gossip, NodeId, RefusalReason,
    Submitted, TransportEvent, TransportMessage,
    wire::{DecodeError, WireCodec},
};
use tower_service::Service;

/// What a [`Transport`](super::Transport) hands messages to, and whom it tells of peers.
///
/// Of the events the transport calls it with [`TransportEvent::Message`] alone. A peer arrives by
/// [`connect`](Self::connect), and departs when the guard that it gave is closed or dropped.
pub trait Handler:
    Service<TransportEvent, Response = Submitted, Error = EventError, Future: Send>
    + Clone
    + Send
    + 'static
{
    /// A peer that has arrived. If it is dropped, the peer departs all the same.
    type Connection: Send + 'static;

    /// A peer arrives; it has when the future resolves.
    ///
    /// # Errors
    ///
    /// If the handler has no capacity for the peer, or takes no more events. The peer has not arrived.
    ///
    /// # Cancel safety
    ///
    /// The transport drops the future if the connection ends before it resolves. Then the peer has not arrived, or
    /// departs all the same.
    fn connect(
        &mut self,
        peer: NodeId,
    ) -> impl Future<Output = Result<Self::Connection, RefusalReason>> + Send;

    /// A peer departs; it has when the future resolves. The peer's next arrival comes after it.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it has the effect of dropping the guard.
    fn close(connection: Self::Connection) -> impl Future<Output = ()> + Send {
        async { drop(connection) }
    }
}

impl<G> Handler for AsyncTransportEventHandlerImpl<G>
where
    G: Gossip + ?Sized,
    WireCodec: Codec<G, Error = DecodeError>,
{
    type Connection = Connection;

    fn connect(
        &mut self,
        peer: NodeId,
    ) -> impl Future<Output = Result<Self::Connection, RefusalReason>> + Send {
        Self::connect(self, peer)
    }

    fn close(connection: Self::Connection) -> impl Future<Output = ()> + Send {
        connection.close()
    }
}

/// Why the handler has not taken what was handed over.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Refusal {
    /// The peer sent something that is no message.
    Malformed(DecodeError),
    /// The peer sent a message of a later version; nobody is to blame.
    Unknown(DecodeError),
    /// Not now; nobody is to blame.
    Full,
    /// Not now and not later.
    Closed,
}

impl From<EventError> for Refusal {
    fn from(error: EventError) -> Self {
        match error {
            EventError::Malformed { source, .. } => Self::Malformed(source),
            EventError::Unknown { source, .. } => Self::Unknown(source),
            EventError::Refused { reason, .. } => reason.into(),
            _ => Self::Full,
        }
    }
}

impl From<RefusalReason> for Refusal {
    fn from(reason: RefusalReason) -> Self {
        match reason {
            RefusalReason::Closed => Self::Closed,
            _ => Self::Full,
        }
    }
}

/// Hands a message over, and waits while the handler has no capacity for it.
///
/// # Cancel safety
///
/// As that of the handler's future: a message that was not taken has no effect.
pub(super) async fn deliver<H: Handler>(
    handler: &mut H,
    message: TransportMessage,
) -> Result<Submitted, Refusal> {
    poll_fn(|cx| handler.poll_ready(cx)).await?;
    Ok(handler.call(TransportEvent::Message(message)).await?)
}
