use std::path::Path;

use proptest::prelude::*;

use super::*;

fn messages() -> impl Strategy<Value = GossipMessage> {
    let artifact = || any::<[u8; 32]>().prop_map(ArtifactId::new);
    let hash = || any::<[u8; 32]>().prop_map(IntegrityHash::new);
    let bytes = || proptest::collection::vec(any::<u8>(), 0..300).prop_map(Bytes::from);
    prop_oneof![
        (artifact(), any::<u64>(), hash(), bytes()).prop_map(
            |(artifact_id, size, integrity_hash, attributes)| {
                GossipMessage::Advert(GossipAdvert {
                    artifact_id,
                    size,
                    integrity_hash,
                    attributes,
                })
            }
        ),
        (artifact(), hash(), any::<u32>()).prop_map(
            |(artifact_id, integrity_hash, chunk_number)| {
                GossipMessage::ChunkRequest(GossipChunkRequest {
                    artifact_id,
                    integrity_hash,
                    chunk_number,
                })
            }
        ),
        (
            artifact(),
            hash(),
            any::<u32>(),
            prop_oneof![
                bytes().prop_map(Ok),
                Just(Err(ChunkError::NotFound)),
                Just(Err(ChunkError::Unavailable)),
            ]
        )
            .prop_map(|(artifact_id, integrity_hash, chunk_number, payload)| {
                GossipMessage::Chunk(GossipChunk {
                    artifact_id,
                    integrity_hash,
                    chunk_number,
                    payload,
                })
            }),
        any::<u64>()
            .prop_map(|height| GossipMessage::RetransmissionRequest(ArtifactFilter { height })),
    ]
}

fn chunk(data: Bytes) -> GossipMessage {
    GossipMessage::Chunk(GossipChunk {
        artifact_id: ArtifactId::new([1; 32]),
        integrity_hash: IntegrityHash::new([2; 32]),
        chunk_number: 3,
        payload: Ok(data),
    })
}

/// A field of the envelope: key, length, body.
fn delimited(number: u8, body: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    prost::encode_length_delimiter(body.len(), &mut field).unwrap();
    field.extend_from_slice(body);
    field
}

fn decode_bytes(bytes: impl Into<Vec<u8>>) -> Result<GossipMessage, DecodeError> {
    decode(Bytes::from(bytes.into()))
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(message in messages()) {
        let payload = encode(&message);
        prop_assert_eq!(flow_of(&payload), Ok(message.flow()));
        prop_assert_eq!(decode(payload), Ok(message));
    }

    #[test]
    fn a_message_cut_short_is_an_error(message in messages(), cut in any::<prop::sample::Index>()) {
        let payload = encode(&message);
        let length = cut.index(payload.len());
        prop_assert!(decode(payload.slice(..length)).is_err());
    }

    #[test]
    fn any_bytes_are_a_message_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let payload = Bytes::from(bytes);
        if let Ok(message) = decode(payload.clone()) {
            prop_assert_eq!(flow_of(&payload), Ok(message.flow()));
            prop_assert_eq!(decode(encode(&message)), Ok(message));
        }
    }
}

#[test]
fn decoded_data_is_a_slice_of_the_payload() {
    let payload = encode(&chunk(Bytes::from(vec![7; 1 << 20])));
    let within = payload.as_ptr_range();
    let Ok(GossipMessage::Chunk(GossipChunk { payload: Ok(data), .. })) = decode(payload.clone())
    else {
        panic!("the chunk decodes");
    };
    assert_eq!(data.len(), 1 << 20);
    assert!(within.contains(&data.as_ptr()));
}

#[test]
fn the_largest_chunk_is_a_message_and_one_byte_more_is_not() {
    assert!(decode(encode(&chunk(Bytes::from(vec![0; MAX_CHUNK_DATA_BYTES])))).is_ok());
    let largest = encode(&chunk(Bytes::from(vec![0; MAX_CHUNK_DATA_BYTES])));
    assert!(largest.len() <= max_payload_bytes(FlowType::Chunk));
    assert_eq!(
        decode(encode(&chunk(Bytes::from(vec![0; MAX_CHUNK_DATA_BYTES + 1])))),
        Err(DecodeError::Field {
            flow: FlowType::Chunk,
            field: "data",
            reason: FieldError::TooLong {
                found: MAX_CHUNK_DATA_BYTES + 1,
                limit: MAX_CHUNK_DATA_BYTES
            },
        })
    );
}

#[test]
fn each_type_has_a_limit_that_is_checked_before_its_body_is_read() {
    for (number, flow) in [
        (1, FlowType::Advert),
        (2, FlowType::Request),
        (3, FlowType::Chunk),
        (4, FlowType::Retransmission),
    ] {
        let limit = max_payload_bytes(flow) - MAX_ENVELOPE_BYTES;
        // 0xff is no protobuf: whoever reads the body first answers with another error.
        assert_eq!(
            decode_bytes(delimited(number, &vec![0xff; limit + 1])),
            Err(DecodeError::TooLarge { flow, length: limit + 1, limit }),
        );
    }
}

