//! Handlers that fork: `rayon::join` and `par_iter` inside a handler, without a lock held and with one.
//!
//! **join.** A handler joins parts that are some hundreds of microseconds of work together. Messages come one at a
//! time, each after the end of the last: at once, or after a pause that lets idle threads fall asleep. What is measured
//! is the run of the handler by its own clock, with two threads relative to one. The work is a number of steps and not
//! a time, so that helpers can make it shorter: twice as short at best, and on two free cores only.
//!
//! **lock.** Handlers take a mutex and run a `par_iter` under it, with more messages waiting. A thread that waits for
//! its parts looks for other work. If it takes up a message then, that message's handler wants the mutex which its own
//! thread holds, and neither ever ends. What is counted is how many messages were handled within a generous limit: all,
//! or the row says `hang`. Each round is a process of its own, since a thread that hangs cannot be ended.
//!
//! The baseline's threads are no threads of rayon, so a fork goes to rayon's global pool, of a thread for each core.

#![expect(clippy::print_stdout, reason = "a bench's output is its purpose")]
#![expect(
    clippy::disallowed_types,
    reason = "the engine's stand-ins for atomics and locks are not part of its public API"
)]

#[allow(dead_code, reason = "only some contenders run here")]
mod contenders;
#[allow(dead_code, reason = "only some of the harness is used here")]
mod harness;

use std::{
    env,
    error::Error,
    hint::black_box,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use gossip_engine::{FlowConfig, NodeId};
use rayon::iter::{IntoParallelIterator, ParallelIterator};
use serde_json::{Value, json};

use self::{
    contenders::{Contender, Handler, baseline::Baseline, engine::Engine, rayon::Rayon},
    harness::{
        clock::{even, sleep_until},
        ledger::Message,
        output,
        rounds::interleaved,
        statistics::Quartiles,
        work::{steps_in, work},
    },
};

const PERMITS: usize = 1_000;
/// What a handler joins: 400 µs in all.
const JOINED_PARTS: usize = 16;
const JOINED_PART: Duration = Duration::from_micros(25);
/// Between two messages: none, and long enough for a thread to fall asleep.
const PAUSES: [Duration; 2] = [Duration::ZERO, Duration::from_millis(2)];

const LOCKED_PARTS: usize = 64;
const LOCKED_PART: Duration = Duration::from_micros(20);
const LOCKED_THREADS: usize = 3;
const LOCKED_PEERS: usize = 8;
const LOCKED_GAP: Duration = Duration::from_millis(1);
const LOCKED_MESSAGES: usize = 400;
const LOCKED: [&str; 4] = ["engine", "engine, forking", "rayon", "baseline"];
/// Tells the program that it is a round of the contender of this name.
const ROUND: &str = "GOSSIP_BENCH_LOCKED";

fn joined(parts: usize, steps: u64) {
    if parts == 1 {
        return work(steps);
    }
    rayon::join(|| joined(parts / 2, steps), || joined(parts - parts / 2, steps));
}

/// Joins its parts, and tells how long that took in nanoseconds.
#[derive(Clone)]
struct Joining {
    steps: u64,
    ends: mpsc::Sender<f64>,
}

impl Handler for Joining {
    fn handle(&self, _: NodeId, message: Message) {
        black_box(&message);
        let started = Instant::now();
        joined(JOINED_PARTS, self.steps);
        self.ends.send(started.elapsed().as_nanos() as f64).expect("the bench listens");
    }
}

struct Entry {
    contender: &'static str,
    threads: usize,
    pause: Duration,
}

/// In pairs: with one thread and with two.
fn entries() -> Vec<Entry> {
    let contenders = ["engine", "engine, forking", "rayon"];
    let of = |contender: &'static str| {
        PAUSES
            .into_iter()
            .flat_map(move |pause| [1, 2].map(|threads| Entry { contender, threads, pause }))
    };
    contenders.into_iter().flat_map(of).collect()
}

/// A flow of the engine.
fn engine<H: Handler>(threads: usize, forking: bool, handler: H) -> Engine {
    let config = FlowConfig::new(PERMITS).with_threads(threads);
    Engine::with(&config.with_forking_handlers(forking), handler)
}

