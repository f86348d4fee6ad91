//! The section about waking up and idling.

use std::{error::Error, path::Path};

use serde_json::Value;

use super::{
    lines::{self, Panel, Plot, Scale},
    table::{duration, markdown, number, share, spread, text, verdict},
};

const PLOT: &str = "benches/plots/wakeup.svg";
const QUANTILES: [(&str, &str); 4] =
    [("50 %", "p50"), ("99 %", "p99"), ("99.9 %", "p999"), ("max", "max")];
/// The others are the engine in other settings, or hard to tell from these.
const DRAWN: [&str; 6] = ["engine", "engine, park", "baseline", "tokio", "rayon", "channel"];

pub(crate) fn section(rows: &[Value], package: &Path) -> Result<String, Box<dyn Error>> {
    let trickles: Vec<&Value> = rows.iter().filter(|row| row["what"] == "trickle").collect();
    let first = trickles.first().ok_or("no rows")?;
    plot(&trickles, package)?;
    let mut section = format!(
        "{} worker, an empty handler; {} rounds. On the quiet machine the producer spins on a core of its own, on the \
         busy one it sleeps between messages. Times are \
         nanoseconds from a message's intended arrival to the start of its handler; *called late* is the part of the \
         p50 that the producer takes to call. Processor time \
         is the process's less the producer's, for a message, so what the producer pays to admit it \
         is not in it. `engine` waits by default, the others of its kind as their names say.\n",
        first["workers"], first["rounds"],
    );
    let head = [
        "contender",
        "p50",
        "p99",
        "p99.9",
        "longest",
        "p50 to `baseline`",
        "p50 to `crossfire`",
        "called late",
        "processor ns",
        "processor to `channel`",
        "others",
    ]
    .map(str::to_owned);
    for rows in trickles.chunk_by(|a, b| schedule(a) == schedule(b)) {
        let lines: Vec<Vec<String>> = rows
            .iter()
            .map(|row| {
                let figures = [
                    "p50",
                    "p99",
                    "p999",
                    "max",
                    "p50_ratio_to_baseline",
                    "p50_ratio_to_crossfire",
                    "call_delay_p50",
                    "processor_ns_per_message",
                    "processor_ratio_to_channel",
                ];
                [text(&row["contender"])]
                    .into_iter()
                    .chain(figures.map(|name| spread(&row[name])))
                    .chain([share(&row["others_share"])])
                    .collect()
            })
            .collect();
        section += &format!(
            "\n### The {} machine, one message in {}, {}\n\n{} samples a round.\n\n{}",
            text(&rows[0]["machine"]),
            duration(number(&rows[0]["gap_ns"])),
            match text(&rows[0]["arrivals"]).as_str() {
                "even" => "evenly spaced".to_owned(),
                arrivals => format!("{arrivals} arrivals"),
            },
            rows[0]["samples_per_round"],
            markdown(&head, &lines),
        );
    }
    for row in rows.iter().filter(|row| row["what"] == "idle") {
        let head =
            ["engine with five flows", "share of a core", "target", "others"].map(str::to_owned);
        let line = vec![
            format!("{} rounds of {} s", row["rounds"], row["seconds"]),
            spread(&row["share_of_a_core"]),
            verdict(&row["in_target"]),
            share(&row["others_share"]),
        ];
        section += &format!("\n### Idle\n\n{}", markdown(&head, &[line]));
    }
    Ok(section)
}

fn schedule(row: &Value) -> [Value; 3] {
    ["machine", "gap_ns", "arrivals"].map(|field| row[field].clone())
}

/// A panel for each machine and schedule.
fn plot(rows: &[&Value], package: &Path) -> Result<(), Box<dyn Error>> {
    let panel = |rows: &[&Value]| {
        let drawn = rows.iter().filter(|row| DRAWN.contains(&text(&row["contender"]).as_str()));
        let of_row = |row: &&Value| {
            (text(&row["contender"]), QUANTILES.map(|(_, name)| row[name].clone()).into())
        };
        Panel {
            title: format!(
                "{}, one in {}, {}",
                text(&rows[0]["machine"]),
                duration(number(&rows[0]["gap_ns"])),
                text(&rows[0]["arrivals"]),
            ),
            points: QUANTILES.map(|(label, _)| label.to_owned()).into(),
            series: drawn.map(of_row).collect(),
        }
    };
    let panels: Vec<Panel> = rows.chunk_by(|a, b| schedule(a) == schedule(b)).map(panel).collect();
    let plot = Plot {
        title: "Percentiles of the time from the intended arrival to the handler; whiskers span the quartiles",
        scale: Scale::Logarithmic,
        label: duration,
        columns: 3,
        width: 268,
        panels,
    };
    lines::draw(&package.join(PLOT), &plot)
}
