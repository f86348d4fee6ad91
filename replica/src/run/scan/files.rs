//! What is known of the files of the folder, and what is to be done with each.
//!
//! ```text
//! new, or of another version ──> settling ── unchanged for the settle time ──> published
//!            ^                                                  └──> refused   (tried again with each scan)
//!            └────────────── it changes, or the store does not hold it any more ──┘
//! ```
//!
//! That a file has not changed is seen, not concluded from its times: clocks of file systems may be wrong. Some 300
//! bytes are kept for each file, and forgotten with it.

use std::{
    collections::HashMap,
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
    file_version::FileVersion,
    gossip::{PublishError, ReplicaGossip},
    store::{Imported, StoreError},
};

/// Files that change all the time are looked at no more often.
const SHORTEST_LOOK: Duration = Duration::from_millis(500);

/// Where files are published.
pub(super) trait Outlet {
    fn publish(&self, path: &Path) -> Result<Imported, PublishError>;
    fn holds(&self, id: ArtifactId) -> bool;
}

impl Outlet for Arc<ReplicaGossip> {
    fn publish(&self, path: &Path) -> Result<Imported, PublishError> {
        ReplicaGossip::publish(self, path)
    }

    fn holds(&self, id: ArtifactId) -> bool {
        self.store().contains(id)
    }
}

#[derive(Debug)]
pub(super) struct Files<O> {
    outlet: O,
    settle: Duration,
    known: HashMap<PathBuf, Known>,
    /// The number of the scan.
    scan: u64,
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
    pub(super) fn new(outlet: O, settle: Duration, published: Arc<AtomicU64>) -> Self {
        Self {
            outlet,
            settle,
            known: HashMap::new(),
            scan: 0,
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

    /// When the next file has settled, unless it changes.
    pub(super) fn next_settled(&self) -> Option<Instant> {
        if self.store_fault.is_some() {
            return None;
        }
        let settle = self.settle.max(SHORTEST_LOOK);
        let settling = self.known.values().filter_map(|known| match known.state {
            State::Settling(since) => Some(since + settle),
            _ => None,
        });
        settling.min()
    }

    /// Looks at all files that there are.
    pub(super) fn look_at(
        &mut self,
        files: &[PathBuf],
        now: Instant,
        is_stopped: &dyn Fn() -> bool,
    ) {
        self.scan += 1;
        self.store_fault = None;
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
        self.known.retain(|_, known| known.scan == self.scan);
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
        // Gone, or something else by now: the next scan finds out.
        let Some(metadata) = fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file) else {
            self.known.remove(path);
            return Ok(());
        };
        let version = FileVersion::of(&metadata);
        let refused = match self.known.get(path) {
            Some(Known { version: known, state, .. }) if *known == version => match state {
                State::Settling(since) if now.duration_since(*since) < self.settle => return Ok(()),
                State::Published(id) if self.outlet.holds(*id) => return Ok(()),
                State::Refused { reason, .. } => Some(reason.clone()),
                State::Settling(_) | State::Published(_) => None,
            },
            _ if self.settle.is_zero() => None,
            _ => {
                self.keep(path, version, State::Settling(now));
                return Ok(());
            }
        };
        let state = self.publish(path, refused, now)?;
        self.keep(path, version, state);
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

    fn keep(&mut self, path: &Path, version: FileVersion, state: State) {
        self.known.insert(path.to_owned(), Known { version, state, scan: self.scan });
    }
}

/// Whether another file would meet it too.
fn is_of_the_store(fault: &StoreError, file: &Path) -> bool {
    fault.is_disk() && !matches!(fault, StoreError::Io { path, .. } if path == file)
}

#[cfg(test)]
mod tests;
