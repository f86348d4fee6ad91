//! One log line a second, however often there is a reason for one.

use std::time::{Duration, Instant};

use crate::sync::{AtomicU64, Ordering};

const WINDOW: Duration = Duration::from_secs(1);

/// Lets one line through in each window and counts those that it holds back.
#[derive(Debug)]
pub(crate) struct LogLimit {
    created: Instant,
    /// When the next line may pass, in milliseconds since `created`.
    next: AtomicU64,
    suppressed: AtomicU64,
}

impl LogLimit {
    pub(crate) fn new() -> Self {
        Self { created: Instant::now(), next: AtomicU64::new(0), suppressed: AtomicU64::new(0) }
    }

    /// `Some` if a line may be written now, with the number of lines held back before it.
    pub(crate) fn permit(&self) -> Option<u64> {
        self.permit_at(self.created.elapsed())
    }

    fn permit_at(&self, elapsed: Duration) -> Option<u64> {
        let now = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        let following = now.saturating_add(WINDOW.as_millis() as u64);
        // Relaxed: the two counts order nothing else; a line counted late shows in the next one.
        let next = self.next.load(Ordering::Relaxed);
        let won = now >= next
            && self
                .next
                .compare_exchange(next, following, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if won {
            return Some(self.suppressed.swap(0, Ordering::Relaxed));
        }
        self.suppressed.fetch_add(1, Ordering::Relaxed);
        None
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;
