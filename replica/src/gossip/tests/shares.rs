//! What one publisher, or one peer, may take of the disks of the others.

use std::collections::BTreeSet;

use gossip_engine::{ArtifactId, Gossip as _};

use super::{
    super::{GossipOptions, ReplicaGossip, advert_of},
    cluster::{Cluster, crash, node, nowhere},
    content, small_chunks,
};
use crate::{
    catalog::{Catalog, Catalogs, FileEntry, FilePath, Head},
    identity::Identity,
    store::{Artifact, Store, StoreOptions},
};

const FILE_BYTES: u64 = 100_000;

/// Replicas that know the publishers; nobody is connected.
struct Scene {
    cluster: Cluster,
    publishers: Vec<Identity>,
}

impl Scene {
    /// Replica 0 has these options and so much space. The others publish, each with the key of its number.
    fn new(options: GossipOptions, space: u64, others: usize) -> Self {
        let mut all = vec![small_chunks(); others];
        all.insert(0, options);
        let mut stores = vec![crash(); others];
        stores.insert(0, StoreOptions { max_store_bytes: Some(space), ..crash() });
        let cluster = Cluster::with_stores(&all, &stores);
        let publishers: Vec<_> = (0..=others).map(|_| Identity::generate()).collect();
        let members: BTreeSet<_> = publishers.iter().map(Identity::node_id).collect();
        (0..=others).for_each(|at| cluster.replica(at).set_members(members.clone()));
        Self { cluster, publishers }
    }

    /// So many files of a replica that no catalog names yet, each another than those of other replicas.
    fn publish(&self, at: usize, count: u64) -> Vec<ArtifactId> {
        let seeds = (0..count).map(|number| 1_000 * at as u64 + number);
        seeds.map(|seed| self.cluster.publish(at, &content(seed, FILE_BYTES as usize))).collect()
    }

    /// A replica names these files, in this order, and says that each has so many bytes.
    fn name(&self, at: usize, ids: &[ArtifactId], size: u64) {
        let files = ids.iter().enumerate().map(|(number, id)| {
            let path = FilePath::new(format!("file {number:02}").as_bytes()).expect("a path");
            (path, FileEntry { id: *id, size, mode: 0o644, modified_ns: 0 })
        });
        let catalog = Catalog::new(files).expect("a catalog");
        let replica = self.cluster.replica(at);
        replica.publish_catalog(&self.publishers[at], catalog).expect("published");
    }

    /// How many files of this publisher are beyond its share at replica 0.
    fn over_share(&self, at: usize) -> u64 {
        let current = self.cluster.replica(0).catalogs().current(self.publishers[at].node_id());
        current.map_or(0, |current| current.over_share.files())
    }

    fn held(&self, ids: &[ArtifactId]) -> u64 {
        ids.iter().filter(|id| self.cluster.holds(0, &[**id])).count() as u64
    }
}

fn limited(publisher: Option<u64>, unnamed: u64) -> GossipOptions {
    GossipOptions { max_publisher_bytes: publisher, max_unnamed_bytes: unnamed, ..small_chunks() }
}

#[test]
fn who_publishes_or_makes_up_too_much_leaves_space_for_the_others() {
    let options = limited(Some(3 * FILE_BYTES), 2 * FILE_BYTES);
    let mut scene = Scene::new(options, 9 * FILE_BYTES, 3);
    let (big, hostile, honest) = (1, 2, 3);
    let large = scene.publish(big, 12);
    scene.name(big, &large, FILE_BYTES);
    let made_up = scene.publish(hostile, 12);
    scene.cluster.connect(0, big);
    scene.cluster.connect(0, hostile);
    scene.cluster.run_until(120, |cluster| cluster.holds(0, &large[..3]));
    scene.cluster.run_for(400);
    assert_eq!((scene.held(&large), scene.over_share(big)), (3, 9));
    assert_eq!(scene.held(&made_up), 2);
    let snapshot = scene.cluster.replica(0).snapshot();
    assert_eq!((snapshot.wanted, snapshot.waiting_for_space), (0, 0));
    assert!(snapshot.fetched.unnamed_refused > 0);

    let files = scene.publish(honest, 3);
    scene.name(honest, &files, FILE_BYTES);
    scene.cluster.connect(0, honest);
    scene.cluster.run_until(60, |cluster| cluster.holds(0, &files));
    assert_eq!(scene.over_share(honest), 0);

    // What is removed makes place for the rest, and what is here stays.
    scene.name(big, &large[2..], FILE_BYTES);
    scene.cluster.run_until(60, |cluster| cluster.holds(0, &large[2..5]));
    scene.cluster.run_for(100);
    assert_eq!((scene.held(&large[2..]), scene.over_share(big)), (3, 7));
    scene.cluster.check_at_rest();
}

