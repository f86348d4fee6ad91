//! How long a worker that has caught up with its submitters waits before it looks again.
//!
//! A look at an empty lane takes the cache lines that a submitter is about to write, and each message that a
//! worker takes as soon as it is there costs its submitter the way of those lines between two cores, which is
//! more than the rest of its work. So where messages come so fast that [`GATHER`] of them come within
//! [`LONGEST`], a worker that finds none lets about that many come together. What it gains is the submitters'
//! time, a quarter of it on the machine of RESULTS.md; what it costs is a wait of up to [`LONGEST`] for messages
//! of a flow that takes millions of them a second. Where messages come more slowly a worker looks again at once.
//!
//! The pace is that of the messages that were run since a worker found none the last time: no clock is read
//! for it. Network drivers moderate their interrupts for the same reason.

use std::mem;

use super::pause;
use crate::clock::Moment;

/// How many messages come together. Twice as many gain little more, half of them half of it.
const GATHER: u64 = 32;

/// Of a flow's room at most this share is used up meanwhile, so that no submitter waits for it: a fourth.
const SHARE: u64 = 4;

/// The longest wait, in nanoseconds.
const LONGEST: u64 = 5_000;

/// A pause is half a microsecond or so, and the wait ends after so many of them whatever the clock says.
const PAUSES: usize = 64;

/// The pace at which a worker was brought messages.
#[derive(Debug)]
pub(super) struct Pace {
    /// When it found none the last time.
    since: Moment,
    /// How many it has taken since.
    taken: u64,
}

impl Pace {
    pub(super) fn new(now: Moment) -> Self {
        Self { since: now, taken: 0 }
    }

    /// A message is taken.
    pub(super) fn takes(&mut self) {
        self.taken += 1;
    }

    /// None is found `now`, in a flow with room for `limit`: waits for some, if they come fast.
    pub(super) fn gather(&mut self, now: Moment, limit: u64) {
        let wait = self.wait(now, limit);
        for _ in 0..PAUSES {
            if Moment::now().nanos_since(now) >= wait {
                break;
            }
            pause();
        }
    }

    /// For how many nanoseconds: 0 where it would be more than [`LONGEST`].
    fn wait(&mut self, now: Moment, limit: u64) -> u64 {
        let span = now.nanos_since(mem::replace(&mut self.since, now));
        let wanted = GATHER.min(limit / SHARE);
        let wait = span.saturating_mul(wanted).checked_div(mem::take(&mut self.taken));
        wait.filter(|&wait| wait <= LONGEST).unwrap_or(0)
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use std::time::Duration;

    use super::*;

    /// The wait after so many messages in so many nanoseconds.
    fn wait(taken: u64, span: u64, limit: u64) -> u64 {
        let began = Moment::now();
        let mut pace = Pace::new(began);
        (0..taken).for_each(|_| pace.takes());
        pace.wait(began.after(Duration::from_nanos(span)), limit)
    }

    #[test]
    fn as_many_come_together_as_do_so_soon_and_are_no_burden() {
        let wide = 1_000_000;
        assert_eq!(wait(10, 1_000, wide), 32 * 100);
        assert_eq!(wait(10_000, 1_000_000, wide), 32 * 100);
        // The slowest for which it is worth it, and one that is slower.
        assert_eq!([wait(32, 5_000, wide), wait(31, 5_000, wide)], [5_000, 0]);
        assert_eq!([wait(10, 1_000, 100), wait(10, 1_000, 3)], [25 * 100, 0]);
        assert_eq!([wait(0, 1_000, wide), wait(1, u64::MAX, wide)], [0, 0]);
    }

    #[test]
    fn a_pace_is_that_since_the_last_wait() {
        let began = Moment::now();
        let mut pace = Pace::new(began);
        (0..100).for_each(|_| pace.takes());
        let then = began.after(Duration::from_micros(10));
        assert_eq!(pace.wait(then, 1_000), 3_200);
        pace.takes();
        assert_eq!(pace.wait(then.after(Duration::from_nanos(150)), 1_000), 32 * 150);
    }
}
