//! What a catalog lists, and its bytes.
//!
//! The bytes are a line that names the format, the publisher's key, and a message of protobuf for each file, with its
//! length before it, in the order of the paths. A list has one form: the same files of a publisher always make the same
//! artifact, and the same files of another publisher make another one. A list that stays on a machine has no key.

use std::fs::Metadata;

use bytes::Buf as _;
use gossip_engine::{ArtifactId, NodeId};
use prost::Message as _;

use super::{FilePath, PathError};
use crate::file_version::FileVersion;

/// The longest catalog, in bytes; 64 MiB. Some 500 000 files with paths of 60 bytes.
pub const MAX_CATALOG_BYTES: u64 = 64 << 20;
/// The most files in a catalog. Some 200 bytes each.
pub const MAX_FILES: usize = 1 << 19;

/// The bits of a mode that travel: what owner, group and others may do. Nothing becomes another user's program.
const MODE_BITS: u32 = 0o777;
/// How a catalog begins. A later format begins otherwise.
pub(crate) const CATALOG_MAGIC: &[u8] = b"gossip-catalog/1\n";
/// How a list without a publisher begins.
const MAGIC: &[u8] = b"gossip-files/1\n";
/// The length of a key.
const KEY_BYTES: usize = 32;

/// A file of a catalog.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FileEntry {
    /// Its content.
    pub id: ArtifactId,
    /// The size of its content in bytes.
    pub size: u64,
    /// What its owner, their group and others may do with it: nine bits, as `chmod` has them.
    pub mode: u32,
    /// When it was changed last, in nanoseconds since 1970, as the publisher's disk says.
    pub modified_ns: i64,
}

impl FileEntry {
    /// A file of this machine with the content `id`.
    #[must_use]
    pub fn of(id: ArtifactId, metadata: &Metadata) -> Self {
        #[cfg(unix)]
        let mode = std::os::unix::fs::MetadataExt::mode(metadata) & MODE_BITS;
        #[cfg(not(unix))]
        let mode = if metadata.permissions().readonly() { 0o444 } else { 0o644 };
        let modified_ns = FileVersion::of(metadata).modified_ns();
        Self { id, size: metadata.len(), mode, modified_ns }
    }
}

/// The files of a folder, by path. See the [module](super) for what a catalog is.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Catalog {
    /// In the order of the paths, each once.
    files: Vec<(FilePath, FileEntry)>,
}

/// Why bytes are no catalog, or files cannot be one.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogError {
    /// It begins otherwise: it is something else, or of a later version.
    #[error("it does not begin as a catalog that this version knows")]
    Format,
    /// A file's entry cannot be read.
    #[error("entry {0} cannot be read")]
    Entry(usize),
    /// A path cannot be one.
    #[error("entry {number}: {error}")]
    Path {
        /// Which entry, from 0.
        number: usize,
        /// What is wrong with the path.
        error: PathError,
    },
    /// A path comes after a larger one, or twice.
    #[error("{0} is not in order")]
    Order(FilePath),
    /// A path is a file and a folder.
    #[error("{0} is a file and a folder")]
    FileAndFolder(FilePath),
    /// It is another publisher's, or has another size than its head says.
    #[error("it is another publisher's, or has another size than its head says")]
    Another,
    /// It is longer than [`MAX_CATALOG_BYTES`], or has more than [`MAX_FILES`].
    #[error("it has more than {MAX_FILES} files or {MAX_CATALOG_BYTES} bytes")]
    TooLarge,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Wire {
    #[prost(bytes = "vec", tag = "1")]
    path: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    id: Vec<u8>,
    #[prost(uint64, tag = "3")]
    size: u64,
    #[prost(uint32, tag = "4")]
    mode: u32,
    #[prost(sint64, tag = "5")]
    modified_ns: i64,
}

impl Catalog {
    /// The catalog of these files, in whatever order they come.
    ///
    /// # Errors
    ///
    /// [`CatalogError`], if a path comes twice or is a file and a folder, or they are too many.
    pub fn new(
        files: impl IntoIterator<Item = (FilePath, FileEntry)>,
    ) -> Result<Self, CatalogError> {
        let mut files: Vec<(FilePath, FileEntry)> = files.into_iter().collect();
        files.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        Self::checked(files)
    }

