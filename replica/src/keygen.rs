//! `gossip-replica keygen`: a new identity.

use std::path::Path;

use gossip_replica::identity::Identity;

use crate::failure::{Failure, say};

/// Writes a new key to `file` and says which node it makes.
pub(crate) fn keygen(file: &Path) -> Result<(), Failure> {
    let identity = Identity::generate();
    identity.save(file).map_err(Failure::runtime)?;
    say(format_args!("{:x}", identity.node_id()))
}
