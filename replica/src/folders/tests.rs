use std::{collections::BTreeSet, path::Path};

use gossip_engine::{FlowType, GossipMessage};

use super::*;
use crate::{
    catalog::{Catalog, Catalogs, FileEntry},
    gossip::GossipOptions,
    identity::Identity,
    outbox::{Outbox, SendError},
    store::{Durability, Store, StoreOptions},
};

struct Nobody;

impl Outbox for Nobody {
    fn send(&self, peer: NodeId, _: GossipMessage) -> Result<(), SendError> {
        Err(SendError::NotConnected(peer))
    }

    fn has_capacity(&self, _: NodeId, _: FlowType, _: usize) -> bool {
        false
    }
}

/// A replica that publishes, and what looks at it. Time passes only if a test says so.
struct Site {
    gossip: ReplicaGossip,
    publisher: Identity,
    watch: FolderWatch,
    now: Instant,
    folder: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let options = StoreOptions { durability: Durability::Crash, ..StoreOptions::default() };
        let store = Store::open_with(&folder.path().join("store"), options).expect("opened");
        let catalogs = Catalogs::open(&store.catalogs_folder()).expect("opened");
        let publisher = Identity::generate();
        let options = GossipOptions::default();
        let gossip = ReplicaGossip::new(options, store, catalogs, Arc::new(Nobody), |_, _| Ok(()));
        let gossip = gossip.expect("options that can be");
        gossip.set_members(BTreeSet::from([publisher.node_id()]));
        Self { gossip, publisher, watch: FolderWatch::default(), now: Instant::now(), folder }
    }

    fn hold(&self, content: &[u8]) -> ArtifactId {
        let path = self.folder.path().join("file");
        std::fs::write(&path, content).expect("written");
        self.gossip.publish(Path::new(&path)).expect("published").artifact.id
    }

    fn publish(&self, files: &[(&str, ArtifactId, u64)]) -> ArtifactId {
        let files = files.iter().map(|(path, id, size)| {
            let entry = FileEntry { id: *id, size: *size, mode: 0o644, modified_ns: 0 };
            (FilePath::new(path.as_bytes()).expect("a path"), entry)
        });
        let catalog = Catalog::new(files).expect("a catalog");
        self.gossip.publish_catalog(&self.publisher, catalog).expect("published").catalog()
    }

    fn look(&mut self, shown: &[ArtifactId]) -> Arc<Folders> {
        // Past any rest.
        self.now += Duration::from_secs(1_000_000);
        self.watch.look(&self.gossip, shown.iter().copied().collect(), self.now)
    }
}

fn missing(folders: &Folders) -> Vec<(u64, u64, u64, u64)> {
    let counts = folders.counts.iter();
    counts.map(|of| (of.files, of.bytes, of.missing_files, of.missing_bytes)).collect()
}

#[test]
fn what_is_missing_of_a_folder_is_counted_until_it_is_here() {
    let mut site = Site::new();
    assert_eq!(missing(&site.look(&[])), []);
    let here = site.hold(b"here");
    let id =
        |content: &[u8]| ArtifactId::new(<sha2::Sha256 as sha2::Digest>::digest(content).into());
    let later = id(b"later");
    site.publish(&[("a", here, 4), ("b", later, 5), ("c", later, 5)]);
    let seen = site.look(&[]);
    assert_eq!(missing(&seen), [(3, 14, 2, 10)]);
    let since = seen.counts[0].missing_since.expect("something is missing");
    assert_eq!(seen.counts[0].publisher, site.publisher.node_id());
    // Something else comes; it is missing since then.
    site.hold(b"another");
    assert_eq!(site.look(&[]).counts[0].missing_since, Some(since));
    site.hold(b"later");
    let seen = site.look(&[]);
    assert_eq!((missing(&seen), seen.counts[0].missing_since), (vec![(3, 14, 0, 0)], None));
    // It is lost, which is no change of the protocol's.
    site.gossip.store().discard(later).expect("discarded");
    assert_eq!(missing(&site.look(&[])), [(3, 14, 2, 10)]);
}

#[test]
fn artifacts_are_called_by_the_first_file_that_has_them() {
    let mut site = Site::new();
    let (file, other) = (site.hold(b"file"), site.hold(b"other"));
    let catalog = site.publish(&[("z", file, 4), ("b/c", file, 4), ("x", other, 5)]);
    let seen = site.look(&[file, catalog, ArtifactId::new([1; 32])]);
    let publisher = site.publisher.node_id();
    let path = FilePath::new(b"b/c").expect("a path");
    let expected = [(file, Content::File(publisher, path)), (catalog, Content::Catalog(publisher))];
    assert_eq!(seen.contents, HashMap::from(expected));
    // What was not shown before is looked for, though nothing has moved.
    assert!(site.look(&[other]).contents.contains_key(&other));
}

#[test]
fn nothing_is_gone_through_without_a_reason() {
    let mut site = Site::new();
    let file = site.hold(b"file");
    site.publish(&[("file", file, 4)]);
    let seen = site.look(&[file]);
    assert!(Arc::ptr_eq(&seen, &site.look(&[file])));
    assert!(Arc::ptr_eq(&seen, &site.look(&[])), "less is shown");
    site.hold(b"more");
    let again = site.look(&[file]);
    assert!(!Arc::ptr_eq(&seen, &again));
    // It rests, whatever happens.
    site.hold(b"and more");
    let now = site.now;
    let resting = site.watch.look(&site.gossip, HashSet::from([file]), now);
    assert!(Arc::ptr_eq(&again, &resting));
    assert!(!Arc::ptr_eq(&again, &site.look(&[file])));
}

#[test]
fn what_is_missing_has_a_name_before_it_is_shown() {
    let mut site = Site::new();
    let missing = ArtifactId::new([7; 32]);
    site.publish(&[("later", missing, 4)]);
    let named = |folders: &Folders| folders.contents.get(&missing).cloned();
    let path = FilePath::new(b"later").expect("a path");
    let expected = Some(Content::File(site.publisher.node_id(), path));
    assert_eq!(named(&site.look(&[])), expected);
    // While it rests as well.
    site.hold(b"something");
    let now = site.now;
    assert_eq!(named(&site.watch.look(&site.gossip, HashSet::from([missing]), now)), expected);
    // Not of more than there may be.
    let paths: Vec<String> = (0..MAX_FORESEEN + 10).map(|number| number.to_string()).collect();
    let id = |number: usize| {
        let mut id = [1; 32];
        id[..8].copy_from_slice(&number.to_be_bytes());
        ArtifactId::new(id)
    };
    let files: Vec<_> =
        paths.iter().enumerate().map(|(number, path)| (path.as_str(), id(number), 1)).collect();
    site.publish(&files);
    assert_eq!(site.look(&[]).contents.len(), MAX_FORESEEN);
}
