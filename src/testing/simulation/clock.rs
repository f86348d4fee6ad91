//! The clock of a simulation: it stands where it is put, but for a little that each reading takes.

use std::{cell::Cell, time::Duration};

/// What a reading takes, so that a waiter for a time gets there.
const READING: Duration = Duration::from_nanos(500);

thread_local! {
    /// The time of the simulation on this thread, if there is one.
    static NOW: Cell<Option<Duration>> = const { Cell::new(None) };
}

/// Begins a simulation's time, or ends it.
pub(super) fn set(now: Option<Duration>) {
    NOW.set(now);
}

/// The time, which goes on a little; `None` outside of simulations.
pub(crate) fn read() -> Option<Duration> {
    let now = NOW.get()?;
    NOW.set(Some(now + READING));
    Some(now)
}

/// Lets time pass; false outside of simulations.
pub(crate) fn pass(duration: Duration) -> bool {
    let Some(now) = NOW.get() else { return false };
    NOW.set(Some(now + duration));
    true
}
