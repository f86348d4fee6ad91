//! When messages are due, and the handler that notes when it was started.

#![expect(
    clippy::disallowed_types,
    reason = "the engine's stand-ins for atomics are not part of its public API"
)]

use std::{
    hint,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use gossip_engine::NodeId;
use hdrhistogram::Histogram;

use crate::{
    contenders::Handler,
    harness::ledger::{Ledger, Message},
};

const SEED: u64 = 0x676f_7373_6970;
/// How long before the first message a contender may still be starting its threads.
const LEAD: Duration = Duration::from_millis(20);
const SIGNIFICANT_DIGITS: u8 = 3;

/// The same schedule for every contender and every round: exponential gaps with this mean.
pub(crate) fn schedule(messages: usize, gap: Duration) -> Vec<Duration> {
    let mut state = SEED;
    let mut at = LEAD;
    let mut next = || {
        // 53 random bits; 1 is added, so that the logarithm is finite.
        let uniform = ((split_mix(&mut state) >> 11) + 1) as f64 / (1u64 << 53) as f64;
        at += gap.mul_f64(-uniform.ln());
        at
    };
    (0..messages).map(|_| next()).collect()
}

/// SplitMix64, by Steele, Lea and Flood.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

pub(crate) fn spin_until(started: Instant, due: Duration) {
    while started.elapsed() < due {
        hint::spin_loop();
    }
}

/// A handler that notes when it was started and then works for a while.
#[derive(Clone)]
pub(crate) struct Stopwatch(Arc<Shared>);

struct Shared {
    started: Instant,
    work: Duration,
    /// For each message, when its handler started: nanoseconds since `started`.
    starts: Vec<AtomicU64>,
    ledger: Ledger,
}

impl Stopwatch {
    pub(crate) fn new(messages: usize, work: Duration) -> Self {
        let starts = (0..messages).map(|_| AtomicU64::new(0)).collect();
        let ledger = Ledger::new(messages);
        Self(Arc::new(Shared { started: Instant::now(), work, starts, ledger }))
    }

    /// What the schedule is relative to.
    pub(crate) fn started(&self) -> Instant {
        self.0.started
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        &self.0.ledger
    }

    /// From when each message was due to when its handler started.
    pub(crate) fn latencies(&self, due: &[Duration]) -> Histogram<u64> {
        let mut histogram = Histogram::new(SIGNIFICANT_DIGITS).expect("the precision is in range");
        for (start, due) in self.0.starts.iter().zip(due) {
            let latency = start.load(Ordering::Relaxed).saturating_sub(due.as_nanos() as u64);
            histogram.record(latency).expect("it grows as needed");
        }
        histogram
    }
}

impl Handler for Stopwatch {
    fn handle(&self, _: NodeId, message: Message) {
        let shared = &*self.0;
        let start = shared.started.elapsed();
        // Relaxed: the ledger's count publishes it.
        shared.starts[message.sequence].store(start.as_nanos() as u64, Ordering::Relaxed);
        if !shared.work.is_zero() {
            spin_until(shared.started, start + shared.work);
        }
        shared.ledger.handled(&message);
    }
}
