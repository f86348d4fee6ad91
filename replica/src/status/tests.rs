use gossip_replica::http::status::{FolderView, Status};

use super::{
    sections::{duration, percent_here},
    *,
};

#[test]
fn what_the_port_says_does_not_speak_to_the_terminal() {
    let json = r#"{"notices": ["\u001b[1mkey"], "replica": {"id": "\u001b[2Jabc", "listen": "a\nb",
        "readiness": {"reasons": ["\u0007"], "peers": 1},
        "peers": [{"id": "00", "state": "away\u001b", "address": "x\r", "last_error": "\u001b]0;t"}],
        "flows": [{"name": "Chunk\u0007", "advice": "a bound of 3\u001b"}, {"name": "Advert"}],
        "refusals": [{"what": "\u001b[31m", "total": 1}], "something new": 1}}"#;
    let status: Status = serde_json::from_str(json).unwrap();
    let text = text(&status);
    assert!(text.contains("  - ") && text.contains("[1mkey"), "{text:?}");
    assert_eq!(text.matches(": a bound of 3").count(), 1, "{text:?}");
    assert!(text.chars().all(|character| character == '\n' || !character.is_control()), "{text:?}");
}

#[test]
fn the_first_line_says_whether_all_is_here() {
    let headline = |change: fn(&mut ReplicaView)| {
        let mut replica = ReplicaView::default();
        change(&mut replica);
        headline(&replica)
    };
    assert_eq!(headline(|of| of.readiness.ready = true), "all here, 0 of 0 peers connected");
    assert_eq!(headline(|of| of.readiness.peers = 2), "alone, 0 of 2 peers connected");
    assert_eq!(headline(|of| of.readiness.peers = 1), "alone, 0 of 1 peer connected");
    assert_eq!(
        headline(|of| (of.readiness.peers, of.readiness.connected) = (2, 1)),
        "all here just now, 1 of 2 peers connected"
    );
    assert_eq!(headline(|of| of.readiness.missing_artifacts = 1), "behind, 0 of 0 peers connected");
    assert_eq!(
        headline(|of| of.faults.push("the store".to_owned())),
        "FAULTY, 0 of 0 peers connected"
    );
}

#[test]
fn durations_have_three_figures() {
    let of = [0.0, 4e-6, 0.0012, 0.25, 3.12].map(duration);
    assert_eq!(of, ["0 µs", "4 µs", "1.2 ms", "250 ms", "3.1 s"]);
}

#[test]
fn a_folder_is_all_here_only_if_it_is() {
    let percent = |files, bytes, missing_files, missing_bytes| {
        let mut folder = FolderView::default();
        (folder.files, folder.bytes) = (files, bytes);
        (folder.missing_files, folder.missing_bytes) = (missing_files, missing_bytes);
        percent_here(&folder)
    };
    assert_eq!(percent(0, 0, 0, 0), 100);
    assert_eq!(percent(3, 30, 0, 0), 100);
    assert_eq!(percent(3, 30, 1, 10), 66);
    assert_eq!(percent(3, 30, 3, 30), 0);
    assert_eq!(percent(1_000, 1_000, 1, 1), 99);
    assert_eq!(percent(1_000, 1_000, 1, 0), 99, "an empty file is missing");
    assert_eq!(percent(4, 0, 1, 0), 75);
    assert_eq!(percent(2, u64::MAX, 1, u64::MAX / 2), 50);
    let mut unknown = FolderView::default();
    unknown.newer_catalog = true;
    assert_eq!(percent_here(&unknown), 0);
}

#[test]
fn names_and_paths_stand_in_the_place_of_ids() {
    let json = r#"{"now": 100, "replica": {"id": "0011223344", "name": "carol",
        "peers": [{"id": "aabbccddee", "name": "alice"}, {"id": "ffeeddccbb"}],
        "folders": [{"name": "alice\u001b", "files": 2, "bytes": 10, "missing_files": 1, "missing_bytes": 5,
            "missing_since": 88, "over_share_files": 1}],
        "downloads": [{"id": "12345678", "label": "alice/a b"}, {"id": "87654321"}]}}"#;
    let status: Status = serde_json::from_str(json).unwrap();
    let text = text(&status);
    for shown in [
        "  carol listens",
        "alice ",
        "ffeeddcc ",
        "alice/a b ",
        "87654321 ",
        " 50 %",
        "12 s",
        " 1 over max_publisher_bytes",
    ] {
        assert!(text.contains(shown), "{shown}: {text}");
    }
    assert!(!text.contains("aabbccdd") && !text.contains("12345678"), "{text}");
    assert!(text.chars().all(|character| character == '\n' || !character.is_control()), "{text:?}");
}
