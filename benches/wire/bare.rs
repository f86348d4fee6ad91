//! What prost generates from the engine's schema, without the engine's limits and checks.

use bytes::Bytes;

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct GossipMessage {
    #[prost(oneof = "Body", tags = "1, 2, 3, 4")]
    body: Option<Body>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum Body {
    #[prost(message, tag = "1")]
    Advert(GossipAdvert),
    #[prost(message, tag = "2")]
    ChunkRequest(GossipChunkRequest),
    #[prost(message, tag = "3")]
    Chunk(GossipChunk),
    #[prost(message, tag = "4")]
    RetransmissionRequest(ArtifactFilter),
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct GossipAdvert {
    #[prost(bytes = "bytes", tag = "1")]
    artifact_id: Bytes,
    #[prost(uint64, tag = "2")]
    size: u64,
    #[prost(bytes = "bytes", tag = "3")]
    integrity_hash: Bytes,
    #[prost(bytes = "bytes", tag = "4")]
    attributes: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct GossipChunkRequest {
    #[prost(bytes = "bytes", tag = "1")]
    artifact_id: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    integrity_hash: Bytes,
    #[prost(uint32, tag = "3")]
    chunk_number: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct GossipChunk {
    #[prost(bytes = "bytes", tag = "1")]
    artifact_id: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    integrity_hash: Bytes,
    #[prost(uint32, tag = "3")]
    chunk_number: u32,
    #[prost(oneof = "Payload", tags = "4, 5")]
    payload: Option<Payload>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum Payload {
    #[prost(bytes, tag = "4")]
    Content(Bytes),
    #[prost(int32, tag = "5")]
    Error(i32),
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ArtifactFilter {
    #[prost(uint64, tag = "1")]
    height: u64,
}
