//! Overload: for ten seconds twice as many messages come as one worker can handle. What does a message
//! that is started have waited, how much of the work is done for nobody, and what is lost?
//!
//! The handler works for 50 µs by the clock. What a worker can do of that is measured in each round:
//! messages are submitted as fast as they are taken, and their rate is the capacity. Then four peers submit
//! twice as much by a Poisson schedule, in an open loop: a message's wait runs from its intended arrival
//! to the start of its handler. All have room for everything that comes, but for `drop oldest`, which
//! has room for 10 ms of work, since it drops for want of room and not for age.
//!
//! *Goodput* is what was started while messages were due, *fresh* that part of it which had waited for no
//! more than 10 ms; both are relative to the capacity. When the last drop came is looked for every fifth
//! of a millisecond from the last arrival on.
//!
//! A producer that was kept from its core submits messages late, and an age counts from the call; so the
//! wait that the engine has counted itself, from the call on, is given beside it.
//!
//! The same at 80 % of the capacity, in short rounds, where nothing should be dropped. A worker that is kept from
//! its core for most of 10 ms has to drop, whoever keeps it. So the producer sleeps between messages there,
//! which leaves the machine a core for what else it does; and a round in which all the same a handler, which
//! only reads the clock, did not run for more than half of those 10 ms is *disturbed*: it counts like the
//! others, but is told apart. (Or several that followed upon each other within 50 ms, for what one
//! leaves behind takes four times as long to be made up for.) A worker that is stopped between two
//! handlers is not found out. *Late* counts for all contenders what waited for more than 10 ms
//! from its intended arrival, or was dropped.
//!
//! `baseline` and `channel` have no age and no policies; with twice the capacity their queues grow as long
//! as it lasts, and so does the engine's with its defaults.

#![expect(clippy::print_stdout, reason = "a bench's output is its purpose")]

#[allow(dead_code, reason = "only some contenders run here")]
mod contenders;
#[allow(dead_code, reason = "only some of the harness is used here")]
mod harness;
#[path = "overload/rounds.rs"]
mod rounds;

use std::{io, time::Duration};

use gossip_engine::Outcome;
use serde_json::{Map, Value, json};
use strum::IntoEnumIterator;

use self::{
    harness::{disturbance::Disturbance, output, statistics::Quartiles, streams::Between},
    rounds::{ENTRIES, Round, capacity, run},
};

