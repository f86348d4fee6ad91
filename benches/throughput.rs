//! Throughput in a closed loop: how long a message takes on average when producers submit the next one
//! as soon as the last one was admitted, with a handler that does nothing.
//!
//! Rounds interleave the contenders, and ratios are taken round by round, so that what disturbs the
//! machine disturbs all. A round's time runs from the first producer's start to the last handler's
//! end. With `GOSSIP_BENCH_QUICK=1` it takes seconds, and its figures mean nothing.
//!
//! All of it runs twice: on the quiet machine, and beside one busy thread for each core, with fewer messages. There
//! the end of a round may be seen a turn of the scheduler late, a few milliseconds, for all contenders alike.

#![expect(clippy::print_stdout, reason = "a bench's output is its purpose")]

#[allow(dead_code, reason = "what only other benches need")]
mod contenders;
#[allow(dead_code, reason = "only some of the harness is used here")]
mod harness;

use std::{
    io,
    sync::{Arc, Barrier},
    thread,
    time::Instant,
};

use gossip_engine::{NodeId, P2P_PER_FLOW_THREADS};
use serde_json::{Value, json};

use self::{
    contenders::{
        Contender, async_channel::AsyncChannel, base::Base, baseline::Baseline, channel::Channel,
        crossfire::Crossfire, engine::Engine, engine_rows::EngineRows, floor::Floor, rayon::Rayon,
        tokio::Tokio, tower::Tower,
    },
    harness::{
        ledger::{Ledger, Message},
        machine::{Machine, spin_if_told},
        output,
        rounds::interleaved_on,
        statistics::Quartiles,
    },
};

/// The contenders that ratios are taken to.
const PEERS: [&str; 6] = ["baseline", "tokio", "rayon", "channel", "crossfire", "floor"];

/// One setting of what varies.
#[derive(Clone, Copy)]
struct Workload {
    permits: usize,
    producers: usize,
    workers: usize,
    messages: usize,
}

/// A contender by name, and how it runs once; that returns the nanoseconds per message.
type Entry = (&'static str, fn(Workload) -> f64);

/// In the order in which a round runs them.
fn entries() -> [Entry; 11] {
    type Tally = Arc<Ledger>;
    [
        entry::<Engine>(),
        entry::<EngineRows>(),
        entry::<Baseline<Tally>>(),
        entry::<Tokio<Tally>>(),
        entry::<Rayon<Tally>>(),
        entry::<Channel>(),
        entry::<Crossfire>(),
        entry::<AsyncChannel>(),
        entry::<Tower>(),
        entry::<Floor>(),
        entry::<Base<Tally>>(),
    ]
}

fn entry<C: Contender<Arc<Ledger>>>() -> Entry {
    (C::NAME, run::<C>)
}

fn run<C: Contender<Arc<Ledger>>>(workload: Workload) -> f64 {
    let Workload { permits, producers, workers, messages } = workload;
    let ledger = Arc::new(Ledger::new(messages));
    let contender = C::build(permits, workers, Arc::clone(&ledger));
    let start = Barrier::new(producers);
    let started = thread::scope(|scope| {
        let producer = |number: usize| {
            let (contender, start) = (&contender, &start);
            move || {
                let peer = NodeId::new([number as u8; 32]);
                let mut sequences = (number..messages).step_by(producers);
                futures_executor::block_on(async {
                    // Whatever is made for a peer's first message is made before the clock starts.
                    for sequence in sequences.by_ref().take(1) {
                        contender.submit(peer, Message::new(sequence)).await;
                    }
                    start.wait();
                    let started = Instant::now();
                    contender.submit_all(peer, sequences.map(Message::new)).await;
                    started
                })
            }
        };
        let threads: Vec<_> = (0..producers).map(|number| scope.spawn(producer(number))).collect();
        let started = threads.into_iter().map(|thread| thread.join().expect("no producer panics"));
        started.min().expect("there is a producer")
    });
    let elapsed = ledger.wait() - started;
    contender.finish();
    ledger.verify();
    elapsed.as_nanos() as f64 / (messages - producers) as f64
}

/// All rounds of one workload; a row for each contender.
fn measure(machine: &mut Machine, workload: Workload, rounds: usize) -> Vec<Value> {
    let entries = entries();
    let (times, others) = interleaved_on(machine, &entries, rounds, |(_, run), _| run(workload));
    println!("others used {:.0} % of the machine meanwhile", others.unwrap_or(f64::NAN) * 100.0);
    let to = PEERS.map(|peer| {
        let place = entries.iter().position(|(name, _)| *name == peer);
        &times[place.expect("every peer is a contender")]
    });
    let rows = entries.iter().zip(&times).map(|((name, _), own)| {
        let time = Quartiles::of(own.iter().copied());
        print!("{name:>14} {:>8.0} [{:>6.0} {:>6.0}]", time.median, time.lower, time.upper);
        let mut row = json!({
            "contender": name,
            "machine": machine.name(),
            "permits": workload.permits,
            "producers": workload.producers,
            "workers": workload.workers,
            "messages": workload.messages,
            "rounds": rounds,
            "others_share": others,
            "ns_per_message": time.json(),
        });
        for (peer, to) in PEERS.iter().zip(to) {
            let ratio = Quartiles::of_ratio(own, to);
            print!(" {:>8.3} [{:.3} {:.3}]", ratio.median, ratio.lower, ratio.upper);
            row[format!("ratio_to_{peer}")] = ratio.json();
        }
        println!();
        row
    });
    rows.collect()
}

/// All workloads on one machine.
fn measure_all(machine: &mut Machine, messages: usize, rounds: usize) -> Vec<Value> {
    let mut rows = Vec::new();
    for workers in [1, P2P_PER_FLOW_THREADS] {
        for permits in [100, 1_000, 100_000] {
            for producers in [1, 2, 4] {
                println!(
                    "\n{} machine, permits: {permits}, producers: {producers}, workers: {workers}; {rounds} rounds \
                     of {messages} messages",
                    machine.name(),
                );
                print!("{:>14} {:>8} {:15}", "", "ns", "[quartiles]");
                PEERS.iter().for_each(|peer| print!(" {:>22}", format!("to {peer}")));
                println!();
                let workload = Workload { permits, producers, workers, messages };
                rows.extend(measure(machine, workload, rounds));
            }
        }
    }
    rows
}

fn main() -> io::Result<()> {
    spin_if_told();
    let (quiet, busy, rounds) =
        if output::is_quick() { (10_000, 2_000, 3) } else { (200_000, 30_000, 9) };
    let mut rows = measure_all(&mut Machine::quiet(), quiet, rounds);
    rows.extend(measure_all(&mut Machine::busy()?, busy, rounds));
    output::publish("throughput", rows)
}