    /// Reads a publisher's catalog, as [`encode_of`](Self::encode_of) writes it. The bytes may come from anybody.
    /// Returns whose it says it is, and its files.
    ///
    /// # Errors
    ///
    /// As for [`decode`](Self::decode).
    pub fn decode_of(bytes: &[u8]) -> Result<(NodeId, Self), CatalogError> {
        if bytes.len() as u64 > MAX_CATALOG_BYTES {
            return Err(CatalogError::TooLarge);
        }
        let rest = bytes.strip_prefix(CATALOG_MAGIC).ok_or(CatalogError::Format)?;
        let (key, rest) = rest.split_first_chunk::<KEY_BYTES>().ok_or(CatalogError::Format)?;
        Ok((NodeId::new(*key), Self::decode_files(rest)?))
    }

    /// Reads what [`encode`](Self::encode) wrote.
    ///
    /// Takes time and memory in proportion to the bytes, of which there are at most [`MAX_CATALOG_BYTES`].
    ///
    /// # Errors
    ///
    /// [`CatalogError`] says what is wrong, and where.
    pub fn decode(bytes: &[u8]) -> Result<Self, CatalogError> {
        if bytes.len() as u64 > MAX_CATALOG_BYTES {
            return Err(CatalogError::TooLarge);
        }
        Self::decode_files(bytes.strip_prefix(MAGIC).ok_or(CatalogError::Format)?)
    }

    fn decode_files(mut rest: &[u8]) -> Result<Self, CatalogError> {
        let mut files = Vec::new();
        while rest.has_remaining() {
            let number = files.len();
            if number >= MAX_FILES {
                return Err(CatalogError::TooLarge);
            }
            let wire = Wire::decode_length_delimited(&mut rest);
            let wire = wire.map_err(|_| CatalogError::Entry(number))?;
            let id: [u8; 32] = wire.id.try_into().map_err(|_| CatalogError::Entry(number))?;
            let path = FilePath::new(&wire.path);
            let path = path.map_err(|error| CatalogError::Path { number, error })?;
            let entry = FileEntry {
                id: ArtifactId::new(id),
                size: wire.size,
                mode: wire.mode & MODE_BITS,
                modified_ns: wire.modified_ns,
            };
            files.push((path, entry));
        }
        Self::checked(files)
    }

    /// The bytes of a publisher's catalog. They may be more than [`MAX_CATALOG_BYTES`].
    #[must_use]
    pub fn encode_of(&self, publisher: NodeId) -> Vec<u8> {
        self.encode_after([CATALOG_MAGIC, publisher.as_bytes()].concat())
    }

    /// The bytes of the list alone.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.encode_after(MAGIC.to_vec())
    }

    fn encode_after(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        for (path, entry) in &self.files {
            let wire = Wire {
                path: path.as_bytes().to_vec(),
                id: entry.id.as_bytes().to_vec(),
                size: entry.size,
                mode: entry.mode & MODE_BITS,
                modified_ns: entry.modified_ns,
            };
            wire.encode_length_delimited(&mut bytes).expect("a vector grows");
        }
        bytes
    }

    /// How many files.
    #[must_use]
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether there is no file.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The file with this path.
    #[must_use]
    pub fn get(&self, path: &FilePath) -> Option<&FileEntry> {
        let found = self.files.binary_search_by(|(other, _)| other.cmp(path)).ok()?;
        Some(&self.files[found].1)
    }

    /// All files, in the order of their paths.
    pub fn files(&self) -> impl ExactSizeIterator<Item = (&FilePath, &FileEntry)> {
        self.files.iter().map(|(path, entry)| (path, entry))
    }

    /// `files` are in order, or they are refused.
    fn checked(files: Vec<(FilePath, FileEntry)>) -> Result<Self, CatalogError> {
        if files.len() > MAX_FILES {
            return Err(CatalogError::TooLarge);
        }
        for pair in files.windows(2) {
            let [(before, _), (path, _)] = pair else { continue };
            if before >= path {
                return Err(CatalogError::Order(path.clone()));
            }
            // What is below a path follows it at once.
            if before.contains(path) {
                return Err(CatalogError::FileAndFolder(before.clone()));
            }
        }
        Ok(Self { files })
    }
}

#[cfg(test)]
mod tests;
