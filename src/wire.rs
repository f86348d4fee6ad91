//! The built-in messages as bytes: protobuf, by the schema in `src/wire/schema.proto`.
//!
//! A payload is one `GossipMessage` with exactly one body. Everything in it may be written by a
//! malicious peer, so [`decode`] knows the type of the message and the limit of that type before it
//! reads further, allocates only for the fields of one message, and copies no chunk: the decoded bytes
//! share the payload.
//!
//! Unknown fields are skipped, so that a newer peer may say more than this version understands. A
//! payload without a body that this version knows is an error, and so is one with two.
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

use bytes::{Buf, Bytes, BytesMut};
use prost::Message as _;

use crate::{
    FlowType,
    message::{
        ArtifactFilter, ArtifactId, ChunkError, GossipAdvert, GossipChunk, GossipChunkRequest,
        GossipMessage, IntegrityHash,
    },
};

mod error;
#[rustfmt::skip]
#[allow(unreachable_pub, unnameable_types, missing_docs, clippy::all, reason = "generated code")]
mod schema;

pub use error::{DecodeError, FieldError};

/// The largest body of an advert, in bytes.
pub const MAX_ADVERT_BYTES: usize = 16 << 10;
/// The largest body of a chunk request, in bytes.
pub const MAX_CHUNK_REQUEST_BYTES: usize = 1 << 10;
/// The most bytes of content that one chunk carries.
pub const MAX_CHUNK_DATA_BYTES: usize = 2 << 20;
/// The largest body of a chunk, in bytes: its data and a little around it.
pub const MAX_CHUNK_BYTES: usize = MAX_CHUNK_DATA_BYTES + (1 << 10);
/// The largest body of a retransmission request, in bytes.
pub const MAX_RETRANSMISSION_BYTES: usize = 1 << 10;
/// How many bytes beside its body a payload may have: keys, lengths and unknown fields.
pub const MAX_ENVELOPE_BYTES: usize = 256;

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
/// # Errors
///
/// [`DecodeError`] says what is wrong and where.
pub fn decode(payload: Bytes) -> Result<GossipMessage, DecodeError> {
    let (flow, mut body) = find_body(payload)?;
    match flow {
        FlowType::Advert => schema::GossipAdvert::decode(&mut body)
            .map_err(|source| DecodeError::Body { flow, source })
            .and_then(|advert| {
                Ok(GossipMessage::Advert(GossipAdvert {
                    artifact_id: ArtifactId::new(id(flow, "artifact_id", &advert.artifact_id)?),
                    size: advert.size,
                    integrity_hash: IntegrityHash::new(id(
                        flow,
                        "integrity_hash",
                        &advert.integrity_hash,
                    )?),
                    attributes: advert.attributes,
                }))
            }),
        FlowType::Request => schema::GossipChunkRequest::decode(&mut body)
            .map_err(|source| DecodeError::Body { flow, source })
            .and_then(|request| {
                Ok(GossipMessage::ChunkRequest(GossipChunkRequest {
                    artifact_id: ArtifactId::new(id(flow, "artifact_id", &request.artifact_id)?),
                    integrity_hash: IntegrityHash::new(id(
                        flow,
                        "integrity_hash",
                        &request.integrity_hash,
                    )?),
                    chunk_number: request.chunk_number,
                }))
            }),
        FlowType::Chunk => schema::GossipChunk::decode(&mut body)
            .map_err(|source| DecodeError::Body { flow, source })
            .and_then(|chunk| {
                Ok(GossipMessage::Chunk(GossipChunk {
                    artifact_id: ArtifactId::new(id(flow, "artifact_id", &chunk.artifact_id)?),
                    integrity_hash: IntegrityHash::new(id(
                        flow,
                        "integrity_hash",
                        &chunk.integrity_hash,
                    )?),
                    chunk_number: chunk.chunk_number,
                    payload: chunk_payload(chunk.payload)?,
                }))
            }),
        FlowType::Retransmission => schema::ArtifactFilter::decode(&mut body)
            .map_err(|source| DecodeError::Body { flow, source })
            .map(|filter| {
                GossipMessage::RetransmissionRequest(ArtifactFilter { height: filter.height })
            }),
        FlowType::Transport => unreachable!("find_body names no flow without payloads"),
    }
}

