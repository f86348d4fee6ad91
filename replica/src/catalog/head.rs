//! The signed head of a catalog: whose it is, which of theirs, and which artifact has its files.

use gossip_engine::{ArtifactId, NodeId};
use prost::Message as _;
use ring::signature::{ED25519, UnparsedPublicKey};

use crate::identity::Identity;

/// The longest head, in bytes: three fields of fixed length, two numbers, and their tags.
pub(crate) const MAX_HEAD_BYTES: usize = 160;

/// What the signed bytes begin with, so that the signature is valid for nothing else.
const PURPOSE: &[u8] = b"gossip-replica catalog head 1\0";

/// Names the newest catalog of a publisher. What [`sign`](Self::sign) and [`decode`](Self::decode) return is signed by
/// the publisher.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Head {
    publisher: NodeId,
    sequence: u64,
    catalog: ArtifactId,
    size: u64,
    signature: [u8; 64],
}

/// Why bytes are no [`Head`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum HeadError {
    /// They cannot be read.
    #[error("the head of a catalog cannot be read")]
    Unreadable,
    /// The publisher has not signed them.
    #[error("the head of a catalog is not signed by its publisher")]
    Forged,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Wire {
    #[prost(bytes = "vec", tag = "1")]
    publisher: Vec<u8>,
    #[prost(uint64, tag = "2")]
    sequence: u64,
    #[prost(bytes = "vec", tag = "3")]
    catalog: Vec<u8>,
    #[prost(uint64, tag = "4")]
    size: u64,
    #[prost(bytes = "vec", tag = "5")]
    signature: Vec<u8>,
}

impl Head {
    /// Signs the head of a catalog: the artifact `catalog`, of `size` bytes.
    #[must_use]
    pub fn sign(identity: &Identity, sequence: u64, catalog: ArtifactId, size: u64) -> Self {
        let publisher = identity.node_id();
        let signature = identity.sign(&signed(publisher, sequence, catalog, size));
        Self { publisher, sequence, catalog, size, signature }
    }

    /// Reads a head and checks its signature, which takes some 50 us. What is longer than a head can be is not read.
    ///
    /// # Errors
    ///
    /// [`HeadError`] says which of the two is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, HeadError> {
        let head = Self::decode_unchecked(bytes)?;
        let Self { publisher, sequence, catalog, size, signature } = head;
        UnparsedPublicKey::new(&ED25519, publisher.as_bytes())
            .verify(&signed(publisher, sequence, catalog, size), &signature)
            .map_err(|_| HeadError::Forged)?;
        Ok(head)
    }

    /// The same without a look at the signature: for what was checked before.
    pub(crate) fn decode_unchecked(bytes: &[u8]) -> Result<Self, HeadError> {
        if bytes.len() > MAX_HEAD_BYTES {
            return Err(HeadError::Unreadable);
        }
        let wire = Wire::decode(bytes).map_err(|_| HeadError::Unreadable)?;
        let publisher = wire.publisher.try_into().map_err(|_| HeadError::Unreadable)?;
        let catalog = wire.catalog.try_into().map_err(|_| HeadError::Unreadable)?;
        let signature = wire.signature.try_into().map_err(|_| HeadError::Unreadable)?;
        Ok(Self {
            publisher: NodeId::new(publisher),
            sequence: wire.sequence,
            catalog: ArtifactId::new(catalog),
            size: wire.size,
            signature,
        })
    }

    /// Its bytes, at most 160.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let wire = Wire {
            publisher: self.publisher.as_bytes().to_vec(),
            sequence: self.sequence,
            catalog: self.catalog.as_bytes().to_vec(),
            size: self.size,
            signature: self.signature.to_vec(),
        };
        wire.encode_to_vec()
    }

    /// Whose catalog it is.
    #[must_use]
    pub fn publisher(&self) -> NodeId {
        self.publisher
    }

    /// Its number: that of a newer catalog of the same publisher is larger.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The artifact that is the catalog.
    #[must_use]
    pub fn catalog(&self) -> ArtifactId {
        self.catalog
    }

    /// The size of the catalog in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Whether it counts and `other`, of the same publisher, does not.
    #[must_use]
    pub fn supersedes(&self, other: &Self) -> bool {
        (self.sequence, self.catalog) > (other.sequence, other.catalog)
    }
}

fn signed(publisher: NodeId, sequence: u64, catalog: ArtifactId, size: u64) -> Vec<u8> {
    let mut bytes = PURPOSE.to_vec();
    bytes.extend_from_slice(publisher.as_bytes());
    bytes.extend_from_slice(&sequence.to_be_bytes());
    bytes.extend_from_slice(catalog.as_bytes());
    bytes.extend_from_slice(&size.to_be_bytes());
    bytes
}

#[cfg(test)]
mod tests;
