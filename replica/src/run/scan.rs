//! Looking through the folder that is published, again and again, for files that are new or have changed.
//!
//! A supervised thread does it: a panic is counted, and after a pause it goes on. It scans as soon as the system
//! reports a change, and every so often, since the system may report none. Files that have to settle are looked at
//! between two scans as well. What is not published is said once, and again when the reason changes; of many at a time,
//! the first [`MAX_SAID`], those at fault before those that are excluded.
//!
//! After each scan the names of the folder are published as a catalog. An empty folder means that all of it was removed
//! only if it is the folder that had files before. Another one may be the place of a disk that is not mounted.

mod files;
mod watch;

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use gossip_replica::{
    changes::Changes,
    file_version::FileVersion,
    http::Notices,
    identity::Identity,
    publish::{SkipReason, Skipped, list_files},
    replica::Replica,
};
use tokio::{task::spawn_blocking, time::timeout};

use self::{
    files::{Files, IsStopped, Outlet, Own},
    watch::Watch,
};
use crate::{failure::Failure, supervise};

/// How many entries that are not published are named at a time; the others are counted.
const MAX_SAID: usize = 100;

/// How long is waited after a change for others that belong to it.
const GATHER: Duration = Duration::from_millis(100);
/// How long the pause after a scan is at least, in times of the scan.
const REST: u32 = 10;
/// How long it is where no change is reported, in times of listing the folder: scans of a large one take no more than
/// some thousandths of a core.
const IDLE_REST: u32 = 400;

/// What is published, and how.
#[derive(Debug)]
pub(super) struct Publishing {
    pub(super) folder: PathBuf,
    /// How often the folder is looked through.
    pub(super) rescan: Duration,
    /// For how long a file must not change.
    pub(super) settle: Duration,
    /// The replica's own files and folders, which are left out.
    pub(super) own: Vec<PathBuf>,
    /// Where it is shown that a private key lies in the folder.
    pub(super) notices: Notices,
}

/// The thread that looks through the folder, if there is one.
#[derive(Debug)]
pub(super) struct Scanning {
    thread: Option<(Arc<Wake>, JoinHandle<()>)>,
    published: Arc<AtomicU64>,
}

/// What wakes the thread: changes in the folder, and the end.
#[derive(Debug, Default)]
struct Wake {
    changes: Changes,
    is_stopped: AtomicBool,
}

impl Wake {
    fn stop(&self) {
        // Release: with the thread's Acquire, what came before the end is seen by the thread that ends.
        self.is_stopped.store(true, Ordering::Release);
        self.changes.note();
    }

    fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Acquire)
    }

    /// Waits for so long, whatever changes. Returns whether to go on.
    fn pause(&self, time: Duration) -> bool {
        self.changes.pause(time, &|| self.is_stopped())
    }
}

impl Scanning {
    /// Looks through the folder from now on.
    pub(super) fn start(
        replica: &Replica,
        identity: &Identity,
        publishing: Option<Publishing>,
        failures: &supervise::Failures,
    ) -> Result<Self, Failure> {
        let published = Arc::new(AtomicU64::new(0));
        let Some(publishing) = publishing else { return Ok(Self { thread: None, published }) };
        let Publishing { folder, rescan, settle, own, notices } = publishing;
        let own_name = Own { gossip: replica.gossip().clone(), identity: identity.clone() };
        let files = Files::new(folder.clone(), own_name, settle, published.clone());
        let wake = Arc::new(Wake::default());
        let mut scan = Scan {
            watch: Watch::default(),
            folder,
            listing: Duration::ZERO,
            filled: None,
            is_withheld: false,
            rescan,
            own,
            files,
            reported: 0,
            said: HashMap::new(),
            unreadable: None,
            notices,
        };
        let failures = failures.clone();
        let of_thread = wake.clone();
        let thread = thread::Builder::new()
            .name("publisher".to_owned())
            .spawn(move || {
                let pause = |pause| of_thread.pause(pause);
                supervise::keep_running("publisher", &failures, pause, || scan.repeat(&of_thread));
            })
            .map_err(|error| Failure::runtime(format_args!("cannot start a thread: {error}")))?;
        Ok(Self { thread: Some((wake, thread)), published })
    }

    /// Stops after the file that is being read, and says how many artifacts were published and whether the thread has
    /// ended within `patience`.
    pub(super) async fn stop(self, patience: Duration) -> (u64, bool) {
        let mut ended = true;
        if let Some((wake, thread)) = self.thread {
            wake.stop();
            let joined = timeout(patience, spawn_blocking(move || thread.join())).await;
            ended = matches!(joined, Ok(Ok(Ok(()))));
        }
        // Relaxed: a figure; the thread has been joined, or it may still rise.
        (self.published.load(Ordering::Relaxed), ended)
    }
}

#[derive(Debug)]
struct Scan<O> {
    folder: PathBuf,
    watch: Watch,
    /// How long it took to list it last.
    listing: Duration,
    /// The folder that had files when it was looked through last in this run.
    filled: Option<(u64, u64)>,
    /// Whether it was said that the catalog of an empty folder is not published.
    is_withheld: bool,
    rescan: Duration,
    own: Vec<PathBuf>,
    files: Files<O>,
    /// How many published artifacts the log knows of.
    reported: u64,
    /// What is not published, and why.
    said: HashMap<PathBuf, String>,
    /// Why the folder cannot be read, if it cannot.
    unreadable: Option<io::ErrorKind>,
    notices: Notices,
}

