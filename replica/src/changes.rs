//! A count of what has changed, and a way to wait until it has.
//!
//! For threads that do something whenever there is news, such as an export: what happens while they work is one
//! change, however much it is. To wait costs nothing meanwhile.

use std::{
    sync::{Condvar, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// See the [module](self).
#[derive(Debug, Default)]
pub struct Changes {
    count: Mutex<u64>,
    changed: Condvar,
}

impl Changes {
    /// Something has changed.
    pub fn note(&self) {
        // A number is whole after a panic.
        *self.count.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.changed.notify_all();
    }

    /// Waits until there are more than `seen` changes, or for so long. Returns how many there are.
    #[must_use]
    pub fn wait(&self, seen: u64, limit: Duration) -> u64 {
        let count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(count, limit, |count| *count <= seen);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Waits for so long, whatever changes, unless `is_stopped`: that is asked after each change. Returns whether to go
    /// on.
    #[must_use]
    pub fn pause(&self, time: Duration, is_stopped: &dyn Fn() -> bool) -> bool {
        let end = Instant::now() + time;
        loop {
            // Before the question, so that a stop that is noted after it ends the wait.
            let seen = self.wait(0, Duration::ZERO);
            if is_stopped() {
                return false;
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            let _ = self.wait(seen, left);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering},
        },
        thread,
        time::Duration,
    };

    use super::Changes;

    #[test]
    fn a_pause_ends_with_a_stop_and_with_nothing_else_before_its_time() {
        let changes = Arc::new(Changes::default());
        assert!(changes.pause(Duration::ZERO, &|| false));
        let stop = Arc::new(AtomicBool::new(false));
        let (waiting, stopped) = (changes.clone(), stop.clone());
        let thread = thread::spawn(move || {
            waiting.pause(Duration::from_secs(3600), &|| stopped.load(Ordering::Acquire))
        });
        changes.note();
        stop.store(true, Ordering::Release);
        changes.note();
        assert!(!thread.join().expect("no panic"));
    }

    #[test]
    fn a_change_ends_the_wait_even_if_it_came_before() {
        let changes = Arc::new(Changes::default());
        assert_eq!(changes.wait(0, Duration::ZERO), 0);
        changes.note();
        assert_eq!(changes.wait(0, Duration::MAX), 1);
        let waiting = changes.clone();
        let thread = thread::spawn(move || waiting.wait(1, Duration::from_secs(60)));
        changes.note();
        assert_eq!(thread.join().expect("no panic"), 2);
    }
}
