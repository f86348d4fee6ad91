//! Latency in an open loop: how long a message waits before its handler starts, when messages arrive
//! by a schedule that does not care whether the last one has been taken.
//!
//! Arrivals are Poisson, with seeds that are the same in each run of the bench and for all contenders of a round, at
//! shares of what the baseline can do at its best, measured first. A message's latency runs from its *intended* arrival
//! to the start of its handler, so that a producer that was held up hides nothing. One thread submits the messages and
//! spins until each is due, on a core of its own; on a machine with two cores, one is left for the workers.
//!
//! Rounds are short and many: the machine stops a thread for milliseconds now and then, which decides the high
//! quantiles of the round that it happens in; in a long round it always happens, in a short one seldom. For the same
//! reason the median over rounds says nothing of what a contender does less often than in every other round;
//! the upper quartile says a little. What a first message costs, lanes,
//! memory and threads, is not in the quantiles, which begin behind the first tenth of a round.

#![expect(clippy::print_stdout, reason = "a bench's output is its purpose")]

#[allow(dead_code, reason = "only some contenders run here")]
mod contenders;
#[allow(dead_code, reason = "only some of the harness is used here")]
mod harness;

use std::{hint::black_box, io, time::Duration};

use gossip_engine::NodeId;
use hdrhistogram::Histogram;
use serde_json::{Value, json};

use self::{
    contenders::{
        Contender, baseline::Baseline, channel::Channel, crossfire::Crossfire, engine::Engine,
        floor::Floor,
    },
    harness::{
        clock::{Stopwatch, poisson, settled, spin_until},
        cores,
        disturbance::Disturbance,
        ledger::Message,
        output,
        statistics::Quartiles,
    },
};

const PERMITS: usize = 1_000;
const WORKERS: usize = 1;
const SEED: u64 = 0x676f_7373_6970;
const SHARES_PERCENT: [u32; 3] = [25, 50, 75];
const HANDLERS: [Duration; 2] = [Duration::ZERO, Duration::from_micros(20)];
const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999)];

/// At a share, the most that the engine's quantiles may be of the baseline's, in the order of [`QUANTILES`].
const TARGETS: [(u32, [f64; 4]); 2] =
    [(50, [0.2, f64::INFINITY, 0.5, f64::INFINITY]), (75, [1.0, f64::INFINITY, 1.0, 1.0])];

/// How much is measured.
#[derive(Clone, Copy)]
struct Size {
    messages: usize,
    calibrating: usize,
    rounds: usize,
}

