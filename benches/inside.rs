//! rayon inside a handler: how much sooner a message is done when the flow's idle threads help.
//!
//! The handler sorts random numbers, halving them by `rayon::join` down to a size below which that does
//! not pay. It runs in a flow of one thread, where `join` finds no help, and in one of two; beside
//! it the same work runs without `join`, in a flow of one thread, and `alone`, in no flow at all.
//! Messages come one at a time, each after the end of the last. What is measured is the run of the
//! handler by its own clock, so the way to it is not in the figures; and a flow of two threads can be
//! at most twice as fast, and only on two free cores.

#![expect(clippy::print_stdout, reason = "a bench's output is its purpose")]

#[path = "harness/disturbance.rs"]
mod disturbance;
#[path = "harness/folder.rs"]
mod folder;
#[path = "harness/output.rs"]
mod output;
#[path = "harness/statistics.rs"]
mod statistics;

use std::{
    hint::black_box,
    io,
    sync::mpsc,
    time::{Duration, Instant},
};

use gossip_engine::{FlowConfig, FlowType, FlowWorker, MetricsRegistry, NodeId};
use serde_json::{Value, json};

use self::{disturbance::Disturbance, statistics::Quartiles};

/// How many numbers a message has.
const NUMBERS: usize = 1 << 16;
/// So few are sorted at one go.
const PIECE: usize = 1 << 12;
const PERMITS: usize = 16;
const DEADLINE: Duration = Duration::from_secs(60);
const SEED: u64 = 0x696e_7369_6465;

type Sort = fn(&mut [u64]);

/// Sorts in place and in pieces: what lies below the middle comes before what lies above it.
fn sequential(numbers: &mut [u64]) {
    if numbers.len() <= PIECE {
        return numbers.sort_unstable();
    }
    let (below, above) = halves(numbers);
    sequential(below);
    sequential(above);
}

fn joined(numbers: &mut [u64]) {
    if numbers.len() <= PIECE {
        return numbers.sort_unstable();
    }
    let (below, above) = halves(numbers);
    rayon::join(|| joined(below), || joined(above));
}

fn halves(numbers: &mut [u64]) -> (&mut [u64], &mut [u64]) {
    let middle = numbers.len() / 2;
    numbers.select_nth_unstable(middle);
    numbers.split_at_mut(middle)
}

/// Xorshift, by Marsaglia; the same numbers for all.
fn numbers(message: usize) -> Vec<u64> {
    let mut state = SEED + message as u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..NUMBERS).map(|_| next()).collect()
}

/// Nanoseconds, and what was sorted.
fn timed(sort: Sort, mut numbers: Vec<u64>) -> (f64, Vec<u64>) {
    let started = Instant::now();
    sort(black_box(&mut numbers));
    (started.elapsed().as_nanos() as f64, numbers)
}

/// Who sorts how: a name, the flow's threads if there is a flow, the sort.
type Entry = (&'static str, Option<usize>, Sort);

/// The first is what ratios are taken to.
const ENTRIES: [Entry; 4] = [
    ("alone", None, sequential),
    ("flow of 1, sequential", Some(1), sequential),
    ("flow of 1, join", Some(1), joined),
    ("flow of 2, join", Some(2), joined),
];

/// The mean time of a handler in nanoseconds.
fn run((_, threads, sort): &Entry, messages: usize) -> f64 {
    let sort = *sort;
    let mut sum = 0.0;
    let mut note = |(nanoseconds, sorted): (f64, Vec<u64>)| {
        assert!(sorted.is_sorted() && sorted.len() == NUMBERS, "void: not sorted");
        sum += nanoseconds;
    };
    match *threads {
        None => (0..messages).for_each(|message| note(timed(sort, numbers(message)))),
        Some(threads) => {
            let (sender, ends) = mpsc::channel();
            let handler = move |_: &NodeId, numbers| {
                sender.send(timed(sort, numbers)).expect("the bench listens");
            };
            let config = FlowConfig::new(PERMITS).with_threads(threads);
            let registry = MetricsRegistry::new();
            let flow = FlowWorker::new(FlowType::Chunk, &config, &registry, handler)
                .expect("the configuration is in range");
            for message in 0..messages {
                let admitted = flow.execute(NodeId::new([1; 32]), numbers(message));
                assert!(futures_executor::block_on(admitted).is_ok(), "void: there is capacity");
                note(ends.recv().expect("void: the handler did not run"));
            }
            assert!(flow.shutdown(DEADLINE).is_clean(), "void: not all was handled");
            assert!(ends.try_recv().is_err(), "void: a message was handled twice");
        }
    }
    sum / messages as f64
}

fn main() -> io::Result<()> {
    let (messages, rounds) = if output::is_quick() { (5, 3) } else { (100, 9) };
    println!("{NUMBERS} numbers to sort; {rounds} rounds of {messages} messages");
    let mut times = ENTRIES.map(|_| Vec::with_capacity(rounds));
    let disturbance = Disturbance::beside(Vec::new());
    for _ in 0..rounds {
        for (entry, times) in ENTRIES.iter().zip(&mut times) {
            times.push(run(entry, messages));
        }
    }
    let others = disturbance.and_then(Disturbance::share);
    let rows = ENTRIES.iter().zip(&times).map(|((name, threads, _), own)| {
        let time = Quartiles::of(own.iter().copied());
        // How often the time goes into that of the first.
        let speed_up = Quartiles::of_ratio(&times[0], own);
        println!(
            "{name:>22} {:>9.0} [{:>8.0} {:>8.0}] ns a message, {:.3} [{:.3} {:.3}] times as fast as alone",
            time.median, time.lower, time.upper, speed_up.median, speed_up.lower, speed_up.upper,
        );
        json!({
            "contender": name,
            "threads": threads,
            "numbers": NUMBERS,
            "messages": messages,
            "rounds": rounds,
            "ns_per_message": time.json(),
            "speed_up": speed_up.json(),
            "others_share": others,
        })
    });
    let rows: Vec<Value> = rows.collect();
    output::publish("inside", rows)
}
