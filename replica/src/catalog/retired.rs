//! Retired artifacts: a catalog has named them, and none names them any more. What is kept of each is since when.
//!
//! ```text
//! named ──no catalog names it any more──> retired: not fetched, held for a while ──> dropped, still not fetched
//!   ^                                        │                                         │              │
//!   └────────── a catalog names it ──────────┴─────────────────────────────────────────┘  forgotten <─┘
//! ```
//!
//! An artifact that no catalog has ever named is not retired: it comes from a replica of an earlier version, or from a
//! program that publishes without catalogs, and nothing says that it is not wanted. How much of that there is,
//! [`unnamed`](super::unnamed) bounds. What is held and beyond the share of all that name it is retired.
//!
//! On disk: a line for each change, `<64 hex> <seconds since 1970>`, where `-` in place of the seconds says that it is
//! named again. The file is written anew when a line in it cannot be read, as after a crash, and when most of its lines
//! are of no use. Bounded by [`MAX_RETIRED`]: beyond it nothing more is retired, and it stays.

use std::{
    collections::HashMap,
    fs::{File, OpenOptions},
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    path::Path,
    time::Duration,
};

use gossip_engine::ArtifactId;

use super::MAX_FILES;
use crate::replace_file::replace_file;

/// How many artifacts are retired at a time. 100 bytes each.
pub(super) const MAX_RETIRED: usize = MAX_FILES;
/// How many lines of no use are left in the file.
const MAX_USELESS: usize = 65_536;
/// The longest file that is read, in bytes.
const MAX_FILE_BYTES: u64 = ((MAX_RETIRED + MAX_USELESS) * LINE_BYTES) as u64;
/// How long a line may be: an id, a space, 20 digits, an end.
const LINE_BYTES: usize = 64 + 1 + 20 + 1;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Retired {
    /// In seconds since 1970.
    since: HashMap<ArtifactId, u64>,
    /// The lines that are not written yet.
    unwritten: String,
    /// How many lines there are with these.
    lines: usize,
    /// Whether the file is not what it should be, and has to be written anew.
    broken: bool,
}

/// What is to be written.
#[derive(Debug)]
pub(super) enum Change {
    Append(String),
    Replace(String),
}

impl Change {
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        match self {
            Self::Replace(lines) => replace_file(path, lines.as_bytes()),
            Self::Append(lines) => {
                std::fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
                let mut file = OpenOptions::new().append(true).create(true).open(path)?;
                file.write_all(lines.as_bytes())?;
                // The head that is written next means that this is known.
                file.sync_data()
            }
        }
    }
}

impl Retired {
    /// Reads what an earlier run has written, if it has.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut retired = Self::default();
        let file = match File::open(path) {
            Ok(file) if file.metadata()?.is_file() => file,
            Ok(_) => {
                return Err(io::Error::other(format!("{} is no regular file", path.display())));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(retired),
            Err(error) => return Err(error),
        };
        let mut lines = BufReader::new(file.take(MAX_FILE_BYTES));
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line)? > 0 {
            if retired.read(&line).is_none() {
                retired.broken = true;
            }
            retired.lines += 1;
            line.clear();
        }
        Ok(retired)
    }

    fn read(&mut self, line: &[u8]) -> Option<()> {
        let line = str::from_utf8(line.strip_suffix(b"\n")?).ok()?;
        let (id, since) = line.split_once(' ')?;
        let id: ArtifactId = id.parse().ok()?;
        match since {
            "-" => _ = self.since.remove(&id),
            since if self.since.len() < MAX_RETIRED => {
                _ = self.since.insert(id, since.parse().ok()?)
            }
            _ => {}
        }
        Some(())
    }

    pub(super) fn contains(&self, id: ArtifactId) -> bool {
        self.since.contains_key(&id)
    }

    /// Nobody names it since `now`.
    pub(super) fn retire(&mut self, id: ArtifactId, now: Duration) {
        if self.since.len() >= MAX_RETIRED && !self.since.contains_key(&id) {
            return;
        }
        self.since.insert(id, now.as_secs());
        self.note(id, Some(now.as_secs()));
    }

    /// It is named. Returns whether it was retired.
    pub(super) fn keep(&mut self, id: ArtifactId) -> bool {
        let was_retired = self.since.remove(&id).is_some();
        if was_retired {
            self.note(id, None);
        }
        was_retired
    }

    /// What was retired at `then` or before, the oldest first.
    pub(super) fn since(&self, then: Duration) -> Vec<ArtifactId> {
        let old = self.since.iter().filter(|(_, since)| **since <= then.as_secs());
        let mut old: Vec<_> = old.map(|(id, since)| (*since, *id)).collect();
        old.sort_unstable();
        old.into_iter().map(|(_, id)| id).collect()
    }

    /// Forgets what was retired at `then` or before.
    pub(super) fn forget(&mut self, then: Duration) {
        for id in self.since(then) {
            self.keep(id);
        }
    }

    fn note(&mut self, id: ArtifactId, since: Option<u64>) {
        // What is written anew is written whole.
        if !self.broken {
            let since = since.map_or("-".to_owned(), |since| since.to_string());
            self.unwritten.push_str(&format!("{id:x} {since}\n"));
            self.lines += 1;
        }
    }

    /// What has changed since this was asked last, which is to be written now.
    pub(super) fn take_change(&mut self) -> Option<Change> {
        if self.broken || self.lines > self.since.len() + MAX_USELESS {
            self.unwritten.clear();
            (self.lines, self.broken) = (self.since.len(), false);
            let lines = self.since.iter().map(|(id, since)| format!("{id:x} {since}\n"));
            return Some(Change::Replace(lines.collect()));
        }
        let lines = std::mem::take(&mut self.unwritten);
        (!lines.is_empty()).then_some(Change::Append(lines))
    }

    /// The change could not be written. Half a line may stand in the file, which the next would be joined to.
    pub(super) fn not_written(&mut self) {
        self.broken = true;
    }
}

#[cfg(test)]
mod tests;
