//! A flood: how long twelve honest peers wait, and what they get, while another one keeps as
//! many calls pending as the flow lets it, which is more than ten times what the flow can do.
//!
//! The handler works for 20 µs by the clock, and there is one worker, because the honest peers' thread
//! spins on a core of its own and two cores are all that can be counted on. The honest peers together
//! offer half of what that worker can do, each by a Poisson schedule with a seed of its own; latency
//! runs from the intended arrival to the start of the handler. Each awaits its own call only.
//!
//! The flooder would send ten times what the worker can do. All that a peer can do against back pressure is to have
//! many calls pending, so it has 32 on a thread of its own, submits a new one as soon as one has resolved, and blocks
//! while none has. Where threads can be told their cores, it shares that of the honest peers' thread, by which it is
//! started: it takes none of the worker's time that is not a message's. The same round without it is the calm that its
//! effect is compared with.
//!
//! Rounds are short, so that few are disturbed by the machine, and their quantiles begin behind their first
//! tenth, in which lanes are made.
//!
//! The engine has its default quota, a quarter of the permits for a peer; the others know no peers.
//! `channel` blocks the one thread that submits the honest peers' messages, as it would block a
//! transport's; `async-channel` is the same without that. What the flooder's thread takes from the honest
//! peers', which may submit a message later for it, is part of every figure under flood.

#![expect(clippy::print_stdout, reason = "a bench's output is its purpose")]
#![expect(
    clippy::disallowed_types,
    reason = "the engine's stand-ins for atomics are not part of its public API"
)]

#[allow(dead_code, reason = "only some contenders run here")]
mod contenders;
#[allow(dead_code, reason = "only some of the harness is used here")]
mod harness;

