//! What may stand on the command line, and what it leads to.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::{Args, Parser, Subcommand, error::ErrorKind};
use gossip_engine::wire::MAX_CHUNK_DATA_BYTES;
use gossip_replica::gossip::{GossipOptions, MIN_CHUNK_BYTES};

use crate::{
    demo::demo,
    failure::{Failure, say},
    keygen::keygen,
    run::run,
};

/// How long the program waits at its end for files that are being read and written.
const LAST_WAIT: Duration = Duration::from_secs(5);

/// The reference replica of gossip-engine: artifacts gossiped over QUIC between folders.
///
/// Without a command it runs the demo.
#[derive(Debug, Parser)]
#[command(name = "gossip-replica", version, args_conflicts_with_subcommands = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    demo: DemoArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start some replicas on this machine, publish a folder, and verify that all hold all of it.
    Demo(DemoArgs),
    /// Write a new key, and print the id of the node that it makes.
    Keygen {
        /// The new file.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Run one replica of a cluster until SIGINT or SIGTERM.
    Run(RunArgs),
}

/// What the demo may be told.
#[derive(Args, Debug)]
pub(crate) struct DemoArgs {
    /// How many replicas, 2 to 64.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 4,
        value_parser = clap::value_parser!(u16).range(2..=64)
    )]
    pub(crate) replicas: u16,
    /// The folder to publish, without .git, target and symbolic links.
    #[arg(long, value_name = "PATH", default_value = ".")]
    pub(crate) dir: PathBuf,
    /// Into chunks of how many bytes files are cut, 1024 to 2097152.
    #[arg(
        long,
        value_name = "BYTES",
        default_value_t = GossipOptions::default().chunk_bytes,
        value_parser = clap::value_parser!(u32)
            .range(MIN_CHUNK_BYTES as i64..=MAX_CHUNK_DATA_BYTES as i64)
    )]
    pub(crate) chunk_size: u32,
    /// Print the result as one line of JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Give up after so many seconds without progress.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 120,
        value_parser = clap::value_parser!(u64).range(1..=86_400)
    )]
    pub(crate) patience: u64,
    /// What to log, as in RUST_LOG; otherwise that, or warnings.
    #[arg(long, value_name = "FILTER")]
    pub(crate) log: Option<String>,
}

/// What a single replica may be told beside its configuration.
#[derive(Args, Debug)]
pub(crate) struct RunArgs {
    /// Its configuration, in TOML.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// What to log, as in RUST_LOG; otherwise that, or what is worth knowing.
    #[arg(long, value_name = "FILTER")]
    pub(crate) log: Option<String>,
}

/// The program.
pub(crate) fn main() -> ExitCode {
    match execute() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn execute() -> Result<(), Failure> {
    let CommandLine { command, demo: args } = match CommandLine::try_parse() {
        Ok(line) => line,
        Err(error) => return refuse(&error),
    };
    match command {
        None => within_runtime(demo(&args)),
        Some(Command::Demo(args)) => within_runtime(demo(&args)),
        Some(Command::Keygen { file }) => keygen(&file),
        Some(Command::Run(args)) => within_runtime(run(&args)),
    }
}

fn within_runtime<T>(program: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime
        .map_err(|error| Failure::runtime(format_args!("cannot start the runtime: {error}")))?;
    let result = runtime.block_on(program);
    runtime.shutdown_timeout(LAST_WAIT);
    result
}

/// Help goes to standard output. Of an error, what clap says over several lines is put into one.
fn refuse(error: &clap::Error) -> Result<(), Failure> {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return say(error.to_string().trim_end());
    }
    let text = error.to_string();
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"))
        .filter(|line| !line.is_empty())
        .collect();
    let message = lines.join(" ");
    Err(Failure::usage(message.strip_prefix("error: ").unwrap_or(&message)))
}

#[cfg(test)]
mod tests;
