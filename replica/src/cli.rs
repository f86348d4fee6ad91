//! What may stand on the command line, and what it leads to.

mod generate;

use std::{
    ffi::OsString,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::{Args, CommandFactory as _, Parser, Subcommand, error::ErrorKind};
use gossip_engine::wire::MAX_CHUNK_DATA_BYTES;
use gossip_replica::{
    gossip::{GossipOptions, MIN_CHUNK_BYTES},
    http::HttpAddress,
    transport::PeerAddress,
};

use self::generate::generate;
use crate::{
    browse::{get, ls},
    demo::demo,
    failure::{Failure, say},
    init::init,
    keygen::{id, keygen},
    logging::{self, LogFormat},
    run::run,
    settings,
    status::status,
    top::top,
};

/// How long the program waits at its end for files that are being read and written.
const LAST_WAIT: Duration = Duration::from_secs(5);

/// The reference replica of gossip-engine: keeps folders equal over QUIC.
///
/// Without a command it runs the demo.
#[derive(Debug, Parser)]
#[command(
    name = "gossip-replica",
    version,
    args_conflicts_with_subcommands = true,
    after_help = "Exit status: 0 done, 1 what the program met is at fault (files, ports, replicas that \
                  differ), 2 what it was told is (command line, configuration), 130 interrupted."
)]
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
    /// Make a folder with all that a replica of a cluster needs, and enter it into the list of peers.
    ///
    /// What is there already stays as it is. `run --config DIR/replica.toml` starts the replica.
    Init(InitArgs),
    /// Write a new private key and print its node id.
    Keygen {
        /// The key file; an existing file is refused.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Print one line of JSON: `id`.
        #[arg(long)]
        json: bool,
    },
    /// Print the node id that a private key makes.
    Id {
        /// The key file.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Print one line of JSON: `id`.
        #[arg(long)]
        json: bool,
    },
    /// Run one replica of a cluster until SIGINT or SIGTERM.
    #[command(after_long_help = settings::help())]
    Run(RunArgs),
    /// Print what a running replica does, as its page shows it.
    Status(StatusArgs),
    /// Show live in a terminal what a running replica does, until `q` is pressed.
    Top(StatusTarget),
    /// List the files in the folders of publishers, as a replica's store has them, whether it runs or not.
    Ls(LsArgs),
    /// Copy a file out of the folder of a publisher, as a replica's store has it, whether it runs or not.
    Get(GetArgs),
    /// Write man pages and completions.
    #[command(hide = true)]
    Generate {
        /// Where to; made if it is missing.
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
}

/// The options of the demo.
#[derive(Args, Debug)]
pub(crate) struct DemoArgs {
    /// How many replicas to run, 2 to 64.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 4,
        value_parser = clap::value_parser!(u16).range(2..=64)
    )]
    pub(crate) replicas: u16,
    /// The folder to publish, without .git, symbolic links and what .gitignore files exclude.
    #[arg(long, value_name = "PATH", default_value = ".")]
    pub(crate) dir: PathBuf,
    /// Chunk size in bytes, 1024 to 2097152.
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
    /// Serve a page that shows the replicas, at an address or on a port of this machine.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) http: Option<HttpAddress>,
    /// When all is verified, go on until interrupted, for the page to be looked at.
    #[arg(long, requires = "http")]
    pub(crate) keep: bool,
    /// Serve the page, open it in the browser, let the files take about a minute, and go on until interrupted.
    #[arg(long)]
    pub(crate) watch: bool,
    /// Give up after this many seconds without progress, 1 to 86400.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 120,
        value_parser = clap::value_parser!(u64).range(1..=86_400)
    )]
    pub(crate) patience: u64,
    /// Log filter in the syntax of RUST_LOG [default: RUST_LOG, else "warn"].
    #[arg(long, value_name = "FILTER")]
    pub(crate) log: Option<String>,
    /// What a line of the log is.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub(crate) log_format: LogFormat,
}

