//! How far the replica is, for the log: `behind` with what is missing, how fast it comes and for how long yet, and
//! `all here` once it has come.
//!
//! A line comes at least [`INTERVAL`] after the one before, and there is none while nothing changes. Without a peer
//! nothing is known of what is missing, so `all here` is not said.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use gossip_replica::{
    blocking::blocking,
    gossip::{GossipSnapshot, ReplicaGossip},
};
use tokio::time::{MissedTickBehavior, interval};

/// From one line to the next, and over which time a rate is taken.
const INTERVAL: Duration = Duration::from_secs(10);
/// How often the replica is looked at.
const LOOK: Duration = Duration::from_secs(2);
/// Looks that are kept for the rate: those of an interval.
const MAX_LOOKS: usize = (INTERVAL.as_secs() / LOOK.as_secs()) as usize + 1;

/// What a line is about.
type Figures = (u64, u64, u64, u64, u64);

/// What the log is to say.
#[derive(Debug, PartialEq)]
enum Line {
    /// Bytes a second, and seconds that the rest takes at this rate; `None` if nothing comes, or if it has no space.
    Behind {
        rate: u64,
        left: Option<u64>,
    },
    AllHere,
}

#[derive(Debug, Default)]
struct Progress {
    /// The last line.
    said: Option<(Instant, Figures)>,
    /// Bytes that have come until then.
    looks: VecDeque<(Instant, u64)>,
}

impl Progress {
    /// What there is to say now.
    fn look(&mut self, now: Instant, seen: &GossipSnapshot) -> Option<Line> {
        if self.looks.len() == MAX_LOOKS {
            self.looks.pop_front();
        }
        self.looks.push_back((now, seen.fetched.bytes_received));
        let figures = (seen.artifacts, seen.bytes, seen.wanted, seen.missing_bytes, seen.peers);
        let is_due = self.said.is_none_or(|(at, said)| {
            said != figures && now.saturating_duration_since(at) >= INTERVAL
        });
        let is_known = seen.wanted > 0 || seen.peers > 0;
        if !is_due || !is_known {
            return None;
        }
        self.said = Some((now, figures));
        if seen.wanted == 0 {
            return Some(Line::AllHere);
        }
        let rate = self.rate();
        let can_come = rate > 0 && seen.waiting_for_space == 0;
        Some(Line::Behind { rate, left: can_come.then(|| seen.missing_bytes.div_ceil(rate)) })
    }

    /// Bytes a second, over the looks that are kept.
    fn rate(&self) -> u64 {
        let (Some((began, first)), Some((ended, last))) = (self.looks.front(), self.looks.back())
        else {
            return 0;
        };
        let seconds = ended.saturating_duration_since(*began).as_secs_f64();
        let came = last.saturating_sub(*first);
        if seconds > 0.0 { (came as f64 / seconds) as u64 } else { 0 }
    }
}

/// Logs now and then how far the replica is. Does not end.
pub(super) async fn log_progress(gossip: &Arc<ReplicaGossip>) {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut progress = Progress::default();
    loop {
        ticks.tick().await;
        let gossip = gossip.clone();
        // It waits for a lock, and the end must not wait for that.
        let seen = blocking(move || gossip.snapshot()).await;
        let GossipSnapshot { artifacts, bytes, wanted, missing_bytes, peers, .. } = seen;
        match progress.look(Instant::now(), &seen) {
            Some(Line::Behind { rate, left }) => tracing::info!(
                artifacts,
                bytes,
                missing = wanted,
                missing_bytes,
                bytes_per_second = rate,
                seconds_left = left,
                peers,
                "behind"
            ),
            Some(Line::AllHere) => tracing::info!(artifacts, bytes, peers, "all here"),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests;
