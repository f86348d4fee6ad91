//! How fast messages come, and when a worker lets some of them come together.
//!
//! A worker that is faster than its submitters finds each message alone. Each of its looks takes the cache lines that
//! the submitters write next, and both wait for each other's lines: with brief handlers a message then costs two to
//! three times as much as in a row of many. So a worker whose run was short, while many messages come, waits until
//! about [`Pace::most`] more have come, for [`GATHER`] at the longest.
//!
//! It waits for nothing where messages come more slowly than [`FAST`], where somebody waits for capacity, and where the
//! bounds are so small that the submitters would soon wait for it.

/// The longest wait, in nanoseconds.
const GATHER: u64 = 5_000;

/// Messages come fast if there is one in so many nanoseconds.
const FAST: u64 = 500;

/// Over so many nanoseconds they are counted.
const SPAN: u64 = 10_000;

/// Fewer than so many are not waited for.
const LEAST: u64 = 8;

#[derive(Debug, Default)]
pub(super) struct Pace {
    since: u64,
    messages: u64,
}

impl Pace {
    /// How many messages a worker lets come together in a flow with these bounds: a part of what may be in flight, and
    /// at most a run.
    pub(super) fn most(in_flight: usize, of_a_peer: usize) -> u64 {
        (in_flight.min(of_a_peer) as u64 / 4).min(crate::queue::RUN as u64)
    }

    /// A run of so many messages has ended now; returns for how long the worker waits before it looks again, all in
    /// nanoseconds.
    pub(super) fn ended(&mut self, now: u64, run: u64, most: u64) -> u64 {
        self.messages += run;
        let elapsed = now.saturating_sub(self.since);
        let is_fast = elapsed < self.messages * FAST;
        let wait = if most >= LEAST && run < most / 2 && self.messages >= LEAST && is_fast {
            ((most - run) * elapsed / self.messages).min(GATHER)
        } else {
            0
        };
        if elapsed > SPAN {
            // What was longer ago counts half.
            self.messages /= 2;
            self.since = now - elapsed.min(2 * SPAN) / 2;
        }
        wait
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;
