//! What two replicas, perhaps of different versions, tell each other first.
//!
//! They take the newest [protocol](PROTOCOLS) that both speak. Since `gossip/2` each end opens a stream with the
//! tag [`HELLO_TAG`] beside those of its flows:
//!
//! ```text
//! tag 0 | length: 4 bytes, big-endian | features: 8 bytes, big-endian | what a later version adds
//! ```
//!
//! A feature is a bit, and counts where both ends have it. Bits and bytes that are unknown are for a later
//! version and are skipped; nothing waits for a hello, and no peer has to say one. In `gossip/1`, where an
//! unknown tag is a breach, there is none. At most [`MAX_HELLO_BYTES`] are read.

use bytes::Bytes;
use quinn::{Connection, crypto::rustls::HandshakeData};

use super::{
    frame::{HEADER_BYTES, HELLO_TAG},
    limits::MAX_HELLO_BYTES,
    reader::Fault,
};
use crate::tls::PROTOCOLS;

/// Streams and messages that it does not know are skipped, and are no breach. A later version may send them.
pub const FEATURE_SKIPS_UNKNOWN: u64 = 1;

/// What this version can do.
const FEATURES: u64 = FEATURE_SKIPS_UNKNOWN;

const FEATURES_BYTES: usize = 8;

/// What a peer has said.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Hello {
    pub(crate) features: u64,
}

/// Why it is no hello.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum HelloError {
    #[error("a hello of {0} bytes, not {FEATURES_BYTES} to {MAX_HELLO_BYTES}")]
    Length(u32),
    #[error("a second hello")]
    Second,
    #[error("a hello that ended too early")]
    Truncated,
}

impl Hello {
    /// The features of both ends.
    pub(crate) fn common_features(self) -> u64 {
        self.features & FEATURES
    }
}

/// Reads a hello from pieces of any size. Holds no more than a hello may have and one piece.
#[derive(Debug, Default)]
pub(crate) struct HelloDecoder(Vec<u8>);

impl HelloDecoder {
    /// Takes in what comes behind the tag. `None`: there is more to come.
    pub(crate) fn decode(&mut self, piece: &[u8]) -> Result<Option<Hello>, HelloError> {
        self.0.extend_from_slice(piece);
        let Some((length, body)) = self.0.split_first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*length);
        if !(FEATURES_BYTES..=MAX_HELLO_BYTES).contains(&(length as usize)) {
            return Err(HelloError::Length(length));
        }
        if body.len() < length as usize {
            return Ok(None);
        }
        let features = body.first_chunk().copied().map(u64::from_be_bytes);
        Ok(features.map(|features| Hello { features }))
    }
}

#[cfg(any(test, fuzzing))]
impl HelloDecoder {
    /// How many bytes it holds.
    pub(crate) fn held(&self) -> usize {
        self.0.len()
    }
}

/// Our hello, from its tag on.
fn encoded() -> [u8; 1 + HEADER_BYTES + FEATURES_BYTES] {
    let mut bytes = [0; 1 + HEADER_BYTES + FEATURES_BYTES];
    bytes[0] = HELLO_TAG;
    bytes[1..][..HEADER_BYTES].copy_from_slice(&(FEATURES_BYTES as u32).to_be_bytes());
    bytes[1 + HEADER_BYTES..].copy_from_slice(&FEATURES.to_be_bytes());
    bytes
}

/// Says hello, if the protocol of the connection has one.
pub(super) async fn say_hello(connection: Connection) -> Result<(), Fault> {
    if is_oldest(&connection) {
        return Ok(());
    }
    // A connection that has ended says why itself, and a hello that a peer does not want is none.
    if let Ok(mut stream) = connection.open_uni().await {
        let _ = stream.write_chunk(Bytes::copy_from_slice(&encoded())).await;
        let _ = stream.finish();
    }
    Ok(())
}

/// Whether both ends have only the oldest protocol in common, which has no hello.
pub(super) fn is_oldest(connection: &Connection) -> bool {
    let data = connection.handshake_data().and_then(|data| data.downcast::<HandshakeData>().ok());
    let protocol = data.and_then(|data| data.protocol);
    protocol.as_deref() == PROTOCOLS.last().copied()
}

#[cfg(test)]
mod tests;
