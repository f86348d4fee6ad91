//! A machine's own entry in the text of a file of peers.
//!
//! The rest of the text, comments and the others' entries, stays as it is. An entry of the same key gets the new
//! address in its place; else one is added at the end.

use std::fmt::Write as _;

use gossip_engine::NodeId;
use gossip_replica::transport::PeerAddress;
use serde::Deserialize;
use toml::Spanned;

use super::{
    PeerSettings, at, parse,
    peers::{PeerFault, PeerList, PeersFile, node_id, peer_address},
};

/// What a file of peers begins with that is new.
pub(super) const HEAD: &str = "\
# The machines of a cluster, the same list on all of them. `gossip-replica init` adds or updates an entry.
";

/// The places of the addresses.
#[derive(Deserialize)]
struct Entries {
    #[serde(default)]
    peers: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(deserialize_with = "node_id")]
    key: NodeId,
    address: Spanned<Address>,
}

#[derive(Deserialize)]
struct Address(#[serde(deserialize_with = "peer_address")] PeerAddress);

/// The text with this peer in it, `None` if it is already.
///
/// # Errors
///
/// If the text is no file of peers, or would be none with this peer.
pub(super) fn with_peer(text: &str, peer: &PeerSettings) -> Result<Option<String>, String> {
    check(text)?.map_err(|fault| at(text, fault.at, &fault.message))?;
    let entries: Entries = parse(text)?;
    let mut new = text.to_owned();
    let (key, address) = (format!("{:x}", peer.key), peer.address.as_str());
    match entries.peers.into_iter().find(|entry| entry.key == peer.key) {
        Some(entry) if entry.address.get_ref().0 == peer.address => return Ok(None),
        Some(entry) => new.replace_range(entry.address.span(), &format!("{address:?}")),
        None => {
            let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
            let _ = write!(new, "{end}\n[[peers]]\nkey = {key:?}\naddress = {address:?}\n");
        }
    }
    // No line of the file is at fault, but what it would be with the entry.
    match check(&new) {
        Ok(Ok(())) => Ok(Some(new)),
        Ok(Err(fault)) => Err(format!("with {key} at {address}: {}", fault.message)),
        Err(_) => Err("cannot be added to: write each entry as a table, [[peers]]".to_owned()),
    }
}

/// Whether it is a file of peers, and whether all of them can be in one list.
fn check(text: &str) -> Result<Result<(), PeerFault>, String> {
    let file: PeersFile = parse(text)?;
    Ok(PeerList::default().add(file.peers))
}

#[cfg(test)]
mod tests;
