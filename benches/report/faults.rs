//! The sections about faults, and about everything at once.

use std::{error::Error, path::Path};

use serde_json::Value;

use super::table::{duration, figure, markdown, number, share, spread, text};

pub(crate) fn section(rows: &[Value], _: &Path) -> Result<String, Box<dyn Error>> {
    let of = |case: &'static str| rows.iter().filter(move |row| row["case"] == case);
    let table = |head: &[&str], lines: Vec<Vec<String>>| {
        let head: Vec<String> = head.iter().map(|&cell| cell.to_owned()).collect();
        markdown(&head, &lines)
    };
    // Three digits, as in the other tables.
    let time = |value: &Value| {
        let nanoseconds = number(value);
        duration(format!("{nanoseconds:.2e}").parse().unwrap_or(nanoseconds))
    };

    let first = of("panics").next().ok_or("no rows")?;
    let panics = table(
        &["what a handler does", "ns a message", "to an error", "others"],
        of("panics")
            .map(|row| {
                vec![
                    text(&row["way"]).replace('_', " "),
                    spread(&row["ns_per_message"]),
                    spread(&row["to_error"]),
                    share(&row["others_share"]),
                ]
            })
            .collect(),
    );
    let stops = table(
        &["messages in it", "stops", "p50", "p99", "maximum"],
        of("stops")
            .map(|row| {
                let counts = ["messages", "cycles"].map(|name| row[name].to_string());
                counts
                    .into_iter()
                    .chain(["p50", "p99", "max"].map(|name| time(&row[name])))
                    .collect()
            })
            .collect(),
    );
    let dropped = of("dropped futures").next().ok_or("no rows")?;
    let changes = of("changes").next().ok_or("no rows")?;
    let memory = of("memory").next().map(|row| {
        let mebibytes = |name: &str| format!("{} MiB", figure(number(&row[name]) / f64::from(1 << 20)));
        format!(
            "\nA Chunk flow that is bounded to {} is offered {} of the largest chunks by {} peers while \
             no handler returns: {} are in flight, {} wait, {} were refused. By a \
             counting allocator, {} are live that were not before; the documented worst case is {}. \
             The process has grown by {}, with what the system's allocator keeps of the chunks that \
             were refused.\n",
            mebibytes("max_bytes"),
            row["offered"],
            row["peers"],
            row["in_flight"],
            row["waiting"],
            row["refused"],
            mebibytes("live"),
            mebibytes("worst_case"),
            mebibytes("resident_growth"),
        )
    });
    Ok(format!(
        "{} messages, of which {} are faults; {} rounds. All threads live afterwards, and each panic \
         is counted. The process's panic hook writes nothing here: Rust's own would write each panic to standard \
         error, which costs some microseconds, or with a backtrace a millisecond.\n\n{panics}\nHow long it takes to \
         stop a whole handler; none has hung.\n\n{stops}\n\
         Of {} futures of calls that were dropped at any point, {} messages ran, {} were given up and {} refused; \
         permits that have leaked: {}. During {} live changes at random in {} s, {} messages were submitted \
         and {} lost.\n{}",
        first["messages"],
        first["faults"],
        first["rounds"],
        dropped["futures"],
        dropped["handled"],
        dropped["gave_up"],
        dropped["refused"],
        dropped["leaked"],
        changes["changes"],
        figure(number(&changes["seconds"])),
        changes["messages"],
        changes["lost"],
        memory.unwrap_or_default(),
    ))
}

pub(crate) fn soak(rows: &[Value], _: &Path) -> Result<String, Box<dyn Error>> {
    let row = rows.first().ok_or("no rows")?;
    let ends = row["ends"].as_object().into_iter().flatten();
    let lines: Vec<Vec<String>> = ends
        .filter(|(_, count)| **count != 0)
        .map(|(end, count)| vec![end.replace('_', " "), count.to_string()])
        .collect();
    let faults = match row["faults"].as_array() {
        Some(faults) if faults.is_empty() => "No fault was found.".to_owned(),
        _ => format!("**Found: {}**", row["faults"]),
    };
    Ok(format!(
        "{} events in {} s from {} producers for {} peers, which reconnected {} times and flooded {} \
         times; {} changes of the configuration and {} of the replica; {} futures dropped. Each event \
         must come to one end, none may run twice, after its peer has gone or before it has come, and \
         memory may not grow. {faults} {} payloads were malformed; the ends are of the other events and of the \
         {} notices of drops that the engine has submitted itself.\n\n{}",
        row["received"],
        figure(number(&row["seconds"])),
        row["producers"],
        row["peers"],
        row["reconnects"],
        row["floods"],
        row["changes"],
        row["replacements"],
        row["futures_dropped"],
        row["malformed"],
        row["notices"],
        markdown(&["end", "messages"].map(str::to_owned), &lines),
    ))
}
