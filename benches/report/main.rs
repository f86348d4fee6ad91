//! Writes RESULTS.md, its pictures and its tables, and those of the README, from what the benches left under
//! `target/results/`, and nothing from anywhere else but the hand-written discussion, which is included as it stands.

#![expect(clippy::print_stdout, reason = "a program's output is its purpose")]

mod csv;
mod faults;
mod five_flows;
mod flood;
#[path = "../harness/folder.rs"]
mod folder;
mod folders;
mod forking;
mod front;
mod handlers;
mod latency;
mod latest;
mod lines;
mod machine;
mod overload;
mod peers;
mod replica;
mod rivals;
mod small;
mod table;
mod throughput;
mod wakeup;
mod wire;
mod workloads;

use std::{error::Error, fs, path::Path};

use serde_json::Value;

const COMMAND: &str = "cargo bench -p gossip-engine && \
                       cargo bench -p gossip-replica && \
                       cargo build --release -p gossip-replica && \
                       python3 replica/tests/folders/bench.py && \
                       cargo bench -p gossip-engine --bench instructions && \
                       cargo bench -p gossip-engine --bench soak -- --messages 10000000 && \
                       fuzz/run 600 && \
                       cargo bench -p gossip-engine --bench report";

const METHOD: &str = "Written by a program from what the benches measured; do not edit. Contenders run in interleaved \
                      rounds, and ratios are taken round by round; tables give medians and, in brackets, the lower \
                      and the upper quartile. Compare ratios: absolute values are this machine's. On the *busy* \
                      machine a process of its own takes what it can get of each core, by a plain loop.";

/// What the names in the tables mean.
const CONTENDERS: &str = "\
| name | what it is |
|---|---|
| `engine` | this crate, with all that it counts and times |
| `engine-rows` | the same, by producers that hand over 16 messages at a time |
| `baseline` | the design that it replaces, rebuilt: `threadpool` behind a mutex, permits of tokio's `Semaphore`, a `prometheus` timer for each message, a boxed future for each call |
| `tokio` | a task for each message, behind a `Semaphore` |
| `rayon` | a job for each message, behind a `Semaphore` |
| `channel` | a bounded `crossbeam-channel` and threads that loop over it: what a good engineer writes by hand |
| `crossfire` | the same over crossfire 3, said to be the fastest of the channels |
| `async-channel` | the same over a bounded `async-channel` |
| `tower` | `ConcurrencyLimit` over `Buffer` over a service |
| `floor` | no design but a yardstick: a bare `ArrayQueue` and one thread that spins and then yields |
| `base` | nothing: the producer calls the handler itself, so that what is left is the harness |
";

/// What a bench left, and how to run it.
struct Measured {
    rows: Vec<Value>,
    quick: bool,
}

impl Measured {
    /// `None` if the bench was not run.
    fn read(bench: &str) -> Result<Option<Self>, Box<dyn Error>> {
        let path = folder::results()?.join(bench).with_extension("json");
        if !path.exists() {
            return Ok(None);
        }
        let mut result: Value = serde_json::from_str(&fs::read_to_string(path)?)?;
        let quick = result["quick"] == true;
        match result["rows"].take() {
            Value::Array(rows) => Ok(Some(Self { rows, quick })),
            _ => Err(format!("{bench}: no rows").into()),
        }
    }
}

/// A bench, a title, and what is said of it.
type Section = (&'static str, &'static str, fn(&[Value], &Path) -> Result<String, Box<dyn Error>>);

const SECTIONS: [Section; 22] = [
    ("stalls", "What the machine takes", small::stalls),
    ("throughput", "Throughput", throughput::section),
    ("latency", "Latency", latency::section),
    ("flood", "A flood by one peer", flood::section),
    ("dear_peer", "A dear peer", forking::dear_peer),
    ("folders", "A folder on five machines", folders::section),
    ("departures", "Departures and ticks", replica::departures),
    ("flooded", "A replica flooded by a peer", replica::flooded),
    ("overload", "Twice the capacity", overload::section),
    ("latest", "The latest wins", latest::section),
    ("faults", "Faults", faults::section),
    ("soak", "Everything at once", faults::soak),
    ("wakeup", "Waking up and idling", wakeup::section),
    ("peers", "Many peers", peers::section),
    ("peer_memory", "Memory of a peer", peers::memory),
    ("five_flows", "Five flows, one of them stuck", five_flows::section),
    ("inside", "rayon inside a handler", small::inside),
    ("forking", "Handlers that fork", forking::section),
    ("handlers", "Departures, slots and batches", handlers::section),
    ("instructions", "Instructions", small::instructions),
    ("wire", "Wire format", wire::section),
    ("fuzz", "Fuzzing", small::fuzz),
];

/// Those whose figures come from a quick run.
fn quick_benches(sections: &[Section]) -> Result<Vec<&'static str>, Box<dyn Error>> {
    let mut quick = Vec::new();
    for (bench, _, _) in sections {
        if Measured::read(bench)?.is_some_and(|measured| measured.quick) {
            quick.push(*bench);
        }
    }
    Ok(quick)
}

fn main() -> Result<(), Box<dyn Error>> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let quick = quick_benches(&SECTIONS)?;
    let mut warning = String::new();
    if !quick.is_empty() {
        warning =
            format!("**From quick runs, whose figures mean nothing: {}.**\n\n", quick.join(", "));
    }
    let folder = csv::FOLDER;
    let text = format!(
        "# Results\n\n{warning}## What is won\n\n{}\nRatios are of medians, over the workloads of a table.\n\n\
         ## Where the engine loses\n\n{}{}\n## Method\n\n{METHOD} [All tables]({folder}/tables.md) and their data lie \
         beside each other in [{folder}]({folder}).\n\n{}\n```sh\n{COMMAND}\n```\n\n\
         ## Contenders\n\n{CONTENDERS}{}\n{}",
        rivals::won()?,
        rivals::lost()?,
        handlers::lost()?,
        machine::describe(),
        workloads::told(folder)?,
        fs::read_to_string(package.join("benches/discussion.md"))?,
    );
    let tables = format!("# Tables\n\n{warning}{METHOD}\n{}", tables(package)?);
    fs::write(package.join("RESULTS.md"), text)?;
    fs::write(package.join(folder).join("tables.md"), tables)?;
    front::write(package)?;
    println!("RESULTS.md and the README's figures are written");
    Ok(())
}

/// All tables, with their pictures and their data.
fn tables(package: &Path) -> Result<String, Box<dyn Error>> {
    let mut text = String::new();
    for (bench, title, section) in SECTIONS {
        text += &format!("\n## {title}\n\n");
        match Measured::read(bench)? {
            None => {
                text += "Not measured.\n";
            }
            Some(measured) => {
                if measured.quick {
                    text += "**From a quick run, whose figures mean nothing.**\n\n";
                }
                // The file lies two folders below.
                text += &section(&measured.rows, package)?.replace("](benches/", "](../");
                csv::write(package, bench, &measured)?;
                text += &format!("\n[Data]({bench}.csv)\n");
            }
        }
    }
    Ok(text)
}
