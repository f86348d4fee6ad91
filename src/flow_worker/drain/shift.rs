//! What a drain job knows while it runs.

use std::sync::Arc;

use arc_swap::{ArcSwap, Cache};

use super::{SHIFT, gather::Pace};
use crate::{
    FlowConfig,
    clock::Moment,
    flow_worker::{brought::Brought, line::Decided, live::Live},
    metrics::WorkerMetrics,
};

/// What a drain job knows.
pub(super) struct Shift<'a, M, H> {
    pub(super) metrics: &'a WorkerMetrics,
    /// The configuration and the handler, as they are by now.
    pub(super) live: Cache<&'a ArcSwap<Live<H>>, Arc<Live<H>>>,
    /// Submitters that were let in and have yet to be woken.
    pub(super) decided: Decided<Brought<M>>,
    /// When the first of them was let in.
    pub(super) decided_at: Moment,
    /// The last reading of the clock.
    pub(super) now: Moment,
    /// When it passes on what is left.
    pub(super) end: Moment,
    /// Nothing on this thread's stack waits for it.
    pub(super) at_bottom: bool,
    /// Nothing has been taken since the claim was, or since the lanes were found empty.
    pub(super) searches: bool,
    /// How fast messages come.
    pub(super) pace: Pace,
    /// The seat after the lane that was served last.
    pub(super) turn: usize,
}

impl<'a, M, H> Shift<'a, M, H> {
    /// That of a job that begins now and searches.
    pub(super) fn new(metrics: &'a WorkerMetrics, live: &'a ArcSwap<Live<H>>, now: Moment) -> Self {
        Self {
            metrics,
            live: Cache::new(live),
            decided: Decided::default(),
            decided_at: now,
            now,
            end: now.after(SHIFT),
            at_bottom: false,
            searches: true,
            pace: Pace::default(),
            turn: 0,
        }
    }

    /// The configuration as it is by now.
    pub(super) fn config(&mut self) -> &FlowConfig {
        &self.live.load().config
    }

    /// Wakes the submitters that were let in.
    pub(super) fn wake(&mut self) {
        if !self.decided.is_empty() {
            self.decided.wake();
            // They may have run instead of this thread, and that is not the next handler's time.
            self.now = Moment::now();
        }
    }
}
