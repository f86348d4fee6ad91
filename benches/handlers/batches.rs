//! Handlers whose call costs much beside a message, as that of a batch verification or of a database does.
//!
//! A call and a message are so many steps of work, and not a time. Under load the next message is submitted as soon as
//! the last one was admitted. The wait is measured in an open loop at a share of what one by one can do, measured
//! first: from when a message is due to the end of its call.

#![expect(
    clippy::disallowed_types,
    reason = "the engine's stand-ins for atomics are not part of its public API"
)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use gossip_engine::{FlowConfig, FlowWorker, MessageHandler, MetricsRegistry, NodeId, Received};
use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::counted;
use crate::harness::{
    clock::{Stopwatch, poisson, settled, spin_until},
    cores, output, processor,
    rounds::interleaved,
    statistics::Quartiles,
    work::{steps_in, work},
};

const PERMITS: usize = 1_000;
const PEERS: usize = 64;
const BATCH: usize = 64;
const CALL: Duration = Duration::from_micros(50);
const MESSAGE: Duration = Duration::from_micros(5);
const LOAD_PERCENT: u32 = 20;
const SEED: u64 = 0x6261_7463_6873;
/// The first is what the others are compared with.
const WAYS: [(&str, usize); 2] = [("one by one", 1), ("batches", BATCH)];
const QUANTILES: [(&str, f64); 3] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99)];

/// In steps.
#[derive(Clone, Copy)]
struct Costs {
    call: u64,
    message: u64,
}

struct Verifies {
    costs: Costs,
    batch: usize,
    /// Notes when the call of each message ended.
    ends: Stopwatch,
    calls: Arc<AtomicU64>,
}

impl Verifies {
    fn call(&self, sequences: &[usize]) {
        work(self.costs.call + self.costs.message * sequences.len() as u64);
        sequences.iter().for_each(|sequence| self.ends.run(*sequence));
        // Relaxed: a count and nothing else.
        self.calls.fetch_add(1, Ordering::Relaxed);
    }
}

impl MessageHandler<usize> for Verifies {
    fn handle(&self, _: &NodeId, sequence: usize) {
        self.call(&[sequence]);
    }

    fn handle_many(&self, messages: Vec<Received<usize>>) {
        let sequences: Vec<usize> = messages.iter().map(|received| received.message).collect();
        self.call(&sequences);
    }

    fn max_batch(&self) -> usize {
        self.batch
    }
}

/// A flow of one thread, and what its handler notes.
struct Site {
    flow: FlowWorker<usize>,
    ends: Stopwatch,
    calls: Arc<AtomicU64>,
}

impl Site {
    fn new(batch: usize, costs: Costs, messages: usize) -> Self {
        let (ends, calls) = (Stopwatch::new(messages, Duration::ZERO), Arc::default());
        let handler = Verifies { costs, batch, ends: ends.clone(), calls: Arc::clone(&calls) };
        let config = FlowConfig::new(PERMITS).with_threads(1);
        let flow = FlowWorker::new("votes", &config, &MetricsRegistry::new(), handler)
            .expect("the system gives threads");
        Self { flow, ends, calls }
    }

    async fn submit(&self, sequence: usize) {
        let peer = NodeId::new([(sequence % PEERS) as u8; 32]);
        assert!(self.flow.execute(peer, sequence).await.is_ok(), "void: a message was refused");
    }

    /// Ends it; how many messages a call has handled, on average.
    fn finish(self, messages: usize) -> (Stopwatch, f64) {
        counted(&self.flow, messages);
        self.ends.ledger().verify();
        (self.ends, messages as f64 / self.calls.load(Ordering::Relaxed) as f64)
    }
}

/// What came of a round under load.
struct Load {
    /// Nanoseconds a message.
    time: f64,
    /// The same, of the processor time of the whole process, so without what others take.
    processor: f64,
    per_call: f64,
}

fn load(batch: usize, costs: Costs, messages: usize) -> Load {
    cores::anywhere();
    let site = Site::new(batch, costs, messages);
    let (started, before) = (site.ends.started(), processor::of_process());
    futures_executor::block_on(async {
        for sequence in 0..messages {
            site.submit(sequence).await;
        }
    });
    let elapsed = site.ends.ledger().wait() - started;
    let used = processor::of_process() - before;
    let (_, per_call) = site.finish(messages);
    let [time, processor] = [elapsed, used].map(|time| time.as_nanos() as f64 / messages as f64);
    Load { time, processor, per_call }
}

/// From when each message is due to the end of its call, and messages a call.
fn trickle(batch: usize, costs: Costs, due: &[Duration]) -> (Histogram<u64>, f64) {
    cores::others();
    let site = Site::new(batch, costs, due.len());
    cores::apart();
    futures_executor::block_on(async {
        for (sequence, due) in due.iter().enumerate() {
            spin_until(site.ends.started(), *due);
            site.submit(sequence).await;
        }
    });
    site.ends.ledger().wait();
    let (ends, per_call) = site.finish(due.len());
    (ends.latencies_of(settled(due).map(|(sequence, due)| (sequence, *due))), per_call)
}

