//! A replica flooded by a peer: how long the files of the honest take to get to all, while another peer sends
//! valid frames of all flows as fast as its transport takes them.
//!
//! Three replicas and a fourth peer are connected with each other, over QUIC on the loopback interface. One of
//! the three publishes files of two chunks by an even schedule, in an open loop: a file's time runs from when
//! its publication was due to when both others hold it, hashed and under its final name. In every other round
//! the fourth peer floods all three: adverts of what does not exist, requests for a file that they hold,
//! chunks that nobody asked for, and retransmission requests. In the rounds between it is connected and says
//! nothing. Each round has replicas of its own, since what a flood has left behind must not be in the calm
//! that it is compared with.
//!
//! Whether a file is held is looked for every fifth of a millisecond, or later where the thread that looks is
//! kept from its core. A time may be too long by as much as lies between two looks, of which the longest is
//! given.
//!
//! Everybody is in this process. Where cores are few, what the flooder itself uses to make and encrypt its
//! frames, which elsewhere would be its own machine's, is taken from its victims and is part of every figure
//! under flood. Its thread's part of the processor time is given beside them.
//!
//! A round is void, and the program ends, if a file does not arrive, a connection is lost, or a replica's
//! counts do not add up at the end.

#![expect(clippy::print_stdout, reason = "a bench's output is its purpose")]

#[path = "../tests/cluster/advert.rs"]
mod advert;
#[path = "../tests/cluster/content.rs"]
#[allow(dead_code, reason = "its files of all sizes are the tests'")]
mod content;
#[path = "../../benches/harness/cores.rs"]
#[allow(dead_code, reason = "only where the machine is kept busy")]
mod cores;
#[path = "flooded/counts.rs"]
mod counts;
#[path = "../../benches/harness/disturbance.rs"]
mod disturbance;
#[path = "../tests/cluster/flooder.rs"]
mod flooder;
#[path = "../../benches/harness/folder.rs"]
mod folder;
#[path = "../../benches/harness/machine.rs"]
#[allow(dead_code, reason = "this bench runs on the quiet machine only")]
mod machine;
#[path = "../../benches/harness/output.rs"]
mod output;
#[path = "../../benches/harness/processor.rs"]
mod processor;
#[path = "flooded/round.rs"]
mod round;
#[path = "../../benches/harness/rounds.rs"]
mod rounds;
#[path = "../tests/cluster/site.rs"]
#[allow(dead_code, reason = "only the tests restart replicas")]
mod site;
#[path = "../../benches/harness/statistics.rs"]
mod statistics;

use std::io;

use gossip_engine::Outcome;
use serde_json::{Map, Value, json};
use strum::IntoEnumIterator;

use self::{
    counts::{FLOWS, PROTOCOL},
    round::{FILE_BYTES, Files, GAP, Round},
    rounds::interleaved,
    statistics::Quartiles,
};

/// Their names, and whether there is a flood.
const ENTRIES: [(&str, bool); 2] = [("calm", false), ("flooded", true)];
const QUANTILES: [(&str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("longest", 1.0)];

fn milliseconds(rounds: &[Round], quantile: f64) -> Vec<f64> {
    rounds.iter().map(|round| round.times.value_at_quantile(quantile) as f64 / 1e6).collect()
}

fn row(name: &str, rounds: &[Round]) -> Value {
    let of = |figure: &dyn Fn(&Round) -> f64| Quartiles::of(rounds.iter().map(figure));
    let sum = |figure: &dyn Fn(&Round) -> u64| rounds.iter().map(figure).sum::<u64>();
    let mut row = json!({ "round": name });
    for (label, quantile) in QUANTILES {
        row[format!("{label}_ms")] = Quartiles::of(milliseconds(rounds, quantile)).json();
    }
    let flows = FLOWS.iter().enumerate().map(|(place, flow)| {
        let taken = of(&|round| round.counts.flows[place].frames as f64 / round.seconds);
        json!({
            "flow": flow.name(),
            "frames": sum(&|round| round.counts.flows[place].frames),
            "frames_per_second": taken.json(),
            "waited_for_room": sum(&|round| round.counts.flows[place].waited),
        })
    });
    row["flows"] = flows.collect();
    let frames = of(&|round| round.counts.frames() as f64 / round.seconds);
    row["frames_per_second"] = frames.json();
    let ends: Map<String, Value> = Outcome::iter()
        .map(|end| (end, sum(&|round| round.ended(end))))
        .filter(|(_, count)| *count > 0)
        .map(|(end, count)| (end.to_string(), count.into()))
        .collect();
    row["ends"] = Value::Object(ends);
    let protocol: Map<String, Value> = PROTOCOL
        .iter()
        .enumerate()
        .map(|(place, (name, _))| {
            ((*name).to_owned(), sum(&|round| round.counts.protocol[place]).into())
        })
        .collect();
    row["protocol"] = Value::Object(protocol);
    row["blind_ms"] = of(&|round| round.blind.as_secs_f64() * 1e3).json();
    let cores = of(&|round| round.cores);
    let flooder = of(&|round| round.flooder_share);
    row["cores_used"] = cores.json();
    row["flooder_share"] = flooder.json();
    println!(
        "{name:>8}: p50 {} ms, p99 {} ms, longest {} ms; {:.0} frames a second taken in; {:.2} cores used, \
         {:.2} of it by the flooder; ends {}",
        row["p50_ms"]["median"],
        row["p99_ms"]["median"],
        row["longest_ms"]["median"],
        frames.median,
        cores.median,
        flooder.median,
        row["ends"],
    );
    row
}

fn main() -> io::Result<()> {
    let (count, rounds) = if output::is_quick() { (20, 1) } else { (100, 9) };
    println!(
        "{rounds} rounds of {count} files of {FILE_BYTES} bytes, one each {GAP:?}, calm and flooded"
    );
    let files = Files::write(count)?;
    let (found, others) =
        interleaved(&ENTRIES, rounds, |(_, flooded), _| round::run(&files, *flooded));
    let mut rows = Vec::new();
    for ((name, flooded), of_entry) in ENTRIES.iter().zip(&found) {
        let mut row = row(name, of_entry);
        if *flooded {
            for (label, quantile) in QUANTILES {
                let [flooded, calm] =
                    [of_entry, &found[0]].map(|rounds| milliseconds(rounds, quantile));
                let ratio = Quartiles::of_ratio(&flooded, &calm);
                println!(
                    "{label:>8}, flooded to calm: {:.2} [{:.2} {:.2}]",
                    ratio.median, ratio.lower, ratio.upper
                );
                row[format!("{label}_to_calm")] = ratio.json();
            }
        }
        row["rounds"] = rounds.into();
        row["files"] = count.into();
        // Had one not arrived, there would be no row.
        row["arrived"] = of_entry.iter().map(|round| round.times.len()).sum::<u64>().into();
        row["file_bytes"] = FILE_BYTES.into();
        row["gap_ns"] = (GAP.as_nanos() as u64).into();
        row["others_share"] = others.into();
        rows.push(row);
    }
    output::publish("flooded", rows)
}
