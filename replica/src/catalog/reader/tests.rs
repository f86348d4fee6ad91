use std::{collections::BTreeSet, path::PathBuf};

use gossip_engine::ArtifactId;
use sha2::{Digest as _, Sha256};

use super::*;
use crate::{
    catalog::{Catalogs, FileEntry, FilePath, Head},
    identity::Identity,
};

struct Folder {
    folder: tempfile::TempDir,
    catalogs: Catalogs,
}

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let catalogs = Catalogs::open(&folder.path().join(CATALOGS_FOLDER)).expect("opened");
        Self { folder, catalogs }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A publisher has a file of this name.
    fn publish(&self, identity: &Identity, sequence: u64, name: &str) -> PathBuf {
        let path = FilePath::new(name.as_bytes()).expect("a path");
        let entry =
            FileEntry { id: ArtifactId::new([1; 32]), size: 1, mode: 0o644, modified_ns: 0 };
        let catalog = Catalog::new([(path, entry)]).expect("a catalog");
        let bytes = catalog.encode_of(identity.node_id());
        let id = ArtifactId::new(Sha256::digest(&bytes).into());
        let artifact = self.path().join(format!("{id:x}"));
        fs::write(&artifact, &bytes).expect("written");
        let head = Head::sign(identity, sequence, id, bytes.len() as u64);
        self.catalogs.set_members(BTreeSet::from([identity.node_id()]), &|_| None);
        self.catalogs.publish(head, Arc::new(catalog), &|_| None);
        artifact
    }

    fn fault(&self, identity: &Identity) -> String {
        read_catalog(self.path(), identity.node_id()).expect_err("it is at fault").to_string()
    }
}

#[test]
fn what_a_replica_has_written_is_read_beside_it() {
    let folder = Folder::new();
    assert_eq!(publishers(folder.path()).expect("read"), []);
    let (one, two) = (Identity::generate(), Identity::generate());
    folder.publish(&one, 1, "one");
    folder.publish(&two, 1, "two");
    folder.publish(&one, 2, "newer");
    let mut ids = [one.node_id(), two.node_id()];
    ids.sort_unstable();
    assert_eq!(publishers(folder.path()).expect("read"), ids);
    let current = read_catalog(folder.path(), one.node_id()).expect("read");
    assert_eq!(current.head.sequence(), 2);
    assert_eq!(current.catalog.files().next().expect("a file").0.to_string(), "newer");
    assert!(publishers(&folder.path().join("nowhere")).is_err());
}

#[test]
fn what_is_wrong_with_one_is_said_and_harms_no_other() {
    let folder = Folder::new();
    let all: Vec<Identity> = (0..5).map(|_| Identity::generate()).collect();
    let paths: Vec<PathBuf> = all
        .iter()
        .enumerate()
        .map(|(number, identity)| folder.publish(identity, 1, &format!("file {number}")))
        .collect();
    let head = |number: usize| {
        folder.path().join(CATALOGS_FOLDER).join(format!("{:x}", all[number].node_id()))
    };
    fs::remove_file(&paths[0]).expect("removed");
    let mut content = fs::read(&paths[1]).expect("read");
    *content.last_mut().expect("a byte") ^= 1;
    fs::write(&paths[1], content).expect("written");
    let mut forged = fs::read(head(2)).expect("read");
    *forged.last_mut().expect("a byte") ^= 1;
    fs::write(head(2), forged).expect("written");
    fs::copy(head(4), head(3)).expect("copied");

    assert!(folder.fault(&all[0]).contains("is not here"), "{}", folder.fault(&all[0]));
    assert!(folder.fault(&all[1]).contains("is damaged"), "{}", folder.fault(&all[1]));
    assert!(folder.fault(&all[2]).contains("is not signed"), "{}", folder.fault(&all[2]));
    assert!(folder.fault(&all[3]).contains("another publisher"), "{}", folder.fault(&all[3]));
    assert!(read_catalog(folder.path(), all[4].node_id()).is_ok());
    assert_eq!(publishers(folder.path()).expect("read").len(), 5);
}

#[test]
fn what_is_no_catalog_is_said() {
    let folder = Folder::new();
    let identity = Identity::generate();
    folder.publish(&identity, 1, "file");
    let bytes = b"not a catalog";
    let id = ArtifactId::new(Sha256::digest(bytes).into());
    fs::write(folder.path().join(format!("{id:x}")), bytes).expect("written");
    let head = Head::sign(&identity, 2, id, bytes.len() as u64);
    let path = folder.path().join(CATALOGS_FOLDER).join(format!("{:x}", identity.node_id()));
    fs::write(&path, head.encode()).expect("written");
    assert!(folder.fault(&identity).contains("does not begin as a catalog"));
    let head = Head::sign(&identity, 3, id, MAX_CATALOG_BYTES + 1);
    fs::write(path, head.encode()).expect("written");
    assert!(folder.fault(&identity).contains("more than"));
}
