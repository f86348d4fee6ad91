//! The calls of a simulation's transport, and the futures that they return.

use std::{
    future::Future as _,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use tower_service::Service as _;

use super::{
    driver::Driver,
    oracle::{Change, Id},
    replica::{NoMessage, Replica, encode},
    tasks::Woken,
};
use crate::{
    CallFuture, EventError, FlowType, NodeId, RefusalReason, Submitted, TransportEvent,
    TransportMessage,
    sync::{AtomicBool, Ordering},
};

/// How many calls may be pending.
const MAX_CALLS: usize = 64;

/// Runs what may panic; `None` if it does.
pub(super) fn contained<R>(run: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(run)).ok()
}

/// A call that has not resolved.
pub(super) struct Call {
    /// Its message, or what has become of its peer.
    pub(super) what: Result<Id, (NodeId, Change)>,
    pub(super) future: CallFuture<Replica, NoMessage>,
    /// Set at first, so that it is polled once.
    pub(super) woken: Arc<Woken>,
}

impl Driver {
    pub(super) fn submit(&self, peer: NodeId, flow: FlowType, conduct: u8) {
        let id = self.new_id();
        self.oracle().submits(id, flow, peer);
        let payload = encode(flow, id, conduct);
        let message = TransportMessage { peer_id: peer, payload };
        self.call(Ok(id), TransportEvent::Message(message));
        self.oracle().is_submitted(id, || self.new_id());
    }

    /// Submits bytes that are no message.
    pub(super) fn submit_bytes(&self, peer: NodeId, bytes: &'static [u8], expected: NoMessage) {
        self.oracle().submits_event();
        let message = TransportMessage { peer_id: peer, payload: Bytes::from_static(bytes) };
        let mut call = self.handler.clone().call(TransportEvent::Message(message));
        let polled = Pin::new(&mut call).poll(&mut Context::from_waker(Waker::noop()));
        let mut oracle = self.oracle();
        match polled {
            Poll::Ready(Err(EventError::Quarantined { peer })) => oracle.is_quarantined(peer, None),
            Poll::Ready(Err(EventError::Malformed { source, .. })) => {
                oracle.counts_malformed();
                oracle.check(source == NoMessage::Malformed && source == expected, || {
                    format!("malformed: {source}")
                });
            }
            Poll::Ready(Err(EventError::Unknown { source, .. })) => {
                oracle.counts_unknown();
                oracle.check(source == NoMessage::Unknown && source == expected, || {
                    format!("unknown: {source}")
                });
            }
            other => oracle.violations.push(format!("bytes that are no message: {other:?}")),
        }
    }

    pub(super) fn peer_changes(&self, peer: NodeId, up: bool) {
        let event = if up { TransportEvent::PeerUp(peer) } else { TransportEvent::PeerDown(peer) };
        if up && self.handler.engine().departs(&peer) {
            let mut call = self.call_by_its_stream(event);
            let polled = Pin::new(&mut call).poll(&mut Context::from_waker(Waker::noop()));
            let reason = RefusalReason::TooManyWaiters;
            let refused = EventError::Refused { peer, flow: FlowType::Transport, reason };
            self.oracle().check(polled == Poll::Ready(Err(refused)), || {
                format!("{peer} comes before it has gone: {polled:?}")
            });
            return;
        }
        let change = self.oracle().peer_changes(peer, up);
        self.call(Err((peer, change)), event);
    }

    /// Calls the clone of the handler that this peer's events come by.
    fn call_by_its_stream(&self, event: TransportEvent) -> CallFuture<Replica, NoMessage> {
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

    fn call(&self, what: Result<Id, (NodeId, Change)>, event: TransportEvent) {
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        let future = self.call_by_its_stream(event);
        let call = Call { what, future, woken };
        // A change that is refused is known to be before anything else happens.
        let is_full = self.calls.borrow().len() >= MAX_CALLS;
        let Some(call) = self.poll_call(call) else { return };
        if is_full && call.what.is_ok() {
            self.give_up(call);
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
        let mut oracle = self.oracle();
        match (call.what, outcome) {
            (Ok(id), Ok(submitted)) => oracle.hears(id, Ok(submitted)),
            (Ok(id), Err(EventError::Refused { reason, .. })) => oracle.hears(id, Err(reason)),
            (Ok(id), Err(EventError::Quarantined { peer })) => {
                oracle.is_quarantined(peer, Some(id));
            }
            (Err((peer, change)), Ok(Submitted::Admitted)) => oracle.change_is_done(peer, change),
            (Err((peer, change)), Err(EventError::Refused { .. })) => {
                oracle.change_is_refused(peer, change);
            }
            (what, outcome) => oracle.violations.push(format!("{what:?}: {outcome:?}")),
        }
        None
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
    pub(super) fn give_up_one(&self, choice: usize) {
        if let Some(call) = self.take_call(choice, |call| call.what.is_ok()) {
            self.give_up(call);
        }
    }

    fn give_up(&self, call: Call) {
        let id = call.what.expect("only messages are given up");
        self.oracle().gives_up(id);
        contained(|| drop(call));
    }
}
