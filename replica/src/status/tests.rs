use gossip_replica::http::status::Status;

use super::*;

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
        "just connected, 1 of 2 peers connected"
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
