//! Processes on hosts of their own, in a network that falls apart and whose hosts move.

use crate::{cluster::Cluster, node::until_all_hold};

#[test]
fn a_network_of_five_falls_apart_and_is_whole_again() {
    let Some(mut cluster) = Cluster::new("a network of five", 5) else { return };
    cluster.start();
    let Cluster { nodes, network, .. } = &cluster;
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
}

#[test]
fn one_that_moves_is_met_again_at_its_new_address() {
    let Some(mut cluster) = Cluster::new("one that moves", 2) else { return };
    cluster.start();
    let Cluster { nodes, network, .. } = &cluster;
    nodes[1].publish(0..1);
    until_all_hold(&nodes.iter().collect::<Vec<_>>(), 0..1);
    // The other dials it where it was, so it is met because it dials.
    network.move_to(0, 100);
    nodes[1].publish(1..2);
    nodes[0].publish(2..3);
    until_all_hold(&nodes.iter().collect::<Vec<_>>(), 0..3);
}
