//! The wire as the codec of an event handler.

use bytes::Bytes;

use super::{DecodeError, decode};
use crate::{
    ArtifactFilter, Codec, Gossip, GossipAdvert, GossipChunk, GossipChunkRequest, GossipMessage,
};

/// The built-in codec: [`decode`].
#[derive(Clone, Copy, Debug, Default)]
pub struct WireCodec;

impl<G> Codec<G> for WireCodec
where
    G: Gossip<
            GossipAdvert = GossipAdvert,
            GossipChunkRequest = GossipChunkRequest,
            GossipChunk = GossipChunk,
            GossipRetransmissionRequest = ArtifactFilter,
        > + ?Sized,
{
    type Error = DecodeError;

    fn decode(&self, payload: Bytes) -> Result<GossipMessage, DecodeError> {
        decode(payload)
    }

    fn is_unknown(error: &DecodeError) -> bool {
        matches!(error, DecodeError::Unknown { .. })
    }
}
