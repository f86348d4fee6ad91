//! The catalog of the folder: when it is published anew, and when not.
//!
//! It says what is removed, so it is published only after a look at the whole folder, by a store that works. Between
//! two there is a pause that grows with their size: a folder that fills up is no flood of catalogs.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use gossip_replica::catalog::{Catalog, FileEntry, FilePath};

use super::{Files, Outlet};

/// How much time lies at least between two catalogs, and how much more for each file: that of 100 bytes at 2 MB/s.
const PAUSE: Duration = Duration::from_millis(200);
const PAUSE_PER_FILE: Duration = Duration::from_micros(50);

/// How long the catalog of an earlier run is awaited from the peers, if it was lost here.
const AWAITED: Duration = Duration::from_secs(60);

/// When the next catalog may be published, and what the log and the peers have of the last.
#[derive(Debug, Default)]
pub(super) struct Names {
    next: Option<Instant>,
    /// When the first was due.
    began: Option<Instant>,
    /// Whether a catalog waits for that.
    is_due: bool,
    reported: Option<String>,
    /// What this run has published last.
    published: Option<Arc<Catalog>>,
    is_doubled: bool,
}

impl Names {
    pub(super) fn due(&self) -> Option<Instant> {
        self.next.filter(|_| self.is_due)
    }
}

impl<O: Outlet> Files<O> {
    /// Publishes the catalog if the names have changed, or what they stand for. One without a file is published only
    /// if the folder `may_be_empty`. Returns whether one was withheld for that.
    pub(in super::super) fn publish_catalog(&mut self, may_be_empty: bool, now: Instant) -> bool {
        self.names.is_due = false;
        if !self.is_whole || self.store_fault.is_some() {
            return false;
        }
        let before = self.outlet.catalog();
        let began = *self.names.began.get_or_insert(now);
        if before.is_none() && self.outlet.awaits_catalog() && now < began + AWAITED {
            return false;
        }
        self.look_for_double(before.as_ref());
        let is_as = |before: &Arc<Catalog>| self.is_as(before) && self.outlet.holds_catalog();
        if before.as_ref().is_some_and(is_as) {
            return false;
        }
        let named = self.known.iter().filter_map(|(path, known)| {
            let entry = known.named()?;
            Some((FilePath::of(path).ok()?, entry))
        });
        // What could not be looked at since the start is as it was before.
        let unseen = before.iter().flat_map(|before| before.files()).filter(|(path, _)| {
            self.unreadable.iter().any(|folder| folder.contains(path))
                && self.named_as(path).is_none()
        });
        let unseen = unseen.map(|(path, entry)| (path.clone(), *entry));
        let catalog = match Catalog::new(named.chain(unseen)) {
            Ok(catalog) => Arc::new(catalog),
            Err(error) => {
                self.report_catalog(&error.to_string());
                return false;
            }
        };
        // A replica that has published nothing yet publishes no empty catalog.
        let is_same = before
            .map_or(catalog.is_empty(), |before| before == catalog && self.outlet.holds_catalog());
        if is_same {
            return false;
        }
        if catalog.is_empty() && !may_be_empty {
            return true;
        }
        if self.names.next.is_some_and(|next| now < next) {
            self.names.is_due = true;
            return false;
        }
        let files = u32::try_from(catalog.len()).unwrap_or(u32::MAX);
        self.names.next = Some(now + PAUSE + PAUSE_PER_FILE * files);
        match self.outlet.publish_catalog(catalog.clone()) {
            Ok(()) => {
                self.names.reported = None;
                self.names.published = Some(catalog);
            }
            Err(error) => self.report_catalog(&error.to_string()),
        }
        false
    }

    /// Whether the names stand for what the catalog says. It compares in place: this is asked after each scan, and a
    /// second catalog would be as large as the first.
    fn is_as(&self, catalog: &Catalog) -> bool {
        let names = self.known.values().filter(|known| known.named().is_some()).count();
        let is_named = |(path, entry)| self.named_as(path).as_ref() == Some(entry);
        self.unreadable.is_empty() && names == catalog.len() && catalog.files().all(is_named)
    }

    /// What a name stands for.
    fn named_as(&self, path: &FilePath) -> Option<FileEntry> {
        self.known.get(&*path.to_path().ok()?)?.named()
    }

    /// Warns once if another replica publishes with the key of this one.
    fn look_for_double(&mut self, current: Option<&Arc<Catalog>>) {
        let is_doubled = self.names.published.is_some() && self.names.published.as_ref() != current;
        if is_doubled && !self.names.is_doubled {
            tracing::warn!(
                "another replica publishes with the key of this one; give each a key of its own"
            );
        }
        self.names.is_doubled = is_doubled;
    }

    fn report_catalog(&mut self, reason: &str) {
        if self.names.reported.as_deref() != Some(reason) {
            tracing::warn!(reason, "cannot publish the names of the folder");
            self.names.reported = Some(reason.to_owned());
        }
    }
}
