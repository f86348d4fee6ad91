//! What is encoded is decoded; what is cut short or has a byte changed is a message or an error.
#![no_main]

use arbitrary::Arbitrary;
use bytes::Bytes;
use gossip_engine::{
    ArtifactFilter, ArtifactId, ChunkError, GossipAdvert, GossipChunk, GossipChunkRequest,
    GossipMessage, IntegrityHash, wire,
};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
enum Message {
    Advert { id: [u8; 32], hash: [u8; 32], size: u64, attributes: Vec<u8> },
    Request { id: [u8; 32], hash: [u8; 32], number: u32 },
    Chunk { id: [u8; 32], hash: [u8; 32], number: u32, data: Option<Vec<u8>>, found: bool },
    Retransmission { height: u64 },
}

impl From<Message> for GossipMessage {
    fn from(message: Message) -> Self {
        match message {
            Message::Advert { id, hash, size, attributes } => Self::Advert(GossipAdvert {
                artifact_id: ArtifactId::new(id),
                size,
                integrity_hash: IntegrityHash::new(hash),
                attributes: attributes.into(),
            }),
            Message::Request { id, hash, number } => Self::ChunkRequest(GossipChunkRequest {
                artifact_id: ArtifactId::new(id),
                integrity_hash: IntegrityHash::new(hash),
                chunk_number: number,
            }),
            Message::Chunk { id, hash, number, data, found } => Self::Chunk(GossipChunk {
                artifact_id: ArtifactId::new(id),
                integrity_hash: IntegrityHash::new(hash),
                chunk_number: number,
                payload: data.map(Bytes::from).ok_or(if found {
                    ChunkError::Unavailable
                } else {
                    ChunkError::NotFound
                }),
            }),
            Message::Retransmission { height } => {
                Self::RetransmissionRequest(ArtifactFilter { height })
            }
        }
    }
}

fuzz_target!(|input: (Message, u16, u8)| {
    let (message, at, flip) = input;
    let message = GossipMessage::from(message);
    let payload = wire::encode(&message);
    if payload.len() <= wire::max_payload_bytes(message.flow()) - wire::MAX_ENVELOPE_BYTES {
        assert_eq!(wire::decode(payload.clone()).as_ref(), Ok(&message));
    }
    let at = usize::from(at) % payload.len();
    assert!(wire::decode(payload.slice(..at)).is_err(), "a message cut short was accepted");
    let mut changed = payload.to_vec();
    changed[at] ^= flip;
    if let Ok(other) = wire::decode(Bytes::from(changed)) {
        assert_eq!(wire::decode(wire::encode(&other)), Ok(other));
    }
});