#[test]
fn what_comes_before_in_the_order_takes_no_place_of_what_is_here() {
    let mut scene = Scene::new(limited(Some(3 * FILE_BYTES), FILE_BYTES), 99 * FILE_BYTES, 1);
    let files = scene.publish(1, 9);
    scene.name(1, &files[6..], FILE_BYTES);
    scene.cluster.connect(0, 1);
    scene.cluster.run_until(60, |cluster| cluster.holds(0, &files[6..]));
    for from in [4, 2, 0] {
        scene.name(1, &files[from..], FILE_BYTES);
        scene.cluster.run_for(100);
        // The newest file may have come before its catalog; what that says of it counts then.
        assert_eq!((scene.held(&files[6..]), scene.over_share(1)), (3, 6 - from as u64));
        assert!(scene.cluster.replica(0).store().bytes() < 5 * FILE_BYTES);
    }
}

#[test]
fn a_new_replica_has_a_folder_soon_that_it_hears_of_before_its_catalog() {
    let mut scene = Scene::new(limited(None, FILE_BYTES), 99 * FILE_BYTES, 1);
    let files = scene.publish(1, 40);
    scene.name(1, &files, FILE_BYTES);
    scene.cluster.connect(0, 1);
    scene.cluster.run_until(20, |cluster| cluster.holds(0, &files));
    // And new files, whose catalog comes later, when it comes.
    let more: Vec<_> = (0..40)
        .map(|seed| scene.cluster.publish(1, &content(50_000 + seed, FILE_BYTES as usize)))
        .collect();
    scene.cluster.run_for(30);
    assert_eq!(scene.held(&more), 1);
    scene.name(1, &[files, more.clone()].concat(), FILE_BYTES);
    scene.cluster.run_until(20, |cluster| cluster.holds(0, &more));
    scene.cluster.check_at_rest();
}

#[test]
fn a_catalog_that_lies_about_sizes_names_nothing() {
    let options = limited(Some(3 * FILE_BYTES), FILE_BYTES);
    let mut scene = Scene::new(options, 99 * FILE_BYTES, 1);
    let files = scene.publish(1, 12);
    scene.name(1, &files, 1);
    scene.cluster.connect(0, 1);
    scene.cluster.run_for(400);
    assert_eq!(scene.held(&files), 1, "as what no catalog names");
    // Nor does it free what counts for the peer.
    scene.name(1, &files[..6], 1);
    scene.name(1, &files[6..], 2);
    scene.cluster.run_for(400);
    assert!(scene.held(&files) <= 1);
}

#[test]
fn who_says_less_of_what_is_held_later_keeps_nothing_by_it() {
    let options = limited(Some(3 * FILE_BYTES), FILE_BYTES);
    let mut scene = Scene::new(options, 99 * FILE_BYTES, 1);
    let files = scene.publish(1, 6);
    scene.name(1, &files[..3], FILE_BYTES);
    scene.cluster.connect(0, 1);
    scene.cluster.run_until(60, |cluster| cluster.holds(0, &files[..3]));
    let unwanted = |scene: &Scene, id| scene.cluster.replica(0).catalogs().is_unwanted(id);
    assert!(!files.iter().any(|id| unwanted(&scene, *id)));
    scene.name(1, &files[..3], 0);
    scene.cluster.run_for(20);
    // It is held as what was removed, which gives way, and not beside what counts.
    assert_eq!(scene.over_share(1), 3);
    assert!(files[..3].iter().all(|id| unwanted(&scene, *id)));
    scene.name(1, &files[..3], FILE_BYTES);
    scene.cluster.run_for(20);
    assert!(!files.iter().any(|id| unwanted(&scene, *id)));
}

