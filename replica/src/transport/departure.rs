//! Why a connection has ended, and why a peer was not reached, in words.
//!
//! No byte of the peer's is in the texts: they are made from codes, ours, QUIC's and those of TLS, so that they can be
//! logged and shown as they are.

use std::fmt;

use gossip_engine::NodeId;
use quinn::{ConnectError, ConnectionError, TransportErrorCode, VarInt};

use super::{
    address::ResolveError,
    breach::{
        CLOSE_BREACH, CLOSE_FAILED, CLOSE_FULL, CLOSE_REPLACED, CLOSE_SHUT_OUT, CLOSE_SHUTDOWN,
        CLOSE_UNLISTED,
    },
    limits::RESOLVE_TIMEOUT,
};

/// TLS's own numbers for what went wrong (RFC 8446, section 6; RFC 7301).
const ALERT_HANDSHAKE_FAILURE: u64 = 40;
const ALERT_BAD_CERTIFICATE: u64 = 42;
const ALERT_ACCESS_DENIED: u64 = 49;
const ALERT_NO_APPLICATION_PROTOCOL: u64 = 120;
/// Where QUIC puts them (RFC 9001, section 4.8).
const CRYPTO_ERRORS: std::ops::Range<u64> = 0x100..0x200;

/// How the other side has ended a connection, or the network has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Departure {
    Silent,
    ShutDown,
    Breach,
    Replaced,
    ShutOut,
    Full,
    Failed,
    Unlisted,
    Code(VarInt),
    Forgotten,
    Quic(TransportErrorCode),
    Version,
    NetworkGone,
}

impl From<&ConnectionError> for Departure {
    fn from(error: &ConnectionError) -> Self {
        match error {
            ConnectionError::ApplicationClosed(close) => match close.error_code {
                CLOSE_SHUTDOWN => Self::ShutDown,
                CLOSE_BREACH => Self::Breach,
                CLOSE_REPLACED => Self::Replaced,
                CLOSE_SHUT_OUT => Self::ShutOut,
                CLOSE_FULL => Self::Full,
                CLOSE_FAILED => Self::Failed,
                CLOSE_UNLISTED => Self::Unlisted,
                code => Self::Code(code),
            },
            ConnectionError::ConnectionClosed(close) => Self::Quic(close.error_code),
            ConnectionError::TransportError(error) => Self::Quic(error.code),
            ConnectionError::TimedOut => Self::Silent,
            ConnectionError::Reset => Self::Forgotten,
            ConnectionError::VersionMismatch => Self::Version,
            ConnectionError::LocallyClosed | ConnectionError::CidsExhausted => Self::NetworkGone,
        }
    }
}

impl fmt::Display for Departure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent => f.write_str("it has fallen silent"),
            Self::ShutDown => f.write_str("it has shut down"),
            Self::Breach => f.write_str("it says that we have broken the protocol"),
            Self::Replaced => f.write_str("it has a newer connection of our key"),
            Self::ShutOut => f.write_str("it shuts us out for a while"),
            Self::Full => f.write_str("it has no capacity for us now"),
            Self::Failed => f.write_str("it has failed within, on our connection"),
            Self::Unlisted => f.write_str("it does not list our key any more"),
            Self::Code(code) => write!(f, "it has closed the connection with the code {code}"),
            Self::Forgotten => {
                f.write_str("it does not know the connection; it may have restarted")
            }
            Self::Quic(code) => match alert(*code) {
                Some(ALERT_ACCESS_DENIED) => f.write_str("it does not list our key"),
                Some(alert) => write!(f, "it has refused TLS with the alert {alert}"),
                None => write!(f, "it has ended QUIC: {code}"),
            },
            Self::Version => f.write_str("it speaks another version of QUIC"),
            Self::NetworkGone => f.write_str("the network is gone"),
        }
    }
}

/// Why a peer was not reached. The address stands before it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum DialError {
    Resolve(ResolveError),
    Address(ConnectError),
    NoAnswer,
    NotListed,
    OtherKey(NodeId),
    OwnKey,
    NoKey,
    NoRawKeys,
    NotAKey,
    NoProtocol,
    Ended(Departure),
}

impl DialError {
    /// `refused` is the key that we did not take.
    pub(super) fn new(error: &ConnectionError, own: NodeId, refused: Option<NodeId>) -> Self {
        match (error, refused) {
            (ConnectionError::TransportError(_), Some(key)) if key == own => Self::OwnKey,
            (ConnectionError::TransportError(_), Some(key)) => Self::OtherKey(key),
            (ConnectionError::TransportError(error), None) => match alert(error.code) {
                Some(ALERT_NO_APPLICATION_PROTOCOL) => Self::NoProtocol,
                Some(ALERT_HANDSHAKE_FAILURE) => Self::NoRawKeys,
                Some(ALERT_BAD_CERTIFICATE) => Self::NotAKey,
                Some(_) => Self::NoKey,
                None => Self::Ended(Departure::Quic(error.code)),
            },
            (ConnectionError::ConnectionClosed(close), _) => match alert(close.error_code) {
                Some(ALERT_ACCESS_DENIED) => Self::NotListed,
                Some(ALERT_NO_APPLICATION_PROTOCOL) => Self::NoProtocol,
                Some(ALERT_HANDSHAKE_FAILURE) => Self::NoRawKeys,
                _ => Self::Ended(Departure::Quic(close.error_code)),
            },
            (ConnectionError::TimedOut, _) => Self::NoAnswer,
            (error, _) => Self::Ended(error.into()),
        }
    }
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolve(ResolveError::Unknown) => f.write_str("does not resolve"),
            Self::Resolve(ResolveError::Slow) => {
                write!(f, "does not resolve within {} seconds", RESOLVE_TIMEOUT.as_secs())
            }
            Self::Resolve(ResolveError::OtherFamily) => f.write_str(
                "has no address of the family (IPv4 or IPv6) that this replica listens on",
            ),
            Self::Address(error) => write!(f, "cannot be dialled: {error}"),
            Self::NoAnswer => f.write_str("gives no answer"),
            Self::NotListed => f.write_str("does not list our key"),
            Self::OtherKey(key) => write!(f, "answers with another key, {key:x}"),
            Self::OwnKey => f.write_str(
                "answers with our own key: it is our own address, or another replica uses this key",
            ),
            Self::NoKey => f.write_str("proves no key of a replica"),
            Self::NoRawKeys => f.write_str("speaks no TLS with raw public keys"),
            Self::NotAKey => f.write_str("shows no Ed25519 public key"),
            Self::NoProtocol => f.write_str("speaks no version of our protocol"),
            Self::Ended(departure) => write!(f, "is left: {departure}"),
        }
    }
}

fn alert(code: TransportErrorCode) -> Option<u64> {
    let code = u64::from(code);
    CRYPTO_ERRORS.contains(&code).then(|| code - CRYPTO_ERRORS.start)
}
