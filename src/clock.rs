//! The clock by which waits and handlers are timed.
//!
//! A message costs two readings, one when it is submitted and one when its handler has ended, so what a
//! reading costs shows in every message. `quanta` reads the processor's time-stamp counter where
//! that is invariant, at less than half the cost of the system's clock, and the system's clock where it
//! is not. Its first use measures the counter, for up to some hundred milliseconds.
//!
//! Moments and spans of a message are kept in nanoseconds as whole numbers: a `Duration` is seconds and a
//! rest, and each way there and back would cost as much as the reading itself.

#[cfg(not(any(loom, shuttle)))]
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// How long a worker waits between two looks, in spin hints: something below a microsecond. Each look takes the cache
/// lines that a submitter is about to write.
const PAUSE: usize = 32;

/// Waits between two looks.
pub(crate) fn pause() {
    if pass(Duration::from_nanos(500)) {
        return;
    }
    (0..PAUSE).for_each(|_| std::hint::spin_loop());
}

/// Lets other threads of the system run.
pub(crate) fn yield_now() {
    if !pass(Duration::from_micros(5)) {
        crate::sync::yield_now();
    }
}

/// Lets a simulation's time pass; false if time passes by itself.
pub(crate) fn pass(duration: Duration) -> bool {
    crate::testing::clock::pass(duration)
}

#[cfg(not(any(loom, shuttle)))]
static CLOCK: LazyLock<quanta::Clock> = LazyLock::new(quanta::Clock::new);

/// The nanoseconds of a duration; one of more than five centuries counts as that.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The system's moment, or a simulation's.
pub(crate) fn instant() -> Instant {
    crate::testing::clock::instant().unwrap_or_else(Instant::now)
}

/// The moment that is `duration` from now; one that no clock can name counts as a year.
pub(crate) fn instant_after(duration: Duration) -> Instant {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
    let now = instant();
    now.checked_add(duration).unwrap_or_else(|| now + YEAR)
}

/// A moment of this process, in nanoseconds since one that is the same for all of them; those of a simulation
/// have their own.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Moment(u64);

impl Moment {
    #[cfg(not(any(loom, shuttle)))]
    pub(crate) fn now() -> Self {
        if let Some(now) = crate::testing::clock::read() {
            return Self(nanos(now));
        }
        // The counters of two cores may differ by a little, so that a later reading is earlier: whoever
        // subtracts gets zero then.
        let clock = &*CLOCK;
        Self(clock.delta_as_nanos(0, clock.raw()))
    }

    /// Time stands still, so that a model runs the same way each time.
    #[cfg(loom)]
    pub(crate) fn now() -> Self {
        Self(0)
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
        Self(nanos(PASSED.get()))
    }

    /// The nanoseconds since the process's first moment.
    #[inline]
    pub(crate) fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time since `earlier`; zero if that is later.
    #[inline]
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.nanos_since(earlier))
    }

    /// The nanoseconds since `earlier`; zero if that is later.
    #[inline]
    pub(crate) fn nanos_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The moment that is so many nanoseconds later.
    #[inline]
    pub(crate) fn after_nanos(self, nanos: u64) -> Self {
        Self(self.0.saturating_add(nanos))
    }
}
