//! Peers on whose messages callbacks have panicked, and those in quarantine.
//!
//! Panics are rare, and the table is copied with each. A message of a handler in which nothing ever panicked costs one
//! look at a mark.
//!
//! Bounds: [`MAX_PANIC_TABLE`]. May lose: beyond it, the peer whose last panic is the longest ago, those that are not
//! in quarantine first.

use std::{collections::HashMap, time::Duration};

use arc_swap::ArcSwap;

use crate::{
    NodeId,
    clock::Moment,
    config::{MAX_PANIC_TABLE, Quarantine},
    ledger::Quarantines,
    sync::{AtomicBool, Ordering},
};

#[derive(Clone, Copy, Debug)]
struct Offender {
    panics: u32,
    /// When the first of them was, and the last.
    first: Duration,
    last: Duration,
    /// When its quarantine ends, if it is in one.
    until: Option<Duration>,
}

/// The table of one handler. Times are counted from when it was made.
#[derive(Debug)]
pub(super) struct PanicTable {
    policy: ArcSwap<Option<Quarantine>>,
    epoch: Moment,
    /// There has been one.
    any: AtomicBool,
    table: ArcSwap<HashMap<NodeId, Offender>>,
}

impl PanicTable {
    pub(super) fn new(policy: Option<Quarantine>) -> Self {
        Self {
            policy: ArcSwap::from_pointee(policy),
            epoch: Moment::now(),
            any: AtomicBool::new(false),
            table: ArcSwap::default(),
        }
    }

    /// Who is in quarantine stays there.
    pub(super) fn set_policy(&self, policy: Option<Quarantine>) {
        self.policy.store(std::sync::Arc::new(policy));
    }

    fn now(&self) -> Duration {
        Moment::now().since(self.epoch)
    }

    /// Whether messages of this peer are refused.
    #[inline]
    pub(super) fn holds(&self, peer: NodeId) -> bool {
        self.holds_at(peer, || self.now())
    }

    /// A callback has panicked on a message of this peer; true if that puts it into quarantine.
    pub(super) fn record(&self, peer: NodeId) -> bool {
        let policy = **self.policy.load();
        policy.is_some_and(|policy| self.record_at(peer, policy, self.now()))
    }

    fn held_at(&self, now: Duration) -> usize {
        let table = self.table.load();
        table.values().filter(|of| of.until.is_some_and(|until| now < until)).count()
    }

    /// Forgets what this peer has caused; true if it was in quarantine.
    pub(super) fn lift(&self, peer: NodeId) -> bool {
        self.lift_at(peer, self.now())
    }

    /// Whether messages of this peer are refused; `now` is asked for only if it matters.
    #[inline]
    fn holds_at(&self, peer: NodeId, now: impl FnOnce() -> Duration) -> bool {
        // Relaxed: a message that is submitted while a handler panics may come before or after.
        if !self.any.load(Ordering::Relaxed) {
            return false;
        }
        let until = self.table.load().get(&peer).and_then(|offender| offender.until);
        until.is_some_and(|until| now() < until)
    }

    /// A handler has panicked on a message of this peer; true if that puts it into quarantine.
    fn record_at(&self, peer: NodeId, policy: Quarantine, now: Duration) -> bool {
        let mut quarantined = false;
        self.change(|table| {
            forget_one(table, peer, policy, now);
            let fresh = Offender { panics: 0, first: now, last: now, until: None };
            let offender = table.entry(peer).or_insert(fresh);
            let is_over = offender.until.is_some_and(|until| until <= now);
            if is_over || now.saturating_sub(offender.first) > policy.window {
                *offender = Offender { until: offender.until.filter(|_| !is_over), ..fresh };
            }
            offender.panics += 1;
            offender.last = now;
            quarantined = offender.panics >= policy.panics && offender.until.is_none();
            if quarantined {
                offender.until = Some(now.saturating_add(policy.term));
            }
        });
        quarantined
    }

    /// Forgets what this peer has caused; true if it was in quarantine.
    fn lift_at(&self, peer: NodeId, now: Duration) -> bool {
        let mut lifted = false;
        self.change(|table| {
            let until = table.remove(&peer).and_then(|offender| offender.until);
            lifted = until.is_some_and(|until| now < until);
        });
        lifted
    }

    fn change(&self, mut change: impl FnMut(&mut HashMap<NodeId, Offender>)) {
        self.table.rcu(|table| {
            let mut next = HashMap::clone(table);
            change(&mut next);
            next
        });
        // Relaxed: as in `holds`.
        self.any.store(true, Ordering::Relaxed);
    }
}

impl Quarantines for PanicTable {
    fn peers_in_quarantine(&self) -> usize {
        self.held_at(self.now())
    }
}

/// Forgets one if there are as many as may be.
fn forget_one(
    table: &mut HashMap<NodeId, Offender>,
    peer: NodeId,
    policy: Quarantine,
    now: Duration,
) {
    if table.len() < MAX_PANIC_TABLE || table.contains_key(&peer) {
        return;
    }
    table.retain(|_, offender| match offender.until {
        Some(until) => now < until,
        None => now.saturating_sub(offender.first) <= policy.window,
    });
    if table.len() >= MAX_PANIC_TABLE {
        let first =
            table.iter().min_by_key(|(_, offender)| (offender.until.is_some(), offender.last));
        let first = first.map(|(peer, _)| *peer);
        first.map(|peer| table.remove(&peer));
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;
