//! A peer's connection as a guard: when it is closed or dropped, the program hears that the peer has gone.
//!
//! ```text
//!  connect ──▶ waits ──▶ on_peer_up ──▶ Connection ── close, or Drop ──▶ Departing ──▶ on_peer_down
//!                │ refused, or its future dropped                         │      ▲
//!                ▼                                                        ▼      │
//!           no connection                                               refused: again, by the watch
//! ```
//!
//! The engine keeps what is **departing** (see `departures`), so nobody need wait for a departure.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use super::{Change, Engine, completion::Completion, peers::PeerChange};
use crate::{Execute, NodeId, PeerKey, RefusalReason, Refused, blocking};

/// A peer that is connected, from the return of its [`on_peer_up`](super::PeerHandler::on_peer_up) on.
///
/// Returned by [`connect`](super::Engine::connect). When it is [closed](Self::close) or dropped, what the peer has
/// queued is cancelled, and [`on_peer_down`](super::PeerHandler::on_peer_down) is called, whatever the load: there is
/// nothing to repeat. If the flow of the peers is full, the departure waits inside the engine. It is lost with the
/// engine: when that is shut down, or when its last clone is dropped, which may be this connection.
///
/// # Whose code runs here
///
/// Closing or dropping it runs, on the caller's thread, the `Drop` of the peer's queued messages, and the wakers of up
/// to 64 submitters that are let in. So it is dropped under no lock that they may take.
///
/// It counts as a clone of its engine. A peer has one connection at a time: a transport closes the old one, and waits
/// until that is done, before it connects the peer anew.
#[must_use = "the peer departs when its connection is dropped"]
pub struct Connection<K: PeerKey = NodeId> {
    engine: Engine<K>,
    peer: K,
    is_open: bool,
}

impl<K: PeerKey> Connection<K> {
    /// Whose connection it is.
    #[must_use]
    pub fn id(&self) -> &K {
        &self.peer
    }

    /// Ends the connection, before this returns. The future resolves when `on_peer_down` has returned, or when the
    /// engine has been shut down.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped at any time; `on_peer_down` is called all the same.
    pub fn close(mut self) -> Closing {
        self.is_open = false;
        Closing(self.engine.inner().depart(&self.peer))
    }
}

impl<K: PeerKey> Drop for Connection<K> {
    fn drop(&mut self) {
        if self.is_open {
            let _ = self.engine.inner().depart(&self.peer);
        }
    }
}

impl<K: PeerKey> fmt::Debug for Connection<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("peer", &format_args!("{}", self.peer))
            .finish_non_exhaustive()
    }
}

/// Resolves when a peer's `on_peer_up` has returned: see
/// [`connect`](super::Engine::connect).
///
/// # Panics
///
/// If it is polled again after it has resolved.
#[must_use = "a peer is connected when this has resolved"]
pub struct Connecting<K: PeerKey = NodeId> {
    arrival: Arrival<K>,
    /// It closes itself if this is dropped and the program has heard, or will hear, of the peer.
    connection: Option<Connection<K>>,
}

enum Arrival<K: PeerKey> {
    /// `None` once it is admitted.
    Submitted(Option<Execute<PeerChange<K>, K>>, Completion),
    /// Not submitted: it would overtake the departure of the peer's last connection.
    Refused,
}

impl<K: PeerKey> Connecting<K> {
    pub(super) fn new(engine: &Engine<K>, peer: K) -> Self {
        let inner = engine.inner();
        let is_refused = inner.departures.hold(&peer);
        let arrival = if is_refused {
            Arrival::Refused
        } else {
            inner.registry.received(1);
            let (execute, completion): Change<K> = engine.peer_up(&peer);
            Arrival::Submitted(execute, completion)
        };
        let connection = Connection { engine: engine.clone(), peer, is_open: !is_refused };
        Self { arrival, connection: Some(connection) }
    }

    /// Nothing of the peer will run, so there is nothing to end.
    fn forget_connection(&mut self) {
        if let Some(mut connection) = self.connection.take() {
            connection.is_open = false;
        }
    }

    /// Parks the calling thread until this resolves, for a thread that has no executor. Not in a callback of the
    /// flow of the peers, which may have to return first.
    ///
    /// # Errors
    ///
    /// As for the future.
    pub fn wait(self) -> Result<Connection<K>, RefusalReason> {
        blocking::wait(self)
    }
}

// Nothing in it is ever pinned.
impl<K: PeerKey> Unpin for Connecting<K> {}

impl<K: PeerKey> Future for Connecting<K> {
    type Output = Result<Connection<K>, RefusalReason>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        assert!(self.connection.is_some(), "polled after it had resolved");
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
        Poll::Ready(Err(reason))
    }
}

impl<K: PeerKey> Drop for Connecting<K> {
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

impl<K: PeerKey> fmt::Debug for Connecting<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connecting").finish_non_exhaustive()
    }
}

/// Resolves when a peer's `on_peer_down` has returned, or when the engine has been shut down: see
/// [`Connection::close`].
#[derive(Debug)]
#[must_use = "the callback has returned when this has resolved"]
pub struct Closing(Completion);

impl Closing {
    /// Parks the calling thread until this resolves, for a thread that has no executor. Not in a callback of the flow
    /// of the peers, nor in a handler of the peer's in a flow that [drains](crate::Departure::Drain): they may have to
    /// return first.
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
