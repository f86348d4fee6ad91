//! How a peer may break the protocol, and the codes that a connection is closed with.
//!
//! A breach says what was wrong in numbers and names of our own: no byte of the peer's is in its text,
//! so it can be logged and sent as it is.

use gossip_engine::{FlowType, wire::DecodeError};
use quinn::{TransportErrorCode, VarInt};

use super::{frame::FrameError, hello::HelloError, limits::MAX_UNKNOWN_STREAMS};

/// The replica that closes is shutting down.
pub(super) const CLOSE_SHUTDOWN: VarInt = VarInt::from_u32(0);
/// The peer has broken the protocol.
pub(super) const CLOSE_BREACH: VarInt = VarInt::from_u32(1);
/// A newer connection of the same peer has taken over.
pub(super) const CLOSE_REPLACED: VarInt = VarInt::from_u32(2);
/// The peer is shut out for a while after a breach.
pub(super) const CLOSE_SHUT_OUT: VarInt = VarInt::from_u32(3);
/// The replica that closes has no capacity for the connection now.
pub(super) const CLOSE_FULL: VarInt = VarInt::from_u32(4);
/// The peer's key is not on the list any more.
pub(super) const CLOSE_UNLISTED: VarInt = VarInt::from_u32(5);
/// A stream is stopped with it that we do not know or need no more of. The connection goes on.
pub(super) const STOP_UNKNOWN: VarInt = VarInt::from_u32(6);
/// A task of the connection has panicked at the replica that closes.
pub(super) const CLOSE_FAILED: VarInt = VarInt::from_u32(7);

/// Why a peer has been cut off.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(super) enum Breach {
    #[error(transparent)]
    Frame(#[from] FrameError),
    // Never `Unknown`, which is no breach: such a message is skipped.
    #[error("a malformed payload: {0}")]
    Malformed(#[from] DecodeError),
    #[error("a message of the {found} flow in the stream of the {stream} flow")]
    WrongFlow { stream: FlowType, found: FlowType },
    #[error(transparent)]
    Hello(#[from] HelloError),
    #[error("more than {MAX_UNKNOWN_STREAMS} streams with an unknown tag, the last with {0}")]
    UnknownTags(u8),
    #[error("a second stream of the {0} flow")]
    SecondStream(FlowType),
    #[error("a stream that ended inside a frame")]
    Truncated,
    #[error("a stream that ended before its tag")]
    NoTag,
    #[error("a stream that was reset")]
    Reset,
    #[error("our stream of the {0} flow was stopped")]
    Stopped(FlowType),
    #[error("QUIC itself broken: {0}")]
    Quic(TransportErrorCode),
}
