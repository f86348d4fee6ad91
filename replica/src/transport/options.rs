//! What may be chosen about a transport.

use std::time::Duration;

use super::limits::{
    FIRST_PENALTY, IDLE_TIMEOUT, LAST_PENALTY, MAX_IDLE_TIMEOUT, MIN_IDLE_TIMEOUT,
};

/// What may be chosen about a transport; the rest is in [`limits`](super::limits).
#[derive(Clone, Debug)]
pub struct TransportOptions {
    pub(super) idle_timeout: Duration,
    pub(super) first_penalty: Duration,
}

impl Default for TransportOptions {
    /// [`IDLE_TIMEOUT`] and [`FIRST_PENALTY`].
    fn default() -> Self {
        Self { idle_timeout: IDLE_TIMEOUT, first_penalty: FIRST_PENALTY }
    }
}

impl TransportOptions {
    /// How long a peer may be silent before it counts as gone; the shorter one of both ends holds.
    /// What is outside [`MIN_IDLE_TIMEOUT`] and [`MAX_IDLE_TIMEOUT`] counts as the nearer of them.
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
}
