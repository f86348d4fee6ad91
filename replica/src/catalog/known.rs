//! What this replica knows of each publisher's catalogs, in memory and on disk.
//!
//! ```text
//! store/catalogs/<64 hex>    the head of a publisher's newest catalog that was complete here
//! store/catalogs/retired     what was named once, see `retired`
//! ```
//!
//! The states are those of the [module above](super). A head that is read from disk is announced: it is current again
//! as soon as its catalog has been read. Who is taken off the list of peers publishes nothing any more: their head is
//! kept, and their files are named by nobody until they are on the list again.
//!
//! Two locks. `disk` is held while the state changes and the change is written, so that both go the same way; `state`
//! only for steps in memory. The first is taken before the second.
//!
//! Bounded: [`MAX_PUBLISHERS`], and [`MAX_FILES`] over all of them. A head that cannot be written is said in the log;
//! it counts until the replica ends, and is fetched again afterwards.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use gossip_engine::{ArtifactId, NodeId};

use super::{
    Catalog, CatalogError, Head, MAX_FILES,
    disk::{read_head, write_aside},
    retired::Retired,
};

/// How many publishers are known at a time, those that have left the list among them.
pub const MAX_PUBLISHERS: usize = 8192;

/// How many catalogs that are not the newest are dropped before their time. The others wait for it.
const MAX_SUPERSEDED: usize = 1024;

const RETIRED_FILE: &str = "retired";

/// A publisher's catalog that counts.
#[derive(Clone, Debug)]
pub struct Current {
    /// Its signed head.
    pub head: Head,
    /// Its files.
    pub catalog: Arc<Catalog>,
}

/// What a head means that has arrived.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum News {
    /// If it is signed, it is the newest of its publisher.
    Newer,
    /// It is known, or older than what is.
    Known,
    /// Its publisher is not on the list.
    Stranger,
}

/// What has become of an awaited catalog.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Completed {
    /// The heads of which it is current.
    pub(crate) heads: Vec<Head>,
    /// Whether it names something that none named any more.
    pub(crate) returned: bool,
}

/// A catalog that is not what its head says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Refused {
    pub(crate) head: Head,
    pub(crate) error: CatalogError,
}

/// See the [module](self).
#[derive(Debug)]
pub struct Catalogs {
    folder: PathBuf,
    disk: Mutex<()>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    members: BTreeSet<NodeId>,
    publishers: BTreeMap<NodeId, Publisher>,
    /// How many entries of current catalogs name an artifact. The catalogs themselves are named by their heads.
    named: HashMap<ArtifactId, u32>,
    files: usize,
    retired: Retired,
    /// Catalogs that were superseded since this was asked last.
    superseded: Vec<ArtifactId>,
}

#[derive(Debug, Default)]
struct Publisher {
    current: Option<Current>,
    /// Newer than the current one, and not complete.
    announced: Option<Head>,
    /// The newest that was complete and found wrong.
    refused: Option<Head>,
}

impl Publisher {
    /// The newest head that is known.
    fn newest(&self) -> Option<&Head> {
        let heads = [
            self.announced.as_ref(),
            self.refused.as_ref(),
            self.current.as_ref().map(|it| &it.head),
        ];
        heads.into_iter().flatten().max_by_key(|head| (head.sequence(), head.catalog()))
    }
}