/// The mean time of a handler in nanoseconds.
fn join(entry: &Entry, steps: u64, messages: usize) -> f64 {
    let (sender, ends) = mpsc::channel();
    let handler = Joining { steps, ends: sender };
    let Entry { threads, pause, .. } = *entry;
    match entry.contender {
        "engine" => submit(engine(threads, false, handler), &ends, pause, messages),
        "engine, forking" => submit(engine(threads, true, handler), &ends, pause, messages),
        _ => submit(Rayon::build(PERMITS, threads, handler), &ends, pause, messages),
    }
}

fn submit<C: Contender<Joining>>(
    contender: C,
    ends: &mpsc::Receiver<f64>,
    pause: Duration,
    messages: usize,
) -> f64 {
    let mut sum = 0.0;
    for sequence in 0..messages {
        thread::sleep(pause);
        let message = Message::new(sequence);
        futures_executor::block_on(contender.submit(NodeId::new([1; 32]), message));
        sum += ends.recv().expect("void: the handler did not run");
    }
    contender.finish();
    assert!(ends.try_recv().is_err(), "void: a message was handled twice");
    sum / messages as f64
}

fn measure_join(messages: usize, rounds: usize) -> Vec<Value> {
    let entries = entries();
    let steps = steps_in(JOINED_PART);
    println!(
        "join: {JOINED_PARTS} parts of {JOINED_PART:?}; {rounds} rounds of {messages} messages"
    );
    let (times, others) = interleaved(&entries, rounds, |entry, _| join(entry, steps, messages));
    let mut rows = Vec::new();
    for (entries, times) in entries.chunks_exact(2).zip(times.chunks_exact(2)) {
        for (entry, own) in entries.iter().zip(times) {
            let time = Quartiles::of(own.iter().copied());
            let ratio = Quartiles::of_ratio(own, &times[0]);
            println!(
                "{:>16}, {} threads, pause {:?}: {:>8.0} [{:>8.0} {:>8.0}] ns, to one thread {:.3} [{:.3} {:.3}]",
                entry.contender,
                entry.threads,
                entry.pause,
                time.median,
                time.lower,
                time.upper,
                ratio.median,
                ratio.lower,
                ratio.upper,
            );
            rows.push(json!({
                "what": "join",
                "contender": entry.contender,
                "machine": "quiet",
                "threads": entry.threads,
                "pause_ns": entry.pause.as_nanos() as u64,
                "parts": JOINED_PARTS,
                "part_ns": JOINED_PART.as_nanos() as u64,
                "messages": messages,
                "rounds": rounds,
                "ns_per_message": time.json(),
                "ratio_to_one_thread": ratio.json(),
                "others_share": others,
            }));
        }
    }
    rows
}

/// Runs its parts with the lock held.
#[derive(Clone)]
struct Locking {
    steps: u64,
    lock: Arc<Mutex<()>>,
    handled: Arc<AtomicUsize>,
}

impl Handler for Locking {
    fn handle(&self, _: NodeId, message: Message) {
        black_box(&message);
        let _locked = self.lock.lock().expect("no handler panics");
        (0..LOCKED_PARTS).into_par_iter().for_each(|_| work(self.steps));
        // Relaxed: a count and nothing else.
        self.handled.fetch_add(1, Ordering::Relaxed);
    }
}

/// How long a round may take: some forty times what it should.
fn limit() -> Duration {
    Duration::from_secs(if output::is_quick() { 10 } else { 20 })
}

/// A round, in a process of its own.
fn locked_round(contender: &str) -> Result<(), Box<dyn Error>> {
    let handler =
        Locking { steps: steps_in(LOCKED_PART), lock: Arc::default(), handled: Arc::default() };
    let handled = Arc::clone(&handler.handled);
    match contender {
        "engine" => locked(engine(LOCKED_THREADS, false, handler), &handled),
        "engine, forking" => locked(engine(LOCKED_THREADS, true, handler), &handled),
        "rayon" => locked(Rayon::build(PERMITS, LOCKED_THREADS, handler), &handled),
        "baseline" => locked(Baseline::build(PERMITS, LOCKED_THREADS, handler), &handled),
        _ => return Err(format!("{contender}: no such contender").into()),
    }
    Ok(())
}

