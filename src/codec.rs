//! How payloads become messages.

use bytes::Bytes;

use crate::{
    ArtifactFilter, Gossip, GossipAdvert, GossipChunk, GossipChunkRequest, GossipMessage,
    wire::{self, DecodeError},
};

/// The message that a [`Gossip`] implementation `G` understands.
pub type MessageOf<G> = GossipMessage<
    <G as Gossip>::GossipAdvert,
    <G as Gossip>::GossipChunkRequest,
    <G as Gossip>::GossipChunk,
    <G as Gossip>::GossipRetransmissionRequest,
>;

/// Decodes the payloads of a transport into the messages of `G`.
///
/// A replica with message types of its own brings one. `decode` runs on the transport's thread for
/// every payload, whatever a malicious peer has put into it: it must bound what it allocates, and it
/// must not panic.
pub trait Codec<G: Gossip + ?Sized>: Send + Sync + 'static {
    /// Why a payload is no message.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Reads one message.
    ///
    /// # Errors
    ///
    /// What is wrong with the payload; the transport hears of it and may cut the peer off.
    fn decode(&self, payload: Bytes) -> Result<MessageOf<G>, Self::Error>;
}

/// The built-in codec: [`wire::decode`].
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
        wire::decode(payload)
    }
}
