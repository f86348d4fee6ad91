//! What an attempt that ended has kept: it is not asked for again, and nobody is blamed for it.

#![expect(clippy::single_range_in_vec_init, reason = "a range, not what is in it")]

use std::ops::Range;

use super::*;

/// The store has space for the attempt that has just begun, and these bytes of it. Returns whether it may resume.
fn grant_kept(downloads: &mut Downloads, kept: &[Range<u64>], now: Duration) -> bool {
    let actions = downloads.take_actions();
    let reserved = actions.iter().find_map(|action| match action {
        Action::Reserve { attempt, resume, .. } => Some((*attempt, *resume)),
        _ => None,
    });
    let (attempt, resume) = reserved.expect("an attempt begins");
    downloads.space_granted(attempt, kept, now);
    downloads.check();
    resume
}

/// An attempt of 30 chunks that begins with so many kept.
fn resumed(peers: &[u8], kept: u64) -> (Downloads, Claim) {
    let mut downloads = with_peers(GossipOptions::default(), peers);
    let claim = claim(1, 30);
    downloads.advert(node(peers[0]), claim, secs(0));
    assert!(grant_kept(&mut downloads, &[0..kept * u64::from(CHUNK)], secs(0)));
    for peer in &peers[1..] {
        downloads.advert(node(*peer), claim, secs(0));
    }
    (downloads, claim)
}

#[test]
fn what_was_kept_is_not_asked_for_again() {
    let options = GossipOptions { max_downloads: 1, ..GossipOptions::default() };
    let mut downloads = with_peers(options, &[1]);
    let claim = claim(1, 30);
    advert(&mut downloads, node(1), claim, secs(0));
    assert_eq!(requests(&mut downloads).0.len(), 20);
    deliver(&mut downloads, 1, claim, &[3, 4, 5, 9], secs(1));
    downloads.take_actions();

    // It stalls, and its place is its own again.
    downloads.tick(secs(40));
    let actions = downloads.actions.clone();
    assert_eq!(actions[0], Action::Discard { attempt: 1, keep: true });
    let kept = [3 * 1024..6 * 1024, 9 * 1024..10 * 1024];
    assert!(grant_kept(&mut downloads, &kept, secs(40)));
    assert_eq!(downloads.counters.bytes_resumed, 4 * 1024);
    assert_eq!(downloads.missing_bytes(), claim.size - 4 * 1024);
    let mut left: BTreeSet<u32> = (0..30).filter(|chunk| ![3, 4, 5, 9].contains(chunk)).collect();
    while !left.is_empty() {
        let (asked, _) = requests(&mut downloads);
        assert!(!asked.is_empty(), "nothing is asked for, and {left:?} is missing");
        for (_, chunk) in asked {
            assert!(left.remove(&chunk), "{chunk} is asked for again");
            deliver(&mut downloads, 1, claim, &[chunk], secs(41));
        }
    }
    assert_eq!(requests(&mut downloads).1, [Action::Finish { attempt: 2, claim }]);
    assert_eq!((downloads.counters.chunks_received, downloads.missing_bytes()), (30, 0));
}

#[test]
fn chunks_of_another_size_go_on_with_the_same_bytes() {
    let mut downloads = with_peers(GossipOptions::default(), &[1]);
    // Chunks of 2048 bytes, the last of 1023.
    let claim = Claim { chunk_bytes: 2 * CHUNK, ..claim(1, 7) };
    downloads.advert(node(1), claim, secs(0));
    // A half of the first, all of the second, nothing of the third, the short last one.
    let kept = [1000..4096, 6 * 1024..claim.size];
    assert!(grant_kept(&mut downloads, &kept, secs(0)));
    assert_eq!(downloads.counters.bytes_resumed, 2048 + 1023);
    assert_eq!(requests(&mut downloads).0, [(1, 0), (1, 2)]);
}

