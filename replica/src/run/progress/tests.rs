use super::*;

/// With so many artifacts of a million bytes here and missing.
fn seen(here: u64, missing: u64, peers: u64) -> GossipSnapshot {
    let mut seen = GossipSnapshot::default();
    (seen.artifacts, seen.bytes) = (here, here * 1_000_000);
    (seen.wanted, seen.missing_bytes) = (missing, missing * 1_000_000);
    seen.fetched.bytes_received = seen.bytes;
    seen.peers = peers;
    seen
}

#[test]
fn what_is_missing_is_said_with_its_rate_and_then_that_all_is_here() {
    let (mut progress, began) = (Progress::default(), Instant::now());
    let mut lines = Vec::new();
    // 30 artifacts, of which one comes each second.
    for second in (0..60).step_by(2) {
        let here = u64::min(second, 30);
        let now = began + Duration::from_secs(second);
        lines.extend(progress.look(now, &seen(here, 30 - here, 2)).map(|line| (second, line)));
    }
    let behind = |rate, left| Line::Behind { rate, left };
    assert_eq!(
        lines,
        [
            (0, behind(0, None)),
            (10, behind(1_000_000, Some(20))),
            (20, behind(1_000_000, Some(10))),
            (30, Line::AllHere),
        ]
    );
}

#[test]
fn what_changes_soon_after_a_line_is_said_later() {
    let (mut progress, began) = (Progress::default(), Instant::now());
    let mut look = |second, seen| progress.look(began + Duration::from_secs(second), &seen);
    assert!(look(0, seen(0, 1, 1)).is_some());
    assert_eq!(look(2, seen(1, 0, 1)), None);
    assert_eq!(look(9, seen(1, 0, 1)), None);
    assert_eq!(look(10, seen(1, 0, 1)), Some(Line::AllHere));
    assert_eq!(look(3600, seen(1, 0, 1)), None, "nothing has changed");
    assert_eq!(look(3602, seen(1, 0, 0)), None, "a replica alone knows of nothing");
    assert_eq!(look(3604, seen(1, 0, 1)), None, "as it was said");
}

#[test]
fn there_is_no_time_left_where_nothing_can_come() {
    let (mut progress, began) = (Progress::default(), Instant::now());
    let mut full = seen(1, 1, 1);
    progress.look(began, &full);
    full.fetched.bytes_received += 20_000_000;
    full.missing_bytes = 7;
    full.waiting_for_space = 1;
    let line = progress.look(began + INTERVAL, &full);
    assert_eq!(line, Some(Line::Behind { rate: 2_000_000, left: None }));
}

#[test]
fn a_rate_is_of_the_last_seconds() {
    let (mut progress, began) = (Progress::default(), Instant::now());
    let mut line = None;
    for second in (0..40).step_by(2) {
        // Ten artifacts come in ten seconds, and no more; peers come and go.
        let here = u64::min(second, 10);
        let seen = seen(here, 30 - here, 1 + second);
        line = progress.look(began + Duration::from_secs(second), &seen).or(line);
        assert!(progress.looks.len() <= MAX_LOOKS);
    }
    assert_eq!(line, Some(Line::Behind { rate: 0, left: None }));
}
