//! The last minutes, second by second, in rings of a fixed length.
//!
//! The engine's histograms only grow. What a second has added is the difference of two readings, and the
//! percentiles of a minute are those of sixty differences added up. A flow keeps at most
//! [`HISTORY_SECONDS`] pairs of numbers and [`RECENT_SECONDS`] differences; a difference has as many entries
//! as there were distinct durations, to two significant digits.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use gossip_engine::LatencySnapshot;

use super::limits::{HISTORY_SECONDS, RATE_SECONDS, RECENT_SECONDS};

/// The last values of something, the latest last.
#[derive(Clone, Debug, Default)]
pub(super) struct Ring<T> {
    values: VecDeque<T>,
}

impl<T> Ring<T> {
    /// Adds one, and forgets what is beyond `length`.
    pub(super) fn push(&mut self, value: T, length: usize) {
        self.values.push_back(value);
        while self.values.len() > length {
            self.values.pop_front();
        }
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.values.iter()
    }
}

/// A counter: its total and what each of the last seconds added.
#[derive(Clone, Debug, Default)]
pub(super) struct Growth {
    total: Option<u64>,
    seconds: Ring<u64>,
}

impl Growth {
    /// Takes a reading. The first one adds nothing: when it was counted is not known.
    pub(super) fn read(&mut self, total: u64) {
        let added = self.total.map_or(0, |before| total.saturating_sub(before));
        self.total = Some(total);
        self.seconds.push(added, HISTORY_SECONDS);
    }

    pub(super) fn total(&self) -> u64 {
        self.total.unwrap_or_default()
    }

    /// What the last minute has added.
    pub(super) fn lately(&self) -> u64 {
        self.seconds.iter().rev().take(RECENT_SECONDS).sum()
    }

    /// What a second adds, over the last few.
    pub(super) fn rate(&self) -> u64 {
        let last: Vec<u64> = self.seconds.iter().rev().take(RATE_SECONDS).copied().collect();
        last.iter().sum::<u64>() / last.len().max(1) as u64
    }

    pub(super) fn history(&self) -> impl Iterator<Item = u64> {
        self.seconds.iter().copied()
    }
}

/// How often each duration, in nanoseconds and ascending.
type Counts = Vec<(u64, u64)>;

/// How long messages of a flow have waited, second by second.
#[derive(Clone, Debug, Default)]
pub(super) struct Waits {
    /// All that was ever recorded, at the last reading.
    all: Counts,
    recent: Ring<Counts>,
    p99: Ring<u32>,
}

impl Waits {
    /// Takes a reading.
    pub(super) fn read(&mut self, snapshot: &LatencySnapshot) {
        let recorded = snapshot.recorded();
        self.take(recorded.map(|(time, count)| (time.as_nanos() as u64, count)).collect());
    }

    fn take(&mut self, all: Counts) {
        let mut before = self.all.iter().copied().peekable();
        let mut added = Counts::new();
        for &(nanos, count) in &all {
            while before.next_if(|(earlier, _)| *earlier < nanos).is_some() {}
            let had = before.next_if(|(earlier, _)| *earlier == nanos).map_or(0, |(_, had)| had);
            if count > had {
                added.push((nanos, count - had));
            }
        }
        self.all = all;
        let micros = quantile(added.iter().copied(), 0.99).map_or(0, |p99| p99.as_micros());
        self.p99.push(u32::try_from(micros).unwrap_or(u32::MAX), HISTORY_SECONDS);
        self.recent.push(added, RECENT_SECONDS);
    }

    /// What these shares of the last minute's messages did not exceed; none if there were none.
    pub(super) fn quantiles<const N: usize>(&self, shares: [f64; N]) -> [Option<Duration>; N] {
        let mut sum = BTreeMap::new();
        for &(nanos, count) in self.recent.iter().flatten() {
            *sum.entry(nanos).or_default() += count;
        }
        shares.map(|share| quantile(sum.iter().map(|(nanos, count)| (*nanos, *count)), share))
    }

    /// Of each of the last seconds, in microseconds.
    pub(super) fn p99_history(&self) -> impl Iterator<Item = u32> {
        self.p99.iter().copied()
    }
}

/// Of durations in ascending order.
fn quantile(counts: impl Iterator<Item = (u64, u64)> + Clone, share: f64) -> Option<Duration> {
    let total: u64 = counts.clone().map(|(_, count)| count).sum();
    let rank = (total as f64 * share).ceil().max(1.0) as u64;
    let mut seen = 0;
    let mut found = counts.skip_while(move |(_, count)| {
        seen += count;
        seen < rank
    });
    found.next().map(|(nanos, _)| Duration::from_nanos(nanos))
}

#[cfg(test)]
mod tests;
