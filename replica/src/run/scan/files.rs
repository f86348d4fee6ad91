//! What is known of the files of the folder, and what is to be done with each.
//!
//! ```text
//! new, or of another version ──> settling ── unchanged for the settle time ──> published
//!            ^                                                  └──> refused   (tried again with each scan)
//!            └────────────── it changes, or the store does not hold it any more ──┘
//! ```
//!
//! That a file has not changed is seen, not concluded from its times: clocks of file systems may be wrong. A file that
//! is only renamed does not settle again. Some 200 bytes are kept for each file, and forgotten with it.
//!
//! A name stands for the content that was published last under it, until the next is published: what is being written
//! does not vanish meanwhile. The names are made known as a catalog, see `catalog`.

mod catalog;
mod publish;

use std::{
    collections::{HashMap, HashSet},
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use gossip_engine::ArtifactId;
use gossip_replica::{
    catalog::{Catalog, FileEntry, FilePath},
    file_version::FileVersion,
    gossip::{CatalogPublishError, PublishError, ReplicaGossip},
    identity::Identity,
    store::Imported,
};

use self::publish::{BATCH, Due};

/// Files that change all the time are looked at no more often.
const SHORTEST_LOOK: Duration = Duration::from_millis(500);

/// Where files are published, several at a time.
pub(super) trait Outlet: Sync {
    fn publish(&self, path: &Path) -> Result<Imported, PublishError>;
    fn holds(&self, id: ArtifactId) -> bool;
    /// The catalog that was published last.
    fn catalog(&self) -> Option<Arc<Catalog>>;
    /// Whether the store holds it.
    fn holds_catalog(&self) -> bool;
    /// Whether there is one that is not here yet, after a loss.
    fn awaits_catalog(&self) -> bool;
    fn publish_catalog(&self, catalog: Arc<Catalog>) -> Result<(), CatalogPublishError>;
}

/// A replica that publishes in its own name.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) gossip: Arc<ReplicaGossip>,
    pub(super) identity: Identity,
}

impl Outlet for Own {
    fn publish(&self, path: &Path) -> Result<Imported, PublishError> {
        self.gossip.publish(path)
    }

    fn holds(&self, id: ArtifactId) -> bool {
        self.gossip.store().contains(id)
    }

    fn catalog(&self) -> Option<Arc<Catalog>> {
        Some(self.gossip.catalogs().current(self.identity.node_id())?.catalog)
    }

    fn holds_catalog(&self) -> bool {
        let current = self.gossip.catalogs().current(self.identity.node_id());
        current.is_some_and(|current| self.gossip.store().contains(current.head.catalog()))
    }

    fn awaits_catalog(&self) -> bool {
        let own = self.identity.node_id();
        self.gossip.catalogs().awaited().iter().any(|head| head.publisher() == own)
    }

    fn publish_catalog(&self, catalog: Arc<Catalog>) -> Result<(), CatalogPublishError> {
        self.gossip.publish_catalog(&self.identity, catalog).map(drop)
    }
}

