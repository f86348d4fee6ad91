//! The log on standard error, and the lines that a running replica prints on standard output.
//!
//! A line of the log is text, or an object of JSON: `timestamp`, `level`, `target`, and `fields` with the `message`
//! among them. What the program itself has to say there, an error or a panic, has the same form.
//!
//! Both go through a [`Sink`]: no task waits for a reader, and none ends for want of one. Panics are reported in the
//! same way, since the standard hook would write to standard error on the thread that panics.
//!
//! At its end the program waits [`FLUSH_PATIENCE`] for what is still to be written, and no longer.

mod sink;

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    fmt,
    io::{self, IsTerminal as _, Write},
    panic,
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use clap::ValueEnum;
use indicatif::ProgressBar;
use serde_json::json;
use tracing_subscriber::{
    EnvFilter,
    fmt::{
        format::Writer,
        time::{FormatTime as _, SystemTime},
    },
};

use self::sink::Sink;
use crate::failure::Failure;

/// Where the filter is taken from if the command line has none.
const VARIABLE: &str = "RUST_LOG";
/// How long the program waits at its end for standard output and standard error together.
const FLUSH_PATIENCE: Duration = Duration::from_secs(1);

static STDERR: OnceLock<Sink> = OnceLock::new();
static STDOUT: OnceLock<Sink> = OnceLock::new();
/// What the log makes way for.
static BAR: OnceLock<ProgressBar> = OnceLock::new();
/// Text until the command line has been read.
static FORMAT: OnceLock<LogFormat> = OnceLock::new();

/// What a line of the log is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// An object of JSON a line.
    Json,
}

/// Begins to log what passes `filter`, that of the environment, or `default`.
pub(crate) fn start(
    filter: Option<&str>,
    default: &str,
    format: LogFormat,
    bar: &ProgressBar,
) -> Result<(), Failure> {
    // The program starts its log once.
    let _ = FORMAT.set(format);
    let environment = std::env::var(VARIABLE).ok().filter(|value| !value.is_empty());
    let (source, directives) = match (filter, &environment) {
        (Some(filter), _) => ("--log", filter),
        (None, Some(value)) => (VARIABLE, value.as_str()),
        (None, None) => ("the default", default),
    };
    let filter = EnvFilter::try_new(directives).map_err(|error| {
        Failure::usage(format_args!("{source}: {directives:?} is no log filter: {error}"))
    })?;
    // A second bar would be one that the log does not know; the program has one.
    let _ = BAR.set(bar.clone());
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(format == LogFormat::Text && io::stderr().is_terminal())
        .with_writer(|| Lines)
        // Reported by `eprintln!`, which panics where standard error is at fault.
        .log_internal_errors(false);
    match format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().with_current_span(false).with_span_list(false).init(),
    }
    Ok(())
}

/// Reports panics by the log's way, whatever its filter is. Where `RUST_BACKTRACE` asks for it, with a backtrace.
pub(crate) fn report_panics() {
    panic::set_hook(Box::new(|panic| {
        let thread = thread::current();
        let name = thread.name().unwrap_or("unnamed");
        let backtrace = Backtrace::capture();
        let report = match backtrace.status() {
            BacktraceStatus::Captured => format!("thread '{name}' {panic}\n{backtrace}"),
            _ => format!("thread '{name}' {panic}"),
        };
        complain(report);
    }));
}

/// Writes a line to standard error.
pub(crate) fn complain(line: impl fmt::Display) {
    stderr().send(own_line(&line.to_string()).as_bytes());
}

/// What the program itself says among the lines of the log. Whatever the text is, as JSON it is one line.
fn own_line(text: &str) -> String {
    match FORMAT.get().copied().unwrap_or_default() {
        LogFormat::Text => format!("{text}\n"),
        LogFormat::Json => {
            let mut timestamp = String::new();
            // A string takes all that is written to it.
            let _ = SystemTime.format_time(&mut Writer::new(&mut timestamp));
            let (level, target) = ("ERROR", env!("CARGO_CRATE_NAME"));
            let fields = json!({ "message": text });
            let line = json!({ "timestamp": timestamp, "level": level, "target": target, "fields": fields });
            format!("{line}\n")
        }
    }
}

/// Writes a line to standard output, for a program that goes on: if it cannot be written, the log says so.
pub(crate) fn announce(line: impl fmt::Display) {
    let write = |text: &[u8]| {
        let mut stdout = io::stdout().lock();
        let written = stdout.write_all(text).and_then(|()| stdout.flush());
        written.inspect_err(|error| tracing::warn!(%error, "cannot write to standard output"))
    };
    STDOUT.get_or_init(|| Sink::new("stdout", None, write)).send(format!("{line}\n").as_bytes());
}

/// Waits a moment for what is still to be written.
pub(crate) fn flush() {
    let began = Instant::now();
    // What goes wrong with the one is reported by the other.
    for sink in [&STDOUT, &STDERR] {
        if let Some(sink) = sink.get() {
            sink.flush(FLUSH_PATIENCE.saturating_sub(began.elapsed()));
        }
    }
}

/// How many lines of the log could not be written since the start.
pub(crate) fn lost_lines() -> u64 {
    STDERR.get().map_or(0, Sink::dropped)
}

fn stderr() -> &'static Sink {
    STDERR.get_or_init(|| {
        Sink::new("log", Some(own_line), |text| match BAR.get() {
            Some(bar) if !bar.is_hidden() => bar.suspend(|| io::stderr().write_all(text)),
            // A hidden bar would still be locked, and with it the task that moves it on.
            _ => io::stderr().write_all(text),
        })
    })
}

/// Where the log writes to: each write is whole lines.
struct Lines;

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        stderr().send(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
