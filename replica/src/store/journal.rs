//! Which bytes of an artifact in progress have come: a journal behind its content, in the same file.
//!
//! ```text
//! 0                      size                    16 bytes each
//! │ content, with holes  │ entry │ entry │ ... │
//!                          offset 8, length 4, check 4; little-endian
//! ```
//!
//! The journal is begun before the first byte of content. An entry is written after its bytes, so a process that ends
//! between the two loses one chunk. When the whole has been found right, the file is cut to its size: a file without a
//! journal is whole.
//!
//! Nothing is synced. After a power cut an entry may stand for bytes that never reached the disk. The hash of the whole
//! finds that, and the artifact is fetched anew. A sync for each chunk would cost everybody more than that.
//!
//! The check binds an entry to the format, the artifact and its size: what was damaged, or written by another version,
//! counts as nothing. It is no proof of the content, which is trusted only once the whole hashes to the id.
//!
//! Bounded: [`MAX_ENTRIES`]. What comes beyond them is written, and fetched again if the attempt ends before it is
//! whole.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    ops::Range,
};

use gossip_engine::ArtifactId;
use sha2::{Digest as _, Sha256};

/// How many entries a journal has at most: as many as an artifact has chunks.
pub(super) const MAX_ENTRIES: u64 = 1 << 16;
/// The format.
const VERSION: &[u8] = b"gossip partial 1";
const ENTRY_BYTES: usize = 16;

/// Of which artifact a file is a part.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Key {
    pub(super) id: ArtifactId,
    pub(super) size: u64,
}

impl Key {
    /// The name of a file with a part of the artifact.
    pub(super) fn file_name(self, number: u64) -> String {
        format!("{:x}.{}.{number}", self.id, self.size)
    }

    /// Of which artifact a file with this name has a part, and its number.
    pub(super) fn parse(found: &str) -> Option<(Self, u64)> {
        let mut parts = found.splitn(3, '.');
        let id = parts.next()?.parse().ok()?;
        let size = parts.next()?.parse().ok()?;
        let number = parts.next()?.parse().ok()?;
        let key = Self { id, size };
        // Other spellings are not ours.
        (key.file_name(number) == found).then_some((key, number))
    }
}

/// What a file has by its journal.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Journal {
    /// In order, and apart from each other.
    pub(super) ranges: Vec<Range<u64>>,
    /// How many entries there are, those that count for nothing included.
    pub(super) entries: u64,
}

impl Journal {
    /// How many bytes of the content are there.
    pub(super) fn bytes(&self) -> u64 {
        self.ranges.iter().map(|range| range.end - range.start).sum()
    }
}

/// Begins the journal of a new file.
pub(super) fn begin(file: &File, key: Key) -> io::Result<()> {
    let length = key.size.checked_add(ENTRY_BYTES as u64).ok_or(io::ErrorKind::FileTooLarge)?;
    file.set_len(length)
}

/// Writes the entry with this number: these bytes have come.
pub(super) fn write(
    file: &mut File,
    key: Key,
    number: u64,
    offset: u64,
    length: u32,
) -> io::Result<()> {
    file.seek(SeekFrom::Start(key.size.saturating_add(number * ENTRY_BYTES as u64)))?;
    file.write_all(&entry(key, offset, length))
}

/// Reads the journal. A file that is no part of the artifact has nothing.
pub(super) fn read(mut file: &File, key: Key) -> io::Result<Journal> {
    let Some(journal) = file.metadata()?.len().checked_sub(key.size) else {
        return Ok(Journal { ranges: Vec::new(), entries: 0 });
    };
    if journal == 0 {
        return Ok(Journal { ranges: std::iter::once(0..key.size).collect(), entries: 0 });
    }
    file.seek(SeekFrom::Start(key.size))?;
    let mut bytes = Vec::new();
    file.take(MAX_ENTRIES * ENTRY_BYTES as u64).read_to_end(&mut bytes)?;
    let entries = bytes.chunks(ENTRY_BYTES);
    let count = entries.len() as u64;
    let mut ranges: Vec<Range<u64>> = entries.filter_map(|entry| range(entry, key)).collect();
    ranges.sort_unstable_by_key(|range| range.start);
    ranges.dedup_by(|next, range| {
        let joined = next.start <= range.end;
        if joined {
            range.end = range.end.max(next.end);
        }
        joined
    });
    Ok(Journal { ranges, entries: count })
}

fn entry(key: Key, offset: u64, length: u32) -> [u8; ENTRY_BYTES] {
    let mut entry = [0; ENTRY_BYTES];
    entry[..8].copy_from_slice(&offset.to_le_bytes());
    entry[8..12].copy_from_slice(&length.to_le_bytes());
    let mut hasher = Sha256::new();
    hasher.update(VERSION);
    hasher.update(key.id.as_bytes());
    hasher.update(key.size.to_le_bytes());
    hasher.update(&entry[..12]);
    entry[12..].copy_from_slice(&hasher.finalize()[..4]);
    entry
}

/// The bytes that an entry stands for, if it is one.
fn range(bytes: &[u8], key: Key) -> Option<Range<u64>> {
    let offset = u64::from_le_bytes(bytes.get(..8)?.try_into().ok()?);
    let length = u32::from_le_bytes(bytes.get(8..12)?.try_into().ok()?);
    if length == 0 || bytes != entry(key, offset, length) {
        return None;
    }
    let end = offset.checked_add(length.into())?;
    (end <= key.size).then_some(offset..end)
}

#[cfg(test)]
mod tests;