#[test]
fn what_was_kept_whole_is_verified_at_once() {
    let (mut downloads, claim) = resumed(&[1], 30);
    let finish = Action::Finish { attempt: 1, claim };
    assert_eq!(requests(&mut downloads), (vec![], vec![finish]));
    downloads.mismatch(1, secs(0));
    // Nobody has lied in this run, and all of it is fetched anew.
    assert_eq!(downloads.counters.blamed, 0);
    let (asked, others) = requests(&mut downloads);
    assert_eq!((asked.len(), others), (20, vec![Action::Discard { attempt: 1, keep: false }]));
}

#[test]
fn what_is_not_a_whole_chunk_is_nobodys() {
    let mut downloads = with_peers(GossipOptions::default(), &[1]);
    let claim = claim(1, 2);
    downloads.advert(node(1), claim, secs(0));
    assert!(grant_kept(&mut downloads, &[1..1024], secs(0)));
    assert_eq!(requests(&mut downloads).0, [(1, 0), (1, 1)]);
    deliver(&mut downloads, 1, claim, &[0, 1], secs(0));
    requests(&mut downloads);
    downloads.mismatch(1, secs(0));
    assert_eq!((downloads.counters.bytes_resumed, downloads.counters.blamed), (0, 1));
}

#[test]
fn who_delivers_the_rest_of_a_wrong_artifact_is_not_blamed_and_all_is_fetched_anew_once() {
    let (mut downloads, claim) = resumed(&[1, 2], 29);
    assert_eq!(requests(&mut downloads).0, [(1, 29)]);
    deliver(&mut downloads, 1, claim, &[29], secs(0));
    assert_eq!(requests(&mut downloads).1, [Action::Finish { attempt: 1, claim }]);
    downloads.mismatch(1, secs(0));
    assert_eq!(downloads.counters.blamed, 0, "the one that delivered a chunk has not lied");
    assert_eq!(downloads.actions[0], Action::Discard { attempt: 1, keep: false });
    // One peer alone is asked for all of it, whatever the store may still have.
    assert!(!grant_kept(&mut downloads, &[], secs(0)));
    let (asked, _) = requests(&mut downloads);
    let source = asked[0].0;
    assert_eq!(asked, (0..20).map(|chunk| (source, chunk)).collect::<Vec<_>>());
    deliver(&mut downloads, source, claim, &(0..10).collect::<Vec<_>>(), secs(0));
    requests(&mut downloads);

    // Nor is that kept, if it gives way: another's rest would make a mixture of it again.
    downloads.tick(secs(600));
    let discarded =
        downloads.actions.iter().find(|action| matches!(action, Action::Discard { .. }));
    assert_eq!(discarded, Some(&Action::Discard { attempt: 2, keep: false }));
    assert!(!grant_kept(&mut downloads, &[], secs(600)));
    let (asked, _) = requests(&mut downloads);
    let source = asked[0].0;
    deliver(&mut downloads, source, claim, &(0..30).collect::<Vec<_>>(), secs(600));
    requests(&mut downloads);
    downloads.mismatch(3, secs(600));
    assert_eq!(downloads.counters.blamed, 1, "who has delivered all of it has lied");
}

#[test]
fn what_has_come_from_elsewhere_is_not_kept() {
    let (mut downloads, claim) = resumed(&[1], 10);
    requests(&mut downloads);
    downloads.held(claim.id, secs(0));
    assert_eq!(downloads.take_actions(), [Action::Discard { attempt: 1, keep: false }]);
}

#[test]
fn what_lacks_space_is_kept_and_what_the_disk_refuses_is_not() {
    for lacks_space in [true, false] {
        let (mut downloads, claim) = resumed(&[1], 29);
        requests(&mut downloads);
        let write = downloads.chunk(node(1), claim.id, 29, 1023, secs(0)).expect("asked for");
        match lacks_space {
            true => downloads.no_space(write.attempt, secs(0)),
            false => downloads.disk_failed(write.attempt, secs(0)),
        };
        let discard = Action::Discard { attempt: 1, keep: lacks_space };
        assert_eq!(downloads.take_actions(), [discard]);
    }
}
