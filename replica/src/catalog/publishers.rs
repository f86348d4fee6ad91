//! The state machine of catalogs: who publishes, which catalog counts, what it names. It has no lock, disk or clock.
//!
//! ```text
//! announced ──complete, right──> current ──superseded──> dropped after a minute
//!     │                             │ its publisher leaves the list
//!     └──> refused                  └──> announced, until they are back
//! ```

pub(super) mod fetching;
mod looks;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use gossip_engine::{ArtifactId, NodeId};

use super::{
    Catalog, Head,
    known::{MAX_PUBLISHERS, News},
    names::Names,
    retired::Retired,
    share::{Here, OverShare},
    unnamed::Unnamed,
};

/// How long a catalog is held that is not the newest, for peers that are just fetching it.
const SUPERSEDED_TIME: Duration = Duration::from_secs(60);
/// How many of these are dropped before their time. The others wait for that of all that is retired.
const MAX_SUPERSEDED: usize = 1024;

/// A publisher's catalog that counts.
#[derive(Clone, Debug)]
pub struct Current {
    /// Its signed head.
    pub head: Head,
    /// Its files.
    pub catalog: Arc<Catalog>,
    /// Which of them are not fetched.
    pub over_share: Arc<OverShare>,
}

/// What a new catalog has changed.
#[derive(Debug, Default)]
pub(super) struct Installed {
    /// Whether it names something that was unwanted.
    pub(super) returned: bool,
    /// What is named by none now.
    pub(super) unnamed: Vec<ArtifactId>,
    /// Whether all of the catalog before was within its publisher's share.
    pub(super) was_within: bool,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct State {
    members: BTreeSet<NodeId>,
    publishers: BTreeMap<NodeId, Publisher>,
    /// The catalogs of members: those that are current with their heads, those that are awaited without.
    catalogs: HashMap<ArtifactId, Option<Head>>,
    /// What the current catalogs name.
    names: Names,
    pub(super) unnamed: Unnamed,
    /// What has been fetched as a catalog that is awaited, or is being fetched, and on whose turn. One that is current
    /// is none of these any more.
    fetched: BTreeMap<ArtifactId, NodeId>,
    /// How often heads or members have changed.
    revision: u64,
    /// How many entries there are.
    files: usize,
    pub(super) retired: Retired,
    /// Catalogs that were current and are retired, the oldest first.
    superseded: Vec<(ArtifactId, Duration)>,
    /// Those of them that are not retired yet.
    just_superseded: BTreeSet<ArtifactId>,
    /// What else is retired, and whose catalog named it last, if their share has a limit.
    removed: HashMap<ArtifactId, NodeId>,
}

#[derive(Debug, Default)]
struct Publisher {
    current: Option<Current>,
    /// Newer than the current one, and not complete.
    announced: Option<Head>,
    /// The newest that was complete and found wrong.
    refused: Option<Head>,
    /// When the next catalog may be looked at.
    next_look: Duration,
    /// The last catalog that did not fit beside the others, and how many files it has.
    waiting: Option<(ArtifactId, usize)>,
}

impl Publisher {
    /// The newest head that is known.
    fn newest(&self) -> Option<Head> {
        let current = self.current.as_ref().map(|current| current.head);
        let heads = [self.announced, self.refused, current];
        heads.into_iter().flatten().max_by_key(|head| (head.sequence(), head.catalog()))
    }

    fn files(&self) -> usize {
        self.current.as_ref().map_or(0, |current| current.catalog.len())
    }
}

impl State {
    /// A head of an earlier run.
    pub(super) fn remember(&mut self, head: Head) {
        if self.publishers.len() < MAX_PUBLISHERS {
            self.publishers.entry(head.publisher()).or_default().announced = Some(head);
        }
    }

    /// Returns what is named by none now.
    pub(super) fn set_members(&mut self, members: BTreeSet<NodeId>) -> Vec<ArtifactId> {
        self.members = members;
        let gone: Vec<NodeId> =
            self.publishers.keys().copied().filter(|known| !self.members.contains(known)).collect();
        let unnamed = gone.into_iter().flat_map(|publisher| self.leave(publisher)).collect();
        self.index();
        unnamed
    }

