//! What has come of a large file is not fetched again: after a departure, after a restart, from another peer.

use super::*;

const CHUNK: usize = 128 << 10;
const CHUNKS: u64 = 40;

/// The last replica lacks what the others hold, and is connected with the first.
fn lacking(replicas: usize) -> (Cluster, ArtifactId) {
    let cluster = Cluster::new(&vec![GossipOptions::default(); replicas]);
    let content = content(1, CHUNKS as usize * CHUNK);
    let id = content_of(&cluster, replicas - 1, &content);
    cluster.connect(0, replicas - 1);
    (cluster, id)
}

/// Has it published by all but `at`.
fn content_of(cluster: &Cluster, at: usize, content: &[u8]) -> ArtifactId {
    let ids: Vec<ArtifactId> = (0..at).map(|other| cluster.publish(other, content)).collect();
    ids[0]
}

/// Runs until a replica has fetched more than a half, and not all. Returns how many chunks.
fn run_half(cluster: &mut Cluster, at: usize) -> u64 {
    cluster.run_until(60, |cluster| {
        cluster.replica(at).snapshot().fetched.chunks_received > CHUNKS / 2
    });
    let received = cluster.replica(at).snapshot().fetched.chunks_received;
    assert!(received < CHUNKS);
    received
}

#[test]
fn a_peer_that_departs_for_long_costs_nothing_of_what_it_has_delivered() {
    let (mut cluster, id) = lacking(2);
    let came = run_half(&mut cluster, 1);
    cluster.disconnect(0, 1);
    // Its attempt has given way, and its advert is forgotten.
    cluster.run_until(600, |cluster| cluster.replica(1).snapshot().wanted == 0);
    assert_eq!(cluster.replica(1).store().status().kept_bytes, came * CHUNK as u64);
    cluster.run_for(3600);
    cluster.connect(0, 1);
    cluster.run_until_all_hold(&[id], 60);
    let fetched = cluster.replica(1).snapshot().fetched;
    assert_eq!(fetched.chunks_received, CHUNKS, "each chunk once");
    assert_eq!(fetched.bytes_resumed, came * CHUNK as u64);
    cluster.check_at_rest();
}

#[test]
fn a_restart_goes_on_with_what_has_come() {
    let (mut cluster, id) = lacking(2);
    let came = run_half(&mut cluster, 1);
    cluster.restart(1);
    cluster.connect(0, 1);
    cluster.run_until_all_hold(&[id], 60);
    let fetched = cluster.replica(1).snapshot().fetched;
    assert_eq!(fetched.chunks_received, CHUNKS - came);
    assert_eq!((fetched.bytes_resumed, fetched.hash_mismatches), (came * CHUNK as u64, 0));
    cluster.check_at_rest();
}

#[test]
fn what_a_liar_has_left_is_not_blamed_on_who_delivers_the_rest() {
    for restarted in [false, true] {
        let (mut cluster, id) = lacking(3);
        cluster.spoil_chunks_of(0);
        let came = run_half(&mut cluster, 2);
        if restarted {
            cluster.restart(2);
        } else {
            cluster.disconnect(0, 2);
            cluster.run_until(600, |cluster| cluster.replica(2).snapshot().wanted == 0);
        }
        let before = cluster.replica(2).snapshot().fetched.chunks_received;
        cluster.connect(1, 2);
        cluster.run_until(60, |cluster| cluster.holds(2, &[id]));
        let fetched = cluster.replica(2).snapshot().fetched;
        assert_eq!((fetched.hash_mismatches, fetched.blamed), (1, 0));
        assert_eq!(fetched.chunks_received - before, CHUNKS - came + CHUNKS, "all of it, once");
        cluster.check_at_rest();
    }
}

#[test]
fn what_nobody_wants_any_more_is_kept_for_a_day() {
    let (mut cluster, _) = lacking(2);
    let came = run_half(&mut cluster, 1);
    cluster.restart(1);
    cluster.run_for(60);
    cluster.pass(23 * 3600);
    cluster.run_for(60);
    assert_eq!(cluster.replica(1).store().status().kept_bytes, came * CHUNK as u64);
    cluster.pass(3600);
    cluster.run_for(60);
    assert_eq!(cluster.replica(1).store().status().kept_bytes, 0);
    cluster.check_at_rest();
}
