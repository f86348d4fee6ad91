//! What a program hears of its peers: they come, they go, messages of theirs were dropped.
//!
//! ```text
//!  connect ──▶ Up ──────┐
//!  watch ────▶ Dropped ─┼─▶ flow of the peers, one event of a peer at a time ──▶ PeerHandler
//!  close ────▶ Down ────┘
//!                └ waits for handlers of the peer that still run, for HANDLER_PATIENCE at the most
//! ```

use std::{sync::Arc, time::Duration};

use super::completion::{Completer, Completion};
use crate::{
    MessageHandler, PeerKey,
    clock::{Moment, nanos},
    queue::Lane,
};

/// How long, over all flows, `on_peer_down` waits for handlers of the peer's messages to return: long beside what a
/// handler should take, short beside what a stuck one does.
const HANDLER_PATIENCE: Duration = Duration::from_millis(100);

/// What an engine calls about its peers. The events of one peer run one at a time, in their order; those of different
/// peers run side by side. They have a flow of their own, with threads and a bound.
///
/// Each method does nothing unless it is implemented. `()` is a handler for programs that need to hear nothing.
pub trait PeerHandler<K: PeerKey>: Send + Sync + 'static {
    /// `peer` is connected. The future of its [`connect`](super::Engine::connect) resolves when this has returned.
    fn on_peer_up(&self, _peer: &K) {}

    /// `peer` is no longer connected. No message that it sent before starts any more, and its handlers that ran have
    /// returned, but for those that take longer than 0.1 s. Where a flow [drains](crate::Departure::Drain),
    /// all that it had admitted of the peer has finished.
    fn on_peer_down(&self, _peer: &K) {}

    /// The engine has dropped `count` messages of `peer` in this flow, because there was too much to do: they were too
    /// old when their turn came, or the flow's [`OverloadPolicy`](crate::OverloadPolicy) says so. What was lost is for
    /// the protocol to ask for again.
    ///
    /// Called at most once in a [notice interval](super::EngineBuilder::with_drop_notice_interval) for each connected
    /// peer and flow, with all that were dropped since: as far as is known, for drops are forgotten when the peer
    /// connects anew, or when another needs the place of its lane. A peer that goes at the same moment may be heard of
    /// once more after its `on_peer_down`.
    fn on_messages_dropped(&self, _flow: &'static str, _peer: &K, _count: u64) {}

    /// One of these methods has panicked, which is contained and counted. A panic in this one is contained.
    fn panicked(&self, _peer: &K) {}

    /// The flow of the peers admits nothing more, because one of these methods has panicked
    /// ([`PanicPolicy::FailFast`](crate::PanicPolicy::FailFast)). A panic in this one is contained.
    fn failed(&self, _peer: &K) {}
}

impl<K: PeerKey> PeerHandler<K> for () {}

/// An event of a peer.
pub(crate) enum PeerChange<K> {
    /// It has come.
    Up(Completer),
    /// It has gone; these were its lanes.
    Down(Vec<Arc<Lane<K>>>, Completer),
    /// So many of its messages were dropped in this flow.
    Dropped(&'static str, u64),
}

impl<K> PeerChange<K> {
    /// Whether its callback may be called: what the peer had queued has run, where it was to run.
    pub(super) fn is_due(&self) -> bool {
        match self {
            // What was cancelled does not start any more.
            Self::Down(lanes, _) => lanes.iter().all(|lane| lane.is_cancelled() || lane.is_left()),
            Self::Up(_) | Self::Dropped(..) => true,
        }
    }

    /// How to know that its callback has returned, if anybody wants to.
    pub(super) fn completion(&self) -> Option<Completion> {
        match self {
            Self::Up(completer) | Self::Down(_, completer) => Some(completer.completion()),
            Self::Dropped(..) => None,
        }
    }
}

/// Calls the program's handler.
pub(crate) struct OnPeerChange<P>(pub(crate) P);

impl<K: PeerKey, P: PeerHandler<K>> MessageHandler<PeerChange<K>, K> for OnPeerChange<P> {
    fn handle(&self, peer: &K, change: PeerChange<K>) {
        let handler = &self.0;
        match change {
            PeerChange::Up(mut completer) => {
                completer.runs();
                handler.on_peer_up(peer);
            }
            PeerChange::Down(lanes, mut completer) => {
                completer.runs();
                let until = Moment::now().after_nanos(nanos(HANDLER_PATIENCE));
                for lane in lanes {
                    lane.wait_until_left(until.since(Moment::now()));
                }
                handler.on_peer_down(peer);
            }
            PeerChange::Dropped(flow, count) => handler.on_messages_dropped(flow, peer, count),
        }
    }

    fn panicked(&self, peer: &K) {
        self.0.panicked(peer);
    }

    fn failed(&self, peer: &K) {
        self.0.failed(peer);
    }
}
