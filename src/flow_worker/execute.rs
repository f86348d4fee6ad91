//! The future of a message that is brought to a flow.
//!
//! Ready at once if the decision fell in [`execute`](super::FlowWorker::execute); otherwise it owns a
//! place in the line, with the message in it, until the place is decided or the future is dropped.

use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll},
};

use super::{
    MessageHandler, OfPeers,
    brought::{Brought, Decision},
    core::Core,
    lane::Lane,
    line::{Place, Standing},
};
use crate::{Outcome, RefusalReason};

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
/// # Cancel safety
///
/// It may be dropped at any time. A message that still waits is dropped with it and counted as
/// [`WaitCancelled`](Outcome::WaitCancelled); one that was admitted runs.
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
    /// That of a message that was brought to this flow.
    pub(super) fn of(outcome: Decision<M>, core: &Arc<Core<M, OfPeers<H>>>) -> Self {
        Self(match outcome {
            // There is nothing to wait for, and nothing to give back.
            Decision::Admitted | Decision::Dropped => State::Admitted,
            Decision::Waits(lane, place) => {
                State::Waiting(Waiting { core: Arc::downgrade(core), lane, place })
            }
            Decision::Refused(message, reason) => State::Refused(Refused { message, reason }),
        })
    }
}

/// A place in the line.
struct Waiting<M: Send + 'static, H: MessageHandler<M>> {
    /// Weak, so that a future that nobody polls does not keep the threads of a flow that is gone. (That of a peer's
    /// coming does, by the greeting that is its message.)
    core: Weak<Core<M, OfPeers<H>>>,
    lane: Arc<Lane<Brought<M>>>,
    place: Arc<Place<Brought<M>>>,
}

impl<M: Send + 'static, H: MessageHandler<M>> Waiting<M, H> {
    fn poll(&self, context: &mut Context<'_>) -> Poll<Result<(), Refused<M>>> {
        match self.place.poll(context.waker()) {
            Standing::Waiting => Poll::Pending,
            Standing::Granted => Poll::Ready(Ok(())),
            Standing::Refused(reason) => {
                let Brought { message, .. } = self.place.take_message();
                Poll::Ready(Err(Refused { message, reason }))
            }
        }
    }
}

impl<M: Send + 'static, H: MessageHandler<M>> Drop for Waiting<M, H> {
    fn drop(&mut self) {
        // A flow that is gone has refused all who waited, and after a decision there is nothing to
        // leave.
        let Some(core) = self.core.upgrade() else { return };
        match self.place.standing() {
            Standing::Waiting => {
                // Counted before the message is dropped, whose `Drop` may panic.
                let left = core.admission.leave(&self.lane, &self.place, &core);
                if left.is_some() {
                    core.metrics.ended(Outcome::WaitCancelled);
                }
            }
            Standing::Granted => core.admission.keep(Arc::clone(&self.place)),
            Standing::Refused(_) => {
                // Whether it was polled and has handed its message out, or not.
                let refused = self.place.message();
                core.admission.keep(Arc::clone(&self.place));
                drop(refused);
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
        if let State::Admitted = state {
            // Apart, because there is no message to move.
            *state = State::Resolved;
            return Poll::Ready(Ok(()));
        }
        match mem::replace(state, State::Resolved) {
            State::Refused(refused) => Poll::Ready(Err(refused)),
            State::Admitted | State::Waiting(_) | State::Resolved => {
                panic!("polled after it had resolved")
            }
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
