//! When a catalog is looked at that has been announced, and whether it fits beside those of the others.
//!
//! A catalog that does not fit waits. It is known then how many files it has, so that it is not read again before there
//! is capacity for them. Each member has an equal part of [`MAX_ALL_FILES`] whatever the others have, so that nobody is
//! kept out who needs no more.

use std::time::Duration;

use gossip_engine::ArtifactId;

use super::{Head, Publisher, State};
use crate::catalog::known::{MAX_ALL_FILES, MOST_FILES, PAUSE, PAUSE_PER_FILE};

/// How many bytes of a catalog count as a file, for the pause after a look.
const FILE_BYTES: u64 = 128;

impl State {
    /// Whether a catalog is awaited and may be looked at now.
    pub(in crate::catalog) fn is_due(&self, id: ArtifactId, now: Duration) -> bool {
        self.catalogs.contains_key(&id)
            && self.of_members().any(|known| self.is_due_of(known, id, now))
    }

    fn is_due_of(&self, known: &Publisher, id: ArtifactId, now: Duration) -> bool {
        // A catalog has the same files with each of its heads.
        let waiting = known.waiting.filter(|(waiting, _)| *waiting == id);
        now >= known.next_look
            && known.announced.is_some_and(|head| head.catalog() == id)
            && waiting.is_none_or(|(_, files)| self.has_capacity_for(known, files))
    }

    /// Whether a catalog is awaited and may be looked at. The next one may be after a pause, which grows with the
    /// current catalog and with this one, right or not.
    pub(in crate::catalog) fn take_look(&mut self, head: &Head, now: Duration) -> bool {
        let is_member = self.members.contains(&head.publisher());
        let Some(known) = self.publishers.get(&head.publisher()) else { return false };
        if !is_member
            || known.announced != Some(*head)
            || !self.is_due_of(known, head.catalog(), now)
        {
            return false;
        }
        let files = known.files().max((head.size() / FILE_BYTES) as usize);
        let files = u32::try_from(files).unwrap_or(u32::MAX);
        let known = self.publishers.get_mut(&head.publisher()).expect("it was here");
        known.next_look = now.saturating_add(PAUSE + PAUSE_PER_FILE * files);
        true
    }

    /// Whether a catalog with so many files fits beside those of the others. If not, it waits.
    pub(in crate::catalog) fn fits(&mut self, head: &Head, files: usize) -> bool {
        let Some(known) = self.publishers.get(&head.publisher()) else { return false };
        let fits = self.has_capacity_for(known, files);
        let known = self.publishers.get_mut(&head.publisher()).expect("it was here");
        known.waiting = (!fits).then_some((head.catalog(), files));
        fits
    }

    fn has_capacity_for(&self, known: &Publisher, files: usize) -> bool {
        let part = MAX_ALL_FILES / self.members.len().max(1);
        let limit = if files <= part { MOST_FILES } else { MAX_ALL_FILES };
        self.files - known.files() + files <= limit
    }
}
