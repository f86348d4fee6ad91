//! Serving no faster than so many bytes a second, so that a spread takes long enough to be seen.
//!
//! A thread waits until those before it have had their time. Lifted, nobody waits any more.
//!
//! Bounded: a thread waits for the chunks of those that wait already, and these are as many as the flow has threads.

use std::{
    num::NonZeroU64,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Throttle {
    bytes_per_second: NonZeroU64,
    state: Mutex<State>,
    lifted: Condvar,
}

#[derive(Debug)]
struct State {
    /// When the next may go.
    next: Instant,
    is_lifted: bool,
}

impl Throttle {
    pub(super) fn new(bytes_per_second: NonZeroU64) -> Self {
        let state = Mutex::new(State { next: Instant::now(), is_lifted: false });
        Self { bytes_per_second, state, lifted: Condvar::new() }
    }

    /// Waits until so many bytes may go.
    pub(super) fn wait(&self, bytes: usize) {
        let mut state = self.state();
        let takes = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second.get() as f64);
        let turn = state.next.max(Instant::now());
        state.next = turn + takes;
        while !state.is_lifted {
            let left = turn.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let woken = self.lifted.wait_timeout(state, left);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// From now on nobody waits.
    pub(super) fn lift(&self) {
        self.state().is_lifted = true;
        self.lifted.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Two values that are right by themselves.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
