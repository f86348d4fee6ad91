//! Which instructions lock the bus or a cache line: those with a lock prefix, exchanges with memory, which lock without
//! one, and full fences. By disassembly with binutils' `objdump`, for x86-64.

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    path::Path,
    process::Command,
};

use super::callgrind::Counts;

/// The addresses of such instructions, of each object file that was asked for.
#[derive(Default)]
pub(super) struct Locked(BTreeMap<String, BTreeSet<u64>>);

impl Locked {
    /// How often they ran.
    ///
    /// # Errors
    ///
    /// If an object file cannot be disassembled.
    pub(super) fn count(&mut self, counts: &Counts) -> Result<u64, Box<dyn Error>> {
        let mut sum = 0;
        // What callgrind knows no file for is a few stubs of the linker, which lock nothing.
        for (object, own) in counts.iter().filter(|(object, _)| Path::new(object).is_absolute()) {
            if !self.0.contains_key(object) {
                self.0.insert(object.clone(), disassemble(object)?);
            }
            let locked = &self.0[object];
            sum += own
                .iter()
                .filter(|(address, _)| locked.contains(address))
                .map(|(_, count)| count)
                .sum::<u64>();
        }
        Ok(sum)
    }
}

fn disassemble(object: &str) -> Result<BTreeSet<u64>, Box<dyn Error>> {
    let run = Command::new("objdump").args(["-d", "--no-show-raw-insn"]).arg(object).output()?;
    if !run.status.success() {
        return Err(format!("{object}: {}", String::from_utf8_lossy(&run.stderr)).into());
    }
    let text = String::from_utf8_lossy(&run.stdout);
    let mut locked = BTreeSet::new();
    for line in text.lines() {
        let Some((address, instruction)) = line.split_once(":\t") else { continue };
        if is_locked(instruction) {
            locked.insert(u64::from_str_radix(address.trim(), 16)?);
        }
    }
    Ok(locked)
}

/// In the syntax of AT&T, in which an operand in memory has parentheses.
fn is_locked(instruction: &str) -> bool {
    let mut words = instruction.split_whitespace();
    match words.next() {
        Some("mfence") => true,
        // `xchg` with a suffix of its size as well.
        Some(name) if name.starts_with("xchg") => instruction.contains('('),
        // Behind another prefix too, as in `xacquire lock`.
        name => name == Some("lock") || words.any(|word| word == "lock"),
    }
}
