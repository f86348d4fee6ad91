//! The threads of a flow, real or simulated, for tests and fuzzers.

use std::{any::Any, sync::Arc, time::Instant};

use rayon::ThreadPoolBuildError;

use super::pool::{Job, Pool, Spawn};
use crate::simulation::Simulated;

/// The threads of a flow: a pool's, or those of the simulation that runs on the thread that builds it.
#[derive(Debug)]
pub(crate) enum Threads {
    Real(Pool),
    Simulated(Simulated),
}

impl Threads {
    pub(super) fn new(
        name: &str,
        threads: usize,
        core_affinity: Option<usize>,
        stray_panic: impl Fn(Box<dyn Any + Send>) + Send + Sync + 'static,
    ) -> Result<Self, ThreadPoolBuildError> {
        match Simulated::begin(threads) {
            Some(simulated) => Ok(Self::Simulated(simulated)),
            None => Pool::new(name, threads, core_affinity, stray_panic).map(Self::Real),
        }
    }

    /// Disconnected when the last real thread has ended.
    #[cfg(test)]
    pub(super) fn ended(&self) -> crossbeam::channel::Receiver<std::convert::Infallible> {
        match self {
            Self::Real(pool) => pool.ended.clone(),
            Self::Simulated(_) => crossbeam::channel::never(),
        }
    }
}

/// The same of either.
macro_rules! either {
    ($self:ident, $threads:ident => $of:expr) => {
        match $self {
            Self::Real($threads) => $of,
            Self::Simulated($threads) => $of,
        }
    };
}

impl Spawn for Threads {
    fn spawn(&self, job: Arc<dyn Job>) -> bool {
        match self {
            Self::Real(pool) => pool.spawn(job),
            Self::Simulated(simulated) => simulated.spawn(move || job.run()),
        }
    }

    fn offer(&self, job: Arc<dyn Job>) -> bool {
        match self {
            Self::Real(pool) => pool.offer(job),
            Self::Simulated(simulated) => simulated.offer(|| {
                let job = Arc::clone(&job);
                Box::new(move || job.run_if_needed())
            }),
        }
    }

    fn worker(&self) -> usize {
        either!(self, threads => threads.worker())
    }

    fn alive(&self) -> usize {
        either!(self, threads => threads.alive())
    }

    fn stack_depth(&self) -> usize {
        match self {
            Self::Real(pool) => pool.stack_depth(),
            Self::Simulated(_) => 0,
        }
    }

    fn help(&self) {
        if let Self::Real(pool) = self {
            pool.help();
        }
    }

    fn run_spawned(&self) {
        if let Self::Real(pool) = self {
            pool.run_spawned();
        }
    }

    fn is_current(&self) -> bool {
        either!(self, threads => threads.is_current())
    }

    fn release(&self) {
        either!(self, threads => threads.release());
    }

    fn join(&self, deadline: Instant) -> bool {
        match self {
            Self::Real(pool) => pool.join(deadline),
            Self::Simulated(_) => true,
        }
    }
}
