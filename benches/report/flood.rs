//! The section about a flood by one peer.

use std::{error::Error, path::Path};

use serde_json::Value;

use super::{
    lines::{self, Panel, Plot, Scale},
    table::{duration, figure, markdown, number, share, spread, text, verdict},
};

const PLOT: &str = "benches/plots/flood.svg";
const QUANTILES: [(&str, &str); 3] = [("p50", "p50"), ("p99", "p99"), ("p99.9", "p999")];

pub(crate) fn section(rows: &[Value], package: &Path) -> Result<String, Box<dyn Error>> {
    let first = rows.first().ok_or("no rows")?;
    plot(rows, package)?;
    let head = [
        "contender",
        "calm p99",
        "flood p50",
        "flood p99",
        "flood p99.9",
        "p99, flood to calm",
        "target",
        "others",
    ];
    let waits: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let times = ["calm_p99", "flood_p50", "flood_p99", "flood_p999", "p99_flood_to_calm"];
            [text(&row["contender"])]
                .into_iter()
                .chain(times.map(|name| spread(&row[name])))
                .chain([verdict(&row["p99_in_target"]), share(&row["others_share"])])
                .collect()
        })
        .collect();
    let service = markdown(
        &["contender", "Jain's index", "served in time", "worst off", "flooder's share", "lost"]
            .map(str::to_owned),
        &rows
            .iter()
            .map(|row| {
                let shares =
                    ["jain", "served_in_time", "served_in_time_worst_peer", "flooder_share"];
                [text(&row["contender"])]
                    .into_iter()
                    .chain(shares.map(|name| figure(number(&row[name]["median"]))))
                    .chain([row["honest_lost"].to_string()])
                    .collect()
            })
            .collect::<Vec<_>>(),
    );
    Ok(format!(
        "{} honest peers together offer half of what {} worker can do with a handler of {}; another \
         peer has {} calls pending all the time. {} permits; the engine gives a peer a quarter of \
         them, the others know no peers. {} rounds of {} honest messages with the flood and as many \
         without.\n\n![Honest peers' wait by quantile, without and with the flood]({PLOT})\n\n\
         The flooder's thread shares the core of the honest peers' thread, whose messages may be submitted \
         later for it. From an honest message's intended arrival to the start of its handler, in nanoseconds. The \
         target: under flood the p99 is at most twice the calm one and one service time. A round is short, and its \
         quantiles begin behind its first tenth.\n\n{}\n\
         What was served while messages were due, medians of the rounds: Jain's index over the \
         honest peers' shares (1 if all get the same part of what they offered), the part of the \
         honest messages that was started in that time, that of the peer that got least, and the \
         flooder's part of all that was started.\n\n{service}",
        first["honest_peers"],
        first["workers"],
        duration(number(&first["service_ns"])),
        first["flooder_pending"],
        first["permits"],
        first["rounds"],
        first["samples_per_round"],
        markdown(&head.map(str::to_owned), &waits),
    ))
}

fn plot(rows: &[Value], package: &Path) -> Result<(), Box<dyn Error>> {
    let panel = |title: &str, when: &str| Panel {
        title: title.to_owned(),
        points: QUANTILES.map(|(label, _)| label.to_owned()).into(),
        series: rows
            .iter()
            .map(|row| {
                let own = QUANTILES.map(|(_, name)| row[format!("{when}_{name}")].clone());
                (text(&row["contender"]), own.into())
            })
            .collect(),
    };
    let plot = Plot {
        title: "Wait of the honest peers' messages; whiskers span the quartiles of the rounds",
        scale: Scale::Logarithmic,
        label: duration,
        columns: 2,
        width: 380,
        panels: vec![panel("without the flood", "calm"), panel("under flood", "flood")],
    };
    lines::draw(&package.join(PLOT), &plot)
}
