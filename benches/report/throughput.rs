//! The section about throughput: for each number of workers a plot, a table of times and a table of
//! ratios.

use std::{error::Error, path::Path};

use serde_json::Value;

use super::{
    plot,
    table::{distinct, figure, markdown, number, share, spread, text},
};

/// The contenders that the bench takes ratios to.
const PEERS: [&str; 5] = ["baseline", "tokio", "rayon", "channel", "floor"];

pub(crate) fn section(rows: &[Value], package: &Path) -> Result<String, Box<dyn Error>> {
    let first = rows.first().ok_or("no rows")?;
    let mut section = format!(
        "Closed loop, messages of 96 bytes, a handler that does nothing; {} rounds of {} messages, \
         each checked to have been handled exactly once.\n",
        first["rounds"], first["messages"],
    );
    for workers in distinct(rows, "workers") {
        let rows: Vec<Value> =
            rows.iter().filter(|row| row["workers"] == workers).cloned().collect();
        let path = format!("benches/plots/throughput-{workers}.svg");
        plot::throughput(&package.join(&path), &rows)?;
        let workers = format!("{workers} worker{}", if workers == 1 { "" } else { "s" });
        section += &format!(
            "\n### {workers}\n\n![Messages per second by contender, {workers}]({path})\n\n\
             Nanoseconds per message:\n\n{}\nRatio to `model`, round by round; below 1 is \
             faster:\n\n{}\nThe engine's ratios with their quartiles, and the share of the machine that other \
             processes used meanwhile:\n\n{}",
            by_contender(&rows, |row| figure(number(&row["ns_per_message"]["median"]))),
            by_contender(&rows, |row| figure(number(&row["ratio_to_baseline"]["median"]))),
            of_engine(&rows),
        );
    }
    Ok(section)
}

/// A line for each workload, a column for each contender.
fn by_contender(rows: &[Value], cell: impl Fn(&Value) -> String) -> String {
    let names = distinct(rows, "contender");
    let head: Vec<String> =
        std::iter::once("permits, producers".to_owned()).chain(names.iter().map(text)).collect();
    let lines: Vec<Vec<String>> = rows
        .chunks(names.len())
        .map(|of_workload| {
            std::iter::once(workload(&of_workload[0]))
                .chain(of_workload.iter().map(&cell))
                .collect()
        })
        .collect();
    markdown(&head, &lines)
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
