//! Futures of calls that are dropped at any point.

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Waker},
    thread,
};

use gossip_engine::{ChannelConfig, FlowConfig, FlowType, MetricsRegistry, Outcome};
use serde_json::{Value, json};
use tower::Service;

use super::{
    DEADLINE,
    replica::{Replica, advert, event, handler, peer, wait_until},
};
use crate::harness::changes::Dice;

const LIMIT: usize = 16;
const PEERS: u64 = 8;
const SEED: u64 = 0x6472_6f70;
/// How many futures are kept for later at the most.
const KEPT: u64 = 40;
/// How many futures a spell has, on average; in half of the spells no handler returns, so that all wait.
const SPELL: u64 = 500;
/// After so many futures the workers get a chance to run, so that some wait and are let in.
const BREATH: u64 = 8;

pub(crate) fn row(futures: usize) -> Value {
    let config = ChannelConfig::default()
        .with_flow(FlowType::Advert, FlowConfig::new(LIMIT).with_peer_quota(LIMIT).with_threads(2));
    let registry = MetricsRegistry::new();
    let replica = Arc::new(Replica::default());
    let mut handler = handler(config, &registry, &replica);
    let advert = advert();
    let mut dice = Dice::new(SEED);
    let mut kept = Vec::new();
    let context = &mut Context::from_waker(Waker::noop());
    for _ in 0..futures {
        if dice.once_in(SPELL) {
            replica.shut(dice.once_in(2));
        }
        let mut call = handler.call(event(peer(dice.roll(PEERS) as usize), &advert));
        match dice.roll(4) {
            0 => drop(call),
            way => {
                let is_pending = pin!(&mut call).poll(context).is_pending();
                if way > 1 && is_pending {
                    kept.push(call);
                }
            }
        }
        if dice.once_in(BREATH) {
            thread::yield_now();
        }
        while kept.len() as u64 > dice.roll(KEPT) {
            let mut call = kept.swap_remove(dice.roll(kept.len() as u64) as usize);
            if dice.once_in(2) {
                let _ = pin!(&mut call).poll(context);
            }
        }
    }
    drop(kept);
    replica.shut(false);
    let flow = || registry.snapshot().flow(FlowType::Advert).clone();
    wait_until("nothing is in flight and nobody waits", || {
        let now = flow();
        now.in_flight == 0 && now.waiting == 0
    });
    let before = flow();

    // A permit that has leaked is one that is missing here.
    replica.shut(true);
    let admitted_at_once = (0..LIMIT)
        .map(|_| handler.call(event(peer(0), &advert)))
        .map(|mut call| pin!(&mut call).poll(context).is_ready())
        .filter(|ready| *ready)
        .count();
    replica.shut(false);
    assert_eq!(admitted_at_once, LIMIT, "permits have leaked");
    assert!(handler.shutdown(DEADLINE).is_clean(), "it can be stopped");
    registry.snapshot().verify().expect("the ledger adds up");
    json!({
        "case": "dropped futures",
        "futures": futures,
        "handled": before.handled(),
        "gave_up": before.count(Outcome::WaitCancelled),
        "refused": before.refused(),
        "leaked": LIMIT - admitted_at_once,
    })
}
