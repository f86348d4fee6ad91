//! A head is signed, or it is none.

use gossip_engine::ArtifactId;
use prost::Message as _;

use super::{Head, HeadError, MAX_HEAD_BYTES, Wire};
use crate::identity::Identity;

fn id(number: u8) -> ArtifactId {
    ArtifactId::new([number; 32])
}

#[test]
fn what_is_signed_is_read() {
    let identity = Identity::generate();
    let head = Head::sign(&identity, u64::MAX, id(1), u64::MAX);
    let bytes = head.encode();
    assert!(bytes.len() <= MAX_HEAD_BYTES, "{}", bytes.len());
    assert_eq!(Head::decode(&bytes), Ok(head));
    assert_eq!(head.publisher(), identity.node_id());
    assert_eq!((head.sequence(), head.catalog(), head.size()), (u64::MAX, id(1), u64::MAX));
}

#[test]
fn each_field_is_signed() {
    let [identity, other] = [Identity::generate(), Identity::generate()];
    let good =
        Wire::decode(&Head::sign(&identity, 7, id(1), 9).encode()[..]).expect("its own bytes");
    let check = |wire: Wire| Head::decode(&wire.encode_to_vec());
    assert!(check(good.clone()).is_ok());
    for forged in [
        Wire { sequence: 8, ..good.clone() },
        Wire { size: 10, ..good.clone() },
        Wire { catalog: vec![2; 32], ..good.clone() },
        Wire { publisher: other.node_id().as_bytes().to_vec(), ..good.clone() },
        Wire { signature: vec![0; 64], ..good.clone() },
    ] {
        assert_eq!(check(forged), Err(HeadError::Forged));
    }
    for unreadable in [
        Wire { publisher: vec![1; 31], ..good.clone() },
        Wire { catalog: Vec::new(), ..good.clone() },
        Wire { signature: vec![0; 65], ..good.clone() },
    ] {
        assert_eq!(check(unreadable), Err(HeadError::Unreadable));
    }
    let mut long = good.encode_to_vec();
    long.resize(MAX_HEAD_BYTES + 1, 0);
    assert_eq!(Head::decode(&long), Err(HeadError::Unreadable));
}

#[test]
fn the_larger_number_counts_and_then_the_larger_id() {
    let identity = Identity::generate();
    let head = |sequence, catalog| Head::sign(&identity, sequence, id(catalog), 1);
    assert!(head(2, 1).supersedes(&head(1, 2)));
    assert!(head(1, 2).supersedes(&head(1, 1)));
    assert!(!head(1, 1).supersedes(&head(1, 1)));
    assert!(!head(1, 1).supersedes(&head(1, 2)));
}
