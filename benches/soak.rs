//! Everything at once, for as long as one likes: a whole handler, a broadcaster and a timer under a load
//! that is meant to break them, and at the end a ledger that must add up.
//!
//! Several producers submit messages of all flows for about a hundred peers, which come, go, flood and
//! talk nonsense. One handler in a hundred panics. Futures of calls are dropped at any point.
//! Meanwhile bounds, quotas, policies, ages, quanta, wait strategies and threads change several times a
//! second, and now and then the replica itself.
//!
//! When the load has ended, all of it must come to rest. The program fails, and says why, if
//!
//! - the metrics' ledger or the replica's own count does not add up, or something is left in flight;
//! - a message ran twice, after its peer's `on_peer_down` had begun, or before its `on_peer_up` had returned;
//! - own adverts went out in another order than they were sent;
//! - a call was never woken, or nothing ended for [`STALL`] while something was in flight;
//! - a replica that was replaced lives on, or a thread does;
//! - memory grew by more than [`ALLOWANCE`] between the end of the first fifth and the end of the load.
//!
//! Then an engine of twelve flows runs under the same faults, for as long: see `twelve_flows`.
//!
//! ```sh
//! cargo bench -p gossip-engine --bench soak -- --minutes 5 --seed 7
//! cargo bench -p gossip-engine --bench soak -- --messages 10000000
//! ```

#![expect(clippy::print_stdout, reason = "a bench's output is its purpose")]
#![expect(
    clippy::disallowed_types,
    reason = "the engine's stand-ins for atomics are not part of its public API"
)]

#[path = "soak/calls.rs"]
mod calls;
#[path = "soak/changes.rs"]
mod changes;
#[allow(dead_code, reason = "no contender runs here")]
mod contenders;
#[allow(dead_code, reason = "only some of the harness is used here")]
mod harness;
#[path = "soak/ledger.rs"]
mod ledger;
#[path = "soak/one_flow.rs"]
mod one_flow;
#[path = "soak/options.rs"]
mod options;
#[path = "soak/producer.rs"]
mod producer;
#[path = "soak/record.rs"]
mod record;
#[path = "soak/replica.rs"]
mod replica;
#[path = "soak/twelve_flows.rs"]
mod twelve_flows;
#[path = "soak/verdict.rs"]
mod verdict;

