//! The future of a message that is brought to a flow.
//!
//! Ready at once if the decision fell in [`execute`](super::FlowWorker::execute); otherwise it owns
//! the message and a place in the line until the place is decided or the future is dropped.

use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use super::{
    Inner, MessageHandler, OfPeers,
    line::{Place, Standing},
};
use crate::{NodeId, RefusalReason};

/// A flow has not admitted a message; here it is again. The flow is unchanged.
#[derive(Clone, Copy, Eq, PartialEq, thiserror::Error)]
#[error("refused: {reason}")]
#[non_exhaustive]
pub struct Refused<M> {
    /// The message, as it was brought.
    pub message: M,
    /// Why.
    pub reason: RefusalReason,
}

impl<M> fmt::Debug for Refused<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refused").field("reason", &self.reason).finish_non_exhaustive()
    }
}

/// Resolves when the message that was brought to a flow is admitted or refused.
///
/// Returned by [`FlowWorker::execute`](super::FlowWorker::execute), which says when that is. It works
/// under any executor.
///
/// # Panics
///
/// If it is polled again after it has resolved.
#[must_use = "a message that finds no room is dropped with its future"]
pub struct Execute<M: Send + 'static, H: MessageHandler<M>>(State<M, H>);

enum State<M: Send + 'static, H: MessageHandler<M>> {
    Admitted,
    Refused(Refused<M>),
    Waiting(Waiting<M, H>),
    Resolved,
}

impl<M: Send + 'static, H: MessageHandler<M>> Execute<M, H> {
    pub(super) fn admitted() -> Self {
        Self(State::Admitted)
    }

    pub(super) fn refused(message: M, reason: RefusalReason) -> Self {
        Self(State::Refused(Refused { message, reason }))
    }

    pub(super) fn waiting(
        inner: Arc<Inner<(NodeId, M), OfPeers<H>>>,
        place: Arc<Place>,
        message: (NodeId, M),
        arrived: Instant,
    ) -> Self {
        Self(State::Waiting(Waiting { inner, place, message: Some(message), arrived }))
    }
}

/// A message and its place in the line.
struct Waiting<M: Send + 'static, H: MessageHandler<M>> {
    inner: Arc<Inner<(NodeId, M), OfPeers<H>>>,
    place: Arc<Place>,
    /// Taken when the place is decided; still there means that the place must be left.
    message: Option<(NodeId, M)>,
    arrived: Instant,
}

impl<M: Send + 'static, H: MessageHandler<M>> Waiting<M, H> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Refused<M>>> {
        let standing = self.place.poll(context.waker());
        if standing == Standing::Waiting {
            return Poll::Pending;
        }
        let (peer, message) = self.message.take().expect("a place is decided once");
        if standing == Standing::Granted {
            self.inner.admit((peer, message), self.arrived);
            return Poll::Ready(Ok(()));
        }
        let reason = RefusalReason::Closed;
        self.inner.core.metrics.refused(reason);
        Poll::Ready(Err(Refused { message, reason }))
    }
}

impl<M: Send + 'static, H: MessageHandler<M>> Drop for Waiting<M, H> {
    fn drop(&mut self) {
        if self.message.is_some() {
            let core = &self.inner.core;
            core.metrics.gave_up();
            if let Some(returned) = core.permits.leave(&self.place) {
                core.returned(returned);
            }
        }
    }
}

// Nothing in it is ever pinned.
impl<M: Send + 'static, H: MessageHandler<M>> Unpin for Execute<M, H> {}

impl<M: Send + 'static, H: MessageHandler<M>> Future for Execute<M, H> {
    type Output = Result<(), Refused<M>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let state = &mut self.get_mut().0;
        if let State::Waiting(waiting) = state {
            let outcome = waiting.poll(context);
            if outcome.is_ready() {
                *state = State::Resolved;
            }
            return outcome;
        }
        match mem::replace(state, State::Resolved) {
            State::Admitted => Poll::Ready(Ok(())),
            State::Refused(refused) => Poll::Ready(Err(refused)),
            State::Waiting(_) | State::Resolved => panic!("polled after it had resolved"),
        }
    }
}

impl<M: Send + 'static, H: MessageHandler<M>> fmt::Debug for Execute<M, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.0 {
            State::Admitted => "admitted",
            State::Refused(_) => "refused",
            State::Waiting(_) => "waiting",
            State::Resolved => "resolved",
        };
        f.debug_tuple("Execute").field(&state).finish()
    }
}