/// What a new replica is to be.
#[derive(Args, Debug)]
pub(crate) struct InitArgs {
    /// The folder, made if it is missing: replica.key, replica.toml, store and inbox, and outbox with --publish.
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// The list of the cluster's machines, made if it is missing; this one is added, or its address changed.
    #[arg(long, value_name = "FILE")]
    pub(crate) peers: PathBuf,
    /// Where it listens, host:port [default: everywhere, at the port of --address].
    #[arg(long, value_name = "ADDRESS", value_parser = settings::check_listen)]
    pub(crate) listen: Option<String>,
    /// Where its peers reach it, host:port [default: that of --listen].
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) address: Option<PeerAddress>,
    /// Publish the files of the folder outbox.
    #[arg(long)]
    pub(crate) publish: bool,
    /// Serve a page that shows the replica, at an address or on a port of this machine.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) http: Option<HttpAddress>,
    /// Print one line of JSON: `id`, `address`, `config`, `peers` (files), `made` (what was missing), `entered`
    /// (whether the list of peers has changed).
    #[arg(long)]
    pub(crate) json: bool,
}

/// The options of a single replica beside its configuration.
#[derive(Args, Debug)]
pub(crate) struct RunArgs {
    /// The configuration file; --help says what may be in it.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Look at the configuration, the key and the folders, and start nothing.
    #[arg(long)]
    pub(crate) check: bool,
    /// Print what --check finds as one line of JSON: `id`, `peers` (how many), `listen`, `http`, and the folders
    /// `store`, `publish` and `export`; null is what is not set.
    #[arg(long, requires = "check")]
    pub(crate) json: bool,
    /// Log filter in the syntax of RUST_LOG [default: RUST_LOG, else "info"].
    #[arg(long, value_name = "FILTER")]
    pub(crate) log: Option<String>,
    /// What a line of the log is.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub(crate) log_format: LogFormat,
}

/// The status of a program that panics.
const PANICKED: u8 = 101;
/// Whom to ask for its status.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct StatusTarget {
    /// Where its page is: an address, or a port of this machine.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) http: Option<HttpAddress>,
    /// Its configuration file, which says where its page is.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// The options of the status command.
#[derive(Args, Debug)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) target: StatusTarget,
    /// Print it as JSON, as /status.json has it.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What to list.
#[derive(Args, Debug)]
pub(crate) struct LsArgs {
    /// PUBLISHER or PUBLISHER/PATH: the name of a peer or at least 4 digits of a node id, and a file or a folder of
    /// theirs. Without it, all publishers and all files.
    #[arg(value_name = "WHERE")]
    pub(crate) place: Option<OsString>,
    /// The replica's configuration, which says where the store is and what the peers are called.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Print a line of JSON a file. A path that is no UTF-8 is `path_bytes`, in hexadecimal digits, instead of `path`.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What to copy.
#[derive(Args, Debug)]
pub(crate) struct GetArgs {
    /// PUBLISHER/PATH: the name of a peer or at least 4 digits of a node id, and a file of theirs.
    #[arg(value_name = "WHERE")]
    pub(crate) place: OsString,
    /// The replica's configuration, which says where the store is and what the peers are called.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// The file to write, `-` for standard output [default: the file's own name, here].
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Replace the file if it is there.
    #[arg(long)]
    pub(crate) force: bool,
}

/// The program.
pub(crate) fn main() -> ExitCode {
    logging::report_panics();
    // What is still to be written is written, even if it is a panic.
    let status = match catch_unwind(AssertUnwindSafe(execute)) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(failure)) => failure.report(),
        Err(_) => ExitCode::from(PANICKED),
    };
    logging::flush();
    status
}

fn execute() -> Result<(), Failure> {
    let CommandLine { command, demo: args } = match CommandLine::try_parse() {
        Ok(line) => line,
        Err(error) => return refuse(&error),
    };
    match command {
        None => within_runtime(demo(&args)),
        Some(Command::Demo(args)) => within_runtime(demo(&args)),
        Some(Command::Init(args)) => init(&args),
        Some(Command::Keygen { file, json }) => keygen(&file, json),
        Some(Command::Id { file, json }) => id(&file, json),
        Some(Command::Run(args)) => within_runtime(run(&args)),
        Some(Command::Status(args)) => within_runtime(status(&args)),
        Some(Command::Top(target)) => within_runtime(top(&target)),
        Some(Command::Ls(args)) => ls(&args),
        Some(Command::Get(args)) => get(&args),
        Some(Command::Generate { folder }) => generate(CommandLine::command(), &folder),
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
