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

/// A field as the schema has it or not.
fn any_field() -> impl Strategy<Value = Vec<u8>> {
    let number = prop_oneof![
        any::<u64>().prop_map(varint),
        (0_u64..4).prop_map(varint),
        proptest::collection::vec(any::<u8>(), 0..12),
    ];
    let bytes = prop_oneof![Just(vec![7; 32]), proptest::collection::vec(any::<u8>(), 0..5)];
    prop_oneof![
        (1_u8..7, bytes).prop_map(|(field, bytes)| delimited(field, &bytes)),
        (1_u8..7, number).prop_map(|(field, number)| [vec![field << 3], number].concat()),
        (1_u8..7).prop_map(|field| [vec![(field << 3) | 5], vec![0; 4]].concat()),
    ]
}

/// Some fields of a body and some others, in any order.
fn payloads() -> impl Strategy<Value = Bytes> {
    let fields = |kind: usize| {
        let (number, _, fields) = bodies().swap_remove(kind);
        let count = fields.len();
        let fields: Vec<_> = fields.into_iter().map(|(_, field)| field).collect();
        let some = proptest::sample::subsequence(fields, count.saturating_sub(1)..=count);
        (Just(number), some, proptest::collection::vec(any_field(), 0..3))
    };
    (0_usize..4)
        .prop_flat_map(fields)
        .prop_flat_map(|(number, some, others)| {
            (Just(number), Just([some, others].concat()).prop_shuffle())
        })
        .prop_map(|(number, fields)| delimited(number, &fields.concat()).into())
}

fn varint(value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    prost::encoding::encode_varint(value, &mut bytes);
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn what_is_decoded_is_what_prost_decodes(payload in payloads()) {
        if let Ok(message) = decode(payload.clone()) {
            let by_prost = schema::GossipMessage::decode(payload).unwrap();
            let again = schema::GossipMessage::decode(encode(&message)).unwrap();
            prop_assert_eq!(by_prost, again);
        }
    }
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
    assert_eq!(decode_bytes([0x48, 1]), Err(DecodeError::MissingBody { length: 2 }));
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
    for (payload, field) in [(vec![], "payload"), (vec![0x28, 0], "error")] {
        assert_eq!(
            decode_bytes(delimited(3, &[ids.clone(), payload].concat())),
            Err(DecodeError::Field { flow: FlowType::Chunk, field, reason: FieldError::Missing }),
        );
    }
    // The smallest number that is no `uint32`.
    let too_large = [ids.as_slice(), &[0x18, 0x80, 0x80, 0x80, 0x80, 0x10]].concat();
    let limit = u64::from(u32::MAX);
    assert_eq!(
        decode_bytes(delimited(2, &too_large)),
        Err(DecodeError::Field {
            flow: FlowType::Request,
            field: "chunk_number",
            reason: FieldError::OutOfRange { found: limit + 1, limit },
        }),
    );
}

#[test]
fn a_wrong_body_is_told_with_its_place() {
    for (body, at) in [
        (vec![0xff], 2),                                    // a key that does not end
        ([vec![0x08], vec![0xff; 9], vec![2]].concat(), 3), // a number of 65 bits
        (vec![0x50, 1, 0x0a, 1, 0], 4),                     // bytes where a number has to be
        (vec![0x50, 1, 0x0b, 0x0c], 4),                     // a group
        (vec![0x52, 9], 4),                                 // a field beyond the end of the body
    ] {
        // What follows the body must not be taken for a part of it.
        match decode_bytes([delimited(4, &body), vec![0x48, 1]].concat()) {
            Err(DecodeError::Body { flow: FlowType::Retransmission, at: found, .. }) => {
                assert_eq!(found, at, "{body:02x?}");
            }
            other => panic!("{body:02x?} is {other:?}"),
        }
    }
    assert_eq!(
        decode_bytes(delimited(4, &[0xff])).unwrap_err().to_string(),
        "malformed Retransmission body at byte 2: a field key that is no varint",
    );
}

