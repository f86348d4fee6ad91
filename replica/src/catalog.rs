//! Catalogs: the signed list of the files in a publisher's folder, by path.
//!
//! An artifact is content without a name. A catalog gives names: for each path the artifact that is its content, its
//! size, mode and time. It is an artifact itself, so it is fetched and verified as any other. What makes it a catalog
//! is its [`Head`], which travels in the artifact's advert: the publisher's key, a sequence number, and a signature.
//!
//! ```text
//!                    advert with a head                       fetched, decoded
//! (nothing known) ─────────────────────> announced: head H ──────────────────> current: H and its files
//!        ^                                 ^        │                             │   ^
//!        │ refused: said once              └────────┘ a newer head                └───┘ the next one is complete
//!        └── not on the list of peers, forged, older
//! ```
//!
//! - A publisher's files are those of its current catalog. What a newer catalog does not name is removed or renamed.
//! - A path is a publisher's own. Two publishers with the same path have two files.
//! - The head with the larger sequence number counts. Two heads with the same number come only from a copied key. Of
//!   these all replicas take the one whose catalog has the larger id.
//! - A catalog says whose it is, so that two publishers with the same files have two catalogs.
//! - The current catalog stays until all of the next one is here and has been found right.
//!
//! How much is held of what a catalog names, and of what none names, is bounded: see `share` and `unnamed`.
//!
//! Nothing in a catalog is believed further than it can be checked: paths and numbers when it is decoded, content when
//! it is fetched. Bounded: [`MAX_CATALOG_BYTES`] and [`MAX_FILES`] of each publisher, [`MAX_ALL_FILES`] of all.
//!
//! May lose: a catalog that a replica fetches more slowly than its publisher makes new ones. The pause between two of
//! them grows with their size, so that 2 MB/s are enough.

mod disk;
mod entries;
mod head;
mod known;
mod names;
mod path;
mod publishers;
mod reader;
mod retired;
mod share;
mod unnamed;

pub use self::{
    entries::{Catalog, CatalogError, FileEntry, MAX_CATALOG_BYTES, MAX_FILES},
    head::{Head, HeadError},
    known::{Catalogs, MAX_ALL_FILES, MAX_PUBLISHERS},
    path::{FilePath, MAX_DEPTH, MAX_NAME_BYTES, MAX_PATH_BYTES, PathError},
    publishers::Current,
    reader::{ReadError, publishers, read_catalog},
    share::OverShare,
};

#[cfg(any(test, feature = "simulation"))]
pub(crate) use self::unnamed::LEAST_BYTES as LEAST_UNNAMED_BYTES;
pub(crate) use self::{
    entries::CATALOG_MAGIC, known::News, publishers::fetching::NotFetched, share::Here,
    unnamed::Offer,
};
