//! What a flow does with a message.

use crate::{NodeId, Outcome, PeerKey};

/// What a flow does with a message of a peer.
///
/// Every `Fn(&K, M)` that may be shared between threads is one. A closure names the type of its first argument, as in
/// `|peer: &NodeId, message|`. It runs on several threads at the same time, unless the flow has one. Messages of one
/// peer run one at a time, unless [`with_peer_threads`](crate::FlowConfig::with_peer_threads) says otherwise.
pub trait MessageHandler<M, K: PeerKey = NodeId>: Send + Sync + 'static {
    /// Runs one message, on a thread of the flow.
    fn handle(&self, peer: &K, message: M);

    /// Takes a message that will not run, because of this outcome. It was admitted, or its submitter has heard that it
    /// was [dropped](crate::Submitted::Dropped). Called once for each of them, on the thread that has dropped it, which
    /// may be a submitter's. A panic in it is contained.
    fn discarded(&self, _peer: &K, message: M, _outcome: Outcome) {
        drop(message);
    }

    /// It has panicked on a message of this peer, which is contained and counted. Called on the same thread, which may
    /// shut the flow down; a panic in it is contained.
    fn panicked(&self, _peer: &K) {}

    /// The flow admits nothing more, because a handler has panicked on a message of this peer
    /// ([`PanicPolicy::FailFast`](crate::PanicPolicy::FailFast)). Called once, on a thread of the flow,
    /// which may shut the flow down; a panic in it is contained.
    fn failed(&self, _peer: &K) {}
}

impl<M, K: PeerKey, F: Fn(&K, M) + Send + Sync + 'static> MessageHandler<M, K> for F {
    fn handle(&self, peer: &K, message: M) {
        self(peer, message);
    }
}