const SERVICE: Duration = Duration::from_micros(50);
const MAX_AGE: Duration = Duration::from_millis(10);
const PEERS: usize = 4;
/// For each peer: half of what comes in ten seconds and is not handled, and some more.
const QUOTA: usize = 1 << 16;
const LIMIT: usize = PEERS * QUOTA;
/// Ten milliseconds of work.
const SMALL_LIMIT: usize = 200;
const SEED: u64 = 0x6f76_6572;
const QUANTILES: [(&str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("max", 1.0)];

/// How much comes.
struct Load {
    /// Relative to the capacity.
    share: f64,
    /// How many rounds there are in each of the bench's own, and what part of its length each takes.
    rounds: u32,
    part: u32,
    between: Between,
}

/// Nothing builds up below the capacity, so that less time says as much, and more rounds say how often one
/// is disturbed.
const LOADS: [Load; 2] = [
    Load { share: 2.0, rounds: 1, part: 1, between: Between::Spin },
    Load { share: 0.8, rounds: 9, part: 27, between: Between::Sleep },
];
/// A round in which handlers are stopped for longer within a [`BACKLOG`] is disturbed.
const DISTURBED: Duration = Duration::from_millis(MAX_AGE.as_millis() as u64 / 2);
/// At 80 % of the capacity, a backlog as old as messages may become is made up for within so long.
const BACKLOG: Duration = Duration::from_millis(MAX_AGE.as_millis() as u64 * 5);

fn row(name: &str, load: f64, rounds: &[Round]) -> Value {
    let mut row = json!({ "contender": name, "load": load });
    for (label, quantile) in QUANTILES {
        let waits = rounds.iter().map(|round| round.waits.value_at_quantile(quantile) as f64);
        row[label] = Quartiles::of(waits).json();
    }
    let of = |figure: fn(&Round) -> f64| Quartiles::of(rounds.iter().map(figure)).json();
    row["goodput"] = of(|round| round.goodput);
    row["fresh"] = of(|round| round.fresh);
    row["late"] = rounds.iter().map(|round| round.late).sum::<u64>().into();
    row["rounds"] = rounds.len().into();
    let disturbed = || rounds.iter().filter(|round| round.stopped > DISTURBED);
    let dropped_in = |rounds: &mut dyn Iterator<Item = &Round>| rounds.map(Round::dropped).sum();
    let dropped: u64 = dropped_in(&mut rounds.iter());
    let dropped_disturbed: u64 = dropped_in(&mut disturbed());
    row["disturbed"] = disturbed().count().into();
    row["dropped_disturbed"] = dropped_disturbed.into();
    row["late_disturbed"] = disturbed().map(|round| round.late).sum::<u64>().into();
    row["stopped"] =
        Quartiles::of(rounds.iter().map(|round| round.stopped.as_nanos() as f64)).json();
    let drops = || rounds.iter().filter_map(|round| round.last_drop);
    if drops().next().is_some() {
        let nanoseconds = drops().map(|after| after.as_nanos() as f64);
        row["last_drop_after"] = Quartiles::of(nanoseconds).json();
    }
    let ends: Map<String, Value> = Outcome::iter()
        .map(|end| (end, rounds.iter().map(|round| round.count(end)).sum::<u64>()))
        .filter(|(_, count)| *count > 0)
        .map(|(end, count)| (end.to_string(), count.into()))
        .collect();
    let submitted: u64 = rounds.iter().map(|round| round.submitted).sum();
    row["ends"] = Value::Object(ends);
    row["dropped"] = dropped.into();
    row["submitted"] = submitted.into();
    let counted = || rounds.iter().filter_map(Round::counted_p99);
    if counted().next().is_some() {
        let nanoseconds = counted().map(|wait| wait.as_nanos() as f64);
        row["counted_p99"] = Quartiles::of(nanoseconds).json();
    }
    let milliseconds = |label: &str| row[label]["median"].as_f64().unwrap_or(f64::NAN) / 1e6;
    println!(
        "{name:>12} at {load}: wait p50 {:>9.3} ms, p99 {:>9.3} ms, counted p99 {:>9.3} ms; goodput {}, fresh {}; \
         {dropped} of \
         {submitted} dropped, {} late; {} of {} rounds disturbed, with {dropped_disturbed} drops and {} late; the \
         last drop {} ms \
         after the end",
        milliseconds("p50"),
        milliseconds("p99"),
        milliseconds("counted_p99"),
        row["goodput"]["median"],
        row["fresh"]["median"],
        row["late"],
        row["disturbed"],
        row["rounds"],
        row["late_disturbed"],
        milliseconds("last_drop_after"),
    );
    row
}

fn main() -> io::Result<()> {
    let (length, rounds) = if output::is_quick() {
        (Duration::from_millis(300), 1)
    } else {
        (Duration::from_secs(10), 3)
    };
    println!("handler {SERVICE:?}, 1 worker, {PEERS} peers; {rounds} rounds of {length:?}");
    let disturbance = Disturbance::beside(Vec::new());
    let mut capacities = Vec::new();
    let mut found: Vec<Vec<Round>> = Vec::new();
    found.resize_with(ENTRIES.len() * LOADS.len(), Vec::new);
    for round in 0..rounds {
        let capacity = capacity(length.min(Duration::from_secs(1)));
        capacities.push(capacity);
        for (load, found) in LOADS.iter().zip(found.chunks_exact_mut(ENTRIES.len())) {
            for part in 0..load.rounds {
                let round = round * load.rounds + part;
                for (entry, found) in ENTRIES.iter().zip(&mut *found) {
                    found.push(run(
                        entry,
                        capacity * load.share,
                        capacity,
                        length / load.part,
                        load.between,
                        round,
                    ));
                }
            }
        }
    }
    let others = disturbance.and_then(Disturbance::share);
    let capacity = Quartiles::of(capacities);
    println!("capacity: {:.0} messages a second", capacity.median);
    let pairs = LOADS.iter().flat_map(|load| ENTRIES.iter().map(move |entry| (load, entry)));
    let rows: Vec<Value> = pairs
        .zip(&found)
        .map(|((load, entry), found)| {
            let mut row = row(entry.name, load.share, found);
            row["capacity"] = capacity.json();
            row["seconds"] = (length / load.part).as_secs_f64().into();
            row["service_ns"] = (SERVICE.as_nanos() as u64).into();
            row["max_age_ns"] = (MAX_AGE.as_nanos() as u64).into();
            row["backlog_ns"] = (BACKLOG.as_nanos() as u64).into();
            row["disturbed_from_ns"] = (DISTURBED.as_nanos() as u64).into();
            row["others_share"] = others.into();
            row
        })
        .collect();
    output::publish("overload", rows)
}
