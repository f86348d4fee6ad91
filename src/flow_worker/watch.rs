//! What is looked at from outside: how old the queue is, who is alive, who is stuck.

use std::time::Duration;

use super::{
    core::{Core, Handle},
    pool::Spawn,
};
use crate::{NodeId, clock::Moment, metrics::Gauges};

/// What a watch knows of one flow between two looks: for each worker the message that was reported, by
/// how many the worker had finished before it.
#[derive(Debug, Default)]
pub(crate) struct Reported(Vec<Option<u64>>);

impl<M: Send + 'static, H: Handle<M>, S: Spawn> Core<M, H, S> {
    /// Tells of each handler that has run for longer than `limit`, once.
    pub(super) fn find_stuck(
        &self,
        limit: Duration,
        reported: &mut Reported,
        tell: impl Fn(NodeId, Duration),
    ) {
        let now = self.nanos(Moment::now());
        reported.0.resize(self.metrics.workers.len(), None);
        for (worker, reported) in self.metrics.workers.iter().zip(&mut reported.0) {
            // Before the time, so that the time is that of this message or of a later one.
            let finished = Some(worker.count_finished());
            let Some(lane) = worker.seat().and_then(|seat| self.peers.at(seat)) else { continue };
            let runs = Duration::from_nanos(now.saturating_sub(worker.began()));
            if runs > limit && *reported != finished {
                *reported = finished;
                self.metrics.found_stuck();
                tell(lane.peer, runs);
            }
        }
    }
}

impl<M: Send + 'static, H: Handle<M>, S: Spawn> Gauges for Core<M, H, S> {
    fn oldest_age(&self) -> Duration {
        let now = self.nanos(Moment::now());
        let oldest = self.peers.iter().filter_map(|lane| lane.queues_since(now)).min();
        Duration::from_nanos(oldest.map_or(0, |oldest| now.saturating_sub(oldest)))
    }

    fn live_workers(&self) -> usize {
        self.threads.alive()
    }

    fn max_age(&self) -> Option<Duration> {
        self.live.load().config.max_age()
    }
}
