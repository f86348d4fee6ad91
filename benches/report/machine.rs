//! What the machine is, as the system says it now.

use std::{env, fs, process::Command, thread};

/// A table of the machine's properties.
pub(crate) fn describe() -> String {
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let rows = [
        ("processor", processor()),
        ("cores", cores.to_string()),
        ("system", format!("{} {} {}", env::consts::OS, kernel(), env::consts::ARCH)),
        ("compiler", compiler()),
    ];
    let mut text = String::from("| machine | |\n|---|---|\n");
    for (name, value) in rows {
        text += &format!("| {name} | {value} |\n");
    }
    text
}

fn processor() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name"));
    let named = model.and_then(|rest| rest.split_once(':')).map(|(_, name)| name.trim().to_owned());
    named.unwrap_or_else(|| "unknown".to_owned())
}

fn kernel() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned()
}

fn compiler() -> String {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("--version").output();
    let version = output.ok().and_then(|output| String::from_utf8(output.stdout).ok());
    version.map_or_else(|| "unknown".to_owned(), |version| version.trim().to_owned())
}
