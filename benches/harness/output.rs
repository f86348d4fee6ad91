//! Where results go: one line of JSON on stdout, and the same under `target/results/`.

#![expect(clippy::print_stdout, reason = "a bench's output is its purpose")]

use std::{env, fs, io};

use serde_json::{Value, json};

use super::folder::results;

/// Asked for a run of a few seconds whose figures mean nothing?
pub(crate) fn is_quick() -> bool {
    env::var_os("GOSSIP_BENCH_QUICK").is_some_and(|value| value == "1")
}

/// Ends a bench.
pub(crate) fn publish(bench: &str, rows: Vec<Value>) -> io::Result<()> {
    let result = json!({ "bench": bench, "quick": is_quick(), "rows": rows });
    let folder = results()?;
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(bench).with_extension("json"), format!("{result}\n"))?;
    println!("{result}");
    Ok(())
}
