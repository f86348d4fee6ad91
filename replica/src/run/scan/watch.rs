//! The system's reports of changes in the folder.
//!
//! A report is a hint: the next scan comes without it, too. The system stops reporting when the folder is removed, and
//! a folder may have more folders in it than the system has watches. So the system is asked again when the folder is
//! another one, and what it refuses is said once.

use std::{fs, path::Path, sync::Arc};

use gossip_replica::file_version::FileVersion;
use notify::{Config, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use super::Wake;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Watch {
    watcher: Option<RecommendedWatcher>,
    /// The number of the folder that is watched, or could not be.
    folder: Option<(u64, u64)>,
    is_reported: bool,
}

impl Watch {
    /// Watches the folder that stands under this path now.
    pub(super) fn keep_up(&mut self, path: &Path, wake: &Arc<Wake>) {
        let folder =
            fs::metadata(path).ok().map(|metadata| FileVersion::of(&metadata).file_number());
        if folder == self.folder {
            return;
        }
        self.folder = folder;
        self.watcher = None;
        if folder.is_none() {
            return;
        }
        let wake = wake.clone();
        let noted = move |event: notify::Result<Event>| {
            // A file that was read has not changed, and the scan itself reads.
            if !matches!(event, Ok(Event { kind: EventKind::Access(_), .. })) {
                wake.changes.note();
            }
        };
        // A link may lead anywhere, and what it leads to is not published.
        let config = Config::default().with_follow_symlinks(false);
        let watcher = RecommendedWatcher::new(noted, config).and_then(|mut watcher| {
            watcher.watch(path, RecursiveMode::Recursive)?;
            Ok(watcher)
        });
        match watcher {
            Ok(watcher) => self.watcher = Some(watcher),
            Err(error) => {
                if !self.is_reported {
                    self.is_reported = true;
                    tracing::info!(
                        folder = ?path, %error,
                        "changes in the folder are not reported; it is looked through every `rescan_seconds`"
                    );
                }
            }
        }
    }
}