#[test]
fn what_turns_out_to_be_beyond_a_share_is_no_longer_fetched() {
    let options = limited(Some(3 * FILE_BYTES), 3 * FILE_BYTES);
    let mut scene = Scene::new(options, 99 * FILE_BYTES, 2);
    let files = scene.publish(1, 6);
    scene.cluster.lose_chunks_of(1);
    scene.cluster.connect(0, 1);
    scene.cluster.run_for(1);
    let fetched = |scene: &Scene| -> Vec<ArtifactId> {
        scene.cluster.replica(0).downloads().iter().map(|download| download.id).collect()
    };
    let begun = fetched(&scene);
    assert_eq!(begun.len(), 3);
    let others = files.iter().copied().filter(|id| !begun.contains(id));
    // Another names them, and has none.
    scene.name(2, &others.chain(begun.clone()).collect::<Vec<_>>(), FILE_BYTES);
    scene.cluster.connect(0, 2);
    scene.cluster.run_for(1);
    assert_eq!(scene.over_share(2), 3);
    assert!(fetched(&scene).iter().all(|id| !begun.contains(id)));
}

#[test]
fn a_content_is_fetched_that_is_within_the_share_of_one_who_names_it() {
    let mut scene = Scene::new(limited(Some(3 * FILE_BYTES), FILE_BYTES), 99 * FILE_BYTES, 2);
    let files = scene.publish(1, 6);
    scene.name(1, &files, FILE_BYTES);
    scene.cluster.connect(0, 1);
    scene.cluster.run_until(60, |cluster| cluster.holds(0, &files[..3]));
    scene.cluster.run_for(20);
    assert_eq!(scene.held(&files), 3);
    let shared = scene.publish(1, 6)[5];
    assert_eq!(shared, files[5]);
    scene.name(2, &[shared], FILE_BYTES);
    scene.cluster.connect(0, 2);
    scene.cluster.run_until(60, |cluster| cluster.holds(0, &[shared]));
    // To the other it is beyond the share as before, and it stays when that one names it no more.
    scene.name(1, &files[..3], FILE_BYTES);
    scene.cluster.run_for(20);
    assert!(!scene.cluster.replica(0).catalogs().is_unwanted(shared));
    scene.name(2, &[], FILE_BYTES);
    scene.cluster.run_for(20);
    assert!(scene.cluster.replica(0).catalogs().is_unwanted(shared));
}

#[test]
fn what_no_catalog_names_gives_way_to_what_one_does() {
    let mut scene = Scene::new(limited(None, 4 * FILE_BYTES), 5 * FILE_BYTES, 2);
    let made_up = scene.publish(1, 9);
    scene.cluster.connect(0, 1);
    scene.cluster.run_for(200);
    assert_eq!(scene.held(&made_up), 4);
    let files = scene.publish(2, 3);
    scene.name(2, &files, FILE_BYTES);
    scene.cluster.connect(0, 2);
    scene.cluster.run_until(600, |cluster| cluster.holds(0, &files));
    scene.cluster.run_for(100);
    assert!(scene.held(&made_up) <= 2);
    // What is left of the space is theirs again later.
    scene.cluster.run_until(1_000, |cluster| cluster.replica(0).artifact_count() >= 5);
    assert!(scene.cluster.holds(0, &files));
}

impl Scene {
    /// Replica 0 hears from 1 of something that the publisher `by` calls its catalog with this number.
    fn hear(&self, by: usize, sequence: u64, id: ArtifactId, size: u64) {
        let head = Head::sign(&self.publishers[by], sequence, id, size);
        let advert = advert_of(Artifact { id, size, height: 1 }, Some(&head), &small_chunks());
        self.cluster.replica(0).on_gossip_advert(advert, node(1));
    }
}

