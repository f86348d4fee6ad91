//! Reading the configuration anew while the replica runs: when SIGHUP asks for it, and when it or the file of peers
//! has changed.
//!
//! ```text
//! SIGHUP, or a change that holds still for POLL ──> load ──> peers and flows become what it says
//!                                                     └──> a fault: said, and nothing changes
//! ```
//!
//! What cannot change while the replica runs is named in a warning, and stays as it was at the start. A change is seen
//! by looking at the files every [`POLL`]; one that is still going on is waited for, so that half a file is not taken
//! for a whole one.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use gossip_replica::{
    blocking::blocking, file_version::FileVersion, http::Notices, replica::Replica,
};
use tokio::time::{MissedTickBehavior, interval};

use crate::{failure::Failure, settings::Settings, signals::ReloadRequest};

/// How often the files are looked at.
const POLL: Duration = Duration::from_secs(2);

/// The files of a configuration, and what holds.
#[derive(Debug)]
pub(super) struct Reload {
    path: PathBuf,
    /// What the replica was started with. What cannot change is compared with this.
    started: Settings,
    /// What was applied last.
    current: Settings,
    /// As they were when they were read.
    read: Versions,
    /// What was different when it was last looked at, if it was.
    changing: Option<Versions>,
    request: ReloadRequest,
    /// Where a fault is shown beside the log.
    notices: Notices,
}

/// The configuration and the file of peers; `None` if there is none.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Versions([Option<FileVersion>; 2]);

impl Versions {
    fn of(config: &Path, peers: Option<&Path>) -> Self {
        let version = |path: &Path| fs::metadata(path).ok().map(|file| FileVersion::of(&file));
        Self([version(config), peers.and_then(version)])
    }
}

/// Reads a configuration, and what its files were at the latest when they were read. What changes after this is seen
/// to have changed, so the versions come first; which file of peers it is, the configuration has to say before.
fn load(path: &Path) -> Result<(Settings, Versions), Failure> {
    let peers_file = Settings::load(path)?.peers_file;
    let versions = Versions::of(path, peers_file.as_deref());
    Ok((Settings::load(path)?, versions))
}

impl Reload {
    /// Reads the configuration that a replica is to be started with.
    pub(super) fn new(
        path: &Path,
        request: ReloadRequest,
        notices: Notices,
    ) -> Result<Self, Failure> {
        let (settings, read) = load(path)?;
        Ok(Self {
            path: path.to_owned(),
            started: settings.clone(),
            current: settings,
            read,
            changing: None,
            request,
            notices,
        })
    }

    /// The configuration that was read first.
    pub(super) fn started(&self) -> &Settings {
        &self.started
    }

    /// Goes on for as long as it is polled.
    pub(super) async fn keep_up(&mut self, replica: &Replica) {
        let mut ticks = interval(POLL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let is_asked = tokio::select! {
                () = self.request.next() => true,
                _ = ticks.tick() => false,
            };
            let now = self.look().await;
            if is_asked || self.has_changed(now) {
                self.read = now;
                self.changing = None;
                self.reload(replica).await;
            }
        }
    }

    /// The disk may be slow, or not answer at all.
    async fn look(&self) -> Versions {
        let (path, peers) = (self.path.clone(), self.current.peers_file.clone());
        blocking(move || Versions::of(&path, peers.as_deref())).await
    }

    /// Whether it differs from what was read, and is what it was a while ago.
    fn has_changed(&mut self, now: Versions) -> bool {
        if now == self.read {
            self.changing = None;
            return false;
        }
        self.changing.replace(now) == Some(now)
    }

    async fn reload(&mut self, replica: &Replica) {
        let path = self.path.clone();
        let new = match blocking(move || load(&path)).await {
            Ok((new, read)) => {
                self.read = read;
                new
            }
            Err(fault) => {
                self.notices.configuration_rejected(&fault);
                tracing::warn!(%fault, "the new configuration is at fault; nothing changes");
                return;
            }
        };
        let fixed = new.fixed_changes(&self.started);
        if !fixed.is_empty() && fixed != self.current.fixed_changes(&self.started) {
            let changed = fixed.join(", ");
            tracing::warn!(changed, "takes a restart; what holds is as it was at the start");
        }
        if let Err(fault) = self.apply(replica, &new) {
            self.notices.configuration_rejected(&fault);
        } else {
            self.notices.configuration_taken(fixed);
        }
        self.current = new;
    }

    fn apply(&self, replica: &Replica, new: &Settings) -> Result<(), String> {
        let flows = replica.reconfigure(new.channels.clone());
        if let Err(error) = &flows {
            tracing::warn!(%error, "the flows stay as they are");
        } else if new.channels != self.current.channels {
            tracing::info!("the flows have changed");
        }
        match replica.set_peers(new.peers()) {
            Ok(changes) => {
                let (added, moved, removed) = (changes.added, changes.moved, changes.removed);
                tracing::info!(added, moved, removed, "the configuration has been read anew");
            }
            Err(error) => {
                tracing::warn!(%error, "the peers stay as they are");
                return Err(error.to_string());
            }
        }
        flows.map_err(|error| error.to_string())
    }
}
