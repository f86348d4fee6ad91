//! What counts for whom, and until when.

use std::time::Duration;

use gossip_engine::{ArtifactId, NodeId};

use super::{LEAST_BYTES, Offer, Unnamed};

const A: NodeId = NodeId::new([1; 32]);
const B: NodeId = NodeId::new([2; 32]);
const NOW: Duration = Duration::from_secs(1);
const LIMIT: u64 = 10 * LEAST_BYTES;
const HALF: u64 = 5 * LEAST_BYTES;

fn id(number: u8) -> ArtifactId {
    ArtifactId::new([number; 32])
}

/// Takes an artifact where there are two members.
fn take(unnamed: &mut Unnamed, number: u8, size: u64, peer: NodeId) -> bool {
    let offer = Offer { id: id(number), size, peer };
    let fits = unnamed.fits(offer, 2, NOW);
    assert_eq!(unnamed.take(offer, 2, NOW), fits);
    fits
}

#[test]
fn a_peer_has_its_share_and_no_other_peers() {
    let mut unnamed = Unnamed::with_limit(LIMIT);
    assert!(take(&mut unnamed, 1, HALF, A) && take(&mut unnamed, 2, HALF, A));
    assert!(!take(&mut unnamed, 3, 1, A));
    assert!(take(&mut unnamed, 3, 1, B));
    // What is under way for one is no more if another has it too.
    assert!(take(&mut unnamed, 3, 1, A) && take(&mut unnamed, 1, HALF, B));
    assert!(!take(&mut unnamed, 4, LIMIT, B), "the small one counts with more than its size");
    assert!(take(&mut unnamed, 4, LIMIT - LEAST_BYTES, B));
}

#[test]
fn what_a_catalog_names_counts_for_nobody() {
    let mut unnamed = Unnamed::with_limit(LIMIT);
    assert!(take(&mut unnamed, 1, LIMIT, A));
    unnamed.name(id(1), 0);
    assert!(!take(&mut unnamed, 2, 1, A), "with a false size it is not named");
    unnamed.name(id(1), LIMIT);
    assert!(!unnamed.contains(id(1)));
    assert!(take(&mut unnamed, 2, LIMIT, A));
}

#[test]
fn another_claim_counts_in_place_of_the_first() {
    let mut unnamed = Unnamed::with_limit(LIMIT);
    assert!(take(&mut unnamed, 1, HALF, A));
    assert!(take(&mut unnamed, 1, HALF - 1, A));
    assert!(take(&mut unnamed, 2, HALF, A));
    assert!(!take(&mut unnamed, 3, HALF, A));
}

#[test]
fn what_is_gone_is_swept_unless_it_has_been_begun_again() {
    let mut unnamed = Unnamed::with_limit(LIMIT);
    assert!(take(&mut unnamed, 1, LIMIT, A));
    let seen = unnamed.taken();
    assert!(unnamed.take(Offer { id: id(1), size: LIMIT, peer: A }, 2, NOW * 2));
    seen.iter().for_each(|(id, at)| unnamed.sweep(*id, *at));
    assert!(unnamed.contains(id(1)));
    unnamed.sweep(id(1), NOW * 2);
    assert!(!unnamed.contains(id(1)));
    assert!(take(&mut unnamed, 2, LIMIT, A));
}

#[test]
fn what_an_earlier_run_has_left_counts_for_all_together() {
    let mut unnamed = Unnamed::with_limit(LIMIT);
    unnamed.set_left_over(LIMIT + HALF);
    assert!(!take(&mut unnamed, 1, HALF + 1, A));
    assert!(take(&mut unnamed, 1, HALF, A));
    assert!(!take(&mut unnamed, 2, 1, B), "two members have twice the limit");
    unnamed.set_left_over(0);
    assert!(take(&mut unnamed, 2, LIMIT, B));
}

#[test]
fn that_of_the_peer_with_the_most_gives_way_first() {
    let mut unnamed = Unnamed::with_limit(LIMIT);
    assert!(take(&mut unnamed, 1, HALF, A));
    assert!(take(&mut unnamed, 2, HALF, B) && take(&mut unnamed, 3, 1, B));
    let order = unnamed.by_peer();
    assert_eq!(order, [id(2), id(3), id(1)]);
}

#[test]
fn nothing_is_taken_while_something_gives_way() {
    let mut unnamed = Unnamed::with_limit(LIMIT);
    unnamed.close_until(NOW + NOW);
    assert!(!take(&mut unnamed, 1, 1, A));
    assert!(unnamed.fits(Offer { id: id(1), size: 1, peer: A }, 2, NOW + NOW));
}

#[test]
fn without_a_limit_everything_fits() {
    let mut unnamed = Unnamed::default();
    assert!(take(&mut unnamed, 1, u64::MAX - LEAST_BYTES, A) && take(&mut unnamed, 2, 1, A));
}
