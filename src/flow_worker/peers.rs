//! Who has a lane: the peer table.
//!
//! A message finds its lane by a lookup in an arc-swapped map, without a lock. A lane that comes or
//! goes makes a new map of its part of the table; there are [`PARTS`] of them, so that ten thousand
//! peers can connect without copying ten thousand entries each time.
//!
//! Each lane has a *seat*, a small number by which the flow's sets know it. There are as many as
//! [`max_peers`](crate::FlowConfig::with_max_peers), which bounds the table. A lane is a convenience:
//! one without messages can be made anew at any time. So it goes when its peer is forgotten, and when
//! a newcomer finds all seats taken.
//!
//! # Why no message is left in a lane that goes
//!
//! A lane retires by one exchange that succeeds only if nobody has entered or waits that has not
//! left ([`Permits::shut_if_unused`](crate::permits::Permits::shut_if_unused)), and entering is an
//! exchange of the same word. So whoever enters has entered a lane that will not retire before its
//! message has finished, and whoever finds it retired has entered nothing: it takes the lane out of
//! the table, should that not have been done yet, and looks again.
//!
//! A lane whose peer has gone is shut at once, with what is in it. It keeps its seat, by which workers and
//! those who settle find it, until the last of its messages has left and nobody waits in it any more:
//! whoever takes something out of a lane that is shut looks whether it was the last.
//!
//! The seat goes to the next lane at once, and what the flow's sets say of it with it. So whoever takes
//! a seat out of a set, having looked at the lane that had it before, must fence and look at the lane
//! that has it now.

use std::{
    array, fmt,
    hash::{BuildHasher, Hasher},
    sync::Arc,
};

use arc_swap::{ArcSwap, ArcSwapOption, Guard};
use hashbrown::HashTable;

use super::{lane::Lane, lane_set::LaneSet, welcome::Welcomes};
use crate::{
    FlowConfig, NodeId,
    sync::{AtomicUsize, Ordering},
};

/// Into how many parts the table is divided.
const PARTS: usize = 64;

/// How many lanes a newcomer looks at that finds all seats taken, before it is refused; the next one
/// goes on where it stopped.
const LOOK_AT: usize = 64;

/// Some of the lanes.
type Lanes<M> = HashTable<Arc<Lane<M>>>;

/// The part of the table in which a peer is found, if it has a lane.
pub(super) struct Part<M> {
    lanes: Guard<Arc<Lanes<M>>>,
    peer: NodeId,
    hash: u64,
}

impl<M> Part<M> {
    pub(super) fn lane(&self) -> Option<&Arc<Lane<M>>> {
        self.lanes.find(self.hash, |lane| lane.peer == self.peer)
    }
}

/// The lanes of one flow.
pub(super) struct Peers<M> {
    parts: [ArcSwap<Lanes<M>>; PARTS],
    /// Seeded at random: a peer chooses its own id, but cannot know where it falls.
    hasher: foldhash::quality::RandomState,
    /// By seat.
    lanes: Box<[ArcSwapOption<Lane<M>>]>,
    taken: LaneSet,
    /// The seat at which the next newcomer without one begins to look.
    hand: AtomicUsize,
    /// How many messages a lane's queue holds.
    slots: usize,
    welcomes: Arc<Welcomes>,
}

impl<M> Peers<M> {
    /// A table for at most `max` peers, at least 1, with lanes of so many slots.
    pub(super) fn new(max: usize, slots: usize, welcomes: Arc<Welcomes>) -> Self {
        Self {
            parts: array::from_fn(|_| ArcSwap::from_pointee(Lanes::new())),
            hasher: foldhash::quality::RandomState::default(),
            lanes: (0..max).map(|_| ArcSwapOption::empty()).collect(),
            taken: LaneSet::new(max),
            hand: AtomicUsize::new(0),
            slots,
            welcomes,
        }
    }

    /// How many messages a lane's queue holds.
    pub(super) fn slots(&self) -> usize {
        self.slots
    }

    /// How many seats there are.
    pub(super) fn seats(&self) -> usize {
        self.lanes.len()
    }

