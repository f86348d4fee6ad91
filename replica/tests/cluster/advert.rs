//! What a replica says that it holds, made by hand: nothing checks that it does.

use gossip_engine::{ArtifactId, GossipAdvert, GossipMessage, IntegrityHash};
use prost::Message as _;

/// As many as the replicas under test cut their artifacts into.
pub(crate) const CHUNK_BYTES: u32 = 16 << 10;

/// What an advert's attributes are.
#[derive(Clone, PartialEq, prost::Message)]
struct Attributes {
    #[prost(uint64, tag = "1")]
    height: u64,
    #[prost(uint32, tag = "2")]
    chunk_bytes: u32,
}

pub(crate) fn advert(id: ArtifactId, size: u64) -> GossipMessage {
    let attributes = Attributes { height: 1, chunk_bytes: CHUNK_BYTES };
    GossipMessage::Advert(GossipAdvert {
        artifact_id: id,
        size,
        integrity_hash: IntegrityHash::new(*id.as_bytes()),
        attributes: attributes.encode_to_vec().into(),
    })
}
