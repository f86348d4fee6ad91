//! What a transport hands to the engine, and what it may hear back.

use bytes::Bytes;

#[cfg(feature = "wire")]
use crate::wire::DecodeError;
use crate::{FlowType, NodeId};

/// A payload from a peer, as it came from the network.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TransportMessage {
    /// Who sent it; the transport has authenticated it.
    pub peer_id: NodeId,
    /// One message in the encoding of the handler's codec; not trusted. Decoded fields share its
    /// memory: if it is a slice of a larger buffer, the whole buffer lives as long as the message.
    pub payload: Bytes,
}

/// What happens at a transport.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum TransportEvent {
    /// A peer has sent a payload.
    Message(TransportMessage),
    /// A peer is connected.
    PeerUp(NodeId),
    /// A peer is no longer connected. None of its older messages starts after this.
    ///
    /// One `PeerDown` follows each `PeerUp`. It waits for callbacks of the peer's messages that still run, for 0.1 s at
    /// the most. Another one at the same time does not wait, nor does the same one when it is offered again because it
    /// was refused.
    PeerDown(NodeId),
}

/// Why a flow does not admit a message. The flow is unchanged and the message did not run.
#[derive(
    Clone,
    Copy,
    Debug,
    strum::EnumCount,
    strum::EnumIter,
    Eq,
    Hash,
    PartialEq,
    strum::IntoStaticStr,
    thiserror::Error,
)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum RefusalReason {
    /// The flow has been closed, shut down or dropped, or has failed
    /// ([`PanicPolicy::FailFast`](crate::PanicPolicy::FailFast)); no later message will be admitted.
    #[error("shut down")]
    Closed,
    /// The peer has gone while its message waited.
    #[error("its peer has gone")]
    Disconnected,
    /// There is no capacity, and the flow lets nobody wait
    /// ([`OverloadPolicy::Refuse`](crate::OverloadPolicy::Refuse)), or the message is the engine's own, which
    /// does not wait.
    #[error("full")]
    Full,
    /// There is no capacity, and as many submitters wait for the peer already as
    /// [`with_max_waiters`](crate::FlowConfig::with_max_waiters) allows.
    #[error("too many submitters wait")]
    TooManyWaiters,
    /// The peer has no lane, as many peers have one as
    /// [`with_max_peers`](crate::FlowConfig::with_max_peers) allows, and none of those that were looked
    /// at is unused. The next attempt looks at others.
    #[error("too many peers have messages")]
    TooManyPeers,
}

/// Why an event has not been admitted. No callback has run for it, and none will. A refused `PeerDown` has cancelled
/// what its peer had queued all the same: only the callback is missing.
///
/// The error does not carry the event, which is lost unless the transport offers it again. A payload is
/// reference-counted, so a transport that wants to do so clones it first. The transport must offer a refused `PeerDown`
/// again: otherwise the replica is never notified of it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EventError<#[cfg(feature = "wire")] E = DecodeError, #[cfg(not(feature = "wire"))] E> {
    /// The payload is no message: the peer breaks the protocol, and the transport may cut it off.
    #[error("malformed message from {peer}: {source}")]
    Malformed {
        /// Who sent it.
        peer: NodeId,
        /// What is wrong with it.
        source: E,
    },
    /// Callbacks have panicked too often on messages of this peer, and the handler takes none of them for a while
    /// ([`with_quarantine`](crate::ChannelConfig::with_quarantine)). The payload was not decoded.
    #[error("{peer} is in quarantine")]
    Quarantined {
        /// Who sent it.
        peer: NodeId,
    },
    /// The payload is a message of a later version, by [`Codec::is_unknown`](crate::Codec::is_unknown). The peer breaks
    /// no rule: the transport skips the message and keeps the connection.
    #[error("unknown message from {peer}: {source}")]
    Unknown {
        /// Who sent it.
        peer: NodeId,
        /// What is unknown in it.
        source: E,
    },
    /// The flow does not admit the event: a message, or a peer's coming or going. A `PeerUp` or `PeerDown` that was
    /// admitted and dropped at a shutdown is answered like this, too.
    #[error("{flow} flow refuses an event of {peer}: {reason}")]
    Refused {
        /// Whose event it is.
        peer: NodeId,
        /// The flow.
        flow: FlowType,
        /// Why.
        reason: RefusalReason,
    },
}
