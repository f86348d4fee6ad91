//! What is known of the files of the folder, and what is to be done with each.
//!
//! ```text
//! new, or of another version ──> settling ── unchanged for the settle time ──> published
//!            ^                                                  └──> refused   (tried again with each scan)
//!            └────────────── it changes, or the store does not hold it any more ──┘
//! ```
//!
//! That a file has not changed is seen, not concluded from its times: clocks of file systems may be wrong. A file that
//! is only renamed does not settle again. Some 400 bytes are kept for each file, and forgotten with it.
//!
//! A name stands for the content that was published last under it, until the next is published: what is being written
//! does not vanish meanwhile. The names are made known as a catalog, see `catalog`.

mod catalog;

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
    store::{Imported, StoreError},
};

/// Files that change all the time are looked at no more often.
const SHORTEST_LOOK: Duration = Duration::from_millis(500);

/// Where files are published.
pub(super) trait Outlet {
    fn publish(&self, path: &Path) -> Result<Imported, PublishError>;
    fn holds(&self, id: ArtifactId) -> bool;
    /// The catalog that was published last.
    fn catalog(&self) -> Option<Arc<Catalog>>;
    /// Whether the store holds it.
    fn holds_catalog(&self) -> bool;
    /// Whether there is one that is not here yet, after a loss.
    fn awaits_catalog(&self) -> bool;
    fn publish_catalog(&self, catalog: Catalog) -> Result<(), CatalogPublishError>;
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

    fn publish_catalog(&self, catalog: Catalog) -> Result<(), CatalogPublishError> {
        self.gossip.publish_catalog(&self.identity, catalog).map(drop)
    }
}

#[derive(Debug)]
pub(super) struct Files<O> {
    /// What their paths begin with.
    folder: PathBuf,
    outlet: O,
    settle: Duration,
    known: HashMap<PathBuf, Known>,
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
    /// What its name stands for.
    named: Option<(FilePath, FileEntry)>,
    /// The last scan that found it.
    scan: u64,
}

#[derive(Debug)]
enum State {
    /// It has had this version since then.
    Settling(Instant),
    Published(ArtifactId),
    Refused {
        reason: String,
        is_private_key: bool,
    },
}

