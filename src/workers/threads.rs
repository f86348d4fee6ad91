//! The rayon pool of a flow, with an end that can be waited for.
//!
//! rayon's pool ends its threads on its own time after it is dropped. Here every thread holds the sending end of a
//! channel that carries nothing, so that the channel's end is the last thread's end.
//!
//! What handlers spawn on the pool may panic outside of any handler; rayon would abort the process, so such panics are
//! given to the flow to count and report.

use std::{
    any::Any,
    convert::Infallible,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Barrier},
    thread,
    time::Instant,
};

use arc_swap::ArcSwapOption;
use crossbeam::channel::{Receiver, RecvTimeoutError, bounded};
use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder, Yield};

use super::Spec;
use crate::testing::Simulated;

/// How many jobs a worker runs that handlers have given to rayon, before it looks for messages again.
const HELP: usize = 64;

/// Pins the calling thread to this one of the process's cores, if it can be done.
#[cfg(feature = "pinning")]
fn pin(core: usize) {
    if let Err(error) = try_to_pin(core) {
        // The subscriber is the user's code.
        crate::panics::contain(|| {
            tracing::warn!(core, %error, "a thread cannot be pinned here, and runs on any core");
        });
    }
}

#[cfg(all(feature = "pinning", any(target_os = "linux", target_os = "android")))]
fn try_to_pin(core: usize) -> std::io::Result<()> {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

    let allowed = sched_getaffinity(None)?;
    let cores = allowed.count().max(1) as usize;
    let own = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).nth(core % cores);
    let mut only = CpuSet::new();
    // Of no core at all the system says that it is invalid.
    own.into_iter().for_each(|own| only.set(own));
    Ok(sched_setaffinity(None, &only)?)
}

#[cfg(all(feature = "pinning", not(any(target_os = "linux", target_os = "android"))))]
fn try_to_pin(_: usize) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

#[cfg(not(feature = "pinning"))]
fn pin(_: usize) {}

pub(super) struct Threads {
    pool: ArcSwapOption<ThreadPool>,
    /// Disconnected when the last thread has ended.
    ended: Receiver<Infallible>,
    /// Held by each thread that is alive.
    token: Arc<u8>,
    simulated: Option<Simulated>,
}

impl Threads {
    pub(super) fn new(
        spec: &Spec<'_>,
        stray_panic: impl Fn(Box<dyn Any + Send>) + Send + Sync + 'static,
    ) -> Result<Self, ThreadPoolBuildError> {
        let (alive, ended) = bounded::<Infallible>(0);
        let token = Arc::new(0_u8);
        if let Some(simulated) = Simulated::begin(spec.threads) {
            return Ok(Self {
                pool: ArcSwapOption::empty(),
                ended,
                token,
                simulated: Some(simulated),
            });
        }
        let pool = ThreadPoolBuilder::new()
            .num_threads(spec.threads)
            .panic_handler(stray_panic)
            .spawn_handler(|worker| {
                // The channel's end goes last: when `join` has returned, nobody counts as alive.
                let alive = (Arc::clone(&token), alive.clone());
                let core = spec.first_core.map(|first| first.wrapping_add(worker.index()));
                thread::Builder::new().name((spec.name)(worker.index())).spawn(move || {
                    if let Some(core) = core {
                        pin(core);
                    }
                    worker.run();
                    drop(alive);
                })?;
                Ok(())
            })
            .build()?;
        Ok(Self { pool: ArcSwapOption::from_pointee(pool), ended, token, simulated: None })
    }

    /// No threads: a model has those of loom.
    #[cfg(all(test, loom))]
    pub(super) fn none() -> Self {
        let (_, ended) = bounded(0);
        Self { pool: ArcSwapOption::empty(), ended, token: Arc::new(0), simulated: None }
    }

    /// Has each thread run `work` with its index. Each finds it in a queue of its own, in which nobody else looks,
    /// before it looks anywhere else. `broken` is called if `work` panics, and must not panic itself. What `work`
    /// returns is for a simulation.
    pub(super) fn start(
        &self,
        work: impl Fn(usize) -> bool + Send + Sync + 'static,
        broken: impl Fn(Box<dyn Any + Send>) + Send + Sync + 'static,
    ) {
        if let Some(simulated) = &self.simulated {
            simulated.start(work);
            return;
        }
        if let Some(pool) = self.pool.load().as_ref() {
            // None works before all have begun: a thread that had yet to find its loop could steal a part that a
            // handler has forked, and would find the loop while it waits inside of it.
            let all = Barrier::new(pool.current_num_threads());
            pool.spawn_broadcast(move |thread| {
                all.wait();
                if let Err(payload) = catch_unwind(AssertUnwindSafe(|| work(thread.index()))) {
                    broken(payload);
                }
            });
        }
    }

    /// Whether there are threads, and not those of a simulation.
    pub(super) fn is_real(&self) -> bool {
        self.simulated.is_none()
    }

    /// Has a simulated thread run its work; false if threads are real.
    pub(super) fn run_simulated(&self, index: usize) -> bool {
        if let Some(simulated) = &self.simulated {
            simulated.run(index);
            return true;
        }
        false
    }

    /// Runs what handlers have given to rayon, on one of these threads.
    pub(super) fn help(&self) {
        if self.is_real() {
            for _ in 0..HELP {
                if rayon::yield_now() != Some(Yield::Executed) {
                    return;
                }
            }
        }
    }

    /// Whether handlers on the calling thread have given something to rayon that nobody has taken yet.
    pub(super) fn have_given(&self) -> bool {
        let pool = self.pool.load();
        pool.as_ref().is_none_or(|pool| pool.current_thread_has_pending_tasks() == Some(true))
    }

    pub(super) fn alive(&self) -> usize {
        if let Some(simulated) = &self.simulated {
            return simulated.threads();
        }
        // Each thread has one.
        Arc::strong_count(&self.token) - 1
    }

    pub(super) fn release(&self) {
        self.pool.store(None);
    }

    pub(super) fn join(&self, deadline: Instant) -> bool {
        if let Some(simulated) = &self.simulated {
            return simulated.have_ended();
        }
        matches!(self.ended.recv_deadline(deadline), Err(RecvTimeoutError::Disconnected))
    }
}

impl fmt::Debug for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Threads").field("running", &self.pool.load().is_some()).finish()
    }
}
