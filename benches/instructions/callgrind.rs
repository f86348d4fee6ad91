//! Runs a program under callgrind, and reads how often each of its instructions ran.
//!
//! The format's line for an instruction is its address in the object file, its line in the source, and a count. A line
//! behind `calls=` is what a call cost inclusive of what it called, which is counted there again, and is skipped.

use std::{collections::BTreeMap, error::Error, ffi::OsString, fs, path::Path, process::Command};

/// How often each instruction ran, by its object file and its address there.
pub(super) type Counts = BTreeMap<String, BTreeMap<u64, u64>>;

/// Counts from the part that counts on, of all threads together.
///
/// # Errors
///
/// If valgrind does not run, or the program fails, or the counts do not add up.
pub(super) fn count(program: &Path, arguments: &[&str]) -> Result<Counts, Box<dyn Error>> {
    let out = tempfile::NamedTempFile::new()?;
    let mut file = OsString::from("--callgrind-out-file=");
    file.push(out.path());
    let run = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet", "--zero-before=*the_counted_part*"])
        .args(["--dump-instr=yes", "--compress-strings=no", "--compress-pos=no"])
        .arg(file)
        .arg(program)
        .args(arguments)
        .output()?;
    if !run.status.success() {
        return Err(format!("{arguments:?}: {}", String::from_utf8_lossy(&run.stderr)).into());
    }
    read(&fs::read_to_string(out.path())?)
}

/// All of them.
pub(super) fn instructions(counts: &Counts) -> u64 {
    counts.values().flat_map(BTreeMap::values).sum()
}

fn read(text: &str) -> Result<Counts, Box<dyn Error>> {
    let mut counts = Counts::new();
    let mut object = "";
    let mut of_call = false;
    let mut total: Option<u64> = None;
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("ob=") {
            object = name;
        } else if line.starts_with("calls=") {
            of_call = true;
        } else if let Some(sum) = line.strip_prefix("totals: ") {
            total = Some(sum.trim().parse()?);
        } else if let Some(rest) = line.strip_prefix("0x")
            && !std::mem::take(&mut of_call)
        {
            let mut fields = rest.split(' ');
            let (address, count) = fields.next().zip(fields.nth(1)).ok_or("a line too short")?;
            let own = counts.entry(object.to_owned()).or_default();
            *own.entry(u64::from_str_radix(address, 16)?).or_default() += count.parse::<u64>()?;
        }
    }
    let total = total.ok_or("callgrind gives no totals")?;
    if instructions(&counts) != total {
        return Err(format!("{} counted and {total} in all", instructions(&counts)).into());
    }
    Ok(counts)
}
