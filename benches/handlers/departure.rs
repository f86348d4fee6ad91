//! A peer that submits messages, each of which is answered as admitted, and hangs up at once.

#![expect(
    clippy::disallowed_types,
    reason = "the engine's stand-ins for atomics are not part of its public API"
)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use gossip_engine::{Departure, Engine, FlowConfig, MetricsRegistry, NodeId, Outcome, PeerHandler};
use serde_json::{Value, json};

use super::DEADLINE;
use crate::harness::{
    output,
    rounds::interleaved,
    statistics::Quartiles,
    work::{steps_in, work},
};

const FLOW: &str = "votes";
const PERMITS: usize = 1_000;
const THREADS: usize = 3;
const MESSAGES: usize = 100;
const HANDLER: Duration = Duration::from_micros(20);
/// The last is what departures are compared with.
const WAYS: [(&str, Departure); 2] = [("Drain", Departure::Drain), ("Cancel", Departure::Cancel)];
const PEER: NodeId = NodeId::new([1; 32]);
/// With its message the threads are there, and have been awake.
const EARLIER: NodeId = NodeId::new([2; 32]);

/// Says how many messages of the peer had been handled when it was gone.
struct Hears {
    handled: Arc<AtomicUsize>,
    down: mpsc::Sender<usize>,
}

impl PeerHandler<NodeId> for Hears {
    fn on_peer_down(&self, _: &NodeId) {
        // Acquire: pairs with the handlers' count.
        let handled = self.handled.load(Ordering::Acquire);
        self.down.send(handled).expect("the bench listens");
    }
}

struct Round {
    /// Before `on_peer_down`.
    handled: usize,
    /// From the end of the connection to the return of `on_peer_down`.
    took: Duration,
}

fn run(departure: Departure, steps: u64) -> Round {
    let registry = MetricsRegistry::new();
    let handled = Arc::new(AtomicUsize::new(0));
    let (down, hears) = mpsc::channel();
    let (earlier, earlier_ran) = mpsc::channel();
    let mut builder = Engine::<NodeId>::builder(&registry);
    let config = FlowConfig::new(PERMITS).with_threads(THREADS).with_departure(departure);
    let handler = {
        let handled = Arc::clone(&handled);
        move |peer: &NodeId, (): ()| {
            work(steps);
            if *peer == PEER {
                // Release: pairs with the look in `on_peer_down`.
                handled.fetch_add(1, Ordering::Release);
            } else {
                earlier.send(()).expect("the bench listens");
            }
        }
    };
    let votes = builder.flow(FLOW, config, handler).expect("the system gives threads");
    let hearing = Hears { handled: Arc::clone(&handled), down };
    let engine = builder.build_with(hearing).expect("the system gives threads");
    votes.try_execute(EARLIER, ()).expect("void: there is capacity");
    earlier_ran.recv().expect("void: a message did not run");

    let peer = engine.connect(PEER).wait().expect("void: the engine is open");
    for _ in 0..MESSAGES {
        votes.try_execute(PEER, ()).expect("void: a message was not admitted");
    }
    let started = Instant::now();
    peer.close().wait();
    let took = started.elapsed();
    let handled_by_then = hears.try_recv().expect("void: nobody heard that the peer had gone");

    assert!(engine.shutdown(DEADLINE).is_clean(), "void: messages are left");
    let counts = registry.snapshot();
    counts.verify().expect("void: the counts do not add up");
    let counts = counts.flow(FLOW);
    let all = MESSAGES as u64 + 1;
    assert_eq!(counts.admitted, all, "void: not all were admitted");
    let ended = counts.handled() + counts.count(Outcome::Cancelled);
    assert_eq!(ended, all, "void: messages came to another end");
    let ran = handled.load(Ordering::Acquire) as u64 + 1;
    assert_eq!(counts.handled(), ran, "void: the counts are not those of the handlers");
    Round { handled: handled_by_then, took }
}

fn nanoseconds(rounds: &[Round]) -> Vec<f64> {
    rounds.iter().map(|round| round.took.as_nanos() as f64).collect()
}

pub(crate) fn measure() -> Vec<Value> {
    let rounds = if output::is_quick() { 20 } else { 300 };
    let steps = steps_in(HANDLER);
    println!(
        "departure: {MESSAGES} messages of {HANDLER:?}, {THREADS} threads, one for the peer; {rounds} rounds"
    );
    let (found, others) = interleaved(&WAYS, rounds, |(_, way), _| run(*way, steps));
    let times: Vec<Vec<f64>> = found.iter().map(|own| nanoseconds(own)).collect();
    let cancels = times.last().expect("it is the last way");
    let rows = WAYS.iter().zip(&found).zip(&times).map(|(((way, _), own), times)| {
        let handled = || own.iter().map(|round| round.handled);
        let (least, most) = (handled().min(), handled().max());
        let median = Quartiles::of(handled().map(|handled| handled as f64));
        let whole = handled().filter(|handled| *handled == MESSAGES).count();
        let time = Quartiles::of(times.iter().copied());
        let longest = times.iter().copied().fold(0.0, f64::max);
        println!(
            "{way:>16}: handled {:.0} [{:.0} {:.0}] of {MESSAGES}, all in {whole} of {rounds} rounds; departure {:.0} \
             [{:.0} {:.0}] ns, longest {longest:.0}",
            median.median, median.lower, median.upper, time.median, time.lower, time.upper,
        );
        json!({
            "what": "departure",
            "way": way,
            "messages": MESSAGES,
            "handler_ns": HANDLER.as_nanos() as u64,
            "permits": PERMITS,
            "threads": THREADS,
            "rounds": rounds,
            "handled": median.json(),
            "least_handled": least,
            "most_handled": most,
            "whole_rounds": whole,
            "departure_ns": time.json(),
            "longest_ns": longest,
            "ratio_to_cancel": Quartiles::of_ratio(times, cancels).json(),
            "others_share": others,
        })
    });
    rows.collect()
}
