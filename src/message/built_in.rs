//! The built-in message types and the ids they speak of. [`wire`](crate::wire) has their bytes.

use std::{
    fmt,
    hash::{Hash, Hasher},
    str::FromStr,
};

use bytes::Bytes;

use super::{ParseIdError, SHORT_BYTES, parse_hex, write_hex};

id! {
    /// An artifact, by an id that the replica's protocol gives it.
    ArtifactId
}

id! {
    /// The SHA-256 of an artifact's whole content.
    IntegrityHash
}

/// Announces that the sender holds an artifact.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GossipAdvert {
    /// What is announced.
    pub artifact_id: ArtifactId,
    /// The size of the artifact's content in bytes, as its sender claims.
    pub size: u64,
    /// What the content hashes to.
    pub integrity_hash: IntegrityHash,
    /// What the replica's protocol wants to say of the artifact; opaque to the engine, at most 16 KiB
    /// with all else.
    pub attributes: Bytes,
}

/// Asks for one chunk of an artifact.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GossipChunkRequest {
    /// Of which artifact.
    pub artifact_id: ArtifactId,
    /// The content that the asker means.
    pub integrity_hash: IntegrityHash,
    /// Which chunk, from 0.
    pub chunk_number: u32,
}

/// Why a peer sends no chunk.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ChunkError {
    /// It does not hold the artifact, or the artifact has no such chunk.
    #[error("not found")]
    NotFound,
    /// It holds the chunk but cannot serve it now.
    #[error("unavailable")]
    Unavailable,
}

/// One chunk of an artifact, or why there is none.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GossipChunk {
    /// Of which artifact.
    pub artifact_id: ArtifactId,
    /// The content that the chunk is a part of.
    pub integrity_hash: IntegrityHash,
    /// Which chunk, from 0.
    pub chunk_number: u32,
    /// The bytes, or why there are none. Decoded bytes share the payload they came in.
    pub payload: Result<Bytes, ChunkError>,
}

/// Restricts a retransmission request to some artifacts.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ArtifactFilter {
    /// Only artifacts of this height and above; 0 lets all through.
    pub height: u64,
}
