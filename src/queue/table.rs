//! Which lane belongs to a key: a lookup without a lock.
//!
//! A hash table in parts, each behind an arc-swap. A lane that comes or goes copies its part; there are [`PARTS`], so
//! that ten thousand keys can come without copying ten thousand entries each time. A change holds
//! the schedule's lock.

use std::{
    array,
    hash::{BuildHasher, Hash},
    sync::Arc,
};

use arc_swap::{ArcSwap, Guard};
use hashbrown::HashTable;

use super::lane::Lane;

/// Into how many parts the table is divided.
const PARTS: usize = 64;

type Part<K> = HashTable<Arc<Lane<K>>>;

#[derive(Debug)]
pub(super) struct Table<K> {
    parts: [ArcSwap<Part<K>>; PARTS],
    /// Seeded at random: a peer chooses its own key, but cannot know where it falls.
    hasher: foldhash::quality::RandomState,
}

/// What a lookup found. Holds a reference to the part, so that looking at a lane counts no reference.
pub(super) struct Found<'a, K> {
    part: Guard<Arc<Part<K>>>,
    hash: u64,
    key: &'a K,
}

impl<K: Eq> Found<'_, K> {
    pub(super) fn lane(&self) -> Option<&Arc<Lane<K>>> {
        self.part.find(self.hash, |lane| lane.key() == self.key)
    }
}

impl<K: Eq + Hash> Table<K> {
    pub(super) fn new() -> Self {
        Self {
            parts: array::from_fn(|_| ArcSwap::from_pointee(Part::new())),
            hasher: foldhash::quality::RandomState::default(),
        }
    }

    /// How many lanes there are, part by part.
    pub(super) fn len(&self) -> usize {
        self.parts.iter().map(|part| part.load().len()).sum()
    }

    fn part(&self, hash: u64) -> &ArcSwap<Part<K>> {
        // From the middle of the hash: a hash table looks at both of its ends.
        &self.parts[(hash >> 32) as usize % PARTS]
    }

    pub(super) fn find<'a>(&self, key: &'a K) -> Found<'a, K> {
        let hash = self.hasher.hash_one(key);
        Found { part: self.part(hash).load(), hash, key }
    }

    /// Adds a lane whose key is not there.
    pub(super) fn insert(&self, lane: &Arc<Lane<K>>) {
        let hash = self.hasher.hash_one(lane.key());
        let part = self.part(hash);
        let mut next = Part::clone(&part.load());
        next.insert_unique(hash, Arc::clone(lane), |lane| self.hasher.hash_one(lane.key()));
        part.store(Arc::new(next));
    }

    /// Takes a lane out, if it is there.
    pub(super) fn remove(&self, lane: &Arc<Lane<K>>) {
        let hash = self.hasher.hash_one(lane.key());
        let part = self.part(hash);
        let mut next = Part::clone(&part.load());
        if let Ok(entry) = next.find_entry(hash, |other| Arc::ptr_eq(other, lane)) {
            entry.remove();
            part.store(Arc::new(next));
        }
    }
}
