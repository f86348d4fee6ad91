//! The states of a publisher's catalog: announced, current, refused, left, and over a restart.

use std::{
    cell::Cell, collections::BTreeSet, fs, ops::Deref, path::Path, sync::Arc, time::Duration,
};

use gossip_engine::ArtifactId;
use sha2::{Digest as _, Sha256};

use super::{Catalogs, Completed, LookUp, News, PAUSE};
use crate::{
    catalog::{Catalog, CatalogError, FileEntry, FilePath, Head, Here},
    identity::Identity,
};

fn id(number: u8) -> ArtifactId {
    ArtifactId::new([number; 32])
}

/// A catalog of files with these contents: its id and its bytes.
fn catalog(identity: &Identity, contents: &[u8]) -> (ArtifactId, Vec<u8>) {
    let files = contents.iter().map(|number| {
        let path = FilePath::new(format!("file{number}").as_bytes()).expect("a path");
        (path, FileEntry { id: id(*number), size: 1, mode: 0o644, modified_ns: 0 })
    });
    let bytes = Catalog::new(files).expect("a catalog").encode_of(identity.node_id());
    (ArtifactId::new(Sha256::digest(&bytes).into()), bytes)
}

/// Everything is held.
const HELD: LookUp<'_> = &|_| Some(Here { size: 1, is_held: true, is_verified: true });
/// Long after whatever was looked at before.
const LATER: Duration = Duration::MAX;

/// A replica whose looks are far apart.
struct Replica {
    catalogs: Catalogs,
    now: Cell<Duration>,
}

impl Deref for Replica {
    type Target = Catalogs;

    fn deref(&self) -> &Catalogs {
        &self.catalogs
    }
}

fn open(folder: &Path, members: &[&Identity]) -> Replica {
    let catalogs = Catalogs::open(folder).expect("opened");
    catalogs.set_members(members.iter().map(|member| member.node_id()).collect(), HELD);
    Replica { catalogs, now: Cell::default() }
}

impl Replica {
    fn announce_of(&self, identity: &Identity, sequence: u64, contents: &[u8]) -> Head {
        let (id, bytes) = catalog(identity, contents);
        let head = Head::sign(identity, sequence, id, bytes.len() as u64);
        self.announce(head);
        head
    }

    /// The content is here, a minute later.
    fn come(&self, id: ArtifactId, bytes: &[u8]) -> Completed {
        self.now.set(self.now.get() + Duration::from_secs(60));
        self.complete(id, bytes, self.now.get(), HELD)
    }

    /// Announces and completes.
    fn publish_of(&self, identity: &Identity, sequence: u64, contents: &[u8]) -> Head {
        let head = self.announce_of(identity, sequence, contents);
        let (id, bytes) = catalog(identity, contents);
        assert_eq!(self.come(id, &bytes).heads, [head]);
        head
    }

    fn sequence(&self, publisher: &Identity) -> Option<u64> {
        self.current(publisher.node_id()).map(|current| current.head.sequence())
    }

    fn is_awaited(&self, head: &Head) -> bool {
        self.awaited().contains(head)
    }

    fn retired(&self) -> Vec<u8> {
        (0..=u8::MAX).filter(|number| self.is_unwanted(id(*number))).collect()
    }
}

#[test]
fn a_catalog_counts_when_all_of_it_is_here() {
    let folder = tempfile::tempdir().expect("a folder");
    let [a, b] = [Identity::generate(), Identity::generate()];
    let catalogs = open(folder.path(), &[&a]);
    let first = catalogs.announce_of(&a, 1, &[1, 2]);
    assert!(catalogs.is_awaited(&first));
    assert_eq!((catalogs.look(&first), catalogs.sequence(&a)), (News::Known, None));
    let stranger = catalogs.announce_of(&b, 1, &[3]);
    assert_eq!(catalogs.look(&stranger), News::Stranger);
    assert_eq!(catalogs.awaited(), [first]);

    catalogs.publish_of(&a, 1, &[1, 2]);
    assert_eq!((catalogs.awaited(), catalogs.sequence(&a)), (vec![], Some(1)));
    assert_eq!(catalogs.head_of(first.catalog()), Some(first));

    let second = catalogs.announce_of(&a, 2, &[2, 3]);
    assert_eq!(catalogs.sequence(&a), Some(1), "the old one stays meanwhile");
    assert!(catalogs.retired().is_empty());
    catalogs.publish_of(&a, 2, &[2, 3]);
    assert_eq!((catalogs.sequence(&a), catalogs.retired()), (Some(2), vec![1]));
    assert!(catalogs.is_unwanted(first.catalog()));
    assert!(catalogs.droppable(Duration::from_secs(3600)).is_empty(), "peers may still fetch it");
    assert!(catalogs.droppable(Duration::ZERO).contains(&first.catalog()));
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
    let older = catalogs.announce_of(&a, 1, &[1]);
    let newer = catalogs.announce_of(&a, 2, &[2]);
    assert_eq!(catalogs.awaited(), [newer]);
    let (id, bytes) = catalog(&a, &[1]);
    assert_eq!(catalogs.come(id, &bytes), Completed::default());
    assert_eq!(catalogs.sequence(&a), None);
    assert!(!catalogs.is_unwanted(older.catalog()), "a head alone lets nobody drop anything");
}

