//! The clock by which waits and handlers are timed.
//!
//! A message costs two readings, one when it is brought and one when its handler has ended, so what a
//! reading costs shows in every message. `quanta` reads the processor's time-stamp counter where
//! that is invariant, at less than half the cost of the system's clock, and the system's clock where it
//! is not. Its first use measures the counter, for up to some hundred milliseconds.

use std::time::Duration;

/// Lets other threads of the system run.
pub(crate) fn yield_now() {
    #[cfg(all(any(test, fuzzing), not(loom)))]
    if crate::simulation::clock::pass(Duration::from_micros(5)) {
        return;
    }
    std::thread::yield_now();
}

/// Where the time of a simulation begins.
#[cfg(all(any(test, fuzzing), not(loom)))]
static START: std::sync::LazyLock<quanta::Instant> = std::sync::LazyLock::new(quanta::Instant::now);

/// A moment of this process.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Moment(quanta::Instant);

impl Moment {
    #[cfg(not(loom))]
    pub(crate) fn now() -> Self {
        #[cfg(any(test, fuzzing))]
        if let Some(now) = crate::simulation::clock::read() {
            return Self(*START + now);
        }
        Self(quanta::Instant::now())
    }

    /// Time stands still, so that a model runs the same way each time.
    #[cfg(loom)]
    pub(crate) fn now() -> Self {
        static NOW: std::sync::LazyLock<Moment> =
            std::sync::LazyLock::new(|| Moment(quanta::Instant::now()));
        *NOW
    }

    /// Lets time pass on this thread.
    pub(crate) fn sleep(duration: Duration) {
        #[cfg(all(any(test, fuzzing), not(loom)))]
        if crate::simulation::clock::pass(duration) {
            return;
        }
        std::thread::sleep(duration);
    }

    /// The time since `earlier`; zero if that is later.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        self.0.saturating_duration_since(earlier.0)
    }

    /// The moment that is `duration` later.
    pub(crate) fn after(self, duration: Duration) -> Self {
        Self(self.0 + duration)
    }
}
