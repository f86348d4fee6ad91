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
//! for a whole one. The files are those that the configuration names that was read last, at fault or not.
//!
//! A disk may not answer. What takes longer than [`LIMIT`] is said once and given up; the files are read again when
//! the disk answers, or when SIGHUP asks for it.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use gossip_replica::{
    blocking::blocking, file_version::FileVersion, http::Notices, names::Names, replica::Replica,
};
use tokio::time::{MissedTickBehavior, interval};

use super::{patience::Patience, service::Service};
use crate::{failure::Failure, settings::Settings, signals::ReloadRequest};

/// How often the files are looked at.
const POLL: Duration = Duration::from_secs(2);
/// How long looking at the files, or reading them, may take.
const LIMIT: Duration = Duration::from_secs(10);

/// The files of a configuration, and what holds.
#[derive(Debug)]
pub(super) struct Reload {
    path: PathBuf,
    /// What the replica was started with. What cannot change is compared with this.
    started: Settings,
    /// What was applied last.
    current: Settings,
    /// The file of peers that the configuration names that was read last, be it at fault.
    peers_file: Option<PathBuf>,
    /// As they were when they were read.
    read: Versions,
    /// What was different when it was last looked at, if it was.
    changing: Option<Versions>,
    patience: Patience,
    /// Whether the files could not be read in time.
    is_late: bool,
    request: ReloadRequest,
    /// Where a fault is shown beside the log.
    notices: Notices,
    /// Who has asked for it by SIGHUP, mostly.
    service: Service,
    /// What the peers are called.
    names: Names,
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

/// What was read.
#[derive(Debug)]
struct Loaded {
    settings: Result<Settings, Failure>,
    /// The file of peers that the configuration names.
    peers_file: Option<PathBuf>,
    versions: Versions,
}

/// Reads a configuration, and what its files were at the latest when they were read. What changes after this is seen
/// to have changed, so the versions come first; which file of peers it is, the configuration has to say before.
fn load(path: &Path) -> Loaded {
    let peers_file = Settings::peers_file_in(path);
    let versions = Versions::of(path, peers_file.as_deref());
    let settings = Settings::load(path);
    let peers_file = settings.as_ref().map_or(peers_file, |settings| settings.peers_file.clone());
    Loaded { settings, peers_file, versions }
}

impl Reload {
    /// Reads the configuration that a replica is to be started with.
    pub(super) async fn new(
        path: &Path,
        request: ReloadRequest,
        notices: Notices,
        service: Service,
    ) -> Result<Self, Failure> {
        let path = path.to_owned();
        let (path, loaded) = blocking(move || (path.clone(), load(&path))).await;
        let settings = loaded.settings?;
        let names = Names::default();
        names.set(settings.names());
        Ok(Self {
            path,
            started: settings.clone(),
            current: settings,
            peers_file: loaded.peers_file,
            read: loaded.versions,
            changing: None,
            patience: Patience::default(),
            is_late: false,
            request,
            notices,
            service,
            names,
        })
    }

    /// The configuration that was read first.
    pub(super) fn started(&self) -> &Settings {
        &self.started
    }

    /// What the peers are called, now and after each change.
    pub(super) fn names(&self) -> &Names {
        &self.names
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
            // A disk that does not answer is not asked again, unless by SIGHUP.
            if self.is_late && !is_asked && self.patience.under_way() > 0 {
                continue;
            }
            if is_asked {
                self.service.reloading().await;
            }
            self.keep_up_once(replica, is_asked).await;
            if is_asked {
                // Be it with what held before.
                self.service.ready().await;
            }
        }
    }

    async fn keep_up_once(&mut self, replica: &Replica, is_asked: bool) {
        let Some(now) = self.look().await else { return self.say_late() };
        if is_asked || self.is_late || self.has_changed(now) {
            self.read = now;
            self.changing = None;
            self.reload(replica).await;
        }
    }

    /// The disk may be slow, or not answer at all.
    async fn look(&self) -> Option<Versions> {
        let (path, peers) = (self.path.clone(), self.peers_file.clone());
        self.patience.run(LIMIT, move || Versions::of(&path, peers.as_deref())).await
    }

    fn say_late(&mut self) {
        if !std::mem::replace(&mut self.is_late, true) {
            let fault = format!(
                "{} or its file of peers cannot be read within {} s",
                self.path.display(),
                LIMIT.as_secs()
            );
            self.notices.configuration_rejected(&fault);
            tracing::warn!(%fault, "the configuration is not read anew; nothing changes");
        }
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
        let Some(loaded) = self.patience.run(LIMIT, move || load(&path)).await else {
            self.say_late();
            return;
        };
        self.is_late = false;
        self.read = loaded.versions;
        self.peers_file = loaded.peers_file;
        let new = match loaded.settings {
            Ok(new) => new,
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
        // First, since it is taken note of with the change of the list.
        self.names.set(new.names());
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
