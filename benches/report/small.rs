//! The sections of one small table each: the machine's stalls, rayon inside handlers, instructions, and
//! fuzzing.

use std::{error::Error, path::Path};

use serde_json::Value;

use super::table::{duration, figure, markdown, number, share, spread, text};

pub(crate) fn stalls(rows: &[Value], _: &Path) -> Result<String, Box<dyn Error>> {
    let first = rows.first().ok_or("no rows")?;
    let head = ["cores used whole", "stalls a core and second", "share of the time", "longest"];
    let lines: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            vec![
                row["threads"].to_string(),
                figure(number(&row["stalls_per_core_second"])),
                format!("{} %", figure(number(&row["share"]) * 100.0)),
                // Three digits, as in the other tables.
                duration(format!("{:.2e}", number(&row["longest"])).parse().unwrap_or(f64::NAN)),
            ]
        })
        .collect();
    Ok(format!(
        "Threads with a core each that read the clock and do nothing else, for {} s: how often, and for how \
         long, the machine stopped them for {} or more. No message can be handled on a core meanwhile, by \
         whichever design.\n\n{}",
        first["seconds"],
        duration(number(&first["shortest_ns"])),
        markdown(&head.map(str::to_owned), &lines),
    ))
}

pub(crate) fn inside(rows: &[Value], _: &Path) -> Result<String, Box<dyn Error>> {
    let first = rows.first().ok_or("no rows")?;
    let head = ["who sorts", "ns a message", "times as fast as alone", "others"].map(str::to_owned);
    let lines: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            vec![
                text(&row["contender"]),
                spread(&row["ns_per_message"]),
                spread(&row["speed_up"]),
                share(&row["others_share"]),
            ]
        })
        .collect();
    Ok(format!(
        "A handler sorts {} numbers, one message at a time: without `rayon::join`, with it in a flow of \
         one thread, and in one of two. {} rounds of {} messages; a handler's run by its own clock.\n\n{}",
        first["numbers"],
        first["rounds"],
        first["messages"],
        markdown(&head, &lines),
    ))
}

pub(crate) fn instructions(rows: &[Value], _: &Path) -> Result<String, Box<dyn Error>> {
    let head = ["case", "instructions a message", "locked", "messages"].map(str::to_owned);
    let lines: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let locked = row["locked_per_message"].as_f64();
            vec![
                text(&row["case"]).replace('_', " "),
                figure(number(&row["instructions_per_message"])),
                locked.map_or_else(|| "?".to_owned(), |locked| format!("{locked:.2}")),
                format!("{} and {}", row["messages"][0], row["messages"][1]),
            ]
        })
        .collect();
    Ok(format!(
        "Counted by callgrind, producer and worker together, as the difference between runs of two numbers of \
         messages; which instructions are locked is known by disassembly. The same to a fraction of a percent in \
         every run of one build; every check compares it with what was accepted.\n\n{}",
        markdown(&head, &lines),
    ))
}

pub(crate) fn fuzz(rows: &[Value], _: &Path) -> Result<String, Box<dyn Error>> {
    let head = ["target", "seconds", "runs", "edges", "features", "inputs kept"].map(str::to_owned);
    let fields = ["seconds", "runs", "edges", "features", "inputs"];
    let lines: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let figures = fields.map(|field| text(&row[field]));
            [vec![text(&row["target"]).replace('_', " ")], figures.to_vec()].concat()
        })
        .collect();
    Ok(format!(
        "By libFuzzer with AddressSanitizer, from the seeds in `fuzz/corpus`, without a finding. Edges and features \
         are libFuzzer's counts of the code that was covered.\n\n{}",
        markdown(&head, &lines),
    ))
}
