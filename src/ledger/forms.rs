//! Snapshots for serde. They are written and not read.
//!
//! Durations are whole numbers of nanoseconds, in fields whose names say so: a dashboard calculates with them.

use std::time::Duration;

use serde::{Serialize, Serializer, ser::SerializeStruct as _};
use strum::{EnumCount, IntoEnumIterator};

use super::{DestinationKind, FlowSnapshot, LatencySnapshot};
use crate::Outcome;

/// At most 584 years, which is the largest number.
fn whole_nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

pub(super) fn nanos<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(whole_nanos(*duration))
}

/// All of them by name, those that did not occur as well: the form does not depend on what happened.
pub(super) fn outcomes<S: Serializer>(
    counts: &[u64; Outcome::COUNT],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(Outcome::iter().zip(counts))
}

/// By the flow's name, in the order of the snapshot.
pub(super) fn flows<S: Serializer>(
    flows: &[(&'static str, FlowSnapshot)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(flows.iter().map(|(name, counts)| (name, counts)))
}

/// By the label under which they are counted.
pub(super) fn dropped_adverts<S: Serializer>(
    counts: &[u64; DestinationKind::COUNT],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(DestinationKind::iter().map(<&'static str>::from).zip(counts))
}

/// How many there were, and a summary in nanoseconds. Needs the feature `serde`.
impl Serialize for LatencySnapshot {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut form = serializer.serialize_struct("LatencySnapshot", 7)?;
        form.serialize_field("count", &self.count())?;
        form.serialize_field("mean_ns", &whole_nanos(self.mean()))?;
        form.serialize_field("p50_ns", &whole_nanos(self.quantile(0.5)))?;
        form.serialize_field("p90_ns", &whole_nanos(self.quantile(0.9)))?;
        form.serialize_field("p99_ns", &whole_nanos(self.quantile(0.99)))?;
        form.serialize_field("p999_ns", &whole_nanos(self.quantile(0.999)))?;
        form.serialize_field("max_ns", &whole_nanos(self.max()))?;
        form.end()
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;
