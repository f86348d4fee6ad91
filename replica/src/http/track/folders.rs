//! Publishers' folders from one look to the next: what comes of what is missing, and how long the rest takes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use gossip_engine::NodeId;

use crate::http::{
    folders::{Content, FolderCount},
    history::Ring,
    limits::FOLDER_RATE_SECONDS,
    reading::{Reading, unix_seconds},
    status::FolderView,
};

/// What is kept of the folders between two looks.
#[derive(Debug, Default)]
pub(super) struct FolderTracks(HashMap<NodeId, FolderTrack>);

/// What was missing of a folder in the last seconds.
#[derive(Clone, Debug, Default)]
struct FolderTrack {
    sequence: u64,
    missing_bytes: Ring<u64>,
}

impl FolderTracks {
    /// Those of which a catalog is here, and those of which one is on its way.
    pub(super) fn take(&mut self, reading: &Reading) -> Vec<FolderView> {
        let counts = reading.folders.counts.iter().map(|count| (count.publisher, count));
        let counts: BTreeMap<NodeId, &FolderCount> = counts.collect();
        let publishers: BTreeSet<NodeId> = counts.keys().chain(&reading.awaited).copied().collect();
        let arriving = arriving(reading);
        let mut before = std::mem::take(&mut self.0);
        let view = |publisher: NodeId| {
            let mut view = FolderView {
                publisher: format!("{publisher:x}"),
                name: reading.names.publisher_name(publisher),
                newer_catalog: reading.awaited.binary_search(&publisher).is_ok(),
                arriving_bytes: arriving.get(&publisher).copied().unwrap_or_default(),
                ..counts.get(&publisher).map(|count| folder(count)).unwrap_or_default()
            };
            let rest = view.missing_bytes.saturating_sub(view.arriving_bytes);
            let mut track = before.remove(&publisher).unwrap_or_default();
            view.rate = track.take(view.sequence, rest);
            view.left = (rest > 0 && view.rate > 0).then(|| rest as f64 / view.rate as f64);
            self.0.insert(publisher, track);
            view
        };
        publishers.into_iter().map(view).collect()
    }
}

impl FolderTrack {
    /// Returns how many bytes a second come of what is missing.
    fn take(&mut self, sequence: u64, missing_bytes: u64) -> u64 {
        if self.sequence != sequence {
            // Of another catalog other files are missing.
            *self = Self { sequence, ..Self::default() };
        }
        self.missing_bytes.push(missing_bytes, FOLDER_RATE_SECONDS + 1);
        let first = self.missing_bytes.iter().next().copied().unwrap_or_default();
        let seconds = (self.missing_bytes.iter().count() as u64).saturating_sub(1).max(1);
        first.saturating_sub(missing_bytes) / seconds
    }
}

/// Bytes that have come of files that are being fetched, for each publisher. A file counts for the first that names it.
fn arriving(reading: &Reading) -> HashMap<NodeId, u64> {
    let mut arriving = HashMap::new();
    for download in &reading.downloads {
        if let Some(Content::File(publisher, _)) = reading.folders.contents.get(&download.id) {
            *arriving.entry(*publisher).or_default() += download.received;
        }
    }
    arriving
}

fn folder(of: &FolderCount) -> FolderView {
    FolderView {
        sequence: of.sequence,
        files: of.files,
        bytes: of.bytes,
        missing_files: of.missing_files,
        missing_bytes: of.missing_bytes,
        missing_since: of.missing_since.map(unix_seconds),
        ..FolderView::default()
    }
}

#[cfg(test)]
mod tests;
