//! The most that was seen in flight of late.
//!
//! A mark that halves each [`HALF_LIFE`]. A burst between two scrapes shows with the next one, at four fifths of its
//! height or more where scrapes are 15 seconds apart. Five minutes later it is down to a thirtieth, so that the mark of
//! a flood does not hide the next one. It depends on time alone, so any number may read it.

use std::time::Duration;

use crate::{
    clock::{Moment, nanos},
    sync::{AtomicU64, Mutex, Ordering},
};

pub(super) const HALF_LIFE: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(super) struct HighWater {
    /// The most that submitters have noted since the last look.
    noted: AtomicU64,
    /// The mark at the last look. Locked by those who look: a watch, and who takes a snapshot.
    mark: Mutex<(f64, Option<Moment>)>,
}

impl HighWater {
    /// So many are in flight.
    pub(super) fn note(&self, in_flight: usize) {
        // Relaxed: statistics only. Read first, so that a line that all share is seldom written.
        if in_flight as u64 > self.noted.load(Ordering::Relaxed) {
            self.noted.fetch_max(in_flight as u64, Ordering::Relaxed);
        }
    }

    /// So many are in flight by now; returns the mark.
    pub(super) fn look(&self, in_flight: usize, now: Moment) -> usize {
        let mut mark = self.mark.lock();
        let (height, at) = *mark;
        let halves = at.map_or(0, |at| now.nanos_since(at)) as f64 / nanos(HALF_LIFE) as f64;
        // Relaxed: statistics only.
        let noted = self.noted.swap(0, Ordering::Relaxed).max(in_flight as u64) as f64;
        let height = noted.max(height * (-halves).exp2());
        *mark = (height, Some(at.map_or(now, |at| at.max(now))));
        height.round() as usize
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;
