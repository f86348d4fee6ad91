//! What an advert says of an artifact, as one value that has been checked.
//!
//! A claim is still only a claim: that its numbers are possible does not make them true. Two different
//! claims about one artifact are two ways to fetch it, of which at most one size leads to the hash.

use bytes::Bytes;
use gossip_engine::{ArtifactId, GossipAdvert, IntegrityHash};
use prost::Message as _;
use sha2::{Digest as _, Sha256};

use super::options::{GossipOptions, MAX_CHUNKS, chunk_bytes_allowed};
use crate::{catalog::Head, store::Artifact};

/// The longest attributes that are read, in bytes: those of this version have 200 at the most.
///
/// It bounds the work for attributes of many tiny fields, which an advert has space for.
const MAX_ATTRIBUTE_BYTES: usize = 256;
/// The longest attributes without a head, in bytes.
const MAX_BARE_BYTES: usize = 17;

/// What this protocol puts into [`GossipAdvert::attributes`].
#[derive(Clone, PartialEq, prost::Message)]
struct Attributes {
    /// The artifact's height at the sender.
    #[prost(uint64, tag = "1")]
    height: u64,
    /// Into chunks of how many bytes the sender cuts it.
    #[prost(uint32, tag = "2")]
    chunk_bytes: u32,
    /// The [head](crate::catalog::Head) that makes it a publisher's newest catalog. Earlier versions skip it.
    #[prost(bytes = "vec", tag = "3")]
    head: Vec<u8>,
    /// What the sender lacks of the catalog's files. Earlier versions skip it.
    #[prost(message, optional, tag = "4")]
    missing: Option<Missing>,
}

/// Of a fixed length, so that a later advert may take the place of an earlier one.
#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Missing {
    #[prost(fixed64, optional, tag = "1")]
    files: Option<u64>,
    #[prost(fixed64, optional, tag = "2")]
    bytes: Option<u64>,
}

/// An artifact of this size, cut this way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Claim {
    pub(crate) id: ArtifactId,
    pub(crate) size: u64,
    pub(crate) chunk_bytes: u32,
}

/// Why an advert claims nothing that could be.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum InvalidAdvert {
    #[error("the attributes cannot be read")]
    Attributes,
    #[error("the artifact's id is not its hash")]
    Id,
    #[error("the chunk size is out of range")]
    ChunkBytes,
    #[error("the artifact is too large")]
    Size,
    #[error("the artifact has too many chunks")]
    Chunks,
}

impl Claim {
    /// Reads an advert that a peer has sent.
    pub(crate) fn read(
        advert: &GossipAdvert,
        options: &GossipOptions,
    ) -> Result<Self, InvalidAdvert> {
        if advert.attributes.len() > MAX_ATTRIBUTE_BYTES {
            return Err(InvalidAdvert::Attributes);
        }
        let attributes =
            Attributes::decode(advert.attributes.clone()).map_err(|_| InvalidAdvert::Attributes)?;
        let claim =
            Self { id: advert.artifact_id, size: advert.size, chunk_bytes: attributes.chunk_bytes };
        if advert.artifact_id.as_bytes() != advert.integrity_hash.as_bytes() {
            return Err(InvalidAdvert::Id);
        }
        if !chunk_bytes_allowed(claim.chunk_bytes) {
            return Err(InvalidAdvert::ChunkBytes);
        }
        if claim.size > options.max_artifact_bytes {
            return Err(InvalidAdvert::Size);
        }
        if claim.size.div_ceil(u64::from(claim.chunk_bytes)) > MAX_CHUNKS {
            return Err(InvalidAdvert::Chunks);
        }
        // Nobody would be to blame for the content of an artifact that has none.
        if claim.size == 0 && claim.id != ArtifactId::new(Sha256::digest([]).into()) {
            return Err(InvalidAdvert::Size);
        }
        Ok(claim)
    }

    /// How many chunks the artifact has; 0 if it is empty.
    pub(crate) fn chunk_count(&self) -> u32 {
        // `read` has checked that it is small.
        u32::try_from(self.size.div_ceil(u64::from(self.chunk_bytes))).unwrap_or(u32::MAX)
    }

    /// Where a chunk begins and how long it is, if there is such a chunk.
    pub(crate) fn chunk(&self, number: u32) -> Option<(u64, usize)> {
        let offset = u64::from(number) * u64::from(self.chunk_bytes);
        let length = self.size.checked_sub(offset)?.min(u64::from(self.chunk_bytes));
        // At most `chunk_bytes`, so it fits.
        (length > 0).then_some((offset, length as usize))
    }
}

/// The advert of an artifact of which nothing is counted.
#[cfg(any(test, fuzzing))]
pub(crate) fn advert_of(
    artifact: Artifact,
    head: Option<&Head>,
    options: &GossipOptions,
) -> GossipAdvert {
    catalog_advert_of(artifact, head, None, options)
}

/// The advert of an artifact that this replica holds. If it is a current catalog, its head goes with it. So does how
/// many of its files this replica lacks and how many bytes, if that has been counted.
pub(super) fn catalog_advert_of(
    artifact: Artifact,
    head: Option<&Head>,
    missing: Option<(u64, u64)>,
    options: &GossipOptions,
) -> GossipAdvert {
    let head = head.map(Head::encode).unwrap_or_default();
    let missing = missing.map(|(files, bytes)| Missing { files: Some(files), bytes: Some(bytes) });
    let (height, chunk_bytes) = (artifact.height, options.chunk_bytes);
    let attributes = Attributes { height, chunk_bytes, head, missing };
    GossipAdvert {
        artifact_id: artifact.id,
        size: artifact.size,
        integrity_hash: IntegrityHash::new(*artifact.id.as_bytes()),
        attributes: Bytes::from(attributes.encode_to_vec()),
    }
}

/// The bytes of the head in an advert, if it has one that can be read.
pub(super) fn head_bytes(advert: &GossipAdvert) -> Option<Vec<u8>> {
    let attributes = long_attributes(advert)?;
    (!attributes.head.is_empty()).then_some(attributes.head)
}

/// How many files of its catalog the sender says that it lacks, and how many bytes.
pub(super) fn missing_in(advert: &GossipAdvert) -> Option<(u64, u64)> {
    let missing = long_attributes(advert)?.missing?;
    missing.files.zip(missing.bytes)
}

/// Attributes that may have more than every advert has.
fn long_attributes(advert: &GossipAdvert) -> Option<Attributes> {
    if !(MAX_BARE_BYTES + 1..=MAX_ATTRIBUTE_BYTES).contains(&advert.attributes.len()) {
        return None;
    }
    Attributes::decode(advert.attributes.clone()).ok()
}

#[cfg(test)]
mod tests;
