//! The section about votes of which the latest counts.

use std::{error::Error, path::Path};

use serde_json::Value;

use super::table::{duration, markdown, number, share, text};

pub(crate) fn section(rows: &[Value], _: &Path) -> Result<String, Box<dyn Error>> {
    let first = rows.first().ok_or("latest: no rows")?;
    let head = ["policy", "age, p50", "p99", "maximum", "handled in vain", "outcomes", "others"];
    let line = |row: &Value| {
        let age = |label: &str| duration(number(&row[label]["median"]));
        let ends = row["ends"].as_object().into_iter().flatten();
        let ends: Vec<String> =
            ends.map(|(end, count)| format!("{} {count}", end.replace('_', " "))).collect();
        vec![
            text(&row["policy"]),
            age("p50"),
            age("p99"),
            age("max"),
            share(&row["in_vain"]["median"]),
            ends.join(", "),
            share(&row["others_share"]),
        ]
    };
    let lines: Vec<Vec<String>> = rows.iter().map(line).collect();
    Ok(format!(
        "Votes for rising heights of {} peers, one every {} of each (Poisson), twice as many as one worker handles: a \
         vote takes {}. Up to {} of a peer are admitted. *Age* is that of the newest vote of a peer that has been \
         handled, from its intended arrival, looked at every millisecond from the second second on. A vote is handled \
         *in vain* if a later one of its peer has been handled before. {} rounds of {} s.\n\n{}",
        first["peers"],
        duration(number(&first["gap_ns"])),
        duration(number(&first["service_ns"])),
        first["quota"],
        first["rounds"],
        first["seconds"],
        markdown(&head.map(str::to_owned), &lines),
    ))
}
