//! What a peer costs that has said a word. The allocator counts for the whole process, so this is a process of its own.
#![cfg(not(any(loom, shuttle)))]

use std::{alloc::System, time::Duration};

use futures_executor::block_on;
use gossip_engine::{FlowConfig, FlowType, FlowWorker, MetricsRegistry, NodeId};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Beyond this a test has failed; nothing passes by taking long.
const LIMIT: Duration = Duration::from_secs(60);
const PEERS: u32 = 4_000;
/// What a peer may cost.
const MOST: usize = 4 << 10;

fn peer(number: u32) -> NodeId {
    let mut id = [0; 32];
    id[..4].copy_from_slice(&number.to_be_bytes());
    NodeId::new(id)
}

fn held() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

#[test]
fn a_peer_that_has_sent_one_message_costs_less_than_four_kilobytes() {
    // Large quotas, of which a silent peer takes nothing.
    let config = FlowConfig::new(100_000).with_peer_quota(10_000).with_threads(1);
    let handler = |_: &NodeId, _: [u64; 16]| {};
    let flow =
        FlowWorker::new(FlowType::Advert, &config, &MetricsRegistry::new(), handler).unwrap();
    let submit = |number: u32| _ = block_on(flow.execute(peer(number), [1; 16])).unwrap();
    // What is made once.
    submit(PEERS);
    let before = held();
    (0..PEERS).for_each(submit);
    let each = held().saturating_sub(before) / PEERS as usize;
    assert!(each < MOST, "{each} bytes for a peer");
    assert!(each > 64, "{each} bytes for a peer: something else is counted");
    assert!(flow.shutdown(LIMIT).is_clean());
    assert_eq!(flow.snapshot().handled(), u64::from(PEERS) + 1);
}
