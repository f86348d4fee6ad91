//! The threads of a flow: a rayon pool behind a narrow seam, joined on shutdown.
//!
//! rayon's pool ends its threads on its own time after it is dropped; here every thread holds the
//! sending end of a channel that carries nothing, so that the channel's end is the last thread's end,
//! which a shutdown can wait for with a deadline.
//!
//! What handlers spawn on the pool themselves may panic outside of any message; rayon would abort
//! the process, so such panics are given to the flow to count and report.

#![cfg_attr(shuttle, expect(dead_code, reason = "shuttle's threads take the place of rayon's"))]

use std::{
    any::Any, cell::Cell, convert::Infallible, fmt, hint, ptr, sync::Arc, thread, time::Instant,
};

use arc_swap::ArcSwapOption;
use crossbeam::channel::{Receiver, RecvTimeoutError, bounded};
use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder, Yield};

#[cfg(shuttle)]
mod scheduled;

/// The threads of a flow, or what stands in for them in tests.
#[cfg(not(any(shuttle, all(any(test, fuzzing), not(loom)))))]
pub(super) type Threads = Pool;
#[cfg(all(any(test, fuzzing), not(any(loom, shuttle))))]
pub(super) use super::threads::Threads;
#[cfg(shuttle)]
pub(super) use scheduled::Threads;

/// Something that runs on a thread of the flow.
pub(super) trait Job: Send + Sync + 'static {
    /// Runs it; a claim is held for it.
    fn run(self: Arc<Self>);

    /// Runs it if there is still need for it; no claim is held for it.
    fn run_if_needed(self: Arc<Self>);
}

/// What runs the jobs of a flow.
pub(super) trait Spawn: Send + Sync + 'static {
    /// Runs `job` soon, on a thread of the flow. False if there is none any more, and `job` will
    /// not run.
    fn spawn(&self, job: Arc<dyn Job>) -> bool;

    /// Offers `job` to every thread of the flow, behind all that the thread has to do. False if the
    /// caller is not on one of them, or too many offers have not been looked at by all threads, and
    /// nobody was offered anything.
    fn offer(&self, job: Arc<dyn Job>) -> bool;

    /// Which of the flow's threads the calling one is, from 0; on others, any number.
    fn worker(&self) -> usize;

    /// How many threads of the flow are alive.
    fn alive(&self) -> usize;

    /// How deep the stack of the calling thread is, in bytes.
    fn stack_depth(&self) -> usize;

    /// The calling thread of the flow has nothing to do at the moment, and helps a handler that uses
    /// rayon, if there is one.
    fn help(&self);

    /// Runs what handlers have spawned on the calling thread of the flow, up to a limit.
    fn run_spawned(&self);

    /// Whether the calling thread is one of the flow's.
    fn is_current(&self) -> bool;

    /// Lets the threads end when they have run what was spawned.
    fn release(&self);

    /// Waits until the threads, which were released, have ended; false if the deadline comes first.
    fn join(&self, deadline: Instant) -> bool;
}

thread_local! {
    /// The token of the pool that the thread belongs to.
    static POOL: Cell<usize> = const { Cell::new(0) };
    /// Where the thread's stack begins, nearly.
    static STACK: Cell<usize> = const { Cell::new(0) };
}

/// How many offers may wait to be looked at by all threads; a job that finds so many keeps its claim
/// and goes on.
pub(super) const MAX_OFFERS: usize = 256;

/// How much of what handlers have spawned a drain job runs at once.
const RUN_SPAWNED: usize = 64;

/// The address of something on the stack of the caller. Never inlined, so that it is as far from the
/// caller's frame each time.
#[inline(never)]
fn here() -> usize {
    let something = 0_u8;
    ptr::from_ref(hint::black_box(&something)).addr()
}

/// Pins the calling thread to this one of the process's cores, if it can be done.
#[cfg(feature = "pinning")]
fn pin(core: usize) {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    let pinned = !cores.is_empty() && core_affinity::set_for_current(cores[core % cores.len()]);
    if !pinned {
        // The subscriber is the user's code.
        crate::panics::contain(|| {
            tracing::warn!(core, "a thread cannot be pinned here, and runs on any core")
        });
    }
}

#[cfg(not(feature = "pinning"))]
fn pin(_: usize) {}

/// A rayon pool of one flow.
pub(super) struct Pool {
    threads: ArcSwapOption<ThreadPool>,
    /// Disconnected when the last thread has ended.
    pub(super) ended: Receiver<Infallible>,
    /// Its address tells the pool from others as long as one of its threads lives.
    token: Arc<u8>,
    /// Held by each offer that some thread has not looked at.
    offers: Arc<()>,
}

impl Pool {
    /// Starts `threads` threads called `name`, pinned from `core_affinity` on if there is one;
    /// `stray_panic` hears of panics outside of jobs.
    pub(super) fn new(
        name: &str,
        threads: usize,
        core_affinity: Option<usize>,
        stray_panic: impl Fn(Box<dyn Any + Send>) + Send + Sync + 'static,
    ) -> Result<Self, ThreadPoolBuildError> {
        let (alive, ended) = bounded::<Infallible>(0);
        let token = Arc::new(0_u8);
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads)
            .panic_handler(stray_panic)
            .spawn_handler(|worker| {
                let alive = (alive.clone(), Arc::clone(&token));
                let core = core_affinity.map(|first| first.wrapping_add(worker.index()));
                thread::Builder::new().name(name.to_owned()).spawn(move || {
                    POOL.set(Arc::as_ptr(&alive.1).addr());
                    STACK.set(here());
                    if let Some(core) = core {
                        pin(core);
                    }
                    worker.run();
                    drop(alive);
                })?;
                Ok(())
            })
            .build()?;
        Ok(Self { threads: ArcSwapOption::from_pointee(pool), ended, token, offers: Arc::new(()) })
    }
}

impl Spawn for Pool {
    fn spawn(&self, job: Arc<dyn Job>) -> bool {
        let pool = self.threads.load();
        let Some(pool) = pool.as_ref() else { return false };
        pool.spawn(move || job.run());
        true
    }

    fn offer(&self, job: Arc<dyn Job>) -> bool {
        // A thread whose handler does not end looks at none of them, and each takes room.
        if !self.is_current() || Arc::strong_count(&self.offers) > MAX_OFFERS {
            return false;
        }
        let offer = Arc::clone(&self.offers);
        // Through the thread's own registry, which outlives the pool's handle.
        rayon::spawn_broadcast(move |_| {
            let _ = &offer;
            Arc::clone(&job).run_if_needed();
        });
        true
    }

    fn worker(&self) -> usize {
        rayon::current_thread_index().unwrap_or(0)
    }

    fn alive(&self) -> usize {
        // Each thread has one.
        Arc::strong_count(&self.token) - 1
    }

    fn stack_depth(&self) -> usize {
        STACK.get().abs_diff(here())
    }

    fn run_spawned(&self) {
        for _ in 0..RUN_SPAWNED {
            if rayon::yield_local() != Some(Yield::Executed) {
                return;
            }
        }
    }

    fn help(&self) {
        // Whether there was something to do makes no difference.
        let _ = rayon::yield_now();
    }

    fn is_current(&self) -> bool {
        POOL.get() == Arc::as_ptr(&self.token).addr()
    }

    fn release(&self) {
        self.threads.store(None);
    }

    fn join(&self, deadline: Instant) -> bool {
        matches!(self.ended.recv_deadline(deadline), Err(RecvTimeoutError::Disconnected))
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("running", &self.threads.load().is_some()).finish()
    }
}
