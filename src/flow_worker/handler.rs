//! What a flow does with a message.

use crate::NodeId;

/// What a flow does with a message of a peer.
///
/// Every `Fn(NodeId, M)` that may be shared between threads is one. It runs on several threads at the
/// same time, unless the flow has one; for the messages of one peer, see [`Order`](crate::Order).
pub trait MessageHandler<M>: Send + Sync + 'static {
    /// Runs one message, on a thread of the flow.
    fn handle(&self, peer: NodeId, message: M);

    /// The flow admits nothing more, because a handler has panicked on a message of this peer
    /// ([`PanicPolicy::FailFast`](crate::PanicPolicy::FailFast)). Called once, on a thread of the flow,
    /// which may shut the flow down; a panic in it is contained.
    fn failed(&self, _peer: NodeId) {}
}

impl<M, F: Fn(NodeId, M) + Send + Sync + 'static> MessageHandler<M> for F {
    fn handle(&self, peer: NodeId, message: M) {
        self(peer, message);
    }
}