/// What the rows of both measurements have.
fn row(what: &str, way: &str, rounds: usize, per_call: Quartiles, others: Option<f64>) -> Value {
    json!({
        "what": what,
        "way": way,
        "call_ns": CALL.as_nanos() as u64,
        "message_ns": MESSAGE.as_nanos() as u64,
        "max_batch": BATCH,
        "peers": PEERS,
        "permits": PERMITS,
        "threads": 1,
        "rounds": rounds,
        "messages_per_call": per_call.json(),
        "others_share": others,
    })
}

/// The rows, and the nanoseconds a message one by one.
fn measure_load(costs: Costs, messages: usize, rounds: usize) -> (Vec<Value>, f64) {
    println!(
        "\nbatches: a call of {CALL:?} and {MESSAGE:?} for each message, {PEERS} peers, one thread; {rounds} rounds of \
         {messages} messages under load"
    );
    let (found, others) = interleaved(&WAYS, rounds, |(_, batch), _| load(*batch, costs, messages));
    let rates = |own: &[Load]| -> Vec<f64> { own.iter().map(|round| 1e9 / round.time).collect() };
    let uses = |own: &[Load]| -> Vec<f64> { own.iter().map(|round| round.processor).collect() };
    let one_by_one = rates(&found[0]);
    let rows = WAYS.iter().zip(&found).map(|((way, _), own)| {
        let ratio = Quartiles::of_ratio(&rates(own), &one_by_one);
        let rate = Quartiles::of(rates(own));
        let used = Quartiles::of(uses(own));
        let of_used = Quartiles::of_ratio(&uses(&found[0]), &uses(own));
        let per_call = Quartiles::of(own.iter().map(|round| round.per_call));
        println!(
            "{way:>16}: {:.0} [{:.0} {:.0}] messages a second, {:.2} [{:.2} {:.2}] of one by one; {:.0} ns of \
             processor time each, {:.2} times as many by that; {:.1} a call",
            rate.median,
            rate.lower,
            rate.upper,
            ratio.median,
            ratio.lower,
            ratio.upper,
            used.median,
            of_used.median,
            per_call.median,
        );
        let mut row = row("batches under load", way, rounds, per_call, others);
        row["messages"] = messages.into();
        row["messages_per_second"] = rate.json();
        row["ratio_to_one_by_one"] = ratio.json();
        row["processor_ns_per_message"] = used.json();
        row["ratio_by_processor_time"] = of_used.json();
        row
    });
    let rows = rows.collect();
    (rows, 1e9 / Quartiles::of(one_by_one).median)
}

fn measure_trickle(costs: Costs, gap: Duration, messages: usize, rounds: usize) -> Vec<Value> {
    println!(
        "at {LOAD_PERCENT} % of one by one, one message in {gap:?} (Poisson); {rounds} rounds of {messages} messages"
    );
    let (found, others) = interleaved(&WAYS, rounds, |(_, batch), round| {
        trickle(*batch, costs, &poisson(SEED + round as u64, messages, gap))
    });
    let at = |own: &[(Histogram<u64>, f64)], quantile| -> Vec<f64> {
        own.iter().map(|(waits, _)| waits.value_at_quantile(quantile) as f64).collect()
    };
    let rows = WAYS.iter().zip(&found).map(|((way, _), own)| {
        let per_call = Quartiles::of(own.iter().map(|(_, per_call)| *per_call));
        let mut row = row("batches at little load", way, rounds, per_call, others);
        row["messages"] = messages.into();
        row["percent_of_one_by_one"] = LOAD_PERCENT.into();
        row["gap_ns"] = (gap.as_nanos() as u64).into();
        print!("{way:>16}:");
        for (label, quantile) in QUANTILES {
            let time = Quartiles::of(at(own, quantile));
            let ratio = Quartiles::of_ratio(&at(own, quantile), &at(&found[0], quantile));
            print!(
                "  {label} {:.0} [{:.0} {:.0}] ns, {:.3} of one by one",
                time.median, time.lower, time.upper, ratio.median
            );
            row[label] = time.json();
            row[format!("{label}_ratio_to_one_by_one")] = ratio.json();
        }
        println!("  {:.2} a call", per_call.median);
        row
    });
    rows.collect()
}

pub(crate) fn measure() -> Vec<Value> {
    let (messages, loads, trickled, trickles) =
        if output::is_quick() { (1_000, 1, 500, 1) } else { (20_000, 9, 1_000, 45) };
    let costs = Costs { call: steps_in(CALL), message: steps_in(MESSAGE) };
    let (mut rows, one_by_one) = measure_load(costs, messages, loads);
    let gap = Duration::from_nanos(one_by_one as u64) * 100 / LOAD_PERCENT;
    rows.extend(measure_trickle(costs, gap, trickled, trickles));
    rows
}
