//! The dear peer: how the time of the workers is divided between a peer whose messages take 1 ms each and one whose
//! messages take 10 µs.
//!
//! Both always have messages: each has a thread that submits the next message as soon as the last one was admitted, and
//! has half of the permits. A design that takes messages in the order of their arrival gives both the same number of
//! them, and so a hundredth of the time to the cheap peer. One that divides time gives it half, or three quarters if
//! its weight is three times the other's.
//!
//! A handler works by the clock, and its time is counted by the clock as well, so a handler that is stopped by the
//! machine, or waits for a core, is charged for that. What is counted begins when both lanes are full, and ends before
//! the last message comes.

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
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use gossip_engine::{FlowConfig, NodeId};
use serde_json::{Value, json};

use self::{
    contenders::{Contender, Handler, baseline::Baseline, engine::Engine},
    harness::{
        clock::spin_until,
        cores,
        ledger::{Ledger, Message},
        output,
        rounds::interleaved,
        statistics::Quartiles,
    },
};

const PERMITS: usize = 1_000;
const CHEAP: usize = 0;
const DEAR: usize = 1;
/// What a message takes, by its peer.
const SERVICE: [Duration; 2] = [Duration::from_micros(10), Duration::from_millis(1)];
/// How many messages a peer has; a round in which it runs out of them is void.
const MESSAGES: usize = 2_000_000;

/// What came of one round.
struct Round {
    /// The cheap peer's part of the time that handlers took.
    share: f64,
    /// Messages a second, by peer.
    rates: [f64; 2],
}

struct Entry {
    contender: &'static str,
    threads: usize,
    /// The cheap peer's weight; the dear one's is 1.
    weight: u32,
}

/// What handlers write, by peer.
#[derive(Clone)]
struct Tally(Arc<[OfPeer; 2]>);

struct OfPeer {
    ledger: Ledger,
    handled: AtomicU64,
    /// Nanoseconds.
    time: AtomicU64,
}

/// Messages and nanoseconds of handlers, by peer.
type Reading = [(u64, u64); 2];

impl Tally {
    fn new() -> Self {
        let of_peer = || OfPeer {
            ledger: Ledger::new(MESSAGES),
            handled: AtomicU64::new(0),
            time: AtomicU64::new(0),
        };
        Self(Arc::new([of_peer(), of_peer()]))
    }

    fn read(&self) -> Reading {
        // Relaxed: a message more or less at either end makes no difference.
        self.0
            .each_ref()
            .map(|own| (own.handled.load(Ordering::Relaxed), own.time.load(Ordering::Relaxed)))
    }
}

impl Handler for Tally {
    fn handle(&self, peer: NodeId, message: Message) {
        let place = place_of(peer);
        let own = &self.0[place];
        let time = spin_until(Instant::now(), SERVICE[place]);
        // Relaxed: counts and nothing else.
        own.time.fetch_add(time.as_nanos() as u64, Ordering::Relaxed);
        own.handled.fetch_add(1, Ordering::Relaxed);
        own.ledger.handled(&message);
    }
}

/// How long the peers fill their lanes before the time is counted. The thread that comes first fills a queue that all
/// share before the other one comes, so this is longer than all permits take if they are the dear peer's.
fn warming(threads: usize) -> Duration {
    let at_once = threads.min(cores::count()) as u32;
    SERVICE[DEAR] * PERMITS as u32 * 6 / 5 / at_once
}

fn peer(place: usize) -> NodeId {
    NodeId::new([place as u8; 32])
}

fn place_of(peer: NodeId) -> usize {
    [CHEAP, DEAR].into_iter().find(|place| self::peer(*place) == peer).expect("it is one of two")
}

fn run_entry(entry: &Entry, window: Duration) -> Round {
    let Entry { contender, threads, weight } = *entry;
    let tally = Tally::new();
    let times = [warming(threads), window];
    if contender == "engine" {
        let config =
            FlowConfig::new(PERMITS).with_threads(threads).with_peer_quota(PERMITS / SERVICE.len());
        let config = config.with_peer_threads(threads);
        let engine = Engine::with(&config, tally.clone());
        run(engine, &tally, times, |engine| {
            assert!(engine.set_peer_weight(peer(CHEAP), weight), "void: the peer has no lane");
        })
    } else {
        run(Baseline::build(PERMITS, threads, tally.clone()), &tally, times, |_| ())
    }
}