type NamedFields = Vec<(&'static str, Vec<u8>)>;

/// Each field of a body as it may stand there once.
fn bodies() -> Vec<(u8, FlowType, NamedFields)> {
    let id = |number| delimited(number, &[7; 32]);
    vec![
        (
            1,
            FlowType::Advert,
            vec![
                ("artifact_id", id(1)),
                ("size", vec![0x10, 5]),
                ("integrity_hash", id(3)),
                ("attributes", delimited(4, b"two")),
            ],
        ),
        (
            2,
            FlowType::Request,
            vec![
                ("artifact_id", id(1)),
                ("integrity_hash", id(2)),
                ("chunk_number", vec![0x18, 5]),
            ],
        ),
        (
            3,
            FlowType::Chunk,
            vec![
                ("artifact_id", id(1)),
                ("integrity_hash", id(2)),
                ("chunk_number", vec![0x18, 5]),
                ("data", delimited(4, b"data")),
            ],
        ),
        (4, FlowType::Retransmission, vec![("height", vec![0x08, 5])]),
    ]
}

#[test]
fn a_field_that_occurs_again_is_an_error() {
    for (number, flow, fields) in bodies() {
        let body: Vec<u8> = fields.iter().flat_map(|(_, bytes)| bytes).copied().collect();
        assert_eq!(decode_bytes(delimited(number, &body)).map(|message| message.flow()), Ok(flow));
        for (field, again) in fields {
            let twice = [body.as_slice(), &again].concat();
            let payload = delimited(number, &twice);
            let at = payload.len() - again.len();
            assert_eq!(
                decode_bytes(payload),
                Err(DecodeError::RepeatedField { flow, field, at }),
                "{flow} {field}"
            );
        }
    }
}

#[test]
fn a_chunk_with_data_and_an_error_is_an_error() {
    let (number, flow, fields) = bodies().swap_remove(2);
    let chunk: Vec<u8> = fields.into_iter().flat_map(|(_, bytes)| bytes).collect();
    let error = vec![0x28, 1];
    for body in [[chunk.clone(), error.clone()].concat(), [error, chunk].concat()] {
        let payload = delimited(number, &body);
        match decode_bytes(payload.clone()) {
            Err(DecodeError::RepeatedField { flow: found, field: "payload", at }) => {
                assert_eq!(found, flow);
                assert!(at > 2 && at < payload.len(), "{at}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn of_a_flood_of_fields_the_second_is_the_last_that_is_read() {
    // 700 000 times the data of a chunk, each time empty, and then no protobuf at all.
    let flood = [[0x22, 0].repeat(700_000), vec![0xff]].concat();
    let payload = delimited(3, &flood);
    let begin = payload.len() - flood.len();
    assert_eq!(
        decode_bytes(payload),
        Err(DecodeError::RepeatedField { flow: FlowType::Chunk, field: "data", at: begin + 2 }),
    );
    // A second body ends the envelope.
    let flood = [[0x22, 0].repeat(700_000), vec![0xff]].concat();
    assert_eq!(decode_bytes(flood), Err(DecodeError::SecondBody { at: 2 }));
}

#[test]
fn of_a_flood_of_unknown_fields_no_more_are_read_than_the_limit() {
    let flood = [[0x48, 1].repeat(700_000), vec![0xff]].concat();
    let payload = delimited(3, &flood);
    let begin = payload.len() - flood.len();
    let at = |begin| DecodeError::TooManyUnknownFields { at: begin + 2 * MAX_UNKNOWN_FIELDS };
    assert_eq!(decode_bytes(payload), Err(at(begin)));
    assert_eq!(flow_of(&Bytes::from(flood.clone())), Err(at(0)));
    assert_eq!(decode_bytes(flood), Err(at(0)));
    // The limit itself is no error, in the body and around it.
    let most = [0x48, 1].repeat(MAX_UNKNOWN_FIELDS);
    assert!(decode_bytes(delimited(4, &most)).is_ok());
    assert_eq!(
        decode_bytes([&most, delimited(9, &[]).as_slice()].concat()),
        Err(DecodeError::TooManyUnknownFields { at: most.len() }),
    );
}

#[test]
fn what_a_later_version_says_is_unknown_and_not_malformed() {
    let unknown = |field, number| Err(DecodeError::Unknown { field, number });
    let body = delimited(9, &[0xff; 5000]);
    assert_eq!(decode_bytes(body.clone()), unknown("body", 9));
    assert_eq!(
        flow_of(&Bytes::from(body.clone())),
        Err(DecodeError::Unknown { field: "body", number: 9 })
    );
    let ids = [delimited(1, &[0; 32]), delimited(2, &[0; 32])].concat();
    let chunk = |payload: &[u8]| decode_bytes(delimited(3, &[&ids, payload].concat()));
    assert_eq!(chunk(&[0x28, 3]), unknown("error", 3));
    assert_eq!(chunk(&delimited(6, b"elsewhere")), unknown("payload", 6));
    // What is known decides.
    assert!(chunk(&[[0x28, 1].as_slice(), &delimited(6, b"elsewhere")].concat()).is_ok());
    assert!(decode_bytes([delimited(4, &[]), delimited(9, &[])].concat()).is_ok());
    // What is malformed is malformed in all versions.
    assert!(matches!(decode_bytes(&body[..50]), Err(DecodeError::Envelope { .. })));
    assert!(matches!(decode_bytes([body, vec![0xff]].concat()), Err(DecodeError::Envelope { .. })));
    assert_eq!(unknown("body", 9).unwrap_err().to_string(), "unknown body 9, of a later version");
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
