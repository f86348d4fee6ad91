//! What a cluster of real processes takes in a network of namespaces: a file over lines that lose, a large one to
//! all, a partition, a peer that moves. One line for each figure, with its limit; status 1 if one is missed.
//!
//! Each host's way out is a line of its own with a rate, a queue, a delay and losses. The delay is half of the round
//! trip, and both ways lose. The partition and the moves are on a network without such lines. One machine does
//! everything at once: the processes, their disks and the lines. What else it does is in the figures.
//!
//! A file's time runs from when its publisher holds it to when all others do: hashed, and under its final name.
//!
//! It takes Linux and the rights of root. Where they are not to be had, it says so and ends with status 0.

#![expect(clippy::print_stdout, reason = "a bench's output is its purpose")]

#[path = "../tests/lab/cluster.rs"]
#[cfg(target_os = "linux")]
mod cluster;
#[path = "../tests/lab/line.rs"]
#[cfg(target_os = "linux")]
#[allow(dead_code, reason = "the weather does not change here")]
mod line;
#[path = "../tests/lab/namespaces.rs"]
#[cfg(target_os = "linux")]
mod namespaces;
#[path = "../tests/cli/node.rs"]
#[cfg(target_os = "linux")]
#[allow(dead_code, reason = "what the tests ask of a node")]
mod node;
#[path = "../tests/cli/program.rs"]
#[cfg(target_os = "linux")]
#[allow(dead_code, reason = "what the tests ask of a process")]
mod program;
#[path = "../tests/lab/relay.rs"]
#[cfg(target_os = "linux")]
#[allow(dead_code, reason = "the router has its loop")]
mod relay;
#[path = "../tests/lab/router.rs"]
#[cfg(target_os = "linux")]
mod router;
#[path = "lab/scenes.rs"]
#[cfg(target_os = "linux")]
mod scenes;

use std::process::ExitCode;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    scenes::run()
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    println!("the lab does not run: it takes the network namespaces of Linux");
    ExitCode::SUCCESS
}
