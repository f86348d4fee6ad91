//! The sections of one small table each: rayon inside handlers, and instructions.

use std::{error::Error, path::Path};

use serde_json::Value;

use super::table::{figure, markdown, number, share, spread, text};

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
    let first = rows.first().ok_or("no rows")?;
    let head = ["case", "instructions a message"].map(str::to_owned);
    let lines: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            vec![
                text(&row["case"]).replace('_', " "),
                figure(number(&row["instructions_per_message"])),
            ]
        })
        .collect();
    Ok(format!(
        "Counted by callgrind, producer and worker together, as the difference between runs of {} and \
         of {} messages. The same to a fraction of a percent in every run of one build; every check compares \
         it with what was accepted.\n\n{}",
        first["messages"][0],
        first["messages"][1],
        markdown(&head, &lines),
    ))
}
