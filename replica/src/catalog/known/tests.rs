//! The states of a publisher's catalog: announced, current, refused, left, and over a restart.

use std::{collections::BTreeSet, fs, path::Path, sync::Arc, time::Duration};

use gossip_engine::{ArtifactId, NodeId};
use sha2::{Digest as _, Sha256};

use super::{Catalogs, Completed, News};
use crate::{
    catalog::{Catalog, FileEntry, FilePath, Head},
    identity::Identity,
};

fn id(number: u8) -> ArtifactId {
    ArtifactId::new([number; 32])
}

/// A catalog of files with these contents: its bytes and their id.
fn catalog(contents: &[u8]) -> (ArtifactId, Vec<u8>) {
    let files = contents.iter().map(|number| {
        let path = FilePath::new(format!("file{number}").as_bytes()).expect("a path");
        (path, FileEntry { id: id(*number), size: 1, mode: 0o644, modified_ns: 0 })
    });
    let bytes = Catalog::new(files).expect("a catalog").encode();
    (ArtifactId::new(Sha256::digest(&bytes).into()), bytes)
}

fn open(folder: &Path, members: &[&Identity]) -> Catalogs {
    let catalogs = Catalogs::open(folder).expect("opened");
    catalogs.set_members(members.iter().map(|member| member.node_id()).collect());
    catalogs
}

fn announce(catalogs: &Catalogs, identity: &Identity, sequence: u64, contents: &[u8]) -> Head {
    let (id, bytes) = catalog(contents);
    let head = Head::sign(identity, sequence, id, bytes.len() as u64);
    catalogs.announce(head);
    head
}

/// Announces and completes.
fn publish(catalogs: &Catalogs, identity: &Identity, sequence: u64, contents: &[u8]) -> Head {
    let head = announce(catalogs, identity, sequence, contents);
    let (id, bytes) = catalog(contents);
    catalogs.complete(id, &bytes).expect("a good catalog");
    head
}

fn current(catalogs: &Catalogs, publisher: NodeId) -> Option<u64> {
    catalogs.current(publisher).map(|current| current.head.sequence())
}

fn retired(catalogs: &Catalogs) -> Vec<u8> {
    (0..=u8::MAX).filter(|number| catalogs.is_retired(id(*number))).collect()
}

#[test]
fn a_catalog_counts_when_all_of_it_is_here() {
    let folder = tempfile::tempdir().expect("a folder");
    let [a, b] = [Identity::generate(), Identity::generate()];
    let catalogs = open(folder.path(), &[&a]);
    let first = announce(&catalogs, &a, 1, &[1, 2]);
    assert!(catalogs.is_awaited(first.catalog()));
    assert_eq!((catalogs.look(&first), current(&catalogs, a.node_id())), (News::Known, None));
    let stranger = announce(&catalogs, &b, 1, &[3]);
    assert_eq!(catalogs.look(&stranger), News::Stranger);
    assert_eq!(catalogs.awaited(), [first]);

    publish(&catalogs, &a, 1, &[1, 2]);
    assert_eq!((catalogs.awaited(), current(&catalogs, a.node_id())), (vec![], Some(1)));
    assert_eq!(catalogs.head_of(first.catalog()), Some(first));

    let second = announce(&catalogs, &a, 2, &[2, 3]);
    assert_eq!(current(&catalogs, a.node_id()), Some(1), "the old one stays meanwhile");
    assert!(retired(&catalogs).is_empty());
    publish(&catalogs, &a, 2, &[2, 3]);
    assert_eq!((current(&catalogs, a.node_id()), retired(&catalogs)), (Some(2), vec![1]));
    assert!(catalogs.is_retired(first.catalog()));
    assert_eq!(catalogs.droppable(Duration::from_secs(3600)), [first.catalog()]);
    assert_eq!(catalogs.head_of(second.catalog()), Some(second));

    let old = Head::sign(&a, 1, first.catalog(), first.size());
    assert_eq!(catalogs.look(&old), News::Known);
    assert!(!catalogs.announce(old), "a publisher does not go back");
}

#[test]
fn the_newest_announced_is_awaited_and_no_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let a = Identity::generate();
    let catalogs = open(folder.path(), &[&a]);
    let older = announce(&catalogs, &a, 1, &[1]);
    let newer = announce(&catalogs, &a, 2, &[2]);
    assert_eq!(catalogs.awaited(), [newer]);
    let (id, bytes) = catalog(&[1]);
    assert_eq!(catalogs.complete(id, &bytes), Ok(Completed::default()));
    assert_eq!(current(&catalogs, a.node_id()), None);
    assert_eq!(catalogs.droppable(Duration::from_secs(3600)), [older.catalog()]);
}

#[test]
fn what_is_no_catalog_is_refused_once_and_the_next_counts() {
    let folder = tempfile::tempdir().expect("a folder");
    let a = Identity::generate();
    let catalogs = open(folder.path(), &[&a]);
    publish(&catalogs, &a, 1, &[1]);
    let wrong = b"no catalog";
    let wrong_id = ArtifactId::new(Sha256::digest(wrong).into());
    let head = Head::sign(&a, 2, wrong_id, wrong.len() as u64);
    assert!(catalogs.announce(head));
    catalogs.complete(wrong_id, wrong).expect_err("no catalog");
    assert_eq!(catalogs.awaited(), []);
    assert_eq!((catalogs.look(&head), current(&catalogs, a.node_id())), (News::Known, Some(1)));
    publish(&catalogs, &a, 3, &[2]);
    assert_eq!(current(&catalogs, a.node_id()), Some(3));
}

