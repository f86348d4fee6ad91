//! How often the machine itself stops a thread that wants to run: a thread on one core, and then one on each
//! core, read the clock and do nothing else. Whoever waits beside them waits for that long as well.
//!
//! Nothing of the engine runs here. The figures say how much of the high quantiles of the other benches is
//! the machine's, and how much more of it there is when all cores are used whole, as they are by contenders
//! whose workers look for work while the producer spins.

#![expect(clippy::print_stdout, reason = "a bench's output is its purpose")]

#[path = "harness/cores.rs"]
#[allow(dead_code, reason = "threads are told one core each here")]
mod cores;
#[path = "harness/folder.rs"]
mod folder;
#[path = "harness/output.rs"]
mod output;

use std::{
    io, thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

/// Shorter ones are interrupts and the like.
const STALL: Duration = Duration::from_micros(200);

/// What one thread has missed.
#[derive(Default)]
struct Missed {
    stalls: u64,
    time: Duration,
    longest: Duration,
}

impl Missed {
    fn and(self, other: Self) -> Self {
        Self {
            stalls: self.stalls + other.stalls,
            time: self.time + other.time,
            longest: self.longest.max(other.longest),
        }
    }
}

/// Reads the clock for so long.
fn watch(length: Duration) -> Missed {
    let started = Instant::now();
    let mut missed = Missed::default();
    let mut last = started;
    while last - started < length {
        let now = Instant::now();
        let gap = now - last;
        if gap >= STALL {
            missed = missed.and(Missed { stalls: 1, time: gap, longest: gap });
        }
        last = now;
    }
    missed
}

/// A row for one thread on each of the first so many cores, at once.
fn row(threads: usize, length: Duration) -> Value {
    let missed = thread::scope(|scope| {
        let watchers: Vec<_> = (0..threads)
            .map(|core| {
                scope.spawn(move || {
                    cores::only(core);
                    watch(length)
                })
            })
            .collect();
        let missed = watchers.into_iter().map(|watcher| watcher.join().expect("it only watches"));
        missed.fold(Missed::default(), Missed::and)
    });
    let of_core = |count: f64| count / threads as f64 / length.as_secs_f64();
    println!(
        "{threads} threads for {length:?}: {} stalls, {:?} in all, the longest {:?}",
        missed.stalls, missed.time, missed.longest
    );
    json!({
        "threads": threads,
        "seconds": length.as_secs_f64(),
        "shortest_ns": STALL.as_nanos() as u64,
        "stalls": missed.stalls,
        "stalls_per_core_second": of_core(missed.stalls as f64),
        "share": of_core(missed.time.as_secs_f64()),
        "longest": missed.longest.as_nanos() as u64,
    })
}

fn main() -> io::Result<()> {
    let length = Duration::from_secs(if output::is_quick() { 1 } else { 20 });
    output::publish("stalls", [1, cores::count()].map(|threads| row(threads, length)).into())
}
