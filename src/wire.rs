//! The built-in messages as bytes: protobuf, by the schema in `src/wire/schema.proto`.
//!
//! A payload is one `GossipMessage` with exactly one body. Everything in it may be written by a
//! malicious peer. So [`decode`] checks the limit of the message's type before it reads the body. It stops at the
//! second occurrence of a field and at the limit of unknown fields, so the work for a payload is bounded whatever its
//! length. It copies no chunk: the decoded bytes share the payload.
//!
//! A newer peer may say more than this version understands:
//!
//! - An unknown field beside a known body, or in it, is skipped. There may be [`MAX_UNKNOWN_FIELDS`] of them.
//! - An unknown kind of body or of chunk payload, or an unknown error code, is [`DecodeError::Unknown`]. A transport
//!   skips and counts the message, and cuts nobody off for it.
//!
//! Every other error is a breach of the protocol. A field that occurs twice is one: protobuf takes the last occurrence
//! or merges both, and no replica writes that.
//!
//! ```
//! use bytes::Bytes;
//! use gossip_engine::{ArtifactFilter, GossipMessage, wire};
//!
//! let message = GossipMessage::RetransmissionRequest(ArtifactFilter { height: 7 });
//! let payload: Bytes = wire::encode(&message);
//! assert_eq!(wire::decode(payload)?, message);
//! # Ok::<(), wire::DecodeError>(())
//! ```

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use prost::Message as _;

use self::{
    body::Body,
    fields::{Broken, Fields, Value},
};
use crate::{
    FlowType,
    message::{
        ArtifactFilter, ArtifactId, ChunkError, GossipAdvert, GossipChunk, GossipChunkRequest,
        GossipMessage, IntegrityHash,
    },
};

mod body;
mod codec;
mod error;
mod fields;
#[rustfmt::skip]
#[allow(unreachable_pub, unnameable_types, missing_docs, clippy::all, reason = "generated code")]
mod schema;

pub use codec::WireCodec;
pub use error::{DecodeError, FieldError};

/// The largest body of an advert, in bytes.
const MAX_ADVERT_BYTES: usize = 16 << 10;
/// The largest body of a chunk request, in bytes.
const MAX_CHUNK_REQUEST_BYTES: usize = 1 << 10;
/// The most bytes of content that one chunk carries.
pub const MAX_CHUNK_DATA_BYTES: usize = 2 << 20;
/// The largest body of a chunk, in bytes: its data and a little around it.
const MAX_CHUNK_BYTES: usize = MAX_CHUNK_DATA_BYTES + (1 << 10);
/// The largest body of a retransmission request, in bytes.
const MAX_RETRANSMISSION_BYTES: usize = 1 << 10;
/// How many bytes beside its body a payload may have: keys, lengths and unknown fields.
pub const MAX_ENVELOPE_BYTES: usize = 256;

/// How many fields that this version does not know one protobuf message may have: the envelope, or a body.
///
/// It bounds the work for a payload of many tiny fields. A later version that adds a list to a message packs it into
/// one field.
pub const MAX_UNKNOWN_FIELDS: usize = 256;

/// The largest payload that [`decode`] accepts for a message of this flow, in bytes; a transport
/// reads no longer frame. 0 for the Transport flow, which carries no payloads.
#[must_use]
pub const fn max_payload_bytes(flow: FlowType) -> usize {
    match flow {
        FlowType::Transport => 0,
        other => max_body_bytes(other) + MAX_ENVELOPE_BYTES,
    }
}

const fn max_body_bytes(flow: FlowType) -> usize {
    match flow {
        FlowType::Advert => MAX_ADVERT_BYTES,
        FlowType::Request => MAX_CHUNK_REQUEST_BYTES,
        FlowType::Chunk => MAX_CHUNK_BYTES,
        FlowType::Retransmission => MAX_RETRANSMISSION_BYTES,
        FlowType::Transport => 0,
    }
}