/// The flow of the message in a payload, from its envelope alone: what a transport with a stream per
/// flow needs in order to hold a peer to the stream's flow.
///
/// # Errors
///
/// Those of [`decode`] that concern the envelope and the limits; the body is not read.
pub fn flow_of(payload: &Bytes) -> Result<FlowType, DecodeError> {
    find_body(payload.clone()).map(|(flow, _)| flow)
}

/// Finds the only body and checks its length against the limit of its type.
fn find_body(payload: Bytes) -> Result<(FlowType, Bytes), DecodeError> {
    let mut found: Option<(FlowType, Bytes)> = None;
    let mut fields = Envelope { payload: &payload, at: 0 };
    while let Some(field) = fields.next_field()? {
        let flow = match field.number {
            1 => FlowType::Advert,
            2 => FlowType::Request,
            3 => FlowType::Chunk,
            4 => FlowType::Retransmission,
            _ => continue,
        };
        let Some(range) = field.delimited else {
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
        found = Some((flow, payload.slice(range)));
    }
    let (flow, body) = found.ok_or(DecodeError::MissingBody { length: payload.len() })?;
    let beside = payload.len() - body.len();
    if beside > MAX_ENVELOPE_BYTES {
        return Err(DecodeError::EnvelopeTooLarge { length: beside });
    }
    Ok((flow, body))
}

/// Walks the fields of the outermost message; each step consumes at least one byte.
struct Envelope<'a> {
    payload: &'a Bytes,
    at: usize,
}

struct Field {
    number: usize,
    at: usize,
    delimited: Option<std::ops::Range<usize>>,
}

impl Envelope<'_> {
    fn next_field(&mut self) -> Result<Option<Field>, DecodeError> {
        let at = self.at;
        if at == self.payload.len() {
            return Ok(None);
        }
        let key = self.varint("a field key that is no varint")?;
        let (number, wire_type) = (key >> 3, key & 7);
        if number == 0 {
            return Err(DecodeError::Envelope { at, reason: "a field with the number 0" });
        }
        let length = match wire_type {
            0 => {
                self.varint("a number that is no varint")?;
                return Ok(Some(Field { number, at, delimited: None }));
            }
            1 => 8,
            2 => self.varint("a length that is no varint")?,
            5 => 4,
            _ => return Err(DecodeError::Envelope { at, reason: "an unknown wire type" }),
        };
        let start = self.at;
        let end = start
            .checked_add(length)
            .filter(|end| *end <= self.payload.len())
            .ok_or(DecodeError::Envelope { at: start, reason: "a field beyond the end" })?;
        self.at = end;
        Ok(Some(Field { number, at, delimited: (wire_type == 2).then_some(start..end) }))
    }

    fn varint(&mut self, reason: &'static str) -> Result<usize, DecodeError> {
        let at = self.at;
        let mut rest = &self.payload[at..];
        let value = prost::decode_length_delimiter(&mut rest)
            .map_err(|_| DecodeError::Envelope { at, reason })?;
        self.at = self.payload.len() - rest.remaining();
        Ok(value)
    }
}

fn id(flow: FlowType, field: &'static str, bytes: &Bytes) -> Result<[u8; 32], DecodeError> {
    bytes.as_ref().try_into().map_err(|_| DecodeError::Field {
        flow,
        field,
        reason: FieldError::Length { found: bytes.len(), expected: 32 },
    })
}

fn chunk_payload(
    payload: Option<schema::gossip_chunk::Payload>,
) -> Result<Result<Bytes, ChunkError>, DecodeError> {
    use schema::gossip_chunk::Payload;
    let wrong = |field, reason| Err(DecodeError::Field { flow: FlowType::Chunk, field, reason });
    match payload {
        Some(Payload::Data(data)) if data.len() > MAX_CHUNK_DATA_BYTES => {
            wrong("data", FieldError::TooLong { found: data.len(), limit: MAX_CHUNK_DATA_BYTES })
        }
        Some(Payload::Data(data)) => Ok(Ok(data)),
        Some(Payload::Error(code)) => match schema::ChunkError::try_from(code) {
            Ok(schema::ChunkError::NotFound) => Ok(Err(ChunkError::NotFound)),
            Ok(schema::ChunkError::Unavailable) => Ok(Err(ChunkError::Unavailable)),
            Ok(schema::ChunkError::Unspecified) | Err(_) => wrong("error", FieldError::Unknown),
        },
        None => wrong("payload", FieldError::Unknown),
    }
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
