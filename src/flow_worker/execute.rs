//! The future of a message that was submitted.
//!
//! It is ready at once if [`execute`](super::FlowWorker::execute) has decided. Otherwise it owns the ticket of a waiter
//! in the queue, until that is decided or the future is dropped.

use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll},
};

use super::{
    core::{Core, Envelope, PeerQueue},
    submit::Decision,
};
use crate::{
    NodeId, Outcome, PeerKey, RefusalReason, Submitted, blocking,
    ledger::FlowLedger,
    queue::{Left, Refusal, Waited, WakeList},
};

/// A message that a flow has not admitted, and why. The flow is unchanged.
#[derive(Clone, Copy, Eq, PartialEq, thiserror::Error)]
#[error("refused: {reason}")]
#[non_exhaustive]
pub struct Refused<M> {
    /// The message, as it was submitted.
    pub message: M,
    /// Why.
    pub reason: RefusalReason,
}

impl<M> fmt::Debug for Refused<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refused").field("reason", &self.reason).finish_non_exhaustive()
    }
}

impl From<Refusal> for RefusalReason {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Closed => Self::Closed,
            Refusal::Cancelled => Self::Disconnected,
            Refusal::Idle => Self::Full,
        }
    }
}

/// Resolves when the message that was submitted to a flow is admitted, dropped or refused.
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
#[must_use = "a message that finds no capacity is dropped with its future"]
pub struct Execute<M: Send + 'static, K: PeerKey = NodeId>(State<M, K>);

enum State<M: Send + 'static, K: PeerKey> {
    /// There is nothing to wait for, and nothing to give back.
    Submitted(Submitted),
    /// Boxed, so that the future of a message that is admitted is small.
    Refused(Box<Refused<M>>),
    Waiting(Waiting<M, K>),
    Resolved,
}

impl<M: Send + 'static, K: PeerKey> Execute<M, K> {
    /// That of a message that was submitted to this flow.
    #[inline]
    pub(super) fn of(submitted: Decision<M>, core: &Arc<Core<M, K>>) -> Self {
        Self(match submitted {
            Decision::Admitted => State::Submitted(Submitted::Admitted),
            Decision::Dropped(outcome) => State::Submitted(Submitted::Dropped(outcome)),
            Decision::Waits(ticket) => State::Waiting(Waiting {
                queue: Arc::clone(&core.queue),
                ledger: Arc::clone(&core.ledger),
                core: Arc::downgrade(core),
                ticket: Some(ticket),
            }),
            Decision::Refused(refused) => State::Refused(refused),
        })
    }
}

impl<M: Send + 'static, K: PeerKey> Execute<M, K> {
    /// Parks the calling thread until this resolves: for a thread that has no executor. In a task of an executor,
    /// `await` it.
    ///
    /// It may wait for as long as the flow has no capacity. A handler must not wait here for its own flow: all of the
    /// flow's threads could come to wait for capacity that only they can free.
    ///
    /// ```
    /// use std::{sync::mpsc, thread};
    /// use gossip_engine::{FlowConfig, FlowType, FlowWorker, MetricsRegistry, NodeId};
    ///
    /// let (sender, receiver) = mpsc::channel();
    /// let handler = move |_: &NodeId, line: String| sender.send(line).unwrap();
    /// let registry = MetricsRegistry::new();
    /// let flow = FlowWorker::new(FlowType::Request, &FlowConfig::new(10), &registry, handler)?;
    /// let peer = NodeId::new([7; 32]);
    /// thread::scope(|threads| {
    ///     threads.spawn(|| {
    ///         // A thread that reads a socket.
    ///         for line in ["one", "two"] {
    ///             flow.execute(peer, line.to_owned()).wait().expect("the flow is open");
    ///         }
    ///     });
    /// });
    /// assert_eq!(receiver.recv().as_deref(), Ok("one"));
    /// # Ok::<(), gossip_engine::BuildError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As for the future.
    pub fn wait(self) -> Result<Submitted, Refused<M>> {
        blocking::wait(self)
    }
}

/// A ticket of a line.
struct Waiting<M: Send + 'static, K: PeerKey> {
    queue: Arc<PeerQueue<M, K>>,
    ledger: Arc<FlowLedger>,
    /// Weak, so that a future that nobody polls keeps no handler of a flow that is gone.
    core: Weak<Core<M, K>>,
    /// `None` once it is decided.
    ticket: Option<usize>,
}

impl<M: Send + 'static, K: PeerKey> Waiting<M, K> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Submitted, Refused<M>>> {
        let ticket = self.ticket.expect("it is polled until it is decided");
        let outcome = match self.queue.poll_ticket(ticket, context.waker()) {
            Waited::Pending => return Poll::Pending,
            Waited::Admitted => Ok(Submitted::Admitted),
            Waited::Refused(envelope, why) => {
                let Envelope { message, .. } = envelope.expect("it waited with a message");
                Err(Refused { message, reason: why.into() })
            }
        };
        self.ticket = None;
        Poll::Ready(outcome)
    }
}

impl<M: Send + 'static, K: PeerKey> Drop for Waiting<M, K> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket.take() else { return };
        let mut wake = WakeList::default();
        let message = match self.queue.leave_ticket(ticket, &mut wake) {
            Left::Wait(message, _) => {
                // Counted before the message is dropped, whose `Drop` may panic.
                self.ledger.count(Outcome::WaitCancelled);
                message
            }
            Left::Nothing(message) => message,
            Left::Permit(_) => unreachable!("it waited with a message"),
        };
        match self.core.upgrade() {
            Some(core) => core.wake(&mut wake),
            None => wake.wake_submitters(),
        }
        drop(message);
    }
}

// Nothing in it is ever pinned.
impl<M: Send + 'static, K: PeerKey> Unpin for Execute<M, K> {}

impl<M: Send + 'static, K: PeerKey> Future for Execute<M, K> {
    type Output = Result<Submitted, Refused<M>>;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let state = &mut self.get_mut().0;
        if let State::Waiting(waiting) = state {
            let outcome = waiting.poll(context);
            if outcome.is_ready() {
                *state = State::Resolved;
            }
            return outcome;
        }
        if let State::Submitted(submitted) = *state {
            // Apart, because there is no message to move, and nothing to drop.
            mem::forget(mem::replace(state, State::Resolved));
            return Poll::Ready(Ok(submitted));
        }
        match mem::replace(state, State::Resolved) {
            State::Refused(refused) => Poll::Ready(Err(*refused)),
            State::Submitted(_) | State::Waiting(_) | State::Resolved => {
                panic!("polled after it had resolved")
            }
        }
    }
}

impl<M: Send + 'static, K: PeerKey> fmt::Debug for Execute<M, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.0 {
            State::Submitted(_) => "submitted",
            State::Refused(_) => "refused",
            State::Waiting(_) => "waiting",
            State::Resolved => "resolved",
        };
        f.debug_tuple("Execute").field(&state).finish()
    }
}
