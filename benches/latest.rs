//! Votes for rising heights, twice as many as one worker can handle: how old is what the replica knows of a peer?
//!
//! A hundred peers send a vote every 5 ms on average, by a Poisson schedule; the handler works for 50 µs by the clock.
//! Each vote supersedes all that its peer has sent before. *Age* is that of the newest vote of a peer that has started,
//! counted from its intended arrival. It is looked at for each peer every millisecond, from the second second on. It
//! cannot be less than the gap between two votes. *In vain* is the share of the handled votes that were older than one
//! of the same peer that had been handled before.
//!
//! The bound is ten votes a peer for each policy. Where votes wait, their streams wait with them, as a transport's do:
//! what is due meanwhile is submitted later, with the age that it has by then.

#![expect(clippy::print_stdout, reason = "a bench's output is its purpose")]

#[allow(dead_code, reason = "the harness knows them, and none runs here")]
mod contenders;
#[allow(dead_code, reason = "only some of the harness is used here")]
mod harness;

use std::{io, time::Duration};

use gossip_engine::{
    FlowConfig, FlowType, FlowWorker, MessageHandler, MetricsRegistry, NodeId, Outcome,
    OverloadPolicy,
};
use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};
use strum::IntoEnumIterator;

use self::harness::{
    clock::{LEAD, Stopwatch, poisson},
    cores,
    disturbance::Disturbance,
    output,
    statistics::Quartiles,
    streams::{Arrival, Between, merged, submit},
};

