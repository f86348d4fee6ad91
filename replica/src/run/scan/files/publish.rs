//! Publishing many files, several at a time.
//!
//! Most of the time of a small file goes into its sync, and a disk syncs several files in little more than the time of
//! one. Each artifact is still synced before it gets its name; only the waiting is shared. As many threads as a batch
//! has files, at most [`THREADS`], take file after file. The scan's own is one of them, and waits for the others. A
//! fault of the store ends a batch: what was not taken stays as it was. If a thread panics, the files of the batch are
//! published again, which finds them in the store.

use std::{
    fs::{self, Metadata},
    io,
    panic::resume_unwind,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Instant,
};

use gossip_replica::{
    catalog::FilePath,
    file_version::FileVersion,
    gossip::PublishError,
    store::{Imported, StoreError},
};

use super::{Files, IsStopped, Outlet, Refused, State, within};

/// How many files are imported at a time.
pub(super) const THREADS: usize = 4;
/// How many files are looked at before those of them that are due are published.
pub(super) const BATCH: usize = 256;

/// A file that is to be published now.
#[derive(Debug)]
pub(super) struct Due {
    pub(super) path: PathBuf,
    pub(super) name: FilePath,
    pub(super) metadata: Metadata,
}

impl<O: Outlet> Files<O> {
    /// Publishes these, and keeps what has become of each. Where the store does not take one file, it takes no other.
    pub(super) fn publish(&mut self, due: Vec<Due>, now: Instant, is_stopped: IsStopped<'_>) {
        let mut results = import(&self.outlet, &due, is_stopped);
        results.sort_unstable_by_key(|(number, _)| *number);
        let mut fault = None;
        for (number, result) in results {
            let due = &due[number];
            let state = match result {
                // It has changed between the look and its opening.
                Ok(imported) if imported.artifact.size != due.metadata.len() => {
                    self.settling(due, now)
                }
                Ok(imported) => {
                    self.reported_fault = None;
                    // Relaxed: a figure that orders nothing.
                    self.published.fetch_add(u64::from(imported.new), Ordering::Relaxed);
                    State::published(imported.artifact.id, &due.metadata)
                }
                Err(PublishError::Store(StoreError::Changed { .. })) => self.settling(due, now),
                Err(PublishError::Store(error)) if is_of_the_store(&error, &due.path) => {
                    fault = Some(error);
                    continue;
                }
                Err(error) => self.refuse(due, &error),
            };
            self.keep(due, state);
        }
        if let Some(fault) = fault {
            self.note_store_fault(&fault);
        }
    }

    /// Says why a file is not published, unless that was said before.
    fn refuse(&self, due: &Due, error: &PublishError) -> State {
        let reason = error.to_string();
        let known = self.known.get(within(&self.folder, &due.path));
        let same = known.filter(|known| known.version == FileVersion::of(&due.metadata));
        let before = same.map(|known| &known.state);
        if !matches!(before, Some(State::Refused(before)) if before.reason == reason) {
            tracing::warn!(reason, "cannot publish a file");
        }
        let is_private_key = matches!(error, PublishError::Store(StoreError::PrivateKey { .. }));
        let named = if is_private_key { None } else { self.named(due) };
        State::Refused(Box::new(Refused { reason, is_private_key, named }))
    }

    fn note_store_fault(&mut self, error: &StoreError) {
        self.store_fault = Some(match error {
            StoreError::Io { action, source, .. } => (*action, source.kind()),
            _ => ("use", io::ErrorKind::Other),
        });
        if self.reported_fault != self.store_fault {
            self.reported_fault = self.store_fault;
            let reason = error.to_string();
            tracing::warn!(reason, "cannot publish");
        }
    }
}

/// What has become of each file that was taken, by its number.
fn import<O: Outlet>(
    outlet: &O,
    due: &[Due],
    is_stopped: IsStopped<'_>,
) -> Vec<(usize, Result<Imported, PublishError>)> {
    // Relaxed, all of them: each file is taken by one thread, and what it does is seen when that is joined.
    let (next, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let work = || {
        let mut results = Vec::new();
        while !is_over.load(Ordering::Relaxed) && !is_stopped() {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(due) = due.get(number) else { break };
            let result = import_one(outlet, due);
            if matches!(&result, Err(PublishError::Store(error)) if is_of_the_store(error, &due.path))
            {
                is_over.store(true, Ordering::Relaxed);
            }
            results.push((number, result));
        }
        results
    };
    thread::scope(|scope| {
        // Where the system gives no thread, those that there are do it.
        let spawn =
            |_| thread::Builder::new().name("import".to_owned()).spawn_scoped(scope, work).ok();
        let others: Vec<_> = (1..THREADS.min(due.len())).filter_map(spawn).collect();
        let mut results = work();
        for other in others {
            results.extend(other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        results
    })
}

/// The content has to be that of the version that was looked at, some time ago.
fn import_one<O: Outlet>(outlet: &O, due: &Due) -> Result<Imported, PublishError> {
    let now = fs::symlink_metadata(&due.path);
    if now.is_ok_and(|now| FileVersion::of(&now) == FileVersion::of(&due.metadata)) {
        outlet.publish(&due.path)
    } else {
        Err(StoreError::Changed { path: due.path.clone() }.into())
    }
}

/// Whether another file would meet it too.
fn is_of_the_store(fault: &StoreError, file: &Path) -> bool {
    fault.is_disk() && !matches!(fault, StoreError::Io { path, .. } if path == file)
}
