//! The log: lines on standard error, which make way for a progress bar.

use std::io::{self, IsTerminal as _, Write};

use indicatif::ProgressBar;
use tracing_subscriber::EnvFilter;

use crate::failure::Failure;

/// Where the filter is taken from if the command line has none.
const VARIABLE: &str = "RUST_LOG";

/// Begins to log what passes `filter`, that of the environment, or `default`.
pub(crate) fn start(filter: Option<&str>, default: &str, bar: &ProgressBar) -> Result<(), Failure> {
    let environment = std::env::var(VARIABLE).ok().filter(|value| !value.is_empty());
    let (source, directives) = match (filter, &environment) {
        (Some(filter), _) => ("--log", filter),
        (None, Some(value)) => (VARIABLE, value.as_str()),
        (None, None) => ("the default", default),
    };
    let filter = EnvFilter::try_new(directives).map_err(|error| {
        Failure::usage(format_args!("{source}: {directives:?} is no log filter: {error}"))
    })?;
    let bar = bar.clone();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(move || Beside(bar.clone()))
        .init();
    Ok(())
}

/// Standard error beside a progress bar: each write is whole lines, and the bar is drawn again below.
struct Beside(ProgressBar);

impl Write for Beside {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().write_all(bytes))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
