//! What a configuration says of the peers, and a file that says nothing else.
//!
//! One file of peers may serve all machines of a cluster: a replica skips its own entry.

use std::{collections::HashMap, fmt, net::SocketAddr};

use gossip_engine::NodeId;
use gossip_replica::{
    names::PeerName,
    transport::{AddressError, PeerAddress, limits::MAX_PEERS},
};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, SeqAccess, Visitor},
};
use toml::Spanned;

use super::texts;

/// The longest `host:port`: the longest name of DNS, a colon and five digits.
const MAX_ADDRESS_BYTES: usize = 253 + 1 + 5;

/// What a configuration says of a peer.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, expecting = "a table, as [[peers]]")]
pub(crate) struct PeerSettings {
    #[serde(deserialize_with = "node_id")]
    pub(crate) key: NodeId,
    /// Where it listens, as `host:port`.
    #[serde(deserialize_with = "peer_address")]
    pub(crate) address: PeerAddress,
    /// What it is called.
    #[serde(default, deserialize_with = "peer_name")]
    pub(crate) name: Option<PeerName>,
}

/// A file of peers.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PeersFile {
    #[serde(default, deserialize_with = "list")]
    pub(super) peers: Vec<Spanned<PeerSettings>>,
}

/// A peer that cannot be in the list.
#[derive(Debug)]
pub(super) struct PeerFault {
    /// Where in the text, in bytes from its begin.
    pub(super) at: usize,
    pub(super) message: String,
}

/// The peers of one or two files, each key, each address and each name once.
#[derive(Debug, Default)]
pub(super) struct PeerList {
    pub(super) peers: Vec<PeerSettings>,
    by_address: HashMap<String, NodeId>,
    by_name: HashMap<PeerName, NodeId>,
    keys: HashMap<NodeId, ()>,
}

impl PeerList {
    pub(super) fn add(&mut self, peers: Vec<Spanned<PeerSettings>>) -> Result<(), PeerFault> {
        for peer in peers {
            let at = peer.span().start;
            let fault = |message| Err(PeerFault { at, message });
            let peer = peer.into_inner();
            if self.peers.len() == MAX_PEERS {
                return fault(format!("more than {MAX_PEERS} peers"));
            }
            if self.keys.insert(peer.key, ()).is_some() {
                return fault(format!("the list of peers names {} twice", peer.key));
            }
            if let Some(other) = self.by_address.insert(canonical(peer.address.as_str()), peer.key)
            {
                let PeerSettings { key, address, .. } = &peer;
                return fault(format!("{other} and {key} are both said to listen on {address}"));
            }
            if let Some(name) = &peer.name
                && let Some(other) = self.by_name.insert(name.clone(), peer.key)
            {
                return fault(format!("{other} and {} are both called {name}", peer.key));
            }
            self.peers.push(peer);
        }
        Ok(())
    }
}

/// One spelling of an address, as far as that can be told without asking anybody.
fn canonical(address: &str) -> String {
    match address.parse::<SocketAddr>() {
        Ok(address) => SocketAddr::new(address.ip().to_canonical(), address.port()).to_string(),
        Err(_) => address.to_lowercase(),
    }
}

/// The peers of a file, each with its place.
pub(super) fn list<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<Spanned<PeerSettings>>, D::Error> {
    struct Tables;

    impl<'de> Visitor<'de> for Tables {
        type Value = Vec<Spanned<PeerSettings>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("tables, each as [[peers]]")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut tables: A) -> Result<Self::Value, A::Error> {
            let mut peers = Vec::new();
            while let Some(peer) = tables.next_element()? {
                peers.push(peer);
            }
            Ok(peers)
        }
    }

    deserializer.deserialize_seq(Tables)
}

pub(super) fn node_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NodeId, D::Error> {
    texts::KEY
        .read(deserializer)?
        .parse()
        .map_err(|error| D::Error::custom(format_args!("the key of a peer: {error}")))
}

pub(super) fn peer_address<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<PeerAddress, D::Error> {
    let address = texts::ADDRESS.read(deserializer)?;
    address.parse().map_err(|error: AddressError| {
        D::Error::custom(format_args!("the address of a peer, {address:?}: {}", error.reason()))
    })
}

fn peer_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PeerName>, D::Error> {
    let name = texts::NAME.read(deserializer)?;
    let fault = |error| D::Error::custom(format_args!("the name of a peer, {name:?}: {error}"));
    name.parse().map(Some).map_err(fault)
}

/// Where the replica listens, as `host:port`.
pub(super) fn listen<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let address = texts::LISTEN.read(deserializer)?;
    check_listen(&address)
        .map_err(|reason| D::Error::custom(format_args!("listen, {address:?}: {reason}")))
}

/// The text, if its form is right. A peer's address has a type of its own, for less may be dialled than listened on.
pub(crate) fn check_listen(text: &str) -> Result<String, &'static str> {
    if text.parse::<SocketAddr>().is_ok() {
        return Ok(text.to_owned());
    }
    if text.len() > MAX_ADDRESS_BYTES {
        return Err("it is too long");
    }
    let (host, port) = text.rsplit_once(':').ok_or("it has no port; write host:port")?;
    port.parse::<u16>().map_err(|_| "its port is no number from 0 to 65535")?;
    if host.contains([':', '[', ']']) {
        return Err("an IPv6 address stands in brackets, as [::1]:4100");
    }
    if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("its host is no name; write host:port");
    }
    Ok(text.to_owned())
}