impl Catalogs {
    /// Reads what an earlier run has left in the folder, if there is one. Nobody is a member yet.
    ///
    /// # Errors
    ///
    /// If the folder is there and cannot be read. A file in it that is at fault is said in the log, and left alone.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let mut state = State::default();
        let entries = match fs::read_dir(folder) {
            Ok(entries) => Some(entries),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        for entry in entries.into_iter().flatten() {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let Ok(publisher) = name.parse::<NodeId>() else { continue };
            match read_head(&path) {
                Ok(head)
                    if head.publisher() == publisher && state.publishers.len() < MAX_PUBLISHERS =>
                {
                    state.publishers.entry(publisher).or_default().announced = Some(head);
                }
                Ok(_) => {
                    tracing::warn!(path = %path.display(), "the head of another catalog, which is left alone")
                }
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "no head of a catalog, which is left alone")
                }
            }
        }
        state.retired = Retired::open(&folder.join(RETIRED_FILE))?;
        Ok(Self { folder: folder.to_owned(), disk: Mutex::default(), state: Mutex::new(state) })
    }

    /// These publish, and nobody else. Of those that no longer do, the files count as removed.
    pub fn set_members(&self, members: BTreeSet<NodeId>) {
        let _disk = self.disk();
        let mut state = self.state();
        for publisher in state.publishers.keys().copied().collect::<Vec<_>>() {
            if !members.contains(&publisher) {
                state.leave(publisher, now());
            }
        }
        state.members = members;
        drop(state);
        self.write_retired();
    }

    /// What a head means, whose signature need not have been looked at.
    pub(crate) fn look(&self, head: &Head) -> News {
        let state = self.state();
        if !state.members.contains(&head.publisher()) {
            return News::Stranger;
        }
        let newest = state.publishers.get(&head.publisher()).and_then(Publisher::newest);
        if newest.is_none_or(|newest| head.supersedes(newest)) { News::Newer } else { News::Known }
    }

    /// A head has arrived whose signature is right. Returns whether its catalog is awaited from now on.
    pub(crate) fn announce(&self, head: Head) -> bool {
        let mut state = self.state();
        let publisher = head.publisher();
        if !state.members.contains(&publisher) || !state.has_capacity(publisher) {
            return false;
        }
        let known = state.publishers.entry(publisher).or_default();
        if known.newest().is_some_and(|newest| !head.supersedes(newest)) {
            return false;
        }
        let before = known.announced.replace(head);
        state.retired.keep(head.catalog());
        if let Some(before) = before {
            state.supersede(before.catalog(), now());
        }
        true
    }

    /// The heads whose catalogs are to be [completed](Self::complete) once they are held.
    #[must_use]
    pub fn awaited(&self) -> Vec<Head> {
        let state = self.state();
        let members =
            state.publishers.iter().filter(|(publisher, _)| state.members.contains(publisher));
        members.filter_map(|(_, known)| known.announced).collect()
    }

    /// Whether an artifact is a catalog that is awaited.
    pub(crate) fn is_awaited(&self, id: ArtifactId) -> bool {
        let state = self.state();
        let mut members =
            state.publishers.iter().filter(|(publisher, _)| state.members.contains(publisher));
        members.any(|(_, known)| known.announced.is_some_and(|head| head.catalog() == id))
    }

    /// The content of an awaited catalog is here. It is current from now on for each publisher that has announced it.
    ///
    /// # Errors
    ///
    /// What is wrong with the content. It is refused, and not awaited any more.
    pub(crate) fn complete(&self, id: ArtifactId, content: &[u8]) -> Result<Completed, Refused> {
        // Outside of the locks: it may take a second.
        let catalog = Catalog::decode(content).map(Arc::new);
        let _disk = self.disk();
        let mut completed = Completed::default();
        for head in self.awaited().into_iter().filter(|head| head.catalog() == id) {
            let catalog = catalog.clone();
            match catalog.and_then(|catalog| self.state().install(head, catalog, now())) {
                Ok(returned) => {
                    completed.heads.push(head);
                    completed.returned |= returned;
                    self.write(&head);
                }
                Err(error) => {
                    self.state().refuse(head, now());
                    self.write_retired();
                    return Err(Refused { head, error });
                }
            }
        }
        Ok(completed)
    }

    /// The next number for a catalog of this publisher: larger than all that are known, and than all that were used
    /// before a loss of the disk if the clock goes right.
    pub(crate) fn next_sequence(&self, publisher: NodeId) -> u64 {
        let state = self.state();
        let newest = state.publishers.get(&publisher).and_then(Publisher::newest);
        let next = newest.map_or(0, |newest| newest.sequence().saturating_add(1));
        let millis = now().as_millis().try_into().unwrap_or(u64::MAX);
        next.max(millis)
    }

    /// The publisher of this replica has a new catalog.
    ///
    /// # Errors
    ///
    /// [`CatalogError::TooLarge`], if all catalogs together would have too many files.
    pub(crate) fn publish(&self, head: Head, catalog: Arc<Catalog>) -> Result<(), CatalogError> {
        let _disk = self.disk();
        self.state().install(head, catalog, now())?;
        self.write(&head);
        Ok(())
    }

    /// The head of which an artifact is the current catalog.
    pub(crate) fn head_of(&self, id: ArtifactId) -> Option<Head> {
        let state = self.state();
        let mut heads =
            state.publishers.values().filter_map(|known| known.current.as_ref().map(|it| it.head));
        heads.find(|head| head.catalog() == id)
    }

    /// The current catalog of a publisher.
    #[must_use]
    pub fn current(&self, publisher: NodeId) -> Option<Current> {
        self.state().publishers.get(&publisher)?.current.clone()
    }

    /// All current catalogs, in the order of their publishers.
    #[must_use]
    pub fn all(&self) -> Vec<Current> {
        self.state().publishers.values().filter_map(|known| known.current.clone()).collect()
    }

    /// Whether an artifact was named and is no longer, so that it is not to be fetched.
    #[must_use]
    pub fn is_retired(&self, id: ArtifactId) -> bool {
        self.state().retired.contains(id)
    }

    /// What need not be held any more: catalogs that are not the newest, and what has been named by nobody for at
    /// least `time`. Some of it may be gone already, or be named again by now.
    pub(crate) fn droppable(&self, time: Duration) -> Vec<ArtifactId> {
        let mut state = self.state();
        let mut droppable = std::mem::take(&mut state.superseded);
        droppable.extend(state.retired.since(now().saturating_sub(time)));
        droppable
    }

    /// What was retired for so long need not be remembered any more.
    pub(crate) fn forget_retired(&self, time: Duration) {
        let _disk = self.disk();
        self.state().retired.forget(now().saturating_sub(time));
        self.write_retired();
    }

    fn write(&self, head: &Head) {
        let path = self.folder.join(format!("{:x}", head.publisher()));
        if let Err(error) = write_aside(&path, &head.encode()) {
            tracing::warn!(path = %path.display(), %error, "cannot write the head of a catalog");
        }
        self.write_retired();
    }

    /// With the lock of the disk held.
    fn write_retired(&self) {
        let Some(change) = self.state().retired.take_change() else { return };
        let path = self.folder.join(RETIRED_FILE);
        if let Err(error) = change.write(&path) {
            tracing::warn!(path = %path.display(), %error, "cannot write what is named no longer");
            self.state().retired.not_written();
        }
    }

    fn disk(&self) -> MutexGuard<'_, ()> {
        // What is written by halves is written again with the next change.
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic inside is a bug that other threads need not die of.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether this publisher is known or may be. One that has left the list makes place.
    fn has_capacity(&mut self, publisher: NodeId) -> bool {
        if self.publishers.len() < MAX_PUBLISHERS || self.publishers.contains_key(&publisher) {
            return true;
        }
        let gone = self.publishers.keys().copied().find(|known| !self.members.contains(known));
        gone.is_some_and(|gone| self.publishers.remove(&gone).is_some())
    }

    /// Returns whether it names something that none named any more.
    fn install(
        &mut self,
        head: Head,
        catalog: Arc<Catalog>,
        now: Duration,
    ) -> Result<bool, CatalogError> {
        let publisher = head.publisher();
        let known = self.publishers.entry(publisher).or_default();
        let before = known.current.as_ref().map_or(0, |current| current.catalog.len());
        let files = self.files - before + catalog.len();
        if files > MAX_FILES {
            return Err(CatalogError::TooLarge);
        }
        self.files = files;
        if known.announced.is_some_and(|announced| !announced.supersedes(&head)) {
            known.announced = None;
        }
        let before = known.current.replace(Current { head, catalog: catalog.clone() });
        let mut returned = false;
        // First what is named, so that what both name is never retired.
        for (_, entry) in catalog.files() {
            *self.named.entry(entry.id).or_default() += 1;
            returned |= self.retired.keep(entry.id);
        }
        self.retired.keep(head.catalog());
        if let Some(before) = before {
            self.unname(&before.catalog, now);
            if before.head.catalog() != head.catalog() {
                self.supersede(before.head.catalog(), now);
            }
        }
        Ok(returned)
    }

    fn refuse(&mut self, head: Head, now: Duration) {
        let Some(known) = self.publishers.get_mut(&head.publisher()) else { return };
        if known.announced == Some(head) {
            known.announced = None;
        }
        known.refused = Some(head);
        self.supersede(head.catalog(), now);
    }

    /// A publisher is not on the list any more. What is known of them waits until they are.
    fn leave(&mut self, publisher: NodeId, now: Duration) {
        let Some(known) = self.publishers.get_mut(&publisher) else { return };
        let Some(current) = known.current.take() else { return };
        if known.announced.is_none_or(|announced| current.head.supersedes(&announced)) {
            known.announced = Some(current.head);
        }
        self.files -= current.catalog.len();
        self.unname(&current.catalog, now);
        self.retired.retire(current.head.catalog(), now);
    }

    fn unname(&mut self, catalog: &Catalog, now: Duration) {
        for (_, entry) in catalog.files() {
            let Some(count) = self.named.get_mut(&entry.id) else { continue };
            *count -= 1;
            if *count == 0 {
                self.named.remove(&entry.id);
                if !self.is_catalog(entry.id) {
                    self.retired.retire(entry.id, now);
                }
            }
        }
    }

    /// A catalog that is not the newest is of no use to anybody.
    fn supersede(&mut self, id: ArtifactId, now: Duration) {
        if !self.named.contains_key(&id) && !self.is_catalog(id) {
            self.retired.retire(id, now);
            if self.superseded.len() < MAX_SUPERSEDED {
                self.superseded.push(id);
            }
        }
    }

    fn is_catalog(&self, id: ArtifactId) -> bool {
        self.publishers.values().any(|known| {
            let current = known.current.as_ref().map(|current| current.head);
            [current, known.announced].into_iter().flatten().any(|head| head.catalog() == id)
        })
    }
}

/// The time of day, since 1970. A clock before that says 0.
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests;
