//! What is looked at from outside, again and again: handlers that do not end, and those who wait beside them.

use std::time::Duration;

use super::core::Core;
use crate::{PeerKey, ledger::Taken};

/// What a watch knows of one flow between two looks: for each worker, when the handler began that was reported.
#[derive(Debug, Default)]
pub(crate) struct Reported(Vec<Option<u64>>);

impl<M: Send + 'static, K: PeerKey> Core<M, K> {
    /// Calls `report` for each handler that has run for longer than `limit`, once, with the number of its worker.
    pub(super) fn find_stuck(
        &self,
        limit: Duration,
        reported: &mut Reported,
        report: impl Fn(usize, &K, Duration),
    ) {
        let now = self.now();
        reported.0.resize(self.ledger.workers.len(), None);
        let workers = self.ledger.workers.iter().enumerate();
        for ((index, worker), reported) in workers.zip(&mut reported.0) {
            let Some(Taken { lane, when: began }) = worker.runs() else { continue };
            let runs = Duration::from_nanos(now.saturating_sub(began));
            if runs > limit && *reported != Some(began) {
                *reported = Some(began);
                self.ledger.found_stuck();
                if let Some(peer) = self.queue.key_of(lane) {
                    report(index, &peer, runs);
                }
            }
        }
    }

    /// Does for workers whose handlers run what they would do between two: lets in those who wait, and has idle threads
    /// run what handlers have given to rayon.
    pub(super) fn stand_in(&self) {
        if self.queue.has_waiters() {
            self.let_in();
        }
        self.workers.help();
    }
}
