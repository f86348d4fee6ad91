//! The section about five flows at once.

use std::{error::Error, path::Path};

use serde_json::Value;

use super::{
    lines::{self, Panel, Plot, Scale},
    table::{distinct, duration, markdown, number, share, spread, text, verdict},
};

const PLOT: &str = "benches/plots/five_flows.svg";

pub(crate) fn section(rows: &[Value], package: &Path) -> Result<String, Box<dyn Error>> {
    let first = rows.first().ok_or("no rows")?;
    plot(rows, package)?;
    let stuck = rows.iter().find(|row| row["stuck"] == true).ok_or("no flow is stuck")?;
    let head = [
        "contender, flow",
        "samples",
        "p50",
        "p99",
        "p50 beside",
        "p99 beside",
        "p99 ratio",
        "target",
        "others",
    ]
    .map(str::to_owned);
    let lines: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let beside = ["p50_beside_stuck", "p99_beside_stuck", "p99_ratio"];
            let beside = beside.map(|name| match &row[name] {
                Value::Null => "stuck".to_owned(),
                quartiles => spread(quartiles),
            });
            [
                format!("{}, {}", text(&row["contender"]), text(&row["flow"])),
                row["samples_per_round"].to_string(),
                spread(&row["p50"]),
                spread(&row["p99"]),
            ]
            .into_iter()
            .chain(beside)
            .chain([verdict(&row["in_target"]), share(&row["others_share"])])
            .collect()
        })
        .collect();
    Ok(format!(
        "Events of all flows in the proportions of a replica, one in {} on average, by Poisson \
         schedules; handlers of {}, {} threads a flow; {} rounds. Nanoseconds from an event's intended \
         arrival to the start of its handler; `beside` is the same while all handlers of the {} flow \
         are stuck and its messages keep coming. The target: a p99 of at most 1.2 times the one \
         without. A round's quantiles begin behind its first tenth, and it has the number of samples that is given; \
         mind it where a p99 is read.\n\n{}",
        duration(number(&first["gap_ns"])),
        duration(number(&first["service_ns"])),
        first["threads"],
        first["rounds"],
        text(&stuck["flow"]),
        markdown(&head, &lines),
    ))
}

/// The p99 of each flow that is not stuck, without and beside the stuck one.
fn plot(rows: &[Value], package: &Path) -> Result<(), Box<dyn Error>> {
    let rows: Vec<&Value> = rows.iter().filter(|row| !row["p99_beside_stuck"].is_null()).collect();
    let owned: Vec<Value> = rows.iter().map(|&row| row.clone()).collect();
    let panel = |title: &str, field: &str| Panel {
        title: title.to_owned(),
        points: distinct(&owned, "flow").iter().map(text).collect(),
        series: distinct(&owned, "contender")
            .iter()
            .map(|name| {
                let own = rows.iter().filter(|row| row["contender"] == *name);
                (text(name), own.map(|row| row[field].clone()).collect())
            })
            .collect(),
    };
    let plot = Plot {
        title: "p99 of the wait, by flow; whiskers span the quartiles of the rounds",
        scale: Scale::Logarithmic,
        label: duration,
        columns: 2,
        width: 400,
        panels: vec![
            panel("no flow is stuck", "p99"),
            panel("beside a flow that is stuck", "p99_beside_stuck"),
        ],
    };
    lines::draw(&package.join(PLOT), &plot)
}
