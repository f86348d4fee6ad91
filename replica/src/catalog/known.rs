//! What this replica knows of each publisher's catalogs, in memory and on disk.
//!
//! ```text
//! store/catalogs/<64 hex>    the head of a publisher's newest catalog that was complete here
//! store/catalogs/retired     what was named once, see `retired`
//! ```
//!
//! The states are those of the [module above](super). A head that is read from disk is announced: it is current again
//! as soon as its catalog has been read. A publisher that is taken off the list of peers no longer counts: its head is
//! kept, and nobody names its files until it is on the list again.
//!
//! Two locks. `disk` is held from a change of the state until it is written, so that both go the same way; `state` only
//! for steps in memory. The first is taken before the second. What is retired is written before the head that no longer
//! names it: a crash in between leaves the old head, and that names it again. What may be fetched is asked, and
//! counted, under `state` as well.
//!
//! Bounded: [`MAX_PUBLISHERS`], [`MAX_FILES`] of each, [`MAX_ALL_FILES`] of all or an equal part of these. A
//! publisher's catalogs are looked at no more often than every [`PAUSE`], and [`PAUSE_PER_FILE`] for each file of the
//! last. A head that cannot be written is said in the log; it counts until the replica ends, and is fetched again
//! afterwards.

mod fetching;

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use gossip_engine::{ArtifactId, NodeId};

use super::{
    Catalog, CatalogError, Head, MAX_FILES,
    disk::read_head,
    publishers::{Current, State},
    retired::Retired,
    share::{LookUp, OverShare},
    unnamed::Unnamed,
};
use crate::replace_file::replace_file;

/// How many publishers are known at a time, those that have left the list among them.
pub const MAX_PUBLISHERS: usize = 8192;
/// The most files of all current catalogs together. What does not fit waits; the replica's own catalog never does.
///
/// Each publisher on the list has an equal part of this whatever the others name: a catalog with no more files does not
/// wait. So there may be twice as many, and the replica's own.
pub const MAX_ALL_FILES: usize = 4 * MAX_FILES;
/// How many there are at most with the equal parts. These alone do not reach it, unless the list has grown since and
/// parts were larger before.
pub(super) const MOST_FILES: usize = 2 * MAX_ALL_FILES + MAX_FILES;

/// How much time lies at least between two looks at catalogs of a publisher, and how much more for each file.
pub(super) const PAUSE: Duration = Duration::from_millis(100);
pub(super) const PAUSE_PER_FILE: Duration = Duration::from_micros(25);

const RETIRED_FILE: &str = "retired";

/// What a head that has arrived means.
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
    /// The heads of which it is not what they say, and why.
    pub(crate) refused: Vec<(Head, CatalogError)>,
    /// Whether it names something that none named any more, or that was beyond a share.
    pub(crate) returned: bool,
    /// Whether it names something that is not here and that nobody advertises yet.
    pub(crate) has_unknown: bool,
    /// Those of their publishers whose catalog before was within its share.
    pub(crate) were_within: Vec<NodeId>,
}

