//! What is looked at a second time, because it may have changed since the first.

use std::{collections::BTreeSet, time::Duration};

use gossip_engine::ArtifactId;

use super::State;
use crate::{
    catalog::{
        Catalog, FileEntry, FilePath, Head, Here, MAX_ALL_FILES, MAX_CATALOG_BYTES, MAX_FILES,
        OverShare, known::MOST_FILES,
    },
    identity::Identity,
};

fn catalog() -> Catalog {
    let id = ArtifactId::new([1; 32]);
    let entry = FileEntry { id, size: 1, mode: 0o644, modified_ns: 0 };
    Catalog::new([(FilePath::new(b"file").expect("a path"), entry)]).expect("a catalog")
}

#[test]
fn who_has_left_since_a_catalog_came_is_not_looked_at() {
    let publisher = Identity::generate();
    let head = Head::sign(&publisher, 1, ArtifactId::new([2; 32]), 9);
    let mut state = State::default();
    state.set_members(BTreeSet::from([publisher.node_id()]));
    assert!(state.announce(head));
    state.set_members(BTreeSet::new());
    assert!(!state.take_look(&head, Duration::from_secs(1)));
    state.set_members(BTreeSet::from([publisher.node_id()]));
    assert!(state.take_look(&head, Duration::from_secs(1)));
}

#[test]
fn what_somebody_names_by_now_is_not_retired() {
    let publisher = Identity::generate();
    let head = Head::sign(&publisher, 1, ArtifactId::new([2; 32]), 9);
    let mut state = State::default();
    state.set_members(BTreeSet::from([publisher.node_id()]));
    state.install(head, catalog().into(), OverShare::default());
    let ids = [1, 2, 3].map(|number| ArtifactId::new([number; 32]));
    let here = Here { size: 1, is_held: true, is_verified: true };
    state.retire(ids.map(|id| (id, here)).to_vec(), None, Duration::from_secs(1));
    assert_eq!(ids.map(|id| state.is_unwanted(id)), [false, false, true]);
    assert_eq!(state.retired.since(Duration::MAX), [ids[2]]);
    // What is held has another size than the catalog says, which so names something else.
    state.retire(
        vec![(ids[0], Here { size: 2, is_held: true, is_verified: true })],
        None,
        Duration::from_secs(1),
    );
    assert!(state.is_unwanted(ids[0]));
}

#[test]
fn a_claim_of_what_may_be_another_retires_nothing() {
    let publisher = Identity::generate();
    let head = Head::sign(&publisher, 1, ArtifactId::new([2; 32]), 9);
    let mut state = State::default();
    state.set_members(BTreeSet::from([publisher.node_id()]));
    state.install(head, catalog().into(), OverShare::default());
    let id = ArtifactId::new([1; 32]);
    // Nor does the length of a file that may be damaged.
    for is_held in [false, true] {
        let here = Here { size: 2, is_held, is_verified: false };
        state.retire(vec![(id, here)], None, Duration::from_secs(1));
        assert!(!state.is_unwanted(id));
    }
}

/// So many publishers with a catalog each that is announced.
fn announced(count: u8) -> (State, Vec<Head>) {
    let publishers: Vec<_> = (0..count).map(|_| Identity::generate()).collect();
    let mut state = State::default();
    state.set_members(publishers.iter().map(Identity::node_id).collect());
    let head = |(at, publisher)| Head::sign(publisher, 1, ArtifactId::new([at; 32]), 9);
    let heads: Vec<_> = (100..).zip(&publishers).map(head).collect();
    assert!(heads.iter().all(|head| state.announce(*head)));
    (state, heads)
}

#[test]
fn all_catalogs_together_have_a_limit() {
    let (mut state, heads) = announced(5);
    let part = MAX_ALL_FILES / 5;
    state.files = MAX_ALL_FILES - part - 1;
    assert!(state.fits(&heads[0], part + 1));
    state.files += 1;
    assert!(!state.fits(&heads[0], part + 1));
    // One that takes the place of another adds nothing.
    state.files -= 1;
    state.install(heads[0], catalog().into(), OverShare::default());
    assert!(state.fits(&heads[0], part + 1));
}

