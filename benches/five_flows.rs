//! Five flows at once, in the proportions of a real replica: how long the messages of each wait, and how
//! much longer if one of the flows is stuck.
//!
//! Of 1 000 events, 700 are adverts, 140 chunk requests, 140 chunks, 15 retransmission requests and 5
//! peers that come or go. They arrive in an open loop, each flow by a Poisson schedule with a seed of
//! its own; latency runs from the intended arrival to the start of the handler, which works for 5 µs by
//! the clock. All are submitted by one thread, which spins on a core of its own, as one pending call for
//! each peer and flow: a call that waits holds up the messages of its peer in its flow and no others.
//!
//! A round's quantiles begin behind its first tenth, in which lanes are made.
//!
//! In a stuck round the handlers of the Chunk flow block, all of them, until everything else has been
//! due for a while; chunks come all the same, fill the flow to its bound and then wait. In the end they
//! are let go, and every message is checked to have been handled exactly once.
//!
//! `baseline` is five of that design beside each other, which decode the same payloads. What the flows do to
//! each other by sharing few cores is in all figures; a stuck flow uses no core, so that a ratio below
//! 1 says that there was less to do.

#![expect(clippy::print_stdout, reason = "a bench's output is its purpose")]

#[allow(dead_code, reason = "only some contenders run here")]
mod contenders;
#[path = "five_flows/events.rs"]
mod events;
#[allow(dead_code, reason = "only some of the harness is used here")]
mod harness;
#[path = "five_flows/replicas.rs"]
mod replicas;

use std::{io, thread, time::Duration};

use gossip_engine::FlowType;
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use strum::IntoEnumIterator;

use self::{
    events::Traffic,
    harness::{
        clock::{Stopwatch, settled},
        cores, output,
        rounds::interleaved,
        statistics::Quartiles,
        streams::{Between, submit},
    },
    replicas::{Baseline, Engine, Gate, Replica, Served},
};

/// Between two events of any flow, on average.
const GAP: Duration = Duration::from_micros(25);
const SERVICE: Duration = Duration::from_micros(5);
const THREADS: usize = 2;
const STUCK: FlowType = FlowType::Chunk;
/// For how long after the last event was due the stuck handlers stay so.
const PATIENCE: Duration = Duration::from_millis(50);
const QUANTILES: [(&str, f64); 2] = [("p50", 0.5), ("p99", 0.99)];
/// The most that the p99 of a flow may grow when another one is stuck.
const TARGET: f64 = 1.2;

struct Entry {
    name: &'static str,
    stuck: bool,
    run: fn(&Traffic, bool) -> Vec<Histogram<u64>>,
}

/// The latencies of each flow.
fn run<R: Replica>(traffic: &Traffic, stuck: bool) -> Vec<Histogram<u64>> {
    let arrivals = &traffic.arrivals;
    let stopwatch = Stopwatch::new(arrivals.len(), SERVICE);
    let gate = Gate::new();
    let served = Served::new(stopwatch.clone(), traffic, stuck.then(|| gate.clone()));
    cores::others();
    let replica = R::build(THREADS, served);
    let last = arrivals.last().expect("there are events").due;
    thread::scope(|scope| {
        // While it sleeps it disturbs nobody.
        scope.spawn(|| {
            thread::sleep((last + PATIENCE).saturating_sub(stopwatch.started().elapsed()));
            gate.open();
        });
        cores::apart();
        submit(stopwatch.started(), arrivals, Between::Spin, |arrival| {
            replica.call(traffic.event_of(arrival.sequence), arrival.sequence)
        });
    });
    stopwatch.ledger().wait();
    replica.finish();
    stopwatch.ledger().verify();
    let of_flow = |flow| {
        let own = settled(arrivals).filter(move |(_, arrival)| traffic.flow_of(arrival) == flow);
        stopwatch.latencies_of(own.map(|(sequence, arrival)| (sequence, arrival.due)))
    };
    FlowType::iter().map(of_flow).collect()
}

/// A row for each flow; the rounds are those of one contender.
fn rows(
    name: &str,
    free: &[Vec<Histogram<u64>>],
    stuck: &[Vec<Histogram<u64>>],
    common: &Value,
) -> Vec<Value> {
    let row = |flow: FlowType| {
        let at = |rounds: &[Vec<Histogram<u64>>], quantile| -> Vec<f64> {
            let of_round =
                |round: &Vec<Histogram<u64>>| round[flow as usize].value_at_quantile(quantile);
            rounds.iter().map(|round| of_round(round) as f64).collect()
        };
        let mut row = common.clone();
        row["contender"] = name.into();
        row["flow"] = flow.name().into();
        row["stuck"] = (flow == STUCK).into();
        row["samples_per_round"] = free[0][flow as usize].len().into();
        print!("{name:>7} {:>14} {:>6} samples a round", flow.name(), free[0][flow as usize].len());
        for (label, quantile) in QUANTILES {
            let (free, stuck) = (at(free, quantile), at(stuck, quantile));
            let ratio = Quartiles::of_ratio(&stuck, &free);
            let times = [free, stuck].map(Quartiles::of);
            print!("  {label} {:>7.0} ns", times[0].median);
            row[label] = times[0].json();
            // The stuck flow's own wait is as long as the round.
            if flow != STUCK {
                print!(
                    ", beside a stuck flow {:>7.0} ns, ratio {:.3} [{:.3} {:.3}]",
                    times[1].median, ratio.median, ratio.lower, ratio.upper,
                );
                row[format!("{label}_beside_stuck")] = times[1].json();
                row[format!("{label}_ratio")] = ratio.json();
                row["in_target"] = (ratio.median <= TARGET).into();
            }
        }
        println!();
        row
    };
    FlowType::iter().map(row).collect()
}

fn main() -> io::Result<()> {
    let (events, rounds) = if output::is_quick() { (8_000, 3) } else { (27_000, 27) };
    let traffic = Traffic::new(events, GAP);
    println!(
        "one event in {GAP:?}, {rounds} rounds of {} events; handlers {SERVICE:?}, {THREADS} threads a \
         flow; the {} flow is stuck or is not",
        traffic.arrivals.len(),
        STUCK.name(),
    );
    let entries = [
        Entry { name: "engine", stuck: false, run: run::<Engine> },
        Entry { name: "engine", stuck: true, run: run::<Engine> },
        Entry { name: "baseline", stuck: false, run: run::<Baseline> },
        Entry { name: "baseline", stuck: true, run: run::<Baseline> },
    ];
    let (found, others) =
        interleaved(&entries, rounds, |entry, _| (entry.run)(&traffic, entry.stuck));
    let common = json!({
        "gap_ns": GAP.as_nanos() as u64,
        "service_ns": SERVICE.as_nanos() as u64,
        "threads": THREADS,
        "rounds": rounds,
        "others_share": others,
    });
    let rows: Vec<Value> = entries
        .chunks_exact(2)
        .zip(found.chunks_exact(2))
        .flat_map(|(entries, found)| rows(entries[0].name, &found[0], &found[1], &common))
        .collect();
    let missed = |row: &Value| row["contender"] == "engine" && row["in_target"] == false;
    let word = if rows.iter().any(missed) { "missed" } else { "met" };
    println!("engine: no other flow's p99 above {TARGET} times what it is without: {word}");
    output::publish("five_flows", rows)
}
