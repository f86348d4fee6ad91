//! One peer's way into one flow, as a service whose readiness is a permit.
//!
//! ```text
//!           poll_ready            capacity               call
//!  (nothing) ────────▶ waits ───────────────▶ has a permit ────▶ (nothing), the message is queued
//!                        │                         │
//!                        │ refused                 │ dropped; revoked: idle, a departure, a shutdown
//!                        ▼                         ▼
//!                    (nothing)             the permit is given back, and counted
//! ```
//!
//! The queue keeps the state. The service holds a ticket of the queue, from the first `poll_ready` until the call.

use std::{
    fmt,
    future::{Ready, ready},
    sync::Arc,
    task::{Context, Poll},
};

use tower_service::Service;

use super::{FlowWorker, Refused, core::Envelope, submit::charged};
use crate::{
    NodeId, Outcome, PeerKey, RefusalReason,
    clock::Moment,
    queue::{Denied, Lane, Left, Refusal, Waited, WakeList},
};

/// Submits messages of one peer to one flow, as a [`Service`] that is ready when it holds a permit: capacity of the
/// peer and of the flow, for its next message. So tower's `load_shed` sheds what finds no capacity, and `buffer`,
/// `ready` and `spawn_ready` wait for it.
///
/// Made by [`FlowWorker::service`]. It keeps the flow alive. A clone has no permit at first.
///
/// ```
/// use std::sync::{Arc, mpsc};
/// use gossip_engine::{FlowConfig, FlowType, FlowWorker, MetricsRegistry, NodeId};
/// use tower::{Service, ServiceExt};
///
/// let (sender, receiver) = mpsc::channel();
/// let handler = move |_: &NodeId, line: &'static str| sender.send(line).unwrap();
/// let registry = MetricsRegistry::new();
/// let flow = FlowWorker::new(FlowType::Request, &FlowConfig::new(10), &registry, handler)?;
/// let mut service = Arc::new(flow).service(NodeId::new([7; 32]));
/// # futures_executor::block_on(async {
/// service.ready().await?.call("hello").await?;
/// # Ok::<_, gossip_engine::Refused<_>>(())
/// # }).expect("the flow is open");
/// assert_eq!(receiver.recv(), Ok("hello"));
/// # Ok::<(), gossip_engine::BuildError>(())
/// ```
///
/// # Readiness
///
/// While there is no capacity, `poll_ready` waits in the peer's line, whatever the flow's
/// [policy](crate::OverloadPolicy) is. The wait is counted like that of a message. A service that is dropped while it
/// waits counts as [`WaitCancelled`](Outcome::WaitCancelled).
///
/// A permit counts as a message in flight until it is used ([`permits`](crate::FlowSnapshot::permits)). So a service
/// that is ready and never called keeps capacity from others. Keep fewer of them ready than the flow has capacity for.
///
/// A permit may end without a message, and counts as [`PermitReleased`](Outcome::PermitReleased) then:
///
/// - The service is dropped.
/// - The peer departs, or the flow is closed: neither waits for the service.
/// - The permit was granted after a wait, and no `poll_ready` has asked for it within 50 to 100 ms. The next
///   `poll_ready` waits anew. So a service whose call `load_shed` has shed holds no capacity for long.
///
/// Where the flow is bounded in bytes, a permit is granted while any byte is free. The message counts its bytes when it
/// comes, so the bound may be exceeded by one message for each permit.
///
/// # Errors
///
/// `poll_ready` fails, with no message, for any [`RefusalReason`] but `Full`. After
/// [`TooManyWaiters`](RefusalReason::TooManyWaiters) or [`TooManyPeers`](RefusalReason::TooManyPeers) it may be called
/// again. A call fails, with its message, if the peer has [departed](RefusalReason::Disconnected) or the flow was
/// [closed](RefusalReason::Closed) since the service was ready. After a departure the service may be used again, for
/// the peer's next connection.
///
/// # Panics
///
/// A call panics if the service is not ready.
pub struct PeerService<M: Send + 'static, K: PeerKey = NodeId> {
    flow: Arc<FlowWorker<M, K>>,
    peer: K,
    /// The one of its last message, or a closed one.
    lane: Option<Arc<Lane<K>>>,
    state: State,
    bytes: fn(&M) -> usize,
}

/// Where a service is, with its ticket.
#[derive(Clone, Copy, Debug)]
enum State {
    Idle,
    Waits(usize),
    /// It holds a permit.
    Ready(usize),
}