const SERVICE: Duration = Duration::from_micros(50);
const PEERS: usize = 100;
/// Votes that may be queued of each peer.
const QUOTA: usize = 10;
/// Between two votes of one peer, so that there are twice as many as can be handled.
const GAP: Duration = Duration::from_micros(50 * PEERS as u64 / 2);
/// How often ages are looked at, and from when on.
const LOOK_EVERY: Duration = Duration::from_millis(1);
const SETTLED: Duration = Duration::from_secs(1);
const DEADLINE: Duration = Duration::from_secs(60);
const SEED: u64 = 0x6c61_7374;
const QUANTILES: [(&str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("max", 1.0)];
const POLICIES: [(&str, OverloadPolicy); 3] = [
    ("Wait", OverloadPolicy::Wait),
    ("DropOldest", OverloadPolicy::DropOldest),
    ("KeepLatest", OverloadPolicy::KeepLatest),
];

/// A vote of a peer: the number of its arrival among all, so that a later one has a higher number.
#[derive(Debug)]
struct Vote(usize);

struct Votes(Stopwatch);

impl MessageHandler<Vote> for Votes {
    fn handle(&self, _: &NodeId, vote: Vote) {
        self.0.run(vote.0);
    }

    fn supersedes(&self, newer: &Vote, older: &Vote) -> bool {
        newer.0 > older.0
    }
}

/// What came of one round.
struct Round {
    ages: Histogram<u64>,
    in_vain: f64,
    outcomes: Vec<(Outcome, u64)>,
    submitted: u64,
}

/// Records the ages of one peer, of whose votes that were started it is known when, and when they were due; returns how
/// many were handled in vain.
fn ages(starts: &mut [(Duration, Duration)], end: Duration, ages: &mut Histogram<u64>) -> usize {
    starts.sort_unstable();
    let (mut next, mut newest, mut in_vain) = (0, LEAD, 0);
    let mut at = LEAD + SETTLED;
    while at < end {
        while let Some(&(_, due)) = starts.get(next).filter(|(start, _)| *start <= at) {
            in_vain += usize::from(due < newest);
            newest = newest.max(due);
            next += 1;
        }
        ages.record((at - newest).as_nanos() as u64).expect("it grows as needed");
        at += LOOK_EVERY;
    }
    in_vain
}

fn run(policy: OverloadPolicy, length: Duration, round: u64) -> Round {
    let of_peer = length.div_duration_f64(GAP) as usize;
    let schedule = |peer| poisson(SEED + round * PEERS as u64 + peer as u64, of_peer, GAP);
    let arrivals = merged((0..PEERS).map(schedule));
    let stopwatch = Stopwatch::new(arrivals.len(), SERVICE);
    let config = FlowConfig::new(PEERS * QUOTA)
        .with_peer_quota(QUOTA)
        .with_threads(1)
        .with_overload_policy(policy);
    cores::others();
    let handler = Votes(stopwatch.clone());
    let flow = FlowWorker::new(FlowType::Advert, &config, &MetricsRegistry::new(), handler)
        .expect("the configuration is in range");
    cores::apart();
    submit(stopwatch.started(), &arrivals, Between::Spin, |arrival| {
        let peer = NodeId::new([arrival.stream as u8; 32]);
        let submitted = flow.execute(peer, Vote(arrival.sequence));
        async { assert!(submitted.await.is_ok(), "void: the flow is open and few wait") }
    });
    cores::anywhere();
    let report = flow.shutdown(DEADLINE);
    assert!(report.is_clean(), "void: {report:?}");
    let counts = flow.snapshot();
    counts.verify("Advert").expect("void: the counts do not add up");
    assert_eq!(counts.submitted(), arrivals.len() as u64, "void: a vote has no outcome");

    let end = LEAD + length;
    let mut found = Histogram::new(3).expect("the precision is in range");
    let mut in_vain = 0;
    for peer in 0..PEERS {
        let of_peer = arrivals.iter().filter(|arrival| arrival.stream == peer);
        let start = |arrival: &Arrival| (stopwatch.start_of(arrival.sequence), arrival.due);
        let mut starts: Vec<_> = of_peer.map(start).filter(|(start, _)| !start.is_zero()).collect();
        in_vain += ages(&mut starts, end, &mut found);
    }
    Round {
        ages: found,
        in_vain: in_vain as f64 / counts.handled().max(1) as f64,
        outcomes: counts.outcomes().filter(|(_, count)| *count > 0).collect(),
        submitted: counts.submitted(),
    }
}

fn row(name: &str, rounds: &[Round]) -> Value {
    let mut row = json!({ "policy": name, "rounds": rounds.len() });
    for (label, quantile) in QUANTILES {
        let ages = rounds.iter().map(|round| round.ages.value_at_quantile(quantile) as f64);
        row[label] = Quartiles::of(ages).json();
    }
    row["in_vain"] = Quartiles::of(rounds.iter().map(|round| round.in_vain)).json();
    let count = |outcome| {
        let of_round = |round: &Round| {
            round.outcomes.iter().find(|(other, _)| *other == outcome).map_or(0, |found| found.1)
        };
        rounds.iter().map(of_round).sum::<u64>()
    };
    let ends: Map<String, Value> = Outcome::iter()
        .map(|outcome| (outcome.to_string(), count(outcome)))
        .filter(|(_, count)| *count > 0)
        .map(|(outcome, count)| (outcome, count.into()))
        .collect();
    row["ends"] = Value::Object(ends);
    row["submitted"] = rounds.iter().map(|round| round.submitted).sum::<u64>().into();
    let milliseconds = |label: &str| row[label]["median"].as_f64().unwrap_or(f64::NAN) / 1e6;
    println!(
        "{name:>12}: age p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms; {} in vain; {}",
        milliseconds("p50"),
        milliseconds("p99"),
        milliseconds("max"),
        row["in_vain"]["median"],
        row["ends"],
    );
    row
}

fn main() -> io::Result<()> {
    let (length, rounds) = if output::is_quick() {
        (SETTLED + Duration::from_millis(300), 1)
    } else {
        (Duration::from_secs(5), 3)
    };
    println!(
        "{PEERS} peers, a vote of each every {GAP:?}, handler {SERVICE:?}; {rounds} rounds of {length:?}"
    );
    let disturbance = Disturbance::beside(Vec::new());
    let mut found: [Vec<Round>; POLICIES.len()] = Default::default();
    for round in 0..rounds {
        for ((_, policy), found) in POLICIES.iter().zip(&mut found) {
            found.push(run(*policy, length, round));
        }
    }
    let others = disturbance.and_then(Disturbance::share);
    let rows = POLICIES.iter().zip(&found).map(|((name, _), rounds)| {
        let mut row = row(name, rounds);
        row["peers"] = PEERS.into();
        row["quota"] = QUOTA.into();
        row["gap_ns"] = (GAP.as_nanos() as u64).into();
        row["service_ns"] = (SERVICE.as_nanos() as u64).into();
        row["seconds"] = length.as_secs_f64().into();
        row["others_share"] = others.into();
        row
    });
    let rows: Vec<Value> = rows.collect();
    output::publish("latest", rows)
}
