//! What may be chosen about a store, and how it stands.

/// How many bytes of the disk a store leaves free by default: 64 MiB.
const MIN_FREE_BYTES: u64 = 64 << 20;
/// How many bytes a second are read back by default: 4 MiB, a hundredth of what a disk reads.
const VERIFY_BYTES_PER_SECOND: u64 = 4 << 20;

/// What an artifact survives once the store has said that it is held.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Durability {
    /// A power cut: content is synced before it gets its final name. About a millisecond a file.
    #[default]
    PowerCut,
    /// The end of the process, however sudden. After a power cut a file may have lost bytes under its
    /// final name, which only verification finds. For tests, demos and folders in memory.
    Crash,
}

/// What may be chosen about a store.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct StoreOptions {
    /// What artifacts survive.
    pub durability: Durability,
    /// How many bytes of the disk are left free; 64 MiB. An artifact that would leave less is refused
    /// before its first byte is written. Raise it where other programs need the same disk.
    pub min_free_bytes: u64,
    /// How many bytes of content the store may hold, those in progress included; no limit unless set. A
    /// store that holds more when it is opened keeps it, and takes nothing new.
    pub max_store_bytes: Option<u64>,
    /// At which rate everything is read back and hashed in the background; 4 MiB a second. 0 turns it
    /// off: then an artifact is verified only before it is served for the first time, and when its file
    /// is seen to have changed.
    pub verify_bytes_per_second: u64,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            durability: Durability::default(),
            min_free_bytes: MIN_FREE_BYTES,
            max_store_bytes: None,
            verify_bytes_per_second: VERIFY_BYTES_PER_SECOND,
        }
    }
}

/// How a store stands. For statistics: the figures are read one after the other.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct StoreStatus {
    /// Artifacts held.
    pub artifacts: u64,
    /// Bytes of content held.
    pub bytes: u64,
    /// Bytes of artifacts that are not whole and that nobody fetches now, kept for a later attempt.
    pub kept_bytes: u64,
    /// What the disk has free, in bytes, if the system says.
    pub free_bytes: Option<u64>,
    /// [`StoreOptions::min_free_bytes`].
    pub min_free_bytes: u64,
    /// [`StoreOptions::max_store_bytes`].
    pub max_store_bytes: Option<u64>,
    /// Bytes read back and found to be right, since the opening.
    pub verified_bytes: u64,
    /// Artifacts found damaged or gone, since the opening.
    pub damaged: u64,
    /// How many of them are held again.
    pub repaired: u64,
    /// What the store last met, in words: a damaged artifact, a disk that refuses, a folder that is gone.
    /// It stays until something else happens, or something is stored and all that was damaged is held again.
    pub last_error: Option<String>,
}
