//! Nodes that run on hosts of their own, in one network.

use std::process::Stdio;

use tempfile::TempDir;

use crate::{
    namespaces::{Network, address},
    node::Node,
    program::{Running, command},
};

pub(crate) const PORT: u16 = 4100;

/// Dropped in this order: processes go before their network.
pub(crate) struct Cluster {
    /// By host, as the nodes.
    pub(crate) running: Vec<Running>,
    /// The smallest id first.
    pub(crate) nodes: Vec<Node>,
    pub(crate) network: Network,
    peers: Vec<(String, String)>,
    _folder: TempDir,
}

impl Cluster {
    /// So many nodes that do not run yet; `None`, with a line that says why, where there is no network.
    pub(crate) fn new(test: &str, count: usize) -> Option<Self> {
        let network = Network::new(test, count)?;
        let folder = TempDir::new().unwrap();
        let node = |number: usize| Node::new(folder.path().join(number.to_string()));
        let mut nodes: Vec<Node> = (0..count).map(node).collect();
        nodes.sort_by(|one, two| one.id.cmp(&two.id));
        let mut peers = Vec::new();
        for (place, node) in nodes.iter_mut().enumerate() {
            // Wherever the host is.
            node.address = format!("0.0.0.0:{PORT}");
            peers.push((node.id.clone(), format!("{}:{PORT}", address(place as u8))));
        }
        Some(Self { running: Vec::new(), nodes, network, peers, _folder: folder })
    }

    pub(crate) fn start(&mut self) {
        for (host, node) in self.nodes.iter_mut().enumerate() {
            let there = self.network.on(host, &command(["run", "--config"]));
            self.running.push(node.start_as(there, Stdio::null(), &self.peers));
        }
    }
}
