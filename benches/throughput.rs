//! Throughput in a closed loop: how long a message takes on average when producers bring the next one
//! as soon as the last one was admitted, with a handler that does nothing.
//!
//! Rounds interleave the contenders, and ratios are taken round by round, so that what disturbs the
//! machine disturbs all. A round's time runs from the first producer's start to the last handler's
//! end. With `GOSSIP_BENCH_QUICK=1` it takes seconds, and its figures mean nothing.

#![expect(clippy::print_stdout, reason = "a bench's output is its purpose")]

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
        engine::Engine, floor::Floor, rayon::Rayon, tokio::Tokio, tower::Tower,
    },
    harness::{
        disturbance::Disturbance,
        ledger::{Ledger, Message},
        output,
        statistics::Quartiles,
    },
};

/// The contenders that ratios are taken to.
const PEERS: [&str; 5] = ["baseline", "tokio", "rayon", "channel", "floor"];

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
fn entries() -> [Entry; 9] {
    type Tally = Arc<Ledger>;
    [
        entry::<Engine<Tally>>(),
        entry::<Baseline<Tally>>(),
        entry::<Tokio<Tally>>(),
        entry::<Rayon<Tally>>(),
        entry::<Channel>(),
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
                let mut submit = contender.submitter(peer);
                futures_executor::block_on(async {
                    // Whatever is made for a peer's first message is made before the clock starts.
                    for sequence in sequences.by_ref().take(1) {
                        submit(Message::new(sequence)).await;
                    }
                    start.wait();
                    let started = Instant::now();
                    for sequence in sequences {
                        submit(Message::new(sequence)).await;
                    }
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
fn measure(workload: Workload, rounds: usize) -> Vec<Value> {
    let entries = entries();
    let mut times = entries.map(|_| Vec::with_capacity(rounds));
    let disturbance = Disturbance::start();
    for _ in 0..rounds {
        for ((_, run), times) in entries.iter().zip(&mut times) {
            times.push(run(workload));
        }
    }
    let others = disturbance.and_then(Disturbance::share);
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

fn main() -> io::Result<()> {
    let (messages, rounds) = if output::is_quick() { (10_000, 3) } else { (200_000, 9) };
    let mut rows = Vec::new();
    for workers in [1, P2P_PER_FLOW_THREADS] {
        for permits in [100, 1_000, 100_000] {
            for producers in [1, 2, 4] {
                println!(
                    "\npermits: {permits}, producers: {producers}, workers: {workers}; {rounds} rounds \
                     of {messages} messages"
                );
                print!("{:>14} {:>8} {:15}", "", "ns", "[quartiles]");
                PEERS.iter().for_each(|peer| print!(" {:>22}", format!("to {peer}")));
                println!();
                rows.extend(measure(Workload { permits, producers, workers, messages }, rounds));
            }
        }
    }
    output::publish("throughput", rows)
}
