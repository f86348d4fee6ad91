//! The threads of a flow: a rayon pool behind a one-method seam, joined on shutdown.
//!
//! rayon's pool ends its threads on its own time after it is dropped; here every thread holds the
//! sending end of a channel that carries nothing, so that the channel's end is the last thread's end,
//! which a shutdown can wait for with a deadline.

use std::{convert::Infallible, fmt, sync::Arc, time::Instant};

use arc_swap::ArcSwapOption;
use crossbeam::channel::{Receiver, RecvTimeoutError, bounded};
use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

/// Something that runs on a thread of the flow.
pub(super) trait Job: Send + Sync + 'static {
    /// Runs it; must not unwind.
    fn run(self: Arc<Self>);
}

/// What runs the jobs of a flow.
pub(super) trait Spawn: Send + Sync + 'static {
    /// Runs `job` soon, on a thread of the flow. False if there is none any more, and `job` will
    /// not run.
    fn spawn(&self, job: Arc<dyn Job>) -> bool;
}

/// A rayon pool of one flow.
pub(super) struct Pool {
    threads: ArcSwapOption<ThreadPool>,
    ended: Receiver<Infallible>,
}

impl Pool {
    /// Starts `threads` threads called `name`.
    pub(super) fn new(name: &str, threads: usize) -> Result<Self, ThreadPoolBuildError> {
        let (alive, ended) = bounded::<Infallible>(0);
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads)
            .spawn_handler(|thread| {
                let alive = alive.clone();
                std::thread::Builder::new().name(name.to_owned()).spawn(move || {
                    thread.run();
                    drop(alive);
                })?;
                Ok(())
            })
            .build()?;
        Ok(Self { threads: ArcSwapOption::from_pointee(pool), ended })
    }

    /// Whether the calling thread is one of the pool's.
    pub(super) fn is_current(&self) -> bool {
        self.threads.load().as_ref().is_some_and(|pool| pool.current_thread_index().is_some())
    }

    /// Lets the threads end and waits for it until the deadline; false if some have not ended by
    /// then. Jobs that were spawned still run.
    pub(super) fn end(&self, deadline: Instant) -> bool {
        self.threads.store(None);
        matches!(self.ended.recv_deadline(deadline), Err(RecvTimeoutError::Disconnected))
    }
}

#[cfg(all(test, not(loom)))]
impl Pool {
    /// Disconnected when the last thread has ended.
    pub(super) fn ended(&self) -> Receiver<Infallible> {
        self.ended.clone()
    }
}

impl Spawn for Pool {
    fn spawn(&self, job: Arc<dyn Job>) -> bool {
        let pool = self.threads.load();
        let Some(pool) = pool.as_ref() else { return false };
        pool.spawn(move || job.run());
        true
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("running", &self.threads.load().is_some()).finish()
    }
}
