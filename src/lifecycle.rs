//! How building a part of the engine can fail, and what shutting one down reports.

use crate::{ConfigError, FlowName};

/// A part of the engine could not be built. Nothing is left of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The configuration cannot work.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The system gives no threads for a flow.
    #[error("{flow} flow: cannot start its threads: {source}")]
    Threads {
        /// The flow.
        flow: &'static str,
        /// What the system says.
        source: rayon::ThreadPoolBuildError,
    },
    /// The system gives no thread for the timer.
    #[error("cannot start the timer's thread: {0}")]
    TimerThread(#[source] std::io::Error),
    /// The system gives no thread for the watch over a handler's flows.
    #[error("cannot start the watch's thread: {0}")]
    WatchThread(#[source] std::io::Error),
    /// A timer without a period would never rest.
    #[error("the timer's period is zero")]
    ZeroPeriod,
}

/// What a shutdown left of one flow.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[must_use]
#[non_exhaustive]
pub struct FlowReport {
    /// Messages that were admitted and had not started by the deadline: dropped, and counted as
    /// [`DroppedAtShutdown`](crate::Outcome::DroppedAtShutdown).
    pub dropped: usize,
    /// Messages whose handlers had not returned by the deadline, the caller's own included. They go on.
    pub running: usize,
    /// All threads of the flow have ended.
    pub joined: bool,
}

impl FlowReport {
    /// The shutdown has dropped nothing and left nothing running, and the threads have ended.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.dropped == 0 && self.running == 0 && self.joined
    }
}

/// What a shutdown left of the flows of a handler or an engine.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[must_use]
pub struct ShutdownReport {
    flows: Vec<(&'static str, FlowReport)>,
}

impl ShutdownReport {
    pub(crate) fn new(flows: impl Iterator<Item = (&'static str, FlowReport)>) -> Self {
        Self { flows: flows.collect() }
    }

    /// What was left of one flow; `None` if there was none of this name.
    #[must_use]
    pub fn flow(&self, flow: impl Into<FlowName>) -> Option<FlowReport> {
        let name = flow.into().as_str();
        self.flows().find(|&(other, _)| other == name).map(|(_, report)| report)
    }

    /// All flows by name, and what was left of each.
    pub fn flows(&self) -> impl Iterator<Item = (&'static str, FlowReport)> {
        self.flows.iter().copied()
    }

    /// The shutdown has dropped nothing and left nothing running, and all threads have ended.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.flows().all(|(_, report)| report.is_clean())
    }
}
