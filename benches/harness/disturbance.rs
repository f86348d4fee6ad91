//! How much of the machine's processor time others used while a bench ran: what says whether its
//! figures can be believed.

use std::{fs, process};

/// A reading of the system's clocks of processor time, in ticks since its start.
pub(crate) struct Disturbance {
    all: f64,
    idle: f64,
    /// Of this process and of those that belong to the bench.
    own: f64,
    helpers: Vec<u32>,
}

impl Disturbance {
    /// What these processes use counts as the bench's own. `None` where the system has no `/proc`.
    pub(crate) fn beside(helpers: Vec<u32>) -> Option<Self> {
        let system = fs::read_to_string("/proc/stat").ok()?;
        let ticks: Vec<f64> = system
            .lines()
            .next()?
            .split_whitespace()
            .skip(1)
            .filter_map(|n| n.parse().ok())
            .collect();
        let processes = helpers.iter().copied().chain([process::id()]);
        let own = processes.map(used_by).sum::<Option<f64>>()?;
        // The 4th and 5th are idle and waiting for a disk; those after the 8th are counted twice.
        Some(Self {
            all: ticks.iter().take(8).sum(),
            idle: ticks.get(3..5)?.iter().sum(),
            own,
            helpers,
        })
    }

    /// The share of all processors' time since the start that neither was idle nor ours.
    pub(crate) fn share(self) -> Option<f64> {
        let now = Self::beside(self.helpers)?;
        let all = (now.all - self.all).max(1.0);
        Some(((all - (now.idle - self.idle) - (now.own - self.own)) / all).max(0.0))
    }
}

/// Ticks that a process has used, with those of its children that have ended.
fn used_by(process: u32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // Behind the name, which may contain anything: user and system time are the 12th and 13th, then the children's.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    Some(fields.get(11..15)?.iter().filter_map(|n| n.parse::<f64>().ok()).sum())
}
