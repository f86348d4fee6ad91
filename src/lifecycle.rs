//! How building a part of the engine can fail, and what shutting one down reports.

use std::{collections::BTreeMap, fmt};

use strum::EnumCount;

use crate::{ConfigError, FlowType};

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

/// What a shutdown left of a handler's flows.
#[derive(Clone, Copy, Default, Eq, PartialEq)]
#[must_use]
pub struct ShutdownReport {
    flows: [FlowReport; FlowType::COUNT],
}

impl ShutdownReport {
    pub(crate) fn new(of: impl FnMut(FlowType) -> FlowReport) -> Self {
        Self { flows: FlowType::ALL.map(of) }
    }

    /// What was left of one flow.
    pub fn flow(&self, flow: FlowType) -> FlowReport {
        self.flows[flow as usize]
    }

    /// The shutdown has dropped nothing and left nothing running, and all threads have ended.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.flows.iter().all(FlowReport::is_clean)
    }
}

impl fmt::Debug for ShutdownReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of_flows = FlowType::ALL.map(|flow| (flow, self.flow(flow)));
        f.debug_tuple("ShutdownReport").field(&BTreeMap::from(of_flows)).finish()
    }
}