fn run<C: Contender<Tally>>(
    contender: C,
    tally: &Tally,
    [warming, window]: [Duration; 2],
    prepare: impl FnOnce(&C),
) -> Round {
    // Whatever is made for a peer's first message is made first, and can be given a weight then.
    for place in [CHEAP, DEAR] {
        futures_executor::block_on(contender.submit(peer(place), Message::new(0)));
        tally.0[place].ledger.wait_for(1);
    }
    prepare(&contender);
    let is_over = AtomicBool::new(false);
    let (before, after, elapsed, ends) = thread::scope(|scope| {
        let producer = |place: usize| {
            let (contender, is_over) = (&contender, &is_over);
            move || {
                let mut submit = contender.submitter(peer(place));
                futures_executor::block_on(async {
                    for sequence in 1..MESSAGES {
                        // Relaxed: it says nothing about any other memory.
                        if is_over.load(Ordering::Relaxed) {
                            return sequence;
                        }
                        submit(Message::new(sequence)).await;
                    }
                    panic!("void: a peer ran out of messages");
                })
            }
        };
        let producers = [CHEAP, DEAR].map(|place| scope.spawn(producer(place)));
        thread::sleep(warming);
        let (started, before) = (Instant::now(), tally.read());
        thread::sleep(window);
        let (elapsed, after) = (started.elapsed(), tally.read());
        is_over.store(true, Ordering::Relaxed);
        let ends = producers.map(|thread| thread.join().expect("no producer panics"));
        (before, after, elapsed, ends)
    });
    for (own, end) in tally.0.iter().zip(ends) {
        own.ledger.wait_for(end);
    }
    contender.finish();
    for (own, end) in tally.0.iter().zip(ends) {
        own.ledger.verify_first(end);
    }
    let times = [CHEAP, DEAR].map(|place| (after[place].1 - before[place].1) as f64);
    let handled = [CHEAP, DEAR].map(|place| (after[place].0 - before[place].0) as f64);
    Round {
        share: times[CHEAP] / (times[CHEAP] + times[DEAR]),
        rates: handled.map(|handled| handled / elapsed.as_secs_f64()),
    }
}

fn main() -> io::Result<()> {
    let (window, rounds) = if output::is_quick() {
        (Duration::from_millis(200), 3)
    } else {
        (Duration::from_secs(1), 9)
    };
    let of_threads = |threads| {
        [("engine", 1), ("engine", 3), ("baseline", 1)].map(|(contender, weight)| Entry {
            contender,
            threads,
            weight,
        })
    };
    let entries: Vec<Entry> = [1, 3].into_iter().flat_map(of_threads).collect();
    println!(
        "two peers, messages of {:?} and {:?}, {PERMITS} permits; {rounds} rounds of {window:?}",
        SERVICE[CHEAP], SERVICE[DEAR],
    );
    let (found, others) = interleaved(&entries, rounds, |entry, _| run_entry(entry, window));
    let rows = entries.iter().zip(&found).map(|(entry, own)| {
        let Entry { contender, threads, weight } = *entry;
        let share = Quartiles::of(own.iter().map(|round| round.share));
        let rates = [CHEAP, DEAR]
            .map(|place| Quartiles::of(own.iter().map(|round| round.rates[place])));
        // What weights promise; the baseline knows none.
        let fair = f64::from(weight) / f64::from(weight + 1);
        println!(
            "{contender:>10}, weights {weight}:1, {threads} threads: the cheap peer has {:.4} [{:.4} {:.4}] of the \
             handlers' time ({fair:.2} by weight); {:.0} cheap and {:.0} dear messages a second",
            share.median, share.lower, share.upper, rates[CHEAP].median, rates[DEAR].median,
        );
        json!({
            "contender": contender,
            "machine": "quiet",
            "threads": threads,
            "weights": format!("{weight}:1"),
            "permits": PERMITS,
            "cheap_ns": SERVICE[CHEAP].as_nanos() as u64,
            "dear_ns": SERVICE[DEAR].as_nanos() as u64,
            "rounds": rounds,
            "seconds": window.as_secs_f64(),
            "share_of_cheap": share.json(),
            "share_by_weight": fair,
            "cheap_per_second": rates[CHEAP].json(),
            "dear_per_second": rates[DEAR].json(),
            "others_share": others,
        })
    });
    let rows: Vec<Value> = rows.collect();
    output::publish("dear_peer", rows)
}
