//! Rows: items of one lane that are submitted together, and cost little more than one.
//!
//! A row takes its permits by one exchange on each gate, and one slot of the inbox. What is moved from one core to
//! another for each item is the item, and no word that both of them write. A worker makes the row a chunk of its
//! lane, as it is, and gives an empty one back.
//!
//! Bounds: a row has from two to [`ROW`] items, and space for at least [`ROW`]. Up to [`SPARE_ROWS`] that are empty are
//! kept to be used again, each with space for up to [`RUN`](super::RUN) items.

use std::{hash::Hash, num::NonZeroU32, sync::Arc};

use super::{
    Denied, FairQueue, Lane, WakeList,
    chunks::Chunk,
    schedule::{Charged, Schedule},
    submit::Entered,
};

/// The most items of a row.
pub(crate) const ROW: usize = if cfg!(loom) { 2 } else { 16 };

/// How many empty rows are kept.
pub(super) const SPARE_ROWS: usize = if cfg!(loom) { 1 } else { 64 };

/// Items that are to be submitted, in their order. None of its methods may panic or call the user's code.
pub(crate) trait Offer {
    type Item;

    /// How many are left.
    fn len(&self) -> usize;

    /// The bytes of one of them; 0 is the first.
    fn bytes(&self, at: usize) -> u32;

    /// Takes the first.
    fn next(&mut self) -> Option<Self::Item>;
}

#[cfg(test)]
impl<T> Offer for std::collections::VecDeque<(T, u32)> {
    type Item = T;

    fn len(&self) -> usize {
        self.len()
    }

    fn bytes(&self, at: usize) -> u32 {
        self[at].1
    }

    fn next(&mut self) -> Option<T> {
        self.pop_front().map(|(item, _)| item)
    }
}

/// What is in a slot of the inbox.
#[derive(Debug)]
pub(super) enum Entry<T> {
    /// Not a [`Charged`], and its lane's index plus one: so it is as small as if there were no rows.
    One {
        place: NonZeroU32,
        charge: u32,
        item: T,
    },
    Row(Box<Row<T>>),
}

#[cfg(not(any(loom, shuttle)))]
const _: () = assert!(size_of::<Entry<[u64; 5]>>() == 48);

/// Items of one lane.
#[derive(Debug)]
pub(super) struct Row<T> {
    lane: u32,
    items: Chunk<Charged<T>>,
}

impl<T> Row<T> {
    fn new() -> Self {
        Self { lane: 0, items: Chunk::new() }
    }
}

impl<T> Entry<T> {
    #[inline]
    pub(super) fn one(lane: u32, Charged { item, charge }: Charged<T>) -> Self {
        Self::One { place: NonZeroU32::MIN.saturating_add(lane), charge, item }
    }
}

impl<K: Clone + Eq + Hash, T> FairQueue<K, T> {
    /// Admits items from the front, as many as the lane and the queue have capacity for, if nobody waits for it;
    /// returns how many. The others stay where they are. If there are any and none is admitted, says why.
    pub(crate) fn submit_many(
        &self,
        lane: &Arc<Lane<K>>,
        items: &mut impl Offer<Item = T>,
        wake: &mut WakeList,
    ) -> Result<usize, Denied> {
        let mut submitted = 0;
        // Ends: each turn but the last takes items.
        loop {
            let most = items.len().min(ROW);
            if most == 0 {
                return Ok(submitted);
            }
            match self.submit_row(lane, items, most, wake) {
                Ok(count) => {
                    submitted += count;
                    if count < most {
                        return Ok(submitted);
                    }
                }
                Err(denied) if submitted == 0 => return Err(denied),
                Err(_) => return Ok(submitted),
            }
        }
    }

    /// Admits up to `most` items as one row.
    fn submit_row(
        &self,
        lane: &Arc<Lane<K>>,
        items: &mut impl Offer<Item = T>,
        most: usize,
        wake: &mut WakeList,
    ) -> Result<usize, Denied> {
        // For each row: who has gone to wait meanwhile is passed by one row at the most.
        if self.others_wait(lane) {
            return Err(Denied::Full);
        }
        let entered = self.enter(lane, most as u64, |item| items.bytes(item as usize), wake);
        let Entered { count, is_charged, has_taken_back } = match entered {
            Ok(entered) => entered,
            Err((denied, was_in_lane)) => {
                if was_in_lane {
                    self.note_taken_back(lane, wake);
                }
                return Err(denied);
            }
        };
        let count = count as usize;
        let mut next = || {
            let charge = if is_charged { items.bytes(0) } else { 0 };
            Charged { item: items.next().expect("as many are left"), charge }
        };
        let entry = if count == 1 {
            Entry::one(lane.index, next())
        } else {
            let mut row = self.spare_rows.pop().unwrap_or_else(|| Box::new(Row::new()));
            row.lane = lane.index;
            // One that comes back may have less space, or none.
            row.items.reserve_exact(ROW);
            row.items.extend((0..count).map(|_| next()));
            Entry::Row(row)
        };
        wake.worker |= self.push_entry(lane, entry);
        if has_taken_back {
            self.note_taken_back(lane, wake);
        }
        Ok(count)
    }

    /// Moves what was in a slot of the inbox into its lane; returns how many items that were.
    #[inline]
    pub(super) fn accept(&self, schedule: &mut Schedule<K, T>, entry: Entry<T>) -> usize {
        match entry {
            Entry::One { place, charge, item } => {
                schedule.accept(place.get() - 1, Charged { item, charge });
                1
            }
            Entry::Row(row) => self.accept_row(schedule, row),
        }
    }

    #[inline(never)]
    fn accept_row(&self, schedule: &mut Schedule<K, T>, mut row: Box<Row<T>>) -> usize {
        let count = row.items.len();
        schedule.accept_row(row.lane, &mut row.items);
        // It is empty now: no code of the user runs here if it is one too many.
        drop(self.spare_rows.push(row));
        count
    }
}
