//! What an operator should know and `/health` does not mind: one list for the page, the terminal and `/metrics`.
//!
//! The process runs on as it should; something outside of it is not as its operator wants it. A notice goes when what
//! it is about does. That lines of the log are lost is of the past and stays. At most seven notices stand at a time.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::track::shortened;
use crate::words::counted;

/// Where those parts of a program that find something out say so. Clones share what is said.
#[derive(Clone, Debug)]
pub struct Notices {
    lost_log_lines: fn() -> u64,
    said: Arc<Mutex<Said>>,
}

#[derive(Debug, Default)]
struct Said {
    /// Why the configuration that was read last does not hold.
    fault: Option<String>,
    rejected_reloads: u64,
    /// Settings that have changed and take a restart.
    waiting: Vec<&'static str>,
    private_keys: usize,
    /// One of them.
    private_key: Option<PathBuf>,
    unpublished: LeftOut,
    unexported: LeftOut,
    /// Why nothing is exported at all, or not what a publisher has.
    export_fault: Option<String>,
}

/// Files that are not where they should be, for reasons of their own.
#[derive(Debug, Default, Eq, PartialEq)]
struct LeftOut {
    files: usize,
    /// One of them.
    example: Option<String>,
}

/// What is said at one time.
#[derive(Clone, Debug, Default)]
pub(super) struct Noted {
    /// In words.
    pub(super) lines: Vec<String>,
    pub(super) rejected_reloads: u64,
    pub(super) lost_log_lines: u64,
    pub(super) private_keys: u64,
    pub(super) unpublished: u64,
    pub(super) unexported: u64,
}

impl Notices {
    /// Nothing is said yet. `lost_log_lines` says how many lines of the log could not be written since the start.
    #[must_use]
    pub fn new(lost_log_lines: fn() -> u64) -> Self {
        Self { lost_log_lines, said: Arc::default() }
    }

    /// The configuration was read anew and is at fault, so that what held before holds on.
    pub fn configuration_rejected(&self, fault: &impl fmt::Display) {
        let mut said = self.said();
        said.fault = Some(fault.to_string());
        said.rejected_reloads += 1;
    }

    /// The configuration was read anew and holds, but for the settings `waiting`, which take a restart.
    pub fn configuration_taken(&self, waiting: Vec<&'static str>) {
        let mut said = self.said();
        said.fault = None;
        said.waiting = waiting;
    }

    /// So many files that were to be published are private keys, `first` among them.
    pub fn private_keys(&self, count: usize, first: Option<&Path>) {
        let mut said = self.said();
        if (said.private_keys, said.private_key.as_deref()) != (count, first) {
            said.private_keys = count;
            said.private_key = first.map(Path::to_owned);
        }
    }

    /// So many files that were to be published are not, private keys aside; the example is one of them.
    pub fn unpublished(&self, files: usize, example: Option<String>) {
        self.said().unpublished = LeftOut { files, example };
    }

    /// So many files of peers are not exported though they are here; the example is one of them, with the reason. The
    /// fault is of more than single files.
    pub fn unexported(&self, files: usize, example: Option<String>, fault: Option<String>) {
        let mut said = self.said();
        said.unexported = LeftOut { files, example };
        said.export_fault = fault;
    }

    pub(super) fn read(&self) -> Noted {
        let lost = (self.lost_log_lines)();
        let said = self.said();
        let mut lines = Vec::new();
        if let Some(fault) = &said.fault {
            lines.push(format!("the new configuration is at fault and does not hold: {fault}"));
        }
        if !said.waiting.is_empty() {
            lines.push(format!("takes a restart to change: {}", said.waiting.join(", ")));
        }
        if let Some(path) = &said.private_key {
            let path = path.display();
            lines.push(match said.private_keys {
                1 => format!("a private key lies among the files to publish, and is not: {path}"),
                keys => format!(
                    "{keys} private keys lie among the files to publish, and are not: {path} is one"
                ),
            });
        }
        lines.extend(said.unpublished.words("published"));
        lines.extend(said.unexported.words("exported"));
        if let Some(fault) = &said.export_fault {
            lines.push(format!("cannot export: {fault}"));
        }
        if lost > 0 {
            lines.push(format!("{} of the log could not be written", counted(lost, "line")));
        }
        Noted {
            lines: lines.iter().map(|line| shortened(line)).collect(),
            rejected_reloads: said.rejected_reloads,
            lost_log_lines: lost,
            private_keys: said.private_keys as u64,
            unpublished: said.unpublished.files as u64,
            unexported: said.unexported.files as u64,
        }
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LeftOut {
    fn words(&self, what: &str) -> Option<String> {
        let example = self.example.as_deref().unwrap_or("see the log");
        match self.files {
            0 => None,
            1 => Some(format!("a file is not {what}: {example}")),
            files => Some(format!("{files} files are not {what}, one of them {example}")),
        }
    }
}

/// Of a program whose log is not counted.
impl Default for Notices {
    fn default() -> Self {
        Self::new(|| 0)
    }
}

#[cfg(test)]
mod tests;