#[test]
fn what_is_no_catalog_is_refused_once_and_the_next_counts() {
    let folder = tempfile::tempdir().expect("a folder");
    let a = Identity::generate();
    let catalogs = open(folder.path(), &[&a]);
    catalogs.publish_of(&a, 1, &[1]);
    let wrong = b"no catalog";
    let wrong_id = ArtifactId::new(Sha256::digest(wrong).into());
    let head = Head::sign(&a, 2, wrong_id, wrong.len() as u64);
    assert!(catalogs.announce(head));
    assert_eq!(catalogs.come(wrong_id, wrong).refused, [(head, CatalogError::Format)]);
    assert_eq!(catalogs.awaited(), []);
    assert!(!catalogs.is_unwanted(wrong_id), "it may be anybody's file");
    assert_eq!((catalogs.look(&head), catalogs.sequence(&a)), (News::Known, Some(1)));
    catalogs.publish_of(&a, 3, &[2]);
    assert_eq!(catalogs.sequence(&a), Some(3));
}

#[test]
fn what_two_publishers_name_is_retired_when_neither_does() {
    let folder = tempfile::tempdir().expect("a folder");
    let [a, b] = [Identity::generate(), Identity::generate()];
    let catalogs = open(folder.path(), &[&a, &b]);
    catalogs.publish_of(&a, 1, &[1, 2]);
    catalogs.publish_of(&b, 1, &[2, 3]);
    catalogs.publish_of(&a, 2, &[]);
    assert_eq!(catalogs.retired(), [1]);
    catalogs.publish_of(&b, 2, &[1]);
    assert_eq!(catalogs.retired(), [2, 3], "what is named again is not retired");
}

#[test]
fn a_catalog_is_that_of_one_publisher_and_as_long_as_its_head_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let [a, b] = [Identity::generate(), Identity::generate()];
    let catalogs = open(folder.path(), &[&a, &b]);
    let of_a = catalogs.publish_of(&a, 1, &[]);
    let of_b = catalogs.publish_of(&b, 1, &[]);
    assert_ne!(of_a.catalog(), of_b.catalog(), "both are empty");
    let (id, bytes) = catalog(&a, &[1]);
    let length = bytes.len() as u64;
    for (publisher, size) in [(&b, length), (&a, length + 1)] {
        let head = Head::sign(publisher, 2, id, size);
        assert!(catalogs.announce(head));
        assert_eq!(catalogs.come(id, &bytes).refused, [(head, CatalogError::Another)]);
    }
    assert_eq!(
        (catalogs.head_of(of_a.catalog()), catalogs.head_of(of_b.catalog())),
        (Some(of_a), Some(of_b))
    );
}

#[test]
fn a_publisher_is_looked_at_now_and_then() {
    let folder = tempfile::tempdir().expect("a folder");
    let [a, b] = [Identity::generate(), Identity::generate()];
    let catalogs = open(folder.path(), &[&a, &b]);
    let of = |identity: &Identity, sequence, now| {
        let head = catalogs.announce_of(identity, sequence, &[sequence as u8]);
        let (id, bytes) = catalog(identity, &[sequence as u8]);
        assert_eq!(
            catalogs.is_due(id, now),
            catalogs.complete(id, &bytes, now, HELD).heads == [head]
        );
        catalogs.sequence(identity)
    };
    let now = Duration::from_secs(1);
    assert_eq!(of(&a, 1, now), Some(1));
    assert_eq!(of(&a, 2, now + PAUSE / 2), Some(1), "too soon");
    assert_eq!(of(&b, 2, now + PAUSE / 2), Some(2), "others have nothing to do with it");
    assert_eq!(of(&a, 3, now + 2 * PAUSE), Some(3), "the newest, and it was not lost");
}

