//! Live changes under load that must lose nothing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use gossip_engine::{ChannelConfig, MetricsRegistry};
use serde_json::{Value, json};
use tower::Service;

use super::{
    DEADLINE,
    replica::{Handler, Replica, advert, event, handler, peer, wait_until},
};
use crate::harness::changes::{Dice, Losses, random};

const PRODUCERS: usize = 2;
const PEERS: usize = 8;
const SEED: u64 = 0x6368_616e;
const PERIOD: Duration = Duration::from_millis(2);

/// Brings messages one after another until it is stopped; returns how many.
fn submit(mut handler: Handler, first_peer: usize, stop: &AtomicBool) -> usize {
    let advert = advert();
    let mut submitted = 0;
    // Relaxed: it says nothing about any other memory.
    while !stop.load(Ordering::Relaxed) {
        let peer = peer(first_peer + submitted % PEERS);
        futures_executor::block_on(handler.call(event(peer, &advert))).expect("nothing is refused");
        submitted += 1;
    }
    submitted
}

pub(crate) fn row(changes: usize) -> Value {
    let built = ChannelConfig::default();
    let registry = MetricsRegistry::new();
    let replica = Arc::new(Replica::default());
    let handler = handler(built.clone(), &registry, &replica);
    let stop = AtomicBool::new(false);
    let started = Instant::now();
    let submitted: usize = thread::scope(|scope| {
        let producers: Vec<_> = (0..PRODUCERS)
            .map(|number| {
                let (handler, stop) = (handler.clone(), &stop);
                scope.spawn(move || submit(handler, number * PEERS, stop))
            })
            .collect();
        let mut dice = Dice::new(SEED);
        for _ in 0..changes {
            let config = random(&built, &mut dice, Losses::None);
            handler.reconfigure(config).expect("it changes only what can change");
            thread::sleep(PERIOD);
        }
        stop.store(true, Ordering::Relaxed);
        producers.into_iter().map(|producer| producer.join().expect("it submits all")).sum()
    });
    let took = started.elapsed();
    wait_until("all messages have run", || replica.called.load(Ordering::Relaxed) >= submitted);
    assert!(handler.shutdown(DEADLINE).is_clean(), "it can be stopped");
    registry.snapshot().verify().expect("the ledger adds up");
    let called = replica.called.load(Ordering::Relaxed);
    assert_eq!(called, submitted, "each message has run once");
    json!({
        "case": "changes",
        "changes": changes,
        "seconds": took.as_secs_f64(),
        "messages": submitted,
        "lost": submitted - called,
    })
}
