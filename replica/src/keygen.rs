//! `gossip-replica keygen` and `gossip-replica id`: a new identity, and whose one is.

use std::path::Path;

use gossip_replica::identity::Identity;
use serde_json::json;

use crate::failure::{Failure, say, say_json};

/// Writes a new key to `file` and says which node it makes.
pub(crate) fn keygen(file: &Path, is_json: bool) -> Result<(), Failure> {
    let identity = Identity::generate();
    identity.save(file).map_err(Failure::runtime)?;
    say_id(&identity, is_json)
}

/// Says which node the key in `file` makes.
pub(crate) fn id(file: &Path, is_json: bool) -> Result<(), Failure> {
    say_id(&Identity::load(file).map_err(Failure::runtime)?, is_json)
}

fn say_id(identity: &Identity, is_json: bool) -> Result<(), Failure> {
    let id = format!("{:x}", identity.node_id());
    if is_json { say_json(&json!({ "id": id })) } else { say(id) }
}
