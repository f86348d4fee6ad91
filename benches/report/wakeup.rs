//! The section about waking up and idling.

use std::{error::Error, path::Path};

use serde_json::Value;

use super::table::{duration, markdown, number, share, spread, text, verdict};

pub(crate) fn section(rows: &[Value], _: &Path) -> Result<String, Box<dyn Error>> {
    let trickles: Vec<&Value> = rows.iter().filter(|row| row["what"] == "trickle").collect();
    let first = trickles.first().ok_or("no rows")?;
    let mut section = format!(
        "{} worker, an empty handler, a producer that spins on a core of its own; {} rounds. Times are \
         nanoseconds from a message's intended arrival to the start of its handler. Processor time \
         is the process's less the producer's, for a message, so what the producer pays to admit it \
         is not in it. `engine` waits by default, the others of its kind as their names say.\n",
        first["workers"], first["rounds"],
    );
    let schedule = |row: &Value| (row["gap_ns"].clone(), row["arrivals"].clone());
    let head = ["contender", "p50", "p99", "processor ns", "processor to `channel`", "others"]
        .map(str::to_owned);
    for rows in trickles.chunk_by(|a, b| schedule(a) == schedule(b)) {
        let lines: Vec<Vec<String>> = rows
            .iter()
            .map(|row| {
                let figures =
                    ["p50", "p99", "processor_ns_per_message", "processor_ratio_to_channel"];
                [text(&row["contender"])]
                    .into_iter()
                    .chain(figures.map(|name| spread(&row[name])))
                    .chain([share(&row["others_share"])])
                    .collect()
            })
            .collect();
        section += &format!(
            "\n### One message in {}, {}\n\n{} samples a round.\n\n{}",
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
