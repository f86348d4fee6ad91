//! Messages that were dropped because there was too much to do, and of which the replica is notified, peer by peer, so
//! that it can ask for them again.
//!
//! A drop is counted in its lane. The first since the last notice puts the lane into a list, behind a mutex that is
//! taken for nothing else. Bounds: one entry for each peer that has a lane, or had one since the last call of
//! [`notify`](DropNotices::notify). May lose: what was dropped of a peer that goes before the notice is due.

use std::{collections::HashMap, sync::Arc};

use crate::{PeerKey, queue::Lane, sync::Mutex};

#[derive(Debug)]
struct Dropped<K> {
    lane: Arc<Lane<K>>,
    /// When its last notice was, in nanoseconds of the flow.
    last: Option<u64>,
}

#[derive(Debug)]
pub(super) struct DropNotices<K> {
    /// Somebody calls [`notify`](Self::notify). Otherwise nothing is kept.
    is_heard: bool,
    lanes: Mutex<HashMap<K, Dropped<K>>>,
}

impl<K: PeerKey> DropNotices<K> {
    pub(super) fn new(is_heard: bool) -> Self {
        Self { is_heard, lanes: Mutex::default() }
    }

    /// How many lanes are in the list.
    #[cfg(all(test, not(any(loom, shuttle))))]
    pub(super) fn listed(&self) -> usize {
        self.lanes.lock().len()
    }

    /// A message of this lane was dropped.
    pub(super) fn record(&self, lane: &Arc<Lane<K>>) {
        if !self.is_heard || !lane.count_dropped() {
            return;
        }
        let mut lanes = self.lanes.lock();
        let entry = lanes.entry(lane.key().clone());
        let dropped = entry.or_insert_with(|| Dropped { lane: Arc::clone(lane), last: None });
        if !Arc::ptr_eq(&dropped.lane, lane) {
            // The one before belongs to a connection that is over.
            *dropped = Dropped { lane: Arc::clone(lane), last: None };
        }
    }

    /// Calls `notify` for each peer whose last notice is `interval` ago, with how many of its messages were dropped
    /// since. It says whether the notice could be given; otherwise it is repeated. One thread at a time calls this.
    pub(super) fn notify(&self, now: u64, interval: u64, notify: impl Fn(&K, u64) -> bool) {
        let mut due: Vec<_> = {
            let mut lanes = self.lanes.lock();
            // Nobody is notified of a peer that has gone, or whose lane has made place for another.
            lanes.retain(|_, dropped| !dropped.lane.is_closed());
            let is_due = |dropped: &&Dropped<K>| {
                dropped.last.is_none_or(|last| now.saturating_sub(last) >= interval)
            };
            lanes.values().filter(is_due).map(|dropped| Arc::clone(&dropped.lane)).collect()
        };
        // In an order that does not depend on the table's hasher.
        due.sort_unstable_by_key(|lane| lane.serial());
        for lane in due {
            let count = lane.take_dropped();
            // Not under the lock: it is the user's code, or waits for it.
            let notified = count > 0 && notify(lane.key(), count);
            if count > 0 && !notified {
                lane.put_back_dropped(count);
                continue;
            }
            let mut lanes = self.lanes.lock();
            let Some(dropped) = lanes.get_mut(lane.key()) else { continue };
            if !Arc::ptr_eq(&dropped.lane, &lane) {
                continue;
            }
            if notified {
                dropped.last = Some(now);
            } else if lane.has_dropped() {
                // One that came between the count and the lock, and found the entry.
            } else {
                lanes.remove(lane.key());
            }
        }
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;