/// Says what came of it. Ends the process if it hangs.
fn locked<C: Contender<Locking>>(contender: C, handled: &AtomicUsize) {
    let started = Instant::now();
    futures_executor::block_on(async {
        for (sequence, due) in even(LOCKED_MESSAGES, LOCKED_GAP).into_iter().enumerate() {
            sleep_until(started, due);
            let peer = NodeId::new([(sequence % LOCKED_PEERS) as u8; 32]);
            // There are permits for all, so it never waits.
            contender.submit(peer, Message::new(sequence)).await;
        }
    });
    let count = || handled.load(Ordering::Relaxed);
    while count() < LOCKED_MESSAGES && started.elapsed() < limit() {
        thread::sleep(Duration::from_micros(200));
    }
    let (elapsed, count_by_then) = (started.elapsed(), count());
    println!("{}", json!({ "handled": count_by_then, "seconds": elapsed.as_secs_f64() }));
    if count_by_then < LOCKED_MESSAGES {
        std::process::exit(0);
    }
    contender.finish();
    assert_eq!(count(), LOCKED_MESSAGES, "void: a message was handled twice");
}

/// Runs a round and returns what it says: how many messages were handled, and in how many seconds.
fn ask(contender: &str) -> Result<(u64, f64), Box<dyn Error>> {
    let run = Command::new(env::current_exe()?).env(ROUND, contender).output()?;
    if !run.status.success() {
        return Err(format!("{contender}: {}", String::from_utf8_lossy(&run.stderr)).into());
    }
    let said: Value = serde_json::from_slice(&run.stdout)?;
    let handled = said["handled"].as_u64().ok_or("it does not say how many were handled")?;
    Ok((handled, said["seconds"].as_f64().ok_or("it does not say how long it took")?))
}

fn measure_locked(rounds: usize) -> Result<Vec<Value>, Box<dyn Error>> {
    println!(
        "lock: {LOCKED_PARTS} parts of {LOCKED_PART:?} under a lock, {LOCKED_THREADS} threads, {LOCKED_PEERS} peers, \
         {LOCKED_MESSAGES} messages, one in {LOCKED_GAP:?}; {rounds} rounds, each given up after {:?}",
        limit(),
    );
    let (found, others) = interleaved(&LOCKED, rounds, |contender, _| ask(contender));
    let mut rows = Vec::new();
    for (contender, own) in LOCKED.iter().zip(found) {
        let own = own.into_iter().collect::<Result<Vec<_>, _>>()?;
        let all = LOCKED_MESSAGES as u64;
        let hangs = own.iter().filter(|(handled, _)| *handled < all).count();
        let outcome = if hangs > 0 { "hang" } else { "ended" };
        let handled: Vec<u64> = own.iter().map(|(handled, _)| *handled).collect();
        println!(
            "{contender:>16}: {outcome} ({hangs} of {rounds} rounds), handled {handled:?} of {all}"
        );
        let mut row = json!({
            "what": "lock",
            "contender": contender,
            "machine": "quiet",
            "threads": LOCKED_THREADS,
            "parts": LOCKED_PARTS,
            "part_ns": LOCKED_PART.as_nanos() as u64,
            "peers": LOCKED_PEERS,
            "gap_ns": LOCKED_GAP.as_nanos() as u64,
            "messages": LOCKED_MESSAGES,
            "rounds": rounds,
            "limit_seconds": limit().as_secs_f64(),
            "outcome": outcome,
            "hangs": hangs,
            "least_handled": handled.iter().min(),
            "others_share": others,
        });
        // Of a round that hangs it is not known.
        if hangs == 0 {
            row["seconds"] = Quartiles::of(own.iter().map(|(_, seconds)| *seconds)).json();
        }
        rows.push(row);
    }
    Ok(rows)
}

fn main() -> Result<(), Box<dyn Error>> {
    if let Ok(contender) = env::var(ROUND) {
        return locked_round(&contender);
    }
    let (messages, joins, locks) = if output::is_quick() { (10, 3, 1) } else { (200, 9, 5) };
    let mut rows = measure_join(messages, joins);
    rows.extend(measure_locked(locks)?);
    output::publish("forking", rows)?;
    Ok(())
}
