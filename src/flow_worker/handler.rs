//! What a flow does with a message.

use super::Received;
use crate::{NodeId, Outcome, PeerKey};

/// What a flow does with a message of a peer.
///
/// Every `Fn(&K, M)` that may be shared between threads is one. A closure names the type of its first argument, as in
/// `|peer: &NodeId, message|`. It runs on several threads at the same time, unless the flow has one. Messages of one
/// peer run one at a time, unless [`with_peer_threads`](crate::FlowConfig::with_peer_threads) says otherwise.
pub trait MessageHandler<M, K: PeerKey = NodeId>: Send + Sync + 'static {
    /// Runs one message, on a thread of the flow.
    fn handle(&self, peer: &K, message: M);

    /// Runs several messages, of several peers, by one call: those that have gathered while the flow's threads were
    /// busy. A message that comes alone is [handled](Self::handle) alone. Messages of one peer stand in their order,
    /// unless several threads may serve it.
    ///
    /// The [service time](crate::FlowSnapshot::service) of each is that of the call. A panic counts for each of them,
    /// since nobody knows whose it was. There are no [slots](crate::Slot) in here.
    ///
    /// Called only if [`max_batch`](Self::max_batch) is above 1; by default it handles them one by one.
    fn handle_many(&self, messages: Vec<Received<M, K>>) {
        for received in messages {
            received.handle_by(self);
        }
    }

    /// How many messages one call of [`handle_many`](Self::handle_many) should take: 1, the default, and 0 mean that
    /// there is no such call; at most [`MAX_BATCH`](crate::MAX_BATCH) count. Asked when the handler is given to the
    /// flow. A call may get up to 31 messages more, as they come in runs.
    ///
    /// Raise it where a call costs much beside a message: signatures that are verified together, rows of a database.
    /// Of one peer a batch gets at most the messages of a turn, which is as many as are expected to fit into the
    /// [quantum](crate::FlowConfig::with_quantum), so raise that as well where few peers send most.
    fn max_batch(&self) -> usize {
        1
    }

    /// Takes a message that will not run, because of this outcome. It was admitted, or its submitter has heard that it
    /// was [dropped](crate::Submitted::Dropped). Called once for each of them, on the thread that has dropped it, which
    /// may be a submitter's. A panic in it is contained.
    fn discarded(&self, _peer: &K, message: M, _outcome: Outcome) {
        drop(message);
    }

    /// A method has panicked on a message of this peer, which is contained and counted. Called on the same thread,
    /// which may shut the flow down; a panic in it is contained.
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
