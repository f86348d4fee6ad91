//! What the current catalogs name, counted: a content of a size, so that a false size names nothing.
//!
//! An entry that is beyond the share of its publisher names nothing either. It is remembered, and its content is not
//! fetched unless another entry names it.

use std::collections::{BTreeMap, HashMap, hash_map::Entry};

use gossip_engine::ArtifactId;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Names {
    /// How many entries within their publishers' shares there are of each content.
    named: BTreeMap<(ArtifactId, u64), u32>,
    /// How many entries beyond them there are.
    beyond: HashMap<ArtifactId, u32>,
}

impl Names {
    pub(super) fn add(&mut self, id: ArtifactId, size: u64) {
        *self.named.entry((id, size)).or_default() += 1;
    }

    /// Returns whether it was the last of this content and size.
    pub(super) fn remove(&mut self, id: ArtifactId, size: u64) -> bool {
        let Some(count) = self.named.get_mut(&(id, size)) else { return false };
        *count -= 1;
        *count == 0 && self.named.remove(&(id, size)).is_some()
    }

    pub(super) fn add_beyond(&mut self, id: ArtifactId) {
        *self.beyond.entry(id).or_default() += 1;
    }

    pub(super) fn remove_beyond(&mut self, id: ArtifactId) {
        if let Entry::Occupied(mut count) = self.beyond.entry(id) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }

    /// Whether a content of this size is named.
    pub(super) fn contains(&self, id: ArtifactId, size: u64) -> bool {
        self.named.contains_key(&(id, size))
    }

    /// Whether it is named, with whatever size.
    pub(super) fn is_named(&self, id: ArtifactId) -> bool {
        self.named.range((id, 0)..=(id, u64::MAX)).next().is_some()
    }

    /// Whether it is beyond the shares of all who have it.
    pub(super) fn is_beyond(&self, id: ArtifactId) -> bool {
        self.beyond.contains_key(&id) && !self.is_named(id)
    }
}

#[cfg(test)]
mod tests;
