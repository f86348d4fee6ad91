//! The share of a publisher: which files of a catalog are within the bytes that may be held for its publisher.
//!
//! What is held of them counts first, in the order of the paths, then the rest in that order, each file that still
//! fits. So what is here stays, and a large file keeps no smaller one out. Equal files of a catalog count once. A
//! content that two publishers name counts for both, and is fetched if it is within the share of one.
//!
//! Sizes are what the publisher says. So what a catalog names is a content *of a size*. A publisher that says less than
//! there is names nothing. An entry that says another size than what is held is beyond the share as well. Before a file
//! is verified its length may be that of a damaged one. If it is not what the entry says, the file counts as not held.
//!
//! A catalog is gone through once, when it becomes current. Of one that fits and says nothing wrong nothing is kept, of
//! another a byte for each file.

use std::collections::HashSet;

use gossip_engine::ArtifactId;

use super::{Catalog, FileEntry};

/// An artifact that is here, or that a peer advertises.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Here {
    /// Its size in bytes: a claim unless it is verified.
    pub(crate) size: u64,
    pub(crate) is_held: bool,
    /// Whether what is held was found to be it in this run. Otherwise its size is what its file has.
    pub(crate) is_verified: bool,
}

/// Looks for an artifact. It may take the locks of store and protocol.
pub(crate) type LookUp<'a> = &'a dyn Fn(ArtifactId) -> Option<Here>;

/// The files of a catalog that are not fetched, because they are beyond the share of its publisher.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct OverShare {
    /// Whether each file is, in the order of the paths; none if none is.
    beyond: Vec<bool>,
    files: u64,
    bytes: u64,
}

impl OverShare {
    /// Goes through a catalog whose publisher may have so many bytes.
    pub(super) fn of(catalog: &Catalog, limit: Option<u64>, look_up: LookUp<'_>) -> Self {
        let limit = limit.unwrap_or(u64::MAX);
        let held = |entry: &FileEntry| {
            let here = look_up(entry.id).filter(|here| here.is_held)?;
            (here.is_verified || here.size == entry.size).then_some(here.size)
        };
        let is_right = |entry| held(entry).is_none_or(|held| held == entry.size);
        let sum = catalog.files().fold(0, |sum: u64, (_, entry)| sum.saturating_add(entry.size));
        if sum <= limit && catalog.files().all(|(_, entry)| is_right(entry)) {
            return Self::default();
        }
        let mut over = Self { beyond: vec![true; catalog.len()], ..Self::default() };
        // Looked up once, or what comes meanwhile would have no turn.
        let sizes: Vec<Option<u64>> = catalog.files().map(|(_, entry)| held(entry)).collect();
        let mut left = limit;
        let mut within = HashSet::new();
        for is_held in [true, false] {
            let entries = catalog.files().map(|(_, entry)| entry).zip(&sizes);
            for ((entry, held), beyond) in entries.zip(&mut over.beyond) {
                let (id, size) = (entry.id, entry.size);
                let is_of_this_turn = match *held {
                    Some(held) => is_held && held == size,
                    None => !is_held,
                };
                if is_of_this_turn && (within.contains(&(id, size)) || size <= left) {
                    *beyond = false;
                    left -= if within.insert((id, size)) { size } else { 0 };
                }
            }
        }
        for ((_, entry), _) in catalog.files().zip(&over.beyond).filter(|(_, beyond)| **beyond) {
            over.files += 1;
            over.bytes = over.bytes.saturating_add(entry.size);
        }
        // What was damaged may have gone while this looked.
        if over.files == 0 { Self::default() } else { over }
    }

    /// Whether the file with this number, from 0 in the order of the paths, is one of them.
    #[must_use]
    pub fn contains(&self, number: usize) -> bool {
        self.beyond.get(number).copied().unwrap_or(false)
    }

    /// How many files.
    #[must_use]
    pub fn files(&self) -> u64 {
        self.files
    }

    /// Their bytes, as the publisher says.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

#[cfg(test)]
mod tests;
