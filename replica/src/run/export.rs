//! Keeping the folder of what others publish: each publisher's files below it, as their catalogs say.
//!
//! A publisher's folder is called as the publisher is. One that gets another name gets another folder; that of the old
//! name stays as it is.
//!
//! A thread does it, which is supervised. It works when a catalog or an artifact has come, and every so often for what
//! was refused or the disk did not take. What is wrong is said once, until it changes.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use gossip_engine::NodeId;
use gossip_replica::{
    catalog::Current, export::Export, gossip::ReplicaGossip, names::Names, replica::Replica,
};
use tokio::{task::spawn_blocking, time::timeout};

use crate::{failure::Failure, supervise};

/// How often what was refused is tried again.
const RETRY: Duration = Duration::from_secs(30);
/// How long is waited for more that has come, so that a thousand small files are few passes.
const GATHER: Duration = Duration::from_millis(50);

/// The thread that exports, if there is one.
#[derive(Debug)]
pub(super) struct Exporting {
    thread: Option<(Arc<AtomicBool>, Arc<ReplicaGossip>, JoinHandle<()>)>,
}

impl Exporting {
    /// Exports from now on, if there is a folder for that.
    pub(super) fn start(
        replica: &Replica,
        folder: Option<PathBuf>,
        names: Names,
        failures: &supervise::Failures,
    ) -> Result<Self, Failure> {
        let Some(folder) = folder else { return Ok(Self { thread: None }) };
        let stop = Arc::new(AtomicBool::new(false));
        let gossip = replica.gossip().clone();
        let mut exports = Exports {
            folder,
            names,
            own: replica.node_id(),
            gossip: gossip.clone(),
            publishers: BTreeMap::new(),
            stop: stop.clone(),
        };
        let failures = failures.clone();
        let thread = thread::Builder::new()
            .name("exporter".to_owned())
            .spawn(move || {
                let (gossip, stop) = (exports.gossip.clone(), exports.stop.clone());
                let pause = |pause| sleep(&gossip, &stop, pause);
                supervise::keep_running("exporter", &failures, pause, || exports.repeat());
            })
            .map_err(|error| Failure::runtime(format_args!("cannot start a thread: {error}")))?;
        Ok(Self { thread: Some((stop, gossip, thread)) })
    }

    /// Stops after the piece that is being written. Returns whether the thread has ended within `patience`.
    pub(super) async fn stop(self, patience: Duration) -> bool {
        let Some((stop, gossip, thread)) = self.thread else { return true };
        // Release: with the thread's Acquire, what came before the end is seen by the thread that ends.
        stop.store(true, Ordering::Release);
        gossip.changes().note();
        let joined = timeout(patience, spawn_blocking(move || thread.join())).await;
        matches!(joined, Ok(Ok(Ok(()))))
    }
}

/// Waits for so long, whatever comes. Returns whether to go on.
fn sleep(gossip: &ReplicaGossip, stop: &AtomicBool, time: Duration) -> bool {
    let end = Instant::now() + time;
    loop {
        let seen = gossip.changes().wait(0, Duration::ZERO);
        if stop.load(Ordering::Acquire) {
            return false;
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        let _ = gossip.changes().wait(seen, left);
    }
}

struct Exports {
    folder: PathBuf,
    names: Names,
    own: NodeId,
    gossip: Arc<ReplicaGossip>,
    publishers: BTreeMap<NodeId, Publisher>,
    stop: Arc<AtomicBool>,
}

#[derive(Default)]
struct Publisher {
    /// What the folder is called.
    name: String,
    export: Option<Export>,
    /// What was last said to be wrong with all of it.
    reported: Option<String>,
    /// What was last said of how far it is: the sequence, and the files that are missing.
    progress: Option<(u64, usize)>,
}

impl Exports {
    fn repeat(&mut self) {
        loop {
            let seen = self.gossip.changes().wait(0, Duration::ZERO);
            // Before the catalogs are read, so that nothing that comes meanwhile is missed.
            let catalogs = self.gossip.catalogs().all();
            let own = self.own;
            for current in catalogs.iter().filter(|current| current.head.publisher() != own) {
                if self.stop.load(Ordering::Acquire) {
                    return;
                }
                self.export(current);
            }
            // Those who are off the list keep what was exported; it is no longer kept up.
            self.publishers.retain(|publisher, _| {
                catalogs.iter().any(|current| current.head.publisher() == *publisher)
            });
            let _ = self.gossip.changes().wait(seen, RETRY);
            if !sleep(&self.gossip, &self.stop, GATHER) {
                return;
            }
        }
    }

    fn export(&mut self, current: &Current) {
        let id = current.head.publisher();
        let publisher = self.publishers.entry(id).or_default();
        let name = self.names.publisher_name(id);
        if publisher.name != name {
            *publisher = Publisher { name: name.clone(), ..Publisher::default() };
        }
        let opened = match publisher.export.take() {
            Some(export) => Ok(export),
            None => Export::open(&self.folder, &name),
        };
        // Acquire: as in `stop`.
        let is_stopped = || self.stop.load(Ordering::Acquire);
        let applied = opened.and_then(|mut export| {
            let progress = export.apply(&current.catalog, self.gossip.store(), &is_stopped);
            publisher.export = Some(export);
            progress
        });
        match applied {
            Ok(progress) => {
                publisher.reported = None;
                for (path, reason) in &progress.refused {
                    tracing::warn!(publisher = name, %path, %reason, "not exported");
                }
                let now = (current.head.sequence(), progress.missing);
                if progress.written + progress.removed > 0 && publisher.progress != Some(now) {
                    let (written, removed) = (progress.written, progress.removed);
                    tracing::info!(
                        publisher = name,
                        written,
                        removed,
                        missing = progress.missing,
                        "exported"
                    );
                }
                publisher.progress = Some(now);
            }
            Err(_) if is_stopped() => {}
            Err(error) => {
                let error = error.to_string();
                if publisher.reported.as_ref() != Some(&error) {
                    tracing::warn!(publisher = name, error, "cannot export");
                    publisher.reported = Some(error);
                }
            }
        }
    }
}
