//! What the engine knows of a message: its kind, and the replica that an advert goes to.
//!
//! The built-in message types are beside this, under the feature `wire`. A replica with message types of its own names
//! them in its [`Gossip`](crate::Gossip) implementation and has a [`Codec`](crate::Codec); nothing else in the engine
//! looks inside a message.

use std::{
    collections::BTreeSet,
    fmt,
    hash::{Hash, Hasher},
    str::FromStr,
};

/// How many leading bytes of an id its short form shows.
const SHORT_BYTES: usize = 4;

/// A text that is not the hexadecimal form of a 32-byte id.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseIdError {
    /// The text has a wrong length.
    #[error("an id has 64 hexadecimal digits, not {0} characters")]
    Length(usize),
    /// The text has a character that is no hexadecimal digit.
    #[error("character {position} of an id is {found:?}, not a hexadecimal digit")]
    Digit {
        /// Where it stands, from 0.
        position: usize,
        /// What stands there.
        found: char,
    },
}

/// Parses 64 hexadecimal digits of either case.
fn parse_hex(text: &str) -> Result<[u8; 32], ParseIdError> {
    let length = text.chars().count();
    if length != 64 {
        return Err(ParseIdError::Length(length));
    }
    let mut id = [0; 32];
    for (position, found) in text.chars().enumerate() {
        let digit = found.to_digit(16).ok_or(ParseIdError::Digit { position, found })?;
        id[position / 2] = id[position / 2] << 4 | digit as u8;
    }
    Ok(id)
}

fn write_hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// `Display` and `Debug` print its first 8 hexadecimal digits, `{:x}` all 64, and
        /// `FromStr` reads all 64.
        #[derive(Clone, Copy, Eq, Ord, PartialEq, PartialOrd)]
        pub struct $name([u8; 32]);

        /// Word by word, since all ids have the same length.
        impl Hash for $name {
            fn hash<H: Hasher>(&self, state: &mut H) {
                let (words, _) = self.0.as_chunks::<8>();
                words.iter().for_each(|word| state.write_u64(u64::from_ne_bytes(*word)));
            }
        }

        impl $name {
            /// The id with these bytes.
            #[must_use]
            pub const fn new(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The bytes of the id.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(&self.0[..SHORT_BYTES], f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl fmt::LowerHex for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                parse_hex(text).map(Self)
            }
        }
    };
}

id! {
    /// A replica, by its 32-byte Ed25519 public key.
    NodeId
}

// Below the macro, which it uses.
#[cfg(feature = "wire")]
mod built_in;
#[cfg(feature = "serde")]
mod forms;

#[cfg(feature = "wire")]
pub use built_in::{
    ArtifactFilter, ArtifactId, ChunkError, GossipAdvert, GossipChunk, GossipChunkRequest,
    IntegrityHash,
};

/// Where an advert goes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ArtifactDestination {
    /// All replicas that the sender is connected with.
    AllReplicas,
    /// These replicas only.
    Replicas(BTreeSet<NodeId>),
}

/// One decoded message of any of the four flows that carry payloads.
///
/// The parameters stand for the types that a [`Gossip`](crate::Gossip) implementation names; with the feature `wire`
/// they default to the built-in ones.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum GossipMessage<
    #[cfg(feature = "wire")] A = GossipAdvert,
    #[cfg(feature = "wire")] Q = GossipChunkRequest,
    #[cfg(feature = "wire")] C = GossipChunk,
    #[cfg(feature = "wire")] R = ArtifactFilter,
    #[cfg(not(feature = "wire"))] A,
    #[cfg(not(feature = "wire"))] Q,
    #[cfg(not(feature = "wire"))] C,
    #[cfg(not(feature = "wire"))] R,
> {
    /// Goes through [`FlowType::Advert`](crate::FlowType::Advert).
    Advert(A),
    /// Goes through [`FlowType::Request`](crate::FlowType::Request).
    ChunkRequest(Q),
    /// Goes through [`FlowType::Chunk`](crate::FlowType::Chunk).
    Chunk(C),
    /// Goes through [`FlowType::Retransmission`](crate::FlowType::Retransmission).
    RetransmissionRequest(R),
}

impl<A, Q, C, R> GossipMessage<A, Q, C, R> {
    /// The flow that the message goes through.
    pub fn flow(&self) -> crate::FlowType {
        match self {
            Self::Advert(_) => crate::FlowType::Advert,
            Self::ChunkRequest(_) => crate::FlowType::Request,
            Self::Chunk(_) => crate::FlowType::Chunk,
            Self::RetransmissionRequest(_) => crate::FlowType::Retransmission,
        }
    }
}
