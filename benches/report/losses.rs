//! In how many lines of the tables another design does better than the engine, and by how much at most.

use std::error::Error;

use serde_json::Value;

use super::{
    Measured,
    table::{duration, figure, markdown, number, text},
};

/// Yardsticks and not designs, and the engine itself in other settings.
fn is_rival(contender: &str) -> bool {
    !contender.starts_with("engine") && !["floor", "base"].contains(&contender)
}

/// What is compared: a figure of which less is better, in the lines that have the same of these fields.
struct Measure {
    bench: &'static str,
    what: &'static str,
    field: &'static str,
    alike: &'static [&'static str],
}

const MEASURES: [Measure; 10] = {
    const LOAD: &[&str] = &["handler_ns", "percent_of_model"];
    const TRICKLE: &[&str] = &["gap_ns", "arrivals"];
    const fn measure(
        bench: &'static str,
        what: &'static str,
        field: &'static str,
        alike: &'static [&'static str],
    ) -> Measure {
        Measure { bench, what, field, alike }
    }
    [
        measure(
            "throughput",
            "time of a message",
            "ns_per_message",
            &["permits", "producers", "workers"],
        ),
        measure("latency", "p50 under load", "p50", LOAD),
        measure("latency", "p99 under load", "p99", LOAD),
        measure("latency", "p99.9 under load", "p999", LOAD),
        measure("flood", "honest p99 in a flood", "flood_p99", &[]),
        measure("wakeup", "p50 of a trickle", "p50", TRICKLE),
        measure("wakeup", "p99 of a trickle", "p99", TRICKLE),
        measure("wakeup", "processor time of a trickle", "processor_ns_per_message", TRICKLE),
        measure("peers", "time of a message, many peers", "ns_per_message", &["peers"]),
        measure("five_flows", "p99 beside a stuck flow", "p99_beside_stuck", &["flow"]),
    ]
};

/// A line in which somebody else does better.
struct Loss {
    factor: f64,
    to: String,
    at: String,
}

pub(crate) fn section() -> Result<String, Box<dyn Error>> {
    let mut lines = Vec::new();
    for measure in MEASURES {
        let Some(Measured { rows, .. }) = Measured::read(measure.bench)? else { continue };
        let (compared, losses) = compare(&measure, &rows);
        if compared == 0 {
            continue;
        }
        let worst = losses.iter().max_by(|a, b| a.factor.total_cmp(&b.factor));
        lines.push(vec![
            measure.what.to_owned(),
            compared.to_string(),
            losses.len().to_string(),
            worst.map_or_else(String::new, |worst| {
                format!("{} × {}", figure(worst.factor), worst.to)
            }),
            worst.map_or_else(String::new, |worst| worst.at.clone()),
        ]);
    }
    let head = ["figure", "lines", "of them lost", "worst, to whom", "where"].map(str::to_owned);
    Ok(format!(
        "For each figure of which less is better: in how many lines of its tables the best of the other designs \
         has a smaller median than the engine as it comes, and the worst of these. The yardsticks are left out. Why \
         it is so, and what else it costs, is discussed at the end.\n\n{}",
        markdown(&head, &lines),
    ))
}

/// How many lines there are, and those in which another design does better.
fn compare(measure: &Measure, rows: &[Value]) -> (usize, Vec<Loss>) {
    let value = |row: &Value| {
        let value = &row[measure.field];
        value.as_f64().or_else(|| value["median"].as_f64())
    };
    let engines = rows.iter().filter(|row| row["contender"] == "engine");
    let of_line = |engine: &Value| {
        let is_alike = |row: &&Value| measure.alike.iter().all(|field| row[field] == engine[field]);
        let rivals = rows.iter().filter(is_alike).filter(|row| is_rival(&text(&row["contender"])));
        let best = rivals.min_by(|a, b| {
            number(&a[measure.field]["median"]).total_cmp(&number(&b[measure.field]["median"]))
        })?;
        let factor = value(engine)? / value(best)?;
        let name = |field: &&str| match field.strip_suffix("_ns") {
            Some(field) => format!("{field} {}", duration(number(&engine[format!("{field}_ns")]))),
            None => format!("{} {}", field.replace('_', " "), text(&engine[*field])),
        };
        let at: Vec<String> = measure.alike.iter().map(name).collect();
        Some(Loss { factor, to: format!("`{}`", text(&best["contender"])), at: at.join(", ") })
    };
    let lines: Vec<Loss> = engines.filter_map(of_line).collect();
    (lines.len(), lines.into_iter().filter(|line| line.factor > 1.0).collect())
}
