//! How long the protocol's lock is held when a peer departs, and by a tick of its clock, with many peers and
//! many downloads.
//!
//! Every peer advertises every artifact, so all downloads run, and all peers may be asked in each. No peer
//! answers: each has been asked for as much as it may be, so what a departed one was asked for has to be
//! asked of others. Both calls are those that the engine makes, with an outbox that only counts, in one
//! thread; what is sent counts as part of a call.
//!
//! Departures: one peer after another, each of which comes back afterwards and advertises all again, outside of
//! the measured time. Times are the thread's processor time: on a machine that others use as well, what they
//! take is not the protocol's. Ticks: 100 ms of the replica's time apart, on through the time when all chunks are late,
//! time out, and attempts give way, so the longest is one with as much to do as a tick does.

#![expect(clippy::print_stdout, reason = "a bench's output is its purpose")]

#[path = "../tests/cluster/advert.rs"]
mod advert;
#[path = "../../benches/harness/folder.rs"]
mod folder;
#[path = "../../benches/harness/output.rs"]
mod output;
#[path = "../../benches/harness/processor.rs"]
#[allow(dead_code, reason = "one thread's time is enough")]
mod processor;

use std::{
    io,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use gossip_engine::{ArtifactId, FlowType, Gossip as _, GossipMessage, NodeId};
use gossip_replica::{
    catalog::Catalogs,
    gossip::{GossipOptions, ReplicaGossip},
    outbox::{Outbox, SendError},
    store::{Durability, Store, StoreOptions},
};
use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// Peers and downloads.
const SIZES: [(usize, usize); 3] = [(100, 100), (300, 200), (1_000, 1_000)];
const QUICK_SIZES: [(usize, usize); 1] = [(50, 50)];
/// What each call may take at most.
const TARGET: Duration = Duration::from_millis(1);
const DEPARTURES: usize = 200;
const TICK: Duration = Duration::from_millis(100);
/// Long enough for every chunk to time out and every attempt to stall.
const TICKS: u32 = 900;
const CHUNKS: u64 = 64;

/// Takes everything.
#[derive(Default)]
struct Sink {
    sent: AtomicU64,
}

impl Outbox for Sink {
    fn send(&self, _: NodeId, _: GossipMessage) -> Result<(), SendError> {
        self.sent.fetch_add(1, Relaxed);
        Ok(())
    }

    fn has_capacity(&self, _: NodeId, _: FlowType, _: usize) -> bool {
        true
    }
}

fn id(n: usize) -> [u8; 32] {
    // Spread over the whole range, as keys and hashes are.
    let mut id = [0; 32];
    for (place, bytes) in id.chunks_exact_mut(8).enumerate() {
        let word = ((n * 4 + place + 1) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    id
}

struct World {
    gossip: ReplicaGossip,
    sink: Arc<Sink>,
    millis: Arc<AtomicU64>,
    peers: Vec<NodeId>,
    downloads: usize,
    _folder: tempfile::TempDir,
}

impl World {
    fn new(peers: usize, downloads: usize) -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let options = StoreOptions { durability: Durability::Crash, ..StoreOptions::default() };
        let store = Store::open_with(folder.path(), options).map_err(io::Error::other)?;
        let options = GossipOptions {
            max_downloads: downloads,
            downloads_per_peer: downloads.div_ceil(peers).max(20),
            ..GossipOptions::default()
        };
        let (sink, millis) = (Arc::new(Sink::default()), Arc::new(AtomicU64::new(0)));
        let clock = millis.clone();
        let gossip = ReplicaGossip::with_clock(
            options,
            store.clone(),
            Catalogs::open(&store.catalogs_folder())?,
            sink.clone(),
            |_, _| Ok(()),
            move || Duration::from_millis(clock.load(Relaxed)),
            1,
        )
        .map_err(io::Error::other)?;
        let peers: Vec<NodeId> = (0..peers).map(|n| NodeId::new(id(n))).collect();
        let world = Self { gossip, sink, millis, peers, downloads, _folder: folder };
        world.peers.iter().for_each(|peer| world.join(*peer));
        Ok(world)
    }

    fn join(&self, peer: NodeId) {
        self.gossip.on_peer_up(peer);
        for n in 0..self.downloads {
            let artifact = ArtifactId::new(id(1_000_000 + n));
            let size = CHUNKS * u64::from(advert::CHUNK_BYTES);
            if let GossipMessage::Advert(advert) = advert::advert(artifact, size) {
                self.gossip.on_gossip_advert(advert, peer);
            }
        }
    }

    /// Until as many downloads run as may.
    fn settle(&self) {
        for _ in 0..1_000 {
            if self.gossip.snapshot().active == self.downloads as u64 {
                return;
            }
            self.tick();
        }
        panic!("not all downloads run: {:?}", self.gossip.snapshot());
    }

    fn tick(&self) -> Duration {
        self.millis.fetch_add(TICK.as_millis() as u64, Relaxed);
        let began = processor::of_thread();
        self.gossip.on_gossip_timer();
        processor::of_thread() - began
    }
}

fn row(call: &str, world: &World, times: &Histogram<u64>) -> Value {
    let micros = |quantile| times.value_at_quantile(quantile) as f64 / 1e3;
    let (median, p99, longest) = (micros(0.5), micros(0.99), micros(1.0));
    let within = longest <= TARGET.as_secs_f64() * 1e6;
    println!(
        "{call:>9}, {} peers, {} downloads: p50 {median:.0} us, p99 {p99:.0} us, longest {longest:.0} us{}",
        world.peers.len(),
        world.downloads,
        if within { "" } else { ", over the target" },
    );
    json!({
        "call": call, "peers": world.peers.len(), "downloads": world.downloads,
        "calls": times.len(), "p50_us": median, "p99_us": p99, "longest_us": longest,
        "within_target": within,
    })
}

fn run(peers: usize, downloads: usize) -> io::Result<Vec<Value>> {
    let world = World::new(peers, downloads)?;
    world.settle();
    let mut departures = Histogram::<u64>::new(3).map_err(io::Error::other)?;
    for peer in world.peers.iter().take(DEPARTURES) {
        let began = processor::of_thread();
        world.gossip.on_peer_down(*peer);
        let took = processor::of_thread() - began;
        departures.record(took.as_nanos() as u64).map_err(io::Error::other)?;
        world.join(*peer);
        // What the departed one has left behind is forgotten by ticks.
        (0..12).for_each(|_| _ = world.tick());
    }
    let mut ticks = Histogram::<u64>::new(3).map_err(io::Error::other)?;
    for _ in 0..TICKS {
        ticks.record(world.tick().as_nanos() as u64).map_err(io::Error::other)?;
    }
    let snapshot = world.gossip.snapshot();
    println!(
        "           {} requests, {} timed out, {} attempts given up, {} messages sent",
        snapshot.fetched.chunks_requested,
        snapshot.fetched.chunks_timed_out,
        snapshot.fetched.given_up,
        world.sink.sent.load(Relaxed),
    );
    Ok(vec![row("departure", &world, &departures), row("tick", &world, &ticks)])
}

/// The status is 1 if a call of the full form takes longer than it may.
fn main() -> io::Result<ExitCode> {
    let sizes: &[_] = if output::is_quick() { &QUICK_SIZES } else { &SIZES };
    let mut rows = Vec::new();
    for (peers, downloads) in sizes {
        rows.extend(run(*peers, *downloads)?);
    }
    let within = rows.iter().all(|row| row["within_target"] == true);
    output::publish("departures", rows)?;
    // The quick form runs in tests, among others, and shows only that it works.
    Ok(if within || output::is_quick() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
