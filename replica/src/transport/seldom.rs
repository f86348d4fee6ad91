//! Limits one kind of line in the log to one in an interval, which says how many there were since the last.

use std::time::Duration;

use tokio::time::Instant;

/// The limit on one kind of line in the log.
#[derive(Debug)]
pub(super) struct Seldom {
    interval: Duration,
    last: Option<Instant>,
    unsaid: u64,
}

impl Seldom {
    pub(super) fn new(interval: Duration) -> Self {
        Self { interval, last: None, unsaid: 0 }
    }

    /// Whether to say it now. If so, how many there were since it was said last, with this one.
    pub(super) fn due(&mut self, now: Instant) -> Option<u64> {
        self.unsaid += 1;
        if self.last.is_some_and(|last| now < last + self.interval) {
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_said_at_once_and_a_crowd_once_a_while() {
        let mut seldom = Seldom::new(Duration::from_secs(60));
        let began = Instant::now();
        assert_eq!(seldom.due(began), Some(1));
        for _ in 0..9 {
            assert_eq!(seldom.due(began + Duration::from_secs(59)), None);
        }
        assert_eq!(seldom.due(began + Duration::from_secs(60)), Some(10));
    }
}
