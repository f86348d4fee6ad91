//! Where results go: one line of JSON on stdout, and the same under `target/results/`.

#![expect(clippy::print_stdout, reason = "a bench's output is its purpose")]

use std::{env, fs, io, path::PathBuf};

use serde_json::{Value, json};

/// Asked for a run of a few seconds whose figures mean nothing?
pub(crate) fn is_quick() -> bool {
    env::var_os("GOSSIP_BENCH_QUICK").is_some_and(|value| value == "1")
}

/// `target/results`, wherever this build's target folder is: benches lie in
/// `<target>/<profile>/deps/`.
pub(crate) fn results_folder() -> io::Result<PathBuf> {
    let program = env::current_exe()?;
    let target = program.ancestors().nth(3).ok_or(io::ErrorKind::NotFound)?;
    Ok(target.join("results"))
}

/// Ends a bench.
pub(crate) fn publish(bench: &str, rows: Vec<Value>) -> io::Result<()> {
    let result = json!({ "bench": bench, "quick": is_quick(), "rows": rows });
    let folder = results_folder()?;
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(bench).with_extension("json"), format!("{result}\n"))?;
    println!("{result}");
    Ok(())
}
