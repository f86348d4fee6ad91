//! Waking up and idling: what it costs that messages come one at a time.
//!
//! Three things are measured, with one worker and a handler that does nothing:
//!
//! - the time from when a message is due to the start of its handler, when one comes each
//!   millisecond, so that a worker that sleeps at all is asleep;
//! - the processor time for a message at 50 000 of them a second, once evenly spaced and once by a
//!   Poisson schedule with a fixed seed: what the process used, less what the producer's thread used.
//!   What the producer pays to admit a message is therefore not in
//!   it, nor what it pays to wake the worker; a contender that moves work to its producer looks
//!   cheaper than it is. Time that the machine spends in interrupts for others may be in it;
//! - the processor time of an engine with all five flows, each used once, to which nothing comes.
//!
//! The engine runs with each of its ways to wait; `engine` is the default.
//!
//! The first two run twice. On the quiet machine the producer spins between messages, on a core of its own. Beside one
//! busy thread for each core it would lose that core for milliseconds at a time, so it sleeps there until a message is
//! due, and so leaves later by what it takes to wake it. How late it is, is a figure of its own, `call_delay`: the
//! share of a latency that is the harness's.

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
        Contender, baseline::Baseline, channel::Channel, crossfire::Crossfire, engine::Engine,
        rayon::Rayon, tokio::Tokio,
    },
    harness::{
        clock::{LEAD, Stopwatch, even, poisson, sleep_until, spin_until},
        cores,
        ledger::Message,
        machine::{Machine, spin_if_told},
        output, processor,
        rounds::interleaved_on,
        statistics::Quartiles,
        streams::Between,
    },
};

const PERMITS: usize = 1_000;
const WORKERS: usize = 1;
const SEED: u64 = 0x7761_6b65;
const SLOW: Duration = Duration::from_millis(1);
const FAST: Duration = Duration::from_micros(20);
const SHORT_WINDOW: Duration = Duration::from_micros(5);
const QUANTILES: [(&str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("p999", 0.999)];
/// What ratios are taken to.
const PEERS: [&str; 3] = ["baseline", "channel", "crossfire"];

/// What came of one round.
struct Round {
    latencies: Histogram<u64>,
    /// From when a message was due to its call.
    call_delays: Histogram<u64>,
    /// Nanoseconds of processor time for a message.
    processor: f64,
}

/// When messages are due, and what the producer does between them.
struct Schedule<'a> {
    due: &'a [Duration],
    between: Between,
}

type Entry = (&'static str, fn(&Schedule<'_>) -> Round);

fn entries() -> [Entry; 9] {
    [
        ("engine", |schedule| waiting(schedule, WaitStrategy::default())),
        ("engine, park", |schedule| waiting(schedule, WaitStrategy::Park)),
        ("engine, adaptive 5 µs", |schedule| {
            waiting(schedule, WaitStrategy::Adaptive(SHORT_WINDOW))
        }),
        ("engine, spin", |schedule| waiting(schedule, WaitStrategy::Spin)),
        ("baseline", |schedule| run(schedule, |own| Baseline::build(PERMITS, WORKERS, own))),
        ("tokio", |schedule| run(schedule, |own| Tokio::build(PERMITS, WORKERS, own))),
        ("rayon", |schedule| run(schedule, |own| Rayon::build(PERMITS, WORKERS, own))),
        ("channel", |schedule| run(schedule, |own| Channel::build(PERMITS, WORKERS, own))),
        ("crossfire", |schedule| run(schedule, |own| Crossfire::build(PERMITS, WORKERS, own))),
    ]
}

fn waiting(schedule: &Schedule<'_>, strategy: WaitStrategy) -> Round {
    let config = FlowConfig::new(PERMITS)
        .with_peer_quota(PERMITS)
        .with_threads(WORKERS)
        .with_wait_strategy(strategy);
    run(schedule, |handler| Engine::with(&config, handler))
}

