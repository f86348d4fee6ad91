//! How much of the machine's processor time others used while a bench ran: what says whether its
//! figures can be believed.

use std::{fs, process};

/// A reading of the system's clocks of processor time, in ticks since its start.
pub(crate) struct Disturbance {
    all: f64,
    idle: f64,
    own: f64,
}

impl Disturbance {
    /// `None` where the system has no `/proc`.
    pub(crate) fn start() -> Option<Self> {
        let system = fs::read_to_string("/proc/stat").ok()?;
        let ticks: Vec<f64> = system
            .lines()
            .next()?
            .split_whitespace()
            .skip(1)
            .filter_map(|n| n.parse().ok())
            .collect();
        let own = fs::read_to_string(format!("/proc/{}/stat", process::id())).ok()?;
        // Behind the name, which may contain anything: user and system time are the 12th and 13th.
        let fields: Vec<&str> = own.rsplit_once(')')?.1.split_whitespace().collect();
        let own = fields.get(11..13)?.iter().filter_map(|n| n.parse::<f64>().ok()).sum();
        // The 4th and 5th are idle and waiting for a disk; those after the 8th are counted twice.
        Some(Self { all: ticks.iter().take(8).sum(), idle: ticks.get(3..5)?.iter().sum(), own })
    }

    /// The share of all processors' time since the start that neither was idle nor ours.
    pub(crate) fn share(self) -> Option<f64> {
        let now = Self::start()?;
        let all = (now.all - self.all).max(1.0);
        Some(((all - (now.idle - self.idle) - (now.own - self.own)) / all).max(0.0))
    }
}
