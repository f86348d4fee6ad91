//! Departures that the flow of the peers has not admitted yet. The engine keeps them, so that nobody need wait for one.
//!
//! ```text
//!  close, Drop ──▶ Waits ──────────────▶ admitted: on_peer_down
//!                    │ refused    ▲
//!                    ▼            │
//!                  Refused ──▶ Repeated, by the watch
//! ```
//!
//! A departure is lost only with the engine, or by its shutdown. There is at most one for each connection.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use super::{Inner, completion::Completion, peers::PeerChange};
use crate::{Execute, PeerKey, RefusalReason, Refused, panics::contain, sync::Mutex};

/// How many departures that were refused are submitted again at a time, at the most.
const REPEATS: usize = 64;

/// A departure that the Transport flow has not admitted yet.
enum Departing<K: PeerKey> {
    /// It waits in its peer's lane.
    Waits(Execute<PeerChange<K>, K>),
    /// It was refused, and is to be submitted again.
    Refused(PeerChange<K>),
    /// The watch is submitting it again at the moment.
    Repeated,
}

/// Those of all peers. Locked at departures that find no capacity, and by the watch.
pub(super) struct Departures<K: PeerKey>(Mutex<Vec<(K, Departing<K>)>>);

impl<K: PeerKey> Default for Departures<K> {
    fn default() -> Self {
        Self(Mutex::new(Vec::new()))
    }
}

impl<K: PeerKey> Departures<K> {
    /// Looks at a departure that was submitted, and keeps it if it has not been admitted; whether it is kept.
    fn keep(&self, peer: K, mut execute: Execute<PeerChange<K>, K>) -> bool {
        // Nobody need be woken: it is admitted without being polled, and the watch finds it so.
        let departing = match Pin::new(&mut execute).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(_)) => return false,
            Poll::Ready(Err(Refused { reason: RefusalReason::Closed, message })) => {
                // Wakes who waits for it.
                contain(|| drop(message));
                return false;
            }
            Poll::Ready(Err(Refused { message, .. })) => Departing::Refused(message),
            Poll::Pending => Departing::Waits(execute),
        };
        self.0.lock().push((peer, departing));
        true
    }

    /// Whether none is kept.
    pub(super) fn are_none(&self) -> bool {
        self.0.lock().is_empty()
    }

    /// Whether a departure of this peer is yet to be submitted again.
    pub(super) fn are_to_repeat(&self, peer: &K) -> bool {
        let is_to_repeat = |(of, departing): &(K, Departing<K>)| {
            of == peer && !matches!(departing, Departing::Waits(_))
        };
        self.0.lock().iter().any(is_to_repeat)
    }
}

impl<K: PeerKey> Inner<K> {
    /// A peer has gone: as [`peer_down`](Self::peer_down), and nobody need wait for it or submit it again.
    pub(super) fn depart(&self, peer: &K) -> Completion {
        self.registry.received();
        let (execute, completion) = self.peer_down(peer);
        // The watch ends when it has found the flows over and no departure: one that is kept later is refused here.
        if self.departures.keep(peer.clone(), execute) && self.peers.is_over() {
            self.look_at_departures();
        }
        completion
    }

    /// Submits again what was refused, and forgets what was admitted.
    pub(super) fn look_at_departures(&self) {
        // Where there is nothing to wait for, all are told.
        let mut repeats = if self.peers.is_over() { usize::MAX } else { REPEATS };
        let mut looked_at = Vec::new();
        {
            let mut all = self.departures.0.lock();
            for (peer, departing) in std::mem::take(&mut *all) {
                match departing {
                    Departing::Refused(_) if repeats > 0 => {
                        repeats -= 1;
                        all.push((peer.clone(), Departing::Repeated));
                        looked_at.push((peer, departing));
                    }
                    // It keeps its place before what comes later.
                    Departing::Waits(_) => looked_at.push((peer, departing)),
                    Departing::Refused(_) | Departing::Repeated => all.push((peer, departing)),
                }
            }
        }
        if looked_at.is_empty() {
            return;
        }
        // Not under the lock: submitters that are let in are woken here. Those that are refused again go to the end.
        for (peer, departing) in looked_at {
            let execute = match departing {
                Departing::Waits(execute) => execute,
                Departing::Refused(change) => {
                    // The refusal was counted, and so will be what becomes of this.
                    self.registry.notice();
                    self.peers.execute(&peer, change)
                }
                Departing::Repeated => continue,
            };
            self.departures.keep(peer, execute);
        }
        self.departures.0.lock().retain(|(_, left)| !matches!(left, Departing::Repeated));
    }
}