#[test]
fn a_catalog_that_a_newer_one_has_overtaken_is_not_looked_at() {
    let publisher = Identity::generate();
    let head =
        |sequence: u8| Head::sign(&publisher, sequence.into(), ArtifactId::new([sequence; 32]), 9);
    let mut state = State::default();
    state.set_members(BTreeSet::from([publisher.node_id()]));
    assert!(state.announce(head(1)) && state.announce(head(2)));
    assert!(!state.take_look(&head(1), Duration::from_secs(1)));
    // With the same content, too: it is the head that becomes current.
    let again = Head::sign(&publisher, 3, head(2).catalog(), 9);
    assert!(state.announce(again));
    assert!(!state.take_look(&head(2), Duration::from_secs(1)));
    assert!(state.take_look(&again, Duration::from_secs(1)));
}

#[test]
fn a_large_catalog_is_not_soon_followed_by_another_look() {
    let publisher = Identity::generate();
    let mut state = State::default();
    state.set_members(BTreeSet::from([publisher.node_id()]));
    let mut look = |sequence: u8, size, seconds| {
        let catalog = ArtifactId::new([sequence; 32]);
        let head = Head::sign(&publisher, sequence.into(), catalog, size);
        assert!(state.announce(head));
        state.take_look(&head, Duration::from_secs(seconds))
    };
    assert!(look(1, 9, 0) && look(2, MAX_CATALOG_BYTES, 1));
    assert!(!look(3, 9, 11) && look(4, 9, 21));
}

#[test]
fn what_is_within_an_equal_part_fits_whatever_others_have() {
    let (mut state, heads) = announced(5);
    let part = MAX_ALL_FILES / 5;
    state.files = MAX_ALL_FILES;
    assert!(state.fits(&heads[0], part) && !state.fits(&heads[0], part + 1));
    // Parts were larger when there were fewer members.
    state.files = MOST_FILES - part;
    assert!(state.fits(&heads[0], part));
    state.files += 1;
    assert!(!state.fits(&heads[0], part));
}

#[test]
fn what_does_not_fit_is_not_read_again_until_it_does() {
    let (mut state, heads) = announced(5);
    let (head, large) = (heads[0], MAX_FILES);
    let mut seconds = 0;
    let mut is_looked_at = |state: &mut State, head: &Head| {
        seconds += 1;
        let now = Duration::from_secs(seconds);
        let is_due = state.is_due(head.catalog(), now);
        assert_eq!(state.take_look(head, now), is_due);
        is_due
    };
    state.files = MAX_ALL_FILES;
    assert!(is_looked_at(&mut state, &head));
    assert!(!state.fits(&head, large));
    assert!(!is_looked_at(&mut state, &head));
    // Nor with a newer head. A newer catalog may fit.
    let publisher = Identity::generate();
    state.set_members(heads.iter().map(Head::publisher).chain([publisher.node_id()]).collect());
    let sign = |sequence, catalog| Head::sign(&publisher, sequence, catalog, 9);
    assert!(state.announce(sign(1, head.catalog())));
    assert!(is_looked_at(&mut state, &sign(1, head.catalog())), "another publisher's");
    assert!(!state.fits(&sign(1, head.catalog()), large));
    assert!(state.announce(sign(2, head.catalog())));
    assert!(!is_looked_at(&mut state, &sign(2, head.catalog())));
    assert!(state.announce(sign(3, ArtifactId::new([99; 32]))));
    assert!(is_looked_at(&mut state, &sign(3, ArtifactId::new([99; 32]))));
    // Others have fewer by now.
    state.files -= large;
    assert!(is_looked_at(&mut state, &head) && state.fits(&head, large));
}
