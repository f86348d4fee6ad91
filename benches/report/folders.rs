//! The section about folders: what one machine has and four others keep, beside other programs that do it.

use std::{error::Error, path::Path};

use serde_json::Value;

use super::{
    Measured,
    table::{distinct, figure, markdown, number, share, spread, text, verdict},
};

/// What is done to the folder, and what it is called.
const PHASES: [(&str, &str); 3] =
    [("publish", "published"), ("rename", "a tenth renamed"), ("remove", "a tenth removed")];

pub(crate) fn section(rows: &[Value], _: &Path) -> Result<String, Box<dyn Error>> {
    let mut told = "From the change of the source until four other folders have the same names and sizes, all on one \
                    machine over loopback; contents are compared at the end. Replicas and Syncthings are connected \
                    each with each, over TLS. *rsync* is a daemon and four pulls, one after the other or side by side, \
                    without encryption, called at once. Processor seconds are those until then, a receiver's the mean \
                    of four; memory is the most so far that was resident, a receiver's the highest of four.\n"
        .to_owned();
    for case in distinct(rows, "case").iter().filter(|case| *case != "held") {
        let of_case: Vec<&Value> = rows.iter().filter(|row| row["case"] == *case).collect();
        let Some(first) = of_case.iter().find(|row| row["files"].is_u64()) else { continue };
        told += &format!(
            "\n{} of {} MB in all, {}:\n",
            files(&first["files"]),
            figure(number(&first["bytes"]) / 1e6),
            rounds(&first["rounds"]),
        );
        for (phase, name) in PHASES {
            let lines: Vec<Vec<String>> =
                of_case.iter().filter(|row| row["phase"] == phase).map(|row| line(row)).collect();
            if !lines.is_empty() {
                told += &format!("\n{}", markdown(&head(name), &lines));
            }
        }
        told += &idle(&of_case);
        for row in of_case.iter().filter(|row| row["failed"].is_string()) {
            told += &format!("\n{} failed: {}\n", text(&row["contender"]), text(&row["failed"]));
        }
    }
    told += &held(rows);
    Ok(told)
}

fn head(phase: &str) -> Vec<String> {
    let columns = [
        "s",
        "times of rsync side by side",
        "publisher, processor s",
        "a receiver",
        "publisher, MB",
        "a receiver",
        "a receiver's disk, MB",
        "others",
    ];
    [phase].into_iter().chain(columns).map(str::to_owned).collect()
}

fn line(row: &Value) -> Vec<String> {
    let cell = |name: &str| {
        if row[name].is_null() { String::new() } else { of_rounds(&row[name]) }
    };
    let figures = [
        "seconds",
        "times_of_rsync",
        "publisher_cpu_seconds",
        "receiver_cpu_seconds",
        "publisher_peak_mb",
        "receiver_peak_mb",
        "receiver_disk_mb",
    ];
    let mut cells = vec![text(&row["contender"])];
    cells.extend(figures.map(cell));
    cells.push(share(&row["others_share"]["median"]));
    cells
}

fn idle(rows: &[&Value]) -> String {
    let lines: Vec<Vec<String>> = rows
        .iter()
        .filter(|row| row["phase"] == "idle" && !text(&row["contender"]).starts_with("rsync"))
        .map(|row| {
            let of = |name: &str| of_rounds(&row[name]);
            vec![text(&row["contender"]), of("publisher_idle_percent"), of("receiver_idle_percent")]
        })
        .collect();
    if lines.is_empty() {
        return String::new();
    }
    let head = ["afterwards, in percent of a core", "publisher", "a receiver"];
    format!("\n{}", markdown(&head.map(str::to_owned), &lines))
}

fn held(rows: &[Value]) -> String {
    let Some(row) = rows.iter().find(|row| row["case"] == "held" && row["artifacts"].is_u64())
    else {
        return String::new();
    };
    let (artifacts, bytes) = (&row["artifacts"], &row["artifact_bytes"]);
    format!(
        "\nA replica that holds {artifacts} artifacts of {bytes} bytes, was started again and has nothing to do: {} MB \
         resident, of {} at most, and {} % of a core, of {} at most: {}.\n",
        figure(number(&row["resident_mb"])),
        row["resident_most_mb"],
        figure(number(&row["idle_percent"])),
        row["idle_most_percent"],
        verdict(&row["within_target"]),
    )
}

/// A sentence for each case.
pub(crate) fn figures() -> Result<Vec<String>, Box<dyn Error>> {
    let Some(Measured { rows, .. }) = Measured::read("folders")? else { return Ok(Vec::new()) };
    let mut told = Vec::new();
    for case in distinct(&rows, "case").iter().filter(|case| *case != "held") {
        for (phase, name) in PHASES {
            let of_phase: Vec<&Value> =
                rows.iter().filter(|row| row["case"] == *case && row["phase"] == phase).collect();
            let Some(first) = of_phase.first() else { continue };
            let times: Vec<String> = of_phase
                .iter()
                .map(|row| format!("{} {}", text(&row["contender"]), of_rounds(&row["seconds"])))
                .collect();
            let size = figure(number(&first["bytes"]) / 1e6);
            told.push(format!(
                "{} of {size} MB, {name}, in seconds: {}.",
                files(&first["files"]),
                times.join("; "),
            ));
        }
        if let Some(row) = rows.iter().find(|row| {
            row["case"] == *case && row["phase"] == "idle" && row["contender"] == "replica"
        }) {
            told.push(format!(
                "Afterwards the publisher uses {} % of a core, a receiver {} %.",
                of_rounds(&row["publisher_idle_percent"]),
                of_rounds(&row["receiver_idle_percent"]),
            ));
        }
    }
    let held = held(&rows);
    told.extend((!held.is_empty()).then(|| held.trim().to_owned()));
    Ok(told)
}

/// Of one round there are no quartiles.
fn of_rounds(quartiles: &Value) -> String {
    match quartiles["lower"] == quartiles["upper"] {
        true => figure(number(&quartiles["median"])),
        false => spread(quartiles),
    }
}

fn files(count: &Value) -> String {
    if count == 1 { "One file".to_owned() } else { format!("{count} files") }
}

fn rounds(count: &Value) -> String {
    if count == 1 { "one round".to_owned() } else { format!("{count} rounds") }
}
