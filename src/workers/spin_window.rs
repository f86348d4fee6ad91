//! How long a worker looks for the next piece of work before it sleeps, where that is learned.
//!
//! The rule is that of Linux's KVM for a processor with nothing to do (`halt-polling.rst` of its documentation), with a
//! factor of two both ways. A worker looks for as long as the flow's *window* says. If it has looked in vain and is
//! needed again so soon that the longest window would have reached, the window is doubled, from [`FIRST`] on. If it is
//! needed later, the window is halved, and below [`FIRST`] it is closed. A window that reaches stays as it is, so a
//! steady flow writes nothing here.
//!
//! Where others want the core, looking takes the time of those whom the worker waits for. A yield that comes back late
//! says so, and closes the window for [`BAR`]. If the next late yield comes before workers have looked for [`QUIET`] in
//! all, it closes the window for twice as long, up to [`LONGEST_BAR`].
//!
//! What looking finds in between makes no difference: beside a busy thread it finds something now and then, and costs
//! a time slice the next time. A quiet machine that stalls now and then closes the window for the shortest time.
//!
//! A flow's workers share a window, where KVM keeps one for each processor. One of them that is needed seldom narrows
//! that of the others, which then miss a piece of work and widen it again.

use crate::sync::{AtomicU64, Ordering};

/// The shortest window that is open, in nanoseconds: KVM's `halt_poll_ns_grow_start`.
const FIRST: u64 = 10_000;

/// How long the window stays closed when others want the core, in nanoseconds: first about as long as a time slice of
/// the system's, which the next late yield may cost; in the end so long that such a slice is nothing beside it.
const BAR: u64 = 4_000_000;
const LONGEST_BAR: u64 = 1_024_000_000;

/// After so many nanoseconds of looking without a late yield the next bar is short again. Beside a busy thread a worker
/// that looks has half of the core, in slices of a few milliseconds, so it is late long before.
const QUIET: u64 = 32_000_000;

/// No worker has given up since the last was needed.
const NOBODY: u64 = u64::MAX;

/// What the workers of a flow have learned, in nanoseconds. What one worker overwrites of another's makes the window a
/// step wider or narrower, no more.
#[derive(Debug)]
pub(super) struct SpinWindow {
    window: AtomicU64,
    /// When the worker that gave up last had begun to look.
    since: AtomicU64,
    /// Until when the window is closed.
    barred: AtomicU64,
    /// For how long it was closed the last time; 0 after [`QUIET`].
    bar: AtomicU64,
    /// For how long workers have looked since.
    looked: AtomicU64,
}

impl SpinWindow {
    /// Looks for as long as may be, until that has been in vain.
    pub(super) fn new() -> Self {
        Self {
            window: AtomicU64::new(u64::MAX),
            since: AtomicU64::new(NOBODY),
            barred: AtomicU64::new(0),
            bar: AtomicU64::new(0),
            looked: AtomicU64::new(0),
        }
    }

    /// How long a worker looks that begins now, at most `longest`.
    pub(super) fn window(&self, longest: u64, now: u64) -> u64 {
        // Relaxed, here and below: nothing else is published by it.
        if now < self.barred.load(Ordering::Relaxed) {
            return 0;
        }
        self.width(longest)
    }

    fn width(&self, longest: u64) -> u64 {
        self.window.load(Ordering::Relaxed).min(longest)
    }

    /// Others want the core.
    pub(super) fn bar(&self, now: u64) {
        let barred = self.barred.load(Ordering::Relaxed);
        if now < barred {
            // Another worker has found out the same.
            return;
        }
        let bar = (2 * self.bar.load(Ordering::Relaxed)).clamp(BAR, LONGEST_BAR);
        self.bar.store(bar, Ordering::Relaxed);
        self.looked.store(0, Ordering::Relaxed);
        self.barred.store(now.saturating_add(bar), Ordering::Relaxed);
        self.since.store(NOBODY, Ordering::Relaxed);
    }

    /// A worker has looked for so long, and no yield came back late.
    pub(super) fn looked(&self, nanos: u64) {
        if self.bar.load(Ordering::Relaxed) == 0 {
            return;
        }
        let looked = self.looked.load(Ordering::Relaxed).saturating_add(nanos);
        self.looked.store(looked, Ordering::Relaxed);
        if looked > QUIET {
            self.bar.store(0, Ordering::Relaxed);
        }
    }

    /// A worker that has looked since then gives up. Said before it sleeps.
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
        let window = self.width(longest);
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
mod tests;