use std::{
    error::Error,
    process,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use gossip_engine::{
    AdvertBroadcaster, AsyncTransportEventHandlerImpl, ChannelConfig, FlowConfig, FlowType,
    MetricsRegistry, MetricsSnapshot, NodeId, P2PThreadJoiner,
};

use self::{
    harness::{memory, output},
    options::{Options, Until},
    producer::Producer,
    record::Record,
    replica::Replica,
};

const PEERS: usize = 104;
/// Room for own adverts, less than a burst has.
const OWN_ADVERTS: usize = 100;
const TIMER: Duration = Duration::from_millis(5);
/// Nothing has come to an end for so long, with something in flight: the engine has stalled.
const STALL: Duration = Duration::from_secs(10);
/// How long the engine has to come to rest when the load has ended.
const REST: Duration = Duration::from_secs(60);
/// At rest nothing is counted for so long: longer than the engine takes to tell of losses.
const QUIET: Duration = Duration::from_millis(500);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// By how much memory may grow: 512 pending calls with the largest chunk are 8 MiB, a full Chunk flow 1
/// MiB; the rest is what the system's allocator keeps of other peaks, on as many threads.
const ALLOWANCE: u64 = 32 << 20;

fn configuration() -> ChannelConfig {
    let flow = |limit| FlowConfig::new(limit).with_threads(2).with_max_waiters(16);
    ChannelConfig::default()
        .with_flow(FlowType::Advert, flow(2_000))
        .with_flow(FlowType::Request, flow(100).with_threads(3))
        .with_flow(FlowType::Chunk, flow(64))
        .with_flow(FlowType::Retransmission, flow(200).with_threads(1))
        .with_flow(FlowType::Transport, flow(200).with_peer_quota(8).with_threads(3))
        .with_stuck_handler_timeout(Duration::from_secs(5))
}

/// Prints the ledger until the load is to end; returns what lay in memory after a fifth of it and at
/// its end.
fn watch(registry: &MetricsRegistry, until: Until, progress: &mut Progress) -> [Option<u64>; 2] {
    let mut after_a_fifth = None;
    let mut next_line = Duration::from_secs(1);
    loop {
        thread::sleep(LOOK_EVERY);
        let snapshot = registry.snapshot();
        let at = progress.started.elapsed();
        progress.check(&snapshot);
        let share = match until {
            Until::Time(time) => at.as_secs_f64() / time.as_secs_f64(),
            Until::Messages(messages) => snapshot.received as f64 / messages as f64,
        };
        if at >= next_line {
            println!("{}", ledger::line(at, &snapshot));
            next_line += Duration::from_secs(1);
        }
        if share >= 0.2 && after_a_fifth.is_none() {
            after_a_fifth = memory::resident();
        }
        if share >= 1.0 {
            return [after_a_fifth, memory::resident()];
        }
    }
}

/// Waits until nothing is left and nothing is counted any more.
fn rest(registry: &MetricsRegistry, progress: &mut Progress) -> MetricsSnapshot {
    let until = Instant::now() + REST;
    let mut before = registry.snapshot();
    let mut quiet_since = Instant::now();
    loop {
        thread::sleep(LOOK_EVERY);
        let snapshot = registry.snapshot();
        progress.check(&snapshot);
        let counted = |snapshot: &MetricsSnapshot| {
            (snapshot.received, snapshot.notices, ledger::ended(snapshot))
        };
        if counted(&snapshot) != counted(&before) || ledger::left(&snapshot) > 0 {
            quiet_since = Instant::now();
        } else if quiet_since.elapsed() > QUIET {
            return snapshot;
        }
        if Instant::now() > until {
            verdict::give_up("no rest", &snapshot);
        }
        before = snapshot;
    }
}

/// Sees a stall.
struct Progress {
    started: Instant,
    ended: u64,
    at: Instant,
}

impl Progress {
    fn check(&mut self, snapshot: &MetricsSnapshot) {
        let ended = ledger::ended(snapshot);
        if ended != self.ended || ledger::left(snapshot) == 0 {
            (self.ended, self.at) = (ended, Instant::now());
        } else if self.at.elapsed() > STALL {
            verdict::give_up("a stall", snapshot);
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::read()?;
    println!("{options:?}");
    replica::silence_deliberate_panics();
    let record = Record::new(PEERS);
    let registry = MetricsRegistry::new();
    let built = configuration();
    let own_id = NodeId::new([0xff; 32]);
    let handler = AsyncTransportEventHandlerImpl::new(
        own_id,
        &registry,
        built.clone(),
        Replica::new(&record),
    )?;
    let broadcaster = AdvertBroadcaster::with_max_inflight(&registry, OWN_ADVERTS)?;
    let timer = P2PThreadJoiner::with_period(&registry, Replica::new(&record), TIMER)?;
    let stop = AtomicBool::new(false);
    let now = Instant::now();
    let mut progress = Progress { started: now, ended: 0, at: now };

    let (memory, replicas) = thread::scope(|scope| {
        for number in 0..options.producers {
            let peers = (number..PEERS).step_by(options.producers);
            let seed = options.seed.wrapping_add(number as u64);
            let producer = Producer::new(&handler, &record, peers, seed);
            let stop = &stop;
            scope.spawn(move || producer.run(stop));
        }
        scope.spawn(|| changes::announce(&broadcaster, &stop, !options.seed));
        let changing = scope.spawn(|| {
            changes::change(&handler, &broadcaster, &built, &record, &stop, options.seed ^ 0xc4)
        });
        let memory = watch(&registry, options.until, &mut progress);
        // Relaxed: it says nothing about any other memory.
        stop.store(true, Ordering::Relaxed);
        (memory, changing.join().expect("the changes do not panic"))
    });
    let load = progress.started.elapsed();
    let snapshot = rest(&registry, &mut progress);
    println!("{}", ledger::line(progress.started.elapsed(), &snapshot));

    let mut faults = verdict::of_counts(&snapshot, &record);
    faults.extend(verdict::of_memory(memory));
    let report = handler.shutdown(REST);
    let broadcast = broadcaster.shutdown(REST);
    drop((timer, handler, broadcaster));
    if !report.is_clean() || !broadcast.is_clean() {
        faults.push(format!("the shutdown is not clean: {report:?}, {broadcast:?}"));
    }
    let alive = replicas.iter().filter(|replica| replica.strong_count() > 0).count();
    if alive > 0 {
        faults.push(format!("{alive} replicas live on after the shutdown"));
    }
    faults.extend(twelve_flows::run(load, options.seed)?);
    output::publish(
        "soak",
        vec![verdict::row(&options, load, &snapshot, &record, memory, &faults)],
    )?;
    for fault in &faults {
        println!("FAULT: {fault}");
    }
    if !faults.is_empty() {
        process::exit(1);
    }
    println!("every message came to one end");
    Ok(())
}