    /// A publisher is not on the list any more. What is known of them waits until they are.
    fn leave(&mut self, publisher: NodeId) -> Vec<ArtifactId> {
        let Some(known) = self.publishers.get_mut(&publisher) else { return Vec::new() };
        let Some(current) = known.current.take() else { return Vec::new() };
        if known.announced.is_none_or(|announced| current.head.supersedes(&announced)) {
            known.announced = Some(current.head);
        }
        let mut unnamed = self.unname(&current);
        unnamed.push(current.head.catalog());
        unnamed
    }

    pub(super) fn look(&self, head: &Head) -> News {
        if !self.members.contains(&head.publisher()) {
            return News::Stranger;
        }
        let newest = self.newest(head.publisher());
        if newest.is_none_or(|newest| head.supersedes(&newest)) { News::Newer } else { News::Known }
    }

    pub(super) fn newest(&self, publisher: NodeId) -> Option<Head> {
        self.publishers.get(&publisher).and_then(Publisher::newest)
    }

    pub(super) fn announce(&mut self, head: Head) -> bool {
        let publisher = head.publisher();
        if self.look(&head) != News::Newer || !self.has_capacity(publisher) {
            return false;
        }
        self.publishers.entry(publisher).or_default().announced = Some(head);
        self.index();
        true
    }

    /// Whether there is capacity for this publisher. If there is none, one that has left the list is forgotten.
    fn has_capacity(&mut self, publisher: NodeId) -> bool {
        if self.publishers.len() < MAX_PUBLISHERS || self.publishers.contains_key(&publisher) {
            return true;
        }
        let gone = self.publishers.keys().copied().find(|known| !self.members.contains(known));
        gone.is_some_and(|gone| self.publishers.remove(&gone).is_some())
    }

    pub(super) fn awaited(&self) -> Vec<Head> {
        self.of_members().filter_map(|known| known.announced).collect()
    }

    pub(super) fn install(
        &mut self,
        head: Head,
        catalog: Arc<Catalog>,
        over_share: OverShare,
    ) -> Installed {
        let known = self.publishers.entry(head.publisher()).or_default();
        if known.announced.is_some_and(|announced| !announced.supersedes(&head)) {
            known.announced = None;
        }
        let over_share = Arc::new(over_share);
        let current = Current { head, catalog: catalog.clone(), over_share: over_share.clone() };
        let before = known.current.replace(current);
        self.files += catalog.len();
        let mut installed = Installed { was_within: true, ..Installed::default() };
        // First what is named, so that what both name is never retired.
        for (number, (_, entry)) in catalog.files().enumerate() {
            if over_share.contains(number) {
                self.names.add_beyond(entry.id);
                installed.unnamed.push(entry.id);
                continue;
            }
            installed.returned |= self.names.is_beyond(entry.id);
            self.names.add(entry.id, entry.size);
            installed.returned |= self.retired.keep(entry.id);
            self.removed.remove(&entry.id);
            self.unnamed.name(entry.id, entry.size);
        }
        self.retired.keep(head.catalog());
        self.unnamed.release(head.catalog());
        self.fetched.remove(&head.catalog());
        self.index();
        let Some(before) = before else { return installed };
        installed.was_within = before.over_share.files() == 0;
        installed.unnamed.extend(self.unname(&before));
        if before.head.catalog() != head.catalog() {
            installed.unnamed.push(before.head.catalog());
            self.just_superseded.insert(before.head.catalog());
        }
        installed
    }

    pub(super) fn refuse(&mut self, head: Head) {
        let Some(known) = self.publishers.get_mut(&head.publisher()) else { return };
        if known.announced == Some(head) {
            known.announced = None;
        }
        known.refused = Some(head);
        self.index();
    }

