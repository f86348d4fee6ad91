//! How long a worker looks for the next message before it gives its thread back, where that is learned.
//!
//! The rule is that of Linux's KVM for a processor with nothing to do (`halt-polling.rst` of its documentation),
//! with a factor of two both ways: a worker looks for as long as the flow's *window* says. If it has looked in vain
//! and one is needed again so soon that the longest window would have reached, the window is doubled, from
//! [`FIRST`] on; if one is needed later, the window is halved, and below [`FIRST`] it is closed. A window that
//! reaches stays as it is, so a steady flow writes nothing here.
//!
//! A flow's workers share a window, where KVM keeps one for each processor. So one of them that is needed seldom
//! narrows that of the others, which then miss a message and widen it again.

use crate::sync::{AtomicU64, Ordering};

/// The shortest window that is open, in nanoseconds: KVM's `halt_poll_ns_grow_start`.
const FIRST: u64 = 10_000;

/// No worker has given up since the last was needed.
const NOBODY: u64 = u64::MAX;

/// What the workers of a flow have learned. All times are the flow's, in nanoseconds. What one worker overwrites
/// of another's, or finds of one that has gone on after all, makes the window a step wider or narrower, no more.
#[derive(Debug)]
pub(super) struct Patience {
    window: AtomicU64,
    /// When the worker that gave up last had begun to look.
    since: AtomicU64,
}

impl Patience {
    /// Looks for as long as may be, until that has been in vain.
    pub(super) fn new() -> Self {
        Self { window: AtomicU64::new(u64::MAX), since: AtomicU64::new(NOBODY) }
    }

    /// How long a worker looks, at most `longest`.
    pub(super) fn window(&self, longest: u64) -> u64 {
        // Relaxed, here and below: nothing else is published by it.
        self.window.load(Ordering::Relaxed).min(longest)
    }

    /// A worker that has looked since then gives up. To be said before its claim is given back, so that whoever
    /// takes the claim finds it.
    pub(super) fn gives_up(&self, since: u64) {
        self.since.store(since, Ordering::Relaxed);
    }

    /// A worker begins to run again: learns from how long none was needed.
    pub(super) fn is_needed(&self, now: u64, longest: u64) {
        let since = self.since.load(Ordering::Relaxed);
        if since == NOBODY {
            return;
        }
        self.since.store(NOBODY, Ordering::Relaxed);
        let window = self.window(longest);
        let next = if now.saturating_sub(since) <= longest {
            window.saturating_mul(2).clamp(FIRST.min(longest), longest)
        } else if window / 2 < FIRST {
            0
        } else {
            window / 2
        };
        self.window.store(next, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    const LONGEST: u64 = 200_000;

    /// A worker that has looked for the whole window in vain is needed so long after it began to.
    fn needed_after(patience: &Patience, waited: u64) -> u64 {
        patience.gives_up(1_000);
        patience.is_needed(1_000 + waited, LONGEST);
        patience.window(LONGEST)
    }

    #[test]
    fn it_is_as_long_as_may_be_until_it_was_in_vain() {
        let patience = Patience::new();
        assert_eq!(patience.window(LONGEST), LONGEST);
        patience.is_needed(5, LONGEST);
        assert_eq!(patience.window(LONGEST), LONGEST, "nobody had given up");
    }

    #[test]
    fn long_waits_close_it_and_short_ones_open_it_again() {
        let patience = Patience::new();
        let after_long = [100_000, 50_000, 25_000, 12_500, 0, 0];
        for window in after_long {
            assert_eq!(needed_after(&patience, LONGEST + 1), window);
        }
        for window in [10_000, 20_000, 40_000, 80_000, 160_000, LONGEST, LONGEST] {
            assert_eq!(needed_after(&patience, LONGEST), window);
        }
    }

    #[test]
    fn a_wait_is_counted_once() {
        let patience = Patience::new();
        assert_eq!(needed_after(&patience, LONGEST + 1), 100_000);
        patience.is_needed(1_000_000, LONGEST);
        assert_eq!(patience.window(LONGEST), 100_000);
    }

    #[test]
    fn it_is_never_longer_than_may_be() {
        let patience = Patience::new();
        for longest in [0, 1, 9_999, 10_001] {
            patience.gives_up(0);
            patience.is_needed(0, longest);
            assert!(patience.window(u64::MAX) <= longest);
        }
    }
}
