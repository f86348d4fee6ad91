//! Replays the seeds of the fuzz targets, so that what they cover stays covered without a fuzzer.

use std::{collections::BTreeMap, fs, path::Path};

use proptest::prelude::*;

use super::{Stream, gossip_with_anybody, read_stream};
use crate::{gossip::GossipSnapshot, transport::frame::FrameError};

fn seeds(target: &str) -> BTreeMap<String, Vec<u8>> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let seed = |entry: fs::DirEntry| {
        (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())
    };
    fs::read_dir(corpus).unwrap().map(|entry| seed(entry.unwrap())).collect()
}

#[test]
fn the_seeds_of_the_stream_readers_are_what_their_names_say() {
    for (name, bytes) in seeds("replica_frames") {
        let read = read_stream(&bytes);
        let expected = match name.as_str() {
            "three_frames" | "three_frames_byte_by_byte" => Stream::Frames(3),
            "one_and_a_half" => Stream::Frames(1),
            "half_a_header" => Stream::Frames(0),
            "empty_frame" => Stream::Refused(FrameError::Empty),
            "too_long" => {
                assert!(matches!(read, Stream::Refused(FrameError::TooLong { .. })), "{read:?}");
                continue;
            }
            "hello" | "hello_byte_by_byte" => Stream::Hello(Some(1)),
            "hello_of_a_later_version" => Stream::Hello(Some(3)),
            "half_a_hello" | "nothing" => Stream::Hello(None),
            "short_hello" | "long_hello" => Stream::NoHello,
            "unknown_tag" => Stream::Unknown,
            other => panic!("{other} is not known: say here what it leads to"),
        };
        assert_eq!(read, expected, "{name}");
    }
}

#[test]
fn the_seeds_of_the_protocol_lead_where_their_names_say() {
    for (name, bytes) in seeds("replica_gossip") {
        let GossipSnapshot { artifacts, fetched, served, .. } = gossip_with_anybody(&bytes);
        match name.as_str() {
            "fetched" => assert_eq!((artifacts, fetched.artifacts), (1, 1)),
            "served" => assert_eq!((artifacts, served.chunks, served.chunk_errors), (1, 2, 1)),
            "wrong_bytes" => assert_eq!((artifacts, fetched.hash_mismatches), (0, 1)),
            "liar_among_two" => assert!(artifacts == 1 && fetched.hash_mismatches == 1),
            "silent" => assert!(artifacts == 0 && fetched.chunks_timed_out > 0),
            "too_many_adverts" => assert!(fetched.adverts_refused > 0),
            "disk_out_of_order" => assert!(artifacts == 0 && fetched.disk_errors > 0),
            "no_capacity_to_announce" => assert_eq!((artifacts, served.adverts), (3, 3)),
            "damaged" => assert_eq!((artifacts, served.chunk_errors), (0, 1)),
            "no_space" => assert_eq!((fetched.no_space, fetched.chunks_requested), (1, 0)),
            "space_again" => assert_eq!((fetched.no_space, fetched.artifacts), (1, 1)),
            "removed_on_its_way" => assert_eq!((artifacts, fetched.disk_errors), (0, 1)),
            "spoilt_on_its_way" => assert_eq!((artifacts, fetched.hash_mismatches), (0, 1)),
            "lost" => assert_eq!((artifacts, fetched.retransmissions_asked), (0, 2)),
            "folder_removed" => assert_eq!(artifacts, 0),
            "late_and_twice" => {
                assert_eq!((fetched.artifacts, fetched.chunks_received), (1, 3));
                assert_eq!((fetched.chunks_duplicate, fetched.bytes_duplicate), (2, 0));
            }
            // What a fuzzer has found to lead elsewhere than the others, and only has to fit together.
            found if found.starts_with("found_") => {}
            "late_and_damaged" => assert_eq!((artifacts, fetched.hash_mismatches), (0, 1)),
            other => panic!("{other} is not known: say here what it leads to"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_a_stream(bytes: Vec<u8>) {
        read_stream(&bytes);
    }

    #[test]
    fn any_bytes_are_events(bytes in prop::collection::vec(any::<u8>(), 0..1_000)) {
        gossip_with_anybody(&bytes);
    }
}
