//! Why a transport is not bound or started, and what its shutdown has found.

use std::{io, net::SocketAddr};

use gossip_engine::NodeId;

use super::limits::MAX_PEERS;

/// Why a transport cannot be bound.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// The address is not ours to listen on, or is in use.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where it was to listen.
        address: SocketAddr,
        /// Why it cannot.
        source: io::Error,
    },
}

/// Why a list of peers is not taken. Everything is as it was before.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A peer is listed twice.
    #[error("the list of peers names {0} twice")]
    Duplicate(NodeId),
    /// There are more than [`MAX_PEERS`].
    #[error("the list of peers has {0} entries, over the limit of {MAX_PEERS}")]
    TooMany(usize),
    /// It has been started before; [`set_peers`](super::Transport::set_peers) changes its peers.
    #[error("the transport has been started already")]
    AlreadyStarted,
    /// It has not been started, and has no list to change.
    #[error("the transport has not been started yet")]
    NotStarted,
    /// It has been shut down, or its handler takes no more events.
    #[error("the transport has been shut down")]
    ShutDown,
}

/// What a shutdown of the transport has found.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct TransportReport {
    /// Tasks that panicked since the transport was bound.
    pub failed_tasks: u64,
    /// Tasks that had not ended by the deadline and were aborted, so that a peer may not have departed yet.
    pub aborted_tasks: usize,
}

impl TransportReport {
    /// No task has panicked, and all have ended by themselves.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.failed_tasks == 0 && self.aborted_tasks == 0
    }
}
