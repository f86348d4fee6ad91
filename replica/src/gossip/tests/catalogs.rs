//! Catalogs between replicas: how they spread, what they replace, and what they let go.

use std::{collections::BTreeSet, time::Duration};

use gossip_engine::{ArtifactId, FlowType, Gossip as _, NodeId};

use super::{
    super::{GossipOptions, Lack, ReplicaGossip, advert_of, claim::catalog_advert_of},
    cluster::{Cluster, crash, nowhere},
    content, small_chunks,
};
use crate::{
    catalog::{Catalog, Catalogs, FileEntry, FilePath, Head},
    identity::Identity,
    store::{Artifact, Store, StoreOptions},
};

/// Three in a line, 0 - 1 - 2, where 0 publishes.
struct Line {
    cluster: Cluster,
    publisher: Identity,
}

impl Line {
    fn new() -> Self {
        let options = GossipOptions { removed_retention: Duration::ZERO, ..small_chunks() };
        let cluster = Cluster::new(&vec![options; 3]);
        let publisher = Identity::generate();
        for at in 0..3 {
            let members = BTreeSet::from([publisher.node_id()]);
            cluster.replica(at).set_members(members);
        }
        cluster.connect(0, 1);
        cluster.connect(1, 2);
        Self { cluster, publisher }
    }

    /// Publishes a folder of these files.
    fn publish(&self, files: &[(&str, u64)]) -> Head {
        let entries: Vec<_> = files
            .iter()
            .map(|(path, seed)| {
                let content = content(*seed, 3_000);
                let id = self.cluster.publish(0, &content);
                let path = FilePath::new(path.as_bytes()).expect("a path");
                (path, FileEntry { id, size: 3_000, mode: 0o644, modified_ns: 0 })
            })
            .collect();
        let catalog = Catalog::new(entries).expect("a catalog");
        self.cluster.replica(0).publish_catalog(&self.publisher, catalog).expect("published")
    }

    /// Runs until all have the catalog and all it names.
    fn run_until_all_have(&mut self, head: &Head) {
        let publisher = self.publisher.node_id();
        self.cluster
            .run_until(120, |cluster| (0..3).all(|at| has(cluster.replica(at), publisher, head)));
    }

    fn id(&self, at: usize, path: &str) -> Option<ArtifactId> {
        let current = self.cluster.replica(at).catalogs().current(self.publisher.node_id())?;
        let path = FilePath::new(path.as_bytes()).expect("a path");
        current.catalog.get(&path).map(|entry| entry.id)
    }
}

fn has(replica: &ReplicaGossip, publisher: NodeId, head: &Head) -> bool {
    replica.catalogs().current(publisher).is_some_and(|current| {
        let mut files = current.catalog.files();
        current.head == *head && files.all(|(_, entry)| replica.store().contains(entry.id))
    })
}

#[test]
fn a_folder_reaches_those_who_are_not_connected_with_its_publisher() {
    let mut line = Line::new();
    let head = line.publish(&[("a", 1), ("b/c", 2)]);
    line.run_until_all_have(&head);
    assert_eq!(line.id(2, "b/c"), line.id(0, "b/c"));
    line.cluster.check_at_rest();
}

#[test]
fn what_is_renamed_moves_and_what_is_removed_is_dropped_everywhere() {
    let mut line = Line::new();
    let first = line.publish(&[("a", 1), ("b", 2)]);
    line.run_until_all_have(&first);
    let removed = line.id(0, "b").expect("named");
    let second = line.publish(&[("new name", 1)]);
    line.run_until_all_have(&second);
    assert_eq!((line.id(2, "a"), line.id(2, "new name").is_some()), (None, true));
    line.cluster.run_until(60, |cluster| {
        (0..3).all(|at| !cluster.holds(at, &[removed]) && !cluster.holds(at, &[first.catalog()]))
    });
    // Nobody brings it back.
    line.cluster.run_for(300);
    assert!((0..3).all(|at| line.cluster.replica(at).artifact_count() == 2));
    let artifact = Artifact { id: removed, size: 3_000, height: 1 };
    let replica = line.cluster.replica(2);
    replica.on_gossip_advert(advert_of(artifact, None, &small_chunks()), line.cluster.id(1));
    assert_eq!(replica.snapshot().wanted, 0, "nor does a peer that still has it");
    line.cluster.check_at_rest();
}

