//! The section about the wire format.

use std::{error::Error, path::Path};

use serde_json::Value;

use super::table::{figure, markdown, number, spread, text};

pub(crate) fn section(rows: &[Value], _: &Path) -> Result<String, Box<dyn Error>> {
    let first = rows.first().ok_or("no rows")?;
    let head = [
        "message, operation",
        "bytes",
        "ns",
        "MB/s",
        "to `prost`",
        "allocations",
        "allocated bytes",
    ]
    .map(str::to_owned);
    let lines: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            vec![
                format!("{}, {}", text(&row["message"]), text(&row["operation"])),
                row["payload_bytes"].to_string(),
                spread(&row["ns"]),
                figure(number(&row["bytes_per_second"]) / 1e6),
                if row["ratio_to_prost"].is_null() {
                    String::new()
                } else {
                    spread(&row["ratio_to_prost"])
                },
                row["allocations"].to_string(),
                row["allocated_bytes"].to_string(),
            ]
        })
        .collect();
    Ok(format!(
        "{} rounds; one thread. `prost` is prost's own decoding of the same payload into generated \
         structs with shared bytes and no checks. Allocations are counted for one operation; \
         decoding a chunk makes none because its content is not copied, and for \
         the same reason its bytes per second mean little.\n\n{}",
        first["rounds"],
        markdown(&head, &lines),
    ))
}
