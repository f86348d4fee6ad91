use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use gossip_engine::ArtifactId;

use super::*;
use crate::{
    catalog::FilePath,
    folders::Folders,
    gossip::{DownloadStatus, Lack},
    http::tests_support::{peer, reading},
    transport::PeerState,
};

const FILE: ArtifactId = ArtifactId::new([9; 32]);

/// A folder of which so many bytes are missing, and so many of these have come.
fn look(tracks: &mut FolderTracks, sequence: u64, missing_bytes: u64, received: u64) -> FolderView {
    let publisher = NodeId::new([1; 32]);
    let count = FolderCount {
        publisher,
        sequence,
        files: 2,
        bytes: 20_000,
        missing_files: 1,
        missing_bytes,
        over_share_files: 0,
        over_share_bytes: 0,
        missing_since: None,
    };
    let path = FilePath::new(b"file").unwrap();
    let contents = HashMap::from([(FILE, Content::File(publisher, path))]);
    let mut reading = reading();
    reading.folders = Arc::new(Folders { counts: vec![count], contents });
    let download = DownloadStatus {
        id: FILE,
        size: 20_000,
        received,
        since: Default::default(),
        peers: 1,
        rate: 0.0,
    };
    reading.downloads = vec![download];
    tracks.take(&reading, &Numbers::new()).remove(0)
}

#[test]
fn a_folder_has_a_rate_and_a_time_left() {
    let mut tracks = FolderTracks::default();
    let first = look(&mut tracks, 1, 10_000, 0);
    assert_eq!((first.arriving_bytes, first.rate, first.left), (0, 0, None));
    // What comes of a file counts before the file is whole.
    let view = look(&mut tracks, 1, 10_000, 500);
    assert_eq!((view.arriving_bytes, view.rate, view.left), (500, 500, Some(19.0)));
    // Less is missing: a file is here.
    let view = look(&mut tracks, 1, 8_000, 0);
    assert_eq!((view.rate, view.left), (1_000, Some(8.0)));
    // More is missing: no rate, and no fault of arithmetic.
    let view = look(&mut tracks, 1, 30_000, 0);
    assert_eq!((view.rate, view.left), (0, None));
    // Another catalog, of which nothing has come yet.
    let view = look(&mut tracks, 2, 5_000, 0);
    assert_eq!((view.rate, view.left), (0, None));
    let view = look(&mut tracks, 2, 0, 0);
    assert_eq!((view.rate, view.left), (5_000, None));
}

#[test]
fn a_rate_is_of_the_last_seconds() {
    let mut tracks = FolderTracks::default();
    for second in 0..100 {
        look(&mut tracks, 1, 1_000_000 - 100 * second, 0);
    }
    let rates: Vec<u64> =
        (0..=FOLDER_RATE_SECONDS).map(|_| look(&mut tracks, 1, 990_100, 0).rate).collect();
    assert_eq!((rates[0], rates[FOLDER_RATE_SECONDS]), (90, 0));
    assert!(rates.is_sorted_by(|one, two| one >= two), "{rates:?}");
}

#[test]
fn what_peers_say_is_counted_and_those_that_lack_most_are_listed() {
    let node = |number: u8| NodeId::new([number; 32]);
    let mut reading = reading();
    reading.peers = (1..=40).map(|number| peer(number, PeerState::Connected)).collect();
    reading.names.set([(node(2), Some("alice".parse().unwrap()))]);
    let count = FolderCount {
        publisher: node(1),
        sequence: 7,
        files: 100,
        bytes: 1_000,
        missing_files: 0,
        missing_bytes: 0,
        over_share_files: 0,
        over_share_bytes: 0,
        missing_since: None,
    };
    reading.folders = Arc::new(Folders { counts: vec![count], contents: HashMap::new() });
    let says = |number: u8, sequence, missing: u64| SaidLack {
        peer: node(number),
        publisher: node(1),
        lack: Lack { sequence, missing_files: missing, missing_bytes: 10 * missing },
        at: SystemTime::UNIX_EPOCH + Duration::from_secs(5),
    };
    reading.said = (1..=30).map(|number| says(number, 7, u64::from(number - 1))).collect();
    // One with an older catalog, and one that has left the list.
    reading.said.extend([says(31, 6, 0), says(50, 7, 99)]);
    let folder = FolderTracks::default().take(&reading, &Numbers::from([(node(30), 3)])).remove(0);
    assert_eq!((folder.peers_complete, folder.peers_behind, folder.peers_silent), (1, 30, 9));
    assert_eq!(folder.peers.len(), FOLDER_PEERS);
    let first = &folder.peers[0];
    assert_eq!((first.number, first.missing_files, first.missing_bytes), (Some(3), 29, 290));
    assert_eq!((first.said, first.older_catalog), (5.0, false));

    reading.said = vec![says(2, 7, 0), says(1, 6, 0)];
    let folder = FolderTracks::default().take(&reading, &Numbers::new()).remove(0);
    let listed: Vec<_> =
        folder.peers.iter().map(|peer| (peer.name.as_deref(), peer.older_catalog)).collect();
    assert_eq!(listed, [(None, true), (Some("alice"), false)]);
    assert_eq!((folder.peers_complete, folder.peers_behind), (1, 1));
}
