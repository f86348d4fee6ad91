//! `gossip-replica keygen` and `gossip-replica id`: a new identity, and whose one is.

use std::path::Path;

use gossip_replica::identity::Identity;

use crate::failure::{Failure, say};

/// Writes a new key to `file` and says which node it makes.
pub(crate) fn keygen(file: &Path) -> Result<(), Failure> {
    let identity = Identity::generate();
    identity.save(file).map_err(Failure::runtime)?;
    say(format_args!("{:x}", identity.node_id()))
}

/// Says which node the key in `file` makes.
pub(crate) fn id(file: &Path) -> Result<(), Failure> {
    let identity = Identity::load(file).map_err(Failure::runtime)?;
    say(format_args!("{:x}", identity.node_id()))
}
