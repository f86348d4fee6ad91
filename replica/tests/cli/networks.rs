//! Processes on hosts of their own, in a network that falls apart and whose hosts move.

use std::process::Stdio;

use tempfile::TempDir;

use crate::{
    namespaces::{Network, address},
    node::{Node, until_all_hold},
    program::{Running, command},
};

const PORT: u16 = 4100;

/// So many nodes, the smallest id first, and how they reach each other.
fn nodes(folder: &TempDir, count: usize) -> (Vec<Node>, Vec<(String, String)>) {
    let node = |number: usize| Node::new(folder.path().join(number.to_string()));
    let mut nodes: Vec<Node> = (0..count).map(node).collect();
    nodes.sort_by(|one, two| one.id.cmp(&two.id));
    let mut peers = Vec::new();
    for (place, node) in nodes.iter_mut().enumerate() {
        // Wherever the host is.
        node.address = format!("0.0.0.0:{PORT}");
        peers.push((node.id.clone(), format!("{}:{PORT}", address(place as u8))));
    }
    (nodes, peers)
}

fn start(network: &Network, nodes: &mut [Node], peers: &[(String, String)]) -> Vec<Running> {
    let start = |(host, node): (usize, &mut Node)| {
        let there = network.on(host, &command(["run", "--config"]));
        node.start_as(there, Stdio::null(), peers)
    };
    nodes.iter_mut().enumerate().map(start).collect()
}

#[test]
fn a_network_of_five_falls_apart_and_is_whole_again() {
    let Some(network) = Network::new("a network of five", 5) else { return };
    let folder = TempDir::new().unwrap();
    let (mut nodes, peers) = nodes(&folder, 5);
    let running = start(&network, &mut nodes, &peers);
    nodes[0].publish(0..3);
    until_all_hold(&nodes.iter().collect::<Vec<_>>(), 0..3);
    network.part(&[3, 4]);
    // Nobody hears of what the other half has, so each holds its own alone.
    nodes[1].publish(3..6);
    until_all_hold(&nodes[..3].iter().collect::<Vec<_>>(), 0..6);
    assert_eq!(nodes[4].count(), 3, "the network is apart");
    nodes[3].publish(6..7);
    network.heal();
    until_all_hold(&nodes.iter().collect::<Vec<_>>(), 0..7);
    drop(running);
}

#[test]
fn one_that_moves_is_met_again_at_its_new_address() {
    let Some(network) = Network::new("one that moves", 2) else { return };
    let folder = TempDir::new().unwrap();
    let (mut nodes, peers) = nodes(&folder, 2);
    let running = start(&network, &mut nodes, &peers);
    nodes[1].publish(0..1);
    until_all_hold(&nodes.iter().collect::<Vec<_>>(), 0..1);
    // The other dials it where it was, so it is met because it dials.
    network.move_to(0, 100);
    nodes[1].publish(1..2);
    nodes[0].publish(2..3);
    until_all_hold(&nodes.iter().collect::<Vec<_>>(), 0..3);
    drop(running);
}