/// Reads one message.
///
/// What it costs beside the bytes that it copies has a limit: of each protobuf message at most its known fields
/// and [`MAX_UNKNOWN_FIELDS`] others are looked at, however long the payload is.
///
/// # Errors
///
/// [`DecodeError`] says what is wrong and where. [`DecodeError::Unknown`] is the message of a later version, and
/// no fault of the peer's.
pub fn decode(payload: Bytes) -> Result<GossipMessage, DecodeError> {
    let (flow, body) = find_body(&payload)?;
    Ok(match flow {
        FlowType::Advert => {
            let names = ["artifact_id", "size", "integrity_hash", "attributes"];
            let body = Body::read(&payload, flow, body, names)?;
            GossipMessage::Advert(GossipAdvert {
                artifact_id: ArtifactId::new(body.id(1)?),
                size: body.number(2)?,
                integrity_hash: IntegrityHash::new(body.id(3)?),
                attributes: body.bytes(4)?,
            })
        }
        FlowType::Request => {
            let names = ["artifact_id", "integrity_hash", "chunk_number"];
            let body = Body::read(&payload, flow, body, names)?;
            GossipMessage::ChunkRequest(GossipChunkRequest {
                artifact_id: ArtifactId::new(body.id(1)?),
                integrity_hash: IntegrityHash::new(body.id(2)?),
                chunk_number: body.number_32(3)?,
            })
        }
        FlowType::Chunk => {
            let names = ["artifact_id", "integrity_hash", "chunk_number", "data", "error"];
            let body = Body::read(&payload, flow, body, names)?;
            GossipMessage::Chunk(GossipChunk {
                artifact_id: ArtifactId::new(body.id(1)?),
                integrity_hash: IntegrityHash::new(body.id(2)?),
                chunk_number: body.number_32(3)?,
                payload: chunk_payload(&body)?,
            })
        }
        FlowType::Retransmission => {
            let body = Body::read(&payload, flow, body, ["height"])?;
            GossipMessage::RetransmissionRequest(ArtifactFilter { height: body.number(1)? })
        }
        FlowType::Transport => unreachable!("find_body names no flow without payloads"),
    })
}

/// The flow of the message in a payload, from its envelope alone: what a transport with a stream per
/// flow needs in order to hold a peer to the stream's flow.
///
/// # Errors
///
/// Those of [`decode`] that concern the envelope and the limits; the body is not read.
pub fn flow_of(payload: &Bytes) -> Result<FlowType, DecodeError> {
    find_body(payload).map(|(flow, _)| flow)
}

/// Finds the only body and checks its length against the limit of its type.
fn find_body(payload: &Bytes) -> Result<(FlowType, Range<usize>), DecodeError> {
    let mut found: Option<(FlowType, Range<usize>)> = None;
    let mut later = None;
    let mut fields = Fields::new(payload, 0..payload.len());
    let broken = |Broken { at, reason }| DecodeError::Envelope { at, reason };
    while let Some(field) = fields.next_field().map_err(broken)? {
        let flow = match field.number {
            1 => FlowType::Advert,
            2 => FlowType::Request,
            3 => FlowType::Chunk,
            4 => FlowType::Retransmission,
            number => {
                fields.skip_unknown(&field)?;
                // A body is a message, so what is not length-delimited is none.
                if let Value::Delimited(_) = field.value {
                    later.get_or_insert(number);
                }
                continue;
            }
        };
        let Value::Delimited(range) = field.value else {
            return Err(DecodeError::Envelope {
                at: field.at,
                reason: "a message body that is not length-delimited",
            });
        };
        let limit = max_body_bytes(flow);
        if range.len() > limit {
            return Err(DecodeError::TooLarge { flow, length: range.len(), limit });
        }
        if found.is_some() {
            return Err(DecodeError::SecondBody { at: field.at });
        }
        found = Some((flow, range));
    }
    let (flow, body) = match (found, later) {
        (Some(found), _) => found,
        (None, Some(number)) => return Err(unknown("body", number)),
        (None, None) => return Err(DecodeError::MissingBody { length: payload.len() }),
    };
    let beside = payload.len() - body.len();
    if beside > MAX_ENVELOPE_BYTES {
        return Err(DecodeError::EnvelopeTooLarge { length: beside });
    }
    Ok((flow, body))
}

