//! Waking up and idling: what it costs that messages come one at a time.
//!
//! Three things are measured, with one worker and a handler that does nothing:
//!
//! - the time from when a message is due to the start of its handler, when one comes each
//!   millisecond, so that a worker that sleeps at all is asleep;
//! - the processor time for a message at 50 000 of them a second, once evenly spaced and once by a
//!   Poisson schedule with a fixed seed: what the process used, less what the producer's thread used,
//!   which spins on a core of its own. What the producer pays to admit a message is therefore not in
//!   it, nor what it pays to wake the worker; a contender that moves work to its producer looks
//!   cheaper than it is. Time that the machine spends in interrupts for others may be in it;
//! - the processor time of an engine with all five flows, each used once, to which nothing comes.
//!
//! The engine runs with each of its ways to wait; `engine` is the default.

#![expect(clippy::print_stdout, reason = "a bench's output is its purpose")]

#[allow(dead_code, reason = "only some contenders run here")]
mod contenders;
#[allow(dead_code, reason = "only some of the harness is used here")]
mod harness;
#[path = "wakeup/idle.rs"]
mod idle;

use std::{io, time::Duration};

use gossip_engine::{FlowConfig, NodeId, WaitStrategy};
use hdrhistogram::Histogram;
use serde_json::{Value, json};

use self::{
    contenders::{
        Contender, baseline::Baseline, channel::Channel, engine::Engine, rayon::Rayon, tokio::Tokio,
    },
    harness::{
        clock::{LEAD, Stopwatch, even, poisson, spin_until},
        cores,
        ledger::Message,
        output, processor,
        rounds::interleaved,
        statistics::Quartiles,
    },
};

const PERMITS: usize = 1_000;
const WORKERS: usize = 1;
const SEED: u64 = 0x7761_6b65;
const SLOW: Duration = Duration::from_millis(1);
const FAST: Duration = Duration::from_micros(20);
const SHORT_LINGER: Duration = Duration::from_micros(5);
const QUANTILES: [(&str, f64); 2] = [("p50", 0.5), ("p99", 0.99)];
/// What ratios are taken to.
const PEER: &str = "channel";

/// What came of one round.
struct Round {
    latencies: Histogram<u64>,
    /// Nanoseconds of processor time for a message.
    processor: f64,
}

type Entry = (&'static str, fn(&[Duration]) -> Round);

fn entries() -> [Entry; 9] {
    [
        ("engine", |due| waiting(due, WaitStrategy::default())),
        ("engine, give back", |due| waiting(due, WaitStrategy::GiveBack)),
        ("engine, park", |due| waiting(due, WaitStrategy::Park)),
        ("engine, linger 5 µs", |due| waiting(due, WaitStrategy::Linger(SHORT_LINGER))),
        ("engine, spin", |due| waiting(due, WaitStrategy::Spin)),
        ("baseline", |due| run(due, |handler| Baseline::build(PERMITS, WORKERS, handler))),
        ("tokio", |due| run(due, |handler| Tokio::build(PERMITS, WORKERS, handler))),
        ("rayon", |due| run(due, |handler| Rayon::build(PERMITS, WORKERS, handler))),
        (PEER, |due| run(due, |handler| Channel::build(PERMITS, WORKERS, handler))),
    ]
}

fn waiting(due: &[Duration], strategy: WaitStrategy) -> Round {
    let config = FlowConfig::new(PERMITS)
        .with_peer_quota(PERMITS)
        .with_threads(WORKERS)
        .with_wait_strategy(strategy);
    run(due, |handler| Engine::with(&config, handler))
}

fn run<C: Contender<Stopwatch>>(due: &[Duration], build: impl FnOnce(Stopwatch) -> C) -> Round {
    let stopwatch = Stopwatch::new(due.len(), Duration::ZERO);
    cores::others();
    let contender = build(stopwatch.clone());
    cores::apart();
    let peer = NodeId::new([1; 32]);
    let started = stopwatch.started();
    spin_until(started, LEAD);
    let before = [processor::of_process(), processor::of_thread()];
    futures_executor::block_on(async {
        for (sequence, due) in due.iter().enumerate() {
            spin_until(started, *due);
            contender.submit(peer, Message::new(sequence)).await;
        }
    });
    stopwatch.ledger().wait();
    let [process, producer] =
        [processor::of_process() - before[0], processor::of_thread() - before[1]];
    contender.finish();
    stopwatch.ledger().verify();
    Round {
        latencies: stopwatch.latencies(due),
        processor: process.saturating_sub(producer).as_nanos() as f64 / due.len() as f64,
    }
}

/// All rounds with one schedule; a row for each contender.
fn measure(arrivals: &str, gap: Duration, due: &[Duration], rounds: usize) -> Vec<Value> {
    println!("\none message in {gap:?}, {arrivals}; {rounds} rounds of {} messages", due.len());
    let entries = entries();
    let (found, others) = interleaved(&entries, rounds, |(_, run), _| run(due));
    let processor =
        |rounds: &[Round]| -> Vec<f64> { rounds.iter().map(|round| round.processor).collect() };
    let at = |rounds: &[Round], quantile| -> Vec<f64> {
        rounds.iter().map(|round| round.latencies.value_at_quantile(quantile) as f64).collect()
    };
    let peer = entries.iter().position(|(name, _)| *name == PEER).expect("it is a contender");
    let rows = entries.iter().zip(&found).map(|((name, _), own)| {
        let mut row = json!({
            "what": "trickle",
            "contender": name,
            "arrivals": arrivals,
            "gap_ns": gap.as_nanos() as u64,
            "permits": PERMITS,
            "workers": WORKERS,
            "rounds": rounds,
            "samples_per_round": due.len(),
            "others_share": others,
        });
        print!("{name:>20}");
        for (label, quantile) in QUANTILES {
            let (own, peer) = (at(own, quantile), at(&found[peer], quantile));
            row[format!("{label}_ratio_to_{PEER}")] = Quartiles::of_ratio(&own, &peer).json();
            let time = Quartiles::of(own);
            row[label] = time.json();
            print!("  {label} {:>7.0} [{:>6.0} {:>7.0}] ns", time.median, time.lower, time.upper);
        }
        let ratio = Quartiles::of_ratio(&processor(own), &processor(&found[peer]));
        let used = Quartiles::of(processor(own));
        println!(
            "  processor {:>7.0} [{:>6.0} {:>7.0}] ns a message, to {PEER} {:.3} [{:.3} {:.3}]",
            used.median, used.lower, used.upper, ratio.median, ratio.lower, ratio.upper,
        );
        row["processor_ns_per_message"] = used.json();
        row[format!("processor_ratio_to_{PEER}")] = ratio.json();
        row
    });
    rows.collect()
}

fn main() -> io::Result<()> {
    let (slow, fast, rounds) = if output::is_quick() { (50, 2_500, 3) } else { (500, 25_000, 9) };
    let mut rows = measure("even", SLOW, &even(slow, SLOW), rounds);
    rows.extend(measure("even", FAST, &even(fast, FAST), rounds));
    rows.extend(measure("Poisson", FAST, &poisson(SEED, fast, FAST), rounds));
    cores::anywhere();
    rows.push(idle::measure());
    output::publish("wakeup", rows)
}
