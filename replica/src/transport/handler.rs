//! How an event reaches the handler, and what may come back.

use std::future::poll_fn;

use gossip_engine::{EventError, RefusalReason, Submitted, TransportEvent, wire::DecodeError};
use tower_service::Service;

/// What the transport needs of a handler, in one word.
pub(super) trait Handler:
    Service<TransportEvent, Response = Submitted, Error = EventError, Future: Send>
    + Clone
    + Send
    + 'static
{
}

impl<S> Handler for S where
    S: Service<TransportEvent, Response = Submitted, Error = EventError, Future: Send>
        + Clone
        + Send
        + 'static
{
}

/// Why the handler has not taken an event.
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

/// Hands an event over, and waits while the handler has no capacity for it.
///
/// # Cancel safety
///
/// As that of the handler's future: an event that was not taken has no effect.
pub(super) async fn deliver<H: Handler>(
    handler: &mut H,
    event: TransportEvent,
) -> Result<Submitted, Refusal> {
    let taken = match poll_fn(|cx| handler.poll_ready(cx)).await {
        Ok(()) => handler.call(event).await,
        Err(error) => Err(error),
    };
    taken.map_err(|error| match error {
        EventError::Malformed { source, .. } => Refusal::Malformed(source),
        EventError::Unknown { source, .. } => Refusal::Unknown(source),
        EventError::Refused { reason: RefusalReason::Closed, .. } => Refusal::Closed,
        _ => Refusal::Full,
    })
}
