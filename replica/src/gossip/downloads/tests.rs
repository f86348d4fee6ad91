//! Each rule by itself; all of them together, with peers of all kinds, are in `simulation`. What many replicas do
//! together is tested in the `simulation` of the crate.

mod resume;
mod simulation;

use gossip_engine::ChunkError;

use super::{peer::MAX_BLAMES, *};

const CHUNK: u32 = 1024;

fn node(n: u8) -> NodeId {
    NodeId::new([n; 32])
}

fn claim(n: u16, chunks: u32) -> Claim {
    let mut id = [0; 32];
    id[..2].copy_from_slice(&n.to_be_bytes());
    let size = u64::from(chunks * CHUNK).saturating_sub(1);
    Claim { id: ArtifactId::new(id), size, chunk_bytes: CHUNK }
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A machine with these peers up, whose requests for adverts have been taken away.
fn with_peers(options: GossipOptions, peers: &[u8]) -> Downloads {
    let mut downloads = Downloads::new(options, Order::Arrival);
    for peer in peers {
        downloads.peer_up(node(*peer), secs(0));
        let asked = downloads.take_actions();
        assert_eq!(asked, [Action::AskAdverts { peer: node(*peer) }]);
    }
    downloads
}

/// A peer advertises something; the store has space for it.
fn advert(downloads: &mut Downloads, peer: NodeId, claim: Claim, now: Duration) {
    downloads.advert(peer, claim, now);
    grant(downloads);
}

/// There is space for all attempts.
fn grant(downloads: &mut Downloads) {
    let reserve = |action: &Action| matches!(action, Action::Reserve { .. });
    while let Some(at) = downloads.actions.iter().position(reserve) {
        let Action::Reserve { attempt, .. } = downloads.actions.remove(at) else { unreachable!() };
        let began = downloads.attempts[&attempt].started;
        downloads.space_granted(attempt, &[], began);
    }
}

/// Takes the actions away: the requests as (peer, chunk), the others as they are.
fn requests(downloads: &mut Downloads) -> (Vec<(u8, u32)>, Vec<Action>) {
    downloads.check();
    grant(downloads);
    downloads.check();
    let (mut requests, mut others) = (Vec::new(), Vec::new());
    for action in downloads.take_actions() {
        match action {
            Action::Request { peer, chunk, .. } => requests.push((peer.as_bytes()[0], chunk)),
            other => others.push(other),
        }
    }
    (requests, others)
}

/// Delivers chunks and writes them.
fn deliver(downloads: &mut Downloads, peer: u8, claim: Claim, chunks: &[u32], now: Duration) {
    for chunk in chunks {
        let (_, length) = claim.chunk(*chunk).unwrap();
        let write = downloads.chunk(node(peer), claim.id, *chunk, length, now).expect("expected");
        downloads.written(write.attempt, now);
        downloads.check();
    }
}

#[test]
fn an_artifact_is_asked_for_written_finished_and_forgotten() {
    let mut downloads = with_peers(GossipOptions::default(), &[1]);
    let claim = claim(1, 3);
    advert(&mut downloads, node(1), claim, secs(0));
    assert_eq!(requests(&mut downloads), (vec![(1, 0), (1, 1), (1, 2)], vec![]));
    // The same advert again, and one by a stranger.
    advert(&mut downloads, node(1), claim, secs(0));
    advert(&mut downloads, node(9), claim, secs(0));
    assert_eq!(requests(&mut downloads), (vec![], vec![]));

    let write = downloads.chunk(node(1), claim.id, 2, 1023, secs(1)).unwrap();
    assert_eq!((write.offset, write.claim), (2048, claim));
    downloads.written(write.attempt, secs(1));
    assert_eq!(requests(&mut downloads), (vec![], vec![]));
    deliver(&mut downloads, 1, claim, &[0, 1], secs(1));
    let attempt = write.attempt;
    assert_eq!(requests(&mut downloads).1, [Action::Finish { attempt, claim }]);
    assert_eq!(downloads.held(claim.id, secs(2)), [node(1)]);
    assert_eq!(requests(&mut downloads).1, [Action::Discard { attempt, keep: false }]);
    assert_eq!((downloads.wanted_count(), downloads.active_count()), (0, 0));
}

#[test]
fn an_empty_artifact_needs_no_chunk() {
    let mut downloads = with_peers(GossipOptions::default(), &[1]);
    let claim = claim(1, 0);
    advert(&mut downloads, node(1), claim, secs(0));
    assert_eq!(requests(&mut downloads), (vec![], vec![Action::Finish { attempt: 1, claim }]));
}

#[test]
fn no_peer_is_asked_for_more_than_it_may() {
    let mut downloads = with_peers(GossipOptions::default(), &[1, 2]);
    let claim = claim(1, 100);
    advert(&mut downloads, node(1), claim, secs(0));
    assert_eq!(requests(&mut downloads).0, (0..20).map(|chunk| (1, chunk)).collect::<Vec<_>>());
    // The next peer gets the next chunks: none is asked of two.
    advert(&mut downloads, node(2), claim, secs(0));
    assert_eq!(requests(&mut downloads).0, (20..40).map(|chunk| (2, chunk)).collect::<Vec<_>>());
    deliver(&mut downloads, 2, claim, &[25, 20], secs(0));
    assert_eq!(requests(&mut downloads).0, [(2, 40), (2, 41)]);
}

#[test]
fn what_was_not_asked_for_is_not_taken() {
    let mut downloads = with_peers(GossipOptions::default(), &[1, 2]);
    let claim = claim(1, 3);
    advert(&mut downloads, node(1), claim, secs(0));
    assert_eq!(downloads.chunk(node(2), claim.id, 0, 1024, secs(0)), None);
    assert_eq!(downloads.chunk(node(1), claim.id, 3, 1024, secs(0)), None);
    assert_eq!(downloads.chunk(node(1), self::claim(2, 3).id, 0, 1024, secs(0)), None);
    downloads.chunk_error(node(2), claim.id, 0, ChunkError::NotFound, secs(0));
    assert_eq!(downloads.counters.chunks_unsolicited, 4);
    deliver(&mut downloads, 1, claim, &[0], secs(0));
    assert_eq!(downloads.chunk(node(1), claim.id, 0, 1024, secs(0)), None);
    assert_eq!(downloads.counters.chunks_duplicate, 1);
    assert_eq!(downloads.counters.chunks_received, 1);
}

#[test]
fn what_is_late_is_asked_of_a_second_peer_and_the_first_answer_counts() {
    let mut downloads = with_peers(GossipOptions::default(), &[1, 2]);
    let claim = claim(1, 21);
    advert(&mut downloads, node(1), claim, secs(0));
    advert(&mut downloads, node(2), claim, secs(0));
    assert_eq!(requests(&mut downloads).0.len(), 21);
    deliver(&mut downloads, 2, claim, &[20], secs(0));
    downloads.tick(Duration::from_millis(400));
    assert_eq!(requests(&mut downloads).0, []);
    downloads.tick(Duration::from_millis(500));
    let (again, _) = requests(&mut downloads);
    assert_eq!(again, (0..20).map(|chunk| (2, chunk)).collect::<Vec<_>>());
    assert_eq!(downloads.counters.chunks_hedged, 20);
    deliver(&mut downloads, 2, claim, &[0, 1, 2], secs(1));
    // The slower answers are true, and were asked for.
    assert_eq!(downloads.chunk(node(1), claim.id, 0, 1024, secs(1)), None);
    deliver(&mut downloads, 1, claim, &(3..20).collect::<Vec<_>>(), secs(1));
    downloads.held(claim.id, secs(1));
    // Also when all is over.
    assert_eq!(downloads.chunk(node(1), claim.id, 1, 1024, secs(1)), None);
    assert_eq!(downloads.chunk(node(2), claim.id, 3, 1024, secs(1)), None);
    assert_eq!(downloads.counters.chunks_duplicate, 3);
    assert_eq!(downloads.counters.bytes_duplicate, 3 * 1024);
    assert_eq!(downloads.counters.chunks_unsolicited, 0);
}

#[test]
fn what_may_come_twice_is_bounded() {
    let mut downloads = with_peers(GossipOptions::default(), &[1, 2]);
    let claim = Claim { size: 5 << 20, chunk_bytes: 1 << 18, ..claim(1, 1) };
    advert(&mut downloads, node(1), claim, secs(0));
    advert(&mut downloads, node(2), claim, secs(0));
    assert_eq!(requests(&mut downloads).0.len(), 20);
    downloads.tick(secs(2));
    assert_eq!(requests(&mut downloads).0, (0..4).map(|chunk| (2, chunk)).collect::<Vec<_>>());
    downloads.tick(secs(3));
    assert_eq!(requests(&mut downloads).0, []);
    // Nothing comes twice of one that leaves.
    downloads.peer_down(node(1), secs(3));
    assert_eq!(downloads.allowance, FIRST_ALLOWANCE);
}

#[test]
fn what_has_timed_out_is_welcome_all_the_same() {
    let mut downloads = with_peers(GossipOptions::default(), &[1, 2]);
    let claim = claim(1, 20);
    advert(&mut downloads, node(1), claim, secs(0));
    requests(&mut downloads);
    downloads.tick(secs(15));
    assert_eq!(downloads.counters.chunks_timed_out, 20);
    advert(&mut downloads, node(2), claim, secs(15));
    let (again, _) = requests(&mut downloads);
    // The half of it, since it was the only one, and all the rest of the other.
    assert_eq!(again[..10], (0..10).map(|chunk| (1, chunk)).collect::<Vec<_>>());
    assert_eq!(again[10..], (10..20).map(|chunk| (2, chunk)).collect::<Vec<_>>());
    deliver(&mut downloads, 1, claim, &[13], secs(16));
    assert_eq!(downloads.chunk(node(2), claim.id, 13, 1024, secs(16)), None);
    assert_eq!(
        (downloads.counters.chunks_duplicate, downloads.counters.chunks_unsolicited),
        (1, 0)
    );
}

#[test]
fn one_true_chunk_among_many_that_are_missing_clears_nobody() {
    let options = GossipOptions { requests_per_peer: 40, ..GossipOptions::default() };
    let mut downloads = with_peers(options, &[1, 2]);
    let alone = claim(1, 19);
    advert(&mut downloads, node(1), alone, secs(0));
    requests(&mut downloads);
    downloads.tick(secs(15));
    assert_eq!(downloads.counters.chunks_timed_out, 19);
    assert_eq!(requests(&mut downloads).0.len(), 19);
    deliver(&mut downloads, 1, alone, &[0], secs(16));
    let next = claim(2, 1);
    advert(&mut downloads, node(2), next, secs(16));
    advert(&mut downloads, node(1), next, secs(16));
    assert_eq!(requests(&mut downloads).0, [(2, 0)]);
    // Although it has capacity: the other is to be believed.
    downloads.chunk_error(node(2), next.id, 0, ChunkError::Unavailable, secs(16));
    assert_eq!(requests(&mut downloads).0, []);
    // Many true ones do.
    deliver(&mut downloads, 1, alone, &(1..12).collect::<Vec<_>>(), secs(16));
    assert_eq!(requests(&mut downloads).0, [(1, 0)]);
}

#[test]
fn what_an_attempt_takes_back_at_its_end_was_not_requested() {
    let mut downloads = with_peers(GossipOptions::default(), &[1]);
    let claim = claim(1, 1);
    advert(&mut downloads, node(1), claim, secs(0));
    assert_eq!(requests(&mut downloads).0, [(1, 0)]);
    // Long after, one tick asks for what has timed out and gives the attempt up.
    downloads.tick(secs(1_000));
    downloads.check();
    assert_eq!(downloads.counters.given_up, 1);
    let actions = downloads.take_actions();
    assert!(!actions.iter().any(|action| matches!(action, Action::Request { .. })), "{actions:?}");
    assert_eq!(downloads.counters.chunks_requested, 1);
}

#[test]
fn nothing_is_asked_for_until_there_is_space() {
    let mut downloads = with_peers(GossipOptions::default(), &[1, 2]);
    let claim = claim(1, 3);
    downloads.advert(node(1), claim, secs(0));
    assert_eq!(
        downloads.take_actions(),
        [Action::Reserve { attempt: 1, claim, owner: node(1), resume: true }]
    );
    assert!(downloads.no_space(1, secs(0)));
    downloads.check();
    // Another that advertises it makes no difference.
    downloads.advert(node(2), claim, secs(0));
    assert_eq!(downloads.take_actions(), [Action::Discard { attempt: 1, keep: true }]);
    assert_eq!((downloads.waiting_for_space(), downloads.missing_bytes()), (1, claim.size));
    let (mut attempt, mut tried) = (1, Vec::new());
    for second in 1..1_000 {
        downloads.tick(secs(second));
        downloads.check();
        for action in downloads.take_actions() {
            match action {
                Action::Reserve { attempt: next, .. } => {
                    tried.push(second);
                    attempt = next;
                    assert!(!downloads.no_space(attempt, secs(second)), "no news");
                }
                Action::Request { .. } => panic!("asked for without space"),
                _ => {}
            }
        }
    }
    assert_eq!(tried, [2, 6, 14, 30, 62, 126, 254, 510, 810]);
    assert_eq!(downloads.counters.no_space, 10);
    // The disk is freed.
    downloads.tick(secs(1_110));
    downloads.take_actions();
    downloads.space_granted(attempt + 1, &[], secs(1_110));
    assert_eq!(downloads.waiting_for_space(), 0);
    assert_eq!(requests(&mut downloads).0.len(), 3);
}

#[test]
fn what_the_disk_refuses_is_put_off_for_longer_each_time() {
    let mut downloads = with_peers(GossipOptions::default(), &[1]);
    let claim = claim(1, 1);
    advert(&mut downloads, node(1), claim, secs(0));
    let mut asked = Vec::new();
    for second in 0..600 {
        downloads.tick(secs(second));
        for (peer, chunk) in requests(&mut downloads).0 {
            asked.push(second);
            let write = downloads.chunk(node(peer), claim.id, chunk, 1023, secs(second)).unwrap();
            downloads.disk_failed(write.attempt, secs(second));
        }
    }
    assert_eq!(asked, [0, 5, 10, 18, 34, 66, 130, 258, 514]);
}

#[test]
fn each_replica_has_an_order_of_its_own() {
    let order_of = |salt| {
        let options =
            GossipOptions { max_downloads: 1, requests_per_peer: 1_000, ..Default::default() };
        let mut downloads = Downloads::new(options, Order::Salted(salt));
        downloads.peer_up(node(1), secs(0));
        for n in 0..20 {
            downloads.advert(node(1), claim(n, 40), secs(0));
        }
        let mut order = Vec::new();
        while downloads.wanted_count() > 0 {
            grant(&mut downloads);
            downloads.check();
            let asked = downloads.take_actions().into_iter().find_map(|action| match action {
                Action::Request { id, chunk, .. } => Some((id, chunk)),
                _ => None,
            });
            order.push(asked.expect("something is asked for"));
            downloads.held(order.last().unwrap().0, secs(0));
        }
        order
    };
    let (one, other) = (order_of(1), order_of(2));
    assert_eq!(one, order_of(1));
    assert_ne!(one, other);
    let ids =
        |order: &[(ArtifactId, u32)]| order.iter().map(|(id, _)| *id).collect::<BTreeSet<_>>();
    assert_eq!((ids(&one).len(), ids(&one)), (20, ids(&other)));
    // Nor does each artifact begin with its first chunk.
    assert!(one.iter().any(|(_, chunk)| *chunk > 0));
}

#[test]
fn a_catalog_comes_before_what_waits() {
    let options = GossipOptions { max_downloads: 1, ..Default::default() };
    let mut downloads = Downloads::new(options, Order::Salted(7));
    downloads.peer_up(node(1), secs(100));
    for n in 0..20 {
        downloads.advert(node(1), claim(n, 1), secs(100));
    }
    let catalog = claim(100, 1);
    downloads.advert_first(node(1), catalog, secs(200));
    downloads.check();
    // The one that was begun first is not interrupted.
    let first = downloads.attempts.values().next().expect("one has begun").claim.id;
    assert_ne!(first, catalog.id);
    downloads.held(first, secs(200));
    assert_eq!(downloads.attempts.values().next().map(|of| of.claim.id), Some(catalog.id));
}

#[test]
fn an_advert_of_what_is_not_held_is_reported_once() {
    let mut downloads = with_peers(GossipOptions::default(), &[1]);
    let claim = claim(1, 2);
    let mut reports = Vec::new();
    for _ in 0..3 {
        advert(&mut downloads, node(1), claim, secs(0));
        downloads.chunk_error(node(1), claim.id, 0, ChunkError::NotFound, secs(0));
        downloads.chunk_error(node(1), claim.id, 1, ChunkError::NotFound, secs(0));
        let others = requests(&mut downloads).1;
        reports.extend(others.into_iter().filter(|other| matches!(other, Action::Report { .. })));
    }
    let (peer, id) = (node(1), claim.id);
    assert_eq!(reports, [Action::Report { peer, id, fault: Fault::NotHeld }]);
}

#[test]
fn the_status_of_a_download_says_how_far_it_is() {
    let mut downloads = with_peers(GossipOptions::default(), &[1, 2]);
    let claim = claim(1, 40);
    advert(&mut downloads, node(1), claim, secs(1));
    advert(&mut downloads, node(2), claim, secs(1));
    deliver(&mut downloads, 1, claim, &(0..10).collect::<Vec<_>>(), secs(2));
    let status = downloads.status(secs(3));
    assert_eq!(status.len(), 1);
    let expected = (claim.id, claim.size, 10 * 1024, secs(2), 2);
    let first = status[0];
    assert_eq!((first.id, first.size, first.received, first.since, first.peers), expected);
    assert!((first.rate - 5.0 * 1024.0).abs() < 1.0, "{first:?}");
    assert_eq!(downloads.missing_bytes(), claim.size - 10 * 1024);
    assert!(downloads.status(secs(60))[0].rate.abs() < 1.0);
}

#[test]
fn a_timed_out_peer_is_asked_for_less_and_recovers() {
    let mut downloads = with_peers(GossipOptions::default(), &[1]);
    let claim = claim(1, 200);
    advert(&mut downloads, node(1), claim, secs(0));
    assert_eq!(requests(&mut downloads).0.len(), 20);
    downloads.tick(secs(15));
    // The only one there is, so it is asked again, but for half.
    let (again, _) = requests(&mut downloads);
    assert_eq!(again, (0..10).map(|chunk| (1, chunk)).collect::<Vec<_>>());
    let mut outstanding: VecDeque<u32> = again.iter().map(|(_, chunk)| *chunk).collect();
    while let Some(chunk) = outstanding.pop_front() {
        deliver(&mut downloads, 1, claim, &[chunk], secs(16));
        outstanding.extend(requests(&mut downloads).0.iter().map(|(_, chunk)| *chunk));
        if outstanding.len() == 20 {
            return;
        }
    }
    panic!("never asked for 20 again");
}

#[test]
fn a_chunk_of_a_wrong_length_ends_the_belief_in_its_sender() {
    let mut downloads = with_peers(GossipOptions::default(), &[1, 2]);
    let claim = claim(1, 3);
    advert(&mut downloads, node(1), claim, secs(0));
    advert(&mut downloads, node(2), claim, secs(0));
    requests(&mut downloads);
    // The last chunk is one byte shorter than the others.
    assert_eq!(downloads.chunk(node(1), claim.id, 2, 1024, secs(1)), None);
    assert_eq!(downloads.counters.chunks_invalid, 1);
    assert_eq!(requests(&mut downloads).0, [(2, 0), (2, 1), (2, 2)]);
    advert(&mut downloads, node(1), claim, secs(2));
    assert_eq!(downloads.counters.adverts_refused, 1);
    deliver(&mut downloads, 2, claim, &[0, 1, 2], secs(2));
    assert_eq!(downloads.held(claim.id, secs(2)), [node(2)]);
}

#[test]
fn a_lie_is_forgotten_in_time_and_many_lies_make_a_liar() {
    let mut downloads = with_peers(GossipOptions::default(), &[1]);
    for lie in 0..MAX_BLAMES as u16 {
        advert(&mut downloads, node(1), claim(lie, 1), secs(0));
        assert_eq!(downloads.chunk(node(1), claim(lie, 1).id, 0, 5, secs(0)), None);
    }
    assert_eq!(downloads.counters.blamed, MAX_BLAMES as u64);
    requests(&mut downloads);
    advert(&mut downloads, node(1), claim(1_000, 1), secs(599));
    assert_eq!(requests(&mut downloads).0, []);
    assert_eq!(downloads.wanted_count(), 0);
    advert(&mut downloads, node(1), claim(1, 1), secs(600));
    assert_eq!(requests(&mut downloads).0, [(1, 0)]);
}

#[test]
fn one_source_is_blamed_for_a_mismatch_and_several_are_asked_one_by_one() {
    let mut downloads = with_peers(GossipOptions::default(), &[1, 2]);
    let claim = claim(1, 30);
    advert(&mut downloads, node(1), claim, secs(0));
    advert(&mut downloads, node(2), claim, secs(0));
    requests(&mut downloads);
    deliver(&mut downloads, 1, claim, &(0..20).collect::<Vec<_>>(), secs(0));
    deliver(&mut downloads, 2, claim, &(20..30).collect::<Vec<_>>(), secs(0));
    assert_eq!(requests(&mut downloads).1, [Action::Finish { attempt: 1, claim }]);
    downloads.mismatch(1, secs(0));
    let (asked, others) = requests(&mut downloads);
    assert_eq!(others, [Action::Discard { attempt: 1, keep: false }]);
    assert_eq!(downloads.counters.blamed, 0);
    // One only, although both could be asked.
    let source = asked[0].0;
    assert_eq!(asked, (0..20).map(|chunk| (source, chunk)).collect::<Vec<_>>());
    deliver(&mut downloads, source, claim, &(0..30).collect::<Vec<_>>(), secs(0));
    requests(&mut downloads);
    downloads.mismatch(2, secs(0));
    assert_eq!(downloads.counters.blamed, 1);
    let (asked, _) = requests(&mut downloads);
    assert_eq!(asked, (0..20).map(|chunk| (3 - source, chunk)).collect::<Vec<_>>());
    assert_eq!(downloads.counters.hash_mismatches, 2);
}

#[test]
fn one_that_has_lied_is_asked_last_for_everything() {
    let mut downloads = with_peers(GossipOptions::default(), &[1, 2]);
    advert(&mut downloads, node(1), claim(1, 1), secs(0));
    assert_eq!(downloads.chunk(node(1), claim(1, 1).id, 0, 5, secs(0)), None);
    requests(&mut downloads);
    let other = claim(2, 40);
    advert(&mut downloads, node(1), other, secs(0));
    assert_eq!(requests(&mut downloads).0.len(), 20);
    advert(&mut downloads, node(2), other, secs(0));
    assert_eq!(requests(&mut downloads).0.len(), 20);
    // What it delivers now does not make it honest.
    deliver(&mut downloads, 1, other, &[0], secs(0));
    downloads.chunk_error(node(2), other.id, 20, ChunkError::Unavailable, secs(0));
    assert_eq!(requests(&mut downloads).0, []);
    downloads.tick(secs(1));
    assert_eq!(requests(&mut downloads).0, [(2, 20)]);
}

#[test]
fn a_lying_claim_does_not_block_the_right_one() {
    let mut downloads = with_peers(GossipOptions::default(), &[1, 2]);
    let (lie, truth) = (Claim { size: 1 << 20, ..claim(1, 1) }, claim(1, 1));
    advert(&mut downloads, node(1), Claim { chunk_bytes: 1 << 16, ..lie }, secs(0));
    assert_eq!(requests(&mut downloads).0.len(), 16);
    advert(&mut downloads, node(2), truth, secs(0));
    assert_eq!(requests(&mut downloads).0, []);
    // Once the liar has not answered in time, the other claim is tried.
    downloads.tick(secs(15));
    assert_eq!(
        requests(&mut downloads),
        (vec![(2, 0)], vec![Action::Discard { attempt: 1, keep: true }])
    );
    deliver(&mut downloads, 2, truth, &[0], secs(16));
    downloads.held(truth.id, secs(16));
    assert_eq!(downloads.wanted_count(), 0);
}

#[test]
fn many_lying_claims_are_each_tried_for_as_long_as_the_first() {
    let mut downloads = with_peers(GossipOptions::default(), &[1, 2, 3, 4, 5, 6, 7]);
    let truth = claim(1, 1);
    for liar in 1..7_u8 {
        let lie = Claim { chunk_bytes: CHUNK + u32::from(liar), ..truth };
        downloads.advert_first(node(liar), lie, secs(0));
    }
    downloads.advert_first(node(7), truth, secs(0));
    // Six that do not answer in time, each once, 15 s each.
    let asked_at = (0..=100).find(|second| {
        downloads.tick(secs(*second));
        requests(&mut downloads).0.contains(&(7, 0))
    });
    assert_eq!(asked_at, Some(6 * 15));
}

#[test]
fn patience_with_a_claim_grows_until_a_slow_peer_is_done() {
    let mut downloads = with_peers(GossipOptions::default(), &[1]);
    advert(&mut downloads, node(1), claim(1, 1), secs(0));
    let mut began = vec![0];
    for second in 0..400 {
        downloads.tick(secs(second));
        let (_, others) = requests(&mut downloads);
        let gave_way = others.iter().any(|other| matches!(other, Action::Discard { .. }));
        began.extend(gave_way.then_some(second));
    }
    assert_eq!(began, [0, 30, 90, 210]);
}

#[test]
fn a_slow_walk_ends_with_its_lease() {
    let mut downloads = with_peers(GossipOptions::default(), &[1, 2]);
    let (lie, truth) = (claim(1, 1_000), claim(1, 1));
    advert(&mut downloads, node(1), lie, secs(0));
    advert(&mut downloads, node(2), truth, secs(0));
    for round in 0..30 {
        let now = secs(4 * round);
        downloads.tick(now);
        let (asked, _) = requests(&mut downloads);
        assert!(!asked.is_empty() && asked.iter().all(|(peer, _)| *peer == 1));
        // Just in time, and never done.
        deliver(
            &mut downloads,
            1,
            lie,
            &asked.iter().map(|(_, chunk)| *chunk).collect::<Vec<_>>(),
            now,
        );
    }
    downloads.tick(secs(120));
    assert!(requests(&mut downloads).0.contains(&(2, 0)));
}

#[test]
fn a_stalled_attempt_gives_its_place_to_the_next() {
    let options = GossipOptions { max_downloads: 1, ..GossipOptions::default() };
    let mut downloads = with_peers(options, &[1]);
    advert(&mut downloads, node(1), claim(1, 1), secs(0));
    advert(&mut downloads, node(1), claim(2, 2), secs(0));
    assert_eq!(requests(&mut downloads).0, [(1, 0)]);
    downloads.tick(secs(30));
    let (asked, others) = requests(&mut downloads);
    assert_eq!(asked, [(1, 0), (1, 1)]);
    assert_eq!(others, [Action::Discard { attempt: 1, keep: true }]);
    assert_eq!((downloads.wanted_count(), downloads.counters.given_up), (2, 1));
}

#[test]
fn an_error_sends_the_chunk_to_another_peer() {
    let mut downloads = with_peers(GossipOptions::default(), &[1, 2]);
    let claim = claim(1, 2);
    advert(&mut downloads, node(1), claim, secs(0));
    advert(&mut downloads, node(2), claim, secs(0));
    requests(&mut downloads);
    downloads.chunk_error(node(1), claim.id, 0, ChunkError::Unavailable, secs(0));
    assert_eq!(requests(&mut downloads).0, [(2, 0)]);
    downloads.chunk_error(node(2), claim.id, 0, ChunkError::Unavailable, secs(0));
    assert_eq!(requests(&mut downloads).0, []);
    downloads.tick(secs(1));
    // The other chunk is late.
    assert_eq!(requests(&mut downloads).0, [(2, 1), (1, 0)]);
    // It does not have it after all: it is not asked again until it says so again.
    downloads.chunk_error(node(1), claim.id, 0, ChunkError::NotFound, secs(1));
    assert_eq!(requests(&mut downloads).0, [(2, 0)]);
    downloads.chunk_error(node(2), claim.id, 0, ChunkError::NotFound, secs(1));
    assert!(requests(&mut downloads).1.contains(&Action::Discard { attempt: 1, keep: true }));
    assert_eq!(downloads.wanted_count(), 0);
    advert(&mut downloads, node(1), claim, secs(2));
    assert_eq!(requests(&mut downloads).0, [(1, 0), (1, 1)]);
}

#[test]
fn a_chunk_waits_for_another_peer_rather_than_for_the_one_that_failed() {
    let options = GossipOptions { requests_per_peer: 1, ..GossipOptions::default() };
    let mut downloads = with_peers(options, &[1, 2]);
    let claim = claim(1, 2);
    advert(&mut downloads, node(1), claim, secs(0));
    advert(&mut downloads, node(2), claim, secs(0));
    assert_eq!(requests(&mut downloads).0, [(1, 0), (2, 1)]);
    downloads.chunk_error(node(1), claim.id, 0, ChunkError::Unavailable, secs(0));
    downloads.tick(secs(1));
    // It is rather asked for what the other is late with.
    assert_eq!(requests(&mut downloads).0, [(1, 1)]);
    deliver(&mut downloads, 2, claim, &[1], secs(1));
    assert_eq!(requests(&mut downloads).0, [(2, 0)]);
}

#[test]
fn a_peer_may_change_its_claim() {
    let mut downloads = with_peers(GossipOptions::default(), &[1]);
    let (before, after) = (claim(1, 2), Claim { chunk_bytes: 2 * CHUNK, ..claim(1, 2) });
    advert(&mut downloads, node(1), before, secs(0));
    assert_eq!(requests(&mut downloads).0, [(1, 0), (1, 1)]);
    advert(&mut downloads, node(1), after, secs(0));
    let discarded = vec![Action::Discard { attempt: 1, keep: true }];
    assert_eq!(requests(&mut downloads), (vec![(1, 0)], discarded));
    deliver(&mut downloads, 1, after, &[0], secs(1));
    assert_eq!(requests(&mut downloads).1, [Action::Finish { attempt: 2, claim: after }]);
}

#[test]
fn a_request_that_cannot_be_sent_is_made_by_the_timer() {
    let mut downloads = with_peers(GossipOptions::default(), &[1]);
    let claim = claim(1, 1);
    advert(&mut downloads, node(1), claim, secs(0));
    assert_eq!(requests(&mut downloads).0, [(1, 0)]);
    downloads.request_unsent(node(1), 1, 0, secs(0));
    // An old report about it changes nothing.
    downloads.request_unsent(node(1), 7, 0, secs(0));
    downloads.tick(Duration::from_millis(100));
    assert_eq!(requests(&mut downloads).0, []);
    downloads.tick(Duration::from_millis(200));
    assert_eq!(requests(&mut downloads).0, [(1, 0)]);
}

#[test]
fn a_peer_that_leaves_takes_everything_with_it() {
    let mut downloads = with_peers(GossipOptions::default(), &[1, 2]);
    let (both, alone) = (claim(1, 5), claim(2, 5));
    advert(&mut downloads, node(1), both, secs(0));
    advert(&mut downloads, node(2), both, secs(0));
    advert(&mut downloads, node(1), alone, secs(0));
    deliver(&mut downloads, 1, alone, &[0], secs(0));
    requests(&mut downloads);
    downloads.peer_down(node(1), secs(1));
    assert_eq!(requests(&mut downloads).0, (0..5).map(|chunk| (2, chunk)).collect::<Vec<_>>());
    assert_eq!(downloads.chunk(node(1), both.id, 0, 1024, secs(1)), None);

    // It comes back in time: what it has delivered is still there.
    downloads.peer_up(node(1), secs(5));
    advert(&mut downloads, node(1), alone, secs(5));
    assert_eq!(requests(&mut downloads).0, [(1, 1), (1, 2), (1, 3), (1, 4)]);

    // It does not come back: nothing remains.
    downloads.peer_down(node(1), secs(6));
    downloads.peer_down(node(2), secs(6));
    downloads.tick(secs(60));
    requests(&mut downloads);
    assert_eq!((downloads.wanted_count(), downloads.active_count()), (0, 0));
    assert!(downloads.turns.is_empty() && downloads.ring.is_empty());
}

#[test]
fn a_peer_that_comes_and_goes_gets_no_second_share() {
    let options = GossipOptions { max_downloads: 8, downloads_per_peer: 2, ..Default::default() };
    let mut downloads = with_peers(options, &[1]);
    for round in 0..5 {
        for n in 0..5 {
            advert(&mut downloads, node(1), claim(round * 5 + n, 1), secs(0));
        }
        downloads.peer_down(node(1), secs(0));
        downloads.peer_up(node(1), secs(0));
        downloads.check();
    }
    assert_eq!(downloads.active_count(), 2);
}

#[test]
fn a_share_that_has_shrunk_while_a_peer_waited_holds() {
    let options = GossipOptions { max_downloads: 4, ..GossipOptions::default() };
    let mut downloads = with_peers(options, &[1]);
    advert(&mut downloads, node(1), claim(1, 1), secs(0));
    advert(&mut downloads, node(1), claim(2, 1), secs(0));
    let write = downloads.chunk(node(1), claim(1, 1).id, 0, 1023, secs(0)).unwrap();
    assert!(downloads.disk_failed(write.attempt, secs(0)));
    for peer in 2..5 {
        downloads.peer_up(node(peer), secs(1));
    }
    downloads.tick(secs(10));
    requests(&mut downloads);
    assert_eq!((downloads.active_count(), downloads.wanted_count()), (1, 2));
}

#[test]
fn a_claim_of_one_that_does_not_answer_is_tried_last() {
    let mut downloads = with_peers(GossipOptions::default(), &[1, 2]);
    advert(&mut downloads, node(1), claim(1, 1), secs(0));
    downloads.tick(secs(15));
    downloads.held(claim(1, 1).id, secs(15));
    let other = claim(2, 1);
    advert(&mut downloads, node(2), other, secs(15));
    // It has waited for longer than the other since its try, and would be next.
    advert(&mut downloads, node(1), Claim { size: 5, ..other }, secs(15));
    let write = downloads.chunk(node(2), other.id, 0, 1023, secs(15)).unwrap();
    downloads.disk_failed(write.attempt, secs(15));
    requests(&mut downloads);
    downloads.tick(secs(20));
    assert_eq!(requests(&mut downloads).0, [(2, 0)]);
}

#[test]
fn made_up_artifacts_of_one_peer_take_no_others_place() {
    let options =
        GossipOptions { max_downloads: 4, max_adverts_per_peer: 1_000, ..Default::default() };
    let mut downloads = with_peers(options, &[1, 2]);
    for n in 0..5_000 {
        advert(&mut downloads, node(1), claim(n, 1), secs(0));
    }
    assert_eq!(requests(&mut downloads).0.len(), 2);
    assert_eq!(downloads.wanted_count(), 1_000);
    assert_eq!(downloads.counters.adverts_refused, 4_000);
    advert(&mut downloads, node(2), claim(10_000, 1), secs(0));
    advert(&mut downloads, node(2), claim(10_001, 1), secs(0));
    assert_eq!(requests(&mut downloads).0, [(2, 0), (2, 0)]);
}

#[test]
fn a_catalog_comes_before_everything_else() {
    let options =
        GossipOptions { max_downloads: 1, max_adverts_per_peer: 3, ..GossipOptions::default() };
    let mut downloads = with_peers(options, &[1]);
    for n in 0..4 {
        advert(&mut downloads, node(1), claim(n, 1), secs(0));
    }
    assert_eq!((requests(&mut downloads).0.len(), downloads.wanted_count()), (1, 3));
    let catalog = claim(9, 2);
    downloads.advert_first(node(1), catalog, secs(0));
    downloads.held(claim(0, 1).id, secs(0));
    assert_eq!(requests(&mut downloads).0, [(1, 0), (1, 1)]);
    // Nor are catalogs without a limit.
    for n in 0..2_000 {
        downloads.advert_first(node(1), claim(100 + n, 1), secs(0));
    }
    downloads.check();
    assert_eq!(downloads.wanted_count(), 3 + FIRST_ADVERTS);
}

#[test]
fn what_is_refused_to_all_is_forgotten_until_it_is_advertised_again() {
    let mut downloads = with_peers(GossipOptions::default(), &[1, 2]);
    for peer in [1, 2] {
        downloads.advert(node(peer), claim(1, 1), secs(0));
    }
    let reserve = Action::Reserve { attempt: 1, claim: claim(1, 1), owner: node(1), resume: true };
    assert_eq!(downloads.take_actions(), [reserve]);
    downloads.refuse(1, Refused::ToAll, secs(0));
    assert_eq!(
        requests(&mut downloads),
        (vec![], vec![Action::Discard { attempt: 1, keep: false }])
    );
    assert_eq!((downloads.wanted_count(), downloads.waiting_for_space()), (0, 0));
    downloads.advert(node(2), claim(1, 1), secs(0));
    assert_eq!(requests(&mut downloads).0, [(2, 0)]);
}

#[test]
fn what_is_refused_on_the_turn_of_one_peer_holds_no_other_up() {
    let options = GossipOptions { downloads_per_peer: 1, ..GossipOptions::default() };
    let mut downloads = with_peers(options, &[1, 2]);
    for n in 1..4 {
        downloads.advert(node(1), claim(n, 1), secs(0));
    }
    downloads.advert(node(2), claim(9, 1), secs(0));
    downloads.advert(node(2), claim(1, 1), secs(0));
    let reserve = |attempt, n, owner| Action::Reserve {
        attempt,
        claim: claim(n, 1),
        owner: node(owner),
        resume: true,
    };
    assert_eq!(downloads.take_actions(), [reserve(1, 1, 1), reserve(2, 9, 2)]);
    downloads.held(claim(9, 1).id, secs(0));
    downloads.take_actions();
    downloads.refuse(1, Refused::ToOwner, secs(0));
    downloads.check();
    // The other that advertises it has its turn at once. The owner waits, or all that it advertises would be tried now.
    let discard = |attempt| Action::Discard { attempt, keep: false };
    assert_eq!(downloads.take_actions(), [discard(1), reserve(3, 1, 2)]);
    assert_eq!(downloads.held(claim(1, 1).id, secs(0)), [node(2)]);
    assert_eq!(downloads.take_actions(), [discard(3)]);
    downloads.tick(Duration::from_millis(99));
    assert_eq!(downloads.take_actions(), []);
    downloads.tick(Duration::from_millis(100));
    assert_eq!(downloads.take_actions(), [reserve(4, 2, 1)]);
    downloads.check();
}

#[test]
fn another_claim_that_is_refused_on_a_peers_turn_takes_nothing_from_its_own() {
    let mut downloads = with_peers(GossipOptions::default(), &[1, 2]);
    let (own, lie) = (claim(1, 1), claim(1, 100));
    advert(&mut downloads, node(1), own, secs(0));
    downloads.advert(node(2), lie, secs(0));
    requests(&mut downloads);
    // Peer 1 does not answer in time, and the other claim is tried, on its turn.
    downloads.tick(secs(15));
    let reserve = Action::Reserve { attempt: 2, claim: lie, owner: node(1), resume: true };
    assert_eq!(downloads.take_actions()[1..], [reserve]);
    downloads.refuse(2, Refused::ToOwner, secs(15));
    downloads.check();
    assert_eq!(downloads.wanted[&own.id].advertisers.len(), 2);
}

#[test]
fn refused_adverts_are_asked_for_again_when_there_is_room() {
    let options = GossipOptions { max_adverts_per_peer: 2, ..GossipOptions::default() };
    let mut downloads = with_peers(options, &[1]);
    for n in 0..3 {
        advert(&mut downloads, node(1), claim(n, 1), secs(0));
    }
    requests(&mut downloads);
    downloads.tick(secs(10));
    assert_eq!(requests(&mut downloads).1, []);
    downloads.held(claim(0, 1).id, secs(10));
    requests(&mut downloads);
    downloads.tick(secs(10));
    assert_eq!(requests(&mut downloads).1, [Action::AskAdverts { peer: node(1) }]);
    // And not again at once.
    downloads.tick(secs(11));
    assert_eq!(requests(&mut downloads).1, []);
}

#[test]
fn adverts_are_asked_for_every_minute_and_again_if_that_could_not_be_sent() {
    let mut downloads = with_peers(GossipOptions::default(), &[1]);
    downloads.tick(secs(59));
    assert_eq!(requests(&mut downloads).1, []);
    let ask = Action::AskAdverts { peer: node(1) };
    downloads.tick(secs(60));
    assert_eq!(requests(&mut downloads).1, [ask]);
    downloads.ask_unsent(node(1), secs(60));
    downloads.tick(secs(61));
    assert_eq!(requests(&mut downloads).1, [ask]);
    downloads.tick(secs(120));
    assert_eq!(requests(&mut downloads).1, []);
    downloads.tick(secs(121));
    assert_eq!(requests(&mut downloads).1, [ask]);
}

#[test]
fn after_a_disk_error_nothing_begins_for_a_while() {
    let mut downloads = with_peers(GossipOptions::default(), &[1]);
    let claim = claim(1, 1);
    advert(&mut downloads, node(1), claim, secs(0));
    let write = downloads.chunk(node(1), claim.id, 0, 1023, secs(0)).unwrap();
    assert!(downloads.disk_failed(write.attempt, secs(0)));
    assert!(!downloads.disk_failed(write.attempt, secs(0)));
    requests(&mut downloads);
    downloads.tick(secs(4));
    assert_eq!(requests(&mut downloads).0, []);
    downloads.tick(secs(5));
    assert_eq!(requests(&mut downloads).0, [(1, 0)]);
}

/// More peers than one search looks at, and more than are put into a queue at once.
#[test]
fn many_peers_are_all_found_in_the_end() {
    let options = GossipOptions { max_downloads: 4, ..GossipOptions::default() };
    let peers: Vec<u8> = (0..200).collect();
    let mut downloads = with_peers(options, &peers);
    let claims: Vec<Claim> = (0..8).map(|n| claim(n, 3)).collect();
    for peer in &peers {
        for claim in &claims {
            advert(&mut downloads, node(*peer), *claim, secs(0));
        }
    }
    // Only the last one ever answers.
    let honest = *peers.last().unwrap();
    let mut held = 0;
    for tenth in 0..36_000 {
        let now = Duration::from_millis(tenth * 100);
        downloads.tick(now);
        grant(&mut downloads);
        if tenth % 100 == 0 {
            downloads.check();
        }
        for action in downloads.take_actions() {
            match action {
                Action::Request { peer, id, chunk, .. } if peer == node(honest) => {
                    let claim = claims.iter().find(|claim| claim.id == id).unwrap();
                    let (_, length) = claim.chunk(chunk).unwrap();
                    if let Some(write) = downloads.chunk(peer, id, chunk, length, now) {
                        downloads.written(write.attempt, now);
                    }
                }
                Action::Finish { claim, .. } => {
                    downloads.held(claim.id, now);
                    held += 1;
                }
                _ => {}
            }
            grant(&mut downloads);
        }
        if held == claims.len() {
            // What the departed have advertised is forgotten by and by.
            peers.iter().for_each(|peer| downloads.peer_down(node(*peer), now));
            (0..40).for_each(|_| downloads.tick(now));
            downloads.check();
            assert!(downloads.departed.is_empty() && downloads.timers.len() == 0);
            return;
        }
    }
    panic!("{held} of {} are held: {:#?}", claims.len(), downloads.counters);
}

#[test]
fn a_peer_whose_answers_are_all_dropped_does_not_keep_a_chunk_from_others() {
    let mut downloads = with_peers(GossipOptions::default(), &[1, 2]);
    let claim = claim(1, 1);
    advert(&mut downloads, node(1), claim, secs(0));
    advert(&mut downloads, node(2), claim, secs(0));
    let mut asked = std::collections::BTreeMap::<u8, usize>::new();
    let mut now = secs(0);
    let mut stale = Vec::new();
    let mut first = None;
    while now < secs(300) {
        let (requests, others) = requests(&mut downloads);
        drop(others);
        for (peer, chunk) in requests {
            *asked.entry(peer).or_default() += 1;
            if peer == 1 {
                stale.push(chunk)
            } else {
                first.get_or_insert(now);
            }
        }
        now += Duration::from_millis(10);
        for chunk in std::mem::take(&mut stale) {
            downloads.chunk_lost(node(1), claim.id, chunk, now);
        }
        downloads.tick(now);
    }
    assert!(
        first.is_some_and(|first| first <= secs(1)),
        "asked {asked:?}, the other first at {first:?}"
    );
}
