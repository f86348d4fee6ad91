//! Handlers that only begin the work: each message is a task of a tokio runtime that sleeps.

#![expect(
    clippy::disallowed_types,
    reason = "the engine's stand-ins for atomics are not part of its public API"
)]

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use gossip_engine::{FlowConfig, FlowWorker, MessageHandler, MetricsRegistry, NodeId, Slot};
use serde_json::{Value, json};
use tokio::{
    runtime::{self, Runtime},
    time::sleep,
};

use super::counted;
use crate::harness::{ledger::Ledger, output, rounds::interleaved, statistics::Quartiles};

const BOUND: usize = 10;
const THREADS: usize = 3;
/// Each has one message under way at the most, where the bound holds.
const PEERS: usize = BOUND;
const WORK: Duration = Duration::from_millis(20);
/// Of the runtime.
const RUNTIME_THREADS: usize = 2;
const WAYS: [(&str, Way); 3] =
    [("slot", Way::Slot), ("block_on", Way::BlockOn), ("spawn", Way::Spawn)];

#[derive(Clone, Copy)]
enum Way {
    /// A task to which the slot is moved.
    Slot,
    /// The handler waits for the work.
    BlockOn,
    /// A task that nothing bounds.
    Spawn,
}

/// What is under way, and what has been done.
struct Tasks {
    now: AtomicUsize,
    most: AtomicUsize,
    ledger: Ledger,
}

impl Tasks {
    fn begin(&self) {
        // Relaxed: counts and nothing else.
        let now = self.now.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(now, Ordering::Relaxed);
    }

    fn end(&self, sequence: usize) {
        self.now.fetch_sub(1, Ordering::Relaxed);
        self.ledger.mark(sequence);
    }
}

struct Begins {
    way: Way,
    runtime: runtime::Handle,
    tasks: Arc<Tasks>,
}

impl MessageHandler<usize> for Begins {
    fn handle(&self, _: &NodeId, sequence: usize) {
        let tasks = Arc::clone(&self.tasks);
        tasks.begin();
        let task = async move {
            sleep(WORK).await;
            tasks.end(sequence);
        };
        match self.way {
            Way::Slot => {
                let slot = Slot::take().expect("in a handler, and once");
                self.runtime.spawn(async move {
                    task.await;
                    drop(slot);
                });
            }
            Way::BlockOn => self.runtime.block_on(task),
            Way::Spawn => {
                self.runtime.spawn(task);
            }
        }
    }
}

struct Round {
    most: usize,
    seconds: f64,
    /// What the flow says that a message takes, in the median.
    service: Duration,
}

fn run(way: Way, runtime: &Runtime, messages: usize) -> Round {
    let tasks = Arc::new(Tasks {
        now: AtomicUsize::new(0),
        most: AtomicUsize::new(0),
        ledger: Ledger::new(messages),
    });
    let handler = Begins { way, runtime: runtime.handle().clone(), tasks: Arc::clone(&tasks) };
    let config = FlowConfig::new(BOUND).with_threads(THREADS);
    let flow = FlowWorker::new("storage", &config, &MetricsRegistry::new(), handler)
        .expect("the system gives threads");
    let started = Instant::now();
    futures_executor::block_on(async {
        for sequence in 0..messages {
            let peer = NodeId::new([(sequence % PEERS) as u8; 32]);
            assert!(flow.execute(peer, sequence).await.is_ok(), "void: a message was refused");
        }
    });
    let seconds = (tasks.ledger.wait() - started).as_secs_f64();
    let service = counted(&flow, messages).service.quantile(0.5);
    tasks.ledger.verify();
    Round { most: tasks.most.load(Ordering::Relaxed), seconds, service }
}

pub(crate) fn measure() -> io::Result<Vec<Value>> {
    let (messages, rounds) = if output::is_quick() { (100, 1) } else { (1_000, 9) };
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(RUNTIME_THREADS)
        .enable_time()
        .build()?;
    // With as many at a time as the bound allows, and no time lost in between.
    let least_seconds = WORK.as_secs_f64() * messages as f64 / BOUND as f64;
    println!(
        "\nslots: bound {BOUND}, {THREADS} threads, {messages} messages of {WORK:?} of async work, {least_seconds} s \
         at the bound; {rounds} rounds"
    );
    let (found, others) = interleaved(&WAYS, rounds, |(_, way), _| run(*way, &runtime, messages));
    let rows = WAYS.iter().zip(found).map(|((way, _), own)| {
        let most = own.iter().map(|round| round.most).max();
        let at_a_time = Quartiles::of(own.iter().map(|round| round.most as f64));
        let seconds = Quartiles::of(own.iter().map(|round| round.seconds));
        let service = Quartiles::of(own.iter().map(|round| round.service.as_nanos() as f64));
        println!(
            "{way:>16}: at most {:.0} [{:.0} {:.0}] at a time, {:.3} [{:.3} {:.3}] s, service {:.0} ns",
            at_a_time.median,
            at_a_time.lower,
            at_a_time.upper,
            seconds.median,
            seconds.lower,
            seconds.upper,
            service.median,
        );
        json!({
            "what": "slots",
            "way": way,
            "bound": BOUND,
            "threads": THREADS,
            "peers": PEERS,
            "messages": messages,
            "work_ns": WORK.as_nanos() as u64,
            "rounds": rounds,
            "most_at_a_time": at_a_time.json(),
            "most_of_all_rounds": most,
            "seconds": seconds.json(),
            "least_seconds": least_seconds,
            "service_ns": service.json(),
            "others_share": others,
        })
    });
    Ok(rows.collect())
}
