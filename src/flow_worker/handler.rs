//! What a flow does with a message.

use crate::NodeId;

/// What a flow does with a message of a peer.
///
/// Every `Fn(NodeId, M)` that may be shared between threads is one. It runs on several threads at the same time, unless
/// the flow has one. Messages of one peer run one at a time, unless
/// [`with_peer_threads`](crate::FlowConfig::with_peer_threads) says otherwise.
pub trait MessageHandler<M>: Send + Sync + 'static {
    /// Runs one message, on a thread of the flow.
    fn handle(&self, peer: NodeId, message: M);

    /// It has panicked on a message of this peer, which is contained and counted. Called on the same thread, which may
    /// shut the flow down; a panic in it is contained.
    fn panicked(&self, _peer: NodeId) {}

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

/// What the inside of a flow does with messages, peers' or the replica's own.
pub(crate) trait Handle<M>: Send + Sync + 'static {
    fn handle(&self, peer: NodeId, message: M);

    /// Takes a message that will not run.
    fn discard(&self, message: M) {
        drop(message);
    }

    fn panicked(&self, _peer: NodeId) {}

    fn failed(&self, _peer: NodeId) {}
}

/// Runs the messages of peers.
pub(crate) struct OfPeers<H>(pub(super) H);

impl<M, H: MessageHandler<M>> Handle<M> for OfPeers<H> {
    fn handle(&self, peer: NodeId, message: M) {
        self.0.handle(peer, message);
    }

    fn panicked(&self, peer: NodeId) {
        self.0.panicked(peer);
    }

    fn failed(&self, peer: NodeId) {
        self.0.failed(peer);
    }
}