#[derive(Debug)]
pub(super) struct Files<O> {
    /// What their paths begin with.
    folder: PathBuf,
    outlet: O,
    settle: Duration,
    /// By their paths in the folder.
    known: HashMap<Box<Path>, Known>,
    /// The number of the scan.
    scan: u64,
    /// Whether that has looked at all files.
    is_whole: bool,
    /// Folders in it that could not be looked at.
    unreadable: Vec<FilePath>,
    /// Files whose names are gone since the last scan, by their numbers.
    moved: HashMap<(u64, u64), (FileVersion, ArtifactId)>,
    names: catalog::Names,
    /// How many artifacts were new.
    published: Arc<AtomicU64>,
    /// Why the store takes nothing at all: nothing more is tried until the next scan.
    store_fault: Option<(&'static str, io::ErrorKind)>,
    /// As it was said last; said again when it changes.
    reported_fault: Option<(&'static str, io::ErrorKind)>,
}

#[derive(Debug)]
struct Known {
    version: FileVersion,
    state: State,
    /// The last scan that found it.
    scan: u64,
}

#[derive(Debug)]
enum State {
    /// It has had this version since then. Its name stands for what was published before.
    Settling {
        since: Instant,
        named: Option<Box<FileEntry>>,
    },
    /// This version was published.
    Published {
        id: ArtifactId,
        mode: u32,
    },
    Refused(Box<Refused>),
}

/// Of few files.
#[derive(Debug)]
struct Refused {
    reason: String,
    is_private_key: bool,
    named: Option<FileEntry>,
}

impl Known {
    /// What its name stands for.
    fn named(&self) -> Option<FileEntry> {
        match &self.state {
            State::Settling { named, .. } => named.as_deref().copied(),
            State::Published { id, mode } => {
                let (size, modified_ns) = (self.version.size(), self.version.modified_ns());
                Some(FileEntry { id: *id, size, mode: *mode, modified_ns })
            }
            State::Refused(refused) => refused.named,
        }
    }
}

/// Whether to stop after the files that are being read.
pub(super) type IsStopped<'a> = &'a (dyn Fn() -> bool + Sync);

impl<O: Outlet> Files<O> {
    pub(super) fn new(
        folder: PathBuf,
        outlet: O,
        settle: Duration,
        published: Arc<AtomicU64>,
    ) -> Self {
        Self {
            folder,
            outlet,
            settle,
            known: HashMap::new(),
            scan: 0,
            is_whole: false,
            unreadable: Vec::new(),
            moved: HashMap::new(),
            names: catalog::Names::default(),
            published,
            store_fault: None,
            reported_fault: None,
        }
    }

    /// How many artifacts were new to the store.
    pub(super) fn published(&self) -> u64 {
        // Relaxed, here and below: a figure that orders nothing.
        self.published.load(Ordering::Relaxed)
    }

    /// How many files are private keys, and the first of them.
    pub(super) fn private_keys(&self) -> (usize, Option<PathBuf>) {
        let keys = self.known.iter().filter(
            |(_, known)| matches!(&known.state, State::Refused(refused) if refused.is_private_key),
        );
        (keys.clone().count(), keys.map(|(path, _)| self.folder.join(path)).min())
    }

    /// How many other files are not published, and the first of them with the reason.
    pub(super) fn refused(&self) -> (usize, Option<String>) {
        let refused = self.known.iter().filter_map(|(path, known)| match &known.state {
            State::Refused(refused) if !refused.is_private_key => Some((path, &refused.reason)),
            _ => None,
        });
        let first = refused.clone().min_by_key(|(path, _)| *path);
        (refused.count(), first.map(|(path, reason)| format!("{}: {reason}", path.display())))
    }

    /// When there is something to do: a file has settled, unless it changes, or a catalog is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        if self.store_fault.is_some() {
            return None;
        }
        let settle = self.settle.max(SHORTEST_LOOK);
        let settling = self.known.values().filter_map(|known| match known.state {
            State::Settling { since, .. } => Some(since + settle),
            _ => None,
        });
        settling.chain(self.names.due()).min()
    }

    /// Looks at all files that there are, but for those in the `unreadable` folders: they are as they were.
    pub(super) fn look_at(
        &mut self,
        files: &[PathBuf],
        unreadable: &[&Path],
        now: Instant,
        is_stopped: IsStopped<'_>,
    ) {
        self.scan += 1;
        self.is_whole = false;
        self.store_fault = None;
        self.find_moved(files);
        let name = |folder: &&Path| FilePath::of(folder.strip_prefix(&self.folder).ok()?).ok();
        self.unreadable = unreadable.iter().filter_map(name).collect();
        for batch in files.chunks(BATCH) {
            if is_stopped() {
                return;
            }
            if self.store_fault.is_none() {
                let due = batch.iter().filter_map(|path| self.look(path, now)).collect();
                self.publish(due, now, is_stopped);
            }
            for path in batch {
                if let Some(known) = self.known.get_mut(within(&self.folder, path)) {
                    known.scan = self.scan;
                }
            }
        }
        if is_stopped() {
            return;
        }
        let unreadable: Vec<&Path> =
            unreadable.iter().map(|folder| within(&self.folder, folder)).collect();
        let is_below = |path: &Path| unreadable.iter().any(|folder| path.starts_with(folder));
        self.known.retain(|path, known| known.scan == self.scan || is_below(path));
        self.moved.clear();
        self.is_whole = self.store_fault.is_none();
    }

