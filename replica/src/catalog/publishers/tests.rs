//! What is looked at a second time, because it may have changed since the first.

use std::{collections::BTreeSet, time::Duration};

use gossip_engine::ArtifactId;

use super::{MAX_ALL_FILES, State};
use crate::{
    catalog::{Catalog, FileEntry, FilePath, Head, Here, OverShare},
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
    state.retire(ids.map(|id| (id, here)).to_vec(), Duration::from_secs(1));
    assert_eq!(ids.map(|id| state.is_unwanted(id)), [false, false, true]);
    assert_eq!(state.retired.since(Duration::MAX), [ids[2]]);
    // What is held has another size than the catalog says, which so names something else.
    state.retire(
        vec![(ids[0], Here { size: 2, is_held: true, is_verified: true })],
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
        state.retire(vec![(id, here)], Duration::from_secs(1));
        assert!(!state.is_unwanted(id));
    }
}

#[test]
fn all_catalogs_together_have_a_limit() {
    let publisher = Identity::generate();
    let head = Head::sign(&publisher, 1, ArtifactId::new([2; 32]), 9);
    let mut state = State { files: MAX_ALL_FILES - 1, ..State::default() };
    assert!(state.fits(&head, &catalog()));
    state.files += 1;
    assert!(!state.fits(&head, &catalog()));
    // One that takes the place of another adds nothing.
    state.files -= 1;
    state.install(head, catalog().into(), OverShare::default());
    assert!(state.fits(&head, &catalog()));
}
