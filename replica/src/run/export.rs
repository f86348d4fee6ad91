//! Keeping the folder of what others publish: each publisher's files below it, as their catalogs say.
//!
//! A publisher's folder is called as the publisher is. One that gets another name gets another folder; that of the old
//! name stays as it is.
//!
//! A thread does it, which is supervised. It works when a catalog or an artifact has come, and every so often for what
//! was refused or the disk did not take. What is wrong is said once, until it changes. A call of an [`Export`] ends
//! early where there is much to write, so that each publisher has its turn.
//!
//! A file beside the catalogs remembers the folder. If that is as if nothing had ever been exported to it, its disk may
//! not be mounted: then nothing is exported until it is back.

use std::{
    collections::BTreeMap,
    mem,
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
    catalog::Current,
    export::{Export, begin},
    gossip::ReplicaGossip,
    http::Notices,
    names::Names,
    replica::Replica,
};
use tokio::{task::spawn_blocking, time::timeout};

use crate::{failure::Failure, supervise};

/// Where the folder that is exported to is remembered, among the catalogs.
const MEMORY: &str = "exported";

/// How often what was refused is tried again.
const RETRY: Duration = Duration::from_secs(30);
/// How long is waited for more that has come, so that a thousand small files are few passes.
const GATHER: Duration = Duration::from_millis(50);
/// After passes the pause is at least so many times as long as they took, up to [`LONGEST_GATHER`]: each pass writes
/// the record of all files anew, and syncs it.
const REST: u32 = 4;
const LONGEST_GATHER: Duration = Duration::from_secs(1);

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
        min_free_bytes: u64,
        notices: Notices,
        failures: &supervise::Failures,
    ) -> Result<Self, Failure> {
        let Some(folder) = folder else { return Ok(Self { thread: None }) };
        let stop = Arc::new(AtomicBool::new(false));
        let gossip = replica.gossip().clone();
        let mut exports = Exports {
            folder,
            names,
            min_free_bytes,
            notices,
            memory: gossip.store().catalogs_folder().join(MEMORY),
            reported: None,
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
                let is_stopped = || stop.load(Ordering::Acquire);
                let pause = |pause| gossip.changes().pause(pause, &is_stopped);
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

struct Exports {
    folder: PathBuf,
    names: Names,
    min_free_bytes: u64,
    notices: Notices,
    /// What remembers the folder.
    memory: PathBuf,
    /// What was last said to be wrong with all of it.
    reported: Option<String>,
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
    /// What was last said of how far it is: the sequence, the files that are missing, and those that are refused.
    progress: Option<(u64, usize, usize)>,
    /// How many files are refused, and the last that was said to be, with the reason.
    refused: (usize, Option<String>),
    /// What was written and removed since.
    written: usize,
    removed: usize,
}

impl Exports {
    fn repeat(&mut self) {
        loop {
            // Before the catalogs are read, so that nothing that comes meanwhile is missed.
            let seen = self.gossip.changes().wait(0, Duration::ZERO);
            let began = Instant::now();
            while self.export_all() {
                if self.stop.load(Ordering::Acquire) {
                    return;
                }
            }
            self.note();
            let gather = (began.elapsed() * REST).clamp(GATHER, LONGEST_GATHER);
            let _ = self.gossip.changes().wait(seen, RETRY);
            if !self.gossip.changes().pause(gather, &|| self.stop.load(Ordering::Acquire)) {
                return;
            }
        }
    }

    /// What the page shows of it.
    fn note(&self) {
        let refused = self.publishers.values().map(|publisher| &publisher.refused);
        let files = refused.clone().map(|(files, _)| files).sum();
        let example =
            refused.filter(|(files, _)| *files > 0).find_map(|(_, example)| example.clone());
        let faults = self.publishers.values().map(|publisher| &publisher.reported);
        let fault = [&self.reported].into_iter().chain(faults).find_map(Clone::clone);
        self.notices.unexported(files, example, fault);
    }

    /// Gives each publisher its turn. Returns whether there is more to do at once.
    fn export_all(&mut self) -> bool {
        if !self.is_begun() {
            return false;
        }
        let catalogs = self.gossip.catalogs().all();
        let own = self.own;
        let mut more = false;
        for current in catalogs.iter().filter(|current| current.head.publisher() != own) {
            if self.stop.load(Ordering::Acquire) {
                return false;
            }
            more |= self.export(current);
        }
        // Those who are off the list keep what was exported; it is no longer kept up.
        self.publishers.retain(|publisher, _| {
            catalogs.iter().any(|current| current.head.publisher() == *publisher)
        });
        more
    }

    /// Makes the folder ready, unless that may be another one.
    fn is_begun(&mut self) -> bool {
        match begin(&self.folder, &self.memory) {
            Ok(is_new) => {
                if is_new {
                    // What an earlier one had is not in this one.
                    self.publishers.clear();
                }
                self.reported = None;
                true
            }
            Err(error) => {
                say_once(&mut self.reported, error.to_string(), |error| {
                    tracing::warn!(error, "cannot export");
                });
                false
            }
        }
    }

    /// Returns whether there is more to do at once.
    fn export(&mut self, current: &Current) -> bool {
        let id = current.head.publisher();
        let publisher = self.publishers.entry(id).or_default();
        let name = self.names.publisher_name(id);
        if publisher.name != name {
            *publisher = Publisher { name: name.clone(), ..Publisher::default() };
        }
        let opened = match publisher.export.take() {
            Some(export) => Ok(export),
            None => Export::open(&self.folder, &name)
                .map(|export| export.with_min_free_bytes(self.min_free_bytes)),
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
                    publisher.refused.1 = Some(format!("{name}/{path}: {reason}"));
                }
                publisher.refused.0 = progress.refused_files;
                publisher.written += progress.written;
                publisher.removed += progress.removed;
                if progress.more {
                    return true;
                }
                let written = mem::take(&mut publisher.written);
                let removed = mem::take(&mut publisher.removed);
                let now = (current.head.sequence(), progress.missing, progress.refused_files);
                if written + removed > 0 && publisher.progress != Some(now) {
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
            Err(error) => say_once(&mut publisher.reported, error.to_string(), |error| {
                tracing::warn!(publisher = name, error, "cannot export");
            }),
        }
        false
    }
}

/// Says what is wrong, unless it was said last.
fn say_once(reported: &mut Option<String>, error: String, say: impl FnOnce(&str)) {
    if reported.as_ref() != Some(&error) {
        say(&error);
        *reported = Some(error);
    }
}