/// The oneof of a chunk: its data, or why there is none.
fn chunk_payload(chunk: &Body<'_, 5>) -> Result<Result<Bytes, ChunkError>, DecodeError> {
    const DATA: usize = 4;
    const ERROR: usize = 5;
    match (chunk.position(DATA), chunk.position(ERROR)) {
        (Some(data), Some(error)) => Err(DecodeError::RepeatedField {
            flow: FlowType::Chunk,
            field: "payload",
            at: data.max(error),
        }),
        (Some(_), None) => {
            let data = chunk.bytes(DATA)?;
            if data.len() > MAX_CHUNK_DATA_BYTES {
                let (found, limit) = (data.len(), MAX_CHUNK_DATA_BYTES);
                return Err(chunk.wrong(DATA, FieldError::TooLong { found, limit }));
            }
            Ok(Ok(data))
        }
        (None, Some(_)) => match chunk.number(ERROR)? {
            0 => Err(chunk.wrong(ERROR, FieldError::Missing)),
            1 => Ok(Err(ChunkError::NotFound)),
            2 => Ok(Err(ChunkError::Unavailable)),
            code => Err(unknown("error", code)),
        },
        // A third kind of payload looks to this version like a field that it does not know.
        (None, None) => Err(match chunk.unknown() {
            Some(number) => unknown("payload", number),
            None => DecodeError::Field {
                flow: FlowType::Chunk,
                field: "payload",
                reason: FieldError::Missing,
            },
        }),
    }
}

fn unknown(field: &'static str, number: impl Into<u64>) -> DecodeError {
    DecodeError::Unknown { field, number: number.into() }
}

/// Writes one message. The data of a chunk is copied once, into the payload.
///
/// The payload of a message that is over the limits of its type is refused by every peer; the fields
/// whose length the caller chooses are `attributes` and a chunk's data.
#[must_use]
pub fn encode(message: &GossipMessage) -> Bytes {
    use schema::gossip_message::Body;
    let body = match message {
        GossipMessage::Advert(advert) => Body::Advert(schema::GossipAdvert {
            artifact_id: copy(advert.artifact_id.as_bytes()),
            size: advert.size,
            integrity_hash: copy(advert.integrity_hash.as_bytes()),
            attributes: advert.attributes.clone(),
        }),
        GossipMessage::ChunkRequest(request) => Body::ChunkRequest(schema::GossipChunkRequest {
            artifact_id: copy(request.artifact_id.as_bytes()),
            integrity_hash: copy(request.integrity_hash.as_bytes()),
            chunk_number: request.chunk_number,
        }),
        GossipMessage::Chunk(chunk) => Body::Chunk(schema::GossipChunk {
            artifact_id: copy(chunk.artifact_id.as_bytes()),
            integrity_hash: copy(chunk.integrity_hash.as_bytes()),
            chunk_number: chunk.chunk_number,
            payload: Some(match &chunk.payload {
                Ok(data) => schema::gossip_chunk::Payload::Data(data.clone()),
                Err(ChunkError::NotFound) => {
                    schema::gossip_chunk::Payload::Error(schema::ChunkError::NotFound.into())
                }
                Err(ChunkError::Unavailable) => {
                    schema::gossip_chunk::Payload::Error(schema::ChunkError::Unavailable.into())
                }
            }),
        }),
        GossipMessage::RetransmissionRequest(filter) => {
            Body::RetransmissionRequest(schema::ArtifactFilter { height: filter.height })
        }
    };
    let message = schema::GossipMessage { body: Some(body) };
    let mut payload = BytesMut::with_capacity(message.encoded_len());
    message.encode(&mut payload).expect("the buffer grows as needed");
    payload.freeze()
}

fn copy(id: &[u8; 32]) -> Bytes {
    Bytes::copy_from_slice(id)
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;
