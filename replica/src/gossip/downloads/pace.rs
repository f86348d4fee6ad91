//! How long a peer takes for a chunk, and from when on it is late.
//!
//! The silence before each answer is measured: from the request, or from the last answer to an earlier request,
//! whichever came later. So silence makes an answer late; a slow link and a long queue do not. It is smoothed with its
//! deviation as in RFC 6298, and as there a time-out doubles with each that follows another.
//!
//! ```text
//! asked ──late_after: a second peer is asked──> late ──timeout: asked no longer──> timed out
//! ```
//!
//! Bounded: [`LATE_FLOOR`] to [`LATE_CEILING`], and a third to four times
//! [`chunk_timeout`](crate::gossip::GossipOptions::chunk_timeout).

use std::time::Duration;

/// The least silence after which a chunk is late: the ticks of the clock lie 100 ms apart, and a busy machine pauses
/// for about as long.
pub(super) const LATE_FLOOR: Duration = Duration::from_millis(200);
/// The longest silence before a second peer is asked.
pub(super) const LATE_CEILING: Duration = Duration::from_secs(10);
/// When a chunk is late of a peer that has never answered.
const LATE_UNMEASURED: Duration = Duration::from_millis(500);
/// How many times as long as usual a peer may be silent before it has timed out.
const TIMEOUT_FACTOR: u32 = 4;
/// How long the answers may take together that a peer is asked for at once.
const QUEUE_TIME: Duration = Duration::from_secs(4);
/// How many a peer is asked for at once however slow it is: one on its way, and one behind it.
const MIN_DEPTH: usize = 2;
/// How often a time-out doubles at most.
const MAX_BACKOFF: u32 = 2;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Pace {
    smoothed: Option<Duration>,
    deviation: Duration,
    backoff: u32,
}

impl Pace {
    /// An answer has come after so much silence.
    pub(super) fn answered(&mut self, silence: Duration) {
        self.backoff = 0;
        match self.smoothed {
            None => {
                self.smoothed = Some(silence);
                self.deviation = silence / 2;
            }
            Some(smoothed) => {
                self.deviation = (self.deviation * 3 + smoothed.abs_diff(silence)) / 4;
                self.smoothed = Some((smoothed * 7 + silence) / 8);
            }
        }
    }

    /// It has timed out.
    pub(super) fn timed_out(&mut self) {
        self.backoff = (self.backoff + 1).min(MAX_BACKOFF);
    }

    /// After how much silence what it was asked for is asked of a second peer.
    pub(super) fn late_after(&self) -> Duration {
        self.usual().map_or(LATE_UNMEASURED, |usual| usual.clamp(LATE_FLOOR, LATE_CEILING))
    }

    /// After how much silence it is waited for no longer. `first` is the time-out of one that has never
    /// answered.
    pub(super) fn timeout(&self, first: Duration) -> Duration {
        let measured = self.usual().map_or(first, |usual| usual.saturating_mul(TIMEOUT_FACTOR));
        measured.max(first / 3).saturating_mul(1 << self.backoff).min(first * 4)
    }

    /// How many chunks a peer may be asked for at once, so that an answer waits for others' no longer than
    /// [`QUEUE_TIME`]: what is queued at a slow peer can be asked of no other.
    pub(super) fn depth(&self) -> usize {
        let smoothed = self.smoothed.unwrap_or_default().max(Duration::from_millis(1));
        let depth = QUEUE_TIME.as_millis() / smoothed.as_millis().max(1);
        usize::try_from(depth).unwrap_or(usize::MAX).max(MIN_DEPTH)
    }

    fn usual(&self) -> Option<Duration> {
        self.smoothed.map(|smoothed| smoothed.saturating_add(self.deviation.saturating_mul(4)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn what_is_late_follows_what_was_measured() {
        let first = Duration::from_secs(15);
        let mut pace = Pace::default();
        assert_eq!((pace.late_after(), pace.timeout(first)), (millis(500), first));
        pace.answered(millis(1));
        assert_eq!((pace.late_after(), pace.timeout(first)), (LATE_FLOOR, first / 3));
        for _ in 0..50 {
            pace.answered(millis(3_200));
        }
        // Steady, so the deviation is gone.
        assert!((millis(3_200)..millis(3_300)).contains(&pace.late_after()));
        assert!((millis(12_700)..millis(13_200)).contains(&pace.timeout(first)));
        pace.answered(Duration::from_secs(3_600));
        assert_eq!((pace.late_after(), pace.timeout(first)), (LATE_CEILING, first * 4));
    }

    #[test]
    fn a_time_out_after_another_comes_later() {
        let first = Duration::from_secs(15);
        let mut pace = Pace::default();
        for expected in [15, 30, 60, 60] {
            assert_eq!(pace.timeout(first), Duration::from_secs(expected));
            pace.timed_out();
        }
        pace.answered(millis(1));
        assert_eq!(pace.timeout(first), first / 3);
    }
}
