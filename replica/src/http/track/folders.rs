//! Publishers' folders from one look to the next: what comes of what is missing, and how long the rest takes; and what
//! peers say that they lack.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap},
};

use gossip_engine::NodeId;

use super::Numbers;
use crate::{
    folders::{Content, FolderCount},
    gossip::SaidLack,
    http::{
        history::Ring,
        limits::{FOLDER_PEERS, FOLDER_RATE_SECONDS},
        reading::{Reading, unix_seconds},
        status::{FolderPeerView, FolderView},
    },
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
    pub(super) fn take(&mut self, reading: &Reading, numbers: &Numbers) -> Vec<FolderView> {
        let counts = reading.folders.counts.iter().map(|count| (count.publisher, count));
        let counts: BTreeMap<NodeId, &FolderCount> = counts.collect();
        let publishers: BTreeSet<NodeId> = counts.keys().chain(&reading.awaited).copied().collect();
        let (arriving, said) = (arriving(reading), by_publisher(reading));
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
            let said = said.get(&publisher).map(Vec::as_slice).unwrap_or_default();
            add_peers(&mut view, said, reading, numbers);
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

/// What peers on the list say, for each publisher.
fn by_publisher(reading: &Reading) -> HashMap<NodeId, Vec<SaidLack>> {
    let listed: BTreeSet<NodeId> = reading.peers.iter().map(|peer| peer.node_id).collect();
    let mut said: HashMap<NodeId, Vec<SaidLack>> = HashMap::new();
    for of_peer in reading.said.iter().filter(|said| listed.contains(&said.peer)) {
        said.entry(of_peer.publisher).or_default().push(*of_peer);
    }
    said
}

fn add_peers(view: &mut FolderView, said: &[SaidLack], reading: &Reading, numbers: &Numbers) {
    let peer = |of: &SaidLack| FolderPeerView {
        id: format!("{:x}", of.peer),
        name: reading.names.given_name(of.peer),
        number: numbers.get(&of.peer).copied(),
        missing_files: of.lack.missing_files,
        missing_bytes: of.lack.missing_bytes,
        older_catalog: of.lack.sequence < view.sequence,
        said: unix_seconds(of.at),
    };
    let mut peers: Vec<FolderPeerView> = said.iter().map(peer).collect();
    let is_behind = |peer: &FolderPeerView| peer.older_catalog || peer.missing_files > 0;
    view.peers_behind = peers.iter().filter(|peer| is_behind(peer)).count();
    view.peers_complete = peers.len() - view.peers_behind;
    view.peers_silent = reading.peers.len().saturating_sub(peers.len());
    // Stable: among equals in the order of their ids.
    peers.sort_by_key(|peer| Reverse((peer.missing_bytes, peer.missing_files, peer.older_catalog)));
    peers.truncate(FOLDER_PEERS);
    view.peers = peers;
}

fn folder(of: &FolderCount) -> FolderView {
    FolderView {
        sequence: of.sequence,
        files: of.files,
        bytes: of.bytes,
        missing_files: of.missing_files,
        missing_bytes: of.missing_bytes,
        over_share_files: of.over_share_files,
        over_share_bytes: of.over_share_bytes,
        missing_since: of.missing_since.map(unix_seconds),
        ..FolderView::default()
    }
}

#[cfg(test)]
mod tests;