#[test]
fn who_advertises_much_beyond_its_share_does_not_hold_others_up() {
    let options = GossipOptions { downloads_per_peer: 1, ..limited(None, 2 * FILE_BYTES) };
    let mut scene = Scene::new(options, 99 * FILE_BYTES, 2);
    let (hostile, honest) = (1, 2);
    scene.cluster.lose_chunks_of(hostile);
    scene.cluster.connect(0, hostile);
    // Its turn is taken by a small one that it does not answer for, so that nothing counts of what comes then.
    let adverts = (0..400).map(|number: u32| {
        let mut id = [7; 32];
        id[..4].copy_from_slice(&number.to_be_bytes());
        let size = if number == 0 { 1 } else { FILE_BYTES };
        let artifact = Artifact { id: ArtifactId::new(id), size, height: 1 };
        advert_of(artifact, None, &small_chunks())
    });
    adverts.for_each(|advert| scene.cluster.replica(0).on_gossip_advert(advert, node(hostile)));
    assert_eq!(scene.cluster.replica(0).snapshot().wanted, 400);
    let files = scene.publish(honest, 60);
    scene.name(honest, &files, FILE_BYTES);
    // From now on it says of each that it has none, and has its next turn.
    scene.cluster.run_for(14);
    scene.cluster.lose_chunks_of(honest + 1);
    scene
        .cluster
        .run_until(30, |cluster| cluster.replica(0).snapshot().fetched.unnamed_refused > 1);
    scene.cluster.connect(0, honest);
    scene.cluster.run_until(3, |cluster| cluster.holds(0, &files));
}

/// How many requests for adverts replica 0 makes of three peers in ten minutes, in which peer 2 names new files each
/// five seconds: so many that are there, and so many that are not.
fn asked_for_adverts(options: GossipOptions, new: u64, missing: u64) -> u64 {
    let mut scene = Scene::new(options, 999 * FILE_BYTES, 3);
    // More than its share, and nobody names it.
    scene.publish(1, 9);
    (1..=3).for_each(|peer| scene.cluster.connect(0, peer));
    scene.cluster.run_for(60);
    let asked = |scene: &Scene| scene.cluster.replica(0).snapshot().fetched.retransmissions_asked;
    let before = asked(&scene);
    let mut files = scene.publish(2, new);
    for round in 0..120_u64 {
        files.truncate(new as usize);
        let absent = |number| {
            let mut id = [5; 32];
            id[..16].copy_from_slice(&u128::from(1_000 * round + number).to_be_bytes());
            ArtifactId::new(id)
        };
        files.extend((0..missing).map(absent));
        scene.name(2, &files, FILE_BYTES);
        scene.cluster.run_for(5);
    }
    asked(&scene) - before
}

#[test]
fn a_new_catalog_has_only_those_asked_of_whom_something_was_refused() {
    let options = limited(None, 2 * FILE_BYTES);
    // Each of three is asked every minute anyway, and this one every five seconds.
    let asked = asked_for_adverts(options, 1, 1);
    assert!((100..=160).contains(&asked), "{asked}");
}

#[test]
fn what_is_beyond_the_share_of_a_catalog_has_nobody_asked() {
    let options = limited(Some(3 * FILE_BYTES), 2 * FILE_BYTES);
    let asked = asked_for_adverts(options, 3, 2);
    assert!(asked <= 40, "{asked}");
}

#[test]
fn what_was_fetched_for_a_head_alone_is_dropped() {
    let mut scene = Scene::new(limited(None, 0), 99 * FILE_BYTES, 1);
    scene.cluster.connect(0, 1);
    // A file is no catalog, whatever a head says.
    let file = scene.publish(1, 1)[0];
    scene.hear(1, u64::MAX, file, FILE_BYTES);
    scene.cluster.run_until(10, |cluster| cluster.holds(0, &[file]));
    scene.cluster.run_until(30, |cluster| !cluster.holds(0, &[file]));
    scene.cluster.run_for(100);
    assert!(!scene.cluster.holds(0, &[file]));
    // It may be anybody's file, to be fetched as such.
    assert!(!scene.cluster.replica(0).catalogs().is_unwanted(file));
}