    /// What is published is published under another name if it is there and its name is not.
    fn find_moved(&mut self, files: &[PathBuf]) {
        let found: HashSet<&Path> = files.iter().map(|path| within(&self.folder, path)).collect();
        let gone = self.known.iter().filter(|(path, _)| !found.contains(&***path));
        self.moved = gone
            .filter_map(|(_, known)| match known.state {
                State::Published { id, .. } => {
                    Some((known.version.file_number(), (known.version, id)))
                }
                _ => None,
            })
            .collect();
    }

    /// Looks at those that have to settle and no others.
    pub(super) fn look_at_settling(&mut self, now: Instant, is_stopped: IsStopped<'_>) {
        let settling: Vec<PathBuf> = self
            .known
            .iter()
            .filter(|(_, known)| matches!(known.state, State::Settling { .. }))
            .map(|(path, _)| self.folder.join(path))
            .collect();
        for batch in settling.chunks(BATCH) {
            if is_stopped() || self.store_fault.is_some() {
                return;
            }
            let due = batch.iter().filter_map(|path| self.look(path, now)).collect();
            self.publish(due, now, is_stopped);
        }
    }

    /// Looks at a file. Returns it if it is to be published now.
    fn look(&mut self, path: &Path, now: Instant) -> Option<Due> {
        let relative = within(&self.folder, path);
        // Gone, or something else by now, or its disk is: the next scan finds out what is there, and only that removes.
        let Some(metadata) = fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file) else {
            if let Some(Known { state: State::Settling { since, .. }, .. }) =
                self.known.get_mut(relative)
            {
                *since = now;
            }
            return None;
        };
        let version = FileVersion::of(&metadata);
        let name = match FilePath::of(relative) {
            Ok(name) => name,
            Err(error) => {
                self.refuse_name(path, version, &error.to_string());
                return None;
            }
        };
        let due = Due { path: path.to_owned(), name, metadata };
        match self.known.get(relative) {
            None => {
                if let Some((moved, id)) = self.moved.get(&version.file_number())
                    && version.is_moved_from(moved)
                {
                    let id = *id;
                    self.keep(&due, State::published(id, &due.metadata));
                    return None;
                }
            }
            Some(known) if known.version == version => match &known.state {
                State::Settling { since, .. } if now.duration_since(*since) < self.settle => {
                    return None;
                }
                State::Published { id, .. } if self.outlet.holds(*id) => return None,
                _ => return Some(due),
            },
            Some(_) => {}
        }
        if self.settle.is_zero() {
            return Some(due);
        }
        let state = self.settling(&due, now);
        self.keep(&due, state);
        None
    }

    fn settling(&self, due: &Due, since: Instant) -> State {
        State::Settling { since, named: self.named(due).map(Box::new) }
    }

    /// What the name of a file that is not published stands for: the content before, also that of an earlier run. A
    /// disk that can no longer be read is no removal.
    fn named(&self, due: &Due) -> Option<FileEntry> {
        match self.known.get(within(&self.folder, &due.path)) {
            Some(known) => known.named(),
            None => self.outlet.catalog().and_then(|catalog| catalog.get(&due.name).copied()),
        }
    }

    /// What is known of a file from now on.
    fn keep(&mut self, due: &Due, state: State) {
        let known = Known { version: FileVersion::of(&due.metadata), state, scan: self.scan };
        self.known.insert(within(&self.folder, &due.path).into(), known);
    }

    /// The name of a file is none that a catalog can have.
    fn refuse_name(&mut self, path: &Path, version: FileVersion, reason: &str) {
        let refused = Refused { reason: reason.to_owned(), is_private_key: false, named: None };
        let known = Known { version, state: State::Refused(Box::new(refused)), scan: self.scan };
        if self.known.insert(within(&self.folder, path).into(), known).is_none() {
            tracing::warn!(?path, reason, "cannot publish a file");
        }
    }
}

impl State {
    fn published(id: ArtifactId, metadata: &fs::Metadata) -> Self {
        Self::Published { id, mode: FileEntry::of(id, metadata).mode }
    }
}

/// The path in the folder.
fn within<'p>(folder: &Path, path: &'p Path) -> &'p Path {
    path.strip_prefix(folder).unwrap_or(path)
}

#[cfg(test)]
mod tests;
