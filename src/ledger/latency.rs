//! Histograms of durations that many threads read while one writes.
//!
//! A [`Recorder`] has the buckets of an HdrHistogram of two significant digits from 1 ns to [`MAX_RECORDED`], as
//! atomics: recording never waits, allocates or is stopped by a reader, and longer durations count as the longest.
//! Every worker has a recorder of its own and is its only writer, so that a count is a load and a store, on a cache
//! line that nobody else writes. Reading adds the recorders up into an `hdrhistogram::Histogram`; what is recorded
//! meanwhile may be in it or not.

use std::{fmt, time::Duration};

use hdrhistogram::Histogram;

use crate::sync::{Ordering, Tally};

/// The longest duration that is told apart; longer ones count as this one.
const MAX_RECORDED: Duration = Duration::from_secs(60);

const MAX_NANOS: u64 = MAX_RECORDED.as_nanos() as u64;
const SIGNIFICANT_DIGITS: u8 = 2;
/// HdrHistogram's layout: the next power of two above `2 * 10^digits` linear steps, of which the
/// upper half is used again at each doubling.
const LINEAR: u64 = 256;
const HALF: u64 = LINEAR / 2;
pub(super) const BUCKETS: usize = bucket(MAX_NANOS) + 1;

// Always: each message comes here twice, and a call that is not a leaf has registers saved.
#[inline(always)]
const fn bucket(nanos: u64) -> usize {
    if nanos < LINEAR {
        return nanos as usize;
    }
    let doublings = (nanos / HALF).ilog2() as u64;
    (doublings * HALF + (nanos >> doublings)) as usize
}

/// The shortest duration of a bucket, in nanoseconds.
pub(super) const fn lowest_of(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < LINEAR {
        return bucket;
    }
    let doublings = bucket / HALF - 1;
    (bucket - doublings * HALF) << doublings
}

/// The bucket of a duration in nanoseconds.
#[inline]
pub(super) fn bucket_of(nanos: u64) -> usize {
    bucket(nanos.min(MAX_NANOS))
}

/// Counts durations of one writer.
pub(crate) struct Recorder {
    buckets: Box<[Tally]>,
}

impl Default for Recorder {
    fn default() -> Self {
        Self { buckets: (0..BUCKETS).map(|_| Tally::new(0)).collect() }
    }
}

impl Recorder {
    /// Counts a duration in nanoseconds, and returns its bucket. One thread calls this, or several one after the other.
    #[inline]
    pub(crate) fn record(&self, nanos: u64) -> usize {
        let index = bucket_of(nanos);
        let bucket = &self.buckets[index];
        // Relaxed: a count orders nothing; the count of those that have finished publishes it.
        bucket.store(bucket.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        index
    }

    fn add_to(&self, histogram: &mut Histogram<u64>) {
        for (index, count) in self.buckets.iter().enumerate() {
            // Relaxed: as in `record`.
            let count = count.load(Ordering::Relaxed);
            if count > 0 {
                histogram.saturating_record_n(lowest_of(index), count);
            }
        }
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").finish_non_exhaustive()
    }
}

/// How long something took, over all that was recorded so far.
///
/// Values are right to two significant digits. With nothing recorded all of them are zero.
#[derive(Clone, PartialEq)]
pub struct LatencySnapshot {
    histogram: Histogram<u64>,
}

impl Default for LatencySnapshot {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1, MAX_NANOS, SIGNIFICANT_DIGITS)
            .expect("the bounds are constants that HdrHistogram takes");
        Self { histogram }
    }
}

impl LatencySnapshot {
    pub(crate) fn of<'a>(recorders: impl Iterator<Item = &'a Recorder>) -> Self {
        let mut snapshot = Self::default();
        recorders.for_each(|recorder| recorder.add_to(&mut snapshot.histogram));
        snapshot
    }

    /// How many durations were recorded.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// The duration that this share of the recorded ones did not exceed: 0.5 is the median, 0.999
    /// the 99.9th percentile. Shares outside 0 to 1 count as the nearest of the two.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Duration {
        Duration::from_nanos(self.histogram.value_at_quantile(share))
    }

    /// The longest recorded duration, at most 60 s: a longer one is recorded as that.
    #[must_use]
    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.histogram.max().min(MAX_NANOS))
    }

    /// The arithmetic mean of the recorded durations.
    #[must_use]
    pub fn mean(&self) -> Duration {
        Duration::from_nanos(self.histogram.mean() as u64)
    }

    /// The distinct durations that were recorded, ascending, and how often each, to two significant digits. What a
    /// later snapshot of one registry has more than an earlier one was recorded between them.
    pub fn recorded(&self) -> impl Iterator<Item = (Duration, u64)> {
        self.histogram.iter_recorded().map(|step| {
            let nanos = step.value_iterated_to().min(MAX_NANOS);
            (Duration::from_nanos(nanos), step.count_since_last_iteration())
        })
    }

    /// How many durations were at most as long as each of these bounds, in nanoseconds and ascending, and
    /// longer than the one before; at last, how many were longer than all. To two significant digits.
    pub(crate) fn counts_up_to(&self, bounds: &[u64]) -> Vec<u64> {
        let mut counts = vec![0; bounds.len() + 1];
        for step in self.histogram.iter_recorded() {
            let nanos = self.histogram.lowest_equivalent(step.value_iterated_to());
            let bucket = bounds.partition_point(|&bound| bound < nanos);
            counts[bucket] += step.count_since_last_iteration();
        }
        counts
    }

    /// All durations together, in seconds. Added up as whole numbers, so that it never falls while more are
    /// recorded.
    pub(crate) fn sum_in_seconds(&self) -> f64 {
        let nanos = self.histogram.iter_recorded().map(|step| {
            let each = self.histogram.median_equivalent(step.value_iterated_to());
            u128::from(each) * u128::from(step.count_since_last_iteration())
        });
        nanos.sum::<u128>() as f64 / 1e9
    }

    /// Adds what another snapshot has recorded, for instance that of another replica.
    pub fn merge(&mut self, other: &Self) {
        self.histogram.add(&other.histogram).expect("all snapshots have the same bounds");
    }
}

impl fmt::Debug for LatencySnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LatencySnapshot")
            .field("count", &self.count())
            .field("p50", &self.quantile(0.5))
            .field("p99", &self.quantile(0.99))
            .field("max", &self.max())
            .finish()
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;
