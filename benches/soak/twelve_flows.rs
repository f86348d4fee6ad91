//! The second part of the soak: an engine of twelve flows, each with a message type, a policy, a departure and a way to
//! run of its own, and peers known by a string, which come, submit and go. All flows change while they run.

use std::{
    array,
    collections::VecDeque,
    error::Error,
    panic::panic_any,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::channel,
    },
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use gossip_engine::{
    BuildError, Connection, Departure, Engine, EngineBuilder, FlowConfig, MetricsRegistry,
    OverloadPolicy, PeerHandler,
};

use super::{
    LOOK_EVERY, REST,
    one_flow::{AnyFlow, PANICS, Slots, Tally, Way, add, drop_slots},
    replica::Deliberate,
};
use crate::harness::changes::Dice;

const PRODUCERS: u64 = 4;
const PEERS_EACH: u64 = 8;
/// Between two changes of a flow, at the most.
const CHANGE_MS: u64 = 20;

/// Counts its calls; one in [`PANICS`] panics.
struct Peers(Arc<Tally>);

impl Peers {
    fn count(&self, what: &'static str) {
        self.0.add(what, 1);
        if self.0.get(what).is_multiple_of(PANICS) {
            panic_any(Deliberate);
        }
    }
}

impl PeerHandler<String> for Peers {
    fn on_peer_up(&self, _: &String) {
        self.count("up");
    }

    fn on_peer_down(&self, _: &String) {
        self.count("down");
    }

    fn on_messages_dropped(&self, _: &'static str, _: &String, _: u64) {
        self.count("notice");
    }
}

/// # Errors
///
/// If there are no threads.
fn add_flows(
    engine: &mut EngineBuilder<String>,
    slots: &Slots,
) -> Result<Vec<Box<dyn AnyFlow>>, BuildError> {
    use Departure::Drain;
    use Way::{Batches, InSlots, InTheCall};
    let flow = FlowConfig::new;
    let drain = |limit| flow(limit).with_departure(Drain);
    let lossy = |policy| flow(40).with_overload_policy(policy);
    let aged = drain(300).with_max_age(Some(Duration::from_millis(1)));
    let bytes = |n| Bytes::from(vec![1; n as usize]);
    let text = |n: u64| Arc::<str>::from(n.to_string());
    Ok(vec![
        add(engine, slots, "numbers", InTheCall, flow(500), |n| n)?,
        add(engine, slots, "votes", InTheCall, drain(500), |n| (n as u32, true))?,
        add(engine, slots, "names", InSlots, flow(60), |n| n.to_string())?,
        add(engine, slots, "blocks", InSlots, drain(60), |n| vec![0_u8; n as usize])?,
        add(engine, slots, "signatures", Batches, flow(200), |n| [n; 8])?,
        add(engine, slots, "rows", Batches, drain(200), |n| VecDeque::from([n]))?,
        add(engine, slots, "frames", InTheCall, lossy(OverloadPolicy::Refuse), bytes)?,
        add(engine, slots, "samples", InTheCall, lossy(OverloadPolicy::DropOldest), |n| n as f64)?,
        add(engine, slots, "pings", InTheCall, lossy(OverloadPolicy::DropNewest), Some)?,
        add(engine, slots, "news", InTheCall, aged, Box::new)?,
        add(engine, slots, "wide", InTheCall, flow(100).with_peer_threads(2), text)?,
        add(engine, slots, "calls", InSlots, flow(20).with_peer_quota(2), |_| channel::<u64>().0)?,
    ])
}

/// Runs for so long; returns what is wrong.
///
/// # Errors
///
/// If there are no threads.
pub(crate) fn run(load: Duration, seed: u64) -> Result<Vec<String>, Box<dyn Error>> {
    let registry = MetricsRegistry::new();
    let (sender, receiver) = channel();
    let slots = thread::spawn(move || drop_slots(&receiver));
    let mut builder = Engine::builder(&registry);
    let flows = add_flows(&mut builder, &sender)?;
    // The handlers have it.
    drop(sender);
    let peers = Arc::<Tally>::default();
    let engine = builder.build_with(Peers(Arc::clone(&peers)))?;

    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for number in 0..PRODUCERS {
            let (engine, flows, stop) = (&engine, &flows, &stop);
            scope.spawn(move || produce(engine, flows, number, seed, stop));
        }
        scope.spawn(|| {
            let mut dice = Dice::new(!seed);
            // Relaxed: it says nothing about any other memory.
            while !stop.load(Ordering::Relaxed) {
                flows[dice.roll(flows.len() as u64) as usize].change(&mut dice);
                thread::sleep(Duration::from_millis(dice.roll(CHANGE_MS)));
            }
        });
        thread::sleep(load);
        stop.store(true, Ordering::Relaxed);
    });

    let mut faults = Vec::new();
    // The end of a connection whose guard nobody waits for comes by itself.
    let until = Instant::now() + REST;
    while peers.get("up") != peers.get("down") {
        if Instant::now() > until {
            faults.push(format!("{} peers up, {} down", peers.get("up"), peers.get("down")));
            break;
        }
        thread::sleep(LOOK_EVERY);
    }
    let report = engine.shutdown(REST);
    if !report.is_clean() {
        faults.push(format!("the shutdown is not clean: {report:?}"));
    }
    let snapshot = registry.snapshot();
    if let Err(error) = snapshot.verify() {
        faults.push(format!("the ledger does not add up: {error}"));
    }
    faults.extend(flows.iter().flat_map(|flow| flow.faults(&snapshot)));
    let own = snapshot.flow("peers");
    let calls = ["up", "down", "notice"].map(|what| peers.get(what)).iter().sum::<u64>();
    if own.handled() + own.panicked() != calls {
        faults.push(format!("peers: {calls} calls, and {own:?}"));
    }
    drop((engine, flows));
    slots.join().map_err(|_| "the thread of the slots has panicked")?;
    Ok(faults)
}

/// Some peers of its own, which come, submit and go.
fn produce(
    engine: &Engine<String>,
    flows: &[Box<dyn AnyFlow>],
    number: u64,
    seed: u64,
    stop: &AtomicBool,
) {
    let mut dice = Dice::new(seed ^ number);
    let mut peers: [Option<Connection<String>>; PEERS_EACH as usize] = array::from_fn(|_| None);
    // Relaxed: it says nothing about any other memory.
    while !stop.load(Ordering::Relaxed) {
        let peer = dice.roll(PEERS_EACH);
        let connection = &mut peers[peer as usize];
        let Some(connected) = connection else {
            let connecting = engine.connect(format!("peer {number} {peer}"));
            // If it is refused, or dropped at once, it comes later.
            *connection = if dice.once_in(20) { None } else { connecting.wait().ok() };
            continue;
        };
        match dice.roll(300) {
            0 => connection.take().into_iter().for_each(|connection| connection.close().wait()),
            1 => *connection = None,
            _ => flows[dice.roll(flows.len() as u64) as usize].submit(connected.id(), &mut dice),
        }
    }
}
