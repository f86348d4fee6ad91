//! Looking through the folder that is published, again and again, for files that are new or have changed.
//!
//! What a file was when it was published is remembered by its path: length and time of change, some 200
//! bytes a file, and forgotten with the file. A file that is still being written is published as whatever
//! it is at that moment, and again later; whoever minds moves it in when it is complete.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, SystemTime},
};

use gossip_replica::{
    gossip::{PublishError, ReplicaGossip},
    publish::list_files,
    replica::Replica,
    store::StoreError,
};
use tokio::task::spawn_blocking;

use crate::failure::Failure;

/// The thread that looks through the folder, if there is one.
#[derive(Debug)]
pub(super) struct Scanning(Option<(mpsc::Sender<()>, JoinHandle<u64>)>);

impl Scanning {
    /// Looks through `folder` from now on, and then every `interval`.
    pub(super) fn start(
        replica: &Replica,
        folder: Option<PathBuf>,
        interval: Duration,
    ) -> Result<Self, Failure> {
        let Some(folder) = folder else { return Ok(Self(None)) };
        // A folder that is not there from the beginning is a mistake; later it may come and go.
        fs::read_dir(&folder).map_err(|error| unreadable(&folder, &error))?;
        let scan = Scan { folder, gossip: replica.gossip().clone(), seen: HashMap::new(), new: 0 };
        let (stop, stopped) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("publisher".to_owned())
            .spawn(move || scan.repeat(interval, &stopped))
            .map_err(|error| Failure::runtime(format_args!("cannot start a thread: {error}")))?;
        Ok(Self(Some((stop, thread))))
    }

    /// Stops after the file that is being read, and says how many artifacts were published.
    pub(super) async fn stop(self) -> u64 {
        let Some((stop, thread)) = self.0 else { return 0 };
        drop(stop);
        // The thread's panic has been told by its hook.
        spawn_blocking(move || thread.join().unwrap_or(0)).await.unwrap_or(0)
    }
}

fn unreadable(folder: &Path, error: &io::Error) -> Failure {
    let folder = folder.display();
    Failure::runtime(format_args!("cannot read the folder to publish, {folder}: {error}"))
}

/// A file as it was seen.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Version {
    bytes: u64,
    modified: Option<SystemTime>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    version: Version,
    /// It is tried again as long as it is not, but told of once.
    published: bool,
}

#[derive(Debug)]
struct Scan {
    folder: PathBuf,
    gossip: Arc<ReplicaGossip>,
    seen: HashMap<PathBuf, Seen>,
    new: u64,
}

/// Whether a pass may go on.
enum Next {
    File,
    Pass,
}

impl Scan {
    fn repeat(mut self, interval: Duration, stopped: &mpsc::Receiver<()>) -> u64 {
        let mut told = false;
        loop {
            let before = self.new;
            match list_files(&self.folder, &[self.gossip.store().folder()]) {
                Ok(listing) => {
                    told = false;
                    if !self.pass(&listing.files, stopped) {
                        return self.new;
                    }
                }
                Err(error) if !told => {
                    told = true;
                    tracing::warn!(folder = ?self.folder, %error, "cannot read the folder to publish");
                }
                Err(_) => {}
            }
            if self.new > before {
                tracing::info!(artifacts = self.new - before, "published");
            }
            match stopped.recv_timeout(interval) {
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                _ => return self.new,
            }
        }
    }

    /// Publishes what is new; `false` if it was told to stop.
    fn pass(&mut self, files: &[PathBuf], stopped: &mpsc::Receiver<()>) -> bool {
        let mut seen = HashMap::with_capacity(files.len());
        let mut go_on = true;
        for path in files {
            if matches!(stopped.try_recv(), Err(mpsc::TryRecvError::Disconnected)) {
                return false;
            }
            let before = self.seen.get(path).copied();
            if !go_on {
                // Not looked at in this pass, not forgotten either.
                seen.extend(before.map(|before| (path.clone(), before)));
                continue;
            }
            let Ok(metadata) = fs::metadata(path) else { continue };
            let version = Version { bytes: metadata.len(), modified: metadata.modified().ok() };
            let before = before.filter(|seen| seen.version == version);
            let published = before.is_some_and(|seen| seen.published) || {
                match self.publish(path, before.is_none()) {
                    Ok(published) => published,
                    Err(Next::File) => continue,
                    Err(Next::Pass) => {
                        go_on = false;
                        continue;
                    }
                }
            };
            seen.insert(path.clone(), Seen { version, published });
        }
        self.seen = seen;
        true
    }

    /// Whether the file is published now; `tell` what is wrong if it is not.
    fn publish(&mut self, path: &Path, tell: bool) -> Result<bool, Next> {
        match self.gossip.publish(path) {
            Ok(imported) => {
                self.new += u64::from(imported.new);
                Ok(true)
            }
            // It will have another version when it is looked at again.
            Err(PublishError::Store(StoreError::Changed { .. })) => Err(Next::File),
            Err(error) => {
                let at_fault = match &error {
                    PublishError::Store(StoreError::Io { path: at, .. }) => at == path,
                    _ => true,
                };
                if tell || !at_fault {
                    tracing::warn!(reason = ?error.to_string(), "cannot publish a file");
                }
                // Where the store does not take one file, it takes no other.
                if at_fault { Ok(false) } else { Err(Next::Pass) }
            }
        }
    }
}
