//! The section about throughput: for each machine and number of workers a plot and a table of the engine's ratios.

use std::{error::Error, path::Path};

use serde_json::Value;

use super::{
    lines::{self, Panel, Plot, Scale},
    table::{distinct, duration, markdown, share, spread, text},
};

/// Not designs, and faster than all that are.
const LEFT_OUT: [&str; 2] = ["floor", "base"];

/// The contenders that the bench takes ratios to.
const PEERS: [&str; 6] = ["baseline", "tokio", "rayon", "channel", "crossfire", "floor"];

pub(crate) fn section(rows: &[Value], package: &Path) -> Result<String, Box<dyn Error>> {
    let first = rows.first().ok_or("no rows")?;
    let mut section = format!(
        "Closed loop, messages of 96 bytes, a handler that does nothing; each message checked to have been handled \
         exactly once; {} rounds. The engine's nanoseconds for a message, its ratios round by round, below 1 is \
         faster, and the share of the machine that other processes used meanwhile.\n",
        first["rounds"],
    );
    for machine in distinct(rows, "machine") {
        let rows: Vec<Value> =
            rows.iter().filter(|row| row["machine"] == machine).cloned().collect();
        for workers in distinct(&rows, "workers") {
            let rows: Vec<Value> =
                rows.iter().filter(|row| row["workers"] == workers).cloned().collect();
            let machine = text(&machine);
            let path = format!("benches/plots/throughput-{machine}-{workers}.svg");
            plot(&package.join(&path), &rows)?;
            let workers = format!("{workers} worker{}", if workers == 1 { "" } else { "s" });
            section += &format!(
                "\n### The {machine} machine, {workers}\n\n![Time of a message by producers, for each number of \
                 permits, {workers}, {machine} machine]({path})\n\n{} messages a round.\n\n{}",
                rows[0]["messages"],
                of_engine(&rows),
            );
        }
    }
    Ok(section)
}

/// A panel for each number of permits.
fn plot(path: &Path, rows: &[Value]) -> Result<(), Box<dyn Error>> {
    let rows: Vec<Value> = rows
        .iter()
        .filter(|row| !LEFT_OUT.contains(&text(&row["contender"]).as_str()))
        .cloned()
        .collect();
    let panel = |permits: &Value| {
        let rows: Vec<Value> =
            rows.iter().filter(|row| row["permits"] == *permits).cloned().collect();
        let of_contender = |name: &Value| {
            let own = rows.iter().filter(|row| row["contender"] == *name);
            (text(name), own.map(|row| row["ns_per_message"].clone()).collect())
        };
        let producers =
            |count: &Value| format!("{count} producer{}", if *count == 1 { "" } else { "s" });
        Panel {
            title: format!("{permits} permits"),
            points: distinct(&rows, "producers").iter().map(producers).collect(),
            series: distinct(&rows, "contender").iter().map(of_contender).collect(),
        }
    };
    let panels: Vec<Panel> = distinct(&rows, "permits").iter().map(panel).collect();
    let plot = Plot {
        title: "Time of a message by producers; whiskers span the quartiles of the rounds",
        scale: Scale::Logarithmic,
        label: duration,
        columns: panels.len(),
        width: 268,
        panels,
    };
    lines::draw(path, &plot)
}

fn of_engine(rows: &[Value]) -> String {
    let head = ["permits, producers".to_owned(), "ns".to_owned()]
        .into_iter()
        .chain(PEERS.map(|peer| format!("to `{peer}`")))
        .chain(["others".to_owned()])
        .collect::<Vec<_>>();
    let lines: Vec<Vec<String>> = rows
        .iter()
        .filter(|row| row["contender"] == "engine")
        .map(|row| {
            [workload(row), spread(&row["ns_per_message"])]
                .into_iter()
                .chain(PEERS.map(|peer| spread(&row[format!("ratio_to_{peer}")])))
                .chain([share(&row["others_share"])])
                .collect()
        })
        .collect();
    markdown(&head, &lines)
}

fn workload(row: &Value) -> String {
    format!("{}, {}", row["permits"], row["producers"])
}