/// The store takes no file at the moment.
#[derive(Debug)]
struct StoreFault;

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
    pub(super) fn private_keys(&self) -> (usize, Option<&Path>) {
        let keys = self.known.iter().filter(|(_, known)| {
            matches!(known.state, State::Refused { is_private_key: true, .. })
        });
        (keys.clone().count(), keys.map(|(path, _)| path.as_path()).min())
    }

    /// When there is something to do: a file has settled, unless it changes, or a catalog is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        if self.store_fault.is_some() {
            return None;
        }
        let settle = self.settle.max(SHORTEST_LOOK);
        let settling = self.known.values().filter_map(|known| match known.state {
            State::Settling(since) => Some(since + settle),
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
        is_stopped: &dyn Fn() -> bool,
    ) {
        self.scan += 1;
        self.is_whole = false;
        self.store_fault = None;
        self.find_moved(files);
        let name = |folder: &&Path| FilePath::of(folder.strip_prefix(&self.folder).ok()?).ok();
        self.unreadable = unreadable.iter().filter_map(name).collect();
        let mut go_on = true;
        for path in files {
            if is_stopped() {
                return;
            }
            if go_on {
                go_on = self.look(path, now).is_ok();
            }
            if let Some(known) = self.known.get_mut(path) {
                known.scan = self.scan;
            }
        }
        let is_below = |path: &Path| unreadable.iter().any(|folder| path.starts_with(folder));
        self.known.retain(|path, known| known.scan == self.scan || is_below(path));
        self.moved.clear();
        self.is_whole = go_on;
    }

    /// What is published is published under another name if it is there and its name is not.
    fn find_moved(&mut self, files: &[PathBuf]) {
        let found: HashSet<&Path> = files.iter().map(PathBuf::as_path).collect();
        let gone = self.known.iter().filter(|(path, _)| !found.contains(path.as_path()));
        self.moved = gone
            .filter_map(|(_, known)| match known.state {
                State::Published(id) => Some((known.version.file_number(), (known.version, id))),
                _ => None,
            })
            .collect();
    }

    /// Looks at those that have to settle and no others.
    pub(super) fn look_at_settling(&mut self, now: Instant, is_stopped: &dyn Fn() -> bool) {
        let settling: Vec<PathBuf> = self
            .known
            .iter()
            .filter(|(_, known)| matches!(known.state, State::Settling(_)))
            .map(|(path, _)| path.clone())
            .collect();
        for path in settling {
            if is_stopped() || self.look(&path, now).is_err() {
                return;
            }
        }
    }

    fn look(&mut self, path: &Path, now: Instant) -> Result<(), StoreFault> {
        // Gone, or something else by now, or its disk is: the next scan finds out what is there, and only that removes.
        let Some(metadata) = fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file) else {
            if let Some(Known { state: state @ State::Settling(_), .. }) = self.known.get_mut(path)
            {
                *state = State::Settling(now);
            }
            return Ok(());
        };
        let version = FileVersion::of(&metadata);
        let name = match FilePath::of(path.strip_prefix(&self.folder).unwrap_or(path)) {
            Ok(name) => name,
            Err(error) => {
                self.refuse_name(path, version, &error.to_string());
                return Ok(());
            }
        };
        if !self.known.contains_key(path)
            && let Some((moved, id)) = self.moved.get(&version.file_number())
            && version.is_moved_from(moved)
        {
            let id = *id;
            self.keep(path, name, &metadata, State::Published(id));
            return Ok(());
        }
        let refused = match self.known.get(path) {
            Some(Known { version: known, state, .. }) if *known == version => match state {
                State::Settling(since) if now.duration_since(*since) < self.settle => return Ok(()),
                State::Published(id) if self.outlet.holds(*id) => return Ok(()),
                State::Refused { reason, .. } => Some(reason.clone()),
                State::Settling(_) | State::Published(_) => None,
            },
            _ if self.settle.is_zero() => None,
            _ => {
                self.keep(path, name, &metadata, State::Settling(now));
                return Ok(());
            }
        };
        let state = self.publish(path, refused, now)?;
        self.keep(path, name, &metadata, state);
        Ok(())
    }

    /// What is to be known of the file from now on. It is said why it is `refused`, unless that was said before.
    fn publish(
        &mut self,
        path: &Path,
        refused: Option<String>,
        now: Instant,
    ) -> Result<State, StoreFault> {
        let error = match self.outlet.publish(path) {
            Ok(imported) => {
                self.reported_fault = None;
                self.published.fetch_add(u64::from(imported.new), Ordering::Relaxed);
                return Ok(State::Published(imported.artifact.id));
            }
            Err(PublishError::Store(StoreError::Changed { .. })) => {
                return Ok(State::Settling(now));
            }
            Err(error) => error,
        };
        let reason = error.to_string();
        match &error {
            // Where the store does not take one file, it takes no other.
            PublishError::Store(fault) if is_of_the_store(fault, path) => {
                let fault = Some(match fault {
                    StoreError::Io { action, source, .. } => (*action, source.kind()),
                    _ => ("use", io::ErrorKind::Other),
                });
                self.store_fault = fault;
                if self.reported_fault != fault {
                    self.reported_fault = fault;
                    tracing::warn!(reason, "cannot publish");
                }
                Err(StoreFault)
            }
            _ => {
                if refused.as_ref() != Some(&reason) {
                    tracing::warn!(reason, "cannot publish a file");
                }
                let is_private_key =
                    matches!(error, PublishError::Store(StoreError::PrivateKey { .. }));
                Ok(State::Refused { reason, is_private_key })
            }
        }
    }

    /// What is known of a file from now on.
    fn keep(&mut self, path: &Path, name: FilePath, metadata: &fs::Metadata, state: State) {
        let version = FileVersion::of(metadata);
        let named = match &state {
            State::Published(id) => Some(FileEntry::of(*id, metadata)),
            // The content before, also that of an earlier run. A disk that can no longer be read is no removal.
            State::Settling(_) | State::Refused { is_private_key: false, .. } => {
                match self.known.get(path) {
                    Some(known) => known.named.as_ref().map(|(_, entry)| *entry),
                    None => self.outlet.catalog().and_then(|catalog| catalog.get(&name).copied()),
                }
            }
            State::Refused { .. } => None,
        };
        let named = named.map(|entry| (name, entry));
        self.known.insert(path.to_owned(), Known { version, state, named, scan: self.scan });
    }

    /// The name of a file is none that a catalog can have.
    fn refuse_name(&mut self, path: &Path, version: FileVersion, reason: &str) {
        let state = State::Refused { reason: reason.to_owned(), is_private_key: false };
        let known = Known { version, state, named: None, scan: self.scan };
        if self.known.insert(path.to_owned(), known).is_none() {
            tracing::warn!(?path, reason, "cannot publish a file");
        }
    }
}

/// Whether another file would meet it too.
fn is_of_the_store(fault: &StoreError, file: &Path) -> bool {
    fault.is_disk() && !matches!(fault, StoreError::Io { path, .. } if path == file)
}

#[cfg(test)]
mod tests;