/// What is known of the catalogs of each publisher. See the [module](super) for what they are.
#[derive(Debug)]
pub struct Catalogs {
    folder: PathBuf,
    /// Whose share has no limit.
    own: Option<NodeId>,
    /// The share of each other publisher in bytes, if it has a limit.
    max_publisher_bytes: Option<u64>,
    disk: Mutex<()>,
    state: Mutex<State>,
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
            let shown = path.display();
            match read_head(&path) {
                Ok(head) if head.publisher() == publisher => state.remember(head),
                Ok(_) => {
                    tracing::warn!(path = %shown, "the head of another publisher's catalog; it is left alone")
                }
                Err(error) => {
                    tracing::warn!(path = %shown, %error, "not the head of a catalog; it is left alone")
                }
            }
        }
        state.retired = Retired::open(&folder.join(RETIRED_FILE))?;
        Ok(Self {
            folder: folder.to_owned(),
            own: None,
            max_publisher_bytes: None,
            disk: Mutex::default(),
            state: Mutex::new(state),
        })
    }

    /// Says which replica this is: its own content has no limit.
    #[must_use]
    pub fn with_own(mut self, own: NodeId) -> Self {
        self.own = Some(own);
        self
    }

    /// How many bytes are held for each publisher, and how many of each peer that no catalog names.
    pub(crate) fn with_limits(mut self, publisher: Option<u64>, unnamed: u64) -> Self {
        self.max_publisher_bytes = publisher;
        let unnamed = publisher.map_or(unnamed, |publisher| publisher.min(unnamed));
        self.state().unnamed = Unnamed::with_limit(unnamed);
        self
    }

    /// How many bytes are held for each publisher.
    pub(crate) fn max_publisher_bytes(&self) -> Option<u64> {
        self.max_publisher_bytes
    }

    /// Nothing is known, and nothing may be published: there is no folder.
    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn without_folder() -> Self {
        Self {
            folder: PathBuf::new(),
            own: None,
            max_publisher_bytes: None,
            disk: Mutex::default(),
            state: Mutex::default(),
        }
    }

    /// These publish, and nobody else. Of those that no longer do, the files count as removed. Touches no disk: what
    /// is retired is written with the next change.
    pub(crate) fn set_members(&self, members: BTreeSet<NodeId>, look_up: LookUp<'_>) {
        let unnamed = self.state().set_members(members);
        self.retire(unnamed, None, look_up);
    }

    /// What a head means. Its signature need not have been checked.
    pub(crate) fn look(&self, head: &Head) -> News {
        self.state().look(head)
    }

    /// A head has arrived whose signature is right. Returns whether its catalog is awaited from now on.
    pub(crate) fn announce(&self, head: Head) -> bool {
        self.state().announce(head)
    }

    /// The heads whose catalogs are not here yet.
    #[must_use]
    pub fn awaited(&self) -> Vec<Head> {
        self.state().awaited()
    }

    /// Whether an artifact is a catalog that is awaited, and may be looked at now.
    pub(crate) fn is_due(&self, id: ArtifactId, now: Duration) -> bool {
        self.state().is_due(id, now)
    }

    /// The content of an awaited catalog is here. It becomes current for each publisher that has announced it, if it is
    /// what the head says. Otherwise it is refused, and not awaited any more.
    ///
    /// `now` is the time of a monotonic clock, the same clock with each call.
    pub(crate) fn complete(
        &self,
        id: ArtifactId,
        content: &[u8],
        now: Duration,
        look_up: LookUp<'_>,
    ) -> Completed {
        // Outside of the locks: it may take a second.
        let decoded = Catalog::decode_of(content);
        let decoded = decoded.map(|(publisher, catalog)| (publisher, Arc::new(catalog)));
        let _disk = self.disk();
        let mut completed = Completed::default();
        let awaited = self.awaited();
        for head in awaited.into_iter().filter(|head| head.catalog() == id) {
            let catalog = decoded.clone().and_then(|(publisher, catalog)| {
                let same = publisher == head.publisher() && content.len() as u64 == head.size();
                if same { Ok(catalog) } else { Err(CatalogError::Another) }
            });
            // Before the lock, since it takes others.
            let over_share = catalog.as_deref().map(|of| self.over_share(&head, of, look_up));
            let over_share = over_share.unwrap_or_default();
            let has_unknown = catalog.as_deref().is_ok_and(|catalog| {
                let files = catalog.files().enumerate();
                // Nobody is asked for what is beyond the share.
                let mut within = files.filter(|(number, _)| !over_share.contains(*number));
                within.any(|(_, (_, entry))| look_up(entry.id).is_none())
            });
            let mut state = self.state();
            if !state.take_look(&head, now) {
                continue;
            }
            match catalog {
                Err(error) => {
                    state.refuse(head);
                    completed.refused.push((head, error));
                }
                // It waits until others have fewer.
                Ok(catalog) if !state.fits(&head, catalog.len()) => {}
                Ok(catalog) => {
                    let installed = state.install(head, catalog, over_share);
                    drop(state);
                    completed.heads.push(head);
                    completed.returned |= installed.returned;
                    completed.has_unknown |= has_unknown;
                    completed.were_within.extend(installed.was_within.then(|| head.publisher()));
                    let limited = self.max_publisher_bytes.and(Some(head.publisher()));
                    let limited = limited.filter(|publisher| self.own != Some(*publisher));
                    self.retire(installed.unnamed, limited, look_up);
                    self.write(&head);
                }
            }
        }
        completed
    }

    /// The next number for a catalog of this publisher: larger than all that are known, and than all that were used
    /// before a loss of the disk if the clock is right.
    pub(crate) fn next_sequence(&self, publisher: NodeId) -> u64 {
        let next =
            self.state().newest(publisher).map_or(0, |newest| newest.sequence().saturating_add(1));
        let millis = wall_clock().as_millis().try_into().unwrap_or(u64::MAX);
        next.max(millis)
    }

    /// This replica publishes a new catalog.
    pub(crate) fn publish(&self, head: Head, catalog: Arc<Catalog>, look_up: LookUp<'_>) {
        let _disk = self.disk();
        let installed = self.state().install(head, catalog, OverShare::default());
        self.retire(installed.unnamed, None, look_up);
        self.write(&head);
    }

    fn over_share(&self, head: &Head, catalog: &Catalog, look_up: LookUp<'_>) -> OverShare {
        if self.own == Some(head.publisher()) {
            return OverShare::default();
        }
        OverShare::of(catalog, self.max_publisher_bytes, look_up)
    }

    /// The head of which an artifact is the current catalog.
    pub(crate) fn head_of(&self, id: ArtifactId) -> Option<Head> {
        self.state().head_of(id)
    }

    /// The current catalog of a publisher.
    #[must_use]
    pub fn current(&self, publisher: NodeId) -> Option<Current> {
        self.state().current(publisher)
    }

    /// All current catalogs, in the order of their publishers.
    #[must_use]
    pub fn all(&self) -> Vec<Current> {
        self.state().all()
    }

    /// Whether an artifact was named and is no longer, so that it is neither fetched nor announced.
    #[must_use]
    pub fn is_unwanted(&self, id: ArtifactId) -> bool {
        self.state().is_unwanted(id)
    }

    /// Which of these are unwanted.
    pub(crate) fn unwanted(&self, ids: impl Iterator<Item = ArtifactId>) -> BTreeSet<ArtifactId> {
        let state = self.state();
        ids.filter(|id| state.is_unwanted(*id)).collect()
    }

    /// What need not be held any more: what has been named by nobody for at least `time`, the oldest first, and then
    /// catalogs that have not been the newest for a minute. Some of it may be gone already, or be named again by now.
    pub(crate) fn droppable(&self, time: Duration) -> Vec<ArtifactId> {
        self.state().droppable(time, wall_clock())
    }

    /// What was retired for so long need not be remembered any more.
    pub(crate) fn forget_retired(&self, time: Duration) {
        let _disk = self.disk();
        self.state().retired.forget(wall_clock().saturating_sub(time));
        self.write_retired();
    }

    /// Nobody names these any more, unless somebody does by now. They count for the publisher, if it has a limit.
    fn retire(&self, unnamed: Vec<ArtifactId>, limited: Option<NodeId>, look_up: LookUp<'_>) {
        let here = unnamed.into_iter().filter_map(|id| Some((id, look_up(id)?))).collect();
        self.state().retire(here, limited, wall_clock());
    }

    /// With the lock of the disk held. What is retired comes first.
    fn write(&self, head: &Head) {
        self.write_retired();
        let path = self.folder.join(format!("{:x}", head.publisher()));
        if let Err(error) = replace_file(&path, &head.encode()) {
            tracing::warn!(path = %path.display(), %error, "cannot write the head of a catalog");
        }
    }

    /// With the lock of the disk held.
    fn write_retired(&self) {
        let Some(change) = self.state().retired.take_change() else { return };
        let path = self.folder.join(RETIRED_FILE);
        if let Err(error) = change.write(&path) {
            tracing::warn!(path = %path.display(), %error, "cannot write the list of retired artifacts");
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

/// The time of day, since 1970: it goes on while the replica does not run. A clock before that says 0.
fn wall_clock() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests;