#[test]
fn what_is_kept_after_its_removal_makes_place_for_what_does_not_fit() {
    let stores: Vec<_> =
        (0..2).map(|_| StoreOptions { max_store_bytes: Some(8_000), ..crash() }).collect();
    let cluster = Cluster::with_stores(&vec![small_chunks(); 2], &stores);
    cluster.connect(0, 1);
    let publisher = Identity::generate();
    for at in 0..2 {
        cluster.replica(at).set_members(BTreeSet::from([publisher.node_id()]));
    }
    let mut pair = Line { cluster, publisher };
    let has_all = |cluster: &Cluster, publisher: NodeId, head: &Head| {
        (0..2).all(|at| has(cluster.replica(at), publisher, head))
    };
    let id = pair.publisher.node_id();
    let first = pair.publish(&[("a", 1), ("b", 2)]);
    pair.cluster.run_until(60, |cluster| has_all(cluster, id, &first));
    let removed = pair.id(0, "b").expect("named");
    // Without its space the third does not fit. It is held all the same until then: the time is a day.
    let second = pair.publish(&[("a", 1)]);
    pair.cluster.run_until(60, |cluster| has_all(cluster, id, &second));
    pair.cluster.run_for(30);
    assert!((0..2).all(|at| pair.cluster.holds(at, &[removed])));
    let file = pair.cluster.file(&content(3, 3_000));
    pair.cluster.replica(0).publish(&file).expect_err("no space yet");
    pair.cluster.run_for(15);
    let third = pair.publish(&[("a", 1), ("c", 3)]);
    pair.cluster.run_until(120, |cluster| has_all(cluster, id, &third));
}

#[test]
fn who_comes_later_gets_nothing_that_was_removed() {
    let cluster = Cluster::new(&vec![small_chunks(); 2]);
    let publisher = Identity::generate();
    (0..2).for_each(|at| cluster.replica(at).set_members(BTreeSet::from([publisher.node_id()])));
    let mut pair = Line { cluster, publisher };
    pair.publish(&[("a", 1), ("b", 2)]);
    let removed = pair.id(0, "b").expect("named");
    let second = pair.publish(&[("a", 1)]);
    assert!(pair.cluster.holds(0, &[removed]), "for a day");
    pair.cluster.connect(0, 1);
    let id = pair.publisher.node_id();
    pair.cluster.run_until(60, |cluster| has(cluster.replica(1), id, &second));
    pair.cluster.run_for(200);
    assert!(!pair.cluster.holds(1, &[removed]));
}

#[test]
fn what_was_removed_may_come_back() {
    let mut line = Line::new();
    let first = line.publish(&[("a", 1), ("b", 2)]);
    line.run_until_all_have(&first);
    let removed = line.id(0, "b").expect("named");
    let second = line.publish(&[("a", 1)]);
    line.run_until_all_have(&second);
    line.cluster.run_until(60, |cluster| (0..3).all(|at| !cluster.holds(at, &[removed])));
    let third = line.publish(&[("a", 1), ("b", 2)]);
    assert_eq!(third.catalog(), first.catalog(), "the same files are the same catalog");
    line.run_until_all_have(&third);
}

#[test]
fn a_catalog_that_is_soon_superseded_is_held_for_peers_all_the_same() {
    let cluster = Cluster::new(&vec![small_chunks(); 3]);
    let publisher = Identity::generate();
    (0..3).for_each(|at| cluster.replica(at).set_members(BTreeSet::from([publisher.node_id()])));
    cluster.connect(0, 1);
    cluster.connect(1, 2);
    let mut line = Line { cluster, publisher };
    line.cluster.run_for(1);
    let first = line.publish(&[("a", 1)]);
    line.run_until_all_have(&first);
    let second = line.publish(&[("a", 2)]);
    line.run_until_all_have(&second);
    assert!(line.cluster.now() < Duration::from_secs(10), "before the next look");
    line.cluster.run_for(30);
    assert!((0..3).all(|at| line.cluster.holds(at, &[first.catalog()])));
}

#[test]
fn a_catalog_that_is_held_already_counts_with_its_new_head() {
    let mut line = Line::new();
    // The second names the first's files again while all still hold its catalog.
    let first = line.publish(&[("a", 1)]);
    line.run_until_all_have(&first);
    let again = line.publish(&[("a", 1)]);
    assert_eq!(again.catalog(), first.catalog());
    assert!(again.supersedes(&first));
    line.run_until_all_have(&again);
}

#[test]
fn a_head_that_the_engine_drops_is_asked_for() {
    let mut line = Line::new();
    let first = line.publish(&[("a", 1)]);
    line.run_until_all_have(&first);
    line.cluster.run_for(10);
    line.cluster.drop_arriving(FlowType::Advert, 1);
    let again = line.publish(&[("a", 1)]);
    let publisher = line.publisher.node_id();
    // Sooner than the next request of its own accord.
    line.cluster.run_until(20, |cluster| has(cluster.replica(1), publisher, &again));
}

