//! The clock by which waits and handlers are timed.
//!
//! A message costs two readings, one when it is brought and one when its handler has ended, so what a
//! reading costs shows in every message. `quanta` reads the processor's time-stamp counter where
//! that is invariant, at less than half the cost of the system's clock, and the system's clock where it
//! is not. Its first use measures the counter, for up to some hundred milliseconds.

use std::time::Duration;

/// Lets other threads of the system run.
pub(crate) fn yield_now() {
    #[cfg(all(any(test, fuzzing), not(any(loom, shuttle))))]
    if crate::simulation::clock::pass(Duration::from_micros(5)) {
        return;
    }
    crate::sync::yield_now();
}

/// Where the time of a simulation begins.
#[cfg(all(any(test, fuzzing), not(any(loom, shuttle))))]
static START: std::sync::LazyLock<quanta::Instant> = std::sync::LazyLock::new(quanta::Instant::now);

/// A moment of this process.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Moment(quanta::Instant);

impl Moment {
    #[cfg(not(any(loom, shuttle)))]
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

    /// Lets time pass on this thread.
    pub(crate) fn sleep(duration: Duration) {
        #[cfg(all(any(test, fuzzing), not(any(loom, shuttle))))]
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
