//! What may be chosen about a transport.

use std::time::Duration;

use super::{
    endpoint::Settings,
    limits::{
        FIRST_PENALTY, IDLE_TIMEOUT, LAST_PENALTY, MAX_IDLE_TIMEOUT, MIN_IDLE_TIMEOUT, Windows,
    },
};
use crate::tls::PROTOCOLS;

/// What may be chosen about a transport; the rest is in [`limits`](super::limits).
#[derive(Clone, Debug)]
pub struct TransportOptions {
    idle_timeout: Duration,
    pub(super) first_penalty: Duration,
    protocols: &'static [&'static [u8]],
}

impl Default for TransportOptions {
    /// [`IDLE_TIMEOUT`] and [`FIRST_PENALTY`].
    fn default() -> Self {
        Self { idle_timeout: IDLE_TIMEOUT, first_penalty: FIRST_PENALTY, protocols: &PROTOCOLS }
    }
}

impl TransportOptions {
    /// How long a peer may be silent before it counts as gone; the shorter one of both ends holds.
    /// What is outside [`MIN_IDLE_TIMEOUT`] and [`MAX_IDLE_TIMEOUT`] counts as the nearer of them. Raise it for
    /// links that fail for longer and come back.
    #[must_use]
    pub fn with_idle_timeout(mut self, idle_timeout: Duration) -> Self {
        self.idle_timeout = idle_timeout.clamp(MIN_IDLE_TIMEOUT, MAX_IDLE_TIMEOUT);
        self
    }

    /// How long a peer is shut out after its first break of the protocol, at most [`LAST_PENALTY`].
    #[must_use]
    pub fn with_first_penalty(mut self, first_penalty: Duration) -> Self {
        self.first_penalty = first_penalty.min(LAST_PENALTY);
        self
    }

    /// Which protocols are spoken, the newest first: those of another version.
    #[cfg(test)]
    pub(crate) fn with_protocols(mut self, protocols: &'static [&'static [u8]]) -> Self {
        self.protocols = protocols;
        self
    }

    /// What holds for connections that are made while there are so many peers.
    pub(super) fn settings(&self, peers: usize) -> Settings {
        let Self { idle_timeout, protocols, .. } = *self;
        Settings { idle_timeout, protocols, windows: Windows::of(peers) }
    }
}
