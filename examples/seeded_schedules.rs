//! A replica's own test: a fault that one schedule in a hundred has is found, and named by its seed.
//!
//! The replica verifies blocks in tasks and counts, for each connected peer, how many are under way. A connection may
//! break and the peer come again before a task has ended. The faulty replica then counts the end of a block of the old
//! connection against the new one. The test never says when. It tries seeds, which decide who goes next, what is
//! submitted twice and when a connection breaks.
//!
//! ```text
//! cargo run --release --features test-util --example seeded_schedules
//! cargo add --path ../gossip-engine --features test-util    # in a crate of your own
//! ```

#![expect(clippy::disallowed_types, reason = "a program of its own takes the standard library's")]

use std::{
    collections::HashMap,
    io::{Write as _, stdout},
    panic::{catch_unwind, set_hook, take_hook},
    sync::{Arc, Mutex},
    time::Duration,
};

use gossip_engine::{
    Engine, FlowConfig, FlowWorker, MessageHandler, MetricsRegistry, PeerHandler, Simulation, Slot,
};

const SEEDS: u64 = 1_000;
const PEERS: [&str; 3] = ["bern", "basel", "chur"];
const CONNECTIONS: usize = 2;
const BLOCKS: u32 = 4;
/// How often others go on before a peer comes again.
const BACKOFF: usize = 6;

type Peer = &'static str;

/// The replica. One that is used has a runtime in place of the simulation.
#[derive(Clone)]
struct Replica {
    /// Blocks of each connected peer.
    under_way: Arc<Mutex<HashMap<Peer, usize>>>,
    is_faulty: bool,
    runtime: Simulation,
}

impl MessageHandler<u32, Peer> for Replica {
    fn handle(&self, peer: &Peer, _: u32) {
        let (replica, peer) = (self.clone(), *peer);
        let slot = Slot::take().expect("in a handler, and once");
        *self.under_way.lock().unwrap().get_mut(peer).expect("the peer is connected") += 1;
        self.runtime.spawn(async move {
            replica.runtime.pause().await; // It is verified meanwhile.
            if slot.is_cancelled() && !replica.is_faulty {
                return; // The count went with the connection.
            }
            if let Some(count) = replica.under_way.lock().unwrap().get_mut(peer) {
                *count = count.checked_sub(1).expect("a block has ended that nobody counts");
            }
        });
    }
}

impl PeerHandler<Peer> for Replica {
    fn on_peer_up(&self, peer: &Peer) {
        self.under_way.lock().unwrap().insert(peer, 0);
    }

    fn on_peer_down(&self, peer: &Peer) {
        self.under_way.lock().unwrap().remove(peer);
    }
}

/// One connection, as a transport serves it; it breaks where this is dropped.
async fn serve(peer: Peer, to: (Engine<Peer>, Arc<FlowWorker<u32, Peer>>), simulation: Simulation) {
    let Ok(connection) = to.0.connect(peer).await else { return };
    for block in 0..BLOCKS {
        for _ in 0..=simulation.pick(2) {
            let _ = to.1.execute(connection.id(), block).await; // The peer may have gone.
        }
    }
    connection.close().await;
}

/// A run of the replica, which panics if it is wrong.
fn test(simulation: Simulation, is_faulty: bool) {
    let replica = Replica { under_way: Arc::default(), is_faulty, runtime: simulation };
    let registry = MetricsRegistry::new();
    let mut builder = Engine::builder(&registry);
    // Mostly too few for all, so that they wait.
    let config = FlowConfig::new(1 + simulation.pick(8));
    let blocks = builder.flow("blocks", config, replica.clone()).expect("it is in range");
    let engine = builder.build_with(replica).expect("it is in range");
    for peer in PEERS {
        let to = (engine.clone(), Arc::clone(&blocks));
        simulation.spawn(async move {
            for _ in 0..CONNECTIONS {
                let _ = simulation.may_drop(serve(peer, to.clone(), simulation)).await;
                for _ in 0..BACKOFF {
                    simulation.pause().await;
                }
            }
        });
    }
    assert_eq!(simulation.run_until_idle(), 0, "something waits for ever");
    assert!(engine.shutdown(Duration::from_secs(1)).is_clean());
    assert_eq!(blocks.snapshot().panicked(), 0, "a handler has panicked");
}

fn main() -> std::io::Result<()> {
    let hook = take_hook();
    set_hook(Box::new(|_| {})); // The fault is to be found: it says what was to be said below.
    let faulty = catch_unwind(|| Simulation::for_each_seed(0..SEEDS, |run| test(run, true)));
    set_hook(hook);
    let what = faulty.expect_err("the fault is found").downcast::<String>().expect("it has a text");
    writeln!(stdout(), "the faulty replica: {what}")?;
    let mut seeds = 0;
    Simulation::for_each_seed(0..SEEDS, |run| {
        test(run, false);
        seeds += 1;
    });
    writeln!(stdout(), "the mended replica passes {seeds} seeds")
}