#[test]
fn a_head_lets_nobody_drop_what_another_is_about_to_name() {
    let mut scene = Scene::new(limited(None, FILE_BYTES), 99 * FILE_BYTES, 2);
    scene.cluster.connect(0, 1);
    let file = scene.publish(1, 1)[0];
    scene.hear(2, 1, file, FILE_BYTES);
    scene.cluster.run_until(10, |cluster| cluster.holds(0, &[file]));
    scene.cluster.run_for(100);
    assert!(scene.cluster.holds(0, &[file]));
    assert_eq!(scene.cluster.replica(0).snapshot().fetched.artifacts, 1);
    // It counts as it would without the head.
    let more = scene.publish(1, 2)[1];
    scene.cluster.run_for(100);
    assert!(!scene.cluster.holds(0, &[more]));
}

#[test]
fn a_catalog_that_a_newer_one_has_overtaken_is_dropped() {
    let mut scene = Scene::new(limited(None, FILE_BYTES), 99 * FILE_BYTES, 1);
    let bytes = Catalog::default().encode_of(scene.publishers[1].node_id());
    let overtaken = scene.cluster.publish(1, &bytes);
    scene.cluster.lose_chunks_of(1);
    scene.cluster.replica(0).on_peer_up(node(1));
    scene.hear(1, 1, overtaken, bytes.len() as u64);
    scene.cluster.connect(0, 1);
    scene.cluster.run_for(1);
    scene.hear(1, 2, ArtifactId::new([7; 32]), FILE_BYTES);
    // It is looked for while it is still being fetched, too.
    scene.cluster.run_for(20);
    scene.cluster.lose_chunks_of(0);
    scene.cluster.run_until(100, |cluster| cluster.holds(0, &[overtaken]));
    scene.cluster.run_until(30, |cluster| !cluster.holds(0, &[overtaken]));
}

#[test]
fn who_names_others_again_and_again_has_twice_its_share_at_most() {
    let mut scene = Scene::new(limited(Some(3 * FILE_BYTES), 0), 99 * FILE_BYTES, 2);
    let removed = scene.publish(2, 3);
    let files = scene.publish(1, 18);
    scene.name(2, &removed, FILE_BYTES);
    scene.cluster.connect(0, 1);
    scene.cluster.connect(0, 2);
    scene.cluster.run_until(60, |cluster| cluster.holds(0, &removed));
    scene.name(2, &[], FILE_BYTES);
    for named in files.chunks(3) {
        scene.name(1, named, FILE_BYTES);
        scene.cluster.run_until(120, |cluster| cluster.holds(0, named));
    }
    scene.cluster.run_for(20);
    assert_eq!(scene.held(&files), 6);
    assert!(scene.cluster.holds(0, &files[15..]));
    // What another has removed has nothing to do with it.
    assert!(scene.cluster.holds(0, &removed));
    // What was dropped is fetched again if it is named again.
    scene.name(1, &files[..3], FILE_BYTES);
    scene.cluster.run_until(120, |cluster| cluster.holds(0, &files[..3]));
    scene.cluster.run_for(20);
    assert_eq!(scene.held(&files), 6);
}

#[test]
fn a_damaged_file_of_another_length_is_fetched_again() {
    for length in [FILE_BYTES / 2, FILE_BYTES + 1] {
        let mut scene = Scene::new(small_chunks(), 99 * FILE_BYTES, 1);
        let files = scene.publish(1, 3);
        scene.name(1, &files, FILE_BYTES);
        let publisher = scene.publishers[1].node_id();
        let is_current =
            |cluster: &Cluster| cluster.replica(0).catalogs().current(publisher).is_some();
        scene.cluster.connect(0, 1);
        scene.cluster.run_until(60, |cluster| is_current(cluster) && cluster.holds(0, &files));
        let path = scene.cluster.replica(0).store().folder().join(format!("{:x}", files[1]));
        let file = std::fs::File::options().write(true).open(&path).expect("held");
        file.set_len(length).expect("damaged");
        scene.cluster.restart(0);
        let members = scene.publishers.iter().map(Identity::node_id).collect();
        scene.cluster.replica(0).set_members(members);
        scene.cluster.run_until(10, is_current);
        assert_eq!(scene.over_share(1), 0);
        // The verifier comes later.
        assert!(scene.cluster.holds(0, &files));
        assert!(!scene.cluster.replica(0).store().verify(files[1]).expect("readable"));
        scene.cluster.connect(0, 1);
        scene.cluster.run_until(60, |cluster| cluster.holds(0, &files));
        scene.cluster.check_at_rest();
    }
}

