//! Replays the seeds of the fuzz targets, so that what they cover stays covered without a fuzzer.

use std::{fs, path::Path};

use gossip_engine::wire::{self, DecodeError};

#[expect(clippy::print_stdout, reason = "readers of the log see what was not tested")]
#[test]
fn the_seeds_of_the_decoder_are_messages_and_errors_as_their_names_say() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    if !fuzz.exists() {
        println!("skipped: the crate as it is published has no fuzz targets");
        return;
    }
    let folder = fuzz.join("corpus/wire_decode");
    let (mut messages, mut unknown, mut errors) = (Vec::new(), Vec::new(), Vec::new());
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        match wire::decode(fs::read(entry.path()).unwrap().into()) {
            Ok(_) => messages.push(name),
            Err(DecodeError::Unknown { .. }) => unknown.push(name),
            Err(_) => errors.push(name),
        }
    }
    messages.sort();
    unknown.sort();
    errors.sort();
    let expected = [
        "advert",
        "chunk_data",
        "chunk_error",
        "chunk_request",
        "retransmission_request",
        "unknown_fields",
    ];
    assert_eq!(messages, expected);
    assert_eq!(unknown, ["later_body", "later_chunk_error", "later_chunk_payload"]);
    let expected = [
        "data_and_error",
        "empty",
        "group",
        "length_beyond_the_end",
        "number_for_a_body",
        "repeated_field",
        "too_many_unknown_fields",
        "two_bodies",
    ];
    assert_eq!(errors, expected);
}