impl<O: Outlet> Scan<O> {
    /// Scans until it is to stop.
    fn repeat(&mut self, wake: &Arc<Wake>) {
        let is_stopped = || wake.is_stopped();
        loop {
            self.watch.keep_up(&self.folder, wake);
            let mut seen = wake.changes.wait(0, Duration::ZERO);
            let began = Instant::now();
            self.scan(&is_stopped);
            let ended = Instant::now();
            let earliest = ended + (ended - began) * REST;
            let latest = ended + self.rescan.max(self.listing * IDLE_REST);
            loop {
                let due = self.files.next_due().map_or(latest, |due| due.min(latest));
                let before = seen;
                seen = wake.changes.wait(seen, due.saturating_duration_since(Instant::now()));
                if wake.is_stopped() {
                    return;
                }
                if seen > before || Instant::now() >= latest {
                    break;
                }
                self.files.look_at_settling(Instant::now(), &is_stopped);
                self.publish_catalog();
                self.report_files();
            }
            let pause = earliest.saturating_duration_since(Instant::now()).min(self.rescan);
            if !wake.pause(pause.max(GATHER)) {
                return;
            }
        }
    }

    fn scan(&mut self, is_stopped: IsStopped<'_>) {
        let own: Vec<&Path> = self.own.iter().map(PathBuf::as_path).collect();
        let began = Instant::now();
        let before = self.folder_number();
        let listed = list_files(&self.folder, &own);
        self.listing = began.elapsed();
        match listed {
            Ok(listing) => {
                self.unreadable = None;
                self.report_skipped(&listing.skipped);
                // Where the rules cannot be applied, nothing is known to be gone either.
                let unreadable = listing.skipped.iter();
                let unreadable: Vec<&Path> = unreadable
                    .filter(|skipped| {
                        matches!(
                            skipped.reason,
                            SkipReason::Unreadable(_) | SkipReason::Rules { .. }
                        )
                    })
                    .map(|skipped| skipped.path.as_path())
                    .collect();
                self.files.look_at(&listing.files, &unreadable, Instant::now(), is_stopped);
                // A disk that went meanwhile says nothing of what it held.
                if before.is_some() && self.folder_number() == before {
                    if !listing.files.is_empty() {
                        self.filled = before;
                    }
                    self.publish_catalog();
                }
            }
            Err(error) => {
                if self.unreadable.replace(error.kind()) != Some(error.kind()) {
                    tracing::warn!(folder = ?self.folder, %error, "cannot read the folder to publish");
                }
            }
        }
        self.report_files();
    }

    fn folder_number(&self) -> Option<(u64, u64)> {
        let metadata = fs::metadata(&self.folder).ok()?;
        Some(FileVersion::of(&metadata).file_number())
    }

    /// Publishes what the names stand for, unless the folder is empty and may be the place of another.
    fn publish_catalog(&mut self) {
        let may_be_empty = self.filled.is_some() && self.filled == self.folder_number();
        let withheld = self.files.publish_catalog(may_be_empty, Instant::now());
        if withheld && !self.is_withheld {
            tracing::warn!(
                folder = ?self.folder,
                "the folder to publish is empty, as if its disk were not there; its files are kept \
                 until it has one again"
            );
        }
        self.is_withheld = withheld;
    }

    fn report_files(&mut self) {
        let (keys, first) = self.files.private_keys();
        self.notices.private_keys(keys, first.as_deref());
        let (refused, first) = self.files.refused();
        self.notices.unpublished(refused, first);
        let published = self.files.published();
        let artifacts = published - self.reported;
        if artifacts > 0 {
            self.reported = published;
            tracing::info!(artifacts, "published");
        }
    }

    /// Says what is new among what is not published. What is not there any more is forgotten.
    fn report_skipped(&mut self, skipped: &[Skipped]) {
        let mut said = HashMap::with_capacity(skipped.len());
        let mut new = 0;
        let (faults, others): (Vec<_>, Vec<_>) =
            skipped.iter().partition(|skipped| is_fault(&skipped.reason));
        for Skipped { path, reason } in faults.into_iter().chain(others) {
            let words = reason.to_string();
            if self.said.get(path) != Some(&words) {
                new += 1;
                match reason {
                    _ if new > MAX_SAID => {}
                    reason if is_fault(reason) => {
                        tracing::warn!(?path, reason = words, "not published");
                    }
                    _ => tracing::info!(?path, reason = words, "not published"),
                }
            }
            said.insert(path.clone(), words);
        }
        if new > MAX_SAID {
            let entries = new - MAX_SAID;
            tracing::warn!(entries, "not published, and not named here");
        }
        self.said = said;
    }
}

/// Whether somebody is to do something about it.
fn is_fault(reason: &SkipReason) -> bool {
    matches!(reason, SkipReason::Unreadable(_) | SkipReason::Rules(_))
}
