//! How much of each publisher's folder is here, and which files some artifacts are, for people and for peers.
//!
//! A pass goes through all catalogs, which takes some 10 ms for 100 000 files. There is one only if something has come
//! or gone since the last, or if an artifact is shown that was not. After a pass there is none for [`REST`] times as
//! long as it took, so what is shown is older by as much. What is fetched next was missing before: a pass notes its
//! path as well, so that it has a name at once.
//!
//! Bounded by the catalogs: a few numbers for each publisher, and a path for each artifact that is shown and for
//! [`MAX_FORESEEN`] that are missing.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use gossip_engine::{ArtifactId, NodeId};

use crate::{
    catalog::{Current, FilePath},
    gossip::{Lack, ReplicaGossip},
};

/// How long the pause after a pass is, in times of the pass. Passes take at most a hundredth of a core.
const REST: u32 = 100;

/// Of how many missing files the paths are noted, 150 bytes each and the path.
const MAX_FORESEEN: usize = 4096;

/// A publisher's folder.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct FolderCount {
    pub(crate) publisher: NodeId,
    pub(crate) sequence: u64,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    pub(crate) missing_files: u64,
    pub(crate) missing_bytes: u64,
    /// Those of the missing that are beyond the publisher's share, and are not fetched.
    pub(crate) over_share_files: u64,
    pub(crate) over_share_bytes: u64,
    /// Since when something has been missing.
    pub(crate) missing_since: Option<SystemTime>,
}

impl FolderCount {
    pub(crate) fn lack(&self) -> Lack {
        let Self { sequence, missing_files, missing_bytes, .. } = *self;
        Lack { sequence, missing_files, missing_bytes }
    }
}

/// What an artifact is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Content {
    /// A publisher's catalog.
    Catalog(NodeId),
    /// A file, the first of those with this content.
    File(NodeId, FilePath),
}

/// What was found when the catalogs were gone through last.
#[derive(Debug, Default)]
pub(crate) struct Folders {
    pub(crate) counts: Vec<FolderCount>,
    pub(crate) contents: HashMap<ArtifactId, Content>,
}

/// Goes through the catalogs when there is a reason to.
#[derive(Debug, Default)]
pub(crate) struct FolderWatch(Mutex<Watch>);

#[derive(Debug, Default)]
struct Watch {
    last: Arc<Folders>,
    /// How often something had come, and how much was held, before that.
    moved: Option<(u64, u64)>,
    /// The artifacts that were shown then.
    shown: HashSet<ArtifactId>,
    rest_until: Option<Instant>,
}

impl FolderWatch {
    /// The same as it was [looked](Self::look) at last, gone through anew if something has come or gone.
    pub(crate) fn look_again(&self, gossip: &ReplicaGossip, now: Instant) -> Arc<Folders> {
        let shown = self.watch().shown.clone();
        self.look(gossip, shown, now)
    }

    /// The folders of a replica of which these artifacts are shown.
    pub(crate) fn look(
        &self,
        gossip: &ReplicaGossip,
        shown: HashSet<ArtifactId>,
        now: Instant,
    ) -> Arc<Folders> {
        let mut watch = self.watch();
        // First, so that what comes meanwhile is seen to have come. What is lost is no change, but is not held.
        let moved = (gossip.changes().wait(0, Duration::ZERO), gossip.store().count());
        let is_known = watch.moved == Some(moved) && shown.is_subset(&watch.shown);
        if is_known || watch.rest_until.is_some_and(|until| now < until) {
            return watch.last.clone();
        }
        let began = Instant::now();
        let folders = Arc::new(go_through(gossip, &shown, &watch.last.counts));
        *watch = Watch {
            last: folders.clone(),
            moved: Some(moved),
            shown,
            rest_until: now.checked_add(began.elapsed().saturating_mul(REST)),
        };
        folders
    }

    fn watch(&self) -> MutexGuard<'_, Watch> {
        // It is whole after a panic, at worst of the time before.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn go_through(
    gossip: &ReplicaGossip,
    shown: &HashSet<ArtifactId>,
    before: &[FolderCount],
) -> Folders {
    let mut contents = HashMap::new();
    let mut is_catalog = |id: ArtifactId, publisher: NodeId| {
        if shown.contains(&id) {
            contents.entry(id).or_insert(Content::Catalog(publisher));
        }
    };
    let current = gossip.catalogs().all();
    for Current { head, .. } in &current {
        is_catalog(head.catalog(), head.publisher());
    }
    for head in gossip.catalogs().awaited() {
        is_catalog(head.catalog(), head.publisher());
    }
    let now = SystemTime::now();
    let mut counts = Vec::with_capacity(current.len());
    for Current { head, catalog, over_share } in &current {
        let publisher = head.publisher();
        let mut count = FolderCount {
            publisher,
            sequence: head.sequence(),
            files: catalog.len() as u64,
            bytes: 0,
            missing_files: 0,
            missing_bytes: 0,
            over_share_files: 0,
            over_share_bytes: 0,
            missing_since: None,
        };
        for (number, (path, entry)) in catalog.files().enumerate() {
            // Sizes are what the publisher says.
            count.bytes = count.bytes.saturating_add(entry.size);
            let is_missing = !gossip.store().contains(entry.id);
            if is_missing {
                count.missing_files += 1;
                count.missing_bytes = count.missing_bytes.saturating_add(entry.size);
                if over_share.contains(number) {
                    count.over_share_files += 1;
                    count.over_share_bytes = count.over_share_bytes.saturating_add(entry.size);
                }
            }
            let is_foreseen = is_missing && contents.len() < MAX_FORESEEN;
            if is_foreseen || shown.contains(&entry.id) {
                let file = || Content::File(publisher, path.clone());
                contents.entry(entry.id).or_insert_with(file);
            }
        }
        if count.missing_files > 0 {
            // In the order of the publishers, as all catalogs are.
            let same = before.binary_search_by_key(&publisher, |count| count.publisher);
            let since = same.ok().and_then(|at| before[at].missing_since);
            count.missing_since = since.or(Some(now));
        }
        counts.push(count);
    }
    Folders { counts, contents }
}

#[cfg(test)]
mod tests;
