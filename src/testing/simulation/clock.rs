//! The clock of a simulation: it stands where it is put, but for a little that each reading takes.

use std::{
    cell::Cell,
    sync::LazyLock,
    time::{Duration, Instant},
};

/// What a reading takes, so that a waiter for a time gets there.
const READING: Duration = Duration::from_nanos(500);

/// Stands for the beginning of each simulation, where a moment of the system is asked for.
static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

thread_local! {
    /// The time of the simulation on this thread, if there is one.
    static NOW: Cell<Option<Duration>> = const { Cell::new(None) };
}

/// Begins a simulation's time, or ends it.
pub(super) fn set(now: Option<Duration>) {
    NOW.set(now);
}

/// The time, which stands; zero outside of simulations.
pub(super) fn now() -> Duration {
    NOW.get().unwrap_or_default()
}

/// Goes on to this time, unless it has passed.
pub(super) fn go_to(time: Duration) {
    NOW.set(NOW.get().map(|now| now.max(time)));
}

/// The time, which goes on a little; `None` outside of simulations.
#[inline]
pub(crate) fn read() -> Option<Duration> {
    let now = NOW.get()?;
    NOW.set(Some(now + READING));
    Some(now)
}

/// The same as a moment of the system.
pub(crate) fn instant() -> Option<Instant> {
    read().map(|now| *BEGAN + now)
}

/// Lets time pass; false outside of simulations.
#[inline]
pub(crate) fn pass(duration: Duration) -> bool {
    let Some(now) = NOW.get() else { return false };
    NOW.set(Some(now + duration));
    true
}
