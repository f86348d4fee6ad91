//! Which bounds would have been enough: worked out from what was dropped, where it is dropped.
//!
//! Without its bounds a flow would hold, beside what is in flight, what it has dropped: the *excess*. As long as
//! anything is in flight the threads are busy with that, so none of the excess would be done. It shrinks only while the
//! flow is empty. So without bounds there would be in flight
//!
//! ```text
//! what is in flight + the excess            of the flow, and likewise of the peer whose message is dropped
//! ```
//!
//! A bound lacks the largest excess that was seen. A bound that stays half free, excess included, lacks nothing.
//!
//! ```text
//!            a message is dropped                     the flow has been empty for long enough
//!  CALM ──────────────────────────▶ OVERLOAD (excess) ───────────────────────────────────────▶ CALM
//! ```
//!
//! The watch looks whether the flow is empty, and takes the answer for the time since its last look. An overload ends
//! when the flow has been empty for [twice](SAFETY) as long as one thread would take to run the excess. Before that the
//! excess does not shrink at all, so the advice is too large rather than too small.
//!
//! Two assumptions: a message that was dropped would take about as long as those that ran, and each is counted as new.
//! So a refused message that is submitted again counts twice.
//!
//! A message that is admitted without a drop does no work here.
//!
//! Bounds: some numbers for each flow, and three for each lane.

use std::fmt;

use crate::{
    FlowConfig, WATCH_PERIOD,
    clock::nanos,
    sync::{AtomicU64, Mutex, Ordering},
};

/// An overload ends when the flow has been empty for so many times the time that one thread takes to run the excess.
/// What was dropped may cost more than what ran, and the watch looks only now and then.
const SAFETY: u64 = 2;

/// What a message takes beside its handler, in nanoseconds, rather too much.
const OVERHEAD: u64 = 1_000;

/// One part in so many is added to an excess: handlers differ, and peers take turns.
const HEADROOM: u64 = 3;

/// Bounds that would have avoided what a flow has dropped for want of capacity, or refused by
/// [`Refuse`](crate::OverloadPolicy::Refuse). It counts from when the flow was built or last reconfigured.
///
/// [`FlowSnapshot::advice`](crate::FlowSnapshot::advice) gives it. What a caller is refused by
/// [`try_execute`](crate::FlowWorker::try_execute) does not count. Set all that it names. The same load then finds
/// capacity, if handlers take about as long. As text it says the bounds and how many drops they would have avoided.
///
/// It is for bursts. Where more comes all the time than can be run, what is advised grows for as long as that lasts,
/// and no bound helps in the end: add threads, make handlers cheaper, or set a
/// [maximum age](crate::FlowConfig::with_max_age). What expires is not part of it.
///
/// It is an estimate, with a third added because handlers differ. In simulated runs of five peers it was 1.2 to 2.5
/// times what would have been enough. It is more where the flow is hardly ever empty between two bursts. A larger bound
/// takes more memory: see [`FlowConfig::worst_case_bytes`](crate::FlowConfig::worst_case_bytes).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Advice {
    /// How many messages were dropped or refused.
    pub drops: u64,
    /// [`FlowConfig::with_max_inflight_requests`](crate::FlowConfig::with_max_inflight_requests); `None` if the present
    /// one is enough, as for the others.
    pub max_inflight_requests: Option<usize>,
    /// [`FlowConfig::with_peer_quota`](crate::FlowConfig::with_peer_quota).
    pub peer_quota: Option<usize>,
    /// [`FlowConfig::with_max_bytes`](crate::FlowConfig::with_max_bytes).
    pub max_bytes: Option<u64>,
    /// [`FlowConfig::with_peer_max_bytes`](crate::FlowConfig::with_peer_max_bytes).
    pub peer_max_bytes: Option<u64>,
}

impl Advice {
    /// Adds another flow's: what is enough for both.
    pub(super) fn merge(&mut self, other: &Self) {
        self.drops += other.drops;
        self.max_inflight_requests = self.max_inflight_requests.max(other.max_inflight_requests);
        self.peer_quota = self.peer_quota.max(other.peer_quota);
        self.max_bytes = self.max_bytes.max(other.max_bytes);
        self.peer_max_bytes = self.peer_max_bytes.max(other.peer_max_bytes);
    }
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bounds = [
            ("a bound of", self.max_inflight_requests.map(|items| items as u64), ""),
            ("a peer's quota of", self.peer_quota.map(|items| items as u64), ""),
            ("a bound of", self.max_bytes, " bytes"),
            ("a peer's bound of", self.peer_max_bytes, " bytes"),
        ];
        let named = bounds
            .into_iter()
            .filter_map(|(what, figure, unit)| Some(format!("{what} {}{unit}", figure?)));
        let named: Vec<String> = named.collect();
        match named.split_last() {
            Some((last, [])) => f.write_str(last)?,
            Some((last, others)) => write!(f, "{} and {last}", others.join(", "))?,
            None => f.write_str("no bound")?,
        }
        let drops = if self.drops == 1 { "drop" } else { "drops" };
        write!(f, " would have avoided {} {drops}", self.drops)
    }
}

/// Messages and bytes: in flight, in excess, or as a bound, where `u64::MAX` is none.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Amount {
    pub(crate) items: u64,
    pub(crate) bytes: u64,
}