fn run<C: Contender<Stopwatch>>(
    schedule: &Schedule<'_>,
    build: impl FnOnce(Stopwatch) -> C,
) -> Round {
    let due = schedule.due;
    let stopwatch = Stopwatch::new(due.len(), Duration::ZERO);
    cores::others();
    let contender = build(stopwatch.clone());
    cores::apart();
    let peer = NodeId::new([1; 32]);
    let started = stopwatch.started();
    let wait_until = match schedule.between {
        Between::Spin => spin_until,
        Between::Sleep => sleep_until,
    };
    let mut call_delays = Histogram::new(3).expect("the precision is in range");
    wait_until(started, LEAD);
    let before = [processor::of_process(), processor::of_thread()];
    futures_executor::block_on(async {
        for (sequence, due) in due.iter().enumerate() {
            let delay = wait_until(started, *due) - *due;
            call_delays.record(delay.as_nanos() as u64).expect("it grows as needed");
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
        call_delays,
        processor: process.saturating_sub(producer).as_nanos() as f64 / due.len() as f64,
    }
}

/// All rounds with one schedule; a row for each contender.
fn measure(
    machine: &mut Machine,
    arrivals: &str,
    gap: Duration,
    due: &[Duration],
    rounds: usize,
) -> Vec<Value> {
    println!(
        "\n{} machine, one message in {gap:?}, {arrivals}; {rounds} rounds of {} messages",
        machine.name(),
        due.len()
    );
    let entries = entries();
    let between = if machine.is_busy() { Between::Sleep } else { Between::Spin };
    let schedule = Schedule { due, between };
    let (found, others) = interleaved_on(machine, &entries, rounds, |(_, run), _| run(&schedule));
    let processor =
        |rounds: &[Round]| -> Vec<f64> { rounds.iter().map(|round| round.processor).collect() };
    let at = |rounds: &[Round], quantile| -> Vec<f64> {
        rounds.iter().map(|round| round.latencies.value_at_quantile(quantile) as f64).collect()
    };
    let peers = PEERS.map(|peer| {
        let place = entries.iter().position(|(name, _)| *name == peer);
        (peer, &found[place.expect("every peer is a contender")])
    });
    let rows = entries.iter().zip(&found).map(|((name, _), own)| {
        let mut row = json!({
            "what": "trickle",
            "contender": name,
            "machine": machine.name(),
            "arrivals": arrivals,
            "gap_ns": gap.as_nanos() as u64,
            "permits": PERMITS,
            "workers": WORKERS,
            "rounds": rounds,
            "samples_per_round": due.len(),
            "others_share": others,
        });
        print!("{name:>22}");
        for (label, quantile) in QUANTILES {
            let own_times = at(own, quantile);
            for (peer, found) in peers {
                let ratio = Quartiles::of_ratio(&own_times, &at(found, quantile));
                row[format!("{label}_ratio_to_{peer}")] = ratio.json();
            }
            let time = Quartiles::of(own_times);
            row[label] = time.json();
            print!("  {label} {:>7.0} [{:>6.0} {:>7.0}]", time.median, time.lower, time.upper);
            let delays =
                own.iter().map(|round| round.call_delays.value_at_quantile(quantile) as f64);
            row[format!("call_delay_{label}")] = Quartiles::of(delays).json();
        }
        let longest = Quartiles::of(own.iter().map(|round| round.latencies.max() as f64));
        row["max"] = longest.json();
        let used = processor(own);
        for (peer, found) in peers {
            let ratio = Quartiles::of_ratio(&used, &processor(found));
            row[format!("processor_ratio_to_{peer}")] = ratio.json();
        }
        let used = Quartiles::of(used);
        println!(
            "  max {:>8.0} ns, processor {:>6.0} [{:>6.0} {:>6.0}] ns a message; called late by p50 {} ns",
            longest.median, used.median, used.lower, used.upper, row["call_delay_p50"]["median"],
        );
        row["processor_ns_per_message"] = used.json();
        row
    });
    rows.collect()
}

/// All schedules on one machine.
fn measure_all(machine: &mut Machine, slow: usize, fast: usize, rounds: usize) -> Vec<Value> {
    let mut rows = measure(machine, "even", SLOW, &even(slow, SLOW), rounds);
    rows.extend(measure(machine, "even", FAST, &even(fast, FAST), rounds));
    rows.extend(measure(machine, "Poisson", FAST, &poisson(SEED, fast, FAST), rounds));
    rows
}

fn main() -> io::Result<()> {
    spin_if_told();
    let (slow, fast, rounds) = if output::is_quick() { (50, 2_500, 3) } else { (500, 25_000, 9) };
    let mut rows = measure_all(&mut Machine::quiet(), slow, fast, rounds);
    cores::anywhere();
    rows.push(idle::measure());
    rows.extend(measure_all(&mut Machine::busy()?, slow / 2, fast / 2, rounds));
    output::publish("wakeup", rows)
}
