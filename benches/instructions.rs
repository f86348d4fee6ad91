//! How many instructions a message costs: what does not vary with the machine's mood, and therefore
//! guards against getting slower.
//!
//! The program runs itself under valgrind's callgrind, which counts the instructions of all threads. In
//! each case the flow's only worker is held in the handler of a first message while the producer
//! brings all the others, is then let go, and runs them in one go: so nobody looks for work, waits for
//! room or is woken, and the order of events is always the same. Each case runs with two numbers of
//! messages; the difference of the counts, divided by that of the numbers, is what a message costs its
//! producer and its worker together, without what is made once.
//!
//! The figures are compared with those of `instructions.txt` and may differ by 5 %; those in the file
//! are written by `GOSSIP_BENCH_ACCEPT=1`. They belong to a compiler, its options and the C library's
//! way to copy memory; they say nothing of caches, of atomic instructions' cost, nor of waiting.

#![expect(clippy::print_stdout, reason = "a bench's output is its purpose")]

#[path = "instructions/cases.rs"]
mod cases;
#[path = "harness/folder.rs"]
mod folder;
#[path = "harness/output.rs"]
mod output;

use std::{
    collections::BTreeMap,
    env,
    error::Error,
    fs,
    path::PathBuf,
    process::{self, Command},
};

use serde_json::{Value, json};

use self::cases::CASES;

/// The two numbers of messages that each case runs with.
const MESSAGES: [usize; 2] = [10_000, 30_000];
/// By how much a figure may differ from the accepted one.
const TOLERANCE: f64 = 0.05;
const ACCEPT: &str = "GOSSIP_BENCH_ACCEPT";
/// Tells the program that it is the one to be counted: a case and a number of messages.
const COUNTED: &str = "--counted";

/// Instructions of the whole process, from the part that counts on.
fn count(case: &str, messages: usize) -> Result<f64, Box<dyn Error>> {
    let out = tempfile::NamedTempFile::new()?;
    let mut file = std::ffi::OsString::from("--callgrind-out-file=");
    file.push(out.path());
    let run = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet", "--zero-before=*the_counted_part*"])
        .arg(file)
        .arg(env::current_exe()?)
        .args([COUNTED, case, &messages.to_string()])
        .output()?;
    if !run.status.success() {
        return Err(format!("{case}: {}", String::from_utf8_lossy(&run.stderr)).into());
    }
    let counted = fs::read_to_string(out.path())?;
    let totals = counted.lines().find_map(|line| line.strip_prefix("totals: "));
    Ok(totals.ok_or("callgrind gives no totals")?.trim().parse()?)
}

fn per_message(case: &str) -> Result<f64, Box<dyn Error>> {
    let [few, many] = MESSAGES;
    Ok((count(case, many)? - count(case, few)?) / (many - few) as f64)
}

fn accepted_path() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "benches", "instructions.txt"].iter().collect()
}

/// A line for each case: its name and its figure.
fn accepted() -> Result<BTreeMap<String, f64>, Box<dyn Error>> {
    let text = fs::read_to_string(accepted_path())?;
    let line = |line: &str| -> Result<(String, f64), Box<dyn Error>> {
        let (case, figure) = line.split_once(' ').ok_or("a line without a figure")?;
        Ok((case.to_owned(), figure.trim().parse()?))
    };
    text.lines().map(line).collect()
}

fn is_accepting() -> bool {
    env::var_os(ACCEPT).is_some_and(|value| value == "1")
}

fn compare() -> Result<bool, Box<dyn Error>> {
    let accepting = is_accepting();
    let accepted = if accepting { BTreeMap::new() } else { accepted()? };
    let mut rows: Vec<Value> = Vec::new();
    let mut text = String::new();
    let mut all_within = true;
    for (case, _) in CASES {
        let found = per_message(case)?;
        text += &format!("{case} {found:.1}\n");
        print!("{case:>28} {found:>8.1} instructions a message");
        let change = accepted.get(case).map(|accepted| found / accepted - 1.0);
        match change {
            Some(change) => println!(", {:+.2} % of what was accepted", change * 100.0),
            None => println!(", nothing accepted yet"),
        }
        all_within &= accepting || change.is_some_and(|change| change.abs() <= TOLERANCE);
        rows.push(json!({
            "case": case,
            "messages": MESSAGES,
            "instructions_per_message": found,
            "change": change,
        }));
    }
    if accepting {
        fs::write(accepted_path(), text)?;
    }
    output::publish("instructions", rows)?;
    Ok(all_within)
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [counted, case, messages, ..] = arguments.as_slice()
        && counted == COUNTED
    {
        let (_, run) = CASES.into_iter().find(|(name, _)| name == case).ok_or("no such case")?;
        run(messages.parse()?);
        return Ok(());
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        return Err("valgrind is needed: apt-get install valgrind".into());
    }
    if !compare()? {
        println!(
            "A figure is not within {} % of the accepted one. If it should be so, accept it: \
             {ACCEPT}=1 cargo bench -p gossip-engine --bench instructions",
            TOLERANCE * 100.0
        );
        process::exit(1);
    }
    Ok(())
}
