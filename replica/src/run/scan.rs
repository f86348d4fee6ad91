//! Looking through the folder that is published, again and again, for files that are new or have changed.
//!
//! A thread does it, which is supervised: a panic is counted, and after a pause it goes on. Files that have to settle
//! are looked at between two scans as well. What is not published is said once, and again when the reason changes;
//! of many at a time, the first [`MAX_SAID`], those at fault before those that are excluded.

mod files;

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use gossip_replica::{
    http::Notices,
    publish::{SkipReason, Skipped, list_files},
    replica::Replica,
};
use tokio::{task::spawn_blocking, time::timeout};

use self::files::{Files, Outlet};
use crate::{failure::Failure, supervise};

/// How many entries that are not published are named at a time; the others are counted.
const MAX_SAID: usize = 100;

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
    thread: Option<(mpsc::Sender<()>, JoinHandle<()>)>,
    published: Arc<AtomicU64>,
}

impl Scanning {
    /// Looks through the folder from now on.
    pub(super) fn start(
        replica: &Replica,
        publishing: Option<Publishing>,
        failures: &supervise::Failures,
    ) -> Result<Self, Failure> {
        let published = Arc::new(AtomicU64::new(0));
        let Some(publishing) = publishing else { return Ok(Self { thread: None, published }) };
        let Publishing { folder, rescan, settle, own, notices } = publishing;
        let files = Files::new(replica.gossip().clone(), settle, published.clone());
        let mut scan = Scan {
            folder,
            rescan,
            own,
            files,
            reported: 0,
            said: HashMap::new(),
            unreadable: None,
            notices,
        };
        let (stop, stopped) = mpsc::channel();
        let failures = failures.clone();
        let thread = thread::Builder::new()
            .name("publisher".to_owned())
            .spawn(move || {
                let pause = |pause| wait(&stopped, pause);
                supervise::keep_running("publisher", &failures, pause, || scan.repeat(&stopped));
            })
            .map_err(|error| Failure::runtime(format_args!("cannot start a thread: {error}")))?;
        Ok(Self { thread: Some((stop, thread)), published })
    }

    /// Stops after the file that is being read, and says how many artifacts were published and whether the thread has
    /// ended within `patience`.
    pub(super) async fn stop(self, patience: Duration) -> (u64, bool) {
        let mut ended = true;
        if let Some((stop, thread)) = self.thread {
            drop(stop);
            let joined = timeout(patience, spawn_blocking(move || thread.join())).await;
            ended = matches!(joined, Ok(Ok(Ok(()))));
        }
        // Relaxed: a figure; the thread has been joined, or it may still rise.
        (self.published.load(Ordering::Relaxed), ended)
    }
}

/// Whether to go on after so long.
fn wait(stopped: &mpsc::Receiver<()>, time: Duration) -> bool {
    matches!(stopped.recv_timeout(time), Err(mpsc::RecvTimeoutError::Timeout))
}

/// Finds out before the replica starts what cannot be published at all.
pub(super) fn check_folder(folder: &Path) -> Result<(), String> {
    // A folder that is not there from the beginning is a mistake; later it may come and go.
    let shown = folder.display();
    if fs::metadata(folder).is_ok_and(|metadata| !metadata.is_dir()) {
        return Err(format!("publish is {shown}, which is no folder"));
    }
    fs::read_dir(folder)
        .map(drop)
        .map_err(|error| format!("publish is {shown}, which cannot be read: {error}"))
}

#[derive(Debug)]
struct Scan<O> {
    folder: PathBuf,
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
    fn repeat(&mut self, stopped: &mpsc::Receiver<()>) {
        let is_stopped = || matches!(stopped.try_recv(), Err(mpsc::TryRecvError::Disconnected));
        loop {
            self.scan(&is_stopped);
            let next = Instant::now() + self.rescan;
            loop {
                let now = Instant::now();
                let until = self.files.next_settled().map_or(next, |settled| settled.min(next));
                if !wait(stopped, until.saturating_duration_since(now)) {
                    return;
                }
                if Instant::now() >= next {
                    break;
                }
                self.files.look_at_settling(Instant::now(), &is_stopped);
                self.report_files();
            }
        }
    }

    fn scan(&mut self, is_stopped: &dyn Fn() -> bool) {
        let own: Vec<&Path> = self.own.iter().map(PathBuf::as_path).collect();
        match list_files(&self.folder, &own) {
            Ok(listing) => {
                self.unreadable = None;
                self.report_skipped(&listing.skipped);
                self.files.look_at(&listing.files, Instant::now(), is_stopped);
            }
            Err(error) => {
                if self.unreadable.replace(error.kind()) != Some(error.kind()) {
                    tracing::warn!(folder = ?self.folder, %error, "cannot read the folder to publish");
                }
            }
        }
        self.report_files();
    }

    fn report_files(&mut self) {
        let (keys, first) = self.files.private_keys();
        self.notices.private_keys(keys, first);
        let published = self.files.published();
        let artifacts = published - self.reported;
        if artifacts > 0 {
            self.reported = published;
            tracing::info!(artifacts, "published");
        }
    }

    /// Says what is new among what is not published; whatever is not there any more is forgotten.
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
