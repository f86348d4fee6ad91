//! How the program fails: one line for whoever started it, and an exit status for whatever did.
//!
//! | status | what is at fault                                                     |
//! |--------|----------------------------------------------------------------------|
//! | 0      | nothing                                                              |
//! | 1      | what the program met: files, ports, disks, replicas that do not agree |
//! | 2      | the command line or the configuration file, or what this names       |
//! | 130    | the user, who interrupted a demo                                     |

use std::{
    fmt::{self, Write as _},
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
};

use serde::Serialize;

use crate::logging;

const RUNTIME: u8 = 1;
const USAGE: u8 = 2;

/// Why the program ends before it has done what it was asked for.
#[derive(Debug)]
pub(crate) struct Failure {
    status: u8,
    message: String,
}

impl Failure {
    /// 128 and the number of SIGINT, as shells have it.
    pub(crate) const INTERRUPTED: u8 = 130;

    /// What the program met is at fault.
    pub(crate) fn runtime(message: impl fmt::Display) -> Self {
        Self { status: RUNTIME, message: message.to_string() }
    }

    /// The command line or the configuration is at fault.
    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self { status: USAGE, message: message.to_string() }
    }

    /// Nothing is at fault.
    pub(crate) fn interrupted() -> Self {
        Self { status: Self::INTERRUPTED, message: "interrupted".to_owned() }
    }

    /// Says on standard error what is wrong. If nobody listens there, the status has to do.
    pub(crate) fn report(&self) -> ExitCode {
        logging::complain(format_args!("error: {}", one_line(&self.message)));
        ExitCode::from(self.status)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Writes a line to standard output, which only the results of a command go to, and waits until it is there.
pub(crate) fn say(line: impl fmt::Display) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match writeln!(stdout, "{line}").and_then(|()| stdout.flush()) {
        // A reader that has seen enough, such as `head`, may close the pipe.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::runtime(format_args!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Writes a result as one line of JSON.
pub(crate) fn say_json(result: &impl Serialize) -> Result<(), Failure> {
    say(serde_json::to_string(result).map_err(Failure::runtime)?)
}

/// A path in such a line. What is no UTF-8 in it is replaced.
pub(crate) fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// The names of files are anybody's choice; none of them breaks the line or speaks to the terminal.
pub(crate) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() || turns_text(character) {
            let _ = write!(line, "{}", character.escape_default());
        } else {
            line.push(character);
        }
    }
    line
}

/// Whether what follows may be shown in another order: the controls of Unicode's bidirectional algorithm, UAX #9.
fn turns_text(character: char) -> bool {
    matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests;
