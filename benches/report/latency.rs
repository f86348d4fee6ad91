//! The section about latency.

use std::{error::Error, path::Path};

use serde_json::Value;

use super::table::{distinct, figure, markdown, number, share, spread, text};

pub(crate) fn section(rows: &[Value], _: &Path) -> Result<String, Box<dyn Error>> {
    let first = rows.first().ok_or("no rows")?;
    let mut section = format!(
        "Open loop, Poisson arrivals at shares of the model's best throughput; {} permits, {} \
         worker; from the intended arrival to the start of the handler, in nanoseconds. A quantile \
         is taken in each of {} rounds; the table gives the median of the rounds and the quartiles, \
         and for the longest wait the median of the rounds.\n",
        first["permits"], first["workers"], first["rounds"],
    );
    let head = [
        "share, contender",
        "one in",
        "p50",
        "p99",
        "p99.9",
        "longest",
        "p99 to `model`",
        "others",
    ];
    for handler in distinct(rows, "handler_ns") {
        let rows: Vec<&Value> = rows.iter().filter(|row| row["handler_ns"] == handler).collect();
        let lines: Vec<Vec<String>> = rows
            .iter()
            .map(|row| {
                vec![
                    format!("{} %, {}", row["percent_of_model"], text(&row["contender"])),
                    figure(number(&row["gap_ns"])),
                    spread(&row["p50"]),
                    spread(&row["p99"]),
                    spread(&row["p999"]),
                    figure(number(&row["max"]["median"])),
                    spread(&row["p99_ratio_to_model"]),
                    share(&row["others_share"]),
                ]
            })
            .collect();
        section += &format!(
            "\n### A handler of {} µs\n\n{} samples a round.\n\n{}",
            number(&handler) / 1e3,
            rows[0]["samples_per_round"],
            markdown(&head.map(str::to_owned), &lines),
        );
    }
    Ok(section)
}
