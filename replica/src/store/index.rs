//! What is held, in memory: by id, by height and by size.
//!
//! An entry is added after its file has its final name, so whoever finds an entry finds the file. About
//! 200 bytes an artifact; nothing else bounds it than the disk.

use std::collections::{BTreeMap, HashMap};

use gossip_engine::ArtifactId;

/// An artifact that the store holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Artifact {
    /// What it is called: the SHA-256 of its content.
    pub id: ArtifactId,
    /// The size of its content in bytes.
    pub size: u64,
    /// The how-manieth artifact of this store it is, from 1. See [`Store`](super::Store) for what a
    /// height is worth.
    pub height: u64,
}

#[derive(Debug, Default)]
pub(super) struct Index {
    by_id: HashMap<ArtifactId, Artifact>,
    by_height: BTreeMap<u64, ArtifactId>,
    by_size: HashMap<u64, u64>,
    last_height: u64,
}

impl Index {
    /// Adds an artifact. Returns it, and whether it is new.
    pub(super) fn add(&mut self, id: ArtifactId, size: u64) -> (Artifact, bool) {
        if let Some(held) = self.by_id.get(&id) {
            return (*held, false);
        }
        self.last_height += 1;
        let artifact = Artifact { id, size, height: self.last_height };
        self.by_id.insert(id, artifact);
        self.by_height.insert(artifact.height, id);
        *self.by_size.entry(size).or_default() += 1;
        (artifact, true)
    }

    pub(super) fn remove(&mut self, id: ArtifactId) -> Option<Artifact> {
        let artifact = self.by_id.remove(&id)?;
        self.by_height.remove(&artifact.height);
        let same_size = self.by_size.get_mut(&artifact.size).expect("counted when added");
        *same_size -= 1;
        if *same_size == 0 {
            self.by_size.remove(&artifact.size);
        }
        Some(artifact)
    }

    pub(super) fn get(&self, id: ArtifactId) -> Option<Artifact> {
        self.by_id.get(&id).copied()
    }

    pub(super) fn has_size(&self, size: u64) -> bool {
        self.by_size.contains_key(&size)
    }

    /// Up to `limit` artifacts of at least this height, lowest first.
    pub(super) fn list_from(&self, height: u64, limit: usize) -> Vec<Artifact> {
        self.by_height.range(height..).take(limit).map(|(_, id)| self.by_id[id]).collect()
    }
}
