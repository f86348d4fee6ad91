//! What is due when, in order: a tick looks only at what is due.
//!
//! Each attempt, each peer and each artifact that is put off has one entry at most, and knows when it is.

use std::{collections::BTreeSet, time::Duration};

use gossip_engine::ArtifactId;

use super::{AttemptId, peer::PeerKey};

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Timer {
    /// A chunk is late, a rest or a suspicion is over, or its adverts are to be asked for. Before the others of
    /// the same time: whether an attempt gives way depends on whether its peers answer.
    Peer(PeerKey),
    /// It may have stalled, or its lease may be over.
    Attempt(AttemptId),
    /// It may be tried again.
    Retry(ArtifactId),
}

#[derive(Debug, Default)]
pub(super) struct Timers {
    queue: BTreeSet<(Duration, Timer)>,
}

impl Timers {
    /// Moves a timer. `at` is what its owner remembers of it.
    pub(super) fn set(&mut self, timer: Timer, at: &mut Option<Duration>, to: Duration) {
        if *at == Some(to) {
            return;
        }
        self.cancel(timer, at);
        self.queue.insert((to, timer));
        *at = Some(to);
    }

    pub(super) fn cancel(&mut self, timer: Timer, at: &mut Option<Duration>) {
        if let Some(before) = at.take() {
            self.queue.remove(&(before, timer));
        }
    }

    /// Takes the first that is due. Its owner still remembers it.
    pub(super) fn pop_due(&mut self, now: Duration) -> Option<Timer> {
        let (at, timer) = *self.queue.first()?;
        if at > now {
            return None;
        }
        self.queue.pop_first();
        Some(timer)
    }
}

#[cfg(any(test, fuzzing))]
impl Timers {
    pub(super) fn contains(&self, at: Duration, timer: Timer) -> bool {
        self.queue.contains(&(at, timer))
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }
}
