//! The section about twice as much work as there is time for.

use std::{error::Error, path::Path};

use serde_json::Value;

use super::{
    lines::{self, Panel, Plot, Scale},
    table::{duration, figure, markdown, number, share, text, verdict},
};

const PLOT: &str = "benches/plots/overload.svg";
const QUANTILES: [(&str, &str); 3] = [("p50", "p50"), ("p99", "p99"), ("maximum", "max")];

pub(crate) fn section(rows: &[Value], package: &Path) -> Result<String, Box<dyn Error>> {
    let (first, last) = rows.first().zip(rows.last()).ok_or("no rows")?;
    plot(rows, package)?;
    let of = |over: bool, head: &[&str], line: fn(&Value) -> Vec<String>| {
        let lines: Vec<Vec<String>> =
            rows.iter().filter(|row| (number(&row["load"]) > 1.0) == over).map(line).collect();
        let head: Vec<String> = head.iter().map(|&cell| cell.to_owned()).collect();
        markdown(&head, &lines)
    };
    let above = [
        "contender",
        "p50",
        "p99",
        "counted p99",
        "goodput",
        "fresh",
        "dropped",
        "last drop",
        "ends",
        "others",
    ];
    let below = [
        "contender",
        "p50",
        "p99",
        "counted p99",
        "messages",
        "dropped",
        "late",
        "rounds disturbed",
        "dropped in them",
        "late in them",
        "target",
        "others",
    ];
    Ok(format!(
        "A handler of {}, one worker, a capacity of {} messages a second; {} rounds of {} s in which \
         {} times as many come, and {} of {} s at {} of the capacity. A message is old after \
         {}.\n\n![Waits of the messages that were started, by quantile]({PLOT})\n\nWaits run from the \
         intended arrival to the start of the handler, of the messages that were started; *counted* is \
         what the engine says, from the call on. Goodput is what was started while messages were due, \
         fresh that part of it that was not old yet, both relative to the capacity. The last drop is \
         counted from the last arrival. Twice the capacity:\n\n{}\nBelow the capacity, submitted by a thread \
         that sleeps between messages, whose own wake-ups are in the waits; *late* is what was dropped or waited for \
         more than {} from its intended arrival. A round is *disturbed* if handlers, which only read the clock, did \
         not run for more than {} within {}, in all; that a worker is stopped between two handlers is not found out. \
         The target is that nothing is dropped, in disturbed rounds either:\n\n{}",
        duration(number(&first["service_ns"])),
        figure(number(&first["capacity"]["median"])),
        first["rounds"],
        first["seconds"],
        first["load"],
        last["rounds"],
        figure(number(&last["seconds"])),
        share(&last["load"]),
        duration(number(&first["max_age_ns"])),
        of(true, &above, above_capacity),
        duration(number(&first["max_age_ns"])),
        duration(number(&first["disturbed_from_ns"])),
        duration(number(&first["backlog_ns"])),
        of(false, &below, below_capacity),
    ))
}

fn time(row: &Value, name: &str) -> String {
    row[name]["median"].as_f64().map_or_else(String::new, duration)
}

fn above_capacity(row: &Value) -> Vec<String> {
    let ends = row["ends"].as_object().into_iter().flatten();
    let ends: Vec<String> =
        ends.map(|(end, count)| format!("{} {count}", end.replace('_', " "))).collect();
    vec![
        text(&row["contender"]),
        time(row, "p50"),
        time(row, "p99"),
        time(row, "counted_p99"),
        share(&row["goodput"]["median"]),
        share(&row["fresh"]["median"]),
        share(&(number(&row["dropped"]) / number(&row["submitted"])).into()),
        time(row, "last_drop_after"),
        ends.join(", "),
        share(&row["others_share"]),
    ]
}

fn below_capacity(row: &Value) -> Vec<String> {
    vec![
        text(&row["contender"]),
        time(row, "p50"),
        time(row, "p99"),
        time(row, "counted_p99"),
        row["submitted"].to_string(),
        row["dropped"].to_string(),
        row["late"].to_string(),
        format!("{} of {}", row["disturbed"], row["rounds"]),
        row["dropped_disturbed"].to_string(),
        row["late_disturbed"].to_string(),
        // Of those that count what they drop.
        verdict(&row.get("counted_p99").map(|_| row["dropped"] == 0).into()),
        share(&row["others_share"]),
    ]
}

fn plot(rows: &[Value], package: &Path) -> Result<(), Box<dyn Error>> {
    let panel = |title: &str, over: bool| Panel {
        title: title.to_owned(),
        points: QUANTILES.map(|(label, _)| label.to_owned()).into(),
        series: rows
            .iter()
            .filter(|row| (number(&row["load"]) > 1.0) == over)
            .map(|row| {
                (text(&row["contender"]), QUANTILES.map(|(_, name)| row[name].clone()).into())
            })
            .collect(),
    };
    let plot = Plot {
        title: "Wait of the messages that were started; whiskers span the quartiles of the rounds",
        scale: Scale::Logarithmic,
        label: duration,
        columns: 2,
        width: 400,
        panels: vec![panel("twice the capacity", true), panel("80 % of the capacity", false)],
    };
    lines::draw(&package.join(PLOT), &plot)
}
