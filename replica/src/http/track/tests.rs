use super::*;
use crate::{
    gossip::GossipSnapshot,
    http::tests_support::{peer, reading},
};

use std::{
    sync::{Mutex, mpsc},
    time::Duration,
};

use gossip_engine::{FlowConfig, FlowType, FlowWorker, MetricsRegistry, OverloadPolicy};

fn ready(track: &mut Track, reading: &Reading, now: Instant) -> Readiness {
    track.take(reading, now, &Numbers::new()).readiness
}

#[test]
fn it_is_ready_when_it_has_been_connected_and_complete_for_a_moment() {
    let (mut track, start) = (Track::default(), Instant::now());
    let mut reading = reading();
    reading.peers = vec![peer(1, PeerState::Away), peer(2, PeerState::Connecting)];
    let alone = ready(&mut track, &reading, start);
    assert_eq!((alone.ready, alone.reasons), (false, vec!["no peer is connected".to_owned()]));

    reading.peers[1].state = PeerState::Connected;
    assert!(!ready(&mut track, &reading, start).ready, "it has not heard what there is");
    assert!(ready(&mut track, &reading, start + SETTLE).ready);

    let mut gossip = GossipSnapshot::default();
    (gossip.wanted, gossip.missing_bytes, gossip.waiting_for_space) = (3, 12_000_000, 1);
    reading.gossip = gossip;
    let behind = ready(&mut track, &reading, start + 2 * SETTLE);
    let reasons = ["3 artifacts known and not held (12 MB)", "1 artifact waits for space"];
    assert_eq!((behind.ready, behind.reasons), (false, reasons.map(str::to_owned).to_vec()));
    assert_eq!((behind.connected, behind.peers), (1, 2));

    reading.gossip = GossipSnapshot::default();
    assert!(!ready(&mut track, &reading, start + 3 * SETTLE).ready, "complete only just now");
    assert!(ready(&mut track, &reading, start + 4 * SETTLE).ready);
}

#[test]
fn without_peers_on_the_list_it_is_ready_at_once() {
    assert!(ready(&mut Track::default(), &reading(), Instant::now()).ready);
}

#[test]
fn rates_are_those_of_the_last_seconds_and_begin_with_none() {
    let mut track = Track::default();
    let mut reading = reading();
    reading.peers = vec![peer(1, PeerState::Connected)];
    let mut rates = |bytes| {
        reading.peers[0].bytes_in = bytes;
        let view = track.take(&reading, Instant::now(), &Numbers::new());
        (view.peers[0].in_rate, view.traffic.in_rate, view.traffic.bytes_in)
    };
    // What came before the first look came at no rate.
    assert_eq!(rates(1_000_000), (0, 0, 1_000_000));
    assert_eq!(rates(1_000_300).0, 300);
    assert_eq!(rates(1_000_600).0, 300);
    assert_eq!(rates(1_000_900), (300, 300, 1_000_900));
    // A counter that falls is a fault elsewhere and no flood.
    assert_eq!(rates(5).0, 0);
}

#[test]
fn away_counts_from_the_departure_and_not_from_the_last_dial() {
    let mut track = Track::default();
    let mut reading = reading();
    let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let mut away = |state, since| {
        reading.peers = vec![peer(1, state)];
        reading.peers[0].since = at(since);
        track.take(&reading, Instant::now(), &Numbers::new()).peers[0].away_since
    };
    assert_eq!(away(PeerState::Connected, 10), None);
    assert_eq!(away(PeerState::Away, 20), Some(20.0));
    assert_eq!(away(PeerState::Connecting, 25), Some(20.0));
    assert_eq!(away(PeerState::ShutOut, 26), Some(20.0));
    assert_eq!(away(PeerState::Connected, 30), None);
    assert_eq!(away(PeerState::Away, 40), Some(40.0));
}

#[test]
fn what_is_refused_lately_stands_first() {
    let mut track = Track::default();
    let mut reading = reading();
    reading.gossip.fetched.hash_mismatches = 5;
    let view = track.take(&reading, Instant::now(), &Numbers::new());
    assert_eq!(view.refusals.len(), 1);
    assert_eq!((view.refusals[0].total, view.refusals[0].lately), (5, 0));
    reading.gossip.served.chunk_errors = 2;
    let view = track.take(&reading, Instant::now(), &Numbers::new());
    let counts: Vec<_> = view.refusals.iter().map(|of| (of.total, of.lately)).collect();
    assert_eq!(counts, [(2, 2), (5, 0)]);
}

#[test]
fn a_long_error_is_cut_between_characters() {
    let mut reading = reading();
    reading.store.last_error = Some("ü".repeat(10_000));
    let faults = faults(&reading);
    assert_eq!(faults.len(), 1);
    assert!(faults[0].chars().count() < MAX_ERROR_CHARS + 20, "{}", faults[0]);
}