    fn unname(&mut self, Current { catalog, over_share, .. }: &Current) -> Vec<ArtifactId> {
        self.files -= catalog.len();
        let mut unnamed = Vec::new();
        for (number, (_, entry)) in catalog.files().enumerate() {
            if over_share.contains(number) {
                self.names.remove_beyond(entry.id);
            } else if self.names.remove(entry.id, entry.size) {
                unnamed.push(entry.id);
            }
        }
        unnamed
    }

    /// Nobody names these any more, unless somebody does by now. Of what is verified the size is known, and a name with
    /// another one is none. It counts as removed by this publisher.
    pub(super) fn retire(
        &mut self,
        unnamed: Vec<(ArtifactId, Here)>,
        publisher: Option<NodeId>,
        now: Duration,
    ) {
        for (id, here) in unnamed {
            let is_named = match here.is_verified {
                true => self.names.contains(id, here.size),
                false => self.names.is_named(id),
            };
            if !is_named && !self.catalogs.contains_key(&id) {
                self.retired.retire(id, now);
                if self.just_superseded.contains(&id) && self.superseded.len() < MAX_SUPERSEDED {
                    self.superseded.push((id, now));
                } else if let Some(publisher) = publisher
                    && self.retired.contains(id)
                {
                    // Who merely has it beyond their share has not removed it.
                    self.removed.entry(id).or_insert(publisher);
                }
            }
        }
        self.just_superseded.clear();
    }

    /// What is retired that counts for a publisher, the newest first.
    pub(super) fn removed(&mut self) -> Vec<(ArtifactId, NodeId)> {
        if self.removed.is_empty() {
            return Vec::new();
        }
        let retired = &self.retired;
        self.removed.retain(|id, _| retired.contains(*id));
        let newest = retired.since(Duration::MAX).into_iter().rev();
        newest.filter_map(|id| Some((id, *self.removed.get(&id)?))).collect()
    }

    /// This is not held any more.
    pub(super) fn forget_removed(&mut self, id: ArtifactId) {
        self.removed.remove(&id);
    }

    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    pub(super) fn droppable(&mut self, time: Duration, now: Duration) -> Vec<ArtifactId> {
        let mut droppable = self.retired.since(now.saturating_sub(time));
        let is_old =
            |(_, since): &&(ArtifactId, Duration)| now.saturating_sub(*since) >= SUPERSEDED_TIME;
        let old = self.superseded.iter().take_while(is_old).count();
        droppable.extend(self.superseded.drain(..old).map(|(id, _)| id));
        droppable
    }

    pub(super) fn is_catalog(&self, id: ArtifactId) -> bool {
        self.catalogs.contains_key(&id)
    }

    pub(super) fn head_of(&self, id: ArtifactId) -> Option<Head> {
        self.catalogs.get(&id).copied().flatten()
    }

    pub(super) fn current(&self, publisher: NodeId) -> Option<Current> {
        self.publishers.get(&publisher)?.current.clone()
    }

    pub(super) fn all(&self) -> Vec<Current> {
        self.publishers.values().filter_map(|known| known.current.clone()).collect()
    }

    pub(super) fn is_unwanted(&self, id: ArtifactId) -> bool {
        (self.retired.contains(id) || self.names.is_beyond(id)) && !self.catalogs.contains_key(&id)
    }

    fn of_members(&self) -> impl Iterator<Item = &Publisher> {
        let members = self.publishers.iter().filter(|(known, _)| self.members.contains(known));
        members.map(|(_, known)| known)
    }

    /// Finds the catalogs again, after each change of heads or members.
    fn index(&mut self) {
        let mut catalogs = HashMap::new();
        for known in self.of_members() {
            if let Some(announced) = known.announced {
                catalogs.entry(announced.catalog()).or_default();
            }
            if let Some(current) = &known.current {
                catalogs.insert(current.head.catalog(), Some(current.head));
            }
        }
        self.catalogs = catalogs;
        self.revision += 1;
    }
}

#[cfg(test)]
mod tests;