/// A replica on this folder, and whether it would fetch `size` bytes that no catalog names.
fn fetches(folder: &std::path::Path, own: &Identity, size: u64) -> (ReplicaGossip, bool) {
    let store = Store::open_with(folder, crash()).expect("opened");
    let catalogs = Catalogs::open(&store.catalogs_folder()).expect("opened");
    let options = limited(Some(2 * FILE_BYTES), 2 * FILE_BYTES);
    let catalogs = catalogs.with_own(own.node_id());
    let gossip = ReplicaGossip::new(options, store, catalogs, nowhere(), |_, _| Ok(()));
    let gossip = gossip.expect("options that can be");
    gossip.set_members(BTreeSet::from([own.node_id(), node(1)]));
    gossip.on_peer_up(node(1));
    gossip.on_gossip_timer();
    let artifact = Artifact { id: ArtifactId::new([9; 32]), size, height: 1 };
    gossip.on_gossip_advert(advert_of(artifact, None, &small_chunks()), node(1));
    let wanted = gossip.snapshot().wanted;
    (gossip, wanted == 1)
}

#[test]
fn what_an_earlier_run_has_left_counts_unless_a_catalog_names_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let own = Identity::generate();
    let files = tempfile::tempdir().expect("a folder");
    let publish = |gossip: &ReplicaGossip, seed| {
        let path = files.path().join("file");
        std::fs::write(&path, content(seed, FILE_BYTES as usize)).expect("written");
        gossip.publish(&path).expect("published").artifact.id
    };
    let (gossip, fetches_two) = fetches(folder.path(), &own, 2 * FILE_BYTES);
    assert!(fetches_two);
    let ids: Vec<_> = (0..3).map(|seed| publish(&gossip, seed)).collect();
    drop(gossip);
    // Two members may have four files together.
    let (gossip, fetches_two) = fetches(folder.path(), &own, 2 * FILE_BYTES);
    assert!(!fetches_two);
    let entry = |id| FileEntry { id, size: FILE_BYTES, mode: 0o644, modified_ns: 0 };
    let path = |id: &ArtifactId| FilePath::new(format!("{id:x}").as_bytes()).expect("a path");
    let catalog = Catalog::new(ids.iter().map(|id| (path(id), entry(*id)))).expect("a catalog");
    gossip.publish_catalog(&own, catalog).expect("published");
    drop(gossip);
    let (gossip, fetches_two) = fetches(folder.path(), &own, 2 * FILE_BYTES);
    assert!(fetches_two);
    let current = gossip.catalogs().current(own.node_id()).expect("a catalog");
    assert_eq!(current.over_share.files(), 0, "the own files have no limit");
    drop(gossip);
    // To another replica these are a peer's files.
    let (gossip, _) = fetches(folder.path(), &Identity::generate(), 1);
    gossip.set_members(BTreeSet::from([own.node_id()]));
    gossip.on_gossip_timer();
    let current = gossip.catalogs().current(own.node_id()).expect("a catalog");
    assert_eq!(current.over_share.files(), 1);
}

#[test]
fn a_full_disk_makes_space_for_the_own_catalog() {
    let mut scene = Scene::new(limited(None, 2 * FILE_BYTES), 2 * FILE_BYTES, 1);
    let made_up = scene.publish(1, 2);
    scene.cluster.connect(0, 1);
    scene.cluster.run_until(60, |cluster| cluster.holds(0, &made_up));
    let publish = |scene: &Scene| {
        let catalog = Catalog::new([]).expect("a catalog");
        scene.cluster.replica(0).publish_catalog(&scene.publishers[0], catalog)
    };
    publish(&scene).expect_err("there is no space");
    scene.cluster.run_for(60);
    publish(&scene).expect("something has given way");
}