#[test]
fn what_is_neither_held_nor_wanted_is_not_remembered() {
    let folder = tempfile::tempdir().expect("a folder");
    let a = Identity::generate();
    let catalogs = open(folder.path(), &[&a]);
    catalogs.publish_of(&a, 1, &[1, 2]);
    catalogs.announce_of(&a, 2, &[]);
    let (empty, bytes) = catalog(&a, &[]);
    let look_up =
        |wanted| (wanted == id(2)).then_some(Here { size: 1, is_held: true, is_verified: true });
    assert_eq!(catalogs.complete(empty, &bytes, LATER, &look_up).heads.len(), 1);
    assert_eq!(catalogs.retired(), [2]);
}

#[test]
fn a_restart_takes_up_where_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let a = Identity::generate();
    let (first, (id, bytes)) =
        (open(folder.path(), &[&a]).publish_of(&a, 5, &[1, 2]), catalog(&a, &[1, 2]));
    {
        let catalogs = open(folder.path(), &[&a]);
        assert_eq!((catalogs.awaited(), catalogs.sequence(&a)), (vec![first], None));
        assert_eq!(catalogs.come(id, &bytes).heads, [first]);
        catalogs.publish_of(&a, 6, &[2]);
        assert!(catalogs.next_sequence(a.node_id()) > 6);
    }
    let catalogs = open(folder.path(), &[&a]);
    assert_eq!(
        catalogs.look(&first),
        News::Known,
        "an older one is not taken after a restart either"
    );
    assert_eq!(catalogs.retired(), [1]);
}

#[test]
fn who_is_off_the_list_publishes_nothing_until_they_are_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let [a, b] = [Identity::generate(), Identity::generate()];
    let catalogs = open(folder.path(), &[&a, &b]);
    let head = catalogs.publish_of(&a, 1, &[1]);
    catalogs.publish_of(&b, 1, &[2]);
    catalogs.set_members(BTreeSet::from([b.node_id()]), HELD);
    assert!(catalogs.is_unwanted(head.catalog()));
    assert_eq!((catalogs.sequence(&a), catalogs.retired()), (None, vec![1]));
    assert_eq!((catalogs.awaited(), catalogs.look(&head)), (vec![], News::Stranger));
    catalogs.set_members(BTreeSet::from([a.node_id(), b.node_id()]), HELD);
    assert_eq!(catalogs.awaited(), [head]);
    assert!(!catalogs.is_unwanted(head.catalog()), "it may be fetched again");
    let (id, bytes) = catalog(&a, &[1]);
    assert_eq!(catalogs.come(id, &bytes).heads, [head]);
    assert_eq!((catalogs.sequence(&a), catalogs.retired()), (Some(1), vec![]));
}

#[test]
fn a_number_is_larger_than_all_that_are_known() {
    let folder = tempfile::tempdir().expect("a folder");
    let a = Identity::generate();
    let catalogs = open(folder.path(), &[&a]);
    let first = catalogs.next_sequence(a.node_id());
    assert!(first > 1_700_000_000_000, "a lost disk is no way back: {first}");
    catalogs.announce_of(&a, u64::MAX - 1, &[1]);
    assert_eq!(catalogs.next_sequence(a.node_id()), u64::MAX);
    assert_eq!(catalogs.next_sequence(Identity::generate().node_id()) >> 63, 0);
}

#[test]
fn a_damaged_folder_is_no_reason_not_to_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let [a, b] = [Identity::generate(), Identity::generate()];
    let head = open(folder.path(), &[&a]).publish_of(&a, 1, &[1]);
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
    catalogs.publish_of(&in_the_way, 1, &[9]);
    assert_eq!(catalogs.sequence(&in_the_way), Some(1));
}

#[test]
fn own_catalogs_need_no_announcement() {
    let folder = tempfile::tempdir().expect("a folder");
    let a = Identity::generate();
    let catalogs = open(folder.path(), &[&a]);
    let (id, bytes) = catalog(&a, &[1]);
    let head = Head::sign(&a, 1, id, bytes.len() as u64);
    let (_, files) = Catalog::decode_of(&bytes).expect("a catalog");
    catalogs.publish(head, Arc::new(files), HELD);
    assert_eq!(catalogs.sequence(&a), Some(1));
    assert_eq!(open(folder.path(), &[&a]).awaited(), [head]);
}
