//! Replays the seeds of the fuzz target, so that what they cover stays covered without a fuzzer.

use std::{fs, path::Path};

use proptest::prelude::*;

use super::read_settings;

#[test]
fn the_seeds_are_configurations_and_faults_as_their_names_say() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/replica_settings");
    for entry in fs::read_dir(corpus).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let read = read_settings(&fs::read(entry.path()).unwrap());
        let fault = match name.as_str() {
            "readme" => {
                assert_eq!(read.unwrap().peers.len(), 1);
                continue;
            }
            "help" => {
                assert_eq!(read.unwrap().peers.len(), 2);
                continue;
            }
            "shortest" => {
                assert!(read.unwrap().peers.is_empty());
                continue;
            }
            "nothing" => "replica.toml, line 1: missing field `listen`",
            "no_store" => "lines 1 to 2: missing field `store`",
            "unknown_word" => "line 4: unknown field `stroe`",
            "no_toml" => "line 4: ",
            "no_utf_8" => "line 4: the text is not in UTF-8",
            "chunk_size_too_large" => "line 4: chunk_size is 2097153, not 1024 to 2097152",
            "max_inflight_of_none" => "line 5: max_inflight is 0, not 1 to 1048576",
            "transport_that_drops" => "line 4: Transport flow: it cannot drop messages",
            "http_a_number" => "line 4: http is 4391, not a text; write http = \"127.0.0.1:4180\"",
            "chunk_size_a_text" => "line 4: chunk_size is \"131072\", not 1024 to 2097152",
            "peer_twice" => "line 7: the list of peers names",
            "port_zero" => "line 6: the address of a peer, \"a:0\": nobody listens on port 0",
            "address_twice" => "/folder/p, line 1: ",
            "too_deep" => "replica.toml, lines 1 to 4: ",
            "peers_file_at_fault" => "/folder/p, line 3: key is 1, not a text",
            other => panic!("{other} is not known: say here what it leads to"),
        };
        let error = read.unwrap_err();
        assert!(error.contains(fault), "{name}: {error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_a_configuration_or_a_fault(bytes: Vec<u8>, lines in ".*") {
        let _ = read_settings(&bytes);
        let _ = read_settings(lines.as_bytes());
    }
}
