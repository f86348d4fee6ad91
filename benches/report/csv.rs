//! The rows of a bench as a table of comma-separated values: a column for each figure, `p50.median` for what lies in
//! another.

use std::{collections::BTreeMap, error::Error, fs, path::Path};

use serde_json::Value;

use super::{Measured, table::text};

/// Where the tables go, in the package.
pub(crate) const FOLDER: &str = "benches/results";

pub(crate) fn write(
    package: &Path,
    bench: &str,
    measured: &Measured,
) -> Result<(), Box<dyn Error>> {
    let mut lines: Vec<BTreeMap<String, String>> = Vec::new();
    for row in &measured.rows {
        let mut line = BTreeMap::from([("quick".to_owned(), measured.quick.to_string())]);
        flatten(String::new(), row, &mut line);
        lines.push(line);
    }
    let mut columns: Vec<&String> = lines.iter().flat_map(BTreeMap::keys).collect();
    columns.sort_unstable();
    columns.dedup();
    let head: Vec<String> = columns.iter().map(|column| quoted(column)).collect();
    let mut table = head.join(",") + "\n";
    for line in &lines {
        let cells: Vec<String> = columns
            .iter()
            .map(|column| line.get(*column).map_or_else(String::new, |cell| quoted(cell)))
            .collect();
        table += &(cells.join(",") + "\n");
    }
    let folder = package.join(FOLDER);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(bench).with_extension("csv"), table)?;
    Ok(())
}

fn flatten(name: String, value: &Value, line: &mut BTreeMap<String, String>) {
    let within = |key: &str| if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") };
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(key, field)| flatten(within(key), field, line));
        }
        Value::Array(items) => {
            line.insert(name, items.iter().map(text).collect::<Vec<_>>().join(" "));
        }
        Value::Null => (),
        _ => {
            line.insert(name, text(value));
        }
    }
}

fn quoted(cell: &str) -> String {
    if cell.contains([',', '"', '\n']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell.to_owned()
    }
}
