//! A catalog against what it was made of, and against what is none.

use std::collections::BTreeMap;

use gossip_engine::{ArtifactId, NodeId};
use proptest::prelude::*;
use prost::Message as _;

use super::{
    CATALOG_MAGIC, Catalog, CatalogError, FileEntry, FilePath, MAGIC, MAX_CATALOG_BYTES, PathError,
    Wire,
};

fn path(text: &str) -> FilePath {
    FilePath::new(text.as_bytes()).expect("a path")
}

fn entry(number: u8) -> FileEntry {
    let id = ArtifactId::new([number; 32]);
    FileEntry { id, size: u64::from(number) << 30, mode: 0o640, modified_ns: -1 }
}

fn wire(path: &[u8]) -> Wire {
    Wire { path: path.to_vec(), id: vec![1; 32], size: 1, mode: 0o644, modified_ns: 1 }
}

fn bytes_of(files: &[Wire]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    for file in files {
        file.encode_length_delimited(&mut bytes).expect("a vector grows");
    }
    bytes
}

#[test]
fn what_is_written_is_read() {
    let files = [(path("b/c"), entry(3)), (path("a"), entry(1)), (path("b/a"), entry(2))];
    let catalog = Catalog::new(files.clone()).expect("a catalog");
    let read = Catalog::decode(&catalog.encode()).expect("its own bytes");
    assert_eq!(read, catalog);
    let paths: Vec<String> = read.files().map(|(path, _)| path.to_string()).collect();
    assert_eq!(paths, ["a", "b/a", "b/c"]);
    assert!(files.iter().all(|(path, entry)| read.get(path) == Some(entry)));
    assert_eq!(read.get(&path("b")), None);
    assert_eq!(Catalog::decode(MAGIC), Ok(Catalog::default()));
    let publisher = NodeId::new([7; 32]);
    let published = catalog.encode_of(publisher);
    assert_eq!(Catalog::decode_of(&published), Ok((publisher, catalog.clone())));
    assert_ne!(published, catalog.encode_of(NodeId::new([8; 32])));
    assert_eq!(Catalog::decode_of(&catalog.encode()), Err(CatalogError::Format));
    assert_eq!(Catalog::decode_of(CATALOG_MAGIC), Err(CatalogError::Format));
}

#[test]
fn what_is_no_catalog_is_refused_with_its_place() {
    let good = bytes_of(&[wire(b"a")]);
    assert!(Catalog::decode(&good).is_ok());
    assert_eq!(Catalog::decode(b""), Err(CatalogError::Format));
    assert_eq!(Catalog::decode(b"gossip-files/2\n"), Err(CatalogError::Format));
    assert_eq!(Catalog::decode(&good[..good.len() - 1]), Err(CatalogError::Entry(0)));
    let short_id = Wire { id: vec![1; 31], ..wire(b"b") };
    assert_eq!(Catalog::decode(&bytes_of(&[wire(b"a"), short_id])), Err(CatalogError::Entry(1)));
    let escape = bytes_of(&[wire(b"a"), wire(b"a/../../b")]);
    let error = CatalogError::Path { number: 1, error: PathError::NotAName };
    assert_eq!(Catalog::decode(&escape), Err(error));
    // The shortest entries that there are take no memory.
    let mut empty = MAGIC.to_vec();
    empty.resize(MAX_CATALOG_BYTES as usize, 0);
    assert_eq!(Catalog::decode(&empty), Err(CatalogError::Entry(0)));
    empty.push(0);
    assert_eq!(Catalog::decode(&empty), Err(CatalogError::TooLarge));
}

#[test]
fn each_path_comes_once_and_in_order() {
    for (first, second) in [("b", "a"), ("a", "a")] {
        let bytes = bytes_of(&[wire(first.as_bytes()), wire(second.as_bytes())]);
        assert_eq!(Catalog::decode(&bytes), Err(CatalogError::Order(path(second))));
    }
    let twice = [(path("a"), entry(1)), (path("a"), entry(2))];
    assert_eq!(Catalog::new(twice), Err(CatalogError::Order(path("a"))));
}

#[test]
fn no_path_is_a_file_and_a_folder() {
    for others in [&["a/b"][..], &["a-b", "a/b"], &["a", "a-", "a-b/c", "a/b/c/d"]] {
        let paths = others.iter().copied().chain(["a"]).collect::<std::collections::BTreeSet<_>>();
        let files = paths.into_iter().map(|text| (path(text), entry(1)));
        assert_eq!(Catalog::new(files), Err(CatalogError::FileAndFolder(path("a"))), "{others:?}");
    }
    assert!(
        Catalog::new([(path("a-b"), entry(1)), (path("a/b"), entry(1)), (path("ab"), entry(1))])
            .is_ok()
    );
}

#[test]
fn a_mode_has_nine_bits() {
    let bytes = bytes_of(&[Wire { mode: 0o106_755, ..wire(b"a") }]);
    let read = Catalog::decode(&bytes).expect("a catalog");
    assert_eq!(read.get(&path("a")).expect("listed").mode, 0o755);
}

fn paths() -> impl Strategy<Value = BTreeMap<String, u8>> {
    let name = prop_oneof![Just("a"), Just("b"), Just("a-"), Just("a0")];
    let path = proptest::collection::vec(name, 1..4).prop_map(|names| names.join("/"));
    proptest::collection::btree_map(path, any::<u8>(), 0..6)
}

proptest! {
    #[test]
    fn a_folder_and_a_file_are_seen_in_any_mixture(files in paths()) {
        let both = files.keys().any(|file| files.keys().any(|other| other.starts_with(&format!("{file}/"))));
        let catalog = Catalog::new(files.iter().map(|(text, number)| (path(text), entry(*number))));
        prop_assert_eq!(catalog.is_err(), both);
        if let Ok(catalog) = catalog {
            prop_assert_eq!(Catalog::decode(&catalog.encode()), Ok(catalog.clone()));
            prop_assert_eq!(catalog.len(), files.len());
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let bytes = [MAGIC, &bytes].concat();
        if let Ok(catalog) = Catalog::decode(&bytes) {
            prop_assert_eq!(Catalog::decode(&catalog.encode()), Ok(catalog));
        }
    }
}
