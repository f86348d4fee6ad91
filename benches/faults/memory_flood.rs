//! Peers that fill a flow with the largest chunks while no handler returns.

use std::{
    sync::Arc,
    task::{Context, Poll, Waker},
};

use futures_util::FutureExt;
use gossip_engine::{ChannelConfig, EventError, FlowConfig, FlowType, MetricsRegistry, wire};
use serde_json::{Value, json};
use stats_alloc::Region;
use tower::Service;

use super::{
    ALLOCATOR, DEADLINE,
    replica::{Replica, event, handler, largest_chunk, peer, wait_until},
};
use crate::harness::memory;

const PEERS: usize = 32;
const BYTES: u64 = 16 << 20;
/// Each peer's submitters that wait for room.
const WAITERS: usize = 1;
/// What each peer offers: far more than it can get rid of.
const OFFERED: usize = 20;

/// Live bytes are counted by the allocator, so that what the system keeps of chunks that were refused is
/// not in them; what is resident then is told beside, where the system says it.
pub(crate) fn row() -> Value {
    let of_chunks =
        FlowConfig::new(100).with_max_bytes(Some(BYTES)).with_max_waiters(WAITERS).with_threads(2);
    let worst = of_chunks.worst_case_bytes(PEERS, wire::max_payload_bytes(FlowType::Chunk));
    let config = ChannelConfig::default().with_flow(FlowType::Chunk, of_chunks);
    let registry = MetricsRegistry::new();
    let replica = Arc::new(Replica::default());
    let mut handler = handler(config, &registry, &replica);
    replica.shut(true);

    let context = &mut Context::from_waker(Waker::noop());
    let before = memory::resident();
    let held = Region::new(ALLOCATOR);
    let mut pending = Vec::new();
    let mut refused = 0;
    for _ in 0..OFFERED {
        for number in 0..PEERS {
            let mut call = handler.call(event(peer(number), &largest_chunk()));
            match call.poll_unpin(context) {
                Poll::Pending => pending.push(call),
                Poll::Ready(Ok(_)) => (),
                Poll::Ready(Err(EventError::Refused { .. })) => refused += 1,
                Poll::Ready(Err(error)) => panic!("void: {error}"),
            }
        }
    }
    let live = held.change();
    let live = live.bytes_allocated.saturating_sub(live.bytes_deallocated);
    let grown = memory::resident().zip(before).map(|(now, before)| now.saturating_sub(before));
    let flow = registry.snapshot().flow(FlowType::Chunk).clone();
    assert!(refused > 0 && flow.waiting > 0, "it is full, and no handler has returned");
    assert!(BYTES as usize <= flow.bytes_in_flight && flow.bytes_in_flight <= live, "it is held");
    assert!(live <= worst, "{live} bytes are live, and at most {worst} should be");

    replica.shut(false);
    wait_until("all who waited are let in", || {
        pending.retain_mut(|call| call.poll_unpin(context).is_pending());
        pending.is_empty()
    });
    assert!(handler.shutdown(DEADLINE).is_clean(), "it can be stopped");
    registry.snapshot().verify().expect("the ledger adds up");
    json!({
        "case": "memory",
        "peers": PEERS,
        "max_bytes": BYTES,
        "waiters": WAITERS,
        "offered": PEERS * OFFERED,
        "refused": refused,
        "in_flight": flow.in_flight,
        "bytes_in_flight": flow.bytes_in_flight,
        "waiting": flow.waiting,
        "live": live,
        "resident_growth": grown,
        "worst_case": worst,
    })
}
