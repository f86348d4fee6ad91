//! How long a worker that has caught up with its submitters waits before it looks again.
//!
//! A look at an empty lane takes the cache lines that a submitter is about to write, and each message that a
//! worker takes as soon as it is there costs its submitter the way of those lines between two cores, which is
//! more than the rest of its work. So a worker that has run many brief messages in a row, and then finds none,
//! lets some come together: [`GATHER`] of them, if at the pace of those it has run they are there within
//! [`LONGEST`]. What it gains is the submitters' time; what it costs is a wait of up to [`LONGEST`] for messages
//! of a flow that takes millions of them a second. Network drivers moderate their interrupts for the same reason.
//!
//! Where messages come more slowly a worker runs one or two in a row, and looks again at once. Where they come in
//! closed loops, so that no more can come than have been run, waiting does not make the next row longer than the
//! last, and then it is not done again. What comes together takes a small part of the flow's room and of a
//! peer's at the most, so that no submitter waits for it.

use std::mem;

use super::pause;
use crate::{FlowConfig, WaitStrategy, clock::Moment};

/// How many messages come together. Twice as many gain little more, half of them half of it.
const GATHER: u64 = 32;

/// Fewer are no row, and not worth a wait.
const FEWEST: u64 = 8;

/// What comes together takes up a fourth of the room.
const SHARE: usize = 4;

/// The longest wait, in nanoseconds.
const LONGEST: u64 = 5_000;

/// A pause is half a microsecond or so, and the wait ends after so many of them whatever the clock says.
const PAUSES: usize = 64;

/// How many messages may come together in a flow like this; 0 means none, which is so where workers spin,
/// because whoever gives cores away for brief waits wants no other, and where bytes are bounded, because it is not
/// known how many messages they allow.
pub(in crate::flow_worker) fn most(config: &FlowConfig) -> u64 {
    let room = config.max_inflight_requests() / config.threads();
    let most = GATHER.min((room.min(config.peer_quota()) / SHARE) as u64);
    let in_bytes = config.max_bytes().is_some() || config.peer_max_bytes().is_some();
    let spins = config.wait_strategy() == WaitStrategy::Spin;
    if spins || in_bytes || most < FEWEST { 0 } else { most }
}

/// The pace at which a worker runs messages.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When it began to look for the row that it runs now, so that idle time makes a row slow; `None` before it
    /// has found nothing for the first time.
    since: Option<Moment>,
    /// How many it has run since, and how many in the row before.
    row: u64,
    last: u64,
}

impl Pace {
    /// A message is taken.
    pub(super) fn takes(&mut self) {
        self.row += 1;
    }

    /// None is found `now`: waits for some, `most` at the most, or until there is `other` work; returns the last
    /// reading of the clock.
    pub(super) fn gather(&mut self, now: Moment, most: u64, other: impl Fn() -> bool) -> Moment {
        if self.row == 0 {
            return now;
        }
        let wait = self.wait(now, most);
        let mut then = now;
        if wait > 0 {
            for _ in 0..PAUSES {
                pause();
                then = Moment::now();
                if then.nanos_since(now) >= wait || other() {
                    break;
                }
            }
        }
        self.since = Some(then);
        then
    }

    /// For how many nanoseconds; a row has ended.
    fn wait(&mut self, now: Moment, most: u64) -> u64 {
        let row = mem::take(&mut self.row);
        let last = mem::replace(&mut self.last, row);
        let Some(since) = self.since else { return 0 };
        if most == 0 || row < FEWEST || row < most && row <= last {
            return 0;
        }
        let wait = now.nanos_since(since).saturating_mul(row.min(most)) / row;
        if wait <= LONGEST { wait } else { 0 }
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;
