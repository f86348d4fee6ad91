//! How payloads become messages.

use bytes::Bytes;

use crate::{Gossip, MessageOf};

/// Decodes the payloads of a transport into the messages of `G`.
///
/// A replica with message types of its own has one. `decode` runs on the transport's thread for
/// every payload, whatever a malicious peer has put into it: it must bound what it allocates, and it
/// must not panic.
///
/// ```
/// use std::{string::FromUtf8Error, sync::Arc};
/// use bytes::Bytes;
/// use gossip_engine::{
///     ArtifactDestination, AsyncTransportEventHandlerImpl, ChannelConfig, Codec, Gossip,
///     GossipMessage, MessageOf, MetricsRegistry, NodeId,
/// };
///
/// /// Announces rumours, which need no chunks.
/// struct Listener;
///
/// impl Gossip for Listener {
///     type GossipAdvert = String;
///     type GossipChunkRequest = ();
///     type GossipChunk = ();
///     type GossipRetransmissionRequest = ();
///
///     fn on_gossip_advert(&self, rumour: String, peer: NodeId) {
///         println!("{peer} says {rumour:?}");
///     }
///     fn on_chunk_request(&self, (): (), _: NodeId) {}
///     fn on_gossip_chunk(&self, (): (), _: NodeId) {}
///     fn on_gossip_retransmission_request(&self, (): (), _: NodeId) {}
///     fn broadcast_advert(&self, _: String, _: ArtifactDestination) {}
/// }
///
/// struct Text;
///
/// impl Codec<Listener> for Text {
///     type Error = FromUtf8Error;
///
///     fn decode(&self, payload: Bytes) -> Result<MessageOf<Listener>, FromUtf8Error> {
///         String::from_utf8(payload.into()).map(GossipMessage::Advert)
///     }
/// }
///
/// let handler = AsyncTransportEventHandlerImpl::with_codec(
///     NodeId::new([0; 32]),
///     &MetricsRegistry::new(),
///     ChannelConfig::default(),
///     Arc::new(Listener),
///     Text,
/// )?;
/// # Ok::<(), gossip_engine::BuildError>(())
/// ```
pub trait Codec<G: Gossip + ?Sized>: Send + Sync + 'static {
    /// Why a payload is no message.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Reads one message.
    ///
    /// # Errors
    ///
    /// What is wrong with the payload; the transport hears of it and may cut the peer off.
    fn decode(&self, payload: Bytes) -> Result<MessageOf<G>, Self::Error>;

    /// Whether the payload is a message of a later version, which this one does not know.
    ///
    /// The event is then counted as unknown instead of malformed, and its call resolves to
    /// [`EventError::Unknown`](crate::EventError::Unknown), for which a transport cuts nobody off. By default no error
    /// is of this kind. Override it if replicas of different versions talk to each other.
    #[must_use]
    fn is_unknown(error: &Self::Error) -> bool {
        let _ = error;
        false
    }
}