#[test]
fn a_length_beyond_the_payload_is_an_error() {
    // Field 3, a length of 2^32 - 1, no body.
    assert_eq!(
        decode_bytes([0x1a, 0xff, 0xff, 0xff, 0xff, 0x0f]),
        Err(DecodeError::Envelope { at: 6, reason: "a field beyond the end" }),
    );
    // The largest length that a varint can say.
    assert!(matches!(
        decode_bytes([0x1a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
        Err(DecodeError::Envelope { .. }),
    ));
}

#[test]
fn no_body_and_two_bodies_are_errors() {
    assert_eq!(decode_bytes([]), Err(DecodeError::MissingBody { length: 0 }));
    let unknown = delimited(9, b"a later version's");
    assert_eq!(
        decode_bytes(unknown.clone()),
        Err(DecodeError::MissingBody { length: unknown.len() })
    );
    let twice = [delimited(4, &[]), delimited(4, &[])].concat();
    assert_eq!(decode_bytes(twice), Err(DecodeError::SecondBody { at: 2 }));
}

#[test]
fn unknown_fields_are_skipped_up_to_a_limit() {
    let body = delimited(4, &[0x08, 7, 0x50, 1]);
    let before = [0x48, 1];
    let wide = [[0x51].as_slice(), &[0; 8], &[0x55], &[0; 4]].concat();
    let message = [&before, body.as_slice(), &wide].concat();
    assert_eq!(
        decode_bytes(message),
        Ok(GossipMessage::RetransmissionRequest(ArtifactFilter { height: 7 })),
    );
    let padding = delimited(9, &[0; MAX_ENVELOPE_BYTES]);
    assert!(matches!(
        decode_bytes([body, padding].concat()),
        Err(DecodeError::EnvelopeTooLarge { .. }),
    ));
}

#[test]
fn a_wrong_envelope_is_told_with_its_place() {
    for (bytes, at) in [
        (vec![0x00], 0),       // field number 0
        (vec![0x0b], 0),       // a group
        (vec![0x08, 0x01], 0), // a body that is a number
        (vec![0x48, 0xff], 1), // a varint that does not end
    ] {
        match decode_bytes(bytes.clone()) {
            Err(DecodeError::Envelope { at: found, .. }) => assert_eq!(found, at, "{bytes:02x?}"),
            other => panic!("{bytes:02x?} is {other:?}"),
        }
    }
}

#[test]
fn wrong_fields_are_named() {
    let request = |field: &str, bytes: &[u8]| {
        let number = if field == "artifact_id" { 1 } else { 2 };
        let other = delimited(3 - number, &[0; 32]);
        decode_bytes(delimited(2, &[delimited(number, bytes), other].concat()))
    };
    for field in ["artifact_id", "integrity_hash"] {
        for found in [0, 31, 33] {
            assert_eq!(
                request(field, &vec![0; found]),
                Err(DecodeError::Field {
                    flow: FlowType::Request,
                    field,
                    reason: FieldError::Length { found, expected: 32 },
                }),
            );
        }
    }
    let ids = [delimited(1, &[0; 32]), delimited(2, &[0; 32])].concat();
    for (payload, field) in
        [(vec![], "payload"), (vec![0x28, 0], "error"), (vec![0x28, 9], "error")]
    {
        assert_eq!(
            decode_bytes(delimited(3, &[ids.clone(), payload].concat())),
            Err(DecodeError::Field { flow: FlowType::Chunk, field, reason: FieldError::Unknown }),
        );
    }
    assert_eq!(
        decode_bytes(delimited(4, &[0xff])).unwrap_err().to_string(),
        "malformed Retransmission body: failed to decode Protobuf message: invalid varint",
    );
}

/// `GOSSIP_REGENERATE=1 cargo test` writes `schema.rs` anew from `schema.proto`.
#[test]
fn the_rust_types_are_those_of_the_schema() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/wire");
    let descriptors = protox::compile(["schema.proto"], [&folder]).unwrap();
    let out = tempfile::tempdir().unwrap();
    prost_build::Config::new().bytes(["."]).out_dir(out.path()).compile_fds(descriptors).unwrap();
    let generated = std::fs::read_to_string(out.path().join("gossip.v1.rs")).unwrap();
    let committed = folder.join("schema.rs");
    if std::env::var_os("GOSSIP_REGENERATE").is_some() {
        std::fs::write(&committed, &generated).unwrap();
    }
    let head = "regenerate with GOSSIP_REGENERATE=1 cargo test";
    assert!(std::fs::read_to_string(&committed).unwrap() == generated, "schema.rs differs: {head}");
}
