//! Catalogs of a store that is not open here, whether its replica runs or not.
//!
//! ```text
//! store/catalogs/<64 hex>    a head, whose signature is checked
//! store/<64 hex>             its catalog, whose hash is checked
//! ```
//!
//! Nothing is locked and nothing is written. The replica may replace a head at any time and drop the catalog before it,
//! so that a catalog that is not there is looked for once more, by the head that stands there then.

use std::{fs, io, path::Path, sync::Arc};

use gossip_engine::NodeId;

use super::{Catalog, CatalogError, Current, MAX_CATALOG_BYTES, MAX_PUBLISHERS, disk::read_head};
use crate::store::{CATALOGS_FOLDER, CopyError, copy_artifact};

/// Why the catalog of a publisher cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The head cannot be read, or is not signed.
    #[error("the head of the catalog: {0}")]
    Head(io::Error),
    /// The head is that of another publisher.
    #[error("the head of the catalog is another publisher's")]
    Publisher,
    /// The head says that it is larger than a catalog may be.
    #[error("the catalog would have {0} bytes, more than {MAX_CATALOG_BYTES}")]
    TooLarge(u64),
    /// The artifact cannot be read, or is not here.
    #[error("the catalog: {0}")]
    Artifact(#[from] CopyError),
    /// The artifact is no catalog.
    #[error("the catalog: {0}")]
    Catalog(#[from] CatalogError),
}

/// The publishers with a catalog in this store, in the order of their ids: at most [`MAX_PUBLISHERS`].
///
/// # Errors
///
/// If the store, or its folder of heads, cannot be read. One without such a folder has no catalog.
pub fn publishers(store: &Path) -> io::Result<Vec<NodeId>> {
    fs::read_dir(store)?;
    let entries = match fs::read_dir(store.join(CATALOGS_FOLDER)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut publishers = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let id = name.to_str().and_then(|name| name.parse::<NodeId>().ok());
        if let Some(id) = id.filter(|_| publishers.len() < MAX_PUBLISHERS) {
            publishers.push(id);
        }
    }
    publishers.sort_unstable();
    Ok(publishers)
}

/// The current catalog of a publisher. Takes a second for the largest.
///
/// # Errors
///
/// [`ReadError`] says what is wrong with it.
pub fn read_catalog(store: &Path, publisher: NodeId) -> Result<Current, ReadError> {
    match read(store, publisher) {
        // It may be the one before.
        Err(ReadError::Artifact(CopyError::NotHere)) => read(store, publisher),
        read => read,
    }
}

fn read(store: &Path, publisher: NodeId) -> Result<Current, ReadError> {
    let path = store.join(CATALOGS_FOLDER).join(format!("{publisher:x}"));
    let head = read_head(&path).map_err(ReadError::Head)?;
    if head.publisher() != publisher {
        return Err(ReadError::Publisher);
    }
    if head.size() > MAX_CATALOG_BYTES {
        return Err(ReadError::TooLarge(head.size()));
    }
    let mut content = Vec::new();
    copy_artifact(store, head.catalog(), head.size(), &mut content)?;
    match Catalog::decode_of(&content)? {
        (of, catalog) if of == publisher => {
            Ok(Current { head, catalog: Arc::new(catalog), over_share: Arc::default() })
        }
        _ => Err(CatalogError::Another.into()),
    }
}

#[cfg(test)]
mod tests;
