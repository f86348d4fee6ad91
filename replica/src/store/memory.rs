//! A store without a disk, for simulations of many replicas.
//!
//! All stores of a simulation share one table of what the artifacts are. So a store in memory keeps no content: of an
//! artifact on its way in it keeps how many bytes came as the table has them, and whether any came otherwise. That says
//! as much as a hash would, at the cost of a comparison of two pointers where the bytes are the table's own.
//!
//! What needs files fails: an import, a removal. Nothing is verified in the background, and nothing is kept of an
//! attempt that ends before the artifact is whole.

use std::{collections::HashMap, fmt, sync::Arc};

use bytes::Bytes;
use gossip_engine::ArtifactId;
use sha2::{Digest as _, Sha256};

use super::{
    Artifact, Durability, Inner, Partial, Store, StoreError, StoreOptions, folder::FolderState,
    journal::Key,
};

/// What the artifacts are that there can be, by their SHA-256.
pub(crate) struct Contents(HashMap<ArtifactId, Bytes>);

impl Contents {
    pub(crate) fn new(contents: impl IntoIterator<Item = Bytes>) -> Self {
        let named = |content: Bytes| (ArtifactId::new(Sha256::digest(&content).into()), content);
        Self(contents.into_iter().map(named).collect())
    }

    /// In the order of their ids.
    pub(crate) fn all(&self) -> Vec<(ArtifactId, Bytes)> {
        let mut all: Vec<_> = self.0.iter().map(|(id, content)| (*id, content.clone())).collect();
        all.sort_unstable_by_key(|(id, _)| *id);
        all
    }
}

impl fmt::Debug for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Contents").field(&self.0.len()).finish()
    }
}

/// What has been written of an artifact. Each range counts as written once.
#[derive(Debug, Default)]
pub(super) struct Written {
    right_bytes: u64,
    spoilt: bool,
}

impl Store {
    /// An empty store that can hold what is in the table.
    pub(crate) fn in_memory(contents: Arc<Contents>) -> Self {
        let options = StoreOptions {
            durability: Durability::Crash,
            min_free_bytes: 0,
            ..StoreOptions::default()
        };
        let free = Box::new(|_: &std::path::Path| Ok(u64::MAX));
        let state = FolderState::without_folder();
        let inner = Inner::new("memory".into(), options, state, free);
        Self { inner: Arc::new(Inner { memory: Some(contents), ..inner }) }
    }
}

impl Partial {
    pub(super) fn write_in_memory(
        &self,
        contents: &Contents,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        self.reserve(None)?;
        let mut progress = self.progress();
        let length = bytes.len() as u64;
        if let Some(reservation) = &progress.reservation {
            reservation.earn(length)?;
            reservation.write(length);
        }
        let expected = contents.0.get(&self.key.id).and_then(|content| {
            let start = usize::try_from(offset).ok()?;
            content.get(start..start.checked_add(bytes.len())?)
        });
        let same = |expected: &[u8]| expected.as_ptr() == bytes.as_ptr() || expected == bytes;
        if expected.is_some_and(same) {
            progress.in_memory.right_bytes += length;
        } else {
            progress.in_memory.spoilt = true;
        }
        Ok(())
    }

    pub(super) fn finish_in_memory(&self, contents: &Contents) -> Result<Artifact, StoreError> {
        self.reserve(None)?;
        let Key { id, size } = self.key;
        let mut progress = self.progress();
        let whole = contents.0.get(&id).is_some_and(|content| {
            let all = content.len() as u64;
            (size, progress.in_memory.right_bytes) == (all, all)
        });
        if !whole || progress.in_memory.spoilt {
            return Err(StoreError::Mismatch {
                expected: id,
                found: ArtifactId::new([0; 32]),
                size,
            });
        }
        let (artifact, _) = self.store.add_to_index(id, size, None);
        progress.reservation = None;
        Ok(artifact)
    }
}

impl Inner {
    pub(super) fn read_in_memory(
        &self,
        contents: &Contents,
        id: ArtifactId,
        offset: u64,
        length: usize,
    ) -> Result<Bytes, StoreError> {
        let held = self.index().get(id).ok_or(StoreError::NotHeld(id))?;
        let size = held.artifact.size;
        let content = contents.0.get(&id).ok_or(StoreError::NotHeld(id))?;
        let end = offset.checked_add(length as u64).filter(|end| *end <= size);
        let Some(end) = end else {
            return Err(StoreError::OutOfRange { id, size, offset, length });
        };
        // What is held has the content's size, so these fit.
        Ok(content.slice(offset as usize..end as usize))
    }
}

#[cfg(test)]
mod tests;