impl<M: Send + 'static, K: PeerKey> PeerService<M, K> {
    pub(super) fn new(flow: Arc<FlowWorker<M, K>>, peer: K) -> Self {
        Self { flow, peer, lane: None, state: State::Idle, bytes: |_| size_of::<M>() }
    }

    /// Sets how many bytes a message has, for a flow that is
    /// [bounded in bytes](crate::FlowConfig::with_max_bytes): the size of the message's type unless this is called.
    #[must_use]
    pub fn with_size(mut self, bytes: fn(&M) -> usize) -> Self {
        self.bytes = bytes;
        self
    }

    /// Takes a permit, or joins the peer's line.
    fn wait(&mut self) -> Result<State, RefusalReason> {
        let core = &self.flow.inner;
        self.flow.count_events(1);
        let mut wake = WakeList::default();
        // Each turn but the last has found a lane that another thread has closed.
        let waits = loop {
            if self.lane.as_ref().is_none_or(|lane| lane.is_closed()) {
                self.lane = core.queue.lane(&self.peer);
            }
            let Some(lane) = &self.lane else {
                break Err(match core.queue.is_closed() {
                    true => RefusalReason::Closed,
                    false => RefusalReason::TooManyPeers,
                });
            };
            match core.queue.wait_for_permit(lane, &mut wake) {
                Ok((ticket, true)) => break Ok(State::Ready(ticket)),
                Ok((ticket, false)) => break Ok(State::Waits(ticket)),
                Err(Denied::Closed) => break Err(RefusalReason::Closed),
                Err(Denied::TooManyWaiters) => break Err(RefusalReason::TooManyWaiters),
                Err(Denied::LaneClosed | Denied::Full) => {}
            }
        };
        core.wake(&mut wake);
        match waits {
            Ok(State::Waits(_)) => core.ledger.has_waited(),
            Ok(_) => {}
            Err(reason) => core.ledger.count(reason.into()),
        }
        waits
    }
}

impl<M: Send + 'static, K: PeerKey> Service<M> for PeerService<M, K> {
    type Response = ();
    type Error = Refused<Option<M>>;
    /// Ready at once.
    type Future = Ready<Result<(), Refused<Option<M>>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        let fails = |reason| Poll::Ready(Err(Refused { message: None, reason }));
        // Ends: it comes back to idle only where a permit was revoked that this has not asked for.
        loop {
            self.state = match self.state {
                State::Ready(_) => return Poll::Ready(Ok(())),
                State::Idle => match self.wait() {
                    Ok(state) => state,
                    Err(reason) => return fails(reason),
                },
                State::Waits(ticket) => {
                    match self.flow.inner.queue.poll_ticket(ticket, context.waker()) {
                        Waited::Pending => return Poll::Pending,
                        Waited::Admitted => State::Ready(ticket),
                        Waited::Refused(_, Refusal::Idle) => State::Idle,
                        Waited::Refused(_, why) => {
                            self.state = State::Idle;
                            return fails(why.into());
                        }
                    }
                }
            };
        }
    }

    fn call(&mut self, message: M) -> Self::Future {
        let State::Ready(ticket) = self.state else {
            panic!("called while it is not ready: `poll_ready` comes first");
        };
        // The user's code, which may panic: the permit is still the service's.
        let bytes = charged((self.bytes)(&message));
        self.state = State::Idle;
        let core = &self.flow.inner;
        let envelope = Envelope { message, arrived: Moment::now() };
        let mut wake = WakeList::default();
        let filled = core.queue.fill(ticket, envelope, bytes, &mut wake);
        core.wake(&mut wake);
        ready(filled.map_err(|(Envelope { message, .. }, why)| {
            let reason = RefusalReason::from(why);
            // The permit was counted when it was revoked.
            self.flow.count_events(1);
            core.ledger.count(reason.into());
            Refused { message: Some(message), reason }
        }))
    }
}

impl<M: Send + 'static, K: PeerKey> Clone for PeerService<M, K> {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.flow), self.peer.clone()).with_size(self.bytes)
    }
}

impl<M: Send + 'static, K: PeerKey> Drop for PeerService<M, K> {
    fn drop(&mut self) {
        let (State::Waits(ticket) | State::Ready(ticket)) = self.state else { return };
        let core = &self.flow.inner;
        let mut wake = WakeList::default();
        match core.queue.leave_ticket(ticket, &mut wake) {
            Left::Wait(..) => core.ledger.count(Outcome::WaitCancelled),
            Left::Permit(lane) => {
                core.give_back(&lane, &mut wake);
                if core.queue.is_closed() {
                    core.end_if_over();
                }
            }
            Left::Nothing(_) => {}
        }
        core.wake(&mut wake);
    }
}

impl<M: Send + 'static, K: PeerKey> fmt::Debug for PeerService<M, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerService")
            .field("peer", &format_args!("{}", self.peer))
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}
