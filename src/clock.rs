//! The clock by which waits and handlers are timed.
//!
//! A message costs two readings, one when it is brought and one when its handler has ended, so what a
//! reading costs shows in every message. `quanta` reads the processor's time-stamp counter where
//! that is invariant, at less than half the cost of the system's clock, and the system's clock where it
//! is not. Its first use measures the counter, for up to some hundred milliseconds.

use std::time::Duration;

/// A moment of this process.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Moment(quanta::Instant);

impl Moment {
    #[cfg(not(any(loom, shuttle)))]
    pub(crate) fn now() -> Self {
        Self(quanta::Instant::now())
    }

    /// Time stands still, so that a model runs the same way each time.
    #[cfg(loom)]
    pub(crate) fn now() -> Self {
        Self::first()
    }

    /// Time goes as the schedule says: between two readings not at all, a little, or longer than anything
    /// that a worker measures.
    #[cfg(shuttle)]
    pub(crate) fn now() -> Self {
        use std::cell::Cell;
        // All threads of a test are one to the standard library, and tests do not see each other's.
        std::thread_local! { static PASSED: Cell<Duration> = const { Cell::new(Duration::ZERO) } }
        let micros = match crate::sync::random(8) {
            0..4 => 0,
            4..7 => 1,
            _ => 20_000,
        };
        PASSED.set(PASSED.get() + Duration::from_micros(micros));
        Self::first().after(PASSED.get())
    }

    #[cfg(any(loom, shuttle))]
    fn first() -> Self {
        static FIRST: std::sync::LazyLock<Moment> =
            std::sync::LazyLock::new(|| Moment(quanta::Instant::now()));
        *FIRST
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
