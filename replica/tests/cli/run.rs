//! `gossip-replica run`: four processes.

use std::path::Path;

use tempfile::TempDir;

use crate::{
    node::{Node, until_all_hold},
    program::{Running, until},
};

/// Nodes of a cluster, running. Each knows where those listen that were started before it, and is met by those that
/// are started after it.
fn start(folder: &Path) -> (Vec<Node>, Vec<Running>, Vec<(String, String)>) {
    let mut nodes: Vec<Node> =
        (0..4).map(|index| Node::new(folder.join(format!("node {index}")))).collect();
    nodes.sort_by(|one, two| one.id.cmp(&two.id));
    // Nobody listens there, and no two are said to listen at the same place.
    let nowhere = |index: usize| format!("127.0.0.1:{}", index + 1);
    let mut peers: Vec<_> =
        nodes.iter().enumerate().map(|(index, node)| (node.id.clone(), nowhere(index))).collect();
    let mut running = Vec::new();
    for index in (0..nodes.len()).rev() {
        running.insert(0, nodes[index].start(&peers));
        peers[index].1 = nodes[index].address.clone();
    }
    (nodes, running, peers)
}

#[test]
fn four_processes_and_one_that_is_killed_and_comes_back() {
    let folder = TempDir::new().unwrap();
    let (mut nodes, mut running, peers) = start(folder.path());
    nodes[0].publish(0..40);
    nodes[3].publish(40..60);
    let victim = 2;
    until("the victim is in the middle", || nodes[victim].count() > 0);
    running.remove(victim).kill();

    nodes[1].publish(60..80);
    until_all_hold(&[&nodes[0], &nodes[1], &nodes[3]], 0..80);
    let restarted = nodes[victim].start(&peers);
    let all: Vec<&Node> = nodes.iter().collect();
    until_all_hold(&all, 0..80);
    // A full member again.
    nodes[victim].publish(80..90);
    until_all_hold(&all, 0..90);
    running.push(restarted);

    #[cfg(unix)]
    for (index, mut running) in running.into_iter().enumerate() {
        running.signal(if index % 2 == 0 { "TERM" } else { "INT" });
        assert_eq!(running.end().code(), Some(0));
        let summary = running.line();
        // The files and some catalogs.
        let artifacts =
            summary.strip_prefix("stopped: artifacts=").and_then(|rest| rest.split_once(' '));
        let artifacts: usize = artifacts.expect("so many").0.parse().expect("a number");
        assert!((91..110).contains(&artifacts), "{summary}");
        assert!(summary.ends_with(" clean=true"), "{summary}");
    }
}
