//! How long a peer is left alone: waits between dials, and penalties after a break of the protocol.
//!
//! Both double up to a limit. A wait is drawn at random below its bound ("full jitter"), so that
//! replicas that lost the same peer do not all return at once; a penalty is exact.

use std::time::Duration;

use tokio::time::Instant;

use super::limits::{FIRST_BACKOFF, LAST_BACKOFF, LAST_PENALTY, PENALTY_FORGOTTEN_AFTER};

/// The waits between attempts to reach one peer.
#[derive(Debug)]
pub(super) struct Backoff {
    bound: Duration,
}

impl Backoff {
    pub(super) fn new() -> Self {
        Self { bound: FIRST_BACKOFF }
    }

    /// The next wait: anything up to the bound, which doubles.
    pub(super) fn next(&mut self) -> Duration {
        let wait = rand::random_range(Duration::ZERO..=self.bound);
        self.bound = (self.bound * 2).min(LAST_BACKOFF);
        wait
    }

    pub(super) fn reset(&mut self) {
        self.bound = FIRST_BACKOFF;
    }
}

/// Until when one peer is shut out.
#[derive(Debug)]
pub(super) struct Penalty {
    first: Duration,
    next: Duration,
    until: Option<Instant>,
}

impl Penalty {
    pub(super) fn new(first: Duration) -> Self {
        Self { first, next: first, until: None }
    }

    /// The peer has broken the protocol.
    pub(super) fn impose(&mut self, now: Instant) {
        if self.until.is_some_and(|until| now > until + PENALTY_FORGOTTEN_AFTER) {
            self.next = self.first;
        }
        self.until = Some(now + self.next);
        self.next = (self.next * 2).min(LAST_PENALTY.max(self.first));
    }

    /// How long the peer is still shut out.
    pub(super) fn left(&self, now: Instant) -> Duration {
        self.until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests;
