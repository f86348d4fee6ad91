//! How many instructions a message costs, and how many of them are locked: what does not vary with the machine's mood,
//! and therefore guards against getting slower.
//!
//! The program runs itself under valgrind's callgrind, which counts how often each instruction ran, on all
//! threads. Which of them are locked, the disassembly says. The order of events is the same in every run: in
//! most cases the flow's only worker is held in the handler of a first message while the producer
//! submits all the others, is then let go, and runs them in one go, so that nobody looks for work, waits for
//! capacity or is woken. Each case runs with two numbers of
//! messages; the difference of the counts, divided by that of the numbers, is what a message costs its
//! producer and its worker together, without what is made once.
//!
//! The figures are compared with those of `instructions.txt`, a line for each case: its name, instructions, locked
//! instructions. They may differ by 3 % and by 0.5; those in the file
//! are written by `GOSSIP_BENCH_ACCEPT=1`. They belong to a compiler, its options and the C library's
//! way to copy memory; they say nothing of caches nor of waiting. Locked instructions are counted on x86-64 only.

#![expect(clippy::print_stdout, reason = "a bench's output is its purpose")]

#[path = "instructions/callgrind.rs"]
mod callgrind;
#[path = "instructions/cases.rs"]
mod cases;
#[path = "harness/folder.rs"]
mod folder;
#[path = "instructions/locked.rs"]
mod locked;
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

use self::{
    cases::{CASES, Case},
    locked::Locked,
};

/// By how much the instructions may differ from the accepted ones, relative to them.
const TOLERANCE: f64 = 0.03;
/// By how many locked instructions a message may differ.
const TOLERANCE_LOCKED: f64 = 0.5;
const ACCEPT: &str = "GOSSIP_BENCH_ACCEPT";
/// Tells the program that it is the one to be counted: a case and a number of messages.
const COUNTED: &str = "--counted";

/// What a message costs.
#[derive(Clone, Copy)]
struct Cost {
    instructions: f64,
    /// `None` where they are not known.
    locked: Option<f64>,
}

impl Cost {
    fn of(case: &Case, locked: &mut Locked) -> Result<Self, Box<dyn Error>> {
        let mut count = |messages: usize| -> Result<(u64, u64), Box<dyn Error>> {
            let arguments = [COUNTED, case.name, &messages.to_string()];
            let counts = callgrind::count(&env::current_exe()?, &arguments)?;
            let locked = if IS_X86_64 { locked.count(&counts)? } else { 0 };
            Ok((callgrind::instructions(&counts), locked))
        };
        let [few, many] = case.messages;
        let (of_few, of_many) = (count(few)?, count(many)?);
        let each = |few_count: u64, many_count: u64| {
            (many_count as f64 - few_count as f64) / (many - few) as f64
        };
        Ok(Self {
            instructions: each(of_few.0, of_many.0),
            locked: IS_X86_64.then(|| each(of_few.1, of_many.1)),
        })
    }

    /// Like a line of the file of what is accepted, behind the name.
    fn parse(text: &str) -> Result<Self, Box<dyn Error>> {
        let mut figures = text.split_whitespace();
        let instructions = figures.next().ok_or("a line without a figure")?.parse()?;
        let locked = figures.next().map(str::parse).transpose()?;
        Ok(Self { instructions, locked })
    }

    fn line(self) -> String {
        let locked = self.locked.map_or_else(String::new, |locked| format!(" {locked:.2}"));
        format!("{:.1}{locked}", self.instructions)
    }

    /// The relative change of the instructions.
    fn change(self, accepted: Self) -> f64 {
        self.instructions / accepted.instructions - 1.0
    }

    /// More or fewer locked instructions, if both are known.
    fn change_locked(self, accepted: Self) -> Option<f64> {
        self.locked.zip(accepted.locked).map(|(own, accepted)| own - accepted)
    }

    fn is_within(self, accepted: Self) -> bool {
        self.change(accepted).abs() <= TOLERANCE
            // Where they are counted, they must have been accepted.
            && (self.locked.is_none()
                || self
                    .change_locked(accepted)
                    .is_some_and(|change| change.abs() <= TOLERANCE_LOCKED))
    }
}

const IS_X86_64: bool = cfg!(target_arch = "x86_64");

fn accepted_path() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "benches", "instructions.txt"].iter().collect()
}

/// A line for each case: its name and its figures.
fn accepted() -> Result<BTreeMap<String, Cost>, Box<dyn Error>> {
    let text = fs::read_to_string(accepted_path())?;
    let line = |line: &str| -> Result<(String, Cost), Box<dyn Error>> {
        let (case, figures) = line.split_once(' ').ok_or("a line without a figure")?;
        Ok((case.to_owned(), Cost::parse(figures)?))
    };
    text.lines().map(line).collect()
}

fn is_accepting() -> bool {
    env::var_os(ACCEPT).is_some_and(|value| value == "1")
}

fn compare() -> Result<bool, Box<dyn Error>> {
    let accepting = is_accepting();
    let accepted = if accepting { BTreeMap::new() } else { accepted()? };
    let mut locked = Locked::default();
    let mut rows: Vec<Value> = Vec::new();
    let mut text = String::new();
    let mut all_within = true;
    for case in &CASES {
        let found = Cost::of(case, &mut locked)?;
        text += &format!("{} {}\n", case.name, found.line());
        print!("{:>28} {:>8.1} instructions a message", case.name, found.instructions);
        if let Some(locked) = found.locked {
            print!(", {locked:>5.2} of them locked");
        }
        let accepted = accepted.get(case.name).copied();
        match accepted {
            Some(accepted) => {
                print!(", {:+.2} %", found.change(accepted) * 100.0);
                if let Some(change) = found.change_locked(accepted) {
                    print!(" and {change:+.2}");
                }
                let within = found.is_within(accepted);
                println!(" beside what was accepted{}", if within { "" } else { ": TOO FAR" });
                all_within &= within;
            }
            None => {
                println!(", nothing accepted yet");
                all_within &= accepting;
            }
        }
        rows.push(json!({
            "case": case.name,
            "messages": case.messages,
            "instructions_per_message": found.instructions,
            "locked_per_message": found.locked,
            "change": accepted.map(|accepted| found.change(accepted)),
            "change_locked": accepted.and_then(|accepted| found.change_locked(accepted)),
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
        let case = CASES.iter().find(|known| known.name == case).ok_or("no such case")?;
        (case.run)(messages.parse()?);
        return Ok(());
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        return Err("valgrind is needed: apt-get install valgrind".into());
    }
    if IS_X86_64 && Command::new("objdump").arg("--version").output().is_err() {
        return Err("objdump is needed: apt-get install binutils".into());
    }
    if !compare()? {
        println!(
            "A figure is not within {} % of the accepted one, or within {TOLERANCE_LOCKED} locked instructions. If it \
             should be so, accept it: {ACCEPT}=1 cargo bench -p gossip-engine --bench instructions",
            TOLERANCE * 100.0
        );
        process::exit(1);
    }
    Ok(())
}