    fn hash(&self, peer: NodeId) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        // Word by word, since all ids have the same length.
        let (words, rest) = peer.as_bytes().as_chunks::<8>();
        debug_assert!(rest.is_empty());
        words.iter().for_each(|word| hasher.write_u64(u64::from_ne_bytes(*word)));
        hasher.finish()
    }

    fn part(&self, hash: u64) -> &ArcSwap<Lanes<M>> {
        // From the middle of the hash: the table looks at both of its ends.
        &self.parts[(hash >> 32) as usize % PARTS]
    }

    /// The part of the table that this peer is in.
    pub(super) fn find(&self, peer: NodeId) -> Part<M> {
        let hash = self.hash(peer);
        Part { lanes: self.part(hash).load(), peer, hash }
    }

    /// The lane at this seat.
    pub(super) fn at(&self, seat: usize) -> Option<Arc<Lane<M>>> {
        self.lanes.get(seat)?.load_full()
    }

    /// All lanes, one after the other.
    pub(super) fn iter(&self) -> impl Iterator<Item = Arc<Lane<M>>> {
        self.taken.iter().filter_map(|seat| self.at(seat))
    }

    /// The lane of a peer, a new one if it has none; `None` if there is no seat for it.
    pub(super) fn find_or_seat(&self, peer: NodeId, config: &FlowConfig) -> Option<Arc<Lane<M>>> {
        if let Some(lane) = self.find(peer).lane() {
            return Some(Arc::clone(lane));
        }
        let seat = self.take_seat()?;
        let welcome = self.welcomes.of(peer);
        let lane = Arc::new(Lane::new(peer, seat, config, self.slots, welcome));
        // Before it can be found, so that whoever finds a message in it finds the lane.
        self.lanes[seat].store(Some(Arc::clone(&lane)));
        let hash = self.hash(peer);
        let before = self.part(hash).rcu(|lanes| {
            let mut next = Lanes::clone(lanes);
            next.entry(hash, |lane| lane.peer == peer, |lane| self.hash(lane.peer))
                .or_insert_with(|| Arc::clone(&lane));
            next
        });
        let Some(other) = before.find(hash, |lane| lane.peer == peer) else { return Some(lane) };
        // Somebody else was first. Ours may have been retired already, for another newcomer.
        self.retire(&lane);
        Some(Arc::clone(other))
    }

    /// Takes a lane that was found retired out of the table.
    pub(super) fn take_out(&self, lane: &Arc<Lane<M>>) {
        let hash = self.hash(lane.peer);
        let part = self.part(hash);
        let is_it = |other: &Arc<Lane<M>>| Arc::ptr_eq(other, lane);
        if part.load().find(hash, is_it).is_some() {
            part.rcu(|lanes| {
                let mut next = Lanes::clone(lanes);
                if let Ok(entry) = next.find_entry(hash, is_it) {
                    entry.remove();
                }
                next
            });
        }
    }

    /// Ends the lane of a peer that has gone, if it has one: it cannot be found any more, and nothing that
    /// is in it starts. The caller fences, lists it, and lets those go who wait in it.
    pub(super) fn cancel(&self, peer: NodeId) -> Option<Arc<Lane<M>>> {
        let lane = Arc::clone(self.find(peer).lane()?);
        lane.cancel();
        self.take_out(&lane);
        Some(lane)
    }

    /// Retires a lane if it is unused; false if it is used, or was retired before.
    pub(super) fn retire(&self, lane: &Arc<Lane<M>>) -> bool {
        let retired = lane.retire();
        if retired {
            self.take_out(lane);
            self.leave_seat(lane.seat);
        }
        retired
    }

    fn take_seat(&self) -> Option<usize> {
        self.free_seat().or_else(|| {
            let seats = self.seats();
            let mut owed = None;
            let unused = (0..LOOK_AT.min(seats)).find_map(|_| {
                // Relaxed: where one looks orders nothing.
                let seat = self.hand.fetch_add(1, Ordering::Relaxed) % seats;
                let lane = self.at(seat)?;
                if owed.is_none() && lane.is_only_owed() {
                    owed = Some(Arc::clone(&lane));
                }
                self.take_from(&lane)
            });
            // Rather that the replica does not hear of a loss than that a newcomer is refused.
            unused.or_else(|| {
                let lane = owed?;
                lane.forget();
                self.take_from(&lane)
            })
        })
    }

    /// Takes the seat of a lane, if that is unused.
    fn take_from(&self, lane: &Arc<Lane<M>>) -> Option<usize> {
        // Another newcomer may have been quicker.
        (self.retire(lane) && self.taken.insert(lane.seat)).then_some(lane.seat)
    }

    fn free_seat(&self) -> Option<usize> {
        self.taken.missing(self.seats()).find(|&seat| self.taken.insert(seat))
    }

    fn leave_seat(&self, seat: usize) {
        self.lanes[seat].store(None);
        self.taken.remove(seat);
    }
}

impl<M> fmt::Debug for Peers<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peers").field("lanes", &self.iter().count()).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;
