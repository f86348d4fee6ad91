//! What is held, in memory: by id, by height and by size.
//!
//! An entry is added after its file has its final name, so the file of an entry is there, unless somebody else
//! has removed it. About 250 bytes an artifact; nothing else bounds it than the disk.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::SystemTime,
};

use gossip_engine::ArtifactId;

use crate::file_version::FileVersion;

/// How many artifacts are remembered by when they came.
pub(super) const MAX_RECENT: usize = 64;

/// An artifact that the store holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Artifact {
    /// What it is called: the SHA-256 of its content.
    pub id: ArtifactId,
    /// The size of its content in bytes.
    pub size: u64,
    /// Its number in the order in which this store came to hold its artifacts, from 1. See
    /// [`Store`](super::Store) for how long it holds.
    pub height: u64,
}

/// An artifact, and which file was found to have its content in this run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) artifact: Artifact,
    pub(super) verified: Option<FileVersion>,
}

/// An [`Entry`] without its id.
#[derive(Clone, Copy, Debug)]
struct Held {
    size: u64,
    height: u64,
    verified: Option<FileVersion>,
}

impl Held {
    fn artifact(&self, id: ArtifactId) -> Artifact {
        Artifact { id, size: self.size, height: self.height }
    }
}

#[derive(Debug, Default)]
pub(super) struct Index {
    by_id: HashMap<ArtifactId, Held>,
    by_height: BTreeMap<u64, ArtifactId>,
    by_size: HashMap<u64, u64>,
    last_height: u64,
    /// The last that came, oldest first.
    recent: VecDeque<(Artifact, SystemTime)>,
}

impl Index {
    /// Adds an artifact whose file has this version, if it was verified. Returns it, and whether it is new.
    pub(super) fn add(
        &mut self,
        id: ArtifactId,
        size: u64,
        verified: Option<FileVersion>,
    ) -> (Artifact, bool) {
        if let Some(held) = self.by_id.get_mut(&id) {
            held.verified = verified;
            return (held.artifact(id), false);
        }
        self.last_height += 1;
        let held = Held { size, height: self.last_height, verified };
        self.by_id.insert(id, held);
        self.by_height.insert(held.height, id);
        *self.by_size.entry(size).or_default() += 1;
        (held.artifact(id), true)
    }

    pub(super) fn remove(&mut self, id: ArtifactId) -> Option<Artifact> {
        let artifact = self.by_id.remove(&id)?.artifact(id);
        self.by_height.remove(&artifact.height);
        let same_size = self.by_size.get_mut(&artifact.size).expect("counted when added");
        *same_size -= 1;
        if *same_size == 0 {
            self.by_size.remove(&artifact.size);
        }
        Some(artifact)
    }

    pub(super) fn get(&self, id: ArtifactId) -> Option<Entry> {
        let held = self.by_id.get(&id)?;
        Some(Entry { artifact: held.artifact(id), verified: held.verified })
    }

    /// The file with this version was found to have the artifact's content.
    pub(super) fn set_verified(&mut self, id: ArtifactId, version: FileVersion) {
        if let Some(entry) = self.by_id.get_mut(&id) {
            entry.verified = Some(version);
        }
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = ArtifactId> {
        self.by_id.keys().copied()
    }

    pub(super) fn last_height(&self) -> u64 {
        self.last_height
    }

    /// Remembers when an artifact came.
    pub(super) fn came(&mut self, artifact: Artifact, at: SystemTime) {
        self.recent.push_back((artifact, at));
        if self.recent.len() > MAX_RECENT {
            self.recent.pop_front();
        }
    }

    /// The last that came and are held, newest first.
    pub(super) fn recent(&self, count: usize) -> Vec<(Artifact, SystemTime)> {
        let held =
            |(artifact, _): &&(Artifact, SystemTime)| self.by_height.contains_key(&artifact.height);
        self.recent.iter().rev().filter(held).take(count).copied().collect()
    }

    pub(super) fn has_size(&self, size: u64) -> bool {
        self.by_size.contains_key(&size)
    }

    /// Up to `limit` artifacts of at least this height, lowest first.
    pub(super) fn list_from(&self, height: u64, limit: usize) -> Vec<Artifact> {
        let artifact = |id: &ArtifactId| self.by_id[id].artifact(*id);
        self.by_height.range(height..).take(limit).map(|(_, id)| artifact(id)).collect()
    }
}