use std::{
    io,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use futures_util::stream::{FuturesUnordered, StreamExt};
use gossip_engine::{FlowConfig, NodeId};
use hdrhistogram::Histogram;
use serde_json::{Value, json};

use self::{
    contenders::{
        Contender, async_channel::AsyncChannel, baseline::Baseline, channel::Channel,
        engine::Engine,
    },
    harness::{
        clock::{LEAD, Stopwatch, poisson, settled},
        cores,
        ledger::Message,
        output,
        rounds::interleaved,
        statistics::Quartiles,
        streams::{Arrival, Between, merged, submit},
    },
};

const PERMITS: usize = 1_000;
const WORKERS: usize = 1;
const SERVICE: Duration = Duration::from_micros(20);
const HONEST: usize = 12;
const SEED: u64 = 0x666c_6f6f_6400;
/// How many calls the flooder has pending at any time.
const PENDING: usize = 32;
/// How many messages the flooder has; a round in which it runs out of them is void.
const FLOOD: usize = 2_000_000;
const QUANTILES: [(&str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("p999", 0.999)];
/// What the engine should keep: Jain's index of the honest peers' service.
const JAIN: f64 = 0.95;

/// What came of one round.
struct Round {
    latencies: Histogram<u64>,
    /// For each honest peer, the share of its messages that were started while messages were due.
    served: Vec<f64>,
    /// The flooder's messages started in that time, and all that were.
    flooded: usize,
    started: usize,
    /// Honest messages that never started.
    lost: usize,
}

struct Entry {
    name: &'static str,
    flooded: bool,
    run: Run,
}

/// Runs the honest peers' messages, with the flood or without it.
type Run = fn(&[Arrival], bool) -> Round;

fn entries() -> Vec<Entry> {
    let default_quota = FlowConfig::new(PERMITS).with_threads(WORKERS);
    assert_eq!(default_quota.peer_quota(), PERMITS / 4, "the default is what is documented above");
    let runs: [(&'static str, Run); 4] = [
        ("engine", |arrivals, flooded| {
            let config = FlowConfig::new(PERMITS).with_threads(WORKERS);
            run(arrivals, flooded, |handler| Engine::with(&config, handler))
        }),
        ("baseline", |arrivals, flooded| {
            run(arrivals, flooded, |handler| Baseline::build(PERMITS, WORKERS, handler))
        }),
        ("channel", |arrivals, flooded| {
            run(arrivals, flooded, |handler| Channel::build(PERMITS, WORKERS, handler))
        }),
        ("async-channel", |arrivals, flooded| {
            run(arrivals, flooded, |handler| AsyncChannel::build(PERMITS, WORKERS, handler))
        }),
    ];
    let both = |(name, run)| [false, true].map(|flooded| Entry { name, flooded, run });
    runs.into_iter().flat_map(both).collect()
}

fn run<C: Contender<Stopwatch>>(
    arrivals: &[Arrival],
    flooded: bool,
    build: impl FnOnce(Stopwatch) -> C,
) -> Round {
    let honest = arrivals.len();
    let stopwatch = Stopwatch::new(honest + if flooded { FLOOD } else { 0 }, SERVICE);
    cores::others();
    let contender = build(stopwatch.clone());
    cores::apart();
    let is_over = AtomicBool::new(false);
    let end = thread::scope(|scope| {
        let flooder = flooded.then(|| scope.spawn(|| flood(&contender, honest, &is_over)));
        submit(stopwatch.started(), arrivals, Between::Spin, |arrival| {
            let peer = NodeId::new([arrival.stream as u8; 32]);
            contender.submit(peer, Message::new(arrival.sequence))
        });
        stopwatch.wait_for_first(honest);
        // Relaxed: it says nothing about any other memory.
        is_over.store(true, Ordering::Relaxed);
        flooder.map_or(honest, |flooder| flooder.join().expect("the flooder does not panic"))
    });
    stopwatch.ledger().wait_for(end);
    contender.finish();
    stopwatch.ledger().verify_first(end);

    let last = arrivals.last().expect("there are messages").due;
    let in_time = |sequence: &usize| (LEAD..=last).contains(&stopwatch.start_of(*sequence));
    let served = (0..HONEST).map(|peer| {
        let own = || arrivals.iter().filter(|arrival| arrival.stream == peer);
        let served = own().filter(|arrival| in_time(&arrival.sequence)).count();
        served as f64 / own().count() as f64
    });
    let flooded = (honest..end).filter(in_time).count();
    Round {
        latencies: stopwatch
            .latencies_of(settled(arrivals).map(|(sequence, arrival)| (sequence, arrival.due))),
        served: served.collect(),
        flooded,
        started: flooded + (0..honest).filter(in_time).count(),
        lost: (0..honest).filter(|own| stopwatch.start_of(*own).is_zero()).count(),
    }
}

/// Sends until the honest peers have got all they came for; returns the number behind its last message.
fn flood<C: Contender<Stopwatch>>(contender: &C, first: usize, is_over: &AtomicBool) -> usize {
    let peer = NodeId::new([0xff; 32]);
    let call = |sequence| contender.submit(peer, Message::new(sequence));
    let mut next = first + PENDING;
    futures_executor::block_on(async {
        let mut pending: FuturesUnordered<_> = (first..next).map(call).collect();
        while pending.next().await.is_some() {
            if !is_over.load(Ordering::Relaxed) {
                assert!(next < first + FLOOD, "void: the flood ran dry");
                pending.push(call(next));
                next += 1;
            }
        }
    });
    next
}

/// Jain's fairness index: 1 if all get the same, 1 divided by their number if one gets all.
fn jain(shares: &[f64]) -> f64 {
    let sum: f64 = shares.iter().sum();
    let squares: f64 = shares.iter().map(|share| share * share).sum();
    sum * sum / (shares.len() as f64 * squares)
}

/// A row for a contender; prints what it says.
fn row(name: &str, calm: &[Round], flooded: &[Round]) -> Value {
    let mut row = json!({ "contender": name });
    let at = |rounds: &[Round], quantile| -> Vec<f64> {
        rounds.iter().map(|round| round.latencies.value_at_quantile(quantile) as f64).collect()
    };
    for (label, quantile) in QUANTILES {
        let (calm, flooded) = (at(calm, quantile), at(flooded, quantile));
        let ratio = Quartiles::of_ratio(&flooded, &calm);
        let times = [calm, flooded].map(Quartiles::of);
        println!(
            "{name:>14} {label:>5}: calm {:>10.0} ns, flood {:>10.0} ns, ratio {:>9.3} [{:.3} {:.3}]",
            times[0].median, times[1].median, ratio.median, ratio.lower, ratio.upper,
        );
        row[format!("calm_{label}")] = times[0].json();
        row[format!("flood_{label}")] = times[1].json();
        row[format!("{label}_flood_to_calm")] = ratio.json();
    }
    let of_rounds = |figure: fn(&Round) -> f64| Quartiles::of(flooded.iter().map(figure));
    let index = of_rounds(|round| jain(&round.served));
    let served = of_rounds(|round| round.served.iter().sum::<f64>() / HONEST as f64);
    let worst = of_rounds(|round| round.served.iter().copied().fold(1.0, f64::min));
    let flooder = of_rounds(|round| round.flooded as f64 / round.started as f64);
    let lost: usize = calm.iter().chain(flooded).map(|round| round.lost).sum();
    println!(
        "{name:>14} flood: Jain's index {:.4}, served in time {:.3} of the honest, {:.3} of the worst \
         off; the flooder had {:.3} of all service; {lost} honest messages lost",
        index.median, served.median, worst.median, flooder.median,
    );
    row["jain"] = index.json();
    row["served_in_time"] = served.json();
    row["served_in_time_worst_peer"] = worst.json();
    row["flooder_share"] = flooder.json();
    row["honest_lost"] = lost.into();
    let allowed = |calm: f64| 2.0 * calm + SERVICE.as_nanos() as f64;
    let within: Vec<bool> = at(calm, 0.99)
        .into_iter()
        .zip(at(flooded, 0.99))
        .map(|(calm, flooded)| flooded <= allowed(calm))
        .collect();
    row["rounds_with_p99_in_target"] = within.iter().filter(|within| **within).count().into();
    let [calm, flooded] = [calm, flooded].map(|rounds| Quartiles::of(at(rounds, 0.99)).median);
    row["p99_target"] = allowed(calm).into();
    row["p99_in_target"] = (flooded <= allowed(calm)).into();
    row["jain_in_target"] = (index.median >= JAIN).into();
    row
}

fn main() -> io::Result<()> {
    let (messages, rounds) = if output::is_quick() { (1_200, 3) } else { (1_200, 135) };
    // Half of what the worker can do, divided by the honest peers.
    let gap = SERVICE * 2 * HONEST as u32 / WORKERS as u32;
    let arrivals = |round: usize| {
        let seed = SEED + (round * HONEST) as u64;
        merged((0..HONEST).map(|peer| poisson(seed + peer as u64, messages / HONEST, gap)))
    };
    println!(
        "{HONEST} honest peers, each one message in {gap:?} on average; {rounds} rounds of {} honest \
         messages; the flooder has {PENDING} calls pending; handler {SERVICE:?}, {PERMITS} permits, \
         {WORKERS} worker",
        arrivals(0).len(),
    );
    let entries = entries();
    let (found, others) =
        interleaved(&entries, rounds, |entry, round| (entry.run)(&arrivals(round), entry.flooded));
    let mut rows = Vec::new();
    for (entries, found) in entries.chunks_exact(2).zip(found.chunks_exact(2)) {
        let mut row = row(entries[0].name, &found[0], &found[1]);
        row["rounds"] = rounds.into();
        row["samples_per_round"] = found[0][0].latencies.len().into();
        row["honest_peers"] = HONEST.into();
        row["service_ns"] = (SERVICE.as_nanos() as u64).into();
        row["permits"] = PERMITS.into();
        row["workers"] = WORKERS.into();
        row["flooder_pending"] = PENDING.into();
        row["others_share"] = others.into();
        rows.push(row);
    }
    let engine = &rows[0];
    let word = |field: &str| if engine[field] == true { "met" } else { "missed" };
    println!(
        "engine: p99 under flood at most twice the calm one and one service time: {} (in {} of {rounds} \
         rounds); Jain's index at least {JAIN}: {}",
        word("p99_in_target"),
        engine["rounds_with_p99_in_target"],
        word("jain_in_target"),
    );
    output::publish("flood", rows)
}
