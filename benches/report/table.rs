//! Markdown tables and the figures in them.

use serde_json::Value;

/// The first cell of each row is a name; all others are figures and stand to the right.
pub(crate) fn markdown(head: &[String], rows: &[Vec<String>]) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let rule: Vec<String> =
        (0..head.len()).map(|column| if column == 0 { "---" } else { "---:" }.to_owned()).collect();
    let body: String = rows.iter().map(|cells| line(cells)).collect();
    line(head) + &line(&rule) + &body
}

/// Three significant digits, but no more than six behind the point.
pub(crate) fn figure(value: f64) -> String {
    let digits = match value.abs() {
        size if size >= 100.0 || size == 0.0 => 0,
        size => (2 - size.log10().floor() as i32).clamp(0, 6) as usize,
    };
    format!("{value:.digits$}")
}

/// A median and its quartiles.
pub(crate) fn spread(quartiles: &Value) -> String {
    let [lower, median, upper] =
        ["lower", "median", "upper"].map(|name| figure(number(&quartiles[name])));
    format!("{median} [{lower} {upper}]")
}

/// A share as a percentage; a question mark if it is not known.
pub(crate) fn share(value: &Value) -> String {
    value.as_f64().map_or_else(|| "?".to_owned(), |share| format!("{:.0} %", share * 100.0))
}

/// Whether a target was met; empty where there is none.
pub(crate) fn verdict(value: &Value) -> String {
    value.as_bool().map_or("", |met| if met { "met" } else { "missed" }).to_owned()
}

/// A time that is given in nanoseconds, in the unit that suits it.
pub(crate) fn duration(nanoseconds: f64) -> String {
    let (unit, size) = match nanoseconds {
        time if time >= 1e9 => ("s", 1e9),
        time if time >= 1e6 => ("ms", 1e6),
        time if time >= 1e3 => ("µs", 1e3),
        _ => ("ns", 1.0),
    };
    format!("{} {unit}", nanoseconds / size)
}

pub(crate) fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The values of a field, each once, in the order in which they first come.
pub(crate) fn distinct(rows: &[Value], field: &str) -> Vec<Value> {
    let mut found = Vec::new();
    for row in rows {
        if !found.contains(&row[field]) {
            found.push(row[field].clone());
        }
    }
    found
}
