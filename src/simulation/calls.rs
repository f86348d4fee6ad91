//! The calls of a simulation's transport, and the futures that they return.

use std::{
    future::Future as _,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
};

use tower_service::Service as _;

use super::{
    driver::Driver,
    oracle::Id,
    replica::{Malformed, Replica, encode},
};
use crate::{
    CallFuture, FlowType, NodeId, TransportEvent, TransportMessage,
    sync::{AtomicBool, Ordering},
};

/// How many calls may be pending.
const MAX_CALLS: usize = 64;

/// Runs what may panic; `None` if it does.
pub(super) fn contained<R>(run: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(run)).ok()
}

/// Whether a call was woken.
#[derive(Default)]
pub(super) struct Woken(pub(super) AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

/// A call that has not resolved.
pub(super) struct Call {
    /// Its message, or what has become of its peer.
    pub(super) what: Result<Id, (NodeId, Told)>,
    pub(super) future: CallFuture<Replica, Malformed>,
    /// Set at first, so that it is polled once.
    pub(super) woken: Arc<Woken>,
}

/// What the replica is to be told of a peer, and of which of its connections.
pub(super) type Told = (bool, u32);

impl Driver {
    pub(super) fn bring(&self, peer: NodeId, flow: FlowType, conduct: u8) {
        let id = self.new_id();
        self.oracle().brings(id, flow, peer);
        let payload = encode(flow, id, conduct);
        let message = TransportMessage { peer_id: peer, payload };
        self.call(Ok(id), TransportEvent::Message(message));
    }

    pub(super) fn peer_changes(&self, peer: NodeId, up: bool) {
        let (event, connection) = if up {
            self.oracle().peer_up(peer);
            (TransportEvent::PeerUp(peer), self.oracle().connection(peer))
        } else {
            self.oracle().peer_down(peer);
            (TransportEvent::PeerDown(peer), self.oracle().connection(peer))
        };
        self.to_tell.borrow_mut().entry(peer).or_default().push_back((up, connection));
        self.call(Err((peer, (up, connection))), event);
    }

    /// Calls the clone of the handler that this peer's events come by.
    fn call_by_its_stream(&self, event: TransportEvent) -> CallFuture<Replica, Malformed> {
        let (TransportEvent::Message(TransportMessage { peer_id: peer, .. })
        | TransportEvent::PeerUp(peer)
        | TransportEvent::PeerDown(peer)) = event;
        // Not borrowed during the call, which may run code of messages that are dropped.
        let stream = self.streams.borrow_mut().remove(&peer);
        let mut stream = stream.unwrap_or_else(|| self.handler.clone());
        let future = stream.call(event);
        self.streams.borrow_mut().insert(peer, stream);
        future
    }

    pub(super) fn call(&self, what: Result<Id, (NodeId, Told)>, event: TransportEvent) {
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        let future = self.call_by_its_stream(event);
        let call = Call { what, future, woken };
        // What the replica is to be told of a peer is known to be refused before anything else happens.
        let is_full = self.calls.borrow().len() >= MAX_CALLS;
        let Some(call) = self.poll_call(call) else { return };
        if is_full && call.what.is_ok() {
            contained(|| drop(call));
            return;
        }
        self.calls.borrow_mut().push(call);
    }

    /// Polls a call; gives it back if it is pending.
    pub(super) fn poll_call(&self, mut call: Call) -> Option<Call> {
        call.woken.0.store(false, Ordering::Release);
        let waker = Waker::from(Arc::clone(&call.woken));
        let Poll::Ready(outcome) =
            Pin::new(&mut call.future).poll(&mut Context::from_waker(&waker))
        else {
            return Some(call);
        };
        match call.what {
            Ok(id) => self.oracle().hears(id, outcome.is_err()),
            Err((peer, told)) if outcome.is_err() => self.is_not_told(peer, told),
            Err(_) => {}
        }
        None
    }

    /// The replica does not hear of this, because it was refused.
    pub(super) fn is_not_told(&self, peer: NodeId, told: Told) {
        let mut to_tell = self.to_tell.borrow_mut();
        let of_peer = to_tell.entry(peer).or_default();
        if let Some(index) = of_peer.iter().position(|other| *other == told) {
            of_peer.remove(index);
        }
        if told.0 {
            self.oracle().told_up(peer, told.1);
        }
    }

    pub(super) fn take_call(&self, choice: usize, may: impl Fn(&Call) -> bool) -> Option<Call> {
        let mut calls = self.calls.borrow_mut();
        let able: Vec<usize> = (0..calls.len()).filter(|&call| may(&calls[call])).collect();
        let call = *able.get(choice % able.len().max(1))?;
        Some(calls.remove(call))
    }

    pub(super) fn poll(&self, choice: usize) {
        let Some(call) = self.take_call(choice, |_| true) else { return };
        if let Some(call) = self.poll_call(call) {
            self.calls.borrow_mut().push(call);
        }
    }

    /// Drops the future of a message.
    pub(super) fn forsake(&self, choice: usize) {
        let Some(call) = self.take_call(choice, |call| call.what.is_ok()) else { return };
        contained(|| drop(call));
    }
}