/// The bound of a flow, or of a lane of it, and how much of it is in use when a message is dropped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    pub(crate) bound: Amount,
    pub(crate) in_flight: Amount,
}

/// What the bounds of a flow lack. See the [module](self). Relaxed throughout: statistics only.
#[derive(Debug, Default)]
pub(crate) struct Excess {
    /// Numbers the overloads. The excess of a lane belongs to one of them.
    overload: AtomicU64,
    /// Of this overload.
    items: AtomicU64,
    bytes: AtomicU64,
    drops: AtomicU64,
    /// What the bounds have lacked at most: messages and bytes of the flow, then of a lane.
    lacked: [AtomicU64; 4],
    rest: Mutex<Rest>,
}

/// For how long the flow was empty in an overload, in nanoseconds.
#[derive(Debug, Default)]
struct Rest {
    overload: u64,
    looked: u64,
    empty: u64,
}

/// What is lacked of one bound; 0 if it is far.
fn lack(bound: u64, in_flight: u64, excess: u64) -> u64 {
    let is_near = bound != u64::MAX && in_flight.saturating_add(excess) > bound / 2;
    if is_near { excess + in_flight.saturating_sub(bound) } else { 0 }
}

impl Excess {
    /// The number of the present overload.
    pub(crate) fn overload(&self) -> u64 {
        self.overload.load(Ordering::Relaxed)
    }

    /// A message of so many bytes is dropped; `of_lane` is the excess of its lane, this one included.
    pub(crate) fn record(&self, bytes: u64, flow: Usage, lane: Usage, of_lane: Amount) {
        self.drops.fetch_add(1, Ordering::Relaxed);
        let excess = Amount {
            items: self.items.fetch_add(1, Ordering::Relaxed) + 1,
            bytes: self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes,
        };
        let lacks = [(flow, excess), (lane, of_lane)].map(|(usage, excess)| {
            let Usage { bound, in_flight } = usage;
            [
                lack(bound.items, in_flight.items, excess.items),
                lack(bound.bytes, in_flight.bytes, excess.bytes),
            ]
        });
        for (lacked, lack) in self.lacked.iter().zip(lacks.into_iter().flatten()) {
            // Read first, so that a line that all share is seldom written.
            if lack > lacked.load(Ordering::Relaxed) {
                lacked.fetch_max(lack, Ordering::Relaxed);
            }
        }
    }

    /// The bounds have changed: what was too little before says nothing.
    pub(crate) fn reset(&self) {
        self.end_overload();
        self.drops.store(0, Ordering::Relaxed);
        self.lacked.iter().for_each(|lacked| lacked.store(0, Ordering::Relaxed));
    }

    fn end_overload(&self) {
        self.overload.fetch_add(1, Ordering::Relaxed);
        self.items.store(0, Ordering::Relaxed);
        self.bytes.store(0, Ordering::Relaxed);
    }

    /// The watch looks, at so many nanoseconds; `service` is what a handler takes on average. One thread at a time
    /// calls this.
    pub(super) fn look(
        &self,
        now: u64,
        is_empty: impl FnOnce() -> bool,
        service: impl FnOnce() -> u64,
    ) {
        let items = self.items.load(Ordering::Relaxed);
        if items == 0 {
            return;
        }
        let mut rest = self.rest.lock();
        let overload = self.overload();
        if rest.overload != overload || rest.looked == 0 {
            *rest = Rest { overload, looked: now, empty: 0 };
            return;
        }
        // A look that comes late says nothing of the time before.
        let since = now.saturating_sub(rest.looked).min(nanos(WATCH_PERIOD));
        rest.looked = now;
        if !is_empty() {
            return;
        }
        rest.empty += since;
        let each = service().saturating_add(OVERHEAD);
        if rest.empty >= items.saturating_mul(each).saturating_mul(SAFETY) {
            self.end_overload();
        }
    }

    /// What is advised in the place of these bounds, of the flow and of a peer; `None` if nothing was dropped, or no
    /// bound that can be set would have been enough.
    pub(super) fn advice(&self, flow: Amount, lane: Amount) -> Option<Advice> {
        let drops = self.drops.load(Ordering::Relaxed);
        if drops == 0 {
            return None;
        }
        let bounds = [flow.items, flow.bytes, lane.items, lane.bytes];
        let mut is_possible = true;
        let mut advised = bounds.into_iter().zip(&self.lacked).map(|(bound, lacked)| {
            let lacked = lacked.load(Ordering::Relaxed);
            let enough = bound.saturating_add(lacked).saturating_add(lacked.div_ceil(HEADROOM));
            (lacked > 0).then_some(enough)
        });
        let mut next = |most: u64| {
            let enough = advised.next().flatten();
            is_possible &= enough.is_none_or(|enough| enough <= most);
            enough
        };
        let most = FlowConfig::MAX_INFLIGHT_REQUESTS as u64;
        let [items, bytes, lane_items, lane_bytes] =
            [most, FlowConfig::MAX_BYTES, most, FlowConfig::MAX_BYTES].map(&mut next);
        let is_any = [items, bytes, lane_items, lane_bytes].iter().any(Option::is_some);
        (is_possible && is_any).then_some(Advice {
            drops,
            max_inflight_requests: items.map(|items| items as usize),
            peer_quota: lane_items.map(|items| items as usize),
            max_bytes: bytes,
            peer_max_bytes: lane_bytes,
        })
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;
