//! `gossip-replica ls` and `gossip-replica get`: what publishers have in their folders, out of a store.
//!
//! The store's folder is read as it is, without a lock and without the replica: it does not matter whether one runs.
//! What is wrong with the catalog of one publisher is said on standard error, and the others are shown.
//!
//! A running replica may replace a catalog and drop what it named at any time. What `ls` prints was so when it was
//! read. `get` looks once more for a file that it does not find.

mod get;
mod ls;
mod place;

use std::path::{Path, PathBuf};

use gossip_engine::NodeId;
use gossip_replica::{
    catalog::{Current, ReadError, publishers, read_catalog},
    identity::Identity,
    names::Names,
};

pub(crate) use self::{get::get, ls::ls};

use self::place::Place;
use crate::{failure::Failure, settings::Settings};

/// A store, and the publishers of what is in it.
#[derive(Debug)]
struct Browsing {
    store: PathBuf,
    names: Names,
    /// Those with a catalog, in the order of their ids.
    publishers: Vec<NodeId>,
}

impl Browsing {
    /// Of the store that a configuration names.
    fn of(config: &Path) -> Result<Self, Failure> {
        let settings = Settings::load(config)?;
        let store = settings.store.clone();
        let mut publishers = publishers(&store).map_err(|error| {
            Failure::runtime(format_args!("cannot read the store {}: {error}", store.display()))
        })?;
        // A publisher that has left the list no longer counts, and its files are not kept for long. Without the key it
        // is not known which publisher is this replica.
        if let Ok(identity) = Identity::load(&settings.key_file) {
            let own = identity.node_id();
            let is_listed = |id: &NodeId| settings.peers.iter().any(|peer| peer.key == *id);
            publishers.retain(|id| *id == own || is_listed(id));
        }
        let names = Names::default();
        names.set(settings.names());
        Ok(Self { store, names, publishers })
    }

    /// The publisher that a place names.
    fn publisher(&self, place: &Place) -> Result<NodeId, Failure> {
        let found = self.names.find(&place.publisher, self.publishers.iter().copied());
        let id = found.map_err(Failure::usage)?;
        if self.publishers.binary_search(&id).is_err() {
            let name = self.names.publisher_name(id);
            return Err(Failure::runtime(format_args!("{name} has no folder that is known here")));
        }
        Ok(id)
    }

    fn catalog(&self, publisher: NodeId) -> Result<Current, String> {
        read_catalog(&self.store, publisher).map_err(|error: ReadError| {
            format!("the folder of {}: {error}", self.names.publisher_name(publisher))
        })
    }
}
