//! How the cost of a message grows with the number of peers that are connected.
//!
//! Closed loop, one producer, one worker, an empty handler. The messages come from all peers in turn,
//! in an order that is fixed and shuffled, so that neither their ids nor their lanes lie side by side in
//! memory. Every peer has sent a message before the clock starts: a lane's making is not in the
//! figures. All numbers of peers have the same bound: the permits are those that the quotas of the
//! fewest peers add up to, so that a flow of few peers is no narrower than one of many.
//!
//! `channel` knows no peers; what it loses with their number is what the harness and the caches of
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
    contenders::{Contender, channel::Channel, engine::Engine},
    harness::{
        clock::split_mix,
        ledger::{Ledger, Message},
        output,
        rounds::interleaved,
        statistics::Quartiles,
    },
};

const PEERS: [usize; 4] = [10, 100, 1_000, 10_000];
const QUOTA: usize = 4;
/// A lane is a ring: the larger the quota, the more memory its messages go through in turn.
const LARGE_QUOTA: usize = 32;
const PERMITS: usize = QUOTA * PEERS[0];
const WORKERS: usize = 1;
const SEED: u64 = 0x7065_6572_7300;
/// The most that a message may cost with the most peers, in terms of the fewest.
const TARGET: f64 = 1.5;

/// A contender, a number of peers, and how it runs so many messages; that returns the nanoseconds
/// for each.
struct Entry {
    name: &'static str,
    peers: usize,
    run: fn(&[NodeId], usize) -> f64,
}

/// In the order in which a round runs them.
fn entries() -> Vec<Entry> {
    fn engine(peers: &[NodeId], messages: usize, quota: usize) -> f64 {
        let config = FlowConfig::new(PERMITS)
            .with_threads(WORKERS)
            .with_peer_quota(quota)
            .with_max_peers(PEERS[PEERS.len() - 1]);
        run(peers, messages, |handler| Engine::with(&config, handler))
    }
    let small = |peers: &[NodeId], messages| engine(peers, messages, QUOTA);
    let large = |peers: &[NodeId], messages| engine(peers, messages, LARGE_QUOTA);
    let channel = |peers: &[NodeId], messages| {
        run(peers, messages, |handler| Channel::build(PERMITS, WORKERS, handler))
    };
    let of = |name, run| PEERS.map(|peers| Entry { name, peers, run });
    let engines = of("engine", small).into_iter().chain(of("engine, quota 32", large));
    engines.chain(of("channel", channel)).collect()
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
    let bring = |sequences: std::ops::Range<usize>| {
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
    bring(peers.len()..all);
    let elapsed = ledger.wait() - started;
    contender.finish();
    ledger.verify();
    elapsed.as_nanos() as f64 / messages as f64
}

fn main() -> io::Result<()> {
    let (messages, rounds) = if output::is_quick() { (20_000, 3) } else { (400_000, 9) };
    println!("{rounds} rounds of {messages} messages; {PERMITS} permits, {QUOTA} for a peer");
    let ids = PEERS.map(ids);
    let entries = entries();
    let (times, others) = interleaved(&entries, rounds, |entry, _| {
        let place =
            PEERS.iter().position(|peers| *peers == entry.peers).expect("it is one of them");
        (entry.run)(&ids[place], messages)
    });
    let mut rows: Vec<Value> = Vec::new();
    for (entries, times) in entries.chunks(PEERS.len()).zip(times.chunks(PEERS.len())) {
        for (entry, own) in entries.iter().zip(times) {
            let time = Quartiles::of(own.iter().copied());
            let ratio = Quartiles::of_ratio(own, &times[0]);
            println!(
                "{:>10} {:>6} peers {:>7.0} [{:>6.0} {:>6.0}] ns a message, to {} peers {:.3} [{:.3} {:.3}]",
                entry.name,
                entry.peers,
                time.median,
                time.lower,
                time.upper,
                PEERS[0],
                ratio.median,
                ratio.lower,
                ratio.upper,
            );
            rows.push(json!({
                "contender": entry.name,
                "peers": entry.peers,
                "permits": PERMITS,
                "quota": QUOTA,
                "workers": WORKERS,
                "messages": messages,
                "rounds": rounds,
                "ns_per_message": time.json(),
                "ratio_to_fewest": ratio.json(),
                "in_target": ratio.median <= TARGET,
                "others_share": others,
            }));
        }
    }
    let missed = |row: &&Value| row["contender"] == "engine" && row["in_target"] == false;
    let word = if rows.iter().any(|row| missed(&row)) { "missed" } else { "met" };
    println!("engine: at most {TARGET} times the cost with {} peers: {word}", PEERS[0]);
    output::publish("peers", rows)
}