#[test]
fn heads_of_strangers_forged_and_old_ones_change_nothing() {
    let mut line = Line::new();
    let first = line.publish(&[("a", 1)]);
    line.run_until_all_have(&first);
    let second = line.publish(&[("a", 2)]);
    line.run_until_all_have(&second);
    let replica = line.cluster.replica(2);
    let publisher = line.publisher.node_id();
    let peer = line.cluster.id(1);
    let invalid = || replica.snapshot().fetched.adverts_invalid;
    let before = invalid();
    let send = |head: &Head| {
        let artifact = Artifact { id: head.catalog(), size: head.size(), height: 1 };
        replica.on_gossip_advert(advert_of(artifact, Some(head), &small_chunks()), peer);
    };
    send(&first);
    send(&Head::sign(&Identity::generate(), u64::MAX, first.catalog(), first.size()));
    assert_eq!(invalid(), before, "no fault of the peer's");
    let mut forged =
        Head::sign(&Identity::generate(), u64::MAX, first.catalog(), first.size()).encode();
    forged[2..34].copy_from_slice(publisher.as_bytes());
    let forged = Head::decode_unchecked(&forged).expect("a head");
    assert_eq!(forged.publisher(), publisher);
    send(&forged);
    assert_eq!(invalid(), before + 1);
    // Signed, and in the advert of something else.
    let newer = Head::sign(&line.publisher, u64::MAX, first.catalog(), first.size());
    for (id, size) in [(second.catalog(), newer.size()), (newer.catalog(), newer.size() + 1)] {
        let advert = advert_of(Artifact { id, size, height: 1 }, Some(&newer), &small_chunks());
        replica.on_gossip_advert(advert, peer);
    }
    assert_eq!(invalid(), before + 3);
    assert!(has(replica, publisher, &second));
    assert!(replica.catalogs().awaited().is_empty());
}

#[test]
fn a_restart_knows_the_catalog_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let publisher = Identity::generate();
    let open = || {
        let store = Store::open_with(folder.path(), crash()).expect("opened");
        let catalogs = Catalogs::open(&store.catalogs_folder()).expect("opened");
        let gossip = ReplicaGossip::new(small_chunks(), store, catalogs, nowhere(), |_, _| Ok(()))
            .expect("options that can be");
        gossip.set_members(BTreeSet::from([publisher.node_id()]));
        gossip
    };
    let head = open().publish_catalog(&publisher, Catalog::default()).expect("published");
    let again = open();
    again.on_gossip_timer();
    assert_eq!(
        again.catalogs().current(publisher.node_id()).map(|current| current.head),
        Some(head)
    );
}

#[test]
fn what_peers_lack_of_a_folder_is_what_they_say() {
    let mut line = Line::new();
    let publisher = line.publisher.node_id();
    for at in 0..3 {
        let ids = (0..3).map(|peer| line.cluster.id(peer));
        line.cluster.replica(at).set_members(ids.chain([publisher]).collect());
    }
    let head = line.publish(&[("a", 1), ("b", 2)]);
    line.run_until_all_have(&head);
    let said = |line: &Line, at: usize| -> Vec<_> {
        let said = line.cluster.replica(at).said_lacks();
        said.iter().map(|of| (of.peer, of.publisher, of.lack.missing_files)).collect()
    };
    assert_eq!(said(&line, 0), [], "nobody has counted");
    let tell = |line: &mut Line, missing_files: u64| {
        let lack = Lack { sequence: head.sequence(), missing_files, missing_bytes: 7 };
        line.cluster.replica(1).report_lacks([(publisher, lack)]);
        line.cluster.run_for(1);
    };
    tell(&mut line, 2);
    let one = line.cluster.id(1);
    assert_eq!(said(&line, 0), [(one, publisher, 2)]);
    assert_eq!(said(&line, 2), [(one, publisher, 2)]);
    tell(&mut line, 0);
    assert_eq!(said(&line, 0), [(one, publisher, 0)]);
    // The same again goes to nobody.
    let before = line.cluster.replica(1).snapshot().served.adverts;
    tell(&mut line, 0);
    assert_eq!(line.cluster.replica(1).snapshot().served.adverts, before);
    // It goes with the adverts that are asked for. What was counted of another catalog does not.
    let replica = line.cluster.replica(2);
    let lack = Lack { sequence: head.sequence() + 1, missing_files: 5, missing_bytes: 5 };
    replica.report_lacks([(publisher, lack)]);
    line.cluster.run_for(90);
    assert_eq!(said(&line, 1), []);
    // Nor does a forged head say anything.
    let forged = Head::sign(&Identity::generate(), u64::MAX, head.catalog(), head.size());
    let mut bytes = forged.encode();
    bytes[2..34].copy_from_slice(publisher.as_bytes());
    let forged = Head::decode_unchecked(&bytes).expect("of the right form");
    assert_eq!(forged.publisher(), publisher);
    let artifact = Artifact { id: head.catalog(), size: head.size(), height: 1 };
    let advert = catalog_advert_of(artifact, Some(&forged), Some((1, 1)), &small_chunks());
    line.cluster.replica(1).on_gossip_advert(advert, one);
    assert_eq!(said(&line, 1), []);
    line.cluster.check_at_rest();
}
