//! Peers on whose messages handlers have panicked, and those in quarantine.
//!
//! Panics are rare, and a table of those who caused them is copied with each. A message of a flow in which
//! nobody ever was costs one look at a mark.
//!
//! Bounds: [`MAX_SUSPECTS`]. May lose: beyond it, the suspect whose last panic is the longest ago, those
//! that are not in quarantine first.

use std::{collections::HashMap, time::Duration};

use arc_swap::ArcSwap;

use crate::{
    NodeId,
    config::{MAX_SUSPECTS, Quarantine},
    sync::{AtomicBool, Ordering},
};

#[derive(Clone, Copy, Debug)]
struct Suspect {
    panics: u32,
    /// When the first of them was, and the last.
    first: Duration,
    last: Duration,
    /// When its quarantine ends, if it is in one.
    until: Option<Duration>,
}

/// The suspects of one flow. Times are counted from when the flow was made.
#[derive(Debug, Default)]
pub(super) struct Suspects {
    /// There has been one.
    any: AtomicBool,
    table: ArcSwap<HashMap<NodeId, Suspect>>,
}

impl Suspects {
    /// Whether messages of this peer are refused; `now` is asked for only if it matters.
    #[inline]
    pub(super) fn holds(&self, peer: NodeId, now: impl FnOnce() -> Duration) -> bool {
        // Relaxed: a message that is brought while a handler panics may come before or after.
        if !self.any.load(Ordering::Relaxed) {
            return false;
        }
        let until = self.table.load().get(&peer).and_then(|suspect| suspect.until);
        until.is_some_and(|until| now() < until)
    }

    /// A handler has panicked on a message of this peer; true if that puts it into quarantine.
    pub(super) fn panicked(&self, peer: NodeId, policy: Quarantine, now: Duration) -> bool {
        let mut quarantined = false;
        self.change(|table| {
            make_room(table, peer, policy, now);
            let fresh = Suspect { panics: 0, first: now, last: now, until: None };
            let suspect = table.entry(peer).or_insert(fresh);
            let is_over = suspect.until.is_some_and(|until| until <= now);
            if is_over || now.saturating_sub(suspect.first) > policy.window {
                *suspect = Suspect { until: suspect.until.filter(|_| !is_over), ..fresh };
            }
            suspect.panics += 1;
            suspect.last = now;
            quarantined = suspect.panics >= policy.panics && suspect.until.is_none();
            if quarantined {
                suspect.until = Some(now.saturating_add(policy.term));
            }
        });
        quarantined
    }

    /// Forgets what this peer has caused; true if it was in quarantine.
    pub(super) fn lift(&self, peer: NodeId, now: Duration) -> bool {
        let mut lifted = false;
        self.change(|table| {
            let until = table.remove(&peer).and_then(|suspect| suspect.until);
            lifted = until.is_some_and(|until| now < until);
        });
        lifted
    }

    fn change(&self, mut change: impl FnMut(&mut HashMap<NodeId, Suspect>)) {
        self.table.rcu(|table| {
            let mut next = HashMap::clone(table);
            change(&mut next);
            next
        });
        // Relaxed: as in `holds`.
        self.any.store(true, Ordering::Relaxed);
    }
}

/// Makes room for a suspect more.
fn make_room(
    table: &mut HashMap<NodeId, Suspect>,
    peer: NodeId,
    policy: Quarantine,
    now: Duration,
) {
    if table.len() < MAX_SUSPECTS || table.contains_key(&peer) {
        return;
    }
    table.retain(|_, suspect| match suspect.until {
        Some(until) => now < until,
        None => now.saturating_sub(suspect.first) <= policy.window,
    });
    if table.len() >= MAX_SUSPECTS {
        let first = table.iter().min_by_key(|(_, suspect)| (suspect.until.is_some(), suspect.last));
        let first = first.map(|(peer, _)| *peer);
        first.map(|peer| table.remove(&peer));
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;
