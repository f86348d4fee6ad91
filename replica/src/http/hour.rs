//! The last hour, in steps of [`HOUR_STEP`].
//!
//! A look adds to the step that runs, and the first look after the step's time ends it. So a step may be a second
//! longer than it is meant to be. One that lasts for several, because nobody could look, counts as so many.
//!
//! Bounded: a ring of [`HOUR_STEPS`] steps, five numbers each, some 10 kB for a replica.

use std::time::Instant;

use super::{
    history::Ring,
    limits::{HOUR_STEP, HOUR_STEPS},
    status::HourView,
};

/// What a look has seen.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    /// Since the start.
    pub(super) bytes_in: u64,
    /// Since the start.
    pub(super) bytes_out: u64,
    /// Now.
    pub(super) missing: u64,
    /// Now.
    pub(super) held_bytes: u64,
    /// Since the start.
    pub(super) dropped: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Step {
    in_rate: u64,
    out_rate: u64,
    missing: u64,
    held_bytes: u64,
    dropped: u64,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Hour {
    steps: Ring<Step>,
    /// When the step that runs began, and what had been counted by then. `missing` is the most since.
    began: Option<(Instant, Counts)>,
}

impl Hour {
    /// Takes a look, which is later than the one before.
    pub(super) fn take(&mut self, seen: Counts, now: Instant) {
        // What was counted before the first look came at no known time.
        let (began, before) = self.began.get_or_insert((now, seen));
        before.missing = before.missing.max(seen.missing);
        let lasted = now.saturating_duration_since(*began);
        if lasted < HOUR_STEP {
            return;
        }
        let rate = |from: u64, to: u64| {
            (to.saturating_sub(from) as f64 / lasted.as_secs_f64()).round() as u64
        };
        let mut step = Step {
            in_rate: rate(before.bytes_in, seen.bytes_in),
            out_rate: rate(before.bytes_out, seen.bytes_out),
            missing: before.missing,
            held_bytes: seen.held_bytes,
            dropped: seen.dropped.saturating_sub(before.dropped),
        };
        let steps = (lasted.as_secs_f64() / HOUR_STEP.as_secs_f64()) as usize;
        for _ in 0..steps.clamp(1, HOUR_STEPS) {
            self.steps.push(step, HOUR_STEPS);
            step.dropped = 0;
        }
        self.began = Some((now, seen));
    }

    pub(super) fn view(&self) -> HourView {
        let list = |of: fn(&Step) -> u64| self.steps.iter().map(of).collect();
        HourView {
            step: HOUR_STEP.as_secs_f64(),
            in_rate: list(|step| step.in_rate),
            out_rate: list(|step| step.out_rate),
            missing: list(|step| step.missing),
            held_bytes: list(|step| step.held_bytes),
            dropped: list(|step| step.dropped),
        }
    }
}

#[cfg(test)]
mod tests;
