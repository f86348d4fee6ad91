//! The command line of the reference replica. Without arguments it shows itself: `gossip-replica demo`.

mod browse;
mod cli;
mod demo;
mod failure;
mod init;
mod keygen;
mod logging;
mod run;
mod settings;
mod signals;
mod status;
mod supervise;
mod top;

fn main() -> std::process::ExitCode {
    cli::main()
}
