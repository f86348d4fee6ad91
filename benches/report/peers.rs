//! The sections about many peers: what a message costs, and what a peer keeps in memory.

use std::{error::Error, path::Path};

use serde_json::Value;

use super::{
    lines::{self, Panel, Plot, Scale},
    table::{distinct, duration, figure, markdown, number, share, spread, text, verdict},
};

const PLOT: &str = "benches/plots/peers.svg";

pub(crate) fn section(rows: &[Value], package: &Path) -> Result<String, Box<dyn Error>> {
    let first = rows.first().ok_or("no rows")?;
    plot(rows, package)?;
    let head = [
        "contender, permits, peers",
        "ns",
        "to the fewest peers",
        "to `baseline`",
        "to `channel`",
        "target",
        "others",
    ];
    let lines: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            vec![
                format!("{}, {}, {}", text(&row["contender"]), row["permits"], row["peers"]),
                spread(&row["ns_per_message"]),
                spread(&row["ratio_to_fewest"]),
                spread(&row["ratio_to_baseline"]),
                spread(&row["ratio_to_channel"]),
                verdict(&row["in_target"]),
                share(&row["others_share"]),
            ]
        })
        .collect();
    Ok(format!(
        "Closed loop, one producer, {} worker, an empty handler, messages from all peers in turn, in a \
         shuffled order; a peer has a tenth of the permits; {} rounds of {} messages. The other designs know no \
         peers: what they lose with their number, the bench itself takes.\n\n![Cost of a message by \
         number of peers]({PLOT})\n\n{}",
        first["workers"],
        first["rounds"],
        first["messages"],
        markdown(&head.map(str::to_owned), &lines),
    ))
}

fn plot(rows: &[Value], package: &Path) -> Result<(), Box<dyn Error>> {
    let panel = |permits: &Value| {
        let rows: Vec<Value> =
            rows.iter().filter(|row| row["permits"] == *permits).cloned().collect();
        let of_contender = |name: &Value| {
            let own = rows.iter().filter(|row| row["contender"] == *name);
            (text(name), own.map(|row| row["ns_per_message"].clone()).collect())
        };
        Panel {
            title: format!("time for a message, {permits} permits"),
            points: distinct(&rows, "peers").iter().map(|peers| format!("{peers} peers")).collect(),
            series: distinct(&rows, "contender").iter().map(of_contender).collect(),
        }
    };
    let plot = Plot {
        title: "Cost of a message by connected peers; whiskers span the quartiles",
        scale: Scale::Linear,
        label: duration,
        columns: 2,
        width: 400,
        panels: distinct(rows, "permits").iter().map(panel).collect(),
    };
    lines::draw(&package.join(PLOT), &plot)
}

pub(crate) fn memory(rows: &[Value], _: &Path) -> Result<String, Box<dyn Error>> {
    let head = ["a peer that", "peers", "adverts", "bytes a peer", "target"];
    let lines: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            vec![
                text(&row["what"]),
                row["peers"].to_string(),
                row["adverts"].to_string(),
                figure(number(&row["bytes_per_peer"])),
                verdict(&row["in_target"]),
            ]
        })
        .collect();
    Ok(format!(
        "Live bytes by a counting allocator, before and after so many peers have connected to a \
         handler with all five flows, divided by their number. A peer's quota in the Advert flow is the \
         default, {} messages. A burst was queued while a handler was held, and has been handled.\n\n{}",
        rows.first().ok_or("no rows")?["advert_quota"],
        markdown(&head.map(str::to_owned), &lines),
    ))
}
