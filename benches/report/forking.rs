//! The sections about the dear peer and about handlers that fork.

use std::{error::Error, path::Path};

use serde_json::Value;

use super::{
    lines::{self, Panel, Plot, Scale},
    table::{distinct, duration, figure, markdown, number, share, spread, text},
};

const DEAR_PEER_PLOT: &str = "benches/plots/dear_peer.svg";

pub(crate) fn dear_peer(rows: &[Value], package: &Path) -> Result<String, Box<dyn Error>> {
    let first = rows.first().ok_or("no rows")?;
    plot_dear_peer(rows, package)?;
    let head = [
        "contender, weights, threads",
        "share of the cheap peer",
        "by weight",
        "cheap a second",
        "dear a second",
        "others",
    ]
    .map(str::to_owned);
    let lines: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let name = text(&row["contender"]);
            vec![
                format!("{name}, {}, {}", text(&row["weights"]), row["threads"]),
                spread(&row["share_of_cheap"]),
                figure(number(&row["share_by_weight"])),
                figure(number(&row["cheap_per_second"]["median"])),
                figure(number(&row["dear_per_second"]["median"])),
                share(&row["others_share"]),
            ]
        })
        .collect();
    Ok(format!(
        "Two peers that always have messages, those of one take {} and those of the other {}; {} permits, half of \
         them for a peer in the engine, where as many threads may serve one peer as there are. The cheap peer's \
         share of the time that handlers took, by the clock; {} rounds of {} s.\n\n{}",
        duration(number(&first["cheap_ns"])),
        duration(number(&first["dear_ns"])),
        first["permits"],
        first["rounds"],
        first["seconds"],
        markdown(&head, &lines),
    ))
}

/// A panel for each number of threads, a point for each weight.
fn plot_dear_peer(rows: &[Value], package: &Path) -> Result<(), Box<dyn Error>> {
    let weights = distinct(rows, "weights");
    let panel = |threads: &Value| {
        let of_contender = |name: &Value| {
            let own = weights.iter().filter_map(|weights| {
                // The baseline knows no weights: the same figure for all.
                let own = rows
                    .iter()
                    .filter(|row| row["threads"] == *threads && row["contender"] == *name);
                let same = own.clone().find(|row| row["weights"] == *weights);
                same.or_else(|| own.clone().next()).map(|row| row["share_of_cheap"].clone())
            });
            (text(name), own.collect())
        };
        Panel {
            title: format!("{threads} thread{}", if *threads == 1 { "" } else { "s" }),
            points: weights.iter().map(|weights| format!("weights {}", text(weights))).collect(),
            series: distinct(rows, "contender").iter().map(of_contender).collect(),
        }
    };
    let plot = Plot {
        title: "The cheap peer's share of the handlers' time",
        scale: Scale::Linear,
        label: |share| format!("{:.0} %", share * 100.0),
        columns: 2,
        width: 380,
        panels: distinct(rows, "threads").iter().map(panel).collect(),
    };
    lines::draw(&package.join(DEAR_PEER_PLOT), &plot)
}

pub(crate) fn section(rows: &[Value], _: &Path) -> Result<String, Box<dyn Error>> {
    let of = |what: &'static str| rows.iter().filter(move |row| row["what"] == what);
    let join = of("join").next().ok_or("no handler joins")?;
    let lock = of("lock").next().ok_or("no handler locks")?;
    let head = ["contender, threads, pause", "ns a handler", "to one thread", "others"];
    let joins: Vec<Vec<String>> = of("join")
        .map(|row| {
            let pause = duration(number(&row["pause_ns"]));
            vec![
                format!("{}, {}, {pause}", text(&row["contender"]), row["threads"]),
                spread(&row["ns_per_message"]),
                spread(&row["ratio_to_one_thread"]),
                share(&row["others_share"]),
            ]
        })
        .collect();
    let joins = markdown(&head.map(str::to_owned), &joins);
    let head = ["contender", "outcome", "rounds that hang", "least handled", "seconds", "others"];
    let locks: Vec<Vec<String>> = of("lock")
        .map(|row| {
            let seconds = row.get("seconds").map_or_else(String::new, spread);
            vec![
                text(&row["contender"]),
                text(&row["outcome"]),
                format!("{} of {}", row["hangs"], row["rounds"]),
                format!("{} of {}", row["least_handled"], row["messages"]),
                seconds,
                share(&row["others_share"]),
            ]
        })
        .collect();
    let locks = markdown(&head.map(str::to_owned), &locks);
    Ok(format!(
        "A handler joins {} parts of {} of work each, one message at a time, each after the end of the last and a \
         pause; {} rounds of {} messages.\n\n{joins}\nHandlers that run a `par_iter` of {} parts of {} with a lock \
         held: {} threads, {} peers, {} messages, one in {}. A round that has not ended after {} s hangs. The \
         baseline's threads are none of rayon's, so its forks go to the global pool.\n\n{locks}",
        join["parts"],
        duration(number(&join["part_ns"])),
        join["rounds"],
        join["messages"],
        lock["parts"],
        duration(number(&lock["part_ns"])),
        lock["threads"],
        lock["peers"],
        lock["messages"],
        duration(number(&lock["gap_ns"])),
        lock["limit_seconds"],
    ))
}