type Entry = (&'static str, fn(Workload) -> Histogram<u64>);

#[derive(Clone, Copy)]
struct Workload {
    messages: usize,
    /// Between two arrivals, on average.
    gap: Duration,
    handler: Duration,
    seed: u64,
}

fn entry<C: Contender<Stopwatch>>() -> Entry {
    (C::NAME, run::<C>)
}

/// One run; the latencies in nanoseconds.
fn run<C: Contender<Stopwatch>>(workload: Workload) -> Histogram<u64> {
    let due = poisson(workload.seed, workload.messages, workload.gap);
    let stopwatch = Stopwatch::new(due.len(), workload.handler);
    cores::others();
    let contender = C::build(PERMITS, WORKERS, stopwatch.clone());
    cores::apart();
    let peer = NodeId::new([1; 32]);
    let started = stopwatch.started();
    futures_executor::block_on(async {
        for (sequence, due) in due.iter().enumerate() {
            spin_until(started, *due);
            contender.submit(peer, Message::new(sequence)).await;
        }
    });
    stopwatch.ledger().wait();
    contender.finish();
    stopwatch.ledger().verify();
    stopwatch.latencies_of(settled(&due).map(|(sequence, due)| (sequence, *due)))
}

/// The time that the baseline takes for a message in a closed loop.
fn calibrate(handler: Duration, size: Size) -> Duration {
    cores::anywhere();
    let times = (0..size.rounds).map(|_| {
        let stopwatch = Stopwatch::new(size.calibrating, handler);
        let baseline = Baseline::build(PERMITS, WORKERS, stopwatch.clone());
        let peer = NodeId::new([1; 32]);
        let started = stopwatch.started();
        futures_executor::block_on(async {
            for sequence in 0..size.calibrating {
                baseline.submit(peer, Message::new(sequence)).await;
            }
        });
        let elapsed = stopwatch.ledger().wait() - started;
        Contender::<Stopwatch>::finish(baseline);
        elapsed.as_nanos() as f64 / size.calibrating as f64
    });
    Duration::from_nanos(Quartiles::of(black_box(times)).median as u64)
}

fn measure(workload: Workload, percent: u32, rounds: usize) -> Vec<Value> {
    let entries: [Entry; 5] = [
        entry::<Engine>(),
        entry::<Baseline<Stopwatch>>(),
        entry::<Channel>(),
        entry::<Crossfire>(),
        entry::<Floor>(),
    ];
    let mut found = entries.map(|_| Vec::with_capacity(rounds));
    let disturbance = Disturbance::beside(Vec::new());
    for round in 0..rounds {
        let workload = Workload { seed: SEED + round as u64, ..workload };
        for ((_, run), found) in entries.iter().zip(&mut found) {
            found.push(run(workload));
        }
    }
    let others = disturbance.and_then(Disturbance::share);
    let at = |rounds: &[Histogram<u64>], quantile| -> Vec<f64> {
        rounds.iter().map(|round| round.value_at_quantile(quantile) as f64).collect()
    };
    let baseline = &found[1];
    let rows = entries.iter().zip(&found).map(|((name, _), own)| {
        let mut row = json!({
            "contender": name,
            "percent_of_baseline": percent,
            "gap_ns": workload.gap.as_nanos() as u64,
            "handler_ns": workload.handler.as_nanos() as u64,
            "permits": PERMITS,
            "workers": WORKERS,
            "rounds": rounds,
            "samples_per_round": own[0].len(),
            "others_share": others,
        });
        print!("{name:>10}");
        let targets = TARGETS.iter().find(|(share, _)| *share == percent && *name == "engine");
        let mut in_target = true;
        for (place, (label, quantile)) in QUANTILES.into_iter().enumerate() {
            let (own, baseline) = (at(own, quantile), at(baseline, quantile));
            let ratio = Quartiles::of_ratio(&own, &baseline);
            let time = Quartiles::of(own);
            in_target &= targets.is_none_or(|(_, most)| ratio.median <= most[place]);
            row[label] = time.json();
            row[format!("{label}_ratio_to_baseline")] = ratio.json();
            print!("  {label} {:>8.0} [{:>8.0} {:>8.0}]", time.median, time.lower, time.upper);
        }
        if targets.is_some() {
            row["in_target"] = in_target.into();
        }
        let longest = Quartiles::of(own.iter().map(|round| round.max() as f64));
        row["max"] = longest.json();
        println!("  max {:>9.0} ns", longest.median);
        row
    });
    rows.collect()
}

fn main() -> io::Result<()> {
    let size = if output::is_quick() {
        Size { messages: 2_000, calibrating: 2_000, rounds: 3 }
    } else {
        Size { messages: 20_000, calibrating: 20_000, rounds: 45 }
    };
    let mut rows = Vec::new();
    for handler in HANDLERS {
        let each = calibrate(handler, size);
        // The slower the handler, the fewer messages tell as much in the same time.
        let messages = if handler.is_zero() { size.messages } else { size.messages / 10 };
        for percent in SHARES_PERCENT {
            let gap = each * 100 / percent;
            println!(
                "\nhandler {handler:?}, one message in {gap:?} ({percent} % of the baseline's best); \
                 {} rounds of {messages} messages",
                size.rounds
            );
            rows.extend(measure(
                Workload { messages, gap, handler, seed: SEED },
                percent,
                size.rounds,
            ));
        }
    }
    output::publish("latency", rows)
}
