//! Snapshots as text: in a line for each flow, or in full.

use std::{
    collections::BTreeMap,
    fmt::{self, Formatter},
};

use super::{FlowSnapshot, MetricsSnapshot};

/// In one line: what is there at the moment, every end that messages have come to, and how long they waited and ran.
impl fmt::Display for FlowSnapshot {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} admitted, {} in flight", self.admitted, self.in_flight)?;
        if self.waiting > 0 {
            write!(f, ", {} waiting", self.waiting)?;
        }
        for (end, count) in self.outcomes().filter(|&(_, count)| count > 0) {
            write!(f, ", {count} {end}")?;
        }
        for (what, count) in [("stuck", self.stuck), ("stray panics", self.stray_panics)] {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        if let Some(advice) = self.advice {
            write!(f, "; {advice}")?;
        }
        for (what, times) in [("wait", &self.wait), ("service", &self.service)] {
            if times.count() > 0 {
                let [median, high] = [0.5, 0.99].map(|share| times.quantile(share));
                write!(f, "; {what} p50 {median:?}, p99 {high:?}")?;
            }
        }
        Ok(())
    }
}

/// What is counted for all flows, and then a line for each flow that has counted something.
impl fmt::Display for MetricsSnapshot {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { received, malformed, unknown, quarantined, notices, .. } = self;
        let Self { timer_ticks, timer_panics, .. } = self;
        write!(f, "{received} received, {malformed} malformed, {unknown} unknown, ")?;
        if *quarantined > 0 {
            write!(f, "{quarantined} quarantined, ")?;
        }
        write!(f, "{notices} notices, {timer_ticks} ticks")?;
        if *timer_panics > 0 {
            write!(f, ", {timer_panics} of which panicked")?;
        }
        let dropped: u64 = self.dropped_adverts.iter().sum();
        if dropped > 0 {
            write!(f, ", {dropped} own adverts dropped")?;
        }
        let broadcast = ("Broadcast", &self.broadcast);
        let flows = self.flows();
        for (name, counts) in flows.chain([broadcast]).filter(|(_, counts)| counts.submitted() > 0)
        {
            write!(f, "\n{name}: {counts}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for FlowSnapshot {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlowSnapshot")
            .field("in_flight", &self.in_flight)
            .field("queued", &self.queued)
            .field("held", &self.held)
            .field("permits", &self.permits)
            .field("bytes_in_flight", &self.bytes_in_flight)
            .field("waiting", &self.waiting)
            .field("oldest_age", &self.oldest_age)
            .field("high_water", &self.high_water)
            .field("max_in_flight", &self.max_in_flight)
            .field("max_bytes", &self.max_bytes)
            .field("peers", &self.peers)
            .field("max_peers", &self.max_peers)
            .field("peer_quota", &self.peer_quota)
            .field("max_waiters", &self.max_waiters)
            .field("threads", &self.threads)
            .field("live_workers", &self.live_workers)
            .field("overload", &self.overload)
            .field("admitted", &self.admitted)
            .field("waiting_for_peer_permit", &self.waiting_for_peer_permit)
            .field("ends", &self.outcomes().collect::<BTreeMap<_, _>>())
            .field("stray_panics", &self.stray_panics)
            .field("stuck", &self.stuck)
            .field("advice", &self.advice)
            .field("wait", &self.wait)
            .field("service", &self.service)
            .finish()
    }
}

impl fmt::Debug for MetricsSnapshot {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetricsSnapshot")
            .field("received", &self.received)
            .field("malformed", &self.malformed)
            .field("unknown", &self.unknown)
            .field("quarantined", &self.quarantined)
            .field("quarantined_peers", &self.quarantined_peers)
            .field("notices", &self.notices)
            .field("timer_ticks", &self.timer_ticks)
            .field("timer_panics", &self.timer_panics)
            .field("flows", &self.flows().collect::<BTreeMap<_, _>>())
            .field("broadcast", &self.broadcast)
            .field("dropped_adverts", &self.dropped_adverts)
            .finish()
    }
}
