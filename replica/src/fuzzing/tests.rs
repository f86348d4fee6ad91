//! Replays the seeds of the fuzz targets, so that what they cover stays covered without a fuzzer.

use std::{collections::BTreeMap, fs, path::Path};

use proptest::prelude::*;

use super::{gossip_with_anybody, read_frames};
use crate::{gossip::GossipSnapshot, transport::frame::FrameError};

fn seeds(target: &str) -> BTreeMap<String, Vec<u8>> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let seed = |entry: fs::DirEntry| {
        (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())
    };
    fs::read_dir(corpus).unwrap().map(|entry| seed(entry.unwrap())).collect()
}

#[test]
fn the_seeds_of_the_frame_reader_are_frames_and_errors_as_their_names_say() {
    for (name, bytes) in seeds("replica_frames") {
        let read = read_frames(&bytes);
        match name.as_str() {
            "three_frames" | "three_frames_byte_by_byte" => assert_eq!(read, Ok(3), "{name}"),
            "one_and_a_half" => assert_eq!(read, Ok(1)),
            "nothing" | "half_a_header" => assert_eq!(read, Ok(0), "{name}"),
            "empty_frame" => assert_eq!(read, Err(FrameError::Empty)),
            "too_long" => assert!(matches!(read, Err(FrameError::TooLong { .. }))),
            other => panic!("{other} is not known: say here what it leads to"),
        }
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
            other => panic!("{other} is not known: say here what it leads to"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_a_stream(bytes: Vec<u8>) {
        let _ = read_frames(&bytes);
    }

    #[test]
    fn any_bytes_are_events(bytes in prop::collection::vec(any::<u8>(), 0..1_000)) {
        gossip_with_anybody(&bytes);
    }
}
