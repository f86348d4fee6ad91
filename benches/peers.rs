//! How the cost of a message grows with the number of peers that are connected.
//!
//! Closed loop, one producer, one worker, an empty handler. The messages come from all peers in turn,
//! in an order that is fixed and shuffled, so that neither their ids nor their lanes lie side by side in
//! memory. Every peer has sent a message before the clock starts: a lane's making is not in the
//! figures. With few permits and with many; in both cases a peer's quota is the part of them that each of the fewest
//! peers can have, so that a flow of few peers is no narrower than one of many.
//!
//! The other designs know no peers; what they lose with the number of peers is what the harness and the caches of
//! the machine take, which is in the engine's figures as well. What a peer costs in memory is
//! another bench's, `peer_memory`.

#![expect(clippy::print_stdout, reason = "a bench's output is its purpose")]

#[allow(dead_code, reason = "only some contenders run here")]
mod contenders;
#[allow(dead_code, reason = "only some of the harness is used here")]
mod harness;

use std::{io, sync::Arc, time::Instant};

use gossip_engine::{FlowConfig, NodeId};
use serde_json::{Value, json};

use self::{
    contenders::{Contender, baseline::Baseline, channel::Channel, engine::Engine},
    harness::{
        clock::split_mix,
        ledger::{Ledger, Message},
        output,
        rounds::interleaved,
        statistics::Quartiles,
    },
};

const PEERS: [usize; 4] = [10, 100, 1_000, 10_000];
const PERMITS: [usize; 2] = [40, 1_000];
const WORKERS: usize = 1;
const SEED: u64 = 0x7065_6572_7300;
/// The most that a message may cost with the most peers, in terms of the fewest.
const TARGET: f64 = 1.5;

/// Runs so many messages of these peers with so many permits; returns the nanoseconds for each.
type Run = fn(&[NodeId], usize, usize) -> f64;

struct Entry {
    name: &'static str,
    permits: usize,
    peers: usize,
    run: Run,
}

/// What ratios are taken to.
const RIVALS: [&str; 2] = ["baseline", "channel"];

/// In the order in which a round runs them: for each number of permits all contenders, each with all numbers of peers.
fn entries() -> Vec<Entry> {
    let runs: [(&'static str, Run); 3] = [
        ("engine", |peers, permits, messages| {
            let config = FlowConfig::new(permits)
                .with_threads(WORKERS)
                .with_peer_quota(quota(permits))
                .with_max_peers(PEERS[PEERS.len() - 1]);
            run(peers, messages, |handler| Engine::with(&config, handler))
        }),
        ("baseline", |peers, permits, messages| {
            run(peers, messages, |handler| Baseline::build(permits, WORKERS, handler))
        }),
        ("channel", |peers, permits, messages| {
            run(peers, messages, |handler| Channel::build(permits, WORKERS, handler))
        }),
    ];
    let of_permits = |permits| {
        runs.into_iter()
            .flat_map(move |(name, run)| PEERS.map(|peers| Entry { name, permits, peers, run }))
    };
    PERMITS.into_iter().flat_map(of_permits).collect()
}

fn quota(permits: usize) -> usize {
    permits / PEERS[0]
}

/// Random ids, in the order in which their messages come.
fn ids(peers: usize) -> Vec<NodeId> {
    let mut state = SEED;
    let mut ids: Vec<NodeId> = (0..peers)
        .map(|_| {
            let mut bytes = [0; 32];
            for part in bytes.chunks_exact_mut(8) {
                part.copy_from_slice(&split_mix(&mut state).to_le_bytes());
            }
            NodeId::new(bytes)
        })
        .collect();
    // Made in one order and used in another: Fisher and Yates.
    for last in (1..ids.len()).rev() {
        ids.swap(last, (split_mix(&mut state) % (last as u64 + 1)) as usize);
    }
    ids
}

fn run<C: Contender<Arc<Ledger>>>(
    peers: &[NodeId],
    messages: usize,
    build: impl FnOnce(Arc<Ledger>) -> C,
) -> f64 {
    let all = peers.len() + messages;
    let ledger = Arc::new(Ledger::new(all));
    let contender = build(Arc::clone(&ledger));
    let submit = |sequences: std::ops::Range<usize>| {
        futures_executor::block_on(async {
            for (sequence, peer) in sequences.zip(peers.iter().cycle()) {
                contender.submit(*peer, Message::new(sequence)).await;
            }
        });
    };
    // In the order of their making, unlike the messages that count.
    let mut sorted: Vec<&NodeId> = peers.iter().collect();
    sorted.sort();
    futures_executor::block_on(async {
        for (sequence, peer) in sorted.into_iter().enumerate() {
            contender.submit(*peer, Message::new(sequence)).await;
        }
    });
    ledger.wait_for(peers.len());
    let started = Instant::now();
    submit(peers.len()..all);
    let elapsed = ledger.wait() - started;
    contender.finish();
    ledger.verify();
    elapsed.as_nanos() as f64 / messages as f64
}

fn main() -> io::Result<()> {
    let (messages, rounds) = if output::is_quick() { (20_000, 3) } else { (400_000, 9) };
    println!("{rounds} rounds of {messages} messages; a peer has a tenth of the permits");
    let ids = PEERS.map(ids);
    let entries = entries();
    let (times, others) = interleaved(&entries, rounds, |entry, _| {
        let place =
            PEERS.iter().position(|peers| *peers == entry.peers).expect("it is one of them");
        (entry.run)(&ids[place], entry.permits, messages)
    });
    let of = |name: &str, permits: usize, peers: usize| {
        let is_it =
            |entry: &Entry| (entry.name, entry.permits, entry.peers) == (name, permits, peers);
        &times[entries.iter().position(is_it).expect("all of them were measured")]
    };
    let mut rows: Vec<Value> = Vec::new();
    for (Entry { name, permits, peers, .. }, own) in entries.iter().zip(&times) {
        let time = Quartiles::of(own.iter().copied());
        let ratio = Quartiles::of_ratio(own, of(name, *permits, PEERS[0]));
        print!(
            "{name:>10} {permits:>5} permits {peers:>6} peers {:>7.0} [{:>6.0} {:>7.0}] ns a message, to {} peers \
             {:.3} [{:.3} {:.3}]",
            time.median, time.lower, time.upper, PEERS[0], ratio.median, ratio.lower, ratio.upper,
        );
        let mut row = json!({
            "contender": name,
            "machine": "quiet",
            "peers": peers,
            "permits": permits,
            "quota": quota(*permits),
            "workers": WORKERS,
            "messages": messages,
            "rounds": rounds,
            "ns_per_message": time.json(),
            "ratio_to_fewest": ratio.json(),
            "in_target": (*name == "engine").then_some(ratio.median <= TARGET),
            "others_share": others,
        });
        for rival in RIVALS {
            let ratio = Quartiles::of_ratio(own, of(rival, *permits, *peers));
            print!(", to {rival} {:.3}", ratio.median);
            row[format!("ratio_to_{rival}")] = ratio.json();
        }
        println!();
        rows.push(row);
    }
    let word = if rows.iter().any(|row| row["in_target"] == false) { "missed" } else { "met" };
    println!("engine: at most {TARGET} times the cost with {} peers: {word}", PEERS[0]);
    output::publish("peers", rows)
}