#[test]
fn what_two_publishers_name_is_retired_when_neither_does() {
    let folder = tempfile::tempdir().expect("a folder");
    let [a, b] = [Identity::generate(), Identity::generate()];
    let catalogs = open(folder.path(), &[&a, &b]);
    publish(&catalogs, &a, 1, &[1, 2]);
    publish(&catalogs, &b, 1, &[2, 3]);
    publish(&catalogs, &a, 2, &[]);
    assert_eq!(retired(&catalogs), [1]);
    publish(&catalogs, &b, 2, &[1]);
    assert_eq!(retired(&catalogs), [2, 3], "what is named again is not retired");
}

#[test]
fn two_publishers_may_have_the_same_catalog() {
    let folder = tempfile::tempdir().expect("a folder");
    let [a, b] = [Identity::generate(), Identity::generate()];
    let catalogs = open(folder.path(), &[&a, &b]);
    let head = announce(&catalogs, &a, 1, &[1]);
    announce(&catalogs, &b, 7, &[1]);
    let (id, bytes) = catalog(&[1]);
    assert_eq!(catalogs.complete(id, &bytes).expect("a good one").heads.len(), 2);
    publish(&catalogs, &a, 2, &[]);
    assert!(!catalogs.is_retired(head.catalog()), "it is still that of the other");
    assert!(retired(&catalogs).is_empty());
}

#[test]
fn a_restart_takes_up_where_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let a = Identity::generate();
    let (first, (id, bytes)) =
        (publish(&open(folder.path(), &[&a]), &a, 5, &[1, 2]), catalog(&[1, 2]));
    {
        let catalogs = open(folder.path(), &[&a]);
        assert_eq!((catalogs.awaited(), current(&catalogs, a.node_id())), (vec![first], None));
        catalogs.complete(id, &bytes).expect("a good one");
        publish(&catalogs, &a, 6, &[2]);
        assert!(catalogs.next_sequence(a.node_id()) > 6);
    }
    let catalogs = open(folder.path(), &[&a]);
    assert_eq!(
        catalogs.look(&first),
        News::Known,
        "an older one is not taken after a restart either"
    );
    assert_eq!(retired(&catalogs), [1]);
}

#[test]
fn who_is_off_the_list_publishes_nothing_until_they_are_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let [a, b] = [Identity::generate(), Identity::generate()];
    let catalogs = open(folder.path(), &[&a, &b]);
    let head = publish(&catalogs, &a, 1, &[1]);
    publish(&catalogs, &b, 1, &[2]);
    catalogs.set_members(BTreeSet::from([b.node_id()]));
    assert_eq!((current(&catalogs, a.node_id()), retired(&catalogs)), (None, vec![1]));
    assert_eq!((catalogs.awaited(), catalogs.look(&head)), (vec![], News::Stranger));
    catalogs.set_members(BTreeSet::from([a.node_id(), b.node_id()]));
    assert_eq!(catalogs.awaited(), [head]);
    publish(&catalogs, &a, 1, &[1]);
    assert_eq!((current(&catalogs, a.node_id()), retired(&catalogs)), (Some(1), vec![]));
}

#[test]
fn a_number_is_larger_than_all_that_are_known() {
    let folder = tempfile::tempdir().expect("a folder");
    let a = Identity::generate();
    let catalogs = open(folder.path(), &[&a]);
    let first = catalogs.next_sequence(a.node_id());
    assert!(first > 1_700_000_000_000, "a lost disk is no way back: {first}");
    announce(&catalogs, &a, u64::MAX - 1, &[1]);
    assert_eq!(catalogs.next_sequence(a.node_id()), u64::MAX);
    assert_eq!(catalogs.next_sequence(Identity::generate().node_id()) >> 63, 0);
}

#[test]
fn a_damaged_folder_is_no_reason_not_to_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let [a, b] = [Identity::generate(), Identity::generate()];
    let head = publish(&open(folder.path(), &[&a]), &a, 1, &[1]);
    let file = |identity: &Identity| folder.path().join(format!("{:x}", identity.node_id()));
    // That of another publisher, half a head, a folder, and what somebody keeps there.
    fs::copy(file(&a), file(&b)).expect("copied");
    let short = Identity::generate();
    fs::write(file(&short), &head.encode()[..90]).expect("written");
    let in_the_way = Identity::generate();
    fs::create_dir(file(&in_the_way)).expect("made");
    fs::write(folder.path().join("notes.txt"), "mine").expect("written");
    let catalogs = open(folder.path(), &[&a, &b, &short, &in_the_way]);
    assert_eq!(catalogs.awaited(), [head]);
    // What cannot be written counts all the same, until the end.
    publish(&catalogs, &in_the_way, 1, &[9]);
    assert_eq!(current(&catalogs, in_the_way.node_id()), Some(1));
}

#[test]
fn own_catalogs_need_no_announcement() {
    let folder = tempfile::tempdir().expect("a folder");
    let a = Identity::generate();
    let catalogs = open(folder.path(), &[&a]);
    let (id, bytes) = catalog(&[1]);
    let head = Head::sign(&a, 1, id, bytes.len() as u64);
    let files = Arc::new(Catalog::decode(&bytes).expect("a catalog"));
    catalogs.publish(head, files).expect("few files");
    assert_eq!(current(&catalogs, a.node_id()), Some(1));
    assert_eq!(open(folder.path(), &[&a]).awaited(), [head]);
}
