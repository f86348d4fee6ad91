use gossip_engine::wire;
use proptest::prelude::*;

use super::{super::options::MIN_CHUNK_BYTES, *};

fn options() -> GossipOptions {
    GossipOptions::default()
}

fn advert(size: u64, chunk_bytes: u32) -> GossipAdvert {
    let artifact = Artifact { id: ArtifactId::new([1; 32]), size, height: 7 };
    advert_of(artifact, None, &GossipOptions { chunk_bytes, ..options() })
}

#[test]
fn an_advert_says_what_the_sender_holds() {
    let advert = advert(300_000, 128 << 10);
    let claim = Claim::read(&advert, &options()).unwrap();
    assert_eq!((claim.id, claim.size, claim.chunk_bytes), (advert.artifact_id, 300_000, 128 << 10));
    let attributes = Attributes::decode(advert.attributes).unwrap();
    assert_eq!((attributes.height, attributes.chunk_bytes), (7, 128 << 10));
}

#[test]
fn what_cannot_be_is_refused() {
    let max = options().max_artifact_bytes;
    let largest_chunk = wire::MAX_CHUNK_DATA_BYTES as u32;
    for (size, chunk_bytes, expected) in [
        (max, 128 << 10, Ok(())),
        (max + 1, 128 << 10, Err(InvalidAdvert::Size)),
        (u64::MAX, largest_chunk, Err(InvalidAdvert::Size)),
        (1, 0, Err(InvalidAdvert::ChunkBytes)),
        (1, MIN_CHUNK_BYTES - 1, Err(InvalidAdvert::ChunkBytes)),
        (1, MIN_CHUNK_BYTES, Ok(())),
        (1, largest_chunk, Ok(())),
        (1, largest_chunk + 1, Err(InvalidAdvert::ChunkBytes)),
        (1, u32::MAX, Err(InvalidAdvert::ChunkBytes)),
        (MAX_CHUNKS << 10, MIN_CHUNK_BYTES, Ok(())),
        ((MAX_CHUNKS << 10) + 1, MIN_CHUNK_BYTES, Err(InvalidAdvert::Chunks)),
        // Only one artifact is empty.
        (0, MIN_CHUNK_BYTES, Err(InvalidAdvert::Size)),
    ] {
        let read = Claim::read(&advert(size, chunk_bytes), &options()).map(|_| ());
        assert_eq!(read, expected, "{size} bytes in chunks of {chunk_bytes}");
    }
    let empty = Artifact { id: ArtifactId::new(Sha256::digest([]).into()), size: 0, height: 1 };
    let claim = Claim::read(&advert_of(empty, None, &options()), &options()).unwrap();
    assert_eq!(claim.chunk_count(), 0);

    let other_hash =
        GossipAdvert { integrity_hash: IntegrityHash::new([2; 32]), ..advert(1, 1024) };
    assert_eq!(Claim::read(&other_hash, &options()), Err(InvalidAdvert::Id));
    let no_message = GossipAdvert { attributes: Bytes::from_static(b"\xff"), ..advert(1, 1024) };
    assert_eq!(Claim::read(&no_message, &options()), Err(InvalidAdvert::Attributes));
}

#[test]
fn attributes_of_many_fields_are_not_read() {
    let plain = advert(1, 1024);
    // Fields of a later version, of two bytes each.
    let longer = |fields: usize| {
        let attributes = [&plain.attributes[..], &[0x78, 1].repeat(fields)].concat();
        Claim::read(&GossipAdvert { attributes: attributes.into(), ..plain.clone() }, &options())
    };
    let most = (MAX_ATTRIBUTE_BYTES - plain.attributes.len()) / 2;
    assert_eq!(longer(most).map(|claim| claim.size), Ok(1));
    assert_eq!(longer(most + 1), Err(InvalidAdvert::Attributes));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// The chunks lie side by side and are the whole artifact.
    #[test]
    fn chunks_cover_an_artifact(size in 0..10_000_000_u64, chunk_bytes in 1024..2_000_000_u32) {
        let claim = Claim { id: ArtifactId::new([0; 32]), size, chunk_bytes };
        let mut end = 0;
        for number in 0..claim.chunk_count() {
            let (offset, length) = claim.chunk(number).unwrap();
            prop_assert_eq!(offset, end);
            prop_assert!(length > 0 && length <= chunk_bytes as usize);
            end += length as u64;
        }
        prop_assert_eq!(end, size);
        prop_assert_eq!(claim.chunk(claim.chunk_count()), None);
        prop_assert_eq!(claim.chunk(u32::MAX), None);
    }

    /// Nothing that a peer may write does harm.
    #[test]
    fn any_attributes_are_read_or_refused(attributes in proptest::collection::vec(any::<u8>(), 0..64), size: u64) {
        let advert = GossipAdvert { attributes: attributes.into(), ..advert(size, 1024) };
        if let Ok(claim) = Claim::read(&advert, &options()) {
            prop_assert!(u64::from(claim.chunk_count()) <= MAX_CHUNKS);
        }
    }
}

#[test]
fn what_is_lacking_goes_with_a_head_and_earlier_versions_skip_it() {
    let identity = crate::identity::Identity::generate();
    let artifact = Artifact { id: ArtifactId::new([1; 32]), size: u64::MAX, height: u64::MAX };
    let head = Head::sign(&identity, u64::MAX, artifact.id, u64::MAX);
    let options = GossipOptions { chunk_bytes: u32::MAX, ..options() };
    let advert = |missing| catalog_advert_of(artifact, Some(&head), missing, &options);
    for missing in [(0, 0), (12, 345), (u64::MAX, u64::MAX)] {
        let advert = advert(Some(missing));
        assert!(advert.attributes.len() <= 200, "{}", advert.attributes.len());
        assert_eq!(missing_in(&advert), Some(missing));
        assert_eq!(head_bytes(&advert), Some(head.encode()));
    }
    // So that one may take the place of another while they wait.
    assert_eq!(advert(Some((0, 0))).attributes.len(), advert(Some((9, u64::MAX))).attributes.len());
    assert_eq!(missing_in(&advert(None)), None);
    assert_eq!(missing_in(&super::advert_of(artifact, None, &options)), None);

    /// As an earlier version reads them.
    #[derive(Clone, PartialEq, prost::Message)]
    struct Earlier {
        #[prost(uint64, tag = "1")]
        height: u64,
        #[prost(uint32, tag = "2")]
        chunk_bytes: u32,
        #[prost(bytes = "vec", tag = "3")]
        head: Vec<u8>,
    }
    let earlier = Earlier::decode(advert(Some((1, 2))).attributes).unwrap();
    assert_eq!((earlier.chunk_bytes, earlier.head), (u32::MAX, head.encode()));
    // A part alone says nothing.
    let attributes = Attributes {
        height: 1,
        chunk_bytes: 1024,
        head: head.encode(),
        missing: Some(Missing { files: Some(1), bytes: None }),
    };
    let attributes = attributes.encode_to_vec().into();
    assert_eq!(missing_in(&GossipAdvert { attributes, ..advert(None) }), None);
}
