//! Departures that the flow of the peers has not admitted yet. The engine keeps them, so that nobody need wait for one.
//!
//! ```text
//!  close, Drop ──▶ Drains ──▶ Waits ──────────────▶ admitted: on_peer_down
//!                    │ what the peer had │ refused  ▲
//!                    │ queued has run    ▼          │
//!                    └────────────▶ Moves ◀── Refused, by the watch
//! ```
//!
//! A thread that moves a departure on takes it out and leaves [`Departing::Moves`] in its place, so that no arrival of
//! the peer overtakes it. A departure is lost only with the engine, or by its shutdown. There is at most one for each
//! connection. Where [`REPEATS`] were refused, no arrival is admitted.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use super::{Inner, completion::Completion, peers::PeerChange};
use crate::{
    Execute, PeerKey, RefusalReason, Refused,
    panics::contain,
    sync::{AtomicU64, Mutex, Ordering},
};

/// How many departures that were refused are submitted again at a time, at the most. Where as many are kept, no
/// arrival is admitted.
const REPEATS: usize = 64;

/// A departure that the flow of the peers has not admitted yet.
enum Departing<K: PeerKey> {
    /// What the peer has queued runs first. `follows` says that another departure of the peer was kept before it.
    Drains { change: PeerChange<K>, follows: bool },
    /// It waits in its peer's lane.
    Waits(Execute<PeerChange<K>, K>),
    /// It was refused, and is to be submitted again.
    Refused(PeerChange<K>),
    /// The thread that looks is submitting it at the moment. Its callback may have returned by now.
    Moves(Option<Completion>),
}

impl<K: PeerKey> Departing<K> {
    fn is_to_be_submitted(&self) -> bool {
        match self {
            Self::Drains { .. } | Self::Refused(_) => true,
            Self::Moves(callback) => callback.as_ref().is_none_or(|callback| !callback.has_ended()),
            // What is submitted later waits behind it.
            Self::Waits(_) => false,
        }
    }
}

/// Those of all peers.
pub(super) struct Departures<K: PeerKey> {
    /// Locked at departures that find no capacity or have something to run, and by who looks.
    kept: Mutex<Vec<(K, Departing<K>)>>,
    /// How often somebody has asked to look since the last time that all was looked at.
    asked: AtomicU64,
}

impl<K: PeerKey> Default for Departures<K> {
    fn default() -> Self {
        Self { kept: Mutex::new(Vec::new()), asked: AtomicU64::new(0) }
    }
}

impl<K: PeerKey> Departures<K> {
    /// Keeps a departure until what the peer has queued has run; true if that is so already. Otherwise the thread
    /// that leaves the last of its lanes finds it here: it takes this lock later, or its lane is seen left.
    pub(super) fn drain(&self, peer: &K, change: PeerChange<K>) -> bool {
        let peer = peer.clone();
        let mut kept = self.kept.lock();
        let follows = kept.iter().any(|(of, _)| *of == peer);
        let is_due = change.is_due();
        kept.push((peer, Departing::Drains { change, follows }));
        is_due
    }

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
        self.kept.lock().push((peer, departing));
        true
    }

    /// Whether none is kept.
    pub(super) fn are_none(&self) -> bool {
        self.kept.lock().is_empty()
    }

    #[cfg(all(test, not(any(loom, shuttle))))]
    pub(super) fn count(&self) -> usize {
        self.kept.lock().len()
    }

    /// Whether an arrival of this peer is to be refused: a departure of it is yet to be submitted, or so many were
    /// refused that arrivals, whose departures would be refused in their turn, have to give way.
    pub(super) fn hold(&self, peer: &K) -> bool {
        let mut refused = 0;
        self.kept.lock().iter().any(|(of, departing)| {
            refused += usize::from(matches!(departing, Departing::Refused(_)));
            refused >= REPEATS || of == peer && departing.is_to_be_submitted()
        })
    }

    /// Whether a departure of this peer is yet to be submitted.
    pub(super) fn hold_one_of(&self, peer: &K) -> bool {
        let kept = self.kept.lock();
        kept.iter().any(|(of, departing)| of == peer && departing.is_to_be_submitted())
    }
}

impl<K: PeerKey> Inner<K> {
    /// A peer has gone: as [`peer_down`](Self::peer_down), and nobody need wait for it or submit it again.
    pub(super) fn depart(&self, peer: &K) -> Completion {
        self.registry.received(1);
        let (execute, completion) = self.peer_down(peer);
        // The watch ends when it has found the flows over and no departure. One that is kept later is refused here.
        let is_kept = execute.is_some_and(|execute| self.departures.keep(peer.clone(), execute));
        if is_kept && self.peers.is_closed() {
            self.look_at_departures();
        }
        completion
    }

    /// Submits what has drained and what was refused, and forgets what was admitted. One thread does so at a time; what
    /// others ask for meanwhile, it does as well.
    pub(super) fn look_at_departures(&self) {
        let asked = &self.departures.asked;
        // AcqRel: who looks sees what was kept by those who have asked.
        if asked.fetch_add(1, Ordering::AcqRel) > 0 {
            return;
        }
        let mut seen = 1;
        // Ends: each turn but the last was asked for during the one before.
        loop {
            // A panic in a key's `clone`, say, must not end all looks.
            contain(|| self.look_once());
            match asked.compare_exchange(seen, 0, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return,
                Err(now) => seen = now,
            }
        }
    }

    fn look_once(&self) {
        // Where nothing is admitted any more there is nothing to wait for: all are refused.
        let is_closed = self.peers.is_closed();
        let mut repeats = if is_closed { usize::MAX } else { REPEATS };
        let mut looked_at = Vec::new();
        {
            let mut kept = self.departures.kept.lock();
            for (peer, departing) in std::mem::take(&mut *kept) {
                let moves = match &departing {
                    Departing::Drains { change, follows } => {
                        // One before it stays, or moves in this turn: the next look finds this one, the watch's at
                        // the latest.
                        let is_behind = *follows && kept.iter().any(|(of, _)| *of == peer);
                        let moves = is_closed || !is_behind && change.is_due();
                        moves.then(|| change.completion())
                    }
                    Departing::Refused(change) if repeats > 0 => {
                        repeats -= 1;
                        Some(change.completion())
                    }
                    // It keeps its place before what comes later.
                    Departing::Waits(_) => {
                        looked_at.push((peer, departing));
                        continue;
                    }
                    Departing::Refused(_) | Departing::Moves(_) => None,
                };
                if let Some(callback) = moves {
                    kept.push((peer.clone(), Departing::Moves(callback)));
                    looked_at.push((peer, departing));
                } else {
                    kept.push((peer, departing));
                }
            }
        }
        if looked_at.is_empty() {
            return;
        }
        let mut is_kept = false;
        // Not under the lock: submitters that are let in are woken here. Those that are refused again go to the end.
        for (peer, departing) in looked_at {
            let execute = match departing {
                Departing::Waits(execute) => execute,
                Departing::Drains { change, .. } => self.peers.execute(&peer, change),
                Departing::Refused(change) => {
                    // The refusal was counted, and so will be what becomes of this.
                    self.registry.notice();
                    self.peers.execute(&peer, change)
                }
                Departing::Moves(_) => continue,
            };
            is_kept |= self.departures.keep(peer, execute);
        }
        self.departures.kept.lock().retain(|(_, left)| !matches!(left, Departing::Moves(_)));
        // Once all is closed, the watch may have found none, and ended.
        if is_kept && !is_closed && self.peers.is_closed() {
            self.look_at_departures();
        }
    }
}
