//! The ledger as a line that can be read while it runs.

use std::time::Duration;

use gossip_engine::{FlowSnapshot, FlowType, MetricsSnapshot, Outcome};
use strum::IntoEnumIterator;

use crate::harness::memory;

pub(crate) fn all(snapshot: &MetricsSnapshot) -> FlowSnapshot {
    let mut sum = FlowSnapshot::default();
    FlowType::iter().for_each(|flow| sum.merge(snapshot.flow(flow)));
    sum
}

/// What has come to an end, admitted or not: what must grow as long as there is something to do.
pub(crate) fn ended(snapshot: &MetricsSnapshot) -> u64 {
    Outcome::iter().map(|end| all(snapshot).count(end)).sum::<u64>() + snapshot.broadcast.finished()
}

/// What is still to be done.
pub(crate) fn left(snapshot: &MetricsSnapshot) -> usize {
    let sum = all(snapshot);
    sum.in_flight + sum.waiting + snapshot.broadcast.in_flight
}

pub(crate) fn line(at: Duration, snapshot: &MetricsSnapshot) -> String {
    let sum = all(snapshot);
    let mut line = format!(
        "{:>4} s: submitted {}, malformed {}, admitted {}:",
        at.as_secs(),
        sum.submitted(),
        snapshot.malformed,
        sum.admitted,
    );
    for end in Outcome::iter().filter(|end| sum.count(*end) > 0) {
        line += &format!(" {end} {}", sum.count(end));
    }
    line += &format!("; in flight {}, waiting {}; overload", sum.in_flight, sum.waiting);
    for flow in FlowType::iter() {
        line += &format!(" {flow} {}", snapshot.flow(flow).overload);
    }
    let broadcast = &snapshot.broadcast;
    line += &format!("; own adverts {}, in flight {}", broadcast.finished(), broadcast.in_flight);
    if let Some(bytes) = memory::resident() {
        line += &format!("; {} MiB", bytes >> 20);
    }
    line
}