#[test]
fn figures_are_for_people() {
    let of = [0, 999, 1_000, 9_949, 9_950, 999_499, 999_500, 1_500_000_000, u64::MAX].map(bytes);
    let expected = ["0 B", "999 B", "1.0 kB", "9.9 kB", "10 kB", "999 kB", "1.0 MB", "1.5 GB"];
    assert_eq!(of[..8], expected);
    assert_eq!(of[8], "18447 PB");
    let of = [-5.0, 0.0, 99.9, 100.0, 6_000.0, 172_800.0, f64::NAN].map(age);
    assert_eq!(of, ["0 s", "0 s", "99 s", "1 min", "1 h", "2 d", "0 s"]);
}

#[test]
fn a_flow_that_has_dropped_says_which_bounds_would_have_been_enough() {
    let mut reading = reading();
    let registry = MetricsRegistry::new();
    let (leave, leaves) = mpsc::channel::<()>();
    let leaves = Mutex::new(leaves);
    let handler = move |_: &NodeId, (): ()| {
        let leaves = leaves.lock().unwrap();
        leaves.recv_timeout(Duration::from_secs(60)).expect("the test gives leave");
    };
    let config = FlowConfig::new(1).with_overload_policy(OverloadPolicy::DropNewest);
    let flow = FlowWorker::new(FlowType::Chunk, &config, &registry, handler).unwrap();
    let mut advice = || {
        reading.metrics = registry.snapshot();
        let view = Track::default().take(&reading, Instant::now(), &Numbers::new());
        view.flows.into_iter().find(|flow| flow.name == "Chunk").unwrap().advice
    };
    for _ in 0..2 {
        assert_eq!(advice(), "");
        drop(flow.execute(NodeId::new([1; 32]), ()));
    }
    assert_eq!(advice(), "a bound of 3 and a peer's quota of 3 would have avoided 1 drop");
    leave.send(()).unwrap();
}

#[test]
fn people_and_files_are_called_by_their_names() {
    use crate::{
        catalog::FilePath,
        folders::{Content, FolderCount, Folders},
        store::Artifact,
    };

    let (named, unnamed) = (NodeId::new([1; 32]), NodeId::new([2; 32]));
    let mut reading = reading();
    reading.names.set([(named, Some("alice".parse().unwrap())), (unnamed, None)]);
    reading.peers = vec![peer(1, PeerState::Connected), peer(2, PeerState::Away)];
    let count = |publisher, missing_files, missing_since| FolderCount {
        publisher,
        sequence: 7,
        files: 3,
        bytes: 30,
        missing_files,
        missing_bytes: 10 * missing_files,
        over_share_files: missing_files,
        over_share_bytes: 10 * missing_files,
        missing_since,
    };
    let since = SystemTime::UNIX_EPOCH + Duration::from_secs(5);
    let counts = vec![count(named, 1, Some(since)), count(unnamed, 0, None)];
    let id = |number: u8| ArtifactId::new([number; 32]);
    let path = |bytes: &[u8]| FilePath::new(bytes).unwrap();
    let long = path(&vec![b'x'; 255]);
    let contents = HashMap::from([
        (id(1), Content::File(named, path(b"a \xff/b"))),
        (id(2), Content::Catalog(unnamed)),
        (id(3), Content::File(named, long)),
    ]);
    reading.folders = std::sync::Arc::new(Folders { counts, contents });
    let new = NodeId::new([3; 32]);
    reading.awaited = vec![unnamed, new];
    let came = |number| (Artifact { id: id(number), size: 1, height: 1 }, SystemTime::now());
    reading.recent = (1..=4).map(came).collect();
    let view = Track::default().take(&reading, Instant::now(), &Numbers::new());

    assert_eq!(view.name, None);
    let names: Vec<_> = view.peers.iter().map(|peer| peer.name.as_deref()).collect();
    assert_eq!(names, [Some("alice"), None]);
    let names: Vec<_> = view.folders.iter().map(|folder| folder.name.as_str()).collect();
    assert_eq!(names, ["alice", "0202020202020202", "0303030303030303"]);
    let newer: Vec<_> = view.folders.iter().map(|of| (of.files, of.newer_catalog)).collect();
    assert_eq!(newer, [(3, false), (3, true), (0, true)]);
    assert_eq!((view.folders[0].missing_bytes, view.folders[0].missing_since), (10, Some(5.0)));
    assert_eq!(view.folders[1].missing_since, None);
    assert_eq!((view.folders[0].over_share_files, view.folders[0].over_share_bytes), (1, 10));
    let reasons = view.readiness.reasons.join("; ");
    assert!(
        reasons.contains("1 file of alice not fetched: over max_publisher_bytes (10 B)"),
        "{reasons}"
    );
    let labels: Vec<_> = view.recent.iter().map(|of| of.label.as_deref()).collect();
    assert_eq!(labels[0], Some("alice/a \\xff/b"));
    assert_eq!(labels[1], Some("catalog of 0202020202020202"));
    assert_eq!(labels[2].unwrap().chars().count(), MAX_ERROR_CHARS + 1);
    assert_eq!(labels[3], None);
}
