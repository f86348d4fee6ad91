//! The seam between the protocol, which decides what to say, and the transport, which says it.

use gossip_engine::{FlowType, GossipMessage, NodeId};

/// Sends messages to connected peers.
pub trait Outbox: Send + Sync + 'static {
    /// Queues `message` for `peer`, behind what was queued for the same flow before. Never blocks.
    ///
    /// Queued is not delivered: if the connection breaks, what is queued is lost, and the protocol's
    /// timeouts and retransmission requests repair it.
    ///
    /// # Errors
    ///
    /// [`SendError`]; the message is gone, and the transport has counted it.
    fn send(&self, peer: NodeId, message: GossipMessage) -> Result<(), SendError>;

    /// Whether a message of this flow with so many bytes of payload would be queued for `peer` now. A
    /// guess, since others send too: it spares the work for an answer that nobody would carry.
    fn has_capacity(&self, peer: NodeId, flow: FlowType, bytes: usize) -> bool;
}

/// Why a message has not been queued.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The peer is not connected.
    #[error("{0} is not connected")]
    NotConnected(NodeId),
    /// The peer reads more slowly than we write.
    #[error("the {flow} queue to {peer} is full")]
    Full {
        /// To whom.
        peer: NodeId,
        /// In which flow.
        flow: FlowType,
    },
    /// The message is longer than any peer would take.
    #[error("a {flow} message of {length} bytes, over the limit of {limit}")]
    TooLarge {
        /// In which flow.
        flow: FlowType,
        /// The length of its payload, in bytes.
        length: usize,
        /// The limit of the flow, in bytes.
        limit: usize,
    },
}
